package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode"

	"golang.org/x/oauth2"

	"paylane/shared/order"
)

// SignIn is how people sign in: with the issuer of the API's access tokens, by an authorization
// code that is bound to the browser (RFC 6749, section 4.1, with PKCE, RFC 7636). The access token
// is the session: it lies in a cookie that scripts can't read, is verified with every request, and
// ends when it expires. Nothing is kept on this side.
type SignIn struct {
	// Issuer is the URL of the issuer. Its endpoints are found through
	// <Issuer>/.well-known/openid-configuration.
	Issuer string
	// ClientID is the console's at the issuer, as a public client whose redirect URI is
	// /console/callback at the console's origin. While it is empty, there are no pages but one
	// that says so.
	ClientID string
	// Scopes are those to ask for.
	Scopes []string
	// Client reaches the issuer; nil is http.DefaultClient.
	Client *http.Client
	// Verify returns the session of an access token, and when that expires; the zero time is
	// never. An error that is [order.ErrUnavailable] says that nothing is known about the token, any
	// other that it is not valid.
	Verify func(ctx context.Context, accessToken string) (Session, time.Time, error)
	// Secure says that browsers reach the console by HTTPS.
	Secure bool
}

// CallbackPath is the path of the redirect URI by which an issuer sends people back.
const CallbackPath = Root + "/callback"

const (
	signInPath  = Root + "/signin"
	signOutPath = Root + "/signout"
	tenantPath  = Root + "/tenant"
)

// The names of cookies.
const (
	sessionCookie = "paylane-session" // the access token
	beginCookie   = "paylane-signin"  // what one sign-in must come back with
	tenantCookie  = "paylane-tenant"  // the tenant chosen in a session of every tenant
)

const (
	// beginAge is how long somebody may take at the issuer's page.
	beginAge = 10 * time.Minute
	// exchangeTimeout bounds the request that gets a token for a code.
	exchangeTimeout = 5 * time.Second
	// maxCookie is how large a cookie may be, with its name and attributes, that every browser keeps
	// (RFC 6265, section 6.1).
	maxCookie = 4096
	// maxTo is how long a URL may be that is returned to after signing in.
	maxTo = 1024
)

func (s *console) signInRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+signInPath, s.beginSignIn)
	mux.HandleFunc("GET "+CallbackPath, s.finishSignIn)
	mux.HandleFunc("POST "+signOutPath, s.posted(s.signOut))
	mux.HandleFunc("GET "+signOutPath, s.signedOut)
	mux.HandleFunc("POST "+tenantPath, s.posted(s.chooseTenant))
}

// notice is a page that says something, and leads on.
type notice struct {
	Text string
	// URL is where a link with the text Label leads; empty for none.
	URL, Label string
}

// cookie returns a cookie that scripts don't see and other sites' forms don't send; an age of zero
// is as long as the browser runs, and a negative one deletes it. With HTTPS its name has browsers
// hold other hosts of the domain off it (RFC 6265bis, section 4.1.3.2).
func (c *SignIn) cookie(name, value string, age time.Duration) *http.Cookie {
	cookie := &http.Cookie{
		Name: c.cookieName(name), Value: value, Path: Root, MaxAge: int(age / time.Second), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if c.Secure {
		cookie.Path, cookie.Secure = "/", true // which the name demands
	}
	return cookie
}

func (c *SignIn) cookieName(name string) string {
	if c.Secure {
		return "__Host-" + name
	}
	return name
}

// value returns the value of a cookie; empty if there is none. Of two with one name somebody has
// planted one, for a path of its own: neither counts.
func (c *SignIn) value(r *http.Request, name string) string {
	all := r.CookiesNamed(c.cookieName(name))
	if len(all) != 1 {
		return ""
	}
	return all[0].Value
}

const deleted time.Duration = -time.Second

// signedIn returns the session of whoever has signed in. If ok is false, the request has been
// answered.
func (s *console) signedIn(w http.ResponseWriter, r *http.Request) (session Session, ok bool) {
	token := s.SignIn.value(r, sessionCookie)
	if token == "" {
		s.askToSignIn(w, r)
		return Session{}, false
	}
	session, _, err := s.SignIn.Verify(r.Context(), token)
	switch {
	case errors.Is(err, order.ErrUnavailable):
		s.render(w, r, http.StatusServiceUnavailable, "problem.html", page{Title: "Not available now"},
			"The issuer's keys can't be read, so nobody can be let in. Try again in a moment.")
		return Session{}, false
	case err != nil:
		s.askToSignIn(w, r)
		return Session{}, false
	}
	sum := sha256.Sum256([]byte(token))
	session.secret = string(sum[:])
	if session.Every {
		tenant, _ := base64.RawURLEncoding.DecodeString(s.SignIn.value(r, tenantCookie))
		session.Tenant = string(tenant)
	}
	return session, true
}

// askToSignIn answers a request without a session: a page that somebody opens leads to signing in,
// and then back. An action is not repeated; nor does a page that refreshes itself become another.
func (s *console) askToSignIn(w http.ResponseWriter, r *http.Request) {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	mode, partial := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Hx-Request") != ""
	if reads && !partial && (mode == "" || mode == "navigate") {
		http.Redirect(w, r, signInURL(r.URL.RequestURI()), http.StatusSeeOther) //nolint:gosec // its path is fixed, and local checks the rest
		return
	}
	to := signInURL(cameFrom(r))
	if partial {
		w.Header().Set("Hx-Redirect", to)
	}
	text := "Nothing was done: sign in, and try again."
	if reads {
		text = "Sign in to go on."
	}
	s.render(w, r, http.StatusUnauthorized, "notice.html", page{Title: "You are not signed in"}, notice{text, to, "Sign in"})
}

// signInURL returns the path of signing in, from where the browser goes on to a page.
func signInURL(to string) string { return signInPath + "?to=" + url.QueryEscape(local(to)) }

// cameFrom returns the console's page that a request was sent from.
func cameFrom(r *http.Request) string {
	from := r.Header.Get("Hx-Current-Url")
	if from == "" {
		from = r.Referer()
	}
	u, err := url.Parse(from)
	if err != nil || u.Host != r.Host {
		return Root
	}
	return u.RequestURI()
}

// local returns a URL to go to after signing in: path and query of the one that was asked for, if
// the path is that of a page of the console, and the first page otherwise.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || len(to) > maxTo ||
		!strings.HasPrefix(u.Path+"/", Root+"/") || path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") || strings.Contains(u.Path, `\`) {
		return Root
	}
	switch u.Path {
	case signInPath, CallbackPath, signOutPath, tenantPath:
		return Root
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

// origin is the console's, as its caller sees it. A caller who lies gets no further: the issuer
// knows which redirect URIs are the console's.
func (s *console) origin(r *http.Request) string {
	if s.SignIn.Secure || r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (s *console) oauth(r *http.Request, at *endpoints) *oauth2.Config {
	return &oauth2.Config{
		ClientID: s.SignIn.ClientID, Scopes: s.SignIn.Scopes, RedirectURL: s.origin(r) + CallbackPath,
		Endpoint: oauth2.Endpoint{AuthURL: at.Authorization, TokenURL: at.Token, AuthStyle: oauth2.AuthStyleInParams},
	}
}

// beginSignIn leads to the issuer's page. The cookie binds what comes back to this browser: the
// state to the request (RFC 6749, section 10.12), the verifier to the code.
func (s *console) beginSignIn(w http.ResponseWriter, r *http.Request) {
	to := local(r.URL.Query().Get("to"))
	at, err := s.issuer.endpoints(r.Context())
	if err != nil {
		s.issuerFailed(w, r, signInURL(to), err)
		return
	}
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	value := state + "." + verifier + "." + base64.RawURLEncoding.EncodeToString([]byte(to))
	http.SetCookie(w, s.SignIn.cookie(beginCookie, value, beginAge))
	s.leave(w, r, "Signing in", s.oauth(r, at).AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)))
}

// leave leads to a page of the issuer. What a form of the console is answered with may not redirect
// to another origin (Chromium takes form-action for redirects, too); a page may that is shown.
func (s *console) leave(w http.ResponseWriter, r *http.Request, title, to string) {
	if r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Site") != "same-origin" {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	w.Header().Set("Refresh", "0; url="+to)
	s.render(w, r, http.StatusOK, "notice.html", page{Title: title}, notice{"The page of " + s.SignIn.Issuer + " comes next.", to, "Go on"})
}

// finishSignIn takes what the issuer's page sent the browser back with, and begins the session.
func (s *console) finishSignIn(w http.ResponseWriter, r *http.Request) {
	state, rest, _ := strings.Cut(s.SignIn.value(r, beginCookie), ".")
	verifier, encoded, _ := strings.Cut(rest, ".")
	decoded, _ := base64.RawURLEncoding.DecodeString(encoded) // what is not right leads to the first page
	to := local(string(decoded))
	http.SetCookie(w, s.SignIn.cookie(beginCookie, "", deleted))
	refuse := func(status int, text string) {
		s.render(w, r, status, "notice.html", page{Title: "You are not signed in"}, notice{text, signInURL(to), "Sign in again"})
	}
	came := r.URL.Query()
	if state == "" || !hmac.Equal([]byte(came.Get("state")), []byte(state)) {
		refuse(http.StatusBadRequest, "This is not the sign-in that this browser began last, or it took longer than ten minutes.")
		return
	}
	at, err := s.issuer.endpoints(r.Context())
	if err != nil {
		s.issuerFailed(w, r, signInURL(to), err)
		return
	}
	switch {
	case (came.Has("iss") || at.NamesItself) && came.Get("iss") != s.SignIn.Issuer: // RFC 9207
		refuse(http.StatusBadRequest, "The answer is not from the issuer that was asked.")
		return
	case came.Has("error"):
		refuse(http.StatusForbidden, strings.TrimSpace("The issuer answered: "+plain(came.Get("error"))+" "+plain(came.Get("error_description"))))
		return
	case came.Get("code") == "":
		refuse(http.StatusBadRequest, "The issuer's answer has no code.")
		return
	}
	token, err := s.exchange(r, at, came.Get("code"), verifier)
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.Response.StatusCode < http.StatusInternalServerError:
		refuse(http.StatusForbidden, "The issuer did not take the code that came back: "+plain(refused.ErrorCode)+". It may be too old, or was used before.")
		return
	case err != nil:
		s.issuerFailed(w, r, signInURL(to), err)
		return
	}
	_, expires, err := s.SignIn.Verify(r.Context(), token)
	switch {
	case errors.Is(err, order.ErrUnavailable):
		s.issuerFailed(w, r, signInURL(to), err)
		return
	case err != nil:
		s.Log.ErrorContext(r.Context(), "the issuer's access token is not one that the API takes", "error", err)
		refuse(http.StatusForbidden, "The issuer's access token is not one that the API takes. Its audience may not be among those accepted.")
		return
	}
	var age time.Duration
	if !expires.IsZero() {
		age = max(expires.Sub(s.Now()), time.Second)
	}
	cookie := s.SignIn.cookie(sessionCookie, token, age)
	if len(cookie.String()) > maxCookie {
		refuse(http.StatusForbidden, "The issuer's access token is too large for a cookie, which holds 4096 bytes. Have the issuer leave claims out of it.")
		return
	}
	http.SetCookie(w, s.SignIn.cookie(tenantCookie, "", deleted)) // it was another session's
	http.SetCookie(w, cookie)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// exchange returns the access token for a code.
func (s *console) exchange(r *http.Request, at *endpoints, code, verifier string) (string, error) {
	ctx, cancel := context.WithTimeout(r.Context(), exchangeTimeout)
	defer cancel()
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.issuer.client)
	token, err := s.oauth(r, at).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

// plain returns text of somebody else as it may be shown: a line that is not long.
func plain(text string) string {
	const longest = 200
	var b strings.Builder
	for _, c := range text {
		if b.Len() == longest {
			break
		}
		if c > unicode.MaxASCII || !unicode.IsPrint(c) {
			c = '?'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// issuerFailed answers when the issuer does not.
func (s *console) issuerFailed(w http.ResponseWriter, r *http.Request, again string, err error) {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) { // its text would have the whole answer
		err = errors.New("the token endpoint answers " + refused.Response.Status)
	}
	s.Log.ErrorContext(r.Context(), "signing in to the console failed at the issuer", "issuer", s.SignIn.Issuer, "error", err)
	s.render(w, r, http.StatusBadGateway, "notice.html", page{Title: "Signing in is not possible now"},
		notice{"The issuer " + s.SignIn.Issuer + " could not be reached, or did not answer as it should.", again, "Try again"})
}

// signOut ends the session, at the issuer too if it offers that.
func (s *console) signOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, s.SignIn.cookie(sessionCookie, "", deleted))
	http.SetCookie(w, s.SignIn.cookie(tenantCookie, "", deleted))
	at, err := s.issuer.endpoints(r.Context())
	if err != nil || at.EndSession == "" { // the session here is over all the same
		http.Redirect(w, r, signOutPath, http.StatusSeeOther)
		return
	}
	r = r.WithContext(sessionContext(r.Context(), Session{}))
	s.leave(w, r, "You have signed out", at.signOut(s.SignIn.ClientID, s.origin(r)+signOutPath))
}

func (s *console) signedOut(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "notice.html", page{Title: "You have signed out"},
		notice{"Nobody is signed in in this browser.", signInURL(Root), "Sign in"})
}

// chooseTenant chooses the tenant of a session of every tenant. What a tenant may be called is for
// the API to say.
func (s *console) chooseTenant(w http.ResponseWriter, r *http.Request) {
	session, _ := SessionOf(r.Context())
	if !session.Every {
		s.render(w, r, http.StatusForbidden, "problem.html", page{Title: "Not allowed"}, "Your account is of one tenant.")
		return
	}
	session.Tenant = strings.TrimSpace(r.PostForm.Get("tenant"))
	chosen := r.WithContext(sessionContext(r.Context(), session))
	if a := s.call(chosen, http.MethodGet, "/orders", url.Values{"limit": {"1"}}, ""); !a.OK() {
		s.refused(w, r, a)
		return
	}
	http.SetCookie(w, s.SignIn.cookie(tenantCookie, base64.RawURLEncoding.EncodeToString([]byte(session.Tenant)), 0))
	http.Redirect(w, r, Root, http.StatusSeeOther)
}

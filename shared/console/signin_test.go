package console_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"paylane/shared/accesstoken"
	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/console"
	"paylane/shared/order"
)

const issuerURL = "https://issuer.test/pool"

// issuer is one that people can sign in with. Its only code is "the-code".
type issuer struct {
	*tokentest.Issuer

	discovery map[string]any
	down      bool
	token     string // that the code is good for
	status    int    // of the token endpoint's refusal; 0 for none

	challenge string // as at the authorization endpoint
	asked     int    // for the discovery document
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	switch r.URL.Path {
	case "/pool/.well-known/openid-configuration":
		i.asked++
		if i.down {
			answer(http.StatusInternalServerError, nil)
			return
		}
		answer(http.StatusOK, i.discovery)
	case "/pool/token":
		if err := r.ParseForm(); err != nil {
			panic(err)
		}
		want := url.Values{
			"grant_type": {"authorization_code"}, "code": {"the-code"}, "client_id": {"client"},
			"redirect_uri": {"https://console.test/console/callback"}, "code_verifier": r.PostForm["code_verifier"],
		}
		if i.status >= http.StatusInternalServerError {
			answer(i.status, map[string]string{"access_token": "in-an-error", "echo": r.PostForm.Encode()})
			return
		}
		if i.status != 0 || r.PostForm.Encode() != want.Encode() || oauth2.S256ChallengeFromVerifier(r.PostForm.Get("code_verifier")) != i.challenge {
			answer(max(i.status, http.StatusBadRequest), map[string]string{"error": "invalid_grant", "access_token": "in-an-error", "echo": r.PostForm.Encode()})
			return
		}
		answer(http.StatusOK, map[string]any{"token_type": "Bearer", "access_token": i.token})
	default:
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/pool")
		i.Issuer.ServeHTTP(w, r)
	}
}

// site is a console that people sign in to, and the clock that it has.
type site struct {
	http.Handler

	issuer *issuer
	now    time.Time
	log    bytes.Buffer
	asked  []string // of the API, with the tenant of the session
}

func newSite(t *testing.T, change ...func(*console.Config, *issuer)) *site {
	t.Helper()
	return siteOf(t, tokentest.New(t, issuerURL), change...)
}

// siteOf is newSite for tests that need many, with the tokens of one issuer: keys take long to make.
func siteOf(t *testing.T, tokens *tokentest.Issuer, change ...func(*console.Config, *issuer)) *site {
	t.Helper()
	s := &site{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), issuer: &issuer{Issuer: tokens}}
	s.issuer.discovery = map[string]any{
		"issuer": issuerURL, "jwks_uri": issuerURL + "/keys",
		"authorization_endpoint": issuerURL + "/authorize?ui=1", "token_endpoint": issuerURL + "/token",
	}
	client := &http.Client{Transport: transport{s.issuer}}
	now := func() time.Time { return s.now }
	verifier := accesstoken.New(accesstoken.Config{Issuer: issuerURL, Audience: []string{tokentest.Audience}, Client: client, Now: now})
	c := console.Config{
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			session, _ := console.SessionOf(r.Context())
			s.asked = append(s.asked, r.Method+" "+r.URL.String()+" for "+session.Tenant)
			if strings.Contains(r.URL.Query().Get("tenant"), "*") {
				w.WriteHeader(http.StatusUnprocessableEntity)
				_, _ = w.Write([]byte(`{"title": "Unprocessable Entity", "detail": "no such tenant"}`))
				return
			}
			_, _ = w.Write([]byte(`{"orders": []}`))
		}),
		SignIn: &console.SignIn{
			Issuer: issuerURL, ClientID: "client", Scopes: []string{"orders/read", "orders/operate"}, Client: client, Secure: true,
			Verify: func(ctx context.Context, token string) (console.Session, time.Time, error) {
				claims, err := verifier.Verify(ctx, token)
				var keys *accesstoken.KeysError
				if errors.As(err, &keys) {
					err = fmt.Errorf("%w: %w", order.ErrUnavailable, err)
				}
				return console.Session{
					Tenant: claims.Text("tenant"), Every: claims.Text("tenant") == "*",
					Read: slices.Contains(claims.Scopes(), "orders/read"), Operate: slices.Contains(claims.Scopes(), "orders/operate"),
				}, claims.Expires(), err
			},
		},
		Now: now, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
	}
	for _, f := range change {
		f(&c, s.issuer)
	}
	handler, err := console.New(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Handler = handler
	return s
}

type transport struct{ http.Handler }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	t.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

// token returns a token of the site's issuer.
func (s *site) token(t *testing.T, tenant, scope string, more map[string]any) string {
	t.Helper()
	claims := map[string]any{"tenant": tenant, "scope": scope}
	for name, value := range more {
		claims[name] = value
	}
	return s.issuer.Token(t, s.issuer.Claims(s.now, claims))
}

const both = "orders/read orders/operate"

// browser keeps cookies as a browser does.
type browser struct {
	*site

	cookies map[string]string
	header  http.Header
}

func (s *site) browser() *browser { return &browser{s, make(map[string]string), make(http.Header)} }

// as returns a browser with a session.
func (s *site) as(token string) *browser {
	b := s.browser()
	b.cookies["__Host-paylane-session"] = token
	return b
}

func (b *browser) send(method, target, body string, header ...string) *http.Response {
	r := httptest.NewRequest(method, "https://console.test"+target, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return w.Result()
}

func (b *browser) get(target string, header ...string) *http.Response {
	return b.send(http.MethodGet, target, "", header...)
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// begin begins to sign in, and returns the state that the issuer was given.
func (b *browser) begin(t *testing.T, to string) (state string) {
	t.Helper()
	got := b.get("/console/signin?to=" + url.QueryEscape(to))
	at, err := got.Location()
	if err != nil || got.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d, %v", got.StatusCode, err)
	}
	b.issuer.challenge = at.Query().Get("code_challenge")
	return at.Query().Get("state")
}

// TestSignIn walks from a page through the issuer's and back to it.
func TestSignIn(t *testing.T) {
	s := newSite(t)
	s.issuer.token = s.token(t, "shop", both, nil)
	b := s.browser()
	got := b.get("/console/orders?status=PAID")
	if to := got.Header.Get("Location"); got.StatusCode != http.StatusSeeOther || to != "/console/signin?to=%2Fconsole%2Forders%3Fstatus%3DPAID" {
		t.Fatalf("%d to %q", got.StatusCode, to)
	}
	got = b.get(got.Header.Get("Location"))
	at, err := got.Location()
	if err != nil {
		t.Fatal(err)
	}
	asked := at.Query()
	state, challenge := asked.Get("state"), asked.Get("code_challenge")
	want := url.Values{
		"ui": {"1"}, "response_type": {"code"}, "client_id": {"client"}, "redirect_uri": {"https://console.test/console/callback"},
		"scope": {both}, "code_challenge_method": {"S256"}, "state": {state}, "code_challenge": {challenge},
	}
	if !strings.HasPrefix(at.String(), issuerURL+"/authorize?") || asked.Encode() != want.Encode() || len(state) < 26 || len(challenge) != 43 {
		t.Errorf("it leads to %s", at)
	}
	begun := got.Header.Get("Set-Cookie")
	if !regexp.MustCompile(`^__Host-paylane-signin=[A-Za-z0-9._-]+; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax$`).MatchString(begun) || strings.Contains(begun, challenge) {
		t.Errorf("the cookie is %s", begun)
	}
	s.issuer.challenge = challenge
	b.cookies["__Host-paylane-tenant"] = "of the session before"
	got = b.get("/console/callback?code=the-code&state=" + state)
	if to := got.Header.Get("Location"); got.StatusCode != http.StatusSeeOther || to != "/console/orders?status=PAID" {
		t.Fatalf("%d to %q: %s", got.StatusCode, to, text(t, got))
	}
	if cookie := "__Host-paylane-session=" + s.issuer.token + "; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"; !slices.Contains(got.Header.Values("Set-Cookie"), cookie) {
		t.Errorf("the cookies are %q", got.Header.Values("Set-Cookie"))
	}
	for _, name := range []string{"signin", "tenant"} {
		if _, ok := b.cookies["__Host-paylane-"+name]; ok {
			t.Errorf("the cookie %s is kept", name)
		}
	}
	got = b.get("/console/orders")
	page := text(t, got)
	if got.StatusCode != http.StatusOK || !strings.Contains(page, "tenant <b>shop</b>") || !strings.Contains(page, "Sign out") {
		t.Errorf("%d %s", got.StatusCode, page)
	}
	for name, value := range b.cookies {
		if strings.Contains(page, value) || strings.Contains(s.log.String(), value) {
			t.Errorf("the cookie %s is on the page, or in the log", name)
		}
	}
	if s.issuer.asked != 2 { // the console, and the verifier
		t.Errorf("the discovery document was fetched %d times", s.issuer.asked)
	}
}

// TestSignInLocally: without HTTPS, browsers would not keep secure cookies.
func TestSignInLocally(t *testing.T) {
	s := newSite(t, func(c *console.Config, _ *issuer) { c.SignIn.Secure = false })
	got := s.browser().get("/console/signin").Header.Get("Set-Cookie")
	if !strings.HasPrefix(got, "paylane-signin=") || !strings.HasSuffix(got, "; Path=/console; Max-Age=600; HttpOnly; SameSite=Lax") {
		t.Error(got)
	}
}

// TestCallback: what is not the answer that this browser waits for begins no session, and what
// went wrong is said without what must stay secret.
func TestCallback(t *testing.T) {
	tokens := tokentest.New(t, issuerURL)
	good := func(state string) string { return "code=the-code&state=" + state }
	for _, tt := range []struct {
		name   string
		change func(*site, *browser) // after the sign-in has begun
		query  func(state string) string
		status int
		want   string
	}{
		{"as it should be", nil, good, 303, ""},
		{"of the issuer", nil, func(state string) string { return good(state) + "&iss=" + url.QueryEscape(issuerURL) }, 303, ""},
		{"never begun", func(_ *site, b *browser) { clear(b.cookies) }, good, 400, "not the sign-in"},
		{"never begun, without a state", func(_ *site, b *browser) { clear(b.cookies) }, func(string) string { return "code=the-code&state=" }, 400, "not the sign-in"},
		{"another's state", nil, func(string) string { return good("another") }, 400, "not the sign-in"},
		{"no state", nil, func(string) string { return "code=the-code" }, 400, "not the sign-in"},
		{"another browser's cookie", func(_ *site, b *browser) { b.cookies["__Host-paylane-signin"] = "a.b.c" }, good, 400, "not the sign-in"},
		{"another issuer", nil, func(state string) string { return good(state) + "&iss=https://evil.test" }, 400, "not from the issuer"},
		{"an empty issuer", nil, func(state string) string { return good(state) + "&iss=" }, 400, "not from the issuer"},
		{"an issuer that would name itself", nil, good, 400, "not from the issuer"},
		{"an error", nil, func(state string) string {
			return "error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E%00%0aX&state=" + state
		}, 403, "The issuer answered: access_denied &lt;script&gt;alert(1)&lt;/script&gt;??X"},
		{"a long error", nil, func(state string) string { return "error=" + strings.Repeat("e", 1000) + "&state=" + state }, 403, ": " + strings.Repeat("e", 200) + "<"},
		{"no code", nil, func(state string) string { return "state=" + state }, 400, "has no code"},
		{"a code used before", func(s *site, _ *browser) { s.issuer.status = 400 }, good, 403, "did not take the code that came back: invalid_grant"},
		{"another's code", func(s *site, _ *browser) { s.issuer.challenge = "another" }, good, 403, "did not take the code"},
		{"a token endpoint that fails", func(s *site, _ *browser) { s.issuer.status = 500 }, good, 502, "could not be reached"},
		{"a token of another audience", func(s *site, _ *browser) { s.issuer.token = s.token(t, "shop", both, map[string]any{"aud": "other"}) },
			good, 403, "not one that the API takes"},
		{"an expired token", func(s *site, _ *browser) { s.now = s.now.Add(time.Hour) }, good, 403, "not one that the API takes"},
		{"a token too large", func(s *site, _ *browser) {
			s.issuer.token = s.token(t, "shop", both, map[string]any{"groups": strings.Repeat("g", 2600)})
		}, good, 403, "too large for a cookie"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := siteOf(t, tokens, func(_ *console.Config, i *issuer) {
				if tt.name == "an issuer that would name itself" {
					i.discovery["authorization_response_iss_parameter_supported"] = true
				}
			})
			s.issuer.token = s.token(t, "shop", both, nil)
			b := s.browser()
			state := b.begin(t, "/console/orders")
			verifier := strings.Split(b.cookies["__Host-paylane-signin"], ".")[1]
			if tt.change != nil {
				tt.change(s, b)
			}
			got := b.get("/console/callback?" + tt.query(state))
			page := text(t, got)
			if got.StatusCode != tt.status || !strings.Contains(page, tt.want) {
				t.Errorf("%d %s", got.StatusCode, page)
			}
			if _, in := b.cookies["__Host-paylane-session"]; in != (tt.status == 303) {
				t.Errorf("a session has begun: %v", in)
			}
			if _, kept := b.cookies["__Host-paylane-signin"]; kept {
				t.Error("the state can be used again")
			}
			if tt.status != 303 && tt.status != 400 && !strings.Contains(page, `href="/console/signin?to=%2Fconsole%2Forders"`) {
				t.Errorf("nothing leads on: %s", page)
			}
			for _, secret := range []string{s.issuer.token, verifier, "the-code", "in-an-error"} {
				if strings.Contains(page, secret) || strings.Contains(s.log.String(), secret) {
					t.Errorf("%s is on the page or in the log: %s %s", secret, page, &s.log)
				}
			}
		})
	}
}

// TestWhereTo: signing in leads to a page of the console, whatever it was asked for, and also if a
// cookie was planted.
func TestWhereTo(t *testing.T) {
	s := newSite(t)
	s.issuer.token = s.token(t, "shop", both, nil)
	for to, want := range map[string]string{
		"/console": "", "/console/": "/console/", "/console/orders?status=PAID&q=%2F%2Fevil": "/console/orders?status=PAID&q=%2F%2Fevil",
		"/console/orders/a%20b": "/console/orders/a%20b", "/console?x=1": "/console?x=1",
		"": "", "/": "", "/orders": "", "/consoles": "", "//evil.test": "", "//evil.test/console": "", "///evil.test/console": "",
		"https://evil.test/console": "", "https://evil.test/console/orders": "/console/orders", "https:evil.test/console": "", "javascript:alert(1)": "", "JavaScript:/console": "",
		`\\evil.test`: "", `/\evil.test`: "", `/console/\..\..\evil`: "", `/console/%5c%5cevil`: "",
		"/console/../orders": "", "/console/%2e%2e/orders": "", "/console/..%2forders": "", "/console//evil.test": "", "/console/%2fevil.test": "",
		"/console@evil.test": "", "https://console.test/console": "", "//console.test/console": "", "/console\r\nX: 1": "", "/console/\x00": "",
		"%2f%2fevil.test": "", "/%2fevil.test": "", "/console/signin?to=/console": "", "/console/callback?code=1": "", "/console/signout": "", "/console/tenant": "",
		"/console/" + strings.Repeat("a", 1100): "",
	} {
		if want == "" {
			want = "/console"
		}
		b := s.browser()
		state := b.begin(t, to)
		if got := b.get("/console/callback?code=the-code&state=" + state).Header.Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
	b := s.browser()
	state := b.begin(t, "")
	parts := strings.Split(b.cookies["__Host-paylane-signin"], ".")
	b.cookies["__Host-paylane-signin"] = parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString([]byte("//evil.test"))
	if got := b.get("/console/callback?code=the-code&state=" + state).Header.Get("Location"); got != "/console" {
		t.Errorf("a planted cookie leads to %q", got)
	}
}

// TestNoSession: a page leads to signing in, whatever else asks is refused, and only a good token
// is a session.
func TestNoSession(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct {
		name, method, target string
		header               []string
		status               int
		location, redirect   string
	}{
		{"a page", "GET", "/console/orders", nil, 303, "/console/signin?to=%2Fconsole%2Forders", ""},
		{"a page that is opened", "GET", "/console/orders", []string{"Sec-Fetch-Mode", "navigate"}, 303, "/console/signin?to=%2Fconsole%2Forders", ""},
		{"a script", "GET", "/console/orders", []string{"Sec-Fetch-Mode", "cors"}, 401, "", ""},
		{"a page that refreshes itself", "GET", "/console/orders/1", []string{"HX-Request", "true", "HX-Current-URL", "https://console.test/console/orders/1?a=b#c"},
			401, "", "/console/signin?to=%2Fconsole%2Forders%2F1%3Fa%3Db"},
		{"a page of another site that claims to", "GET", "/console/orders/1", []string{"HX-Request", "true", "HX-Current-URL", "https://evil.test/console/x"},
			401, "", "/console/signin?to=%2Fconsole"},
		{"an action", "POST", "/console/orders/1/cancel", []string{"Referer", "https://console.test/console/orders/1"}, 401, "", ""},
		{"signing out", "POST", "/console/signout", nil, 401, "", ""},
		{"choosing a tenant", "POST", "/console/tenant", nil, 401, "", ""},
	} {
		got := s.browser().send(tt.method, tt.target, "", tt.header...)
		if got.StatusCode != tt.status || got.Header.Get("Location") != tt.location || got.Header.Get("HX-Redirect") != tt.redirect {
			t.Errorf("%s: %d %v", tt.name, got.StatusCode, got.Header)
		}
		if page := text(t, got); tt.name == "an action" && !strings.Contains(page, `href="/console/signin?to=%2Fconsole%2Forders%2F1"`) {
			t.Errorf("%s: %s", tt.name, page)
		}
	}
	if got := s.as(s.token(t, "shop", both, nil)).get("/console/orders"); got.StatusCode != http.StatusOK {
		t.Fatalf("a good token: %d", got.StatusCode)
	}
	for name, token := range s.issuer.Bad(t, s.now, map[string]any{"tenant": "shop", "scope": both}) {
		if got := s.as(token).get("/console/orders"); got.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %d", name, got.StatusCode)
		}
	}
	b := s.as(s.token(t, "shop", both, nil))
	for first, second := range map[string]string{b.cookies["__Host-paylane-session"]: "planted", "planted": b.cookies["__Host-paylane-session"]} {
		if got := s.as(second).get("/console/orders", "Cookie", "__Host-paylane-session="+first); got.StatusCode != http.StatusSeeOther {
			t.Errorf("with a second cookie: %d", got.StatusCode)
		}
	}
	s.now = s.now.Add(59 * time.Minute)
	if got := b.get("/console/orders"); got.StatusCode != http.StatusOK {
		t.Errorf("shortly before it expires: %d", got.StatusCode)
	}
	s.now = s.now.Add(time.Minute)
	if got := b.get("/console/orders"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("once it has expired: %d", got.StatusCode)
	}
	if got := b.send(http.MethodPost, "/console/orders/1/cancel", ""); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("once it has expired, an action: %d", got.StatusCode)
	}
	for _, asked := range s.asked {
		if !strings.HasPrefix(asked, "GET /orders?") {
			t.Errorf("the API was asked %s", asked)
		}
	}
}

// TestKeysUnavailable: while tokens can't be verified nobody is let in, nor sent to sign in again.
func TestKeysUnavailable(t *testing.T) {
	s := newSite(t)
	s.issuer.down = true
	got := s.as(s.token(t, "shop", both, nil)).get("/console/orders")
	if got.StatusCode != http.StatusServiceUnavailable || len(s.asked) > 0 {
		t.Errorf("%d, %q", got.StatusCode, s.asked)
	}
}

// csrf returns the token of a page's forms.
func csrf(t *testing.T, page string) string {
	t.Helper()
	found := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("no form in %s", page)
	}
	return found[1]
}

// TestSignedInRights: reading needs its scope, and acting its own.
func TestSignedInRights(t *testing.T) {
	tokens := tokentest.New(t, issuerURL)
	for scope, want := range map[string][2]int{
		both: {200, 200}, "orders/read": {200, 403}, "orders/operate": {403, 200}, "orders/write": {403, 403}, "": {403, 403}, "orders/operates orders/readers": {403, 403},
	} {
		s := siteOf(t, tokens)
		b := s.as(s.token(t, "shop", scope, nil))
		got := b.get("/console/orders")
		page := text(t, got)
		if got.StatusCode != want[0] || !strings.Contains(page, "Sign out") {
			t.Errorf("%q: reading answers %d %s", scope, got.StatusCode, page)
		}
		s.asked = nil
		got = b.send(http.MethodPost, "/console/orders/0197-1/cancel", "csrf="+csrf(t, page))
		if got.StatusCode != want[1] {
			t.Errorf("%q: acting answers %d", scope, got.StatusCode)
		}
		if acted := slices.ContainsFunc(s.asked, func(a string) bool { return strings.HasPrefix(a, "POST ") }); acted != (want[1] == 200) {
			t.Errorf("%q: it acted: %v", scope, acted)
		}
	}
}

// TestEveryTenant: an operator over all tenants chooses one, and every request names it.
func TestEveryTenant(t *testing.T) {
	s := newSite(t)
	b := s.as(s.token(t, "*", both, nil))
	got := b.get("/console/orders")
	page := text(t, got)
	if got.StatusCode != http.StatusForbidden || !strings.Contains(page, "name one above") || len(s.asked) > 0 {
		t.Errorf("%d %s, %q", got.StatusCode, page, s.asked)
	}
	before := csrf(t, page)
	if got := b.send(http.MethodPost, "/console/orders/1/cancel", "csrf="+before); got.StatusCode != http.StatusForbidden || len(s.asked) > 0 {
		t.Errorf("an action: %d, %q", got.StatusCode, s.asked)
	}
	if got := b.send(http.MethodPost, "/console/tenant", "tenant=shop"); got.StatusCode != http.StatusForbidden {
		t.Errorf("without a form's token: %d", got.StatusCode)
	}
	got = b.send(http.MethodPost, "/console/tenant", "tenant=*&csrf="+before)
	if page := text(t, got); got.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(page, "no such tenant") || len(got.Cookies()) > 0 {
		t.Errorf("one that the API refuses: %d %s", got.StatusCode, page)
	}
	got = b.send(http.MethodPost, "/console/tenant", "tenant=+a%3B%22b%5c&csrf="+before)
	cookie := got.Header.Get("Set-Cookie")
	if got.StatusCode != http.StatusSeeOther || !strings.HasPrefix(cookie, "__Host-paylane-tenant=") || !strings.HasSuffix(cookie, "; Path=/; HttpOnly; Secure; SameSite=Lax") {
		t.Errorf("%d %s", got.StatusCode, cookie)
	}
	s.asked = nil
	page = text(t, b.get("/console/orders?status=PAID&tenant=other"))
	if want := `GET /orders?limit=25&status=PAID&tenant=a%3B%22b%5C for a;"b\`; !slices.Equal(s.asked, []string{want}) {
		t.Errorf("%q, want %s", s.asked, want)
	}
	if !strings.Contains(page, `tenant <b>a;&#34;b\</b>`) {
		t.Error(page)
	}
	if got := b.send(http.MethodPost, "/console/orders/1/cancel", "csrf="+before); got.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another tenant's page: %d", got.StatusCode)
	}

	one := s.as(s.token(t, "shop", both, nil))
	one.cookies["__Host-paylane-tenant"] = b.cookies["__Host-paylane-tenant"]
	s.asked = nil
	page = text(t, one.get("/console/orders"))
	if want := "GET /orders?limit=25 for shop"; !slices.Equal(s.asked, []string{want}) {
		t.Errorf("%q, want %s", s.asked, want)
	}
	if got := one.send(http.MethodPost, "/console/tenant", "tenant=other&csrf="+csrf(t, page)); got.StatusCode != http.StatusForbidden || len(got.Cookies()) > 0 {
		t.Errorf("the choice of another: %d", got.StatusCode)
	}
}

// TestSignOut: the session ends, and the issuer's where it says how.
func TestSignOut(t *testing.T) {
	const cognito = "https://cognito-idp.eu-central-1.amazonaws.com/pool"
	tokens := tokentest.New(t, issuerURL)
	for _, tt := range []struct {
		name, issuer, end, want string
	}{
		{"here alone", issuerURL, "", ""},
		{"at the issuer", issuerURL, "https://issuer.test/bye?x=1",
			"https://issuer.test/bye?x=1&client_id=client&post_logout_redirect_uri=https%3A%2F%2Fconsole.test%2Fconsole%2Fsignout"},
		{"at Cognito", cognito, "", "https://shop.auth.test/logout?client_id=client&logout_uri=https%3A%2F%2Fconsole.test%2Fconsole%2Fsignout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := siteOf(t, tokens, func(c *console.Config, i *issuer) {
				c.SignIn.Issuer = tt.issuer
				i.discovery["issuer"], i.discovery["authorization_endpoint"] = tt.issuer, "https://shop.auth.test/oauth2/authorize"
				if tt.end != "" {
					i.discovery["end_session_endpoint"] = tt.end
				}
				c.SignIn.Verify = func(context.Context, string) (console.Session, time.Time, error) {
					return console.Session{Tenant: "*", Every: true, Read: true, Operate: true}, time.Time{}, nil
				}
			})
			b := s.as("token")
			b.cookies["__Host-paylane-tenant"] = "c2hvcA"
			page := text(t, b.get("/console/orders"))
			if got := b.send(http.MethodPost, "/console/signout", ""); got.StatusCode != http.StatusForbidden || len(b.cookies) != 2 {
				t.Errorf("without a form's token: %d, %v", got.StatusCode, b.cookies)
			}
			got := b.send(http.MethodPost, "/console/signout", "csrf="+csrf(t, page), "Sec-Fetch-Site", "same-origin")
			page = text(t, got)
			if len(b.cookies) != 0 {
				t.Errorf("cookies stay: %v", b.cookies)
			}
			if strings.Contains(page, "csrf") {
				t.Errorf("the page is of a session: %s", page)
			}
			if refresh := strings.TrimPrefix(got.Header.Get("Refresh"), "0; url="); refresh != tt.want {
				t.Errorf("%d to %s, want %s", got.StatusCode, refresh, tt.want)
			}
			if tt.want == "" && got.Header.Get("Location") != "/console/signout" {
				t.Errorf("%d %v", got.StatusCode, got.Header)
			}
			if page := text(t, b.get("/console/signout")); !strings.Contains(page, "You have signed out") {
				t.Error(page)
			}
		})
	}
}

// TestLeave: a form that leads to signing in is not answered with a redirect to another origin,
// which the page's own policy would not let it follow.
func TestLeave(t *testing.T) {
	s := newSite(t)
	got := s.browser().get("/console/signin", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate")
	to, ok := strings.CutPrefix(got.Header.Get("Refresh"), "0; url="+issuerURL+"/authorize?")
	if got.StatusCode != http.StatusOK || !ok || !strings.Contains(to, "code_challenge=") || got.Header.Get("Location") != "" {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
}

// TestIssuerDown: a failure of the issuer is said, and is over when it is.
func TestIssuerDown(t *testing.T) {
	s := newSite(t)
	s.issuer.down = true
	b := s.browser()
	for range 10 {
		got := b.get("/console/signin?to=/console/orders")
		if page := text(t, got); got.StatusCode != http.StatusBadGateway || !strings.Contains(page, issuerURL) || !strings.Contains(page, `href="/console/signin?to=%2Fconsole%2Forders"`) {
			t.Errorf("%d %s", got.StatusCode, page)
		}
	}
	if s.issuer.asked != 1 {
		t.Errorf("the issuer was asked %d times", s.issuer.asked)
	}
	s.issuer.down = false
	s.now = s.now.Add(1001 * time.Millisecond)
	b.begin(t, "")
}

// TestDiscovery: a document that is another issuer's, or less safe than the issuer, is not used.
func TestDiscovery(t *testing.T) {
	tokens := tokentest.New(t, issuerURL)
	for name, change := range map[string]func(map[string]any){
		"another issuer":        func(d map[string]any) { d["issuer"] = "https://evil.test" },
		"no authorization":      func(d map[string]any) { delete(d, "authorization_endpoint") },
		"no token":              func(d map[string]any) { delete(d, "token_endpoint") },
		"no URL":                func(d map[string]any) { d["authorization_endpoint"] = "/authorize" },
		"a script":              func(d map[string]any) { d["authorization_endpoint"] = "javascript:alert(1)" },
		"not HTTPS":             func(d map[string]any) { d["token_endpoint"] = "http://issuer.test/token" },
		"a strange end":         func(d map[string]any) { d["end_session_endpoint"] = "ftp://issuer.test" },
		"too large":             func(d map[string]any) { d["x"] = strings.Repeat("x", 150_000) },
		"not what it should be": func(d map[string]any) { d["token_endpoint"] = 1 },
	} {
		s := siteOf(t, tokens, func(_ *console.Config, i *issuer) { change(i.discovery) })
		if got := s.browser().get("/console/signin"); got.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: %d", name, got.StatusCode)
		}
	}
}

// TestTokenEndpointRedirects: a code and its verifier go to the token endpoint alone.
func TestTokenEndpointRedirects(t *testing.T) {
	var mu sync.Mutex
	var elsewhere []string
	s := newSite(t, func(c *console.Config, i *issuer) {
		c.SignIn.Client = &http.Client{Transport: transport{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case r.URL.Host == "evil.test":
				elsewhere = append(elsewhere, r.URL.String())
			case r.URL.Path == "/pool/token":
				http.Redirect(w, r, "https://evil.test/", http.StatusTemporaryRedirect)
			default:
				i.ServeHTTP(w, r)
			}
		})}}
	})
	b := s.browser()
	state := b.begin(t, "")
	if got := b.get("/console/callback?code=the-code&state=" + state); got.StatusCode == http.StatusSeeOther || len(elsewhere) > 0 {
		t.Errorf("%d, and it went to %q", got.StatusCode, elsewhere)
	}
}

// TestClosed: without a client of its own at the issuer the console has no pages.
func TestClosed(t *testing.T) {
	s := newSite(t, func(c *console.Config, _ *issuer) { c.SignIn.ClientID = "" })
	for _, target := range []string{"/console", "/console/", "/console/orders", "/console/signin", "/console/callback"} {
		got := s.as(s.token(t, "shop", both, nil)).get(target)
		if page := text(t, got); got.StatusCode != http.StatusNotFound || !strings.Contains(page, "Signing in is not set up") {
			t.Errorf("%s: %d %s", target, got.StatusCode, page)
		}
	}
}

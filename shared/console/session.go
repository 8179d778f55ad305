package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
)

// Session is who uses the console.
type Session struct {
	// Tenant is whose orders it shows. In a session of every tenant it is the one chosen last, and
	// empty if none is yet.
	Tenant string
	// Every lets the session choose its tenant among all.
	Every bool
	// Name is who it is, for the page's head; empty if nobody signs in.
	Name string
	// Read and Operate are what it may do: see, and act.
	Read, Operate bool

	// secret is known to the session's browser and to this side alone.
	secret string
}

type sessionKey struct{}

// SessionOf returns the session that a request of the console belongs to. The API that the console
// calls takes the tenant from it.
func SessionOf(ctx context.Context) (Session, bool) {
	session, ok := ctx.Value(sessionKey{}).(Session)
	return session, ok
}

// csrf returns the token that the session's forms carry. Nobody computes it who does not have the
// session's secret. A form that was opened for one tenant is not for another that was chosen since.
func (s Session) csrf() string {
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write([]byte("paylane console form of " + s.Tenant))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// sessionHandler serves a request in its session.
type sessionHandler func(http.ResponseWriter, *http.Request)

// maxForm is how large a form may be, in bytes.
const maxForm = 256 << 10

// seen serves a page to a session that may see it.
func (s *console) seen(serve sessionHandler) http.HandlerFunc {
	return s.inSession(s.allowed(func(session Session) bool { return session.Read },
		"Your account lacks the scope orders/read, which seeing orders takes.", serve))
}

// acted serves an action to a session that may act, if it comes from a form of that session.
func (s *console) acted(serve sessionHandler) http.HandlerFunc {
	return s.posted(s.allowed(func(session Session) bool { return session.Operate },
		"Your account lacks the scope orders/operate, which the console's actions take.", serve))
}

// posted serves a form, if it is one of the session that sends it.
func (s *console) posted(serve sessionHandler) http.HandlerFunc {
	return s.inSession(func(w http.ResponseWriter, r *http.Request) {
		session, _ := SessionOf(r.Context())
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			s.render(w, r, http.StatusBadRequest, "problem.html", page{Title: "Not understood"}, "The form could not be read.")
			return
		}
		if !hmac.Equal([]byte(r.PostForm.Get("csrf")), []byte(session.csrf())) {
			s.render(w, r, http.StatusForbidden, "problem.html", page{Title: "Refused"},
				"The form is not one of this session: open the page again, and send it from there.")
			return
		}
		serve(w, r)
	})
}

// inSession serves a request whose session is known, and has it in the request's context.
func (s *console) inSession(serve sessionHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if session, ok := s.session(w, r); ok {
			serve(w, r.WithContext(sessionContext(r.Context(), session)))
		}
	}
}

// allowed serves a request whose session may do that, for a tenant. Otherwise it says what the
// session lacks.
func (s *console) allowed(may func(Session) bool, lacks string, serve sessionHandler) sessionHandler {
	return func(w http.ResponseWriter, r *http.Request) {
		session, _ := SessionOf(r.Context())
		switch {
		case !may(session):
			s.render(w, r, http.StatusForbidden, "problem.html", page{Title: "Not allowed"}, lacks)
		case session.Every && session.Tenant == "":
			s.noTenant(w, r)
		default:
			serve(w, r)
		}
	}
}

// noTenant has a session of every tenant choose one, in the page's head.
func (s *console) noTenant(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusForbidden, "problem.html", page{Title: "Whose orders?"},
		"Your account is an operator's over all tenants: name one above.")
}

// visitCookie tells the sessions of an open console apart, so that a form can be held to its own.
const visitCookie = "paylane-visit"

// session returns who a request is from. If ok is false, the request has been answered.
func (s *console) session(w http.ResponseWriter, r *http.Request) (session Session, ok bool) {
	if s.SignIn != nil {
		return s.signedIn(w, r)
	}
	session = s.Open
	if cookie, err := r.Cookie(visitCookie); err == nil && len(cookie.Value) >= len(rand.Text()) {
		session.secret = cookie.Value
		return session, true
	}
	session.secret = rand.Text()
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure, unless the console is served without TLS, as on one machine
		Name: visitCookie, Value: session.secret, Path: Root, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
	return session, true
}

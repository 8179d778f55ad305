package console

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// Root is the path of the console, and below it is everything of it.
const Root = "/console"

// Config is what [New] needs. API, Now and Log are required.
type Config struct {
	// API serves the HTTP API to the session that its requests' contexts have, see [SessionOf].
	API http.Handler
	// SignIn has everybody sign in; nil lets everybody in as Open.
	SignIn *SignIn
	// Open is the session of everybody without SignIn.
	Open Session
	// Dashboard is the URL of the dashboard of the stack; empty if there is none.
	Dashboard string
	// Tokens are what orders can be paid with.
	Tokens Tokens
	Local  Local
	Now    func() time.Time
	Log    *slog.Logger
}

// Local is what only a process knows that runs everything, and that lives on between requests. A
// nil part is not there: pages do without it, or say so.
type Local struct {
	// Board has the figures of the live board.
	Board  Board
	Queues Queues
	// Simulator is the simulated gateway, if orders are paid by one that runs in this process.
	Simulator Simulator
	// Background calls f in a goroutine of its own. Its context ends with the process, which
	// waits for f to return.
	Background func(f func(ending context.Context))
}

// console serves the pages.
type console struct {
	Config

	pages   map[string]*template.Template // by the name of their file
	assets  assets
	runs    runs
	issuer  *issuer       // of SignIn
	streams chan struct{} // has a place for each live stream that may be open
}

//go:embed pages
var pageFiles embed.FS

// New returns the handler of everything below [Root].
func New(c Config) (http.Handler, error) {
	s := &console{Config: c, streams: make(chan struct{}, maxStreams)}
	var err error
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	if s.pages, err = s.parsePages(); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+assetPath+"{file...}", s.assets.serve)
	missing, text := page{Title: "No such page"}, "There is no such page in the console."
	switch {
	case s.SignIn == nil:
		s.routes(mux)
	case s.SignIn.ClientID == "":
		missing, text = page{Title: "The console is closed"}, "Signing in is not set up: the console needs a client of its own at the issuer of the access tokens."
	default:
		s.issuer = newIssuer(s.SignIn, s.Now)
		s.signInRoutes(mux)
		s.routes(mux)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.render(w, r, http.StatusNotFound, "problem.html", missing, text)
	})
	return s.guard(mux), nil
}

// routes adds the pages, each in a session that may see it.
func (s *console) routes(mux *http.ServeMux) {
	see := func(pattern string, serve sessionHandler) { mux.HandleFunc("GET "+pattern, s.seen(serve)) }
	act := func(pattern string, serve sessionHandler) { mux.HandleFunc("POST "+pattern, s.acted(serve)) }
	s.boardRoutes(see)
	s.orderRoutes(see, act)
	if s.Local.Queues != nil {
		s.queueRoutes(see, act)
	}
	s.webhookRoutes(see, act)
	s.tryRoutes(see, act)
}

// route adds a page, or an action.
type route func(pattern string, serve sessionHandler)

// parsePages parses each page with the layout around it.
func (s *console) parsePages() (map[string]*template.Template, error) {
	files, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("find the console's pages: %w", err)
	}
	pages := make(map[string]*template.Template)
	for _, file := range files {
		name := file[len("pages/"):]
		if name == "layout.html" {
			continue
		}
		t, err := template.New("layout.html").Funcs(s.functions()).ParseFS(pageFiles, "pages/layout.html", file)
		if err != nil {
			return nil, fmt.Errorf("parse a page of the console: %w", err)
		}
		pages[name] = t
	}
	return pages, nil
}

// page is what the layout shows around a page.
type page struct {
	// Title is the page's own part of the title, and Area the entry of the navigation that it
	// belongs to.
	Title, Area string
	// Data is the page's.
	Data any
	// Session is who sees it, and CSRF the token of forms that act. Both are zero on pages for
	// those who have not signed in.
	Session Session
	CSRF    string
	// SignedIn says that there is something to sign out of.
	SignedIn bool
	Now      time.Time
	// Local says which pages there are.
	Local Local
}

// render answers with a page. The page is whole before anything is sent.
func (s *console) render(w http.ResponseWriter, r *http.Request, status int, name string, p page, data any) {
	p.Data, p.Now, p.Local = data, s.Now().UTC(), s.Local
	if session, ok := SessionOf(r.Context()); ok && session.secret != "" { // it has not ended
		p.Session, p.CSRF, p.SignedIn = session, session.csrf(), s.SignIn != nil
	}
	var text bytes.Buffer
	if err := s.pages[name].Execute(&text, p); err != nil {
		s.Log.ErrorContext(r.Context(), "a page of the console can't be made", "page", name, "error", err)
		http.Error(w, "The page can't be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = text.WriteTo(w) // it fails if the caller has gone
}

// policy allows a page what this package's files do, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard refuses requests that act for a page of another site, and tells browsers what pages may do.
func (s *console) guard(next http.Handler) http.Handler {
	sameSite := http.NewCrossOriginProtection() // by Sec-Fetch-Site, and Origin
	sameSite.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.render(w, r, http.StatusForbidden, "problem.html", page{Title: "Refused"}, "The request came from a page of another site.")
	}))
	next = sameSite.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "private, no-store")
		defer s.recovered(w, r)
		next.ServeHTTP(w, r)
	})
}

// recovered answers a panic, and logs it.
func (s *console) recovered(w http.ResponseWriter, r *http.Request) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		s.Log.ErrorContext(r.Context(), "panic in the console", "panic", p, "stack", string(debug.Stack()))
		http.Error(w, "The page can't be made.", http.StatusInternalServerError)
	}
}

// sessionContext returns a context with a session, for the API.
func sessionContext(ctx context.Context, session Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, session)
}

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"paylane/cmd/paylane/internal/apiclient"
	"paylane/shared/console"
	"paylane/shared/httpapi"
)

// Properties of signing in with the development issuer.
const (
	devConsoleClient = "console"
	devAuthorizePath = "/issuer/authorize"
	devTokenPath     = "/issuer/token"
	devCodeLifetime  = time.Minute
	maxDevForm       = 64 << 10 // bytes
)

// devSignIn has people sign in to the console with the development issuer: an authorization code
// with PKCE (RFC 6749, section 4.1; RFC 7636). It asks for no password, so its page is for browsers
// on this machine alone: whoever opens it can be any tenant.
type devSignIn struct {
	issuer      *devIssuer
	tenantClaim string // beside client_id; empty for none
	now         func() time.Time
	page        *template.Template

	mu    sync.Mutex
	codes map[string]devGrant
}

// devGrant is what a code is good for.
type devGrant struct {
	redirect, challenge, tenant, scope string
	expires                            time.Time
}

func newDevSignIn(issuer *devIssuer, tenantClaim string, now func() time.Time) (*devSignIn, error) {
	page, err := template.New("").Parse(devPage)
	if err != nil {
		return nil, err
	}
	return &devSignIn{issuer: issuer, tenantClaim: tenantClaim, now: now, page: page, codes: make(map[string]devGrant)}, nil
}

// metadata is its part of the issuer's document (OpenID Connect Discovery 1.0, section 3; RFC 9207).
func (d *devSignIn) metadata() map[string]any {
	return map[string]any{
		"authorization_endpoint": d.issuer.url + devAuthorizePath, "token_endpoint": d.issuer.url + devTokenPath,
		"response_types_supported": []string{"code"}, "grant_types_supported": []string{"authorization_code"},
		"code_challenge_methods_supported": []string{"S256"}, "token_endpoint_auth_methods_supported": []string{"none"},
		"scopes_supported": []string{httpapi.ScopeRead, httpapi.ScopeOperate}, "authorization_response_iss_parameter_supported": true,
	}
}

// redirects are the addresses that codes are sent to: the console's, under both of the runner's
// names.
func (d *devSignIn) redirects() []string {
	all := []string{d.issuer.url + console.CallbackPath}
	if u, err := url.Parse(d.issuer.url); err == nil {
		all = append(all, "http://"+net.JoinHostPort("localhost", u.Port())+console.CallbackPath)
	}
	return all
}

// ServeHTTP serves the page, and what its form is sent to.
func (d *devSignIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxDevForm)
	switch {
	case !fromHere(r):
		http.Error(w, "The development issuer's page is for browsers on the machine that runs it, at "+d.issuer.url+
			".\nTokens are made there by \"paylane token\"; --issuer names an issuer with accounts.", http.StatusForbidden)
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		h.Set("Allow", "GET, POST")
		http.Error(w, "This is a page to open.", http.StatusMethodNotAllowed)
	case http.NewCrossOriginProtection().Check(r) != nil:
		http.Error(w, "The form is not of this page.", http.StatusForbidden)
	case r.ParseForm() != nil:
		http.Error(w, "The form could not be read.", http.StatusBadRequest)
	case r.Form.Get("client_id") != devConsoleClient || !slices.Contains(d.redirects(), r.Form.Get("redirect_uri")):
		// Nobody can be told but whoever looks at the page (RFC 6749, section 4.1.2.1).
		http.Error(w, "Only this runner's console signs people in here. Open it at "+d.issuer.url+console.Root+".", http.StatusBadRequest)
	default:
		d.authorize(w, r)
	}
}

// fromHere reports whether a request comes from this machine, to a name of this machine: a page
// whose own name was rebound to it has that name in Host, and a tunnel its caller's address in a
// header.
func fromHere(r *http.Request) bool {
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	name := (&url.URL{Host: r.Host}).Hostname()
	return err == nil && apiclient.IsLoopback(peer) && apiclient.IsLoopback(name) && r.Header.Get("X-Forwarded-For") == "" && r.Header.Get("Forwarded") == ""
}

// challenge matches code challenges of the method S256 (RFC 7636, section 4.2).
var challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// authorize serves a request whose client and redirect URI are the console's.
func (d *devSignIn) authorize(w http.ResponseWriter, r *http.Request) {
	asked := r.Form
	wrong := ""
	switch {
	case asked.Get("response_type") != "code":
		wrong = "unsupported_response_type"
	case asked.Get("code_challenge_method") != "S256" || !challenge.MatchString(asked.Get("code_challenge")):
		wrong = "invalid_request"
	case r.Method == http.MethodPost && asked.Has("refuse"):
		wrong = "access_denied"
	}
	if wrong != "" {
		d.answer(w, r, "error", wrong)
		return
	}
	if r.Method == http.MethodGet {
		d.show(w, r)
		return
	}
	grant := devGrant{
		redirect: asked.Get("redirect_uri"), challenge: asked.Get("code_challenge"), tenant: strings.TrimSpace(r.PostForm.Get("tenant")),
		expires: d.now().Add(devCodeLifetime),
	}
	if r.PostForm.Has("all") {
		grant.tenant = httpapi.EveryTenant
	}
	var scopes []string
	for _, scope := range strings.Fields(asked.Get("scope")) {
		if slices.Contains(r.PostForm["grant"], scope) {
			scopes = append(scopes, scope)
		}
	}
	grant.scope = strings.Join(scopes, " ")
	d.answer(w, r, "code", d.keep(grant))
}

// keep returns a code for a grant.
func (d *devSignIn) keep(grant devGrant) (code string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.codes, func(_ string, old devGrant) bool { return !d.now().Before(old.expires) })
	code = rand.Text()
	d.codes[code] = grant
	return code
}

// answer sends the browser back to the console.
func (d *devSignIn) answer(w http.ResponseWriter, r *http.Request, name, value string) {
	query := url.Values{name: {value}, "state": {r.Form.Get("state")}, "iss": {d.issuer.url}}
	w.Header().Set("Location", r.Form.Get("redirect_uri")+"?"+query.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

// show answers with the page. Its form may lead to the console, which can have another of the
// runner's names.
func (d *devSignIn) show(w http.ResponseWriter, r *http.Request) {
	hidden := make(url.Values) // what else is in the query must choose nothing
	for _, name := range []string{"response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"} {
		hidden.Set(name, r.Form.Get(name))
	}
	var text bytes.Buffer
	if err := d.page.Execute(&text, hidden); err != nil {
		http.Error(w, "The page can't be made.", http.StatusInternalServerError)
		return
	}
	style := sha256.Sum256([]byte(devStyle))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(style[:])+
		"'; form-action 'self' "+strings.TrimSuffix(r.Form.Get("redirect_uri"), console.CallbackPath)+"; base-uri 'none'; frame-ancestors 'none'")
	_, _ = text.WriteTo(w) // it fails if the caller has gone
}

const devStyle = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{margin:0 auto;max-width:34rem;padding:1.5rem}
fieldset{margin:0 0 1rem;border:1px solid;border-radius:6px}
label{display:block;padding:.25rem 0}
button,input{font:inherit}
button{padding:.375rem .875rem}`

const devPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in for development</title>
<style>` + devStyle + `</style>
</head>
<body>
<main>
<h1>Sign in for development</h1>
<p>The issuer of this runner asks for no password. Choose who you are.</p>
<form method="post" action="` + devAuthorizePath + `">
{{range $name, $values := .}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}
<fieldset><legend>Whose orders</legend>
<label>Tenant <input name="tenant" value="a" maxlength="128" autocomplete="off" spellcheck="false"></label>
<label><input type="checkbox" name="all" value="yes"> all tenants, for an operator</label>
</fieldset>
<fieldset><legend>What you may do</legend>
<label><input type="checkbox" name="grant" value="` + httpapi.ScopeRead + `" checked> see orders</label>
<label><input type="checkbox" name="grant" value="` + httpapi.ScopeOperate + `" checked> act on them, as an operator</label>
</fieldset>
<button>Sign in</button> <button name="refuse" value="yes">Refuse</button>
</form>
</main>
</body>
</html>
`

// serveToken serves the token endpoint.
func (d *devSignIn) serveToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxDevForm)
	status, answer := d.exchange(r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // it fails if the caller has gone
}

// exchange returns the answer to a token request (RFC 6749, section 4.1.3). A code is used up by
// the first, whatever becomes of that.
func (d *devSignIn) exchange(r *http.Request) (status int, answer map[string]any) {
	refuse := func(why string) (int, map[string]any) { return http.StatusBadRequest, map[string]any{"error": why} }
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		return refuse("invalid_request")
	}
	asked := r.PostForm
	switch {
	case asked.Get("grant_type") != "authorization_code":
		return refuse("unsupported_grant_type")
	case asked.Get("client_id") != devConsoleClient:
		return refuse("invalid_client")
	}
	d.mu.Lock()
	grant, ok := d.codes[asked.Get("code")]
	delete(d.codes, asked.Get("code"))
	d.mu.Unlock()
	given := oauth2.S256ChallengeFromVerifier(asked.Get("code_verifier"))
	if !ok || !d.now().Before(grant.expires) || asked.Get("redirect_uri") != grant.redirect ||
		subtle.ConstantTimeCompare([]byte(given), []byte(grant.challenge)) == 0 {
		return refuse("invalid_grant")
	}
	more := claims{"sub": "developer"}
	if d.tenantClaim != "" {
		more[d.tenantClaim] = grant.tenant
	}
	token, err := d.issuer.token(grant.tenant, grant.scope, more, d.now())
	if err != nil {
		return http.StatusInternalServerError, map[string]any{"error": "server_error"}
	}
	return http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": int(devLifetime / time.Second), "scope": grant.scope,
	}
}

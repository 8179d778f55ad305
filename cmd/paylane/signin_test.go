package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"paylane/shared/accesstoken"
)

// person is somebody with a browser at a runner's console.
type person struct {
	url    string
	client *http.Client
}

func newPerson(t *testing.T, url string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{url, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// plant sets a cookie of the console.
func (v *person) plant(t *testing.T, name, value string) {
	t.Helper()
	at, err := url.Parse(v.url + "/console")
	if err != nil {
		t.Fatal(err)
	}
	v.client.Jar.SetCookies(at, []*http.Cookie{{Name: name, Value: value, Path: "/console"}})
}

// cookie returns the value of a cookie; empty if there is none.
func (v *person) cookie(t *testing.T, name string) string {
	t.Helper()
	at, err := url.Parse(v.url + "/console")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range v.client.Jar.Cookies(at) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// open gets a page, at a path or a URL.
func (v *person) open(t *testing.T, to string, header ...string) answer {
	t.Helper()
	return v.send(t, http.MethodGet, to, nil, header...)
}

// send sends a form; header alternates names and values.
func (v *person) send(t *testing.T, method, to string, form url.Values, header ...string) answer {
	t.Helper()
	if strings.HasPrefix(to, "/") {
		to = v.url + to
	}
	request, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := v.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

// toIssuer opens a page without a session, and returns the URL of the issuer's page that this
// leads to.
func (v *person) toIssuer(t *testing.T, page string) string {
	t.Helper()
	got := v.open(t, page)
	if to := got.header.Get("Location"); got.status != http.StatusSeeOther || !strings.HasPrefix(to, "/console/signin?to=") {
		t.Fatalf("%s: %d %v %s", page, got.status, got.header, got.body)
	}
	got = v.open(t, got.header.Get("Location"))
	if got.status != http.StatusSeeOther {
		t.Fatalf("signing in: %d %s", got.status, got.body)
	}
	return got.header.Get("Location")
}

// hiddenFields match those of a form.
var hiddenFields = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// choose sends the form of the issuer's page, and returns where that leads.
func (v *person) choose(t *testing.T, page string, choice url.Values) (callback string) {
	t.Helper()
	got := v.open(t, page)
	if got.status != http.StatusOK {
		t.Fatalf("the issuer's page: %d %s", got.status, got.body)
	}
	form := make(url.Values)
	for _, field := range hiddenFields.FindAllStringSubmatch(got.body, -1) {
		form.Set(field[1], strings.NewReplacer("&#43;", "+", "&amp;", "&").Replace(field[2]))
	}
	for name, values := range choice {
		form[name] = values
	}
	got = v.send(t, http.MethodPost, devAuthorizePath, form)
	if got.status != http.StatusSeeOther {
		t.Fatalf("the issuer's form: %d %s", got.status, got.body)
	}
	return got.header.Get("Location")
}

// as is what a developer chooses on the issuer's page.
func as(tenant string, scopes ...string) url.Values {
	return url.Values{"tenant": {tenant}, "grant": scopes}
}

// signIn signs in at a runner with the development issuer.
func signIn(t *testing.T, url string, choice url.Values) *person {
	t.Helper()
	v := newPerson(t, url)
	got := v.open(t, v.choose(t, v.toIssuer(t, "/console/orders"), choice))
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/console/orders" {
		t.Fatalf("signed in: %d %v %s", got.status, got.header, got.body)
	}
	return v
}

// form returns the token of the forms of the session.
func (v *person) form(t *testing.T) string {
	t.Helper()
	for _, field := range hiddenFields.FindAllStringSubmatch(v.open(t, "/console/orders").body, -1) {
		if field[1] == "csrf" {
			return field[2]
		}
	}
	t.Fatal("the page has no form")
	return ""
}

// startDevelopment starts a runner with the development issuer.
func startDevelopment(t *testing.T, change ...func(*config)) target {
	t.Helper()
	return startTarget(t, append([]func(*config){func(c *config) { c.Access = access{Tokens: true} }}, change...)...)
}

// TestConsoleSignIn: with the development issuer people sign in for a tenant and with scopes that
// they choose, under both of the runner's names, and sign out again.
func TestConsoleSignIn(t *testing.T) {
	g := startDevelopment(t)
	port := g.url[strings.LastIndex(g.url, ":"):]
	v := signIn(t, g.url, as("a", "orders/read", "orders/operate"))
	page := v.open(t, "/console/orders")
	if page.status != http.StatusOK || !strings.Contains(page.body, "developer · tenant <b>a</b>") || strings.Contains(page.body, v.cookie(t, "paylane-session")) {
		t.Errorf("%d %s", page.status, page.body)
	}
	token := "Bearer " + v.cookie(t, "paylane-session")
	if got := g.do(t, http.MethodGet, "/orders", token, ""); got.status != http.StatusOK {
		t.Errorf("the API takes the session's token: %d %s", got.status, got.body)
	}
	if got := g.do(t, http.MethodPost, "/orders", token, `{"amount": 1}`); got.status != http.StatusForbidden {
		t.Errorf("the session's token places orders: %d %s", got.status, got.body)
	}
	got := v.send(t, http.MethodPost, "/console/signout", url.Values{"csrf": {v.form(t)}})
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/console/signout" || v.cookie(t, "paylane-session") != "" {
		t.Errorf("signing out: %d %v", got.status, got.header)
	}
	if got := v.open(t, "/console/orders"); got.status != http.StatusSeeOther {
		t.Errorf("signed out: %d", got.status)
	}

	named := newPerson(t, "http://localhost"+port)
	back := named.choose(t, named.toIssuer(t, "/console/orders"), as("b", "orders/read"))
	if !strings.HasPrefix(back, named.url+"/console/callback?") {
		t.Fatalf("it leads back to %s", back)
	}
	if got := named.open(t, back); got.status != http.StatusSeeOther {
		t.Errorf("%d %s", got.status, got.body)
	}
	if page := named.open(t, "/console/orders"); !strings.Contains(page.body, "tenant <b>b</b>") {
		t.Errorf("%d %s", page.status, page.body)
	}

	refused := newPerson(t, g.url)
	back = refused.choose(t, refused.toIssuer(t, "/console"), url.Values{"refuse": {"yes"}})
	if got := refused.open(t, back); got.status != http.StatusForbidden || !strings.Contains(got.body, "The issuer answered: access_denied") {
		t.Errorf("refused: %d %s", got.status, got.body)
	}
}

// TestConsoleTenants: an operator over all tenants sees the orders of the one that is chosen.
func TestConsoleTenants(t *testing.T) {
	g := startDevelopment(t)
	token := func(tenant string) string {
		return "Bearer " + devToken(t, "--tenant", tenant, "--scope", everything, "--data", g.data, "--addr", strings.TrimPrefix(g.url, "http://"))
	}
	ids := map[string]string{"a": g.create(t, token("a"), `{"amount": 5}`), "b": g.create(t, token("b"), `{"amount": 6}`)}
	v := signIn(t, g.url, url.Values{"all": {"yes"}, "grant": {"orders/read", "orders/operate"}})
	if got := v.open(t, "/console/orders"); got.status != http.StatusForbidden || !strings.Contains(got.body, "name one above") {
		t.Errorf("%d %s", got.status, got.body)
	}
	for tenant, id := range ids {
		got := v.send(t, http.MethodPost, "/console/tenant", url.Values{"tenant": {tenant}, "csrf": {v.form(t)}})
		if got.status != http.StatusSeeOther {
			t.Fatalf("%d %s", got.status, got.body)
		}
		list := v.open(t, "/console/orders").body
		for other, theirs := range ids {
			if strings.Contains(list, theirs) != (other == tenant) {
				t.Errorf("of %s, the order of %s: %s", tenant, other, list)
			}
		}
		if got := v.open(t, "/console/orders/"+id); got.status != http.StatusOK || !strings.Contains(got.body, id+`\?tenant=`+tenant) {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

// TestConsoleClosed: with another issuer the console needs a client there.
func TestConsoleClosed(t *testing.T) {
	g := startTarget(t)
	if got := newPerson(t, g.url).open(t, "/console/orders"); got.status != http.StatusNotFound || !strings.Contains(got.body, "Signing in is not set up") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := g.do(t, http.MethodGet, devAuthorizePath, "", ""); got.status != http.StatusNotFound {
		t.Errorf("the development issuer's page is there: %d", got.status)
	}
}

// TestConsoleTenantClaim: the development issuer names the tenant in the claim that the runner reads.
func TestConsoleTenantClaim(t *testing.T) {
	g := startDevelopment(t, func(c *config) { c.Access.TenantClaim = "org" })
	v := signIn(t, g.url, as("shop", "orders/read"))
	if page := v.open(t, "/console/orders"); !strings.Contains(page.body, "tenant <b>shop</b>") {
		t.Errorf("%d %s", page.status, page.body)
	}
}

// authorizing are the parameters of a good request at the development issuer's page.
func authorizing(issuer, verifier string) url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {"console"}, "redirect_uri": {issuer + "/console/callback"}, "state": {"s"},
		"scope": {"orders/read orders/operate"}, "code_challenge_method": {"S256"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)},
	}
}

// ask sends a request to the development issuer as a browser on this machine does.
func ask(i *devIssuer, method, path string, form url.Values, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path+"?"+form.Encode(), nil)
	if method == http.MethodPost {
		r = httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.RemoteAddr, r.Host = "127.0.0.1:50000", strings.TrimPrefix(i.url, "http://")
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	i.handler(http.NotFoundHandler()).ServeHTTP(w, r)
	return w
}

func developmentIssuer(t *testing.T, now func() time.Time) *devIssuer {
	t.Helper()
	i, err := openIssuer(t.TempDir(), "127.0.0.1:3000")
	if err != nil {
		t.Fatal(err)
	}
	if i.people, err = newDevSignIn(i, "", now); err != nil {
		t.Fatal(err)
	}
	return i
}

// TestAttackDevelopmentPage: the page is for the runner's console, in a browser on this machine,
// and only its own form is taken.
func TestAttackDevelopmentPage(t *testing.T) {
	i := developmentIssuer(t, time.Now)
	for _, tt := range []struct {
		name   string
		change func(url.Values)
		http   func(*http.Request)
		status int
		want   string
	}{
		{"as it should be", func(url.Values) {}, nil, 200, "Choose who you are"},
		{"another client", func(q url.Values) { q.Set("client_id", "other") }, nil, 400, "Only this runner's console"},
		{"no redirect URI", func(q url.Values) { q.Del("redirect_uri") }, nil, 400, "Only this runner's console"},
		{"another site", func(q url.Values) { q.Set("redirect_uri", "https://evil.test/console/callback") }, nil, 400, "Only this runner's console"},
		{"another port", func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1:3001/console/callback") }, nil, 400, "Only this runner's console"},
		{"another path", func(q url.Values) { q.Set("redirect_uri", i.url+"/console/callback/../../x") }, nil, 400, "Only this runner's console"},
		{"a longer path", func(q url.Values) { q.Set("redirect_uri", i.url+"/console/callback?x=1") }, nil, 400, "Only this runner's console"},
		{"a user in it", func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1:3000@evil.test/console/callback") }, nil, 400, "Only this runner's console"},
		{"another machine", func(url.Values) {}, func(r *http.Request) { r.RemoteAddr = "192.168.0.2:50000" }, 403, "on the machine that runs it"},
		{"a rebound name", func(url.Values) {}, func(r *http.Request) { r.Host = "rebind.test:3000" }, 403, "on the machine that runs it"},
		{"a tunnel", func(url.Values) {}, func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") }, 403, "on the machine that runs it"},
		{"another tunnel", func(url.Values) {}, func(r *http.Request) { r.Header.Set("Forwarded", "for=192.0.2.1") }, 403, "on the machine that runs it"},
		{"a script in the state", func(q url.Values) { q.Set("state", `"><script>alert(1)</script>`) }, nil, 200, `value="&#34;&gt;&lt;script&gt;`},
		{"choices in the query", func(q url.Values) { q.Set("all", "yes"); q.Set("refuse", "yes"); q.Set("grant", "orders/write") }, nil, 200, "Choose who you are"},
		{"no PKCE", func(q url.Values) { q.Del("code_challenge") }, nil, 303, "error=invalid_request"},
		{"plain PKCE", func(q url.Values) { q.Set("code_challenge_method", "plain") }, nil, 303, "error=invalid_request"},
		{"PKCE of no method", func(q url.Values) { q.Del("code_challenge_method") }, nil, 303, "error=invalid_request"},
		{"a short challenge", func(q url.Values) { q.Set("code_challenge", "short") }, nil, 303, "error=invalid_request"},
		{"the implicit flow", func(q url.Values) { q.Set("response_type", "token") }, nil, 303, "error=unsupported_response_type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			query := authorizing(i.url, oauth2.GenerateVerifier())
			tt.change(query)
			change := []func(*http.Request){}
			if tt.http != nil {
				change = append(change, tt.http)
			}
			got := ask(i, http.MethodGet, devAuthorizePath, query, change...)
			if said := got.Body.String() + got.Header().Get("Location"); got.Code != tt.status || !strings.Contains(said, tt.want) {
				t.Errorf("%d %s", got.Code, said)
			}
			policy := got.Header().Get("Content-Security-Policy")
			if got.Header().Get("X-Frame-Options") != "DENY" || !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("%v", got.Header())
			}
			if got.Code != http.StatusOK {
				query.Set("grant", "orders/read")
				got := ask(i, http.MethodPost, devAuthorizePath, query, change...)
				if got.Code != tt.status || strings.Contains(got.Header().Get("Location"), "code=") {
					t.Errorf("its form: %d %v", got.Code, got.Header())
				}
				return
			}
			page := got.Body.String()
			for _, choice := range []string{"all", "refuse", "grant"} {
				if strings.Contains(page, `type="hidden" name="`+choice) {
					t.Errorf("the query chooses: %s", page)
				}
			}
			style := sha256.Sum256([]byte(regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)[1]))
			if !strings.Contains(policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(style[:])+"'") {
				t.Errorf("the policy does not allow the page's style: %s", policy)
			}
		})
	}
	for name, header := range map[string][2]string{"another site": {"Sec-Fetch-Site", "cross-site"}, "another origin": {"Origin", "https://evil.test"}} {
		form := authorizing(i.url, oauth2.GenerateVerifier())
		got := ask(i, http.MethodPost, devAuthorizePath, form, func(r *http.Request) { r.Header.Set(header[0], header[1]) })
		if got.Code != http.StatusForbidden {
			t.Errorf("a form of %s: %d %v", name, got.Code, got.Header())
		}
	}
}

// TestAttackCodes: a code is good once, within a minute, for whoever has its verifier.
func TestAttackCodes(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	i := developmentIssuer(t, func() time.Time { return now })
	verifier := oauth2.GenerateVerifier()
	for _, tt := range []struct {
		name   string
		change func(url.Values)
		late   time.Duration
		want   string // the error
	}{
		{"as it should be", func(url.Values) {}, 0, ""},
		{"at the last moment", func(url.Values) {}, devCodeLifetime - 1, ""},
		{"after a minute", func(url.Values) {}, devCodeLifetime, "invalid_grant"},
		{"another verifier", func(f url.Values) { f.Set("code_verifier", oauth2.GenerateVerifier()) }, 0, "invalid_grant"},
		{"no verifier", func(f url.Values) { f.Del("code_verifier") }, 0, "invalid_grant"},
		{"the challenge for the verifier", func(f url.Values) { f.Set("code_verifier", oauth2.S256ChallengeFromVerifier(verifier)) }, 0, "invalid_grant"},
		{"another redirect URI", func(f url.Values) { f.Set("redirect_uri", "http://localhost:3000/console/callback") }, 0, "invalid_grant"},
		{"no redirect URI", func(f url.Values) { f.Del("redirect_uri") }, 0, "invalid_grant"},
		{"another client", func(f url.Values) { f.Set("client_id", "other") }, 0, "invalid_client"},
		{"another code", func(f url.Values) { f.Set("code", "guessed") }, 0, "invalid_grant"},
		{"no code", func(f url.Values) { f.Del("code") }, 0, "invalid_grant"},
		{"a password", func(f url.Values) { f.Set("grant_type", "password") }, 0, "unsupported_grant_type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chosen := authorizing(i.url, verifier)
			chosen["grant"], chosen["tenant"] = []string{"orders/read", "orders/write"}, []string{"shop"}
			location, err := url.Parse(ask(i, http.MethodPost, devAuthorizePath, chosen).Header().Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			back := location.Query()
			if back.Get("state") != "s" || back.Get("iss") != i.url {
				t.Errorf("it leads to %s", location)
			}
			form := url.Values{
				"grant_type": {"authorization_code"}, "client_id": {"console"}, "code": {back.Get("code")},
				"redirect_uri": {i.url + "/console/callback"}, "code_verifier": {verifier},
			}
			good := url.Values{}
			for name, values := range form {
				good[name] = values
			}
			tt.change(form)
			now = now.Add(tt.late)
			var got struct {
				Error       string
				AccessToken string `json:"access_token"`
			}
			answered := ask(i, http.MethodPost, devTokenPath, form)
			if err := json.Unmarshal(answered.Body.Bytes(), &got); err != nil || got.Error != tt.want || (answered.Code == http.StatusOK) != (tt.want == "") {
				t.Fatalf("%d %s", answered.Code, answered.Body)
			}
			if got.AccessToken != "" {
				verify := accesstoken.New(accesstoken.Config{
					Issuer: i.url, Audience: []string{devAudience}, Client: &http.Client{Transport: i}, Now: func() time.Time { return now },
				})
				claims, err := verify.Verify(t.Context(), got.AccessToken)
				if err != nil || claims.Text("client_id") != "shop" || claims.Text("scope") != "orders/read" {
					t.Errorf("%v, %v", claims, err)
				}
			}
			used := form.Get("code") == good.Get("code") && form.Get("client_id") == "console" && form.Get("grant_type") == "authorization_code"
			if again := ask(i, http.MethodPost, devTokenPath, good); used && again.Code != http.StatusBadRequest {
				t.Errorf("the code is good again: %d", again.Code)
			}
		})
	}
	if got := ask(i, http.MethodGet, devTokenPath, nil); got.Code != http.StatusBadRequest {
		t.Errorf("GET: %d %s", got.Code, got.Body)
	}
}

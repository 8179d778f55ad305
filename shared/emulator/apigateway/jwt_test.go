package apigateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"paylane/shared/accesstoken"
	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/emulator/apigateway"
)

const issuerURL = "https://issuer.test"

// withTokens are an API's properties with an authorizer for tokens of issuerURL.
const withTokens = "Auth: {DefaultAuthorizer: J, Authorizers: {J: {JwtConfiguration: {issuer: '" + issuerURL + "', audience: [web, paylane]}}}}"

// asks is a route's property: a token must have one of the scopes.
func asks(scopes string) string { return ", Auth: {AuthorizationScopes: [" + scopes + "]}" }

// guarded is an API with the authorizers of its template, and the options for it.
func guarded(t tb, a api, issuer *tokentest.Issuer) apigateway.Options {
	t.Helper()
	return guardedWith(t, a, accesstoken.Config{Client: issuer.Client(), Now: tokensAt})
}

func guardedWith(t tb, a api, c accesstoken.Config) apigateway.Options {
	t.Helper()
	jwt, err := apigateway.NewJWT(a.template(t).APIs[0], c)
	if err != nil {
		t.Fatal(err)
	}
	return apigateway.Options{Authorizer: jwt}
}

// tokensAt is the clock, at a whole second, which a float64 holds exactly.
func tokensAt() time.Time { return time.Unix(1783677600, 0) }

// getWith is a GET with headers, which are whole lines.
func getWith(target string, headers ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: api.test\r\n" + strings.Join(append(headers, "\r\n"), "\r\n")
}

func bearer(token string) string { return "Authorization: Bearer " + token }

const unauthorized = `{"message":"Unauthorized"}`

func TestConformanceTokens(t *testing.T) {
	issuer := tokentest.New(t, issuerURL)
	token := func(other map[string]any) string { return issuer.Token(t, issuer.Claims(tokensAt(), other)) }
	a := api{properties: withTokens, routes: []string{
		path("GET", "/any"), path("GET", "/two") + asks("orders/read, orders/write"),
	}}
	const malformed = `Bearer scope="" error="invalid_token" error_description="the token is malformed"`
	type request struct {
		name, raw string
		status    int
		body      string // "" is the function's
		challenge string
	}
	rows := []request{
		{"A17 token missing", get("/any"), 401, unauthorized, "Bearer"},
		{"A17 token empty", getWith("/any", "Authorization: "), 401, unauthorized, "Bearer"},
		{"A17 Bearer and nothing", getWith("/any", "Authorization: Bearer "), 401, unauthorized, malformed},
		{"A17 another scheme", getWith("/any", "Authorization: Basic YTpi"), 401, unauthorized, malformed},
		{"A17 wrong aud", getWith("/any", bearer(token(map[string]any{"aud": "x"}))), 401, unauthorized,
			`Bearer scope="" error="invalid_token" error_description="the token does not have a valid audience"`},
		{"A17 good token", getWith("/any", bearer(token(nil))), 200, "", ""},
		{"A17 bare token", getWith("/any", "Authorization: "+token(nil)), 200, "", ""},
		{"A18 client_id and another aud", getWith("/any", bearer(token(map[string]any{"client_id": "web", "aud": "x"}))), 401, unauthorized,
			`Bearer scope="" error="invalid_token" error_description="the token does not have a valid audience"`},
		{"A18 client_id without aud", getWith("/any", bearer(token(map[string]any{"client_id": "web", "aud": nil}))), 200, "", ""},
		{"A19 no scope", getWith("/two", bearer(token(nil))), 403, `{"message":"Forbidden"}`, ""},
		{"A19 another scope", getWith("/two", bearer(token(map[string]any{"scope": "orders/operate orders/rea"}))), 403, `{"message":"Forbidden"}`, ""},
		{"A19 one of two", getWith("/two", bearer(token(map[string]any{"scope": "orders/operate orders/read"}))), 200, "", ""},
		{"A19 one of two in scp", getWith("/two", bearer(token(map[string]any{"scp": []string{"orders/write"}}))), 200, "", ""},
		{"two good tokens", getWith("/any", bearer(token(nil)), bearer(token(nil))), 401, unauthorized, malformed},
		{"a good token and an empty one", getWith("/any", bearer(token(nil)), "authorization:"), 401, unauthorized, malformed},
		{"a good token behind another", getWith("/any", "Authorization: x", bearer(token(nil))), 401, unauthorized, malformed},
	}
	for name, bad := range issuer.Bad(t, tokensAt(), nil) {
		rows = append(rows, request{"A17 " + name, getWith("/any", bearer(bad)), 401, unauthorized, "invalid_token"})
	}
	for _, m := range modes {
		address := a.serve(t, m, echo, guarded(t, a, issuer))
		for _, row := range rows {
			t.Run(row.name+" "+m.name, func(t *testing.T) {
				got := send(t, address, row.raw)
				given := got.header.Get("WWW-Authenticate")
				if got.status != row.status || row.body != "" && got.body != row.body {
					t.Errorf("%d %s", got.status, got.body)
				}
				if row.challenge == "invalid_token" && strings.HasPrefix(given, `Bearer scope="" error="invalid_token" error_description="the token `) {
					return
				}
				diff(t, "www-authenticate", row.challenge, given)
			})
		}
	}
}

// TestConformanceA20: claims are strings; scopes are null if the route requires none.
func TestConformanceA20(t *testing.T) {
	issuer := tokentest.New(t, issuerURL)
	a := api{properties: withTokens, routes: []string{path("GET", "/any"), path("GET", "/one") + asks("b")}}
	claims := issuer.Claims(tokensAt(), map[string]any{
		"sub": "u1", "scope": "a b", "cognito:groups": []string{"admin", "ops"}, "verified": true, "nothing": json.RawMessage("null"),
	})
	const said = `{"jwt":{"claims":{"aud":"paylane","cognito:groups":"[admin ops]","exp":"1783681200","iat":"1783677600",` +
		`"iss":"https://issuer.test","nbf":"1783677600","scope":"a b","sub":"u1","verified":"true"},"scopes":`
	for _, m := range modes {
		t.Run("A20 "+m.name, func(t *testing.T) {
			address := a.serve(t, m, echo, guarded(t, a, issuer))
			authorizer := event(t, send(t, address, getWith("/any", bearer(issuer.Token(t, claims))))).RequestContext.Authorizer
			diff(t, "claims", "[admin ops] 1783681200 true", authorizer.JWT.Claims["cognito:groups"]+" "+
				authorizer.JWT.Claims["exp"]+" "+authorizer.JWT.Claims["verified"])
			diff(t, "scopes", []string(nil), authorizer.JWT.Scopes)
			authorizer = event(t, send(t, address, getWith("/one", bearer(issuer.Token(t, claims))))).RequestContext.Authorizer
			diff(t, "all scopes of the token", []string{"a", "b"}, authorizer.JWT.Scopes)
		})
	}
	g, _ := a.gateway(t, mode{json: true}, rawEcho, guarded(t, a, issuer))
	for target, scopes := range map[string]string{"/any": "null", "/one": `["a","b"]`} {
		var e struct {
			RequestContext struct{ Authorizer json.RawMessage }
		}
		if err := json.Unmarshal([]byte(record(g, "GET", target, "Authorization", issuer.Token(t, claims)).body), &e); err != nil {
			t.Fatal(err)
		}
		diff(t, "on the wire, "+target, said+scopes+"}}", string(e.RequestContext.Authorizer))
	}
}

func TestIdentitySources(t *testing.T) {
	issuer := tokentest.New(t, issuerURL)
	token := issuer.Token(t, issuer.Claims(tokensAt(), nil))
	other := issuer.Token(t, issuer.Claims(tokensAt(), map[string]any{"aud": "other"}))
	from := func(source string) api {
		return api{routes: []string{""}, properties: "Auth: {DefaultAuthorizer: J, Authorizers: {J: {IdentitySource: '" + source +
			"', JwtConfiguration: {issuer: '" + issuerURL + "', audience: [web, paylane]}}}}"}
	}
	for _, row := range []struct {
		name, source, raw string
		status            int
	}{
		{"a header in another case", "$request.header.x-TOKEN", getWith("/", "X-Token: "+token), 200},
		{"Authorization is another header then", "$request.header.x-token", getWith("/", bearer(token)), 401},
		{"query", "$request.querystring.access_token", get("/?access_token=" + token), 200},
		{"query with Bearer", "$request.querystring.t", get("/?t=Bearer+" + token), 200},
		{"query with escapes", "$request.querystring.t", get("/?%74=" + strings.ReplaceAll(token, ".", "%2E")), 200},
		{"query without it", "$request.querystring.t", get("/?T=" + token), 401},
		{"query with it twice", "$request.querystring.t", get("/?t=" + token + "&t=" + token), 401},
		{"query with another behind it", "$request.querystring.t", get("/?t=" + token + "&t=" + other), 401},
		{"query with it escaped again", "$request.querystring.t", get("/?t=" + other + "&%74=" + token), 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := from(row.source)
			diff(t, "status", row.status, send(t, a.serve(t, modes[0], echo, guarded(t, a, issuer)), row.raw).status)
		})
	}
	for _, source := range []string{"$request.body.token", "$request.header.", "$context.identity.sourceIp", "$request.header"} {
		_, err := apigateway.NewJWT(from(source).template(t).APIs[0], accesstoken.Config{})
		if err == nil || !strings.Contains(err.Error(), "authorizer J") || !strings.Contains(err.Error(), source) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// TestNoKeys: an unreachable issuer is reported to each caller as on AWS, and logged once
// for all of them, with the reason and without any of the token. A caller who left is not
// logged.
func TestNoKeys(t *testing.T) {
	issuer := tokentest.New(t, issuerURL)
	a := api{properties: withTokens, routes: []string{""}}
	down := tokentest.New(t, "https://another.test") // whose document names itself
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	o := guardedWith(t, a, accesstoken.Config{Client: down.Client(), Now: tokensAt, Log: logger})
	o.Logger = logger
	g, _ := a.gateway(t, modes[0], echo, o)
	token := issuer.Token(t, issuer.Claims(tokensAt(), nil))
	for range 3 {
		got := record(g, "GET", "/", "Authorization", "Bearer "+token)
		diff(t, "answer", []any{401, unauthorized, `Bearer scope="" error="invalid_token" error_description="OIDC discovery endpoint communication error"`},
			[]any{got.status, got.body, got.header.Get("WWW-Authenticate")})
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "names another issuer") || strings.Contains(text, token[:20]) {
		t.Errorf("the log says:\n%s", text)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(gone)
	r.Header.Set("Authorization", token)
	w := httptest.NewRecorder()
	o = guarded(t, a, issuer)
	log.Reset()
	o.Logger = logger
	g, _ = a.gateway(t, modes[0], echo, o)
	g.ServeHTTP(w, r)
	if w.Code == http.StatusOK || log.Len() > 0 {
		t.Errorf("a request that ended before its token was verified: status %d, the log has %q", w.Code, &log)
	}
}

// FuzzAuthorizer: a request is let in with the token, with or without "Bearer " before it in
// any case, if the signed claims follow the rules, and in no other case. {token} in the
// header is replaced by the token.
func FuzzAuthorizer(f *testing.F) {
	issuer := tokentest.New(f, issuerURL)
	a := api{properties: withTokens, routes: []string{path("GET", "/") + asks("r, w")}}
	g, _ := a.gateway(f, modes[0], echo, guarded(f, a, issuer))
	const good = `{"iss":"` + issuerURL + `","aud":"web","exp":1783677601,"scope":"r"}`
	for _, header := range []string{"{token}", "Bearer {token}", "bearer {token}", "{token},{token}", "{token}.", " {token}", "{token}\n", "", "Bearer a.b.c"} {
		f.Add(header, []byte(good))
	}
	for _, token := range issuer.Bad(f, tokensAt(), nil) {
		f.Add("Bearer "+token, []byte(good))
	}
	for _, claims := range []string{
		`{"iss":"` + issuerURL + `","aud":["x","web"],"exp":1783677600.124,"scp":["w",1],"nbf":1783677600,"iat":null}`,
		`{"iss":"` + issuerURL + `","client_id":"web","exp":1e300,"scope":"a r","o":{"k":[{}]}}`,
		`{"iss":"` + issuerURL + `","client_id":"web","aud":null,"exp":9e9,"scope":"a r"}`, `null`, `[]`, `{}`, ``,
	} {
		f.Add("{token}", []byte(claims))
	}
	f.Fuzz(func(t *testing.T, header string, claims []byte) {
		token := issuer.Token(t, claims)
		header = strings.ReplaceAll(header, "{token}", token)
		got := record(g, "GET", "/", "Authorization", header)
		challenge := got.header.Get("WWW-Authenticate")
		scheme, after, _ := strings.Cut(header, " ")
		signed, want := header == token || strings.EqualFold(scheme, "Bearer") && after == token, 401
		if signed {
			want = allowed(claims)
		}
		if got.status != want {
			t.Fatalf("%d %s, want %d; header %q, claims %s", got.status, challenge, want, header, claims)
		}
		if (got.status == 401) != strings.HasPrefix(challenge, "Bearer") {
			t.Errorf("%d with the challenge %q", got.status, challenge)
		}
		if got.status != 200 {
			return
		}
		var decoded map[string]any
		decode(t, claims, &decoded)
		seen := event(t, got).RequestContext.Authorizer.JWT
		for name, value := range decoded {
			if _, there := seen.Claims[name]; there != (value != nil) {
				t.Errorf("claim %q: %v, and in the event %q", name, value, seen.Claims)
			}
		}
		if len(seen.Scopes) == 0 {
			t.Error("the event has no scopes")
		}
	})
}

// allowed states the rules a second time: the outcome of a request with these claims.
func allowed(claims []byte) int {
	var c map[string]any
	decoder := json.NewDecoder(bytes.NewReader(claims))
	decoder.UseNumber()
	if decoder.Decode(&c) != nil || c["iss"] != issuerURL {
		return 401
	}
	after := func(name string) (bool, bool) {
		number, ok := c[name].(json.Number)
		at, _ := number.Float64()
		return at > float64(tokensAt().Unix()), ok
	}
	if later, ok := after("exp"); !ok || !later {
		return 401
	}
	for _, name := range []string{"nbf", "iat"} {
		if later, ok := after(name); hasKey(c, name) && (!ok || later) {
			return 401
		}
	}
	meant, scopes := "client_id", "scp"
	if hasKey(c, "aud") {
		meant = "aud"
	}
	if hasKey(c, "scope") {
		scopes = "scope"
	}
	if !slices.ContainsFunc(words(c[meant]), func(s string) bool { return s == "web" || s == "paylane" }) {
		return 401
	}
	granted := strings.Fields(strings.Join(words(c[scopes]), " "))
	if !slices.Contains(granted, "r") && !slices.Contains(granted, "w") {
		return 403
	}
	return 200
}
func hasKey(c map[string]any, name string) bool {
	_, there := c[name]
	return there
}

// words returns the strings of a claim that is a string or a list.
func words(claim any) (all []string) {
	if list, ok := claim.([]any); ok {
		for _, item := range list {
			if one, ok := item.(string); ok {
				all = append(all, one)
			}
		}
	} else if one, ok := claim.(string); ok {
		all = []string{one}
	}
	return all
}

func decode(t *testing.T, claims []byte, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(claims))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		t.Fatal(err)
	}
}

package main

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/accesstoken"
	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/emulator/template"
)

// devToken returns what "paylane token" prints.
func devToken(t *testing.T, args ...string) string {
	t.Helper()
	got := execute(t, append([]string{"token"}, args...)...)
	if got.status != exitOK || got.err != "" {
		t.Fatalf("status %d: %s", got.status, got.err)
	}
	token, rest, _ := strings.Cut(got.out, "\n")
	if token == "" || rest != "" {
		t.Fatalf("it printed %q", got.out)
	}
	return token
}

// TestDevelopmentIssuer: the runner accepts the command's tokens, each for its own tenant
// and scopes, and another runner does not. The runner may listen on all addresses.
func TestDevelopmentIssuer(t *testing.T) {
	for name, listen := range map[string]string{"loopback": "127.0.0.1:0", "all addresses": "0.0.0.0:0"} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t)
			c.Addr, c.Access.Tokens = listen, true
			g := target{url: startRunner(t, c)}
			_, port, err := net.SplitHostPort(strings.TrimPrefix(g.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			host, _, _ := net.SplitHostPort(listen)
			token := func(args ...string) string {
				return "Bearer " + devToken(t, append(args, "--data", c.Data, "--addr", net.JoinHostPort(host, port))...)
			}
			g.url = "http://" + net.JoinHostPort("127.0.0.1", port)
			id := g.create(t, token("--tenant", "a", "--scope", "orders/write"), `{"amount": 5}`)
			for _, ask := range []struct {
				name, authorization string
				status              int
			}{
				{"its own", token("--tenant", "a"), 200},
				{"another tenant", token("--tenant", "b"), 404},
				{"another scope", token("--tenant", "a", "--scope", "orders/write"), 403},
				{"none", "", 401},
				{"another runner's address", "Bearer " + devToken(t, "--tenant", "a", "--data", c.Data, "--addr", "127.0.0.1:1"), 401},
				{"another runner's key", "Bearer " + devToken(t, "--tenant", "a", "--data", t.TempDir(), "--addr", "127.0.0.1:"+port), 401},
			} {
				if got := g.do(t, http.MethodGet, "/orders/"+id, ask.authorization, ""); got.status != ask.status {
					t.Errorf("%s: %d %s, want %d", ask.name, got.status, got.body, ask.status)
				}
			}
			var document struct{ Issuer string }
			got := g.do(t, http.MethodGet, "/.well-known/openid-configuration", "", "")
			if err := json.Unmarshal([]byte(got.body), &document); err != nil || document.Issuer != g.url {
				t.Errorf("%d %s", got.status, got.body)
			}
			if strings.Contains(g.do(t, http.MethodGet, "/.well-known/jwks.json", "", "").body, `"d"`) {
				t.Error("the private key is published")
			}
		})
	}
}

// TestOwnKeys: the runner verifies the development issuer's tokens without a connection to
// itself, which it might not accept.
func TestOwnKeys(t *testing.T) {
	issuer, err := openIssuer(t.TempDir(), "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.token("a", "orders/read", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	verifier := accesstoken.New(accesstoken.Config{
		Issuer: issuer.url, Audience: []string{devAudience}, Client: &http.Client{Transport: issuer},
	})
	if claims, err := verifier.Verify(t.Context(), token); err != nil || claims.Text("client_id") != "a" {
		t.Errorf("%v, %v", claims, err)
	}
}

// TestStreamVariables: the stream function's variables decide which tokens are good, with
// the same defaults as on AWS.
func TestStreamVariables(t *testing.T) {
	issuer := tokentest.New(t, "")
	server := httptest.NewServer(issuer)
	defer server.Close()
	issuer.URL = server.URL
	text := string(hurriedTemplate(t))
	from := strings.Index(text, "  Stream:\n")
	if from < 0 {
		t.Fatal("template.yaml has no function Stream")
	}
	for name, line := range map[string]string{
		"AUTH_MODE": "OTHER: x", "TENANT_CLAIM": "ANOTHER: y", "AUDIENCE": `AUDIENCE: "x, followers"`,
	} {
		text = text[:from] + setProperty(t, text[from:], name, line)
	}
	c := testConfig(t)
	c.Template = filepath.Join(t.TempDir(), "template.yaml")
	c.Access = access{Tokens: true, Issuer: issuer.URL, Audience: tokentest.Audience}
	if err := os.WriteFile(c.Template, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := target{url: startRunner(t, c)}
	token := func(audience string) string {
		return "Bearer " + issuer.Token(t, issuer.Claims(time.Now(), map[string]any{"aud": audience, "client_id": "a", "scope": everything}))
	}
	placed := g.do(t, http.MethodPost, "/orders", token(tokentest.Audience), `{"amount": 5, "paymentToken": "tok_declined"}`)
	for audience, status := range map[string]int{"followers": 200, tokentest.Audience: 401} {
		if got := g.do(t, http.MethodGet, placed.header.Get("Location")+"/events", token(audience), ""); got.status != status {
			t.Errorf("for %s: %d %s, want %d", audience, got.status, got.body, status)
		}
	}
}

// TestDevelopmentKey: concurrent callers get one key, which only its owner can read.
func TestDevelopmentKey(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	kids := make([]string, 4)
	var wg sync.WaitGroup
	for i := range kids {
		wg.Go(func() {
			issuer, err := openIssuer(folder, defaultAddr)
			if err != nil {
				t.Error(err)
				return
			}
			kids[i] = issuer.kid
		})
	}
	wg.Wait()
	for _, kid := range kids {
		if kid != kids[0] || kid == "" {
			t.Errorf("the keys are %q", kids)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 1 || files[0].Name() != devKeyFile {
		t.Errorf("%v, %v", files, err)
	}
	path := filepath.Join(folder, devKeyFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for name, text := range map[string]string{
		"not PEM": "nonsense", "not a key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openIssuer(folder, defaultAddr); err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTokenCommand: on failure the command reports why, and prints no token.
func TestTokenCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"no tenant", []string{"--data", t.TempDir()}, exitUsage, "--tenant is missing"},
		{"an argument", []string{"--data", t.TempDir(), "--tenant", "a", "b"}, exitUsage, `unexpected argument "b"`},
		{"no address", []string{"--data", t.TempDir(), "--tenant", "a", "--addr", "x"}, exitUsage, "not host:port"},
		{"no folder", []string{"--data", file, "--tenant", "a"}, exitFailed, file},
		{"no value", []string{"--data", t.TempDir(), "--tenant", "a", "--claim", "email"}, exitUsage, "must be name=value"},
		{"no name", []string{"--data", t.TempDir(), "--tenant", "a", "--claim", "=x"}, exitUsage, "must be name=value"},
		{"no time", []string{"--data", t.TempDir(), "--tenant", "a", "--claim", "exp=tomorrow"}, exitUsage, "seconds since 1970"},
		{"no JSON", []string{"--data", t.TempDir(), "--tenant", "a", "--claim", `groups=["a"`}, exitUsage, "not JSON"},
		{"more than JSON", []string{"--data", t.TempDir(), "--tenant", "a", "--claim", `groups=["a"] b`}, exitUsage, "not JSON"},
	} {
		got := execute(t, append([]string{"token"}, tt.args...)...)
		if got.status != tt.status || got.out != "" || !strings.HasPrefix(got.err, "paylane token: ") || !strings.Contains(got.err, tt.want) {
			t.Errorf("%s: status %d, %q, %s", tt.name, got.status, got.out, got.err)
		}
	}
}

// TestTokenClaims: claims are added and replaced, each as what its value looks like.
func TestTokenClaims(t *testing.T) {
	got := execute(t, "token", "--data", t.TempDir(), "--tenant", "shop",
		"--claim", "email=ann@example.com", "--claim", "cognito:groups=a, b", "--claim", "email_verified=true", "--claim", "phone=0123",
		"--claim", `name="Doe, Ann"`, "--claim", `address={"zip":"1","lines":2}`, "--claim", `roles=["a,b"]`,
		"--claim", "exp=4102444800", "--claim", "iat=1.5", "--claim", "aud=web", "--claim", "sub=x=y", "--claim", "scope=")
	if got.status != exitOK {
		t.Fatalf("status %d, %s", got.status, got.err)
	}
	parts := strings.Split(strings.TrimSpace(got.out), ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"address":{"lines":2,"zip":"1"},"aud":"web","client_id":"shop","cognito:groups":["a","b"],"email":"ann@example.com",` +
		`"email_verified":true,"exp":4102444800,"iat":1.5,"iss":"http://127.0.0.1:3000","name":"Doe, Ann","phone":"0123","roles":["a,b"],"sub":"x=y"}`
	if string(payload) != want {
		t.Errorf("the claims are\n%s, want\n%s", payload, want)
	}
}

// TestFilledParameters: the program fills in the parameters that a template leaves to it,
// under their names there, and no others of any template.
func TestFilledParameters(t *testing.T) {
	const parameters = "Parameters:\n  AuthMode: {Type: String, Default: session}\n  Issuer: {Type: String, Default: i}\n" +
		"  Mode: {Type: String, Default: m}\n  Who: {Type: String, Default: w}\nResources: {}\n"
	const own = "Metadata: {Paylane: {Parameters: {AuthMode: Mode, Issuer: Issuer, TenantClaim: Who}}}\n"
	tokens := access{Tokens: true, Issuer: "https://i.test", Audience: "a", TenantClaim: "org"}
	for _, tt := range []struct {
		name, text string
		config     config
		want       map[string]string
	}{
		{"somebody else's", parameters, config{Access: tokens, Parameters: map[string]string{"AuthMode": "x"}}, map[string]string{"AuthMode": "x"}},
		{"anyone may call", own + parameters, config{}, map[string]string{"Mode": "none"}},
		{"tokens", own + parameters, config{Access: tokens, Parameters: map[string]string{"AuthMode": "x"}},
			map[string]string{"Mode": "oidc", "Issuer": "https://i.test", "Who": "org", "AuthMode": "x"}},
	} {
		tt.config.Template = filepath.Join(t.TempDir(), "template.yaml")
		if err := os.WriteFile(tt.config.Template, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, tt.config.parameters()); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// TestParametersOfOthers: what a flag sets can't be given as a parameter as well, unless it
// is a parameter of somebody else's.
func TestParametersOfOthers(t *testing.T) {
	theirs := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(theirs, []byte("Parameters: {AuthMode: {Type: String}}\nResources: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(root, "template.yaml")
	for _, tt := range []struct{ template, flags, want string }{
		{ours, "--auth jwt --parameter Issuer=x", "use --issuer"},
		{ours, "--parameter AuthMode=oidc", "use --auth jwt instead"},
		{theirs, "--auth jwt --tenant-claim org", "no parameter for it"},
		{ours, "--auth jwt --claim a=b", "makes tokens with claims"},
	} {
		got := execute(t, append([]string{"--data", t.TempDir(), "--template", tt.template}, strings.Fields(tt.flags)...)...)
		if got.status != exitUsage || !strings.Contains(got.err, tt.want) {
			t.Errorf("%s: status %d, %s", tt.flags, got.status, got.err)
		}
	}
	if got := execute(t, "check", "--template", theirs, "--parameter", "AuthMode=oidc"); got.status != exitOK {
		t.Errorf("status %d, %s", got.status, got.err)
	}
}

// TestStartPage shows who may call, and how to get a token.
func TestStartPage(t *testing.T) {
	for name, tt := range map[string]struct {
		config config
		own    *devIssuer
		routes []template.Route
		want   []string
	}{
		"anyone": {config{}, nil, nil, []string{"any program on this machine", "--auth jwt"}},
		"an issuer": {config{Access: access{Tokens: true, Issuer: "https://i.test", Audience: "a"}}, nil, nil,
			[]string{"access tokens of https://i.test for a"}},
		"its own": {config{Addr: defaultAddr, Data: defaultData, Access: access{Tokens: true, Issuer: "http://" + defaultAddr, Audience: devAudience}},
			&devIssuer{url: "http://" + defaultAddr},
			[]template.Route{
				{Scopes: []string{"w", "r"}, Authorizer: &template.JWTAuthorizer{Issuer: "http://" + defaultAddr}},
				{Scopes: []string{"r"}, Authorizer: &template.JWTAuthorizer{Issuer: "http://" + defaultAddr}},
			},
			[]string{"for development: go run ./cmd/paylane token --tenant a --scope 'r w'\n"}},
		"its own elsewhere": {config{Addr: ":80", Data: "d'd", Access: access{Tokens: true}},
			&devIssuer{url: "http://127.0.0.1:80"}, nil, []string{` --scope '' --addr 127.0.0.1:80 --data 'd'\''d'` + "\n"}},
		"in place of another": {config{Addr: defaultAddr, Data: defaultData, Access: access{Tokens: true}}, &devIssuer{url: "http://" + defaultAddr},
			[]template.Route{
				{Scopes: []string{"w"}, Authorizer: &template.JWTAuthorizer{Name: "Web", Issuer: "https://web.test/", Audience: []string{"web"}}},
				{Scopes: []string{"x"}, Authorizer: &template.JWTAuthorizer{Name: "Other", Issuer: "https://other.test/?a&b", Audience: []string{"o"}}},
			},
			[]string{
				"for development: go run ./cmd/paylane token --tenant a --scope 'w x'\n",
				"for Web alone: go run ./cmd/paylane token --tenant a --scope w --claim iss=https://web.test/ --claim aud=web\n",
				"for Other alone: go run ./cmd/paylane token --tenant a --scope x --claim 'iss=https://other.test/?a&b' --claim aud=o\n",
			}},
	} {
		lines := accessLines(tt.config, &template.Template{APIs: []template.HTTPAPI{{Routes: tt.routes}}}, tt.own)
		text := strings.Join(lines, "\n") + "\n"
		for _, part := range tt.want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is not in:\n%s", name, part, text)
			}
		}
	}
}

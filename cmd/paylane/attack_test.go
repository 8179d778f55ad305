package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/accesstoken/tokentest"
)

// target is a runner to attack. It requires the tokens of a test's issuer.
type target struct {
	url    string
	data   string
	log    *lines
	issuer *tokentest.Issuer
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func startTarget(t *testing.T, change ...func(*config)) target {
	t.Helper()
	issuer := tokentest.New(t, "")
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	issuer.URL = server.URL
	c := testConfig(t)
	g := target{data: c.Data, log: &lines{}, issuer: issuer}
	c.Log = slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Access = access{Tokens: true, Issuer: issuer.URL, Audience: "web, " + tokentest.Audience}
	for _, f := range change {
		f(&c)
	}
	g.url = startRunner(t, c)
	return g
}

// everything is all scopes.
const everything = "orders/read orders/write orders/operate"

// of returns an Authorization header of a tenant.
func (g target) of(t *testing.T, tenant, scope string) string {
	t.Helper()
	return "Bearer " + g.issuer.Token(t, g.issuer.Claims(time.Now(), map[string]any{"client_id": tenant, "scope": scope}))
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; header alternates names and values.
func (g target) do(t *testing.T, method, path, authorization, body string, header ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

// raw sends a request that net/http's client would not.
func (g target) raw(t *testing.T, method, path, body string, lines ...string) answer {
	t.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if !strings.Contains(strings.Join(lines, "\n"), "Host: ") {
		lines = append(lines, "Host: runner.test")
	}
	if !strings.Contains(strings.Join(lines, "\n"), "Content-Type: ") {
		lines = append(lines, "Content-Type: application/json")
	}
	lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)), "Connection: close")
	if _, err := fmt.Fprintf(connection, "%s %s HTTP/1.1\r\n%s\r\n\r\n%s", method, path, strings.Join(lines, "\r\n"), body); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

func read(t *testing.T, response *http.Response) answer {
	t.Helper()
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// create places an order and returns its id.
func (g target) create(t *testing.T, authorization, body string, header ...string) string {
	t.Helper()
	got := g.do(t, http.MethodPost, "/orders", authorization, body, header...)
	var o struct{ ID string }
	if err := json.Unmarshal([]byte(got.body), &o); err != nil || got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	return o.ID
}

// TestAttackTokens: only good tokens pass the gateway, and the stream, which verifies tokens
// itself.
func TestAttackTokens(t *testing.T) {
	g := startTarget(t)
	good := g.of(t, "mine", everything)
	if got := g.do(t, http.MethodGet, "/orders", good, ""); got.status != http.StatusOK {
		t.Fatalf("a good token: %d %s", got.status, got.body)
	}
	type attack struct {
		name     string
		lines    []string
		status   int
		required string // in WWW-Authenticate
	}
	attacks := []attack{
		{"token missing", nil, 401, "Bearer"},
		{"two Authorization headers", []string{"Authorization: " + good, "Authorization: " + good}, 401, "invalid_token"},
		{"two Authorization headers, one of them empty", []string{"Authorization: " + good, "Authorization:"}, 401, "invalid_token"},
		{"two tokens in one header", []string{"Authorization: " + good + ", " + good}, 401, "invalid_token"},
		{"token in the query only", nil, 401, "Bearer"},
		{"scope missing", []string{"Authorization: " + g.of(t, "mine", "")}, 403, ""},
		{"scope of another route", []string{"Authorization: " + g.of(t, "mine", "orders/write orders/operate")}, 403, ""},
		{"scope that only begins like it", []string{"Authorization: " + g.of(t, "mine", "orders/readers orders")}, 403, ""},
	}
	for name, token := range g.issuer.Bad(t, time.Now(), map[string]any{"client_id": "mine", "scope": everything}) {
		if name == "not yet valid" || name == "issued in the future" { // by a second: the runner's clock is real
			token = g.issuer.Token(t, g.issuer.Claims(time.Now().Add(time.Minute), map[string]any{"scope": everything}))
		}
		attacks = append(attacks, attack{name, []string{"Authorization: Bearer " + token}, 401, "invalid_token"})
	}
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			want := map[int]string{401: `{"message":"Unauthorized"}`, 403: `{"message":"Forbidden"}`}[a.status]
			got := g.raw(t, http.MethodGet, "/orders?access_token="+good[len("Bearer "):], "", a.lines...)
			if challenge := got.header.Get("WWW-Authenticate"); got.status != a.status || got.body != want || !strings.Contains(challenge, a.required) {
				t.Errorf("%d %s, %q", got.status, got.body, challenge)
			}
			if got := g.raw(t, http.MethodGet, "/orders/x/events", "", a.lines...); got.status != a.status {
				t.Errorf("the stream: %d %s", got.status, got.body)
			}
		})
	}
	for route, scopes := range map[string]string{
		"POST /orders": "orders/read orders/operate", "POST /orders/x/cancel": "orders/read orders/operate",
		"POST /orders/x/refund": "orders/read orders/operate", "POST /orders/x/retry": "orders/read orders/write",
		"POST /orders/x/erase": "orders/read orders/write",
		"GET /orders/x":        "orders/write orders/operate", "HEAD /orders": "orders/write orders/operate",
		"HEAD /orders/x": "orders/write orders/operate",
	} {
		t.Run("scope missing for "+route, func(t *testing.T) {
			method, path, _ := strings.Cut(route, " ")
			if got := g.do(t, method, path, g.of(t, "mine", scopes), ""); got.status != http.StatusForbidden {
				t.Errorf("%d %s", got.status, got.body)
			}
			if got := g.do(t, method, path, "", ""); got.status != http.StatusUnauthorized {
				t.Errorf("without a token: %d %s", got.status, got.body)
			}
		})
	}
	t.Run("a token that names no tenant", func(t *testing.T) {
		for _, claims := range []map[string]any{{"scope": everything}, {"scope": everything, "client_id": ""}, {"scope": everything, "client_id": nil}} {
			token := g.issuer.Token(t, g.issuer.Claims(time.Now(), claims))
			if got := g.do(t, http.MethodGet, "/orders", "Bearer "+token, ""); got.status != http.StatusForbidden {
				t.Errorf("%v: %d %s", claims, got.status, got.body)
			}
		}
	})
	if text := g.log.String(); strings.Contains(text, good[len("Bearer "):]) || strings.Contains(text, "level=ERROR") {
		t.Errorf("the log is:\n%s", text)
	}
}

// TestAttackTenants: another tenant's order looks like one that does not exist.
func TestAttackTenants(t *testing.T) {
	g := startTarget(t)
	mine, theirs := g.of(t, "mine", everything), g.of(t, "theirs", everything)
	const unknown = "00000000-0000-4000-8000-000000000000"
	orders := map[string]string{
		"PAID":       g.create(t, theirs, `{"amount": 1, "customerId": "alice"}`),
		"FAILED":     g.create(t, theirs, `{"amount": 2, "paymentToken": "tok_declined"}`),
		"PROCESSING": g.create(t, theirs, `{"amount": 3, "paymentToken": "tok_slow_4900"}`),
	}
	before := map[string]string{}
	for _, status := range []string{"PAID", "FAILED"} {
		before[status] = g.do(t, http.MethodGet, "/orders/"+orders[status], theirs, "", "Prefer", "wait=20").body
		if !strings.Contains(before[status], `"status":"`+status+`"`) {
			t.Fatalf("want %s: %s", status, before[status])
		}
	}
	for _, route := range []struct{ name, method, path, prefer string }{
		{"get", http.MethodGet, "/orders/{id}", ""}, {"get and wait", http.MethodGet, "/orders/{id}", "wait=20"},
		{"cancel", http.MethodPost, "/orders/{id}/cancel", ""}, {"refund", http.MethodPost, "/orders/{id}/refund", ""},
		{"retry", http.MethodPost, "/orders/{id}/retry", ""}, {"erase", http.MethodPost, "/orders/{id}/erase", ""}, {"guessed stream", http.MethodGet, "/orders/{id}/events", ""},
	} {
		for status, id := range orders {
			t.Run("another tenant's order: "+route.name+" "+status, func(t *testing.T) {
				ask := func(id string) answer {
					began := time.Now()
					got := g.do(t, route.method, strings.Replace(route.path, "{id}", id, 1), mine, "", "Prefer", route.prefer)
					if took := time.Since(began); took > 10*time.Second {
						t.Errorf("it took %v", took)
					}
					for _, own := range []string{"Date", "Apigw-Requestid", "X-Amzn-Requestid"} {
						got.header.Del(own)
					}
					got.body = strings.ReplaceAll(got.body, id, "{id}")
					return got
				}
				got := ask(id)
				if got.status != http.StatusNotFound {
					t.Errorf("%d %s", got.status, got.body)
				}
				if d := cmp.Diff(ask(unknown), got, cmp.AllowUnexported(answer{})); d != "" {
					t.Errorf("it differs from an id that is not there (-unknown +theirs):\n%s", d)
				}
			})
		}
	}
	t.Run("another tenant's orders: list", func(t *testing.T) {
		for _, query := range []string{"", "?status=PAID", "?status=FAILED", "?customerId=alice"} {
			if got := g.do(t, http.MethodGet, "/orders"+query, mine, ""); strings.TrimSpace(got.body) != `{"orders":[]}` {
				t.Errorf("%s: %s", query, got.body)
			}
		}
	})
	for status, body := range before {
		if got := g.do(t, http.MethodGet, "/orders/"+orders[status], theirs, "").body; got != body {
			t.Errorf("the %s order was changed by another tenant:\n%s%s", status, body, got)
		}
	}
	t.Run("another tenant's cursor", func(t *testing.T) {
		own := g.create(t, mine, `{"amount": 4}`)
		g.create(t, theirs, `{"amount": 5}`)
		page := func(authorization, cursor string) (ids []string, next string) {
			var p struct {
				Orders []struct{ ID string }
				Next   string
			}
			got := g.do(t, http.MethodGet, "/orders?limit=1"+cursor, authorization, "")
			if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != http.StatusOK {
				t.Fatalf("%d %s", got.status, got.body)
			}
			for _, o := range p.Orders {
				ids = append(ids, o.ID)
			}
			return ids, p.Next
		}
		_, next := page(theirs, "")
		if next == "" {
			t.Fatal("there is no cursor to try")
		}
		ids, after := page(mine, "&cursor="+next)
		if len(ids) != 1 || ids[0] != own || after != "" {
			t.Errorf("the page has %v, and the next is %q; want the order %s alone", ids, after, own)
		}
	})
	t.Run("another tenant's idempotency key", func(t *testing.T) {
		const body = `{"amount": 6}`
		first := g.create(t, theirs, body, "Idempotency-Key", "the-same")
		got := g.do(t, http.MethodPost, "/orders", mine, body, "Idempotency-Key", "the-same")
		if got.status != http.StatusCreated || got.header.Get("Idempotency-Replayed") != "" || strings.Contains(got.body, first) {
			t.Errorf("%d %v %s", got.status, got.header, got.body)
		}
		got = g.do(t, http.MethodPost, "/orders", g.of(t, "third", everything), `{"amount": 7}`, "Idempotency-Key", "the-same")
		if got.status != http.StatusCreated {
			t.Errorf("with another body: %d %s", got.status, got.body)
		}
	})
	t.Run("a tenant that is a path", func(t *testing.T) {
		for _, tenant := range []string{"theirs/" + orders["PAID"], "theirs/", "theirs\x00", "Theirs", " theirs"} {
			got := g.do(t, http.MethodGet, "/orders/"+orders["PAID"], g.of(t, tenant, everything), "")
			if got.status != http.StatusNotFound {
				t.Errorf("%q: %d %s", tenant, got.status, got.body)
			}
			if got := g.do(t, http.MethodGet, "/orders", g.of(t, tenant, everything), ""); strings.Contains(got.body, `"id"`) {
				t.Errorf("%q lists %s", tenant, got.body)
			}
		}
	})
}

// TestAttackPages: without tokens, no page that the user's browser shows can call the runner,
// neither under a name that was rebound to this machine nor from another origin, unless the
// template allows that.
func TestAttackPages(t *testing.T) {
	c := testConfig(t)
	c.Parameters = map[string]string{"AllowedOrigins": "https://shop.test, http://localhost:5173"}
	g := target{url: startRunner(t, c)}
	port := g.url[strings.LastIndex(g.url, ":"):]
	const (
		order     = `{"amount": 1}`
		text      = "Content-Type: text/plain"
		form      = "Content-Type: application/x-www-form-urlencoded"
		preflight = "Access-Control-Request-Method: POST"
		evil      = "Origin: https://evil.test"
	)
	for _, a := range []struct {
		name, method, path string
		lines              []string
		status             int
	}{
		{"a rebound name", "GET", "/orders", []string{"Host: rebind.test" + port}, 421},
		{"a rebound name of the same origin", "POST", "/orders", []string{"Host: rebind.test" + port, "Origin: http://rebind.test" + port}, 421},
		{"a rebound name of an allowed origin", "POST", "/orders", []string{"Host: shop.test", "Origin: https://shop.test"}, 421},
		{"a rebound name, for the events", "GET", "/orders/x/events", []string{"Host: rebind.test" + port}, 421},
		{"a rebound name, for the function's URL", "GET", "/_url/Stream/orders/x/events", []string{"Host: rebind.test" + port}, 421},
		{"a rebound name, for the health", "GET", "/healthz", []string{"Host: rebind.test"}, 421},
		{"a rebound name that begins well", "GET", "/orders", []string{"Host: localhost.rebind.test"}, 421},
		{"a rebound name that ends well", "GET", "/orders", []string{"Host: rebindlocalhost"}, 421},
		{"an address of every machine", "GET", "/orders", []string{"Host: 0.0.0.0" + port}, 421},
		{"an empty name", "GET", "/orders", []string{"Host: "}, 421},
		{"JSON in a text", "POST", "/orders", []string{"Host: localhost", text, evil}, 403},
		{"a form", "POST", "/orders", []string{"Host: localhost", form, evil}, 403},
		{"a form that cancels", "POST", "/orders/x/cancel", []string{"Host: localhost", form, evil}, 403},
		{"a GET", "GET", "/orders", []string{"Host: localhost", evil}, 403},
		{"a DELETE", "DELETE", "/orders", []string{"Host: localhost", evil}, 403},
		{"a preflight", "OPTIONS", "/orders", []string{"Host: localhost", evil, preflight}, 403},
		{"a preflight of the events", "OPTIONS", "/orders/x/events", []string{"Host: localhost", evil, "Access-Control-Request-Method: GET"}, 403},
		{"the events", "GET", "/orders/x/events", []string{"Host: localhost", evil}, 403},
		{"a page in a sandbox", "POST", "/orders", []string{"Host: localhost", text, "Origin: null"}, 403},
		{"another program's page on this machine", "POST", "/orders", []string{"Host: localhost" + port, text, "Origin: http://localhost:1"}, 403},
		{"an allowed origin's port", "POST", "/orders", []string{"Host: localhost", "Origin: https://shop.test:444"}, 403},
		{"an allowed origin, but not its scheme", "POST", "/orders", []string{"Host: localhost", "Origin: http://shop.test"}, 403},
		{"a subdomain of an allowed origin", "POST", "/orders", []string{"Host: localhost", "Origin: https://a.shop.test"}, 403},
		{"two origins", "POST", "/orders", []string{"Host: localhost", "Origin: https://shop.test", evil}, 403},
		{"a script's address", "GET", "/orders", []string{"Host: localhost", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"}, 403},
	} {
		t.Run(a.name, func(t *testing.T) {
			got := g.raw(t, a.method, a.path, order, a.lines...)
			if got.status != a.status || !strings.Contains(got.body, "access tokens") || got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%d %v %s", got.status, got.header, got.body)
			}
		})
	}
	if got := g.do(t, http.MethodGet, "/orders", "", ""); got.status != http.StatusOK || strings.Contains(got.body, `"id"`) {
		t.Errorf("what was refused made orders: %d %s", got.status, got.body)
	}
	for name, lines := range map[string][]string{
		"no browser": {"Host: 127.0.0.1"}, "the same origin": {"Host: localhost" + port, "Origin: http://localhost" + port},
		"an allowed origin": {"Host: localhost" + port, "Origin: http://localhost:5173"},
		"IPv6":              {"Host: [::1]" + port, "Origin: http://[::1]" + port},
	} {
		if got := g.raw(t, http.MethodPost, "/orders", order, lines...); got.status != http.StatusCreated {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

// TestAttackHeaders: no Idempotency-Key can inject a header.
func TestAttackHeaders(t *testing.T) {
	g := startTarget(t)
	for name, key := range map[string]string{
		"CR": "a\rX-Injected: 1", "CR LF and a blank": "a\r\n X-Injected: 1", "LF and a blank": "a\n X-Injected: 1",
		"NUL": "a\x00X-Injected: 1", "DEL": "a\x7f", "non-ASCII": "kéy", "not UTF-8": "a\xff", "a blank": "a b",
		"empty": "", "too long": strings.Repeat("k", 256), "twice": "a\r\nIdempotency-Key: b c",
		"twice, both good": "a\r\nIdempotency-Key: b", "twice the same": "a\r\nIdempotency-Key: a", "a comma": "a,b",
	} {
		t.Run(name, func(t *testing.T) {
			got := g.raw(t, http.MethodPost, "/orders", `{"amount": 1}`, "Authorization: "+g.of(t, "mine", everything), "Idempotency-Key: "+key)
			if got.status != http.StatusBadRequest || got.header.Get("X-Injected") != "" {
				t.Errorf("%d %v %s", got.status, got.header, got.body)
			}
		})
	}
	t.Run("CR LF in escapes", func(t *testing.T) { // visible ASCII, and a key as good as any
		got := g.raw(t, http.MethodPost, "/orders", `{"amount": 1}`, "Authorization: "+g.of(t, "mine", everything), `Idempotency-Key: a%0d%0aX-Injected:1\r\n`)
		if got.status != http.StatusCreated || got.header.Get("X-Injected") != "" {
			t.Errorf("%d %v %s", got.status, got.header, got.body)
		}
	})
	if got := g.do(t, http.MethodGet, "/orders?limit=100", g.of(t, "mine", everything), ""); strings.Count(got.body, `"id"`) != 1 {
		t.Errorf("what was refused made orders: %s", got.body)
	}
}

// TestAttackQueries: a parameter that is not a route's is refused on each, and what could be
// a card number in its name is repeated nowhere.
func TestAttackQueries(t *testing.T) {
	g := startTarget(t)
	mine := g.of(t, "mine", everything)
	id := g.create(t, mine, `{"amount": 1, "paymentToken": "tok_slow_4900"}`)
	for _, route := range []string{
		"GET /orders", "POST /orders", "GET /orders/" + id, "POST /orders/" + id + "/cancel", "POST /orders/" + id + "/refund",
		"POST /orders/" + id + "/retry", "POST /orders/" + id + "/erase", "GET /orders/" + id + "/events", "GET /healthz", "GET /openapi.json", "GET /docs",
	} {
		for query, location := range map[string]string{
			"custmerId=alice": "query.custmerId", "p%61ge=1": "query.page", "tenant=a&tenant=a": "query.tenant", "limit=1&limit=1": "query.limit",
			"a;b=1": "query.a;b", attackCard + "=1": "query", "x%00%0d%0aX-Injected:%201": "query.x\ufffd\ufffd\ufffdX-Injected: 1",
		} {
			method, path, _ := strings.Cut(route, " ")
			body := ""
			if route == "POST /orders" {
				body = `{"amount": 1}`
			}
			got := g.do(t, method, path+"?"+query, mine, body)
			var p struct{ Errors []struct{ Location string } }
			if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != 422 || len(p.Errors) != 1 || p.Errors[0].Location != location {
				t.Errorf("%s?%s: %d %s, want %s", route, query, got.status, got.body, location)
			}
			if holdsCard(got.body) || got.header.Get("X-Injected") != "" {
				t.Errorf("%s?%s: %v %s", route, query, got.header, got.body)
			}
		}
	}
	if got := g.do(t, http.MethodGet, "/orders", mine, ""); strings.Count(got.body, `"id"`) != 1 {
		t.Errorf("what was refused made orders: %s", got.body)
	}
	if text := g.log.String(); holdsCard(text) || strings.Contains(text, "level=ERROR") {
		t.Errorf("the log is:\n%s", text)
	}
}

// TestHead: with a token HEAD is answered as GET is, on every route.
func TestHead(t *testing.T) {
	g := startTarget(t)
	mine := g.of(t, "mine", everything)
	id := g.create(t, mine, `{"amount": 1, "paymentToken": "tok_declined"}`)
	if got := g.do(t, http.MethodGet, "/orders/"+id, mine, "", "Prefer", "wait=20"); !strings.Contains(got.body, `"FAILED"`) {
		t.Fatal(got.body)
	}
	for _, path := range []string{"/orders", "/orders?limit=1", "/orders/" + id, "/orders/" + strings.ToUpper(id), "/orders/x", "/orders/" + id + "/events", "/healthz", "/openapi.json", "/docs"} {
		get, head := g.do(t, http.MethodGet, path, mine, ""), g.do(t, http.MethodHead, path, mine, "")
		for _, own := range []string{"Date", "Apigw-Requestid", "X-Amzn-Requestid"} {
			get.header.Del(own)
			head.header.Del(own)
		}
		get.body = ""
		if d := cmp.Diff(get, head, cmp.AllowUnexported(answer{})); d != "" {
			t.Errorf("%s (-GET +HEAD):\n%s", path, d)
		}
	}
}

// TestSchemeInAnyCase: the scheme of a token is not case-sensitive.
func TestSchemeInAnyCase(t *testing.T) {
	g := startTarget(t)
	token := strings.TrimPrefix(g.of(t, "mine", everything), "Bearer ")
	id := g.create(t, "bearer "+token, `{"amount": 1, "paymentToken": "tok_declined"}`)
	for _, scheme := range []string{"bearer ", "BEARER ", "BeaReR "} {
		for _, path := range []string{"/orders", "/orders/" + id, "/orders/" + id + "/events"} {
			if got := g.do(t, http.MethodGet, path, scheme+token, ""); got.status != http.StatusOK {
				t.Errorf("%q, %s: %d %s", scheme, path, got.status, got.body)
			}
		}
	}
	for _, scheme := range []string{"Basic ", "bearer: ", "bearer", "bearer bearer "} {
		for _, path := range []string{"/orders", "/orders/" + id + "/events"} {
			if got := g.do(t, http.MethodGet, path, scheme+token, ""); got.status != http.StatusUnauthorized {
				t.Errorf("%q, %s: %d %s", scheme, path, got.status, got.body)
			}
		}
	}
}

// attackCard is a number that Stripe publishes for tests.
const attackCard = "4000056655665556"

// TestAttackCards: a card number is refused wherever it appears, and stored nowhere.
func TestAttackCards(t *testing.T) {
	const card, marker = attackCard, "what-may-be-kept"
	g := startTarget(t)
	mine := g.of(t, "mine", everything)
	for name, tt := range map[string]struct{ body, at string }{
		"amount":                {`{"amount": ` + card + `}`, "body.amount"},
		"currency":              {`{"amount": 1, "currency": "` + card + `"}`, "body.currency"},
		"customerId":            {`{"amount": 1, "customerId": "` + card + `"}`, "body.customerId"},
		"paymentToken":          {`{"amount": 1, "paymentToken": "` + card + `"}`, "body.paymentToken"},
		"paymentToken, inside":  {`{"amount": 1, "paymentToken": "tok ` + card + `"}`, "body.paymentToken"},
		"sku":                   {`{"items": [{"sku": "` + card + `", "quantity": 1, "unitPrice": 1}]}`, "body.items[0].sku"},
		"quantity":              {`{"items": [{"sku": "a", "quantity": ` + card + `, "unitPrice": 1}]}`, "body.items[0].quantity"},
		"unitPrice":             {`{"items": [{"sku": "a", "quantity": 1, "unitPrice": ` + card + `}]}`, "body.items[0].unitPrice"},
		"metadata's value":      {`{"amount": 1, "metadata": {"a": "` + card + `"}}`, "body.metadata.a"},
		"metadata's name":       {`{"amount": 1, "metadata": {"` + card + `": "a"}}`, "body.metadata"},
		"an unknown field":      {`{"amount": 1, "card": "` + card + `"}`, "body.card"},
		"an unknown field name": {`{"amount": 1, "` + card + `": 1}`, "body"},
		"deep inside":           {`{"amount": 1, "a": [{"b": ["` + card + `"]}]}`, "body.a[0].b[0]"},
		"twice":                 {`{"amount": 1, "` + card + `": 1, "` + card + `": 1}`, "body"},
		"in groups":             {`{"amount": 1, "customerId": "4000 0566 5566 5556"}`, "body.customerId"},
		"with dashes":           {`{"amount": 1, "customerId": "4000-0566-5566-5556"}`, "body.customerId"},
		"in prose":              {`{"amount": 1, "metadata": {"a": "card 4000 0566 5566 5556 exp 12/27 123"}}`, "body.metadata.a"},
		"in escapes":            {`{"amount": 1, "customerId": "\u0034000056655665556"}`, "body.customerId"},
		"in fullwidth digits":   {`{"amount": 1, "customerId": "４０００ ０５６６ ５５６６ ５５５６"}`, "body.customerId"},
		"in no JSON":            {`{"amount": 1, "customerId": "` + card, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			got := g.do(t, http.MethodPost, "/orders", mine, tt.body, "Idempotency-Key", "key-of-"+strings.Map(letters, name))
			if got.status != http.StatusUnprocessableEntity || holdsCard(got.body) ||
				!strings.Contains(got.body, "/docs#card-number") || !strings.Contains(got.body, `"location":"`+tt.at+`"`) {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	id := g.create(t, mine, `{"amount": 1}`)
	for name, tt := range map[string]struct {
		method, path, key string
		status            int
	}{
		"the idempotency key":        {http.MethodPost, "/orders", card, http.StatusUnprocessableEntity},
		"the key, with dashes":       {http.MethodPost, "/orders", "4000-0566-5566-5556", http.StatusUnprocessableEntity},
		"a query parameter":          {http.MethodGet, "/orders?cursor=" + card, "", http.StatusUnprocessableEntity},
		"an unknown parameter":       {http.MethodGet, "/orders/" + id + "?card=4000+0566+5566+5556", "", http.StatusUnprocessableEntity},
		"a parameter's name":         {http.MethodGet, "/orders?" + card, "", http.StatusUnprocessableEntity},
		"an action's parameter":      {http.MethodPost, "/orders/" + id + "/cancel?card=" + card, "", http.StatusUnprocessableEntity},
		"an id":                      {http.MethodGet, "/orders/" + card, "", http.StatusNotFound},
		"an id, canceled":            {http.MethodPost, "/orders/" + card + "/cancel", "", http.StatusNotFound},
		"a path that does not exist": {http.MethodGet, "/cards/" + card, "", http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			body, header := "", []string{}
			if tt.key != "" {
				body, header = `{"amount": 1}`, []string{"Idempotency-Key", tt.key}
			}
			got := g.do(t, tt.method, tt.path, mine, body, header...)
			if got.status != tt.status || holdsCard(got.body) {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	// The search finds what may be stored, so what it does not find is not there.
	g.create(t, mine, `{"amount": 1, "customerId": "`+marker+`"}`)
	found := false
	err := filepath.WalkDir(g.data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if holdsCard(string(text)) {
			t.Errorf("%s holds the card number", path)
		}
		found = found || bytes.Contains(text, []byte(marker))
		return err
	})
	if err != nil || !found {
		t.Errorf("an order's own text was not found: %v", err)
	}
	if text := g.log.String(); holdsCard(text) {
		t.Errorf("the log holds the card number:\n%s", text)
	}
}

// letters drops everything but lower-case letters.
func letters(r rune) rune {
	if 'a' <= r && r <= 'z' {
		return r
	}
	return -1
}

// holdsCard reports whether text contains attackCard, in groups or not.
func holdsCard(text string) bool {
	return strings.Contains(strings.NewReplacer(" ", "", "-", "").Replace(text), attackCard)
}

// TestAttackKeys: a new key is fetched once; unknown keys cause no more fetches.
func TestAttackKeys(t *testing.T) {
	g := startTarget(t)
	status := func(authorization string) int {
		return g.do(t, http.MethodGet, "/orders", authorization, "").status
	}
	steps := func(name string, got, want []int) {
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: status, fetches (-want +got):\n%s", name, d)
		}
	}
	first := g.of(t, "mine", everything)
	steps("the first token", []int{status(first), g.issuer.Fetches()}, []int{200, 1})
	g.issuer.Rotate(t)
	steps("a token of the new key", []int{status(g.of(t, "mine", everything)), g.issuer.Fetches()}, []int{200, 2})
	steps("a token of the old key", []int{status(first), g.issuer.Fetches()}, []int{401, 2})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got := status(strings.Replace(first, "Bearer ", "", 1)); got != 401 {
				t.Errorf("an unknown key: %d", got)
			}
		})
	}
	wg.Wait()
	g.issuer.Rotate(t)
	steps("another key within the minute", []int{status(g.of(t, "mine", everything)), g.issuer.Fetches()}, []int{401, 2})
}

// TestTenantClaim: another claim can name the tenant.
func TestTenantClaim(t *testing.T) {
	issuer := tokentest.New(t, "")
	server := httptest.NewServer(issuer)
	defer server.Close()
	issuer.URL = server.URL
	c := testConfig(t)
	c.Access = access{Tokens: true, Issuer: issuer.URL, Audience: tokentest.Audience, TenantClaim: "https://i.test/tenant"}
	g := target{url: startRunner(t, c)}
	as := func(tenant, client string) string {
		return "Bearer " + issuer.Token(t, issuer.Claims(time.Now(), map[string]any{
			"https://i.test/tenant": tenant, "client_id": client, "scope": everything,
		}))
	}
	id := g.create(t, as("a", "x"), `{"amount": 1}`)
	for authorization, status := range map[string]int{as("a", "y"): 200, as("b", "x"): 404, as("x", "a"): 404} {
		if got := g.do(t, http.MethodGet, "/orders/"+id, authorization, ""); got.status != status {
			t.Errorf("%d, want %d: %s", got.status, status, got.body)
		}
	}
}

// TestFixedIssuer: the runner's issuer replaces the template's even if that is not a
// parameter.
func TestFixedIssuer(t *testing.T) {
	text := string(hurriedTemplate(t))
	for name, value := range map[string]string{"issuer": "https://elsewhere.test", "audience": "[elsewhere]"} {
		text = setProperty(t, text, name, name+": "+value)
	}
	c := testConfig(t)
	c.Template, c.Access.Tokens = filepath.Join(t.TempDir(), "template.yaml"), true
	if err := os.WriteFile(c.Template, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := target{url: startRunner(t, c)}
	token := devToken(t, "--tenant", "a", "--data", c.Data, "--addr", strings.TrimPrefix(g.url, "http://"))
	g.create(t, "Bearer "+token, `{"amount": 1}`)
}

// setProperty replaces the first line that sets the property.
func setProperty(t *testing.T, text, name, line string) string {
	t.Helper()
	at := regexp.MustCompile(`(?m)^( +)` + name + `: .*$`).FindStringSubmatchIndex(text)
	if at == nil {
		t.Fatalf("template.yaml does not set %s", name)
	}
	return text[:at[3]] + line + text[at[1]:]
}

// TestIssuerOutOfReach: the runner starts, and logs why it can't verify a token.
func TestIssuerOutOfReach(t *testing.T) {
	issuer := tokentest.New(t, "http://127.0.0.1:9")
	c := testConfig(t)
	log := &lines{}
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	c.Access = access{Tokens: true, Issuer: issuer.URL, Audience: tokentest.Audience}
	g := target{url: startRunner(t, c)}
	got := g.do(t, http.MethodGet, "/orders", "Bearer "+issuer.Token(t, issuer.Claims(time.Now(), nil)), "")
	if got.status != 401 || !strings.Contains(got.header.Get("WWW-Authenticate"), "OIDC discovery endpoint communication error") {
		t.Errorf("%d %v", got.status, got.header)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "127.0.0.1:9") {
		t.Errorf("the log is:\n%s", text)
	}
}

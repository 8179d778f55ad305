package apigateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paylane/shared/accesstoken"
	"paylane/shared/emulator"
	"paylane/shared/emulator/apigateway"
)

// zeros is a source of "randomness" for predictable ids.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func noon() time.Time { return time.Date(2026, 7, 10, 12, 0, 0, 123e6, time.FixedZone("", 7200)) }

var fixed = apigateway.Options{Now: noon, Random: zeros{}}

// The event as JSON, byte for byte.
func TestEventOnTheWire(t *testing.T) {
	a := api{routes: []string{path("ANY", "/capture/{proxy+}")}, properties: "StageVariables: {k: v}"}
	g, _ := a.gateway(t, mode{json: true}, rawEcho, fixed)
	r := httptest.NewRequest(http.MethodPost, "/capture/space%20value?tag=one&tag=two&empty=&q=a%20b", strings.NewReader(`{"a":"<b>"}`))
	r.Host = "api.test"
	for name, value := range map[string]string{
		"Accept": "*/*", "Content-Type": "application/json", "Cookie": "sid=abc123;theme=dark", "User-Agent": "curl/8",
		"X-Forwarded-For": "203.0.113.9", "Connection": "keep-alive",
	} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	id := a.template(t).APIs[0].ID
	want := `{"version":"2.0","routeKey":"ANY /capture/{proxy+}","rawPath":"/capture/space value",` +
		`"rawQueryString":"tag=one&tag=two&empty=&q=a%20b","cookies":["sid=abc123","theme=dark"],` +
		`"headers":{"accept":"*/*","content-length":"11","content-type":"application/json","host":"api.test",` +
		`"user-agent":"curl/8","x-amzn-trace-id":"Root=1-6a50c2a0-000000000000000000000000",` +
		`"x-forwarded-for":"203.0.113.9, 192.0.2.1","x-forwarded-port":"80","x-forwarded-proto":"http"},` +
		`"queryStringParameters":{"empty":"","q":"a b","tag":"one,two"},"pathParameters":{"proxy":"space value"},` +
		`"stageVariables":{"k":"v"},"requestContext":{"accountId":"123456789012","apiId":"` + id + `",` +
		`"domainName":"` + id + `.execute-api.us-east-1.amazonaws.com","domainPrefix":"` + id + `",` +
		`"http":{"method":"POST","path":"/capture/space value","protocol":"HTTP/1.1","sourceIp":"192.0.2.1","userAgent":"curl/8"},` +
		`"requestId":"AAAAAAAAAAAAAAA=","routeKey":"ANY /capture/{proxy+}","stage":"$default",` +
		`"time":"10/Jul/2026:10:00:00 +0000","timeEpoch":1783677600123},"body":"{\"a\":\"<b>\"}","isBase64Encoded":false}`
	diff(t, "event", want, w.Body.String())
	diff(t, "apigw-requestid", "AAAAAAAAAAAAAAA=", w.Result().Header.Get("Apigw-Requestid"))
}

// An open API authenticates nobody. Its functions see the claims of a development
// identity, which can be changed; those of a route without an authorizer see none.
func TestOpen(t *testing.T) {
	identity := func(t *testing.T, claims accesstoken.Claims, target string) *events.APIGatewayV2HTTPRequestContextAuthorizerDescription {
		t.Helper()
		a := api{properties: withTokens, routes: []string{
			path("GET", "/any"), path("GET", "/scoped") + asks("r, w"), path("GET", "/none") + ", Auth: {Authorizer: NONE}",
		}}
		g, _ := a.gateway(t, mode{json: true}, rawEcho, apigateway.Options{Open: true, Identity: claims, Now: tokensAt})
		got := record(g, "GET", target)
		var event events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal([]byte(got.body), &event); err != nil || got.status != 200 {
			t.Fatalf("%d %s: %v", got.status, got.body, err)
		}
		return event.RequestContext.Authorizer
	}
	standard := map[string]string{
		"iss": issuerURL, "aud": "web", "sub": "local", "client_id": "local", "username": "local", "email": "local@example.com",
		"token_use": "access", "scope": "r w", "iat": "1783677600", "auth_time": "1783677600", "exp": "1815213600",
	}
	diff(t, "a route with scopes", standard, identity(t, nil, "/scoped").JWT.Claims)
	diff(t, "its scopes", []string{"r", "w"}, identity(t, nil, "/scoped").JWT.Scopes)
	diff(t, "no scopes", []string(nil), identity(t, nil, "/any").JWT.Scopes)
	own := identity(t, accesstoken.Claims{"sub": "u-1", "email": nil, "cognito:groups": []any{"a", "b"}, "level": json.Number("7")}, "/scoped")
	changed := maps.Clone(standard)
	delete(changed, "email")
	maps.Copy(changed, map[string]string{"sub": "u-1", "cognito:groups": "[a b]", "level": "7"})
	diff(t, "another identity", changed, own.JWT.Claims)
	granted := accesstoken.Claims{"scope": "r admin"}
	diff(t, "other scopes", []string{"r", "admin"}, identity(t, granted, "/scoped").JWT.Scopes)
	diff(t, "other scopes on a route with none", []string(nil), identity(t, granted, "/any").JWT.Scopes)
	diff(t, "scopes of another claim", []string{"w"}, identity(t, accesstoken.Claims{"scope": nil, "scp": []any{"w"}}, "/scoped").JWT.Scopes)
	if got := identity(t, nil, "/none"); got != nil {
		t.Errorf("a route without an authorizer: %+v", got)
	}
}

func TestNewRefuses(t *testing.T) {
	parsed := api{routes: []string{""}, properties: withTokens}.template(t)
	_, err := apigateway.New(parsed.APIs[0], apigateway.Options{})
	if err == nil || !strings.Contains(err.Error(), "the function F has no invoker") {
		t.Errorf("without invokers: %v", err)
	}
	_, f := api{routes: []string{""}}.gateway(t, modes[0], echo, apigateway.Options{})
	o := apigateway.Options{}
	o.Functions = map[string]emulator.Invoker{"F": f}
	if _, err := apigateway.New(parsed.APIs[0], o); err == nil || !strings.Contains(err.Error(), "needs the authorizer J") {
		t.Errorf("without an authorizer: %v", err)
	}
}

// Requests that net/http would clean up or answer itself reach the function as sent.
func TestRequestsAsSent(t *testing.T) {
	rows := []struct {
		name, raw string
		want      map[string]any
	}{
		{"path is not cleaned", get("//a/../b/./c//"), map[string]any{"path": "//a/../b/./c//"}},
		{"escaped slash", get("/a%2Fb"), map[string]any{"path": "/a/b"}},
		{"plus stays a plus in the path", get("/a+b"), map[string]any{"path": "/a+b"}},
		{"escaped percent", get("/a%2525"), map[string]any{"path": "/a%25"}},
		{"escaped question mark cuts the path", get("/a%3Fb/c?d=1"), map[string]any{"path": "/a", "rawQuery": "d=1"}},
		{"bytes that are not UTF-8", get("/%ff%fe"), map[string]any{"path": "/��"}},
		{"absolute target", get("http://other.test/x?y=1"), map[string]any{"path": "/x", "rawQuery": "y=1", "host": "other.test"}},
		{"query with a plus", get("/?a=b+c&%20d=%2B"), map[string]any{"query": map[string]string{"a": "b c", "\x20d": "+"}}},
		{"query with a broken escape", get("/?a=%zz&b=1"), map[string]any{"query": map[string]string{"a": "%zz", "b": "1"}}},
		{"query with a semicolon", get("/?a=1;b=2"), map[string]any{"query": map[string]string{"a": "1;b=2"}}},
		{"query without a value", get("/?a&&b"), map[string]any{"query": map[string]string{"a": "", "b": ""}}},
		{"query that is empty", get("/?"), map[string]any{"rawQuery": ""}},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: api.test\r\n\r\n", map[string]any{"method": "HEAD"}},
		{"chunked body with trailers", "POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n" +
			"Content-Type: text/plain\r\n\r\n3\r\nabc\r\n0\r\nX-T: v\r\n\r\n", map[string]any{"body": "abc", "content-length": "3", "absent": "x-t"}},
		{"hop-by-hop headers", "GET / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nTE: trailers\r\n\r\n", map[string]any{"absent": "te"}},
		{"client's trace", "GET / HTTP/1.1\r\nHost: api.test\r\nX-Amzn-Trace-Id: Root=1-2-3\r\n\r\n", map[string]any{"x-amzn-trace-id": "Root=1-2-3"}},
		{"several cookie headers", "GET / HTTP/1.1\r\nHost: api.test\r\nCookie: a=1\r\nCookie:  b=2 ;; c=3;\r\n\r\n",
			map[string]any{"cookies": []string{"a=1", "b=2", "c=3"}}},
		{"text with bytes that are not UTF-8", post("/", "a\xffb", "Content-Type: text/plain"), map[string]any{"body": "a�b"}},
		{"compressed text", post("/", "abc", "Content-Type: text/plain", "Content-Encoding: gzip"), map[string]any{"body": "YWJj"}},
		{"JSON of another kind", post("/", "{}", "Content-Type: application/problem+json"), map[string]any{"body": "e30="}},
		{"XML", post("/", "<a/>", "Content-Type: application/xml"), map[string]any{"body": "<a/>"}},
		{"Expect", post("/", "abc", "Content-Type: text/csv", "Expect: 100-continue"), map[string]any{"body": "abc", "absent": "expect"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for _, m := range modes {
				var e request
				keep := func(_ context.Context, got request) (response, error) {
					e = got
					return response{StatusCode: 200, Body: "ok"}, nil
				}
				got := send(t, api{routes: []string{""}}.serve(t, m, keep, apigateway.Options{}), row.raw)
				diff(t, "status", 200, got.status)
				for key, want := range row.want {
					var have any
					switch key {
					case "path":
						have = e.RawPath
					case "rawQuery":
						have = e.RawQueryString
					case "query":
						have = e.QueryStringParameters
					case "body":
						have = e.Body
					case "cookies":
						have = e.Cookies
					case "method":
						have = e.RequestContext.HTTP.Method
					case "absent":
						if value, ok := e.Headers[want.(string)]; ok {
							t.Errorf("%v is there: %q", want, value)
						}
						continue
					default:
						have = e.Headers[key]
					}
					diff(t, m.name+" "+key, want, have)
				}
			}
		})
	}
}

func TestRequestsRefused(t *testing.T) {
	rows := []struct {
		name, raw string
		status    int
		body      string
	}{
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: api.test\r\n\r\n", 404, `{"message":"Not Found"}`},
		{"headers over 10,240 bytes", "GET / HTTP/1.1\r\nHost: api.test\r\nX-Long: " + strings.Repeat("x", 10_240) + "\r\n\r\n",
			431, `{"message":"Request Header Fields Too Large"}`},
		{"body cut off", "POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, `{"message":"Bad Request"}`},
		{"chunked body over 10 MB", "POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\na00001\r\n" +
			strings.Repeat("x", 10<<20+1) + "\r\n0\r\n\r\n", 413, `{"message":"Request Entity Too Large"}`},
		{"announced over 10 MB", "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10485761\r\n\r\n", 413,
			`{"message":"Request Entity Too Large"}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			never := func(context.Context, request) (response, error) {
				t.Error("the function was invoked")
				return response{}, nil
			}
			got := send(t, api{routes: []string{""}}.serve(t, modes[0], never, apigateway.Options{}), row.raw)
			diff(t, "answer", []any{row.status, row.body, "application/json"}, []any{got.status, got.body, got.header.Get("Content-Type")})
		})
	}
	exact := "GET / HTTP/1.1\r\nHost: api.test\r\nX-Long: " // and its end
	exact += strings.Repeat("x", 10_240-len(exact)-2) + "\r\n\r\n"
	diff(t, "headers of 10,240 bytes", 200, send(t, api{routes: []string{""}}.serve(t, modes[0], echo, apigateway.Options{}), exact).status)
}

// A typed handler and one behind JSON receive the same event, whatever is sent.
func TestModesAgree(t *testing.T) {
	a := api{routes: []string{"", path("ANY", "/v/{x}/{rest+}")}, properties: "StageVariables: {k: v}"}
	var seen [2]request
	var gateways [2]http.Handler
	for i, m := range modes {
		gateways[i], _ = a.gateway(t, m, func(_ context.Context, e request) (response, error) {
			seen[i] = e
			return response{StatusCode: 200}, nil
		}, fixed)
	}
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		target := url.URL{
			Path:     rapid.SampledFrom([]string{"/", "/v/", "/v/a/"}).Draw(t, "prefix") + text.Draw(t, "path"),
			RawQuery: rapid.StringMatching(`[a-z%&=+0-9;]{0,20}`).Draw(t, "query"),
		}
		header := http.Header{}
		for _, name := range []string{"Cookie", "X-A", "Content-Type"} {
			for range rapid.IntRange(0, 2).Draw(t, name+"s") {
				header.Add(name, text.Draw(t, name))
			}
		}
		body := []byte(text.Draw(t, "body"))
		for _, g := range gateways {
			r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(bytes.NewReader(body)))
			r.URL, r.Header, r.ContentLength = &target, header.Clone(), int64(len(body))
			g.ServeHTTP(httptest.NewRecorder(), r)
		}
		if d := cmp.Diff(seen[0], seen[1]); d != "" {
			t.Fatalf("the events differ (-typed +JSON):\n%s", d)
		}
	})
}

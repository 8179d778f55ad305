package apigateway_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/emulator/apigateway"
)

// conformance is a row of docs/emulation.md: an API, the handler behind it, and
// what is observed through real connections.
type conformance struct {
	name    string
	api     api
	handler any
	check   func(t *testing.T, address string)
}

// runConformance runs rows with typed events and through JSON.
func runConformance(t *testing.T, rows []conformance) {
	for _, row := range rows {
		for _, m := range modes {
			t.Run(row.name+" "+m.name, func(t *testing.T) {
				row.check(t, row.api.serve(t, m, row.handler, apigateway.Options{}))
			})
		}
	}
}

// all is an API whose default route matches every request.
var all = api{routes: []string{""}}

// TestConformanceEvents has the rows about events and routes. A15 and A16 are below,
// on a virtual clock; A17 to A20 are about tokens and are in jwt_test.go.
func TestConformanceEvents(t *testing.T) {
	const notFound = `{"message":"Not Found"}`
	runConformance(t, []conformance{
		{"A01 path and query", all, echo, func(t *testing.T, address string) {
			e := event(t, send(t, address, get("/a%20b?x=1&x=2&e=")))
			diff(t, "rawPath", "/a b", e.RawPath)
			diff(t, "http.path", "/a b", e.RequestContext.HTTP.Path)
			diff(t, "rawQueryString", "x=1&x=2&e=", e.RawQueryString)
			diff(t, "queryStringParameters", map[string]string{"x": "1,2", "e": ""}, e.QueryStringParameters)
		}},
		{"A02 repeated headers and cookies", all, echo, func(t *testing.T, address string) {
			e := event(t, send(t, address, "GET / HTTP/1.1\r\nHost: api.test\r\nX-P: first\r\nCookie: a=1; b=2\r\nX-P: second\r\n\r\n"))
			diff(t, "x-p", "first,second", e.Headers["x-p"])
			if value, ok := e.Headers["cookie"]; ok {
				t.Errorf("headers still have a cookie: %s", value)
			}
			diff(t, "cookies", []string{"a=1", "b=2"}, e.Cookies)
		}},
		{"A03 absent, not null", all, rawEcho, func(t *testing.T, address string) {
			var e map[string]any
			if err := json.Unmarshal([]byte(send(t, address, get("/")).body), &e); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"cookies", "queryStringParameters", "pathParameters", "stageVariables", "body"} {
				if value, ok := e[key]; ok {
					t.Errorf("%s is there: %v", key, value)
				}
			}
			for _, key := range []string{"authorizer", "authentication"} {
				if value, ok := e["requestContext"].(map[string]any)[key]; ok {
					t.Errorf("requestContext.%s is there: %v", key, value)
				}
			}
			diff(t, "rawQueryString", any(""), e["rawQueryString"])
			diff(t, "isBase64Encoded", any(false), e["isBase64Encoded"])
		}},
		{"A03 absent in the typed event too", all, echo, func(t *testing.T, address string) {
			e := event(t, send(t, address, get("/")))
			if e.Cookies != nil || e.QueryStringParameters != nil || e.PathParameters != nil || e.StageVariables != nil || e.Body != "" {
				t.Errorf("the event is %+v", e)
			}
			diff(t, "content-length", "0", e.Headers["content-length"])
		}},
		{"A04 JSON is text", all, echo, func(t *testing.T, address string) {
			e := event(t, send(t, address, post("/", `{"a":"b"}`, "Content-Type: Application/JSON; charset=utf-8")))
			diff(t, "body", `{"a":"b"}`, e.Body)
			diff(t, "isBase64Encoded", false, e.IsBase64Encoded)
		}},
		{"A05 anything else is base64", all, echo, func(t *testing.T, address string) {
			want := base64.StdEncoding.EncodeToString([]byte("a=b"))
			for _, headers := range [][]string{{"Content-Type: application/x-www-form-urlencoded"}, nil} {
				e := event(t, send(t, address, post("/", "a=b", headers...)))
				diff(t, "body", want, e.Body)
				diff(t, "isBase64Encoded", true, e.IsBase64Encoded)
			}
		}},
		{"A06 named stage", api{routes: []string{path("GET", "/a/{id}")}, properties: "StageName: dev"}, echo, func(t *testing.T, address string) {
			e := event(t, send(t, address, get("/dev/a/1")))
			diff(t, "rawPath", "/dev/a/1", e.RawPath)
			diff(t, "http.path", "/dev/a/1", e.RequestContext.HTTP.Path)
			diff(t, "stage", "dev", e.RequestContext.Stage)
			diff(t, "id", "1", e.PathParameters["id"])
			diff(t, "without the stage", 404, send(t, address, get("/a/1")).status)
			diff(t, "a path that only begins like it", 404, send(t, address, get("/development/a/1")).status)
		}},
		{"A07 greedy route", api{routes: []string{path("ANY", "/p/{proxy+}")}}, echo, func(t *testing.T, address string) {
			e := event(t, send(t, address, get("/p/x/y")))
			diff(t, "routeKey", "ANY /p/{proxy+}", e.RouteKey)
			diff(t, "routeKey of the context", "ANY /p/{proxy+}", e.RequestContext.RouteKey)
			diff(t, "pathParameters", map[string]string{"proxy": "x/y"}, e.PathParameters)
		}},
		{"A08 the documented example", api{routes: []string{
			path("GET", "/pets/dog/1"), path("GET", "/pets/dog/{id}"), path("GET", "/pets/{proxy+}"), path("ANY", "/{proxy+}"), "",
		}}, echo, func(t *testing.T, address string) {
			diff(t, "1st", "GET /pets/dog/1", event(t, send(t, address, get("/pets/dog/1"))).RouteKey)
			diff(t, "2nd", "GET /pets/dog/{id}", event(t, send(t, address, get("/pets/dog/2"))).RouteKey)
			diff(t, "3rd", "GET /pets/{proxy+}", event(t, send(t, address, get("/pets/cat/3"))).RouteKey)
			diff(t, "4th", "ANY /{proxy+}", event(t, send(t, address, post("/test/5", ""))).RouteKey)
		}},
		{"A09 no route", api{routes: []string{path("GET", "/a")}}, echo, func(t *testing.T, address string) {
			for _, raw := range []string{post("/a", ""), get("/zzz")} {
				got := send(t, address, raw)
				diff(t, "status", 404, got.status)
				diff(t, "body", notFound, got.body)
				diff(t, "content type", "application/json", got.header.Get("Content-Type"))
			}
		}},
	})
}

// TestConformanceResponses has the rows about functions' results and about sizes.
func TestConformanceResponses(t *testing.T) {
	const internal = `{"message":"Internal Server Error"}`
	returning := func(value any) any {
		return func(context.Context, request) (any, error) { return value, nil }
	}
	responding := func(r response) any {
		return func(context.Context, request) (response, error) { return r, nil }
	}
	runConformance(t, []conformance{
		{"A10 an object without statusCode", all, returning(map[string]int{"k": 1}), func(t *testing.T, address string) {
			got := send(t, address, get("/"))
			diff(t, "answer", []any{200, "application/json", `{"k":1}`}, []any{got.status, got.header.Get("Content-Type"), got.body})
		}},
		{"A10 a text", all, returning("hello"), func(t *testing.T, address string) {
			got := send(t, address, get("/"))
			diff(t, "answer", []any{200, "application/json", "hello"}, []any{got.status, got.header.Get("Content-Type"), got.body})
		}},
		{"A11 no content type", all, responding(response{StatusCode: 200, Body: "x"}), func(t *testing.T, address string) {
			got := send(t, address, get("/"))
			diff(t, "answer", []any{200, "text/plain; charset=utf-8", "x"}, []any{got.status, got.header.Get("Content-Type"), got.body})
		}},
		{"A12 the zero response", all, responding(response{}), func(t *testing.T, address string) {
			got := send(t, address, get("/"))
			diff(t, "answer", []any{500, internal}, []any{got.status, got.body})
		}},
		{"A13 cookies and multiValueHeaders", all, responding(response{
			StatusCode: 200, Cookies: []string{"a=1", "b=2"}, MultiValueHeaders: map[string][]string{"X-Many": {"1", "2"}},
		}), func(t *testing.T, address string) {
			got := send(t, address, get("/"))
			diff(t, "set-cookie", []string{"a=1", "b=2"}, got.header.Values("Set-Cookie"))
			diff(t, "multiValueHeaders", "", got.header.Get("X-Many"))
		}},
		{"A14 a binary body", all, responding(response{
			StatusCode: 200, Headers: map[string]string{"content-type": "image/png"}, IsBase64Encoded: true,
			Body: base64.StdEncoding.EncodeToString([]byte("\x89PNG\x00\xff")),
		}), func(t *testing.T, address string) {
			got := send(t, address, get("/"))
			diff(t, "answer", []any{200, "image/png", "\x89PNG\x00\xff"}, []any{got.status, got.header.Get("Content-Type"), got.body})
		}},
		{"A22 a body over 10 MB", all, echo, func(t *testing.T, address string) {
			got := send(t, address, post("/", strings.Repeat("x", 10<<20+1), "Content-Type: text/plain"))
			diff(t, "answer", []any{413, `{"message":"Request Entity Too Large"}`}, []any{got.status, got.body})
		}},
		{"A22 an event over 6 MB", all, func(context.Context, request) (response, error) {
			return response{StatusCode: 204}, nil
		}, func(t *testing.T, address string) {
			for size, status := range map[int]int{6 << 20: 413, 6<<20 - 2000: 204} {
				diff(t, "text", status, send(t, address, post("/", strings.Repeat("x", size), "Content-Type: text/plain")).status)
				diff(t, "base64", status, send(t, address, post("/", strings.Repeat("x", size*3/4))).status)
			}
		}},
	})
}

func TestConformanceA21(t *testing.T) {
	issuer := tokentest.New(t, issuerURL)
	preflight := func(path string) string {
		return "OPTIONS " + path + " HTTP/1.1\r\nHost: api.test\r\nOrigin: https://a.test\r\nAccess-Control-Request-Method: POST\r\n\r\n"
	}
	const cors = "CorsConfiguration: {AllowOrigins: [https://a.test], AllowMethods: [GET, POST], AllowHeaders: [x-a, x-b], MaxAge: 300}"
	for _, m := range modes {
		t.Run("A21 preflight "+m.name, func(t *testing.T) {
			address := api{routes: []string{path("POST", "/x")}, properties: cors}.serve(t, m, echo, apigateway.Options{})
			got := send(t, address, preflight("/x"))
			diff(t, "answer", []any{204, "https://a.test", "GET,POST", "x-a,x-b", "300", ""}, []any{
				got.status, got.header.Get("Access-Control-Allow-Origin"), got.header.Get("Access-Control-Allow-Methods"),
				got.header.Get("Access-Control-Allow-Headers"), got.header.Get("Access-Control-Max-Age"), got.body,
			})
		})
		t.Run("A21 OPTIONS against an authorized ANY route "+m.name, func(t *testing.T) {
			a := api{routes: []string{path("ANY", "/{proxy+}")}, properties: cors + ", " + withTokens}
			got := send(t, a.serve(t, m, echo, guarded(t, a, issuer)), preflight("/x"))
			diff(t, "answer", []any{401, `{"message":"Unauthorized"}`, "Bearer"}, []any{got.status, got.body, got.header.Get("WWW-Authenticate")})
		})
		t.Run("A21 with the cure "+m.name, func(t *testing.T) {
			a := api{routes: []string{path("ANY", "/{proxy+}"), path("OPTIONS", "/{proxy+}")}, properties: cors + ", " + withTokens}
			got := send(t, a.serve(t, m, echo, guarded(t, a, issuer)), preflight("/x"))
			diff(t, "status", 204, got.status)
		})
	}
}

func TestConformanceA15(t *testing.T) {
	rows := map[string]any{
		"A15 returns an error": func(context.Context, request) (response, error) {
			return response{StatusCode: 200}, errors.New("boom")
		},
		"A15 panics": func(context.Context, request) (response, error) { panic("boom") },
		"A15 passes its own timeout": func(context.Context, request) (response, error) {
			time.Sleep(2*time.Second + time.Nanosecond)
			return response{StatusCode: 200}, nil
		},
	}
	for name, handler := range rows {
		for _, m := range modes {
			t.Run(name+" "+m.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g, _ := api{routes: []string{""}, timeout: "2"}.gateway(t, m, handler, apigateway.Options{})
					start := time.Now()
					got := record(g, "GET", "/")
					diff(t, "answer", []any{500, `{"message":"Internal Server Error"}`}, []any{got.status, got.body})
					if name == "A15 passes its own timeout" {
						diff(t, "it took", 2*time.Second, time.Since(start))
					}
					time.Sleep(time.Second) // until the late handler ends
				})
			})
		}
	}
}

func TestConformanceA16(t *testing.T) {
	for _, m := range modes {
		t.Run("A16 integration timeout "+m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var marker time.Duration
				handler := func(ctx context.Context, _ request) (response, error) {
					time.Sleep(2 * time.Second)
					if ctx.Err() == nil {
						marker = time.Since(start)
					}
					return response{StatusCode: 200}, nil
				}
				g, f := api{routes: []string{", TimeoutInMillis: 1000"}}.gateway(t, m, handler, apigateway.Options{})
				got := record(g, "GET", "/")
				diff(t, "answer", []any{503, `{"message":"Service Unavailable"}`}, []any{got.status, got.body})
				diff(t, "it took", time.Second, time.Since(start))
				f.Close()
				diff(t, "the marker was written at", 2*time.Second, marker)
			})
		})
	}
}

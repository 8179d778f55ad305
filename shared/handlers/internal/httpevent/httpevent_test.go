package httpevent_test

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/handlers/internal/httpevent"
)

// seen is what the handler behind the adapter received.
type seen struct {
	Method, Path, RawQuery, Body string
	Header                       http.Header
}

// call runs one event through the adapter.
func call(t *testing.T, event events.APIGatewayV2HTTPRequest) (seen, events.APIGatewayV2HTTPResponse) {
	t.Helper()
	var got seen
	h := httpevent.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = seen{r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header}
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	}))
	response, err := h(t.Context(), event)
	if err != nil {
		t.Fatalf("the handler failed: %v", err)
	}
	return got, response
}

func event(change func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPRequest {
	e := events.APIGatewayV2HTTPRequest{RawPath: "/orders", Headers: map[string]string{}}
	e.RequestContext.HTTP.Method = "POST"
	e.RequestContext.DomainName = "abc123.execute-api.us-east-1.amazonaws.com"
	if change != nil {
		change(&e)
	}
	return e
}

// TestDecodedPaths: rawPath arrives decoded, and may contain anything.
func TestDecodedPaths(t *testing.T) {
	for _, path := range []string{
		"/orders/a b", "/orders/100%", "/orders/%zz", "/orders/a\x00b", "/orders/ü", "/orders/a#b", "/orders/a%2Fb", "/", "/orders/a;b",
	} {
		got, response := call(t, event(func(e *events.APIGatewayV2HTTPRequest) { e.RawPath = path }))
		if response.StatusCode != http.StatusTeapot || got.Path != path {
			t.Errorf("path %q: status %d, handler saw %q", path, response.StatusCode, got.Path)
		}
	}
}

func TestQueries(t *testing.T) {
	for query, want := range map[string]string{
		"a=1&b=%20":  "a=1&b=%20",
		"a=1 2":      "a=1%202",
		"a=\x00\x7f": "a=%00%7F",
		"a=%zz":      "a=%zz",
	} {
		got, response := call(t, event(func(e *events.APIGatewayV2HTTPRequest) { e.RawQueryString = query }))
		if response.StatusCode != http.StatusTeapot || got.RawQuery != want {
			t.Errorf("query %q: status %d, handler saw %q, want %q", query, response.StatusCode, got.RawQuery, want)
		}
	}
}

// TestHeadersStayWhole: left alone, the adapter would split headers at commas and trim them.
func TestHeadersStayWhole(t *testing.T) {
	got, _ := call(t, event(func(e *events.APIGatewayV2HTTPRequest) {
		e.Headers = map[string]string{"idempotency-key": "a, b,c ", "content-type": "application/json", "if-none-match": `"1","2"`}
		e.Cookies = []string{"a=1", "b=2"}
	}))
	want := http.Header{
		"Idempotency-Key": {"a, b,c "}, "Content-Type": {"application/json"}, "If-None-Match": {`"1","2"`},
		"Cookie": {"a=1", "b=2"},
	}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestBodies(t *testing.T) {
	binary := "\xff\x00{}"
	got, _ := call(t, event(func(e *events.APIGatewayV2HTTPRequest) {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(binary)), true
	}))
	if got.Body != binary {
		t.Errorf("a base64 body arrived as %q", got.Body)
	}
	got, response := call(t, event(func(e *events.APIGatewayV2HTTPRequest) { e.Body = `{"a":1}` }))
	if got.Body != `{"a":1}` || response.Body != "short and stout" || response.Headers["X-Answer"] != "yes" || response.IsBase64Encoded {
		t.Errorf("body %q, response %+v", got.Body, response)
	}
}

// TestAnswers: what is not text comes in base64, and each cookie by itself, since joined with commas
// no browser could tell them apart.
func TestAnswers(t *testing.T) {
	binary := "\x89PNG\r\n\xff"
	h := httpevent.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Expires: time.Unix(0, 0)})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2", HttpOnly: true})
		w.Header().Set("Content-Type", "image/png")
		_, _ = io.WriteString(w, binary)
	}))
	response, err := h(t.Context(), event(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=2; HttpOnly"}
	if diff := cmp.Diff(want, response.Cookies); diff != "" {
		t.Errorf("cookies (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"Content-Type": "image/png"}, response.Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if body, err := base64.StdEncoding.DecodeString(response.Body); err != nil || !response.IsBase64Encoded || string(body) != binary {
		t.Errorf("the body is %q, %v", response.Body, err)
	}
}

// TestNotARequest: events that no gateway would send are refused, without a panic.
func TestNotARequest(t *testing.T) {
	for name, e := range map[string]events.APIGatewayV2HTTPRequest{
		"an empty event": {},
		"not base64":     event(func(e *events.APIGatewayV2HTTPRequest) { e.Body, e.IsBase64Encoded = "%", true }),
		"a bad method":   event(func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.HTTP.Method = "GET /" }),
		"a bad domain":   event(func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.DomainName = "a b\x00" }),
	} {
		_, response := call(t, e)
		if response.StatusCode != http.StatusBadRequest || !strings.Contains(response.Headers["content-type"], "problem+json") {
			t.Errorf("%s: %+v", name, response)
		}
	}
}

func TestClaim(t *testing.T) {
	var got string
	var ok bool
	var scopes []string
	h := httpevent.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, ok = httpevent.Claim(r.Context(), "client_id")
		scopes = httpevent.Scopes(r.Context())
		w.WriteHeader(http.StatusNoContent)
	}))
	e := event(nil)
	if _, err := h(context.Background(), e); err != nil || ok || scopes != nil {
		t.Errorf("without an authorizer: %q, %v, %q, %v", got, ok, scopes, err)
	}
	e.RequestContext.Authorizer = &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{
		JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: map[string]string{"client_id": "shop-1"}, Scopes: []string{"a", "b"}},
	}
	if _, err := h(context.Background(), e); err != nil || !ok || got != "shop-1" || !slices.Equal(scopes, []string{"a", "b"}) {
		t.Errorf("with one: %q, %v, %q, %v", got, ok, scopes, err)
	}
}

package apigateway_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"paylane/shared/emulator/apigateway"
)

// BenchmarkRequest is one request without the server: route, event, invocation,
// response.
func BenchmarkRequest(b *testing.B) {
	const body = `{"amount":12000,"currency":"KRW"}`
	handler := func(context.Context, request) (response, error) {
		return response{StatusCode: 201, Headers: map[string]string{"Content-Type": "application/json", "Location": "/orders/1"}, Body: body}, nil
	}
	a := api{routes: []string{path("POST", "/orders"), path("GET", "/orders/{id}"), path("POST", "/orders/{id}/cancel"), ""}}
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			g, _ := a.gateway(b, m, handler, apigateway.Options{})
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Idempotency-Key", "k-1")
				r.Header.Set("User-Agent", "bench")
				g.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

// BenchmarkThrottle is a small request to a route with a limit that is not reached and
// to one without, from all processors at once: the difference is the bucket.
func BenchmarkThrottle(b *testing.B) {
	handler := func(context.Context, request) (response, error) { return response{StatusCode: 200}, nil }
	for _, row := range []struct{ name, properties string }{{"no limit", ""}, {"limit", limits("1000000000", "1000000")}} {
		b.Run(row.name, func(b *testing.B) {
			g, _ := api{routes: []string{path("GET", "/x")}, properties: row.properties}.gateway(b, modes[0], handler, apigateway.Options{})
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					w := httptest.NewRecorder()
					if g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil)); w.Code != http.StatusOK {
						b.Errorf("status %d", w.Code)
					}
				}
			})
		})
	}
}

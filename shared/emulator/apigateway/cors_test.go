package apigateway_test

import (
	"context"
	"testing"

	"paylane/shared/emulator/apigateway"
)

func TestCORS(t *testing.T) {
	const ask = "Access-Control-Request-Method"
	rows := []struct {
		name       string
		properties string
		method     string
		headers    []string
		status     int
		want       map[string]string // of the Access-Control headers
	}{
		{"no configuration, preflight reaches the function", "", "OPTIONS", []string{"Origin", "https://a.test", ask, "PUT"}, 200,
			map[string]string{"Allow-Origin": "function"}},
		{"request of an allowed origin", "CorsConfiguration: {AllowOrigins: [https://a.test], ExposeHeaders: [x-e]}", "GET",
			[]string{"Origin", "https://a.test"}, 200, map[string]string{"Allow-Origin": "https://a.test", "Expose-Headers": "x-e"}},
		{"request of another origin", "CorsConfiguration: {AllowOrigins: [https://a.test]}", "GET", []string{"Origin", "https://b.test"}, 200, nil},
		{"request without an origin", "CorsConfiguration: {AllowOrigins: ['*']}", "GET", nil, 200, nil},
		{"any origin", "CorsConfiguration: true", "GET", []string{"Origin", "https://b.test"}, 200, map[string]string{"Allow-Origin": "*"}},
		{"any https origin", "CorsConfiguration: {AllowOrigins: ['https://*']}", "GET", []string{"Origin", "https://b.test"}, 200,
			map[string]string{"Allow-Origin": "https://b.test"}},
		{"any https origin, and http", "CorsConfiguration: {AllowOrigins: ['https://*']}", "GET", []string{"Origin", "http://b.test"}, 200, nil},
		{"credentials", "CorsConfiguration: {AllowOrigins: ['http://*'], AllowCredentials: true}", "GET", []string{"Origin", "http://b.test"}, 200,
			map[string]string{"Allow-Origin": "http://b.test", "Allow-Credentials": "true"}},
		{"preflight of another origin", "CorsConfiguration: {AllowOrigins: [https://a.test], AllowMethods: [GET]}", "OPTIONS",
			[]string{"Origin", "https://b.test", ask, "PUT"}, 204, nil},
		{"OPTIONS that is no preflight", "CorsConfiguration: {AllowOrigins: [https://a.test]}", "OPTIONS", []string{"Origin", "https://a.test"}, 200,
			map[string]string{"Allow-Origin": "https://a.test"}},
	}
	handler := func(context.Context, request) (response, error) {
		return response{StatusCode: 200, Headers: map[string]string{"access-control-allow-origin": "function"}}, nil
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			g, _ := api{routes: []string{path("ANY", "/x")}, properties: row.properties}.gateway(t, modes[0], handler, apigateway.Options{})
			got := record(g, row.method, "/x", row.headers...)
			diff(t, "status", row.status, got.status)
			for _, name := range []string{"Allow-Origin", "Allow-Methods", "Allow-Headers", "Allow-Credentials", "Expose-Headers", "Max-Age"} {
				diff(t, name, row.want[name], got.header.Get("Access-Control-"+name))
			}
		})
	}
	g, _ := api{routes: []string{path("GET", "/x")}, properties: "CorsConfiguration: true"}.gateway(t, modes[0], handler, apigateway.Options{})
	got := record(g, "GET", "/nowhere", "Origin", "https://a.test")
	diff(t, "an error of the gateway", []any{404, "*"}, []any{got.status, got.header.Get("Access-Control-Allow-Origin")})
}

package httpapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestEveryTenant: an operator over all tenants names the one that is meant; nobody else
// can name one.
func TestEveryTenant(t *testing.T) {
	a := newAPI(t)
	path := "/orders/" + a.create(t).ID // of tenant t
	with := func(tenant string) string { return path + "?tenant=" + url.QueryEscape(tenant) }
	for _, tt := range []struct {
		name   string
		r      request
		status int
		typ    string
	}{
		{"an operator names the tenant", request{path: with("t"), tenant: "*", operator: true}, 200, ""},
		{"an operator names another", request{path: with("u"), tenant: "*", operator: true}, 404, "order-not-found"},
		{"an operator names none", request{path: path, tenant: "*", operator: true}, 400, "tenant-unnamed"},
		{"an operator names an empty one", request{path: with(""), tenant: "*", operator: true}, 400, "tenant-unnamed"},
		{"an operator names all", request{path: with("*"), tenant: "*", operator: true}, 400, "tenant-unnamed"},
		{"an operator names two", request{path: with("t") + "&tenant=u", tenant: "*", operator: true}, 422, "invalid-request"},
		{"a caller names two", request{path: with("t") + "&tenant=t", tenant: "t"}, 422, "invalid-request"},
		{"an operator misspells the parameter", request{path: path + "?tennant=t", tenant: "*", operator: true}, 422, "invalid-request"},
		{"a misspelt parameter, and no tenant", request{path: path + "?tennant=t", tenant: "-"}, 403, "no-tenant"},
		{"a tenant of 128 characters", request{path: with(strings.Repeat("t", 128)), tenant: "*", operator: true}, 404, "order-not-found"},
		{"a tenant of 129 characters", request{path: with(strings.Repeat("t", 129)), tenant: "*", operator: true}, 400, "tenant-unnamed"},
		{"a tenant of every kind of character", request{path: with("https://shop.example:8/~a#b|c@d+e_f"), tenant: "*", operator: true}, 404, "order-not-found"},
		{"a tenant with a space", request{path: with("t t"), tenant: "*", operator: true}, 400, "tenant-unnamed"},
		{"a tenant that is not ASCII", request{path: with("tä"), tenant: "*", operator: true}, 400, "tenant-unnamed"},
		{"the claim for all without the scope", request{path: with("t"), tenant: "*"}, 403, "no-tenant"},
		{"an operator of one tenant stays in it", request{path: with("t"), tenant: "u", operator: true}, 404, "order-not-found"},
		{"a caller stays in the token's tenant", request{path: with("t"), tenant: "u"}, 404, "order-not-found"},
		{"a caller's own parameter is ignored", request{path: with("u"), tenant: "t"}, 200, ""},
		{"a parameter that is not a tenant is ignored", request{path: with(" "), tenant: "t"}, 200, ""},
		{"a star before others is a tenant's name", request{path: with("t"), tenant: "*t", operator: true}, 404, "order-not-found"},
		{"a star after others is a tenant's name", request{path: with("t"), tenant: "t*", operator: true}, 404, "order-not-found"},
		{"no tenant, whatever the parameter", request{path: with("t"), tenant: "-", operator: true}, 403, "no-tenant"},
		{"cancel of the named tenant", request{method: http.MethodPost, path: strings.Replace(with("t"), "?", "/cancel?", 1), tenant: "*", operator: true}, 200, ""},
		{"retry of another", request{method: http.MethodPost, path: strings.Replace(with("u"), "?", "/retry?", 1), tenant: "*", operator: true}, 404, "order-not-found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := a.do(t, tt.r)
			text := read(t, r)
			if r.StatusCode != tt.status || tt.typ != "" && !strings.Contains(text, `"/docs#`+tt.typ+`"`) {
				t.Errorf("status %d, want %d %s: %s", r.StatusCode, tt.status, tt.typ, text)
			}
		})
	}
}

// TestLinks: every link works, for a caller of one tenant and for an operator over all.
func TestLinks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		as    request
		query string
	}{
		{"a caller of one tenant", request{tenant: "t"}, ""},
		{"an operator over all", request{tenant: "*", operator: true}, "?tenant=a%26b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPI(t)
			send := func(method, path string) *http.Response {
				r := tt.as
				r.method, r.path = method, path
				if method == http.MethodPost {
					r.body = tea
				}
				return a.do(t, r)
			}
			send(http.MethodPost, "/orders"+tt.query)
			created := send(http.MethodPost, "/orders"+tt.query)
			id := decode[orderBody](t, created).ID
			events := "</orders/" + id + "/events" + tt.query + `>; rel="events"`
			if got := created.Header.Get("Link"); got != events {
				t.Errorf("Link of the new order %s, want %s", got, events)
			}
			location := created.Header.Get("Location")
			got := send(http.MethodGet, location)
			if got.StatusCode != http.StatusOK || decode[orderBody](t, got).ID != id || got.Header.Get("Link") != events {
				t.Errorf("GET %s: %d, Link %s", location, got.StatusCode, got.Header.Get("Link"))
			}
			page := send(http.MethodGet, "/orders?limit=1&"+strings.TrimPrefix(tt.query, "?"))
			next, ok := strings.CutSuffix(strings.TrimPrefix(page.Header.Get("Link"), "<"), `>; rel="next"`)
			if !ok {
				t.Fatalf("Link of a page: %s", page.Header.Get("Link"))
			}
			orders, _ := decode[map[string]any](t, send(http.MethodGet, next))["orders"].([]any)
			if len(orders) != 1 {
				t.Errorf("%s has %d orders", next, len(orders))
			}
		})
	}
}

// TestQueryParameters: an empty or repeated parameter is not taken for an absent one.
func TestQueryParameters(t *testing.T) {
	a := newAPI(t)
	for query, status := range map[string]int{
		"":                        http.StatusOK,
		"limit=":                  http.StatusUnprocessableEntity,
		"status=":                 http.StatusUnprocessableEntity,
		"cursor=":                 http.StatusBadRequest,
		"limit=1&limit=2":         http.StatusUnprocessableEntity,
		"status=PAID&status=PAID": http.StatusUnprocessableEntity,
		"cursor=a&cursor=b":       http.StatusUnprocessableEntity,
		"limit=1&status=PAID":     http.StatusOK,
	} {
		if r := a.do(t, request{path: "/orders?" + query}); r.StatusCode != status {
			t.Errorf("%s: %d, want %d: %s", query, r.StatusCode, status, read(t, r))
		}
	}
}

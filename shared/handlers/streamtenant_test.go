package handlers_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
	"paylane/shared/pebblestore/pebbletest"
)

// TestStreamTenant checks with which tokens an order may be followed.
func TestStreamTenant(t *testing.T) {
	issuer := tokentest.New(t, "")
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	issuer.URL = server.URL
	store, queue := pebbletest.Open(t, time.Minute)
	for tenant, id := range map[string]string{"a": order.KeyedID("a", "1"), "b": order.KeyedID("b", "1")} {
		o, err := order.New(order.Ref{Tenant: tenant, ID: id}, order.Request{Amount: 1, Currency: "KRW"}, "", time.Now()).Cancel(time.Now())
		if err == nil {
			err = store.Create(t.Context(), o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	follow := handlerstest.Must[handlers.StreamHandler](t)(handlers.Stream(
		handlerstest.Environment("AUTH_MODE", "jwt", "ISSUER", issuer.URL, "AUDIENCE", tokentest.Audience+",other"),
		handlerstest.Services(store, queue)))
	token := func(claims map[string]any) string {
		return "Bearer " + issuer.Token(t, issuer.Claims(time.Now(), claims))
	}
	const read, operate = "orders/read", "orders/read orders/operate"
	good := token(map[string]any{"client_id": "a", "scope": read})
	rows := []struct {
		name    string
		headers []string
		query   string
		tenant  string // the tenant whose order is found; the other's is not
		status  int
	}{
		{"good", []string{good}, "", "a", 0},
		{"the query's tenant is ignored", []string{good}, "?tenant=b", "a", 0},
		{"bearer", []string{"bearer" + strings.TrimPrefix(good, "Bearer")}, "", "a", 0},
		{"another parameter", []string{good}, "?order=b", "", 422},
		{"another parameter, without a token", nil, "?order=b", "", 401},
		{"missing", nil, "", "", 401},
		{"two headers", []string{good, good}, "", "", 401},
		{"truncated", []string{good[:len(good)-4]}, "", "", 401},
		{"expired", []string{token(map[string]any{"client_id": "a", "scope": read, "exp": time.Now().Add(-time.Second).Unix()})}, "", "", 401},
		{"another audience", []string{token(map[string]any{"client_id": "a", "scope": read, "aud": "x"})}, "", "", 401},
		{"another issuer", []string{token(map[string]any{"client_id": "a", "scope": read, "iss": "https://x.test"})}, "", "", 401},
		{"scope missing", []string{token(map[string]any{"client_id": "a", "scope": "orders/write"})}, "", "", 403},
		{"no tenant", []string{token(map[string]any{"client_id": nil, "scope": read})}, "", "", 403},
		{"every tenant, not an operator", []string{token(map[string]any{"client_id": "*", "scope": read})}, "?tenant=b", "", 403},
		{"every tenant, an operator", []string{token(map[string]any{"client_id": "*", "scope": operate})}, "?tenant=b", "b", 0},
	}
	for _, row := range rows {
		for _, tenant := range []string{"a", "b"} {
			want := row.status
			switch {
			case want == 0 && tenant == row.tenant:
				want = http.StatusOK
			case want == 0:
				want = http.StatusNotFound
			}
			response, err := follow(t.Context(), &events.LambdaFunctionURLRequest{
				RawPath: "/orders/" + order.KeyedID(tenant, "1") + "/events", RawQueryString: strings.TrimPrefix(row.query, "?"),
				Headers: map[string]string{"authorization": strings.Join(row.headers, ",")}, // as Lambda passes on repeats
				RequestContext: events.LambdaFunctionURLRequestContext{
					DomainName: "id.on.aws", HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{Method: http.MethodGet},
				},
			})
			if err != nil || response.StatusCode != want {
				t.Errorf("%s: an order of tenant %s: %d, %v; want %d", row.name, tenant, response.StatusCode, err, want)
			}
		}
	}
}

// TestStreamEnvironment: only AUTH_MODE none works without an issuer to verify tokens by.
func TestStreamEnvironment(t *testing.T) {
	for _, mode := range []string{"", "NONE", "jwt"} {
		if _, err := handlers.Stream(handlerstest.Environment("AUTH_MODE", mode), handlerstest.Services(nil, nil)); err == nil {
			t.Errorf("AUTH_MODE %q without an issuer is accepted", mode)
		}
	}
}

package handlers_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"paylane/shared/accesstoken"
	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/handlers"
	"paylane/shared/httpapi"
	"paylane/shared/stream"
)

// TestRequestTenant: who may follow orders, by the token that the request brings.
func TestRequestTenant(t *testing.T) {
	issuer := tokentest.New(t, "")
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	issuer.URL = server.URL
	tenantOf, err := handlers.RequestTenantBy("jwt", "client_id", accesstoken.Config{Issuer: issuer.URL, Audience: []string{tokentest.Audience}})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	token := func(claims map[string]any) string {
		return "Bearer " + issuer.Token(t, issuer.Claims(time.Now(), claims))
	}
	const read, operate = "orders/read", "orders/read orders/operate"
	good := token(map[string]any{"client_id": "a", "scope": read})
	rows := []struct {
		name    string
		headers []string
		query   string
		tenant  string
		status  int
	}{
		{"good", []string{good}, "", "a", 0},
		{"tenant of the query, not asked", []string{good}, "?tenant=b", "a", 0},
		{"missing", nil, "", "", 401},
		{"two headers", []string{good, good}, "", "", 401},
		{"truncated", []string{good[:len(good)-4]}, "", "", 401},
		{"expired", []string{token(map[string]any{"client_id": "a", "scope": read, "exp": time.Now().Add(-time.Second).Unix()})}, "", "", 401},
		{"another audience", []string{token(map[string]any{"client_id": "a", "scope": read, "aud": "x"})}, "", "", 401},
		{"another issuer", []string{token(map[string]any{"client_id": "a", "scope": read, "iss": "https://x.test"})}, "", "", 401},
		{"scope missing", []string{token(map[string]any{"client_id": "a", "scope": "orders/write"})}, "", "", 403},
		{"no tenant", []string{token(map[string]any{"client_id": nil, "scope": read})}, "", "", 403},
		{"every tenant, no operator", []string{token(map[string]any{"client_id": "*", "scope": read})}, "?tenant=b", "", 403},
		{"every tenant, an operator", []string{token(map[string]any{"client_id": "*", "scope": operate})}, "?tenant=b", "b", 0},
	}
	for _, row := range rows {
		r := httptest.NewRequest(http.MethodGet, "/orders/"+sampleID+"/events"+row.query, nil)
		r.Header["Authorization"] = row.headers
		tenant, expires, err := tenantOf(r)
		status := 0
		var refusal *stream.Refusal
		var problem *httpapi.Problem
		switch {
		case errors.As(err, &refusal):
			status = refusal.Status
		case errors.As(err, &problem):
			status = problem.Status
		case err != nil:
			t.Errorf("%s: %v", row.name, err)
		}
		if err == nil && (expires.Before(began.Add(time.Hour-time.Second)) || expires.After(time.Now().Add(time.Hour))) {
			t.Errorf("%s: it expires at %v", row.name, expires)
		}
		if tenant != row.tenant || status != row.status {
			t.Errorf("%s: tenant %q, status %d, %v; want %q, %d", row.name, tenant, status, err, row.tenant, row.status)
		}
	}
	for _, mode := range []string{"", "NONE", "jwt"} {
		if _, err := handlers.RequestTenantBy(mode, "client_id", accesstoken.Config{}); err == nil {
			t.Errorf("AUTH_MODE %q without an issuer is taken", mode)
		}
	}
}

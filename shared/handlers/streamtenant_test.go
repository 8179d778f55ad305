package handlers_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"paylane/shared/accesstoken"
	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/handlers"
	"paylane/shared/httpapi"
)

// TestTenantFromToken: who may follow orders, by the token in the request.
func TestTenantFromToken(t *testing.T) {
	issuer := tokentest.New(t, "")
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	issuer.URL = server.URL
	authenticate, err := handlers.TenantFromToken("jwt", "client_id", accesstoken.Config{Issuer: issuer.URL, Audience: []string{tokentest.Audience}})
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
		name     string
		headers  []string
		tenant   string
		operator bool
		status   int
	}{
		{"good", []string{good}, "a", false, 0},
		{"missing", nil, "", false, 401},
		{"two headers", []string{good, good}, "", false, 401},
		{"truncated", []string{good[:len(good)-4]}, "", false, 401},
		{"expired", []string{token(map[string]any{"client_id": "a", "scope": read, "exp": time.Now().Add(-time.Second).Unix()})}, "", false, 401},
		{"another audience", []string{token(map[string]any{"client_id": "a", "scope": read, "aud": "x"})}, "", false, 401},
		{"another issuer", []string{token(map[string]any{"client_id": "a", "scope": read, "iss": "https://x.test"})}, "", false, 401},
		{"scope missing", []string{token(map[string]any{"client_id": "a", "scope": "orders/write"})}, "", false, 403},
		{"no tenant", []string{token(map[string]any{"client_id": nil, "scope": read})}, "", false, 0},
		{"every tenant, not an operator", []string{token(map[string]any{"client_id": "*", "scope": read})}, "*", false, 0},
		{"every tenant, an operator", []string{token(map[string]any{"client_id": "*", "scope": operate})}, "*", true, 0},
	}
	for _, row := range rows {
		r := httptest.NewRequest(http.MethodGet, "/orders/"+sampleID+"/events", nil)
		r.Header["Authorization"] = row.headers
		identity, err := authenticate(r)
		status := 0
		var problem *httpapi.Problem
		if errors.As(err, &problem) {
			status = problem.Status
		} else if err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if problem != nil && !strings.HasPrefix(problem.GetHeaders().Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: no challenge in %v", row.name, problem.GetHeaders())
		}
		if expires := identity.Expires; err == nil && (expires.Before(began.Add(time.Hour-time.Second)) || expires.After(time.Now().Add(time.Hour))) {
			t.Errorf("%s: it expires at %v", row.name, expires)
		}
		if identity.Tenant != row.tenant || identity.Operator != row.operator || status != row.status {
			t.Errorf("%s: %+v, status %d, %v; want %q, %v, %d", row.name, identity, status, err, row.tenant, row.operator, row.status)
		}
	}
	for _, mode := range []string{"", "NONE", "jwt"} {
		if _, err := handlers.TenantFromToken(mode, "client_id", accesstoken.Config{}); err == nil {
			t.Errorf("AUTH_MODE %q without an issuer is accepted", mode)
		}
	}
}

package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"paylane/shared/accesstoken"
	"paylane/shared/httpapi"
	"paylane/shared/order"
	"paylane/shared/stream"
)

// requestTenant names the tenant of a request that nobody has verified yet, and when the
// caller's token expires; zero is never. Its error is a [*stream.Refusal], or one that
// [httpapi.WriteError] knows.
type requestTenant = func(*http.Request) (tenant string, expires time.Time, err error)

// tenantFromToken is [tenantFromAuthorizer] behind a Function URL, where no authorizer is: it
// verifies the token in the request's header Authorization.
func tenantFromToken(e streamEnvironment, s Services) (requestTenant, error) {
	required, err := e.Auth.Required()
	if err != nil {
		return nil, err
	}
	if !required {
		return func(*http.Request) (string, time.Time, error) { return LocalTenant, time.Time{}, nil }, nil
	}
	if err := e.Issuer.Check(); err != nil {
		return nil, err
	}
	verifier := accesstoken.New(accesstoken.Config{
		Issuer: e.Issuer.URL, Audience: e.Issuer.Audience, Client: s.Client, Now: s.Now, Log: s.Log,
	})
	return func(r *http.Request) (tenant string, expires time.Time, err error) {
		claims, err := verified(verifier, r)
		if err != nil {
			return "", time.Time{}, err
		}
		tenant, err = httpapi.TenantOf(claims.Text(e.Claim.Name), slices.Contains(claims.Scopes(), httpapi.ScopeOperate), r.URL)
		return tenant, claims.Expires(), err
	}, nil
}

// verified gives the claims of a token that allows to read orders.
func verified(verifier *accesstoken.Verifier, r *http.Request) (accesstoken.Claims, error) {
	token := accesstoken.Bearer(r.Header.Values("Authorization")...)
	if token == "" {
		return nil, &stream.Refusal{Status: http.StatusUnauthorized, Challenge: "Bearer", Detail: "Send an access token in the header Authorization."}
	}
	claims, err := verifier.Verify(r.Context(), token)
	var invalid *accesstoken.InvalidError
	var keys *accesstoken.KeysError
	switch {
	case errors.As(err, &invalid):
		return nil, &stream.Refusal{
			Status: http.StatusUnauthorized, Detail: "The access token is not good: " + invalid.Description + ".",
			Challenge: `Bearer error="invalid_token", error_description="` + invalid.Description + `"`,
		}
	case errors.As(err, &keys):
		return nil, fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	case err != nil:
		return nil, err
	}
	if !slices.Contains(claims.Scopes(), httpapi.ScopeRead) {
		return nil, &stream.Refusal{
			Status: http.StatusForbidden, Detail: "The access token lacks the scope " + httpapi.ScopeRead + ".",
			Challenge: `Bearer error="insufficient_scope", scope="` + httpapi.ScopeRead + `"`,
		}
	}
	return claims, nil
}

package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"paylane/shared/accesstoken"
	"paylane/shared/httpapi"
	"paylane/shared/order"
)

// tenantFromToken is [tenantFromAuthorizer] behind a Function URL, where there is no
// authorizer: it verifies the token in the request's Authorization header.
func tenantFromToken(e streamEnvironment, s Services) (func(*http.Request) (httpapi.Identity, error), error) {
	required, err := e.Auth.Required()
	if err != nil {
		return nil, err
	}
	if !required {
		return func(*http.Request) (httpapi.Identity, error) { return httpapi.Identity{Tenant: LocalTenant}, nil }, nil
	}
	if err := e.Issuer.Check(); err != nil {
		return nil, err
	}
	verifier := accesstoken.New(accesstoken.Config{
		Issuer: e.Issuer.URL, Audience: e.Issuer.Audience, Client: s.Client, Now: s.Now, Log: s.Log,
	})
	return func(r *http.Request) (httpapi.Identity, error) {
		claims, err := verified(verifier, r)
		if err != nil {
			return httpapi.Identity{}, err
		}
		return httpapi.Identity{
			Tenant: claims.Text(e.Claim.Name), Operator: slices.Contains(claims.Scopes(), httpapi.ScopeOperate), Expires: claims.Expires(),
		}, nil
	}, nil
}

// verified returns the claims of a token that allows reading orders.
func verified(verifier *accesstoken.Verifier, r *http.Request) (accesstoken.Claims, error) {
	token := accesstoken.Bearer(r.Header.Values("Authorization")...)
	if token == "" {
		return nil, httpapi.Refusal(http.StatusUnauthorized, "Bearer", "Send an access token in the header Authorization.")
	}
	claims, err := verifier.Verify(r.Context(), token)
	var invalid *accesstoken.InvalidError
	var keys *accesstoken.KeysError
	switch {
	case errors.As(err, &invalid):
		return nil, httpapi.Refusal(http.StatusUnauthorized,
			`Bearer error="invalid_token", error_description="`+invalid.Description+`"`,
			"The access token is not valid: "+invalid.Description+".")
	case errors.As(err, &keys):
		return nil, fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	case err != nil:
		return nil, err
	}
	if !slices.Contains(claims.Scopes(), httpapi.ScopeRead) {
		return nil, httpapi.Refusal(http.StatusForbidden,
			`Bearer error="insufficient_scope", scope="`+httpapi.ScopeRead+`"`,
			"The access token lacks the scope "+httpapi.ScopeRead+".")
	}
	return claims, nil
}

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

// Authenticate identifies the sender of a request that nothing has verified yet; see
// [httpapi.EventsConfig].
type Authenticate = func(*http.Request) (httpapi.Identity, error)

// UnauthenticatedRequest takes every caller for LocalTenant.
func UnauthenticatedRequest(*http.Request) (httpapi.Identity, error) {
	return httpapi.Identity{Tenant: LocalTenant}, nil
}

// TenantFromToken chooses by a function's AUTH_MODE, as TenantBy does, but for a function
// behind a Function URL, without an authorizer before it: jwt verifies the token in the
// request's Authorization header, and takes the tenant from its claim.
func TenantFromToken(mode, claim string, tokens accesstoken.Config) (Authenticate, error) {
	switch {
	case mode == "none":
		return UnauthenticatedRequest, nil
	case mode != "jwt":
		return nil, fmt.Errorf("AUTH_MODE must be jwt or none, not %q", mode)
	case tokens.Issuer == "" || len(tokens.Audience) == 0:
		return nil, errors.New("AUTH_MODE jwt needs ISSUER and AUDIENCE")
	}
	verifier := accesstoken.New(tokens)
	return func(r *http.Request) (httpapi.Identity, error) {
		claims, err := verified(verifier, r)
		if err != nil {
			return httpapi.Identity{}, err
		}
		return httpapi.Identity{
			Tenant: claims.Text(claim), Operator: slices.Contains(claims.Scopes(), httpapi.ScopeOperate), Expires: claims.Expires(),
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

package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"paylane/shared/accesstoken"
	"paylane/shared/httpapi"
	"paylane/shared/order"
	"paylane/shared/stream"
)

// RequestTenant names the tenant of a request that nobody has verified yet. Its error is a
// [*stream.Refusal], or one that [httpapi.WriteError] knows.
type RequestTenant = func(*http.Request) (string, error)

// AnyRequestIsLocal takes every caller for LocalTenant.
func AnyRequestIsLocal(*http.Request) (string, error) { return LocalTenant, nil }

// RequestTenantBy is [TenantBy] behind a Function URL, where no authorizer is: jwt
// verifies the token that the request has in its header Authorization.
func RequestTenantBy(mode, claim string, tokens accesstoken.Config) (RequestTenant, error) {
	switch {
	case mode == "none":
		return AnyRequestIsLocal, nil
	case mode != "jwt":
		return nil, fmt.Errorf("AUTH_MODE must be jwt or none, not %q", mode)
	case tokens.Issuer == "" || len(tokens.Audience) == 0:
		return nil, errors.New("AUTH_MODE jwt needs ISSUER and AUDIENCE")
	}
	verifier := accesstoken.New(tokens)
	return func(r *http.Request) (string, error) { return tenantOfToken(verifier, claim, r) }, nil
}

func tenantOfToken(verifier *accesstoken.Verifier, claim string, r *http.Request) (string, error) {
	// What is sent twice is joined, and then is no token.
	token := accesstoken.Bearer(strings.Join(r.Header.Values("Authorization"), ","))
	if token == "" {
		return "", &stream.Refusal{Status: http.StatusUnauthorized, Challenge: "Bearer", Detail: "Send an access token in the header Authorization."}
	}
	claims, err := verifier.Verify(r.Context(), token)
	var invalid *accesstoken.InvalidError
	var keys *accesstoken.KeysError
	switch {
	case errors.As(err, &invalid):
		return "", &stream.Refusal{
			Status: http.StatusUnauthorized, Detail: "The access token is not good: " + invalid.Description + ".",
			Challenge: `Bearer error="invalid_token", error_description="` + invalid.Description + `"`,
		}
	case errors.As(err, &keys):
		return "", fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	case err != nil:
		return "", err
	}
	scopes := claims.Scopes()
	if !slices.Contains(scopes, httpapi.ScopeRead) {
		return "", &stream.Refusal{
			Status: http.StatusForbidden, Detail: "The access token lacks the scope " + httpapi.ScopeRead + ".",
			Challenge: `Bearer error="insufficient_scope", scope="` + httpapi.ScopeRead + `"`,
		}
	}
	return httpapi.TenantOf(claims.Text(claim), slices.Contains(scopes, httpapi.ScopeOperate), r.URL)
}

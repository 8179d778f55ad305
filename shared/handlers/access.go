package handlers

import (
	"context"
	"slices"

	"paylane/shared/handlers/internal/environ"
	"paylane/shared/handlers/internal/httpevent"
	"paylane/shared/httpapi"
)

// LocalTenant owns every order when authentication is off.
const LocalTenant = "local"

// tenantFromAuthorizer returns what names the tenant of a request that came through API
// Gateway: a claim of the token that its authorizer verified.
func tenantFromAuthorizer(auth environ.Auth, claim environ.TenantClaim) (func(context.Context) (string, bool), error) {
	required, err := auth.Required()
	if err != nil {
		return nil, err
	}
	if !required {
		return func(context.Context) (string, bool) { return LocalTenant, true }, nil
	}
	return func(ctx context.Context) (string, bool) {
		tenant, ok := httpevent.Claim(ctx, claim.Name)
		return tenant, ok && tenant != ""
	}, nil
}

// mayOperate reports whether the token that API Gateway verified has the operator's scope.
// Without a token nobody has it.
func mayOperate(ctx context.Context) bool {
	return slices.Contains(httpevent.Scopes(ctx), httpapi.ScopeOperate)
}

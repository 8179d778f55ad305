package httpapi

import (
	"context"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// everyTenant is the claim of an operator over all tenants. Such a caller says with the
// query parameter tenant whose orders a request is about; nobody else is asked.
const everyTenant = "*"

// maxTenant is how long a tenant in the query may be, in bytes.
const maxTenant = 128

type callerKey struct{}

// caller is whose orders a request is about.
type caller struct {
	tenant string
	named  bool // in the query, by an operator over all tenants
}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

func tenantOf(ctx context.Context) string { return callerOf(ctx).tenant }

// link is a path as this caller can follow it: with the tenant, if its token names none.
func (c caller) link(path string, query url.Values) string {
	if c.named {
		if query == nil {
			query = url.Values{}
		}
		query.Set("tenant", c.tenant)
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// events is the Link header that says where an order's changes can be followed.
func (a *api) events(ctx context.Context, id string) string {
	return "<" + a.eventsURL + callerOf(ctx).link("/orders/"+id+"/events", nil) + `>; rel="events"`
}

// authorize finds out whose orders the request is about.
func (a *api) authorize(ctx huma.Context, next func(huma.Context)) {
	c, p := a.caller(ctx)
	if p != nil {
		_, w := humago.Unwrap(ctx)
		writeProblem(w, p)
		return
	}
	next(huma.WithValue(ctx, callerKey{}, c))
}

func (a *api) caller(ctx huma.Context) (caller, *Problem) {
	tenant, ok := a.tenant(ctx.Context())
	if !ok {
		tenant = ""
	}
	at := ctx.URL()
	return callerBy(tenant, func() bool { return a.operator(ctx.Context()) }, &at)
}

func callerBy(claimed string, operator func() bool, at *url.URL) (caller, *Problem) {
	switch {
	case claimed == "":
		return caller{}, noTenant()
	case claimed != everyTenant:
		return caller{tenant: claimed}, nil
	case !operator():
		return caller{}, everyTenantForbidden()
	}
	named := at.Query()["tenant"]
	if len(named) != 1 || !validTenant(named[0]) {
		return caller{}, tenantUnnamed()
	}
	return caller{tenant: named[0], named: true}, nil
}

// TenantOf is whose orders a request is about: the tenant that its token claims, or the one
// in the query where that is every tenant and an operator asks. The error is a [*Problem].
func TenantOf(claimed string, operator bool, at *url.URL) (string, error) {
	c, p := callerBy(claimed, func() bool { return operator }, at)
	if p != nil {
		return "", p
	}
	return c.tenant, nil
}

// validTenant tells whether a text may name a tenant: visible ASCII, as an OAuth client
// id is (RFC 6749, appendix A.1), and not the claim for all.
func validTenant(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' || s[i] == '*' {
			return false
		}
	}
	return s != "" && len(s) <= maxTenant
}

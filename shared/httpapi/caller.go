package httpapi

import (
	"context"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// The scopes of access tokens. API Gateway requires them as the template's routes say.
const (
	// ScopeRead allows seeing orders.
	ScopeRead = "orders/read"
	// ScopeOperate is the operator's.
	ScopeOperate = "orders/operate"
)

// EveryTenant is the tenant claim of an operator over all tenants. Such a caller names in
// the query parameter tenant whose orders a request is about; for everybody else the
// parameter is ignored.
const EveryTenant = "*"

// maxTenant bounds a tenant in the query, in bytes.
const maxTenant = 128

type callerKey struct{}

// caller identifies whose orders a request is about.
type caller struct {
	tenant string
	named  bool // by an operator over all tenants, in the query
}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

func tenantOf(ctx context.Context) string { return callerOf(ctx).tenant }

// link returns a path as this caller can follow it: with the tenant, if its token names none.
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

// eventsLink returns the Link header that says where an order's changes can be followed.
func (a *api) eventsLink(ctx context.Context, id string) string {
	return "<" + a.EventsURL + callerOf(ctx).link("/orders/"+id+"/events", nil) + `>; rel="events"`
}

// noStore is the Cache-Control of problems, and of answers with orders other than that of
// GET /orders/{id}: without an ETag a cache could not revalidate them.
const noStore = "private, no-store"

// authorize determines whose orders the request is about, and refuses a query with other
// parameters than the operation's.
//
// Answers differ by Authorization, which needs no Vary (RFC 9110, section 12.5.5).
func (a *api) authorize(ctx huma.Context, next func(huma.Context)) {
	tenant, ok := a.Tenant(ctx.Context())
	if !ok {
		tenant = ""
	}
	r, w := humago.Unwrap(ctx)
	var names []string
	if r.URL.RawQuery != "" {
		names = queryNames(ctx.Operation())
	}
	c, p := callerBy(tenant, tenant == EveryTenant && a.Operator(ctx.Context()), r.URL, names)
	if p != nil {
		writeProblem(w, p)
		return
	}
	w.Header().Set("Cache-Control", noStore)
	next(huma.WithValue(ctx, callerKey{}, c))
}

// callerBy returns the caller whose token claims a tenant: that tenant, or the one in the
// query if the claim is EveryTenant and the token is an operator's. The query may have no
// parameters but those named.
func callerBy(claimed string, operator bool, at *url.URL, names []string) (caller, *Problem) {
	switch {
	case claimed == "":
		return caller{}, noTenant()
	case claimed == EveryTenant && !operator:
		return caller{}, everyTenantForbidden()
	}
	if p := checkQuery(at.RawQuery, names...); p != nil {
		return caller{}, p
	}
	if claimed != EveryTenant {
		return caller{tenant: claimed}, nil
	}
	named := at.Query().Get("tenant")
	if !validTenant(named) {
		return caller{}, tenantUnnamed()
	}
	return caller{tenant: named, named: true}, nil
}

// validTenant reports whether a text may name a tenant: visible ASCII, as in an OAuth
// client id (RFC 6749, appendix A.1), without the claim for all.
func validTenant(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' || s[i] == '*' {
			return false
		}
	}
	return s != "" && len(s) <= maxTenant
}

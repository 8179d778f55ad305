package template

import (
	"net/http"
	"slices"
)

// authorize sets the route's authorizer: the event's own, or the API's default. The
// default does not apply to OPTIONS, and an event can opt out of it with NONE.
func (r *reader) authorize(route *Route, p *properties, api *resource) {
	settings := r.propertiesOfResource(api).inner("Auth", typeHTTPAPI+" Auth")
	standard := settings.text("DefaultAuthorizer", "")
	authorizers := r.authorizers(settings)
	if settings.boolean("EnableIamAuthorizer", false) {
		settings.problem("EnableIamAuthorizer", "requests signed with IAM credentials are not checked")
	}
	settings.done()

	own := p.inner("Auth", typeFunction+" Events HttpApi Auth")
	name := own.text("Authorizer", "")
	scopes := own.texts("AuthorizationScopes")
	own.done()
	switch {
	case name == "NONE":
		if standard == "" {
			own.problem("Authorizer", "NONE needs an API with a DefaultAuthorizer")
		}
		return
	case name == "" && own.n != nil && standard == "":
		own.problem("Authorizer", "Auth needs an Authorizer, or a DefaultAuthorizer on the API")
		return
	case name == "" && (own.n != nil || route.Method != http.MethodOptions):
		name = standard
	}
	if name == "" {
		return
	}
	i := slices.IndexFunc(authorizers, func(a authorizer) bool { return a.Name == name })
	if i < 0 {
		own.problem("Authorizer", "the API has no authorizer %s", quote(name))
		return
	}
	route.Authorizer = &authorizers[i].JWTAuthorizer
	route.Scopes = authorizers[i].scopes
	if own.n.get("AuthorizationScopes") != nil {
		route.Scopes = scopes
	}
}

// authorizer is one of an API's authorizers, with the scopes of routes that name none.
type authorizer struct {
	JWTAuthorizer
	scopes []string
}

// authorizers reads the Authorizers of an API's Auth.
func (r *reader) authorizers(settings *properties) []authorizer {
	all := settings.inner("Authorizers", "Authorizers")
	if all.n == nil {
		return nil
	}
	var list []authorizer
	for _, e := range all.n.entries {
		p := all.inner(e.key, typeHTTPAPI+" Authorizer")
		a := authorizer{
			JWTAuthorizer: JWTAuthorizer{
				Name:           e.key,
				IdentitySource: p.text("IdentitySource", "$request.header.Authorization"),
			},
			scopes: p.texts("AuthorizationScopes"),
		}
		jwt := p.inner("JwtConfiguration", typeHTTPAPI+" JwtConfiguration")
		switch {
		case jwt.n != nil:
			a.Issuer, a.Audience = jwt.required("issuer"), jwt.texts("audience")
			if len(a.Audience) == 0 && !jwt.invalid("audience") {
				jwt.problem("audience", "it is required")
			}
			jwt.done()
		case p.n != nil && p.n.get("FunctionArn") == nil:
			p.problem("JwtConfiguration", "it is required")
		}
		p.done()
		list = append(list, a)
	}
	return list
}

package template

import (
	"slices"
	"strings"
)

// What a local program fills a parameter with, according to the template's Metadata
// ([Filled]).
const (
	RoleAuthMode      = "AuthMode"      // none, or oidc if access tokens are required
	RoleIssuer        = "Issuer"        // the URL of the tokens' issuer
	RoleAudience      = "Audience"      // the audiences to accept, separated by commas
	RoleTenantClaim   = "TenantClaim"   // the claim that names the tenant
	RoleConsoleClient = "ConsoleClient" // the issuer's client by which people sign in to a console
)

//nolint:gochecknoglobals // a table, never written
var roles = []string{RoleAuthMode, RoleIssuer, RoleAudience, RoleTenantClaim, RoleConsoleClient}

// ownSection is the section of Metadata by which a template says that it is paylane's own.
const ownSection = "Paylane"

// Filled returns the names of the parameters that a template leaves to the program which
// runs it locally, by their roles, and reports whether it is one of paylane's own: whether
// its Metadata has a section like
//
//	Paylane:
//	  Parameters: {AuthMode: AuthMode, Issuer: TokenIssuer}
//
// The parameters of any other template are its user's alone. [Read] checks the section.
func Filled(source []byte) (parameters map[string]string, own bool) {
	root, err := parse(source)
	if err != nil {
		return nil, false // Read reports why
	}
	section := root.get("Metadata").get(ownSection)
	parameters = make(map[string]string)
	for _, e := range entriesOf(section.get("Parameters")) {
		if root.get("Parameters").get(e.value.text) != nil {
			parameters[e.key] = e.value.text
		}
	}
	return parameters, section != nil
}

// readOwn checks the section of [Filled].
func (r *reader) readOwn(metadata *properties) {
	own := metadata.inner(ownSection, "Metadata."+ownSection)
	parameters := own.inner("Parameters", "Metadata."+ownSection+".Parameters")
	own.done()
	if parameters.n == nil {
		return
	}
	for _, e := range parameters.n.entries {
		switch name := parameters.text(e.key, ""); {
		case !slices.Contains(roles, e.key):
			parameters.problem(e.key, "the program fills no parameter with it; it knows %s", strings.Join(roles, ", "))
		case name != "" && r.root.get("Parameters").get(name) == nil:
			parameters.problem(e.key, "the template has no parameter %s", quote(name))
		}
	}
}

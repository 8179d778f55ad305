package template

import (
	"slices"
	"strings"
)

// ownRoles are what the program fills parameters with ([OwnParameters]).
//
//nolint:gochecknoglobals // a table, never written
var ownRoles = []string{"AuthMode", "Issuer", "Audience", "TenantClaim"}

// OwnParameters returns the parameters that a template asks the program to fill, by role,
// and reports whether the template is the program's own: whether it has such a block at all.
//
//	Metadata:
//	  Paylane:
//	    Parameters: {AuthMode: AuthMode, Issuer: Issuer}
//
// Each key is a role, each value the parameter's name:
//
//   - AuthMode: "none" if nobody is asked for a token, "oidc" otherwise
//   - Issuer: the URL of the tokens' issuer
//   - Audience: the accepted audiences, separated by commas
//   - TenantClaim: the claim that names the tenant
//
// A parameter of any other template is its user's, whatever its name. [Read] reports what is
// wrong with the block, or with the template; OwnParameters leaves it out.
func OwnParameters(source []byte) (roles map[string]string, own bool) {
	root, err := parse(source)
	if err != nil {
		return nil, false
	}
	block := root.get("Metadata").get("Paylane")
	roles = make(map[string]string)
	for _, e := range entriesOf(block.get("Parameters")) {
		if slices.Contains(ownRoles, e.key) && root.get("Parameters").get(e.value.text) != nil {
			roles[e.key] = e.value.text
		}
	}
	return roles, block != nil
}

// checkOwnParameters checks the block that [OwnParameters] reads.
func (r *reader) checkOwnParameters() {
	const path = "Metadata.Paylane"
	block := r.root.get("Metadata").get("Paylane")
	if block == nil {
		return
	}
	own := r.propertiesOf(block, block, path, path)
	roles := own.inner("Parameters", path+".Parameters")
	own.done()
	for _, e := range entriesOf(roles.n) {
		if !slices.Contains(ownRoles, e.key) {
			r.add(e.at, roles.path, "%s is not one of the roles %s", quote(e.key), strings.Join(ownRoles, ", "))
		} else if r.root.get("Parameters").get(e.value.text) == nil {
			roles.problem(e.key, "it must be the name of a parameter of the template, not %s", e.value.describe())
		}
	}
}

package template_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/template"
)

// TestOwnParameters: a template says which parameters the program fills; their names alone
// say nothing.
func TestOwnParameters(t *testing.T) {
	paylane, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const parameters = "Parameters: {AuthMode: {Type: String}, Who: {Type: String}}\n"
	for _, tt := range []struct {
		name, source string
		want         map[string]string
		own          bool
	}{
		{"paylane's", string(paylane), map[string]string{
			"AuthMode": "AuthMode", "Issuer": "Issuer", "Audience": "Audience", "TenantClaim": "TenantClaim"}, true},
		{"another, with the same names", parameters, map[string]string{}, false},
		{"another, with Metadata", parameters + "Metadata: {AWS::CloudFormation::Interface: {}}", map[string]string{}, false},
		{"another name", parameters + "Metadata: {Paylane: {Parameters: {Issuer: Who}}}", map[string]string{"Issuer": "Who"}, true},
		{"none of them", parameters + "Metadata: {Paylane: {}}", map[string]string{}, true},
		{"what Read refuses", parameters + "Metadata: {Paylane: {Parameters: {Colour: Who, Issuer: Nobody, Audience: [Who]}}}", map[string]string{}, true},
		{"not a template", "a: b: c", nil, false},
		{"text", "a", map[string]string{}, false},
	} {
		roles, own := template.OwnParameters([]byte(tt.source))
		if d := cmp.Diff(tt.want, roles); d != "" || own != tt.own {
			t.Errorf("%s: own is %v, roles (-want +got):\n%s", tt.name, own, d)
		}
	}
}

package template_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/template"
)

// TestFilled: the section names the parameters; without it, a template has none to fill in.
func TestFilled(t *testing.T) {
	for _, tt := range []struct {
		name, metadata string
		want           map[string]string
		own            bool
	}{
		{"somebody else's", "", nil, false},
		{"other metadata", "Metadata: {Other: {Parameters: {Issuer: P}}}\n", nil, false},
		{"without parameters", "Metadata: {Paylane: {}}\n", nil, true},
		{"another name", "Metadata: {Paylane: {Parameters: {Issuer: P}}}\n", map[string]string{"Issuer": "P"}, true},
	} {
		got, own := template.Filled([]byte(tt.metadata + "Parameters: {P: {Type: String, Default: x}}\nResources: {}\n"))
		if len(got) == 0 {
			got = nil
		}
		if d := cmp.Diff(tt.want, got); d != "" || own != tt.own {
			t.Errorf("%s: own is %v; (-want +got):\n%s", tt.name, own, d)
		}
	}
}

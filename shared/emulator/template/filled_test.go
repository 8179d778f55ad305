package template_test

import (
	"errors"
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

// TestFilledProblems: a section that can't be followed is a problem.
func TestFilledProblems(t *testing.T) {
	const source = "Metadata:\n  Paylane:\n    Parameters: {Issuer: Q, Colour: P}\n    Colour: red\nParameters: {P: {Type: String, Default: x}}\nResources: {}\n"
	_, err := template.Read("template.yaml", []byte(source), template.Options{})
	var all *template.Error
	if !errors.As(err, &all) {
		t.Fatalf("%v", err)
	}
	var got []string
	for _, p := range all.Problems {
		got = append(got, p.String())
	}
	want := []string{
		`line 3: Metadata.Paylane.Parameters.Issuer: the template has no parameter "Q"`,
		"line 3: Metadata.Paylane.Parameters.Colour: the runner fills no parameter with it; it knows AuthMode, Issuer, Audience and TenantClaim",
		`line 4: Metadata.Paylane: "Colour" is unknown: Metadata Paylane has no such property, or the emulator does not support it`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

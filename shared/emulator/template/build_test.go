package template_test

import (
	"testing"

	"paylane/shared/emulator/template"
)

// TestBuild: how a function is built is read from its Metadata, and whatever else is there
// is named. Without a CodeUri the code is in the template's folder.
func TestBuild(t *testing.T) {
	const other, unknown = "it is for another tool", "nothing here reads it"
	for _, tt := range []struct {
		name, resource string
		codeURI        string
		want           template.Build
		skipped        []template.Skipped
	}{
		{"nothing", "", ".", template.Build{}, nil},
		{"CodeUri", "    Properties: {CodeUri: a/b.zip}\n", "a/b.zip", template.Build{}, nil},
		{
			"make",
			"    Metadata: {BuildMethod: makefile, ContextPath: build, WorkingDirectory: ., ProjectRootDirectory: !Sub 'a/${AWS::Region}'}\n",
			".",
			template.Build{Method: "makefile", ContextPath: "build", WorkingDirectory: ".", ProjectRootDirectory: "a/us-east-1"}, nil,
		},
		{
			"go", "    Metadata: {BuildMethod: go1.x, BuildProperties: {TrimGoPath: true}}\n", ".",
			template.Build{Method: "go1.x", TrimPath: true}, nil,
		},
		{
			"local paths", "    Metadata: {LocalPaths: [/x]}\n    Properties: {FunctionUrlConfig: {AuthType: NONE}}\n", ".",
			template.Build{}, nil,
		},
		{"no build", "    Metadata: {SkipBuild: true}\n", ".", template.Build{Skip: true}, nil},
		{
			"what only make uses", "    Metadata: {BuildMethod: go1.x, ContextPath: build}\n", ".", template.Build{Method: "go1.x"},
			[]template.Skipped{{Path: "Resources.F.Metadata.ContextPath", Reason: "only a build with make uses it", Line: 6}},
		},
		{
			"what only go uses", "    Metadata: {BuildMethod: makefile, BuildProperties: {TrimGoPath: true}}\n", ".", template.Build{Method: "makefile"},
			[]template.Skipped{{Path: "Resources.F.Metadata.BuildProperties", Reason: "make takes no build properties", Line: 6}},
		},
		{
			"other keys",
			"    Metadata:\n      cfn-lint: {config: {ignore_checks: [W1]}}\n      DockerTag: v1\n      Contextpath: build\n      BuildProperties: {Flags: [-race]}\n",
			".", template.Build{},
			[]template.Skipped{
				{Path: "Resources.F.Metadata.cfn-lint", Reason: other, Line: 7},
				{Path: "Resources.F.Metadata.DockerTag", Reason: "container images are not run", Line: 8},
				{Path: "Resources.F.Metadata.Contextpath", Reason: unknown, Line: 9},
				{Path: "Resources.F.Metadata.BuildProperties.Flags", Reason: unknown, Line: 10},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := "Transform: AWS::Serverless-2016-10-31\n" +
				"Globals: {Function: {Handler: bootstrap, Runtime: provided.al2023}}\n" +
				"Resources:\n  F:\n    Type: AWS::Serverless::Function\n" + tt.resource
			got, err := template.Read("template.yaml", []byte(source), template.Options{})
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "code", tt.codeURI, got.Functions[0].CodeURI)
			diff(t, "build", tt.want, got.Functions[0].Build)
			diff(t, "skipped", tt.skipped, got.Skipped)
		})
	}
}

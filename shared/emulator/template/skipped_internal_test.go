package template

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTablesAreNamed: each entry of both tables is in Skipped, with its place and its
// reason, in a template that has it.
func TestTablesAreNamed(t *testing.T) {
	const transform = "Transform: AWS::Serverless-2016-10-31\n"
	const settings = "CodeUri: ., Handler: bootstrap, Runtime: provided.al2023"
	function := func(path, more string) (string, string) {
		return transform + "Resources:\n  Q: {Type: AWS::SQS::Queue}\n" +
			"  T: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [], StreamSpecification: {StreamViewType: KEYS_ONLY}}}\n" +
			"  R:\n    Type: AWS::Serverless::Function\n    Properties: {" +
			settings + ", " + more + "}\n", "Resources.R.Properties." + path
	}
	event := func(typ, more string) (string, string) {
		return function("Events.E.Properties.", "Events: {E: {Type: "+typ+", Properties: {"+more+"%s: x}}}")
	}
	// Each returns a template with a place for a key, and the path to the place.
	around := map[string]func() (string, string){
		"template": func() (string, string) { return "%s: x\nResources: {}\n", "" },
		"parameter": func() (string, string) {
			return "Parameters: {P: {Type: String, Default: x, %s: x}}\nResources: {}\n", "Parameters.P."
		},
		"output":     func() (string, string) { return "Resources: {}\nOutputs: {O: {Value: x, %s: x}}\n", "Outputs.O." },
		"resource":   func() (string, string) { return "Resources: {R: {Type: AWS::SQS::Queue, %s: x}}\n", "Resources.R." },
		typeFunction: func() (string, string) { return function("", "%s: x") },
		typeFunction + " LoggingConfig": func() (string, string) {
			return function("LoggingConfig.", "LoggingConfig: {%s: x}")
		},
		typeFunction + " Events SQS": func() (string, string) { return event("SQS", "Queue: !GetAtt Q.Arn, ") },
		typeFunction + " Events DynamoDB": func() (string, string) {
			return event("DynamoDB", "Stream: !GetAtt T.StreamArn, StartingPosition: LATEST, ")
		},
		typeFunction + " Events Schedule":   func() (string, string) { return event("Schedule", "Schedule: rate(1 day), ") },
		typeFunction + " Events ScheduleV2": func() (string, string) { return event("ScheduleV2", "ScheduleExpression: rate(1 day), ") },
		typeFunction + " Events HttpApi":    func() (string, string) { return event("HttpApi", "") },
		typeHTTPAPI + " RouteSettings": func() (string, string) {
			return function("Events.E.Properties.RouteSettings.", "Events: {E: {Type: HttpApi, Properties: {RouteSettings: {%s: x}}}}")
		},
		typeMapping: func() (string, string) {
			source, _ := function("", "FunctionName: f")
			return source + "  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {FunctionName: f, EventSourceArn: !GetAtt Q.Arn, %s: x}}\n",
				"Resources.M.Properties."
		},
		typeStreamMapping: func() (string, string) {
			source, _ := function("", "FunctionName: f")
			return source + "  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {FunctionName: f, EventSourceArn: !GetAtt T.StreamArn, StartingPosition: LATEST, %s: x}}\n",
				"Resources.M.Properties."
		},
		"metadata": func() (string, string) {
			return transform + "Resources:\n  R:\n    Type: AWS::Serverless::Function\n    Metadata: {BuildMethod: go1.x, %s: x}\n" +
				"    Properties: {" + settings + "}\n", "Resources.R.Metadata."
		},
		typeTable: func() (string, string) {
			return "Resources: {R: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [], %s: x}}}\n", "Resources.R.Properties."
		},
		typeTable + " StreamSpecification": func() (string, string) {
			return "Resources: {R: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [], StreamSpecification: {StreamViewType: KEYS_ONLY, %s: x}}}}\n",
				"Resources.R.Properties.StreamSpecification."
		},
	}
	for typ, keys := range accepted {
		if around[typ] == nil { // a type whose properties are all optional
			around[typ] = func() (string, string) {
				return "Resources: {R: {Type: " + typ + ", Properties: {%s: x}}}\n", "Resources.R.Properties."
			}
		}
		for key, reason := range keys {
			t.Run(typ+" "+key, func(t *testing.T) {
				source, path := around[typ]()
				wantNamed(t, fmt.Sprintf(source, key), Skipped{Path: path + key, Reason: reason})
			})
		}
	}
	for typ, reason := range acceptedTypes {
		t.Run(typ, func(t *testing.T) {
			wantNamed(t, "Resources: {R: {Type: "+typ+"}}\n", Skipped{Path: "Resources.R", Type: typ, Reason: reason})
		})
	}
}

func wantNamed(t *testing.T, source string, want Skipped) {
	t.Helper()
	got, err := Read("template.yaml", []byte(source), Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, source)
	}
	if !slices.ContainsFunc(got.Skipped, func(s Skipped) bool {
		line := s.Line
		s.Line = 0
		return s == want && line > 0
	}) {
		t.Errorf("%+v is not in %+v\n%s", want, got.Skipped, source)
	}
}

// TestSkipped: what is named, besides the tables' entries, and that each is named once,
// where it stands.
func TestSkipped(t *testing.T) {
	const source = `Transform: AWS::Serverless-2016-10-31
Description: a shop
Metadata: {AWS::CloudFormation::Interface: {ParameterGroups: []}, Owner: me}
Conditions: {Never: !Equals [a, b]}
Globals:
  Function: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023, Tracing: Active, Tags: {a: b}, LoggingConfig: {SystemLogLevel: WARN}}
  Api: {TracingEnabled: true}
Resources:
  One:
    Type: AWS::Serverless::Function
    DependsOn: Role
    Metadata: {BuildMethod: go1.x, DockerTag: x}
    Properties:
      Tags: {c: d}
      Events: {A: {Type: HttpApi, Properties: {ApiId: !Ref Api}}, B: {Type: HttpApi, Properties: {ApiId: !Ref Api, Path: /b, Method: get}}}
  Two: {Type: AWS::Serverless::Function, IgnoreGlobals: [Tags], Properties: {Description: two}}
  Gone: {Type: AWS::Serverless::Function, Condition: Never, Properties: {Description: never}}
  Role: {Type: AWS::IAM::Role, Metadata: {x: y}, Properties: {RoleName: r}}
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Domain: {DomainName: shop.example}
      DefaultRouteSettings: {DetailedMetricsEnabled: true}
  Empty: {Type: AWS::Serverless::HttpApi, Properties: {Auth: {EnableIamAuthorizer: false}, DefaultRouteSettings: {}}}
  Q: {Type: AWS::SQS::Queue, Metadata: {cfn-lint: {}}, Properties: {RedriveAllowPolicy: {redrivePermission: denyAll}}}
  B: {Type: AWS::S3::Bucket, DeletionPolicy: Retain, Metadata: {x: y}, Properties: {NotificationConfiguration: {}}}
`
	got, err := Read("template.yaml", []byte(source), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Skipped{
		{Path: "Description", Reason: noTags, Line: 2},
		{Path: "Metadata.AWS::CloudFormation::Interface", Reason: noMetadata, Line: 3},
		{Path: "Metadata.Owner", Reason: noMetadata, Line: 3},
		{Path: "Globals.Function.LoggingConfig.SystemLogLevel", Reason: noLogs, Line: 6},
		{Path: "Globals.Function.Tracing", Reason: noTracing, Line: 6},
		{Path: "Globals.Api", Reason: "no resource takes it", Line: 7},
		{Path: "Resources.One.DependsOn", Reason: noDeploy, Line: 11},
		{Path: "Resources.One.Metadata.DockerTag", Reason: noImages, Line: 12},
		{Path: "Resources.One.Properties.Tags", Reason: noTags, Line: 14},
		{Path: "Resources.Two.Properties.Description", Reason: noTags, Line: 16},
		{Path: "Resources.Role", Type: "AWS::IAM::Role", Reason: noIAM, Line: 18},
		{Path: "Resources.Api.Properties.Domain", Reason: noDomain, Line: 22},
		{Path: "Resources.Api.Properties.DefaultRouteSettings.DetailedMetricsEnabled", Reason: noMetrics, Line: 23},
		{Path: "Resources.Empty.Properties.Auth", Reason: "it has no routes", Line: 24},
		{Path: "Resources.Empty.Properties.DefaultRouteSettings", Reason: "it has no routes", Line: 24},
		{Path: "Resources.Q.Metadata.cfn-lint", Reason: noMetadata, Line: 25},
		{Path: "Resources.Q.Properties.RedriveAllowPolicy", Reason: "it is the dead-letter queue of none", Line: 25},
		{Path: "Resources.B.DeletionPolicy", Reason: noDeploy, Line: 26},
		{Path: "Resources.B.Metadata.x", Reason: noMetadata, Line: 26},
		{Path: "Resources.B.Properties.NotificationConfiguration", Reason: "a bucket's events call nothing locally", Line: 26},
	}
	if d := cmp.Diff(want, got.Skipped); d != "" {
		t.Errorf("skipped (-want +got):\n%s", d)
	}
}

package template_test

import (
	"errors"
	"testing"

	"paylane/shared/emulator/template"
)

// TestOutputs: the Outputs' values, and why those that are not known locally are not.
func TestOutputs(t *testing.T) {
	const source = `Transform: AWS::Serverless-2016-10-31
Parameters: {P: {Type: "AWS::SSM::Parameter::Value<String>", Default: /p}}
Conditions: {Never: !Equals [a, b], Always: !Not [!Condition Never], Later: !Equals [!Ref P, x]}
Resources:
  Group: {Type: AWS::XRay::Group}
  Topic: {Type: AWS::SNS::Topic}
  F:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023, AutoPublishAlias: live, Events: {A: {Type: HttpApi}}}
Outputs:
  Topic: {Description: where to look, Value: !Sub "${Topic.TopicName}!", Export: {Name: !Sub "${AWS::StackName}-topic"}, Condition: Always}
  Gone: {Value: !Ref Nope, Condition: Never}
  Api: {Value: !Sub "https://${ServerlessHttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${ServerlessHttpApi.Stage}/"}
  Role: {Value: !GetAtt FRole.Arn}
  Alias: {Value: !Join [" ", [!Ref F.Alias, !Ref F.Version]]}
  Elsewhere: {Value: !GetAtt Group.GroupARN}
  Attribute: {Value: !GetAtt Topic.Nope}
  Import: {Value: !ImportValue other}
  Function: {Value: !Select [0, !GetAZs ""]}
  Broken: {Value: "{{resolve:ssm:broken}}"}
  Parameter: {Value: !Ref P}
  LaterCondition: {Value: x, Condition: Later}
`
	got, err := template.Read("template.yaml", []byte(source), template.Options{
		Origin: "http://127.0.0.1:3000",
		Lookup: func(f template.Reference) (string, error) {
			if f.Name == "broken" {
				return "", errors.New("connection refused")
			}
			return "", template.ErrLater
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "outputs", []template.Output{
		{Name: "Topic", Description: "where to look", Value: "local-Topic!", Line: 11},
		{Name: "Api", Value: "http://127.0.0.1:3000/$default/", Line: 13},
		{Name: "Role", Value: "arn:aws:iam::123456789012:role/local-FRole", Line: 14},
		{Name: "Alias", Value: "arn:aws:lambda:us-east-1:123456789012:function:local-F:live arn:aws:lambda:us-east-1:123456789012:function:local-F:1", Line: 15},
		{Name: "Elsewhere", Unknown: "Fn::GetAtt of Group.GroupARN: a resource of type AWS::XRay::Group has no such value locally; supply one by a parameter", Line: 16},
		{Name: "Attribute", Unknown: "Fn::GetAtt of Topic.Nope: a resource of type AWS::SNS::Topic has no such value locally; supply one by a parameter", Line: 17},
		{Name: "Import", Unknown: `Fn::ImportValue of "other": there are no other stacks locally, so its value must be given: --import other=Value`, Line: 18},
		{Name: "Function", Unknown: "Fn::GetAZs is not supported here", Line: 19},
		{Name: "Broken", Unknown: "the value of {{resolve:ssm:broken}}: connection refused", Line: 20},
		{Name: "Parameter", Unknown: "it depends on a value that is not known yet", Line: 21},
	}, got.Outputs)
}

// TestLocalAddresses: the addresses of this template's APIs are local, however they are
// built; those of others stay as they are.
func TestLocalAddresses(t *testing.T) {
	const source = `Transform: AWS::Serverless-2016-10-31
Resources:
  Api: {Type: AWS::Serverless::HttpApi, Properties: {StageName: v1, CorsConfiguration: {AllowOrigins: [!Sub "https://${Api}.execute-api.${AWS::Region}.amazonaws.com"]}}}
  Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Sub "at https://${Api}.execute-api.us-east-1.amazonaws.com/v1"}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
      Events: {Implicit: {Type: HttpApi}}
      Environment:
        Variables:
          ATTRIBUTE: !Sub "${Api.ApiEndpoint}/v1"
          SUB: !Sub "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/v1/x?a=b"
          JOIN: !Join ["", ["https://", !Ref Api, .execute-api., !Ref AWS::Region, ".", !Ref AWS::URLSuffix]]
          IMPLICIT: !Sub "https://${ServerlessHttpApi}.execute-api.eu-west-1.amazonaws.com/"
          CHINA: !Sub "https://${Api}.execute-api.cn-north-1.amazonaws.com.cn/"
          TWO: !Sub "https://${Api}.execute-api.${AWS::Region}.amazonaws.com,https://${ServerlessHttpApi}.execute-api.${AWS::Region}.amazonaws.com"
          STAGE: !Sub "${Api.Stage} ${ServerlessHttpApi.Stage}"
          MADE: !Join [" ", [!Ref Apiv1Stage, !Ref ServerlessHttpApiApiGatewayDefaultStage]]
          HOST: !Sub "${Api}.execute-api.${AWS::Region}.amazonaws.com"
          OTHER: https://abcdefghij.execute-api.us-east-1.amazonaws.com/x
`
	for _, origin := range []string{"", "http://127.0.0.1:3000"} {
		got, err := template.Read("template.yaml", []byte(source), template.Options{Origin: origin})
		if err != nil {
			t.Fatal(err)
		}
		api, implicit := got.APIs[0], got.APIs[1]
		at := func(aws string) string {
			if origin != "" {
				return origin
			}
			return "https://" + aws
		}
		one, two := at(api.DomainName), at(implicit.DomainName)
		diff(t, "environment", map[string]string{
			"ATTRIBUTE": one + "/v1", "SUB": one + "/v1/x?a=b", "JOIN": one, "TWO": one + "," + two, "STAGE": "v1 $default",
			"MADE":     "v1 $default",
			"IMPLICIT": at(implicit.ID+".execute-api.eu-west-1.amazonaws.com") + "/",
			"CHINA":    at(api.ID+".execute-api.cn-north-1.amazonaws.com.cn") + "/",
			"HOST":     api.DomainName, "OTHER": "https://abcdefghij.execute-api.us-east-1.amazonaws.com/x",
		}, got.Functions[0].Environment)
		diff(t, "origins", []string{one}, api.CORS.AllowOrigins)
		diff(t, "topic", "at "+one+"/v1", got.Externals[0].Properties["DisplayName"])
	}
}

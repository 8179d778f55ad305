package template_test

import (
	"testing"
	"time"

	"paylane/shared/emulator/template"
)

// TestConformance has the rows F01 and F02 of docs/emulation.md. That the SDK can
// use the values of F01 is tested where there is an SDK and a queue to use them on.
func TestConformance(t *testing.T) {
	const f01 = `
Transform: AWS::Serverless-2016-10-31
Parameters: {Mode: {Type: String, Default: on-demand}}
Conditions: {Fast: !Equals [!Ref Mode, fast]}
Resources:
  Jobs: {Type: AWS::SQS::Queue, Properties: {QueueName: jobs}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
      Environment:
        Variables:
          URL: !Ref Jobs
          ARN: !GetAtt Jobs.Arn
          NAME: {"Fn::GetAtt": [Jobs, QueueName]}
          TEXT: !Sub "${Jobs.QueueName} in ${AWS::Region} by ${AWS::AccountId}"
          SPEED: !If [Fast, high, low]
          GONE: !If [Fast, "1", !Ref AWS::NoValue]
          NUMBER: 1.50
          TRUTH: True
          VERSION: !Ref Published.Version
          ALIAS: !Sub "${Published.Alias}"
  Published:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023, FunctionName: p, AutoPublishAlias: live}
`
	const f02 = `
Transform: AWS::Serverless-2016-10-31
Globals:
  HttpApi:
    CorsConfiguration: {AllowOrigins: [https://global.example], AllowMethods: [GET], MaxAge: 5}
  Function: {Timeout: 30, CodeUri: ., Handler: bootstrap, Runtime: provided.al2023, Environment: {Variables: {ONE: global, TWO: global}}}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      CorsConfiguration: {AllowOrigins: [https://local.example], AllowMethods: [GET, POST]}
  Long: {Type: AWS::Serverless::Function, Properties: {Timeout: 60, Environment: {Variables: {TWO: local}}}}
  Short: {Type: AWS::Serverless::Function, Properties: {}}
  Alone:
    Type: AWS::Serverless::Function
    IgnoreGlobals: [Timeout, Environment]
    Properties: {}
`
	parse := func(t *testing.T, source string) *template.Template {
		got, err := template.Read("template.yaml", []byte(source), template.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	t.Run("F01 Ref, GetAtt, Sub, If, NoValue in env", func(t *testing.T) {
		got := parse(t, f01)
		diff(t, "environment", map[string]string{
			"URL":    "https://sqs.us-east-1.amazonaws.com/123456789012/jobs",
			"ARN":    "arn:aws:sqs:us-east-1:123456789012:jobs",
			"NAME":   "jobs",
			"TEXT":   "jobs in us-east-1 by 123456789012",
			"SPEED":  "low",
			"NUMBER": "1.50",
			"TRUTH":  "true",

			"VERSION": "arn:aws:lambda:us-east-1:123456789012:function:p:1",
			"ALIAS":   "arn:aws:lambda:us-east-1:123456789012:function:p:live",
		}, got.Functions[0].Environment)
		if q := got.Queues[0]; q.URL != got.Functions[0].Environment["URL"] || q.ARN != got.Functions[0].Environment["ARN"] {
			t.Errorf("the queue is %s, %s", q.URL, q.ARN)
		}
	})
	t.Run("F02 Globals and local", func(t *testing.T) {
		got := parse(t, f02)
		diff(t, "a list", []string{"https://global.example", "https://local.example"}, got.APIs[0].CORS.AllowOrigins)
		diff(t, "a list with the same value twice", []string{"GET", "GET", "POST"}, got.APIs[0].CORS.AllowMethods)
		var timeouts []time.Duration
		var environments []map[string]string
		for _, f := range got.Functions {
			timeouts = append(timeouts, f.Timeout)
			environments = append(environments, f.Environment)
		}
		diff(t, "timeouts", []time.Duration{60 * time.Second, 30 * time.Second, 3 * time.Second}, timeouts)
		diff(t, "environments", []map[string]string{
			{"ONE": "global", "TWO": "local"}, {"ONE": "global", "TWO": "global"}, nil,
		}, environments)
	})
}

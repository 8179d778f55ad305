package template_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"paylane/shared/emulator/template"
)

// problems reads a template and returns its problems as strings.
func problems(t *testing.T, source string, o template.Options) []string {
	t.Helper()
	_, err := template.Read("template.yaml", []byte(source), o)
	if err == nil {
		return nil
	}
	var list *template.Error
	if !errors.As(err, &list) || list.File != "template.yaml" {
		t.Fatalf("the error is a %T: %v", err, err)
	}
	var got []string
	for _, p := range list.Problems {
		got = append(got, p.String())
	}
	return got
}

// A template around one function, one queue and one API; rows add to it. The first
// added line is line 5.
const around = `Transform: AWS::Serverless-2016-10-31
Globals: {Function: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023}}
Resources:
  Q: {Type: AWS::SQS::Queue, Properties: {QueueName: q}}
`

// streamed is a table with a stream, on a line of its own.
const streamed = "  T: {Type: AWS::DynamoDB::Table, Properties: {TableName: t, KeySchema: [], StreamSpecification: {StreamViewType: NEW_IMAGE}}}\n"

func TestProblems(t *testing.T) {
	function := func(properties string) string {
		return "  F:\n    Type: AWS::Serverless::Function\n    Properties:\n" + properties
	}
	event := func(properties string) string {
		return function("      Events:\n        E:\n" + properties)
	}
	const f = "Resources.F.Properties"
	const e = f + ".Events.E.Properties"
	rows := []struct {
		name   string
		source string
		want   []string
	}{
		{"resource type, named once", "  B: {Type: AWS::Kinesis::Stream}\n" + function("      Environment: {Variables: {XX: !Ref B}}\n"), []string{
			"line 5: Resources.B: the resource type AWS::Kinesis::Stream is not supported"}},
		{"unknown property of what is elsewhere", "  B: {Type: AWS::S3::Bucket, Properties: {Name: b}}\n", []string{
			`line 5: Resources.B.Properties: "Name" is unknown: AWS::S3::Bucket has no such property, or the emulator does not support it`}},
		{"same bucket name", "  B: {Type: AWS::S3::Bucket, Properties: {BucketName: b}}\n  C: {Type: AWS::S3::Bucket, Properties: {BucketName: b}}\n", []string{
			`line 6: Resources.C: the resource B has the same name: "b"`}},
		{"values that depend on each other", "  A: {Type: AWS::SSM::Parameter, Properties: {Name: /a, Type: String, Value: '{{resolve:ssm:/b}}'}}\n" +
			"  B: {Type: AWS::SSM::Parameter, Properties: {Name: /b, Type: String, Value: 'x{{resolve:ssm:/a}}'}}\n", []string{
			"line 5: Resources.A.Properties.Value: the value of B depends on itself",
			"line 6: Resources.B.Properties.Value: the value of A depends on itself"}},
		{"value that depends on itself", "  B: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: !GetAtt B.Value}}\n", []string{
			"line 5: Resources.B.Properties.Value: the property Value of B depends on itself"}},
		{"resource without a type", "  B: {Properties: {}}\n", []string{"line 5: Resources.B.Type: it is required"}},
		{"unknown attribute", "  B: {Type: AWS::SQS::Queue, Proprieties: {}}\n", []string{
			`line 5: Resources.B: "Proprieties" is unknown: resource has no such property, or the emulator does not support it`}},
		{"layers", function("      Layers: [x]\n"), []string{
			"line 8: " + f + ": Layers is not supported: layers are not loaded"}},
		{"container image and VPC", function("      PackageType: Image\n      ImageUri: x\n      VpcConfig: {}\n"), []string{
			`line 8: ` + f + `.PackageType: "Image" is not supported; it can be Zip`,
			"line 9: " + f + ": ImageUri is not supported: container images are not run",
			"line 10: " + f + ": VpcConfig is not supported: there are no VPCs locally"}},
		{"misspelt property", function("      Timout: 5\n"), []string{
			`line 8: ` + f + `: "Timout" is unknown: AWS::Serverless::Function has no such property, or the emulator does not support it`}},
		{"timeout too long", function("      Timeout: 901\n"), []string{
			"line 8: " + f + ".Timeout: 901 is out of range: it can be 1 to 900"}},
		{"runtime of another language", function("      Runtime: python3.13\n"), []string{
			`line 8: ` + f + `.Runtime: the runtime "python3.13" is not supported; a Go program runs on provided.al2023`}},
		{"code in S3", function("      CodeUri: {Bucket: b, Key: k}\n"), []string{
			"line 8: " + f + ".CodeUri: it must be a folder or a zip file: code in S3 can't be run locally"}},
		{"reserved variable", function("      Environment: {Variables: {AWS_REGION: x, 1A: y}}\n"), []string{
			"line 8: " + f + ".Environment.Variables: AWS_REGION is reserved by Lambda",
			`line 8: ` + f + `.Environment.Variables: "1A" is not a valid name for an environment variable`}},
		{"variables that no process can have", function("      Environment:\n        Variables: {AWS_LAMBDA_MAX_CONCURRENCY: '2',\n" +
			"          AB=C: x,\n          _LAMBDA_SERVER_PORT: '1',\n          AB: \"\\0\"}\n"), []string{
			"line 9: " + f + ".Environment.Variables: AWS_LAMBDA_MAX_CONCURRENCY is reserved by Lambda",
			`line 10: ` + f + `.Environment.Variables: "AB=C" is not a valid name for an environment variable`,
			`line 11: ` + f + `.Environment.Variables: "_LAMBDA_SERVER_PORT" is not a valid name for an environment variable`,
			"line 12: " + f + ".Environment.Variables.AB: an environment variable can't contain a NUL"}},
		{"null", function("      Timeout:\n"), []string{"line 8: " + f + ".Timeout: a value is missing here"}},
		{"dynamic references", function("      Environment:\n        Variables:\n          AA: '{{resolve:ssm:x}}'\n          BB: ['{{resolve:ssm:x}}']\n" +
			"          CC: 'a{{resolve:secretsmanager:s:SecretString:k}}{{resolve:ssm:x}}'\n"), []string{
			`line 10: ` + f + `.Environment.Variables.AA: the value of {{resolve:ssm:x}} is kept elsewhere: give --endpoint URL where it is`,
			`line 11: ` + f + `.Environment.Variables.BB: it must be a string, not a list`,
			`line 12: ` + f + `.Environment.Variables.CC: the value of {{resolve:secretsmanager:s:SecretString:k}} is kept elsewhere: give --endpoint URL where it is`,
			`line 12: ` + f + `.Environment.Variables.CC: the value of {{resolve:ssm:x}} is kept elsewhere: give --endpoint URL where it is`}},
		{"function URL that IAM guards", function("      FunctionUrlConfig: {AuthType: AWS_IAM}\n"), []string{
			"line 8: " + f + ".FunctionUrlConfig.AuthType: AWS_IAM is not supported: requests signed with IAM credentials are not checked"}},
		{"function URL out of range", function("      FunctionUrlConfig: {InvokeMode: STREAM, Cors: {MaxAge: 86401, AllowCredentials: true, AllowOrigins: ['*'], Allow: x}}\n"), []string{
			"line 8: " + f + ".FunctionUrlConfig.AuthType: it is required",
			`line 8: ` + f + `.FunctionUrlConfig.InvokeMode: "STREAM" is not supported; it can be BUFFERED, RESPONSE_STREAM`,
			"line 8: " + f + ".FunctionUrlConfig.Cors.MaxAge: 86401 is out of range: it can be -1 to 86400",
			`line 8: ` + f + `.FunctionUrlConfig.Cors.AllowCredentials: it can't be true while AllowOrigins has "*"`,
			`line 8: ` + f + `.FunctionUrlConfig.Cors: "Allow" is unknown: AWS::Serverless::Function FunctionUrlConfig Cors has no such property, or the emulator does not support it`}},
		{"invalid local paths", function("      FunctionUrlConfig: {AuthType: NONE}\n    Metadata: {LocalPaths: [x, /a//b, '/{p+}']}\n"), []string{
			`line 9: Resources.F.Metadata.LocalPaths: "x" is not a path such as "/orders/{id}/events"`,
			`line 9: Resources.F.Metadata.LocalPaths: "/a//b" is not a path such as "/orders/{id}/events"`,
			`line 9: Resources.F.Metadata.LocalPaths: "/{p+}" is not a path such as "/orders/{id}/events"`}},
		{"local paths without a URL", function("      Timeout: 5\n    Metadata: {LocalPaths: [/x]}\n"), []string{
			"line 9: Resources.F.Metadata.LocalPaths: it needs a FunctionUrlConfig: the paths lead to the function's URL"}},
		{"function URL written by hand", "  U: {Type: AWS::Lambda::Url, Properties: {AuthType: NONE, TargetFunctionArn: f}}\n", []string{
			"line 5: Resources.U: the resource type AWS::Lambda::Url is not supported: write it as the function's FunctionUrlConfig"}},
		{"name of a function URL taken", function("      FunctionUrlConfig: {AuthType: NONE}\n") + "  FUrl: {Type: AWS::SQS::Queue}\n", []string{
			"line 9: Resources.FUrl: SAM uses this name for the function URL of F"}},
		{"event of another kind", event("          Type: S3\n          Properties: {Bucket: b}\n"), []string{
			`line 10: ` + f + `.Events.E.Type: events of type "S3" are not supported`}},
		{"schedule without an expression", event("          Type: ScheduleV2\n          Properties: {Name: a b}\n"), []string{
			"line 11: " + e + ".ScheduleExpression: it is required",
			`line 11: ` + e + `.Name: "a b" is not a valid name: it can have up to 64 letters, digits, -, _ and .`}},
		{"schedule with a bad expression", event("          Type: ScheduleV2\n          Properties:\n            ScheduleExpression: cron(0 0 * * * *)\n"), []string{
			"line 12: " + e + ".ScheduleExpression: cron(0 0 * * * *): exactly one of day of month and day of week must be ?"}},
		{"schedule with an unknown time zone and invalid times", event("          Type: ScheduleV2\n          Properties:\n            ScheduleExpression: rate(1 day)\n" +
			"            ScheduleExpressionTimezone: Local\n            StartDate: today\n            Input: '{'\n            State: PAUSED\n"), []string{
			`line 13: ` + e + `.ScheduleExpressionTimezone: "Local" is not a time zone: unknown time zone Local`,
			`line 14: ` + e + `.StartDate: "today" is not a time such as 2026-07-10T19:20:00Z`,
			`line 15: ` + e + `.Input: it must be JSON written as a string, not "{"`,
			`line 16: ` + e + `.State: "PAUSED" is not supported; it can be ENABLED, DISABLED`}},
		{"schedule that ends first, with a window", event("          Type: ScheduleV2\n          Properties:\n            ScheduleExpression: rate(1 day)\n" +
			"            StartDate: 2026-07-10T00:00:00Z\n            EndDate: 2026-07-10T00:00:00Z\n            FlexibleTimeWindow: {Mode: FLEXIBLE, MaximumWindowInMinutes: 5}\n"), []string{
			"line 14: " + e + ".EndDate: it must be after StartDate",
			`line 15: ` + e + `.FlexibleTimeWindow.Mode: "FLEXIBLE" is not supported; it can be OFF`,
			`line 15: ` + e + `.FlexibleTimeWindow: "MaximumWindowInMinutes" is unknown: AWS::Serverless::Function Events ScheduleV2 FlexibleTimeWindow has no such property, or the emulator does not support it`}},
		{"rule with Scheduler's rate", event("          Type: Schedule\n          Properties: {Schedule: rate(1 hours)}\n"), []string{
			"line 11: " + e + ".Schedule: rate(1 hours): 1 takes the singular, other numbers the plural"}},
		{"rule with at, a time zone and two states", event("          Type: Schedule\n          Properties:\n            Schedule: at(2026-07-10T19:20:00)\n" +
			"            Enabled: true\n            State: ENABLED\n            ScheduleExpressionTimezone: UTC\n"), []string{
			"line 12: " + e + ".Schedule: a rule can't use at(...); a schedule of EventBridge Scheduler can",
			"line 14: " + e + ".State: it can't be combined with Enabled",
			`line 15: ` + e + `: "ScheduleExpressionTimezone" is unknown: AWS::Serverless::Function Events Schedule has no such property, or the emulator does not support it`}},
		{"rule with a long input", event("          Type: Schedule\n          Properties: {Schedule: rate(1 day), Input: '[" + strings.Repeat(" ", 8191) + "]'}\n"), []string{
			"line 11: " + e + ".Input: it has 8193 characters; a rule accepts at most 8192"}},
		{"same schedule name", function("      Events:\n        A: {Type: ScheduleV2, Properties: {Name: s, ScheduleExpression: rate(1 day)}}\n" +
			"        B: {Type: ScheduleV2, Properties: {Name: s, ScheduleExpression: rate(1 day)}}\n"), []string{
			`line 10: schedule FB: the schedule FA has the same name: "s"`}},
		{"asynchronous invokes out of range", function("      EventInvokeConfig: {MaximumRetryAttempts: 3, MaximumEventAgeInSeconds: 59, Qualifier: x}\n"), []string{
			"line 8: " + f + ".EventInvokeConfig.MaximumRetryAttempts: 3 is out of range: it can be 0 to 2",
			"line 8: " + f + ".EventInvokeConfig.MaximumEventAgeInSeconds: 59 is out of range: it can be 60 to 21600",
			`line 8: ` + f + `.EventInvokeConfig: "Qualifier" is unknown: AWS::Serverless::Function EventInvokeConfig has no such property, or the emulator does not support it`}},
		{"destinations", function("      EventInvokeConfig:\n        DestinationConfig:\n          OnSuccess: {Type: SNS, Destination: arn:x}\n" +
			"          OnFailure: {Type: SQS, Destination: arn:x}\n"), []string{
			`line 10: ` + f + `.EventInvokeConfig.DestinationConfig.OnSuccess.Type: destinations of type "SNS" are not emulated; the type can be SQS`,
			`line 11: ` + f + `.EventInvokeConfig.DestinationConfig.OnFailure.Destination: no queue of this template has the ARN "arn:x"`}},
		{"destination that SAM would make", function("      EventInvokeConfig: {DestinationConfig: {OnFailure: {Type: SQS}}}\n"), []string{
			"line 8: " + f + ".EventInvokeConfig.DestinationConfig.OnFailure.Destination: it is required"}},
		{"dead-letter queue of a function", function("      DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt Q.Arn}\n"), []string{
			"line 8: " + f + ": DeadLetterQueue is not supported: its messages have attributes, which local queues don't keep; OnFailure of EventInvokeConfig is emulated"}},
		{"path without method", event("          Type: HttpApi\n          Properties: {Path: /x}\n"), []string{
			"line 11: " + e + ".Method: an HttpApi event needs both a Path and a Method, or neither"}},
		{"greedy variable in the middle", event("          Type: HttpApi\n          Properties: {Path: '/{x+}/y', Method: get}\n"), []string{
			`line 11: ` + e + `.Path: "{x+}" is not allowed here in a path`}},
		{"payload format 1.0", event("          Type: HttpApi\n          Properties: {PayloadFormatVersion: '1.0'}\n"), []string{
			`line 11: ` + e + `.PayloadFormatVersion: "1.0" is not supported; it can be 2.0`}},
		{"timeout of the integration", event("          Type: HttpApi\n          Properties: {TimeoutInMillis: 30001}\n"), []string{
			"line 11: " + e + ".TimeoutInMillis: 30001 is out of range: it can be 50 to 30000"}},
		{"same route twice", function("      Events:\n        A: {Type: HttpApi}\n        B: {Type: HttpApi}\n"), []string{
			`line 10: ` + f + `.Events.B.Properties.Path: the API ServerlessHttpApi already has the route "$default"`}},
		{"routes that differ in names only", function("      Events:\n        A: {Type: HttpApi, Properties: {Method: get, Path: '/a/{x}'}}\n" +
			"        B: {Type: HttpApi, Properties: {Method: get, Path: '/a/{y}'}}\n        C: {Type: HttpApi, Properties: {Method: get, Path: '/a/{y+}'}}\n"), []string{
			`line 10: ` + f + `.Events.B.Properties.Path: the API ServerlessHttpApi already has the route "GET /a/{x}"`}},
		{"API of another template", event("          Type: HttpApi\n          Properties: {ApiId: abc}\n"), []string{
			"line 11: " + e + ".ApiId: it must be a Ref to an AWS::Serverless::HttpApi of this template that exists"}},
		{"unknown authorizer", event("          Type: HttpApi\n          Properties: {Auth: {Authorizer: X}}\n"), []string{
			`line 11: ` + e + `.Auth.Authorizer: the API has no authorizer "X"`}},
		{"B03 batch of 11 without a window", event("          Type: SQS\n          Properties: {Queue: !GetAtt Q.Arn, BatchSize: 11}\n"), []string{
			"line 11: " + e + ".BatchSize: Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"}},
		{"B04 visibility 30, timeout 60", function("      Timeout: 60\n      Events:\n        E: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}\n"), []string{
			"line 10: mapping FE: Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"}},
		{"batch and window out of range", event("          Type: SQS\n          Properties: {Queue: !GetAtt Q.Arn, BatchSize: 10001, MaximumBatchingWindowInSeconds: 301}\n"), []string{
			"line 11: " + e + ".BatchSize: 10001 is out of range: it can be 1 to 10000",
			"line 11: " + e + ".MaximumBatchingWindowInSeconds: 301 is out of range: it can be 0 to 300"}},
		{"concurrency of 1", event("          Type: SQS\n          Properties: {Queue: !GetAtt Q.Arn, ScalingConfig: {MaximumConcurrency: 1}}\n"), []string{
			"line 11: " + e + ".ScalingConfig.MaximumConcurrency: 1 is out of range: it can be 2 to 1000"}},
		{"filter", event("          Type: SQS\n          Properties: {Queue: !GetAtt Q.Arn, FilterCriteria: {Filters: [{Pattern: '{\"body\":\"x\"}'}]}}\n"), []string{
			`line 11: ` + e + `.FilterCriteria.Filters[0].Pattern: Invalid filter pattern definition. ("body" must be an object or an array)`}},
		{"same mapping twice", function("      Events:\n        A: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}\n        B: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}\n"), []string{
			"line 10: mapping FB: there is already an event source mapping from Q to F"}},
		{"mapping from a table without a stream", "  T: {Type: AWS::DynamoDB::Table, Properties: {TableName: t, KeySchema: [], StreamSpecification: !If [Never, {}, !Ref AWS::NoValue]}}\n" +
			event("          Type: DynamoDB\n          Properties: {Stream: !GetAtt T.StreamArn, StartingPosition: LATEST}\n") +
			"  M:\n    Type: AWS::Lambda::EventSourceMapping\n    Properties:\n      FunctionName: !Ref F\n" +
			"      EventSourceArn: !Sub '${T.Arn}/stream/2026-07-10T00:00:00.000'\n      StartingPosition: LATEST\nConditions: {Never: !Equals [a, b]}\n", []string{
			"line 12: " + e + ".Stream: Fn::GetAtt of T.StreamArn: the table has no stream; a StreamSpecification gives it one",
			`line 17: Resources.M.Properties.EventSourceArn: no table of this template has a stream with the ARN "arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2026-…"`}},
		{"mapping by hand whose stream there is not", "  T: {Type: AWS::DynamoDB::Table, Properties: {TableName: t, KeySchema: []}}\n" +
			"  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {FunctionName: f, EventSourceArn: !GetAtt T.StreamArn, StartingPosition: LATEST, Bisect: true}}\n", []string{
			`line 6: Resources.M.Properties.FunctionName: no function of this template is called "f"`,
			"line 6: Resources.M.Properties.EventSourceArn: Fn::GetAtt of T.StreamArn: the table has no stream; a StreamSpecification gives it one",
			`line 6: Resources.M.Properties: "Bisect" is unknown: AWS::Lambda::EventSourceMapping DynamoDB has no such property, or the emulator does not support it`}},
		{"mapping from a table itself", streamed + event("          Type: DynamoDB\n          Properties: {Stream: !GetAtt T.Arn, StartingPosition: LATEST}\n"), []string{
			`line 12: ` + e + `.Stream: no table of this template has a stream with the ARN "arn:aws:dynamodb:us-east-1:123456789012:table/t"`}},
		{"stream without a position", streamed + event("          Type: DynamoDB\n          Properties: {BatchSize: 0}\n"), []string{
			"line 12: " + e + ".Stream: it is required",
			"line 12: " + e + ".StartingPosition: it is required",
			"line 12: " + e + ".BatchSize: 0 is out of range: it can be 1 to 10000"}},
		{"stream from a time", streamed + event("          Type: DynamoDB\n          Properties:\n            Stream: !GetAtt T.StreamArn\n"+
			"            StartingPosition: AT_TIMESTAMP\n            StartingPositionTimestamp: 1783641600\n"), []string{
			"line 14: " + e + ".StartingPosition: Unsupported starting position for arn type: arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2015-06-27T00:48:05.899",
			"line 15: " + e + ": StartingPositionTimestamp is not supported: a table's stream is read from its beginning or its end"}},
		{"stream out of range", streamed + event("          Type: DynamoDB\n          Properties:\n            Stream: !GetAtt T.StreamArn\n"+
			"            StartingPosition: NEWEST\n            BatchSize: 10001\n            MaximumBatchingWindowInSeconds: 301\n            ParallelizationFactor: 11\n"+
			"            MaximumRetryAttempts: -2\n            MaximumRecordAgeInSeconds: 59\n            TumblingWindowInSeconds: 1\n            ScalingConfig: {MaximumConcurrency: 2}\n"+
			"            FunctionResponseTypes: [Report]\n            FilterCriteria: {Filters: [{Pattern: x}]}\n"), []string{
			`line 14: ` + e + `.StartingPosition: "NEWEST" is not supported; it can be TRIM_HORIZON, LATEST`,
			"line 15: " + e + ".BatchSize: 10001 is out of range: it can be 1 to 10000",
			"line 16: " + e + ".MaximumBatchingWindowInSeconds: 301 is out of range: it can be 0 to 300",
			"line 17: " + e + ".ParallelizationFactor: 11 is out of range: it can be 1 to 10",
			"line 18: " + e + ".MaximumRetryAttempts: -2 is out of range: it can be -1 to 10000",
			"line 19: " + e + ".MaximumRecordAgeInSeconds: 59 is out of range: it can be -1, or 60 to 604800",
			"line 20: " + e + ": TumblingWindowInSeconds is not supported: functions that keep state over a window are not emulated",
			`line 21: ` + e + `: "ScalingConfig" is unknown: AWS::Serverless::Function Events DynamoDB has no such property, or the emulator does not support it`,
			`line 22: ` + e + `.FunctionResponseTypes: "Report" is not supported; it can be ReportBatchItemFailures`,
			"line 23: " + e + ".FilterCriteria.Filters[0].Pattern: Invalid filter pattern definition. (it is not JSON: invalid character 'x' looking for beginning of value)"}},
		{"destinations of a stream", streamed + function("      Events:\n        A: {Type: DynamoDB, Properties: {Stream: !GetAtt T.StreamArn, StartingPosition: LATEST, DestinationConfig: {OnFailure: {Type: SNS, Destination: x}}}}\n") +
			"  M:\n    Type: AWS::Lambda::EventSourceMapping\n    Properties:\n      FunctionName: !Ref F\n      EventSourceArn: !GetAtt T.StreamArn\n      StartingPosition: LATEST\n" +
			"      DestinationConfig: {OnFailure: {Type: SQS, Destination: arn:x}, OnSuccess: {}}\n", []string{
			`line 10: ` + f + `.Events.A.Properties.DestinationConfig.OnFailure.Type: destinations of type "SNS" are not emulated; the type can be SQS`,
			"line 11: mapping M: there is already an event source mapping from T to F",
			`line 17: Resources.M.Properties.DestinationConfig.OnFailure: "Type" is unknown: AWS::Lambda::EventSourceMapping DynamoDB OnFailure has no such property, or the emulator does not support it`,
			`line 17: Resources.M.Properties.DestinationConfig.OnFailure.Destination: no queue of this template has the ARN "arn:x"`,
			`line 17: Resources.M.Properties.DestinationConfig: "OnSuccess" is unknown: AWS::Lambda::EventSourceMapping DynamoDB DestinationConfig has no such property, or the emulator does not support it`}},
		{"position in a queue", event("          Type: SQS\n          Properties: {Queue: !GetAtt Q.Arn, StartingPosition: LATEST}\n") +
			"  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {FunctionName: !Ref F, EventSourceArn: !GetAtt Q.Arn, StartingPosition: LATEST}}\n", []string{
			`line 11: ` + e + `: "StartingPosition" is unknown: AWS::Serverless::Function Events SQS has no such property, or the emulator does not support it`,
			"line 12: mapping M: there is already an event source mapping from Q to F",
			`line 12: Resources.M.Properties: "StartingPosition" is unknown: AWS::Lambda::EventSourceMapping has no such property, or the emulator does not support it`}},
		{"table's stream", "  T: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [], StreamSpecification: {StreamViewType: ALL, StreamEnabled: true}}}\n" +
			"  U: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [], StreamSpecification: {}}}\n" +
			"  V: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [], StreamSpecification: !GetAtt V.StreamArn}}\n", []string{
			`line 5: Resources.T.Properties.StreamSpecification.StreamViewType: "ALL" is not supported; it can be KEYS_ONLY, NEW_IMAGE, OLD_IMAGE, NEW_AND_OLD_IMAGES`,
			`line 5: Resources.T.Properties.StreamSpecification: "StreamEnabled" is unknown: AWS::DynamoDB::Table StreamSpecification has no such property, or the emulator does not support it`,
			"line 6: Resources.U.Properties.StreamSpecification.StreamViewType: it is required",
			"line 7: Resources.V.Properties.StreamSpecification: the StreamSpecification of V depends on itself"}},
		{"queue of another stack", event("          Type: SQS\n          Properties: {Queue: arn:aws:sqs:us-east-1:123456789012:other}\n"), []string{
			`line 11: ` + e + `.Queue: no queue of this template has the ARN "arn:aws:sqs:us-east-1:123456789012:other"`}},
		{"FIFO", "  B: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true, ContentBasedDeduplication: true}}\n", []string{
			"line 5: Resources.B.Properties.FifoQueue: FIFO queues are not emulated",
			"line 5: Resources.B.Properties: ContentBasedDeduplication is not supported: FIFO queues are not emulated"}},
		{"redrive to nowhere", "  B: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: arn:x, maxReceiveCount: 1001}}}\n", []string{
			`line 5: Resources.B.Properties.RedrivePolicy.deadLetterTargetArn: no queue of this template has the ARN "arn:x"`,
			"line 5: Resources.B.Properties.RedrivePolicy.maxReceiveCount: 1001 is out of range: it can be 1 to 1000"}},
		{"redrive to itself", "  B: {Type: AWS::SQS::Queue, Properties: {QueueName: b, RedrivePolicy: {deadLetterTargetArn: !GetAtt B.Arn, maxReceiveCount: 3}}}\n", []string{
			"line 5: Resources.B.Properties.RedrivePolicy.deadLetterTargetArn: a queue can't be its own dead-letter queue"}},
		{"dead-letter queue that denies it", "  D: {Type: AWS::SQS::Queue, Properties: {RedriveAllowPolicy: {redrivePermission: denyAll}}}\n" +
			"  B: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt D.Arn, maxReceiveCount: 3}}}\n", []string{
			"line 5: Resources.D.Properties.RedriveAllowPolicy.redrivePermission: it denies being the dead-letter queue of B"}},
		{"dead-letter queue of another", "  D: {Type: AWS::SQS::Queue, Properties: {RedriveAllowPolicy: {redrivePermission: byQueue, sourceQueueArns: [!GetAtt Q.Arn]}}}\n" +
			"  B: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt D.Arn, maxReceiveCount: 3}}}\n", []string{
			"line 5: Resources.D.Properties.RedriveAllowPolicy.sourceQueueArns: it does not name B, whose dead-letter queue this is"}},
		{"same queue name", "  B: {Type: AWS::SQS::Queue, Properties: {QueueName: q}}\n", []string{
			`line 5: Resources.B: the queue Q has the same name: "q"`}},
		{"table without a key", "  T: {Type: AWS::DynamoDB::Table, Properties: {BillingMode: PAY_PER_REQUEST, Keys: []}}\n", []string{
			"line 5: Resources.T.Properties.KeySchema: it is required",
			`line 5: Resources.T.Properties: "Keys" is unknown: AWS::DynamoDB::Table has no such property, or the emulator does not support it`}},
		{"Ref to nothing", function("      Environment: {Variables: {XX: !Ref Nope}}\n"), []string{
			`line 8: ` + f + `.Environment.Variables.XX: Ref of Nope: there is no parameter or resource "Nope"`}},
		{"GetAtt of what there is not", function("      Environment: {Variables: {XX: !GetAtt Q.Url, YY: !Sub '${Q.Nope}'}}\n"), []string{
			`line 8: ` + f + `.Environment.Variables.XX: Fn::GetAtt of Q.Url: a resource of type AWS::SQS::Queue has no such value locally; supply one by a parameter`,
			`line 8: ` + f + `.Environment.Variables.YY: Fn::GetAtt of Q.Nope: a resource of type AWS::SQS::Queue has no such value locally; supply one by a parameter`}},
		{"unsupported function", function("      Environment: {Variables: {XX: !Cidr [a, b, c]}}\n"), []string{
			"line 8: " + f + ".Environment.Variables.XX: Fn::Cidr is not supported here"}},
		{"import", function("      Environment: {Variables: {XX: !ImportValue Shared}}\n"), []string{
			`line 8: ` + f + `.Environment.Variables.XX: Fn::ImportValue of "Shared": there are no other stacks locally, so its value must be given: --import Shared=Value`}},
		{"REST API, named once", event("          Type: Api\n          Properties: {Path: /, Method: get}\n") +
			"      Environment: {Variables: {XX: !Sub 'https://${ServerlessRestApi}.execute-api/Prod', YY: !Ref ServerlessRestApiProdStage}}\n" +
			"Outputs: {O: {Value: !Ref ServerlessRestApi}}\n", []string{
			`line 10: ` + f + `.Events.E.Type: events of type "Api" are not supported`}},
		{"REST API that there is not", function("      Environment: {Variables: {XX: !Ref ServerlessRestApi}}\n"), []string{
			`line 8: ` + f + `.Environment.Variables.XX: Ref of ServerlessRestApi: there is no parameter or resource "ServerlessRestApi"`}},
		{"outputs", function("      Role: r\n") + "  G: {Type: AWS::SQS::Queue, Condition: Never}\nConditions: {Never: !Equals [a, b]}\nOutputs:\n  A: x\n  B: {Description: b}\n" +
			"  C: {Value: [x], Name: c}\n  D: {Value: !Ref Nope}\n  E: {Value: !GetAtt G.Arn}\n  F: {Value: !GetAtt Q.Nope}\n  G: {Value: !GetAtt FRole.Arn}\n" +
			"  H: {Value: !Ref F.Alias}\n  I: {Value: x, Condition: Nope}\n", []string{
			"line 12: Outputs.A: it must be a mapping, not \"x\"",
			"line 13: Outputs.B.Value: it is required",
			"line 14: Outputs.C.Value: this must be a string, not a list",
			`line 14: Outputs.C: "Name" is unknown: output has no such property, or the emulator does not support it`,
			`line 15: Outputs.D.Value: Ref of Nope: there is no parameter or resource "Nope"`,
			"line 16: Outputs.E.Value: Fn::GetAtt of G.Arn: the resource's condition \"Never\" is false, so it does not exist",
			"line 17: Outputs.F.Value: Fn::GetAtt of Q.Nope: a resource of type AWS::SQS::Queue has no such value locally; supply one by a parameter",
			`line 18: Outputs.G.Value: Fn::GetAtt of FRole.Arn: there is no parameter or resource "FRole"`,
			`line 19: Outputs.H.Value: Ref of F.Alias: there is no parameter or resource "F.Alias"`,
			`line 20: Outputs.I.Condition: there is no condition "Nope"`}},
		{"name that depends on itself", "  B: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub 'x-${C.QueueName}'}}\n" +
			"  C: {Type: AWS::SQS::Queue, Properties: {QueueName: !GetAtt B.QueueName}}\n", []string{
			"line 5: Resources.B.Properties.QueueName: the name of C depends on itself",
			"line 6: Resources.C.Properties.QueueName: the name of B depends on itself"}},
		{"topic that feeds a queue", "  T: {Type: AWS::SNS::Topic, Properties: {Subscription: [{Protocol: sqs, Endpoint: !GetAtt Q.Arn}]}}\n", []string{
			`line 5: Resources.T.Properties.Subscription[0].Protocol: subscriptions of "sqs" are not emulated`}},
		{"Lambda authorizer", "  A: {Type: AWS::Serverless::HttpApi, Properties: {Auth: {DefaultAuthorizer: L, Authorizers: {L: {FunctionArn: x}}}}}\n" +
			event("          Type: HttpApi\n          Properties: {ApiId: !Ref A}\n"), []string{
			"line 5: Resources.A.Properties.Auth.Authorizers.L: FunctionArn is not supported: Lambda authorizers are not emulated"}},
		{"CORS with credentials for all", "  A: {Type: AWS::Serverless::HttpApi, Properties: {CorsConfiguration: {AllowOrigins: ['*'], AllowCredentials: true}}}\n", []string{
			`line 5: Resources.A.Properties.CorsConfiguration.AllowCredentials: it can't be true while AllowOrigins has "*"`}},
		{"OpenAPI document", "  A: {Type: AWS::Serverless::HttpApi, Properties: {DefinitionBody: {}}}\n", []string{
			"line 5: Resources.A.Properties: DefinitionBody is not supported: write the routes as HttpApi events of the functions"}},
		{"settings for no route", "  A: {Type: AWS::Serverless::HttpApi, Properties: {RouteSettings: {GET /x: {ThrottlingBurstLimit: 1}}}}\n", []string{
			`line 5: Resources.A.Properties.RouteSettings: the API has no route "GET /x"`}},
		{"queue name", "  B: {Type: AWS::SQS::Queue, Properties: {QueueName: a b}}\n", []string{
			`line 5: Resources.B.Properties.QueueName: "a b" is not a valid queue name: it can have up to 80 letters, digits, - and _`}},
		{"IAM authorizer", "  A: {Type: AWS::Serverless::HttpApi, Properties: {Auth: {EnableIamAuthorizer: true}}}\n" +
			event("          Type: HttpApi\n          Properties: {ApiId: !Ref A}\n"), []string{
			"line 5: Resources.A.Properties.Auth.EnableIamAuthorizer: requests signed with IAM credentials are not checked"}},
		{"loop over resources", "  Fn::ForEach::Queues: [X, [a], {}]\n", []string{
			"line 5: Resources: Fn::ForEach::Queues is not supported: write the resources out"}},
		{"key used twice", "  Q: {Type: AWS::SQS::Queue}\n", []string{
			`line 5: the key "Q" is already used on line 4`}},
		{"all at once, by line", "  B: {Type: AWS::Kinesis::Stream}\n  C: {Type: Custom::Thing}\n" + function("      Layers: []\n      MemorySize: 64\n"), []string{
			"line 5: Resources.B: the resource type AWS::Kinesis::Stream is not supported",
			"line 6: Resources.C: the resource type Custom::Thing is not supported",
			"line 10: " + f + ": Layers is not supported: layers are not loaded",
			"line 11: " + f + ".MemorySize: 64 is out of range: it can be 128 to 10240"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			diff(t, "problems", row.want, problems(t, around+row.source, template.Options{}))
		})
	}
}

func TestTemplateProblems(t *testing.T) {
	rows := []struct {
		name, source string
		options      template.Options
		want         []string
	}{
		{name: "empty", source: "", want: []string{"it is empty"}},
		{name: "a list", source: "- a\n", want: []string{"line 1: a template must be a mapping, not a list"}},
		{name: "no resources", source: "Description: x\n", want: []string{"Resources: a template needs a mapping of resources"}},
		{name: "unknown section", source: "Resource: {}\nResources: {}\n", want: []string{
			`line 1: "Resource" is unknown: template has no such property, or the emulator does not support it`}},
		{name: "another transform", source: "Transform: [AWS::Serverless-2016-10-31, AWS::LanguageExtensions]\nResources: {}\n", want: []string{
			`line 1: Transform: the transform "AWS::LanguageExtensions" is not supported`}},
		{name: "Globals that SAM refuses", source: "Globals: {Function: {Role: x, FunctionName: y}, Table: {}}\nResources: {}\n", want: []string{
			`line 1: Globals.Function: SAM does not allow "Role" here`,
			`line 1: Globals.Function: SAM does not allow "FunctionName" here`,
			`line 1: Globals: SAM has no section "Table"`}},
		{name: "parameters", source: "Parameters:\n  A: {Type: String}\n  B: {Type: Number, Default: 5, MaxValue: 4}\n" +
			"  C: {Type: String, Default: x, AllowedValues: [y], ConstraintDescription: take y}\n" +
			"  D: {Type: String, Default: secret, NoEcho: true, AllowedPattern: '[0-9]+'}\n" +
			"  F: {Type: CommaDelimitedList, Default: 'a, b,ab', AllowedPattern: '[a-z]'}\nResources: {}\n",
			options: template.Options{Parameters: map[string]string{"E": "x"}}, want: []string{
				`the template has no parameter "E"`,
				"line 2: Parameters.A: it has no Default, so it must be given a value: --parameter A=Value",
				`line 3: Parameters.B: its value "5" is too large`,
				`line 4: Parameters.C: its value "x" is not one of its AllowedValues: take y`,
				"line 5: Parameters.D: its value (hidden by NoEcho) does not match its AllowedPattern",
				`line 6: Parameters.F: its value "ab" does not match its AllowedPattern`}},
		{name: "parameters for the program to fill", source: "Parameters: {A: {Type: String, Default: x}}\nMetadata:\n  Paylane:\n    Parameters:\n" +
			"      Colour: A\n      Issuer: B\n      Audience: [A]\n    Parameter: {}\nResources: {}\n", want: []string{
			"line 5: Metadata.Paylane.Parameters.Colour: the program fills no parameter with it; it knows AuthMode, Issuer, Audience, TenantClaim, ConsoleClient",
			`line 6: Metadata.Paylane.Parameters.Issuer: the template has no parameter "B"`,
			"line 7: Metadata.Paylane.Parameters.Audience: it must be a string, not a list",
			`line 8: Metadata.Paylane: "Parameter" is unknown: Metadata.Paylane has no such property, or the emulator does not support it`}},
		{name: "conditions", source: "Conditions:\n  A: !Condition B\n  B: !Not [!Condition A]\n  C: yes\n  D: !Equals [!Ref X, y]\nResources: {}\n", want: []string{
			"line 3: Conditions.B: condition A depends on itself",
			"line 4: Conditions.C: this is not a condition: it must be Fn::Equals, Fn::And, Fn::Or, Fn::Not or Condition",
			`line 5: Conditions.D: Ref of X: there is no parameter or resource "X"`}},
		{name: "a list that is not closed", source: "Resources:\n  A: [\n", want: []string{"line 2: it is not YAML: did not find expected node content"}},
		{name: "a list that is not closed, far above", source: "A: x\nB: [x\nC: y\nD: z\n", want: []string{"line 2: it is not YAML: did not find expected ',' or ']'"}},
		{name: "a quote that is not closed", source: "A: x\nB: 'x\nC: y\nD: z\n", want: []string{"line 2: it is not YAML: found unexpected end of stream"}},
		{name: "an indentation that fits nothing", source: "Resources:\n  F:\n    Type: X\n    Properties:\n      A: b\n     C: d\n      E: f\n",
			want: []string{"line 6: it is not YAML: did not find expected key"}},
		{name: "JSON without a comma", source: "{\n  \"A\": {\n    \"B\": 1\n    \"C\": 2\n  }\n}\n", want: []string{"line 3: it is not YAML: did not find expected ',' or '}'"}},
		{name: "bytes that are not UTF-8", source: "A: b\nC: \xff\n", want: []string{"line 2: it is not YAML: invalid leading UTF-8 octet"}},
		{name: "a key that is a list", source: "Resources: {}\n[a]: b\n", want: []string{"line 2: a key must be plain text"}},
		{name: "two documents", source: "---\nResources: {}\n---\nx: y\n", want: []string{
			"line 3: a template is one YAML document, and a second one begins here"}},
		{name: "two documents, the first without a marker", source: "Resources: {}\n---\nx: y\n", want: []string{
			"line 2: a template is one YAML document, and a second one begins here"}},
		{name: "alias of itself", source: "Resources: &r\n  A: *r\n", want: []string{`line 2: the anchor "r" contains itself`}},
		{name: "alias of nothing", source: "Resources:\n  A: {}\n  B: *r\n  C: {}\n", want: []string{"line 3: it is not YAML: unknown anchor 'r' referenced"}},
		{name: "nested too deeply", source: "Resources: " + strings.Repeat("[", 600) + strings.Repeat("]", 600), want: []string{"line 1: it is nested too deeply"}},
		{name: "aliases that explode", source: bomb(), want: []string{
			"it is too large: its aliases expand to more than any template can hold"}},
		{name: "functions that explode", source: deepSub(90), want: []string{
			"it has too many intrinsic functions to evaluate"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			diff(t, "problems", row.want, problems(t, row.source, row.options))
		})
	}
}

// bomb returns a small text whose aliases expand to 9^9 values.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	return b.String()
}

// deepSub returns a template that doubles an empty string at each level.
func deepSub(levels int) string {
	value := `""`
	for range levels / 3 {
		value = `{"Fn::Sub": ["${a}${a}", {"a": ` + value + `}]}`
	}
	return `{"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": ` + value + `}}}}`
}

// TestConditions: what a false condition removes is neither read nor evaluated.
func TestConditions(t *testing.T) {
	source := `
Transform: AWS::Serverless-2016-10-31
Parameters: {Stage: {Type: String, Default: dev}}
Conditions:
  Prod: !Equals [!Ref Stage, prod]
  Dev: !Not [!Condition Prod]
  Either: !Or [!Condition Prod, !Condition Dev]
Resources:
  Stream: {Type: AWS::Kinesis::Stream, Condition: Prod}
  DevQueue: {Type: AWS::SQS::Queue, Condition: Dev}
  F:
    Type: AWS::Serverless::Function
    Condition: Either
    Properties:
      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
      Environment:
        Variables:
          STREAM: !If [Prod, !Ref Stream, none]
  G:
    Type: AWS::Serverless::Function
    Condition: Prod
    Properties: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023, Events: {A: {Type: HttpApi}}}
`
	got, err := template.Read("template.yaml", []byte(source), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Functions) != 1 || len(got.Queues) != 1 || len(got.APIs) != 0 {
		t.Errorf("%d functions, %d queues, %d APIs, want 1, 1, 0", len(got.Functions), len(got.Queues), len(got.APIs))
	}
	want := []string{"line 9: Resources.Stream: the resource type AWS::Kinesis::Stream is not supported"}
	diff(t, "in production", want, problems(t, source, template.Options{Parameters: map[string]string{"Stage": "prod"}}))
}

package template_test

import (
	"errors"
	"slices"
	"testing"

	"paylane/shared/emulator/template"
)

const references = `Transform: AWS::Serverless-2016-10-31
Parameters:
  Text: {Type: "AWS::SSM::Parameter::Value<String>", Default: /shop/text, AllowedPattern: "/shop/.*"}
  List: {Type: "AWS::SSM::Parameter::Value<List<String>>", Default: /shop/list}
  Commas: {Type: "AWS::SSM::Parameter::Value<CommaDelimitedList>", Default: /shop/list}
  Subnet: {Type: "AWS::SSM::Parameter::Value<AWS::EC2::Subnet::Id>", Default: /shop/list}
  Given: {Type: "AWS::SSM::Parameter::Value<String>", Default: /shop/given, AllowedPattern: "/shop/.*"}
  Name: {Type: AWS::SSM::Parameter::Name, Default: /shop/text}
Resources:
  Own: {Type: AWS::SSM::Parameter, Properties: {Name: /own, Type: String, Value: !Sub "own ${Name}"}}
  Secret: {Type: AWS::SecretsManager::Secret, Properties: {Name: own, SecretString: '{"user": "me", "port": 5432}'}}
  Generated: {Type: AWS::SecretsManager::Secret, Properties: {Name: generated, GenerateSecretString: {}}}
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: "t-{{resolve:ssm:name}}"}}
  Table: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [{AttributeName: "{{resolve:ssm:key:3}}", KeyType: HASH}]}}
  Api: {Type: AWS::Serverless::HttpApi, Properties: {CorsConfiguration: {AllowOrigins: ["https://{{resolve:ssm:name}}"], MaxAge: "{{resolve:ssm:age}}"}}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
      Environment:
        Variables:
          TEXT: !Ref Text
          SUB: !Sub "${Text} of ${Name}"
          LIST: !Join ["|", !Ref List]
          COMMAS: !Select [1, !Ref Commas]
          SUBNET: !Ref Subnet
          GIVEN: !Ref Given
          NAME: !Ref Name
          TWO: "a {{resolve:ssm:name}} b {{resolve:ssm-secure:pass:2}} c"
          BUILT: !Join ["", ["{{resolve:ssm:", !Ref Name, "}}"]]
          SECRET: "{{resolve:secretsmanager:db}}"
          SECRET_KEY: "{{resolve:secretsmanager:db:SecretString:user}}"
          SECRET_STAGE: "{{resolve:secretsmanager:arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf:SecretString:user:AWSPREVIOUS}}"
          SECRET_VERSION: "{{resolve:secretsmanager:db:SecretString:::v1}}"
          GENERATED: !Sub "{{resolve:secretsmanager:${Generated}:SecretString:password}}"
          OWN: "{{resolve:ssm:/own}}"
          OWN_SECRET: "{{resolve:secretsmanager:own}}"
          OWN_KEYS: !Sub "{{resolve:secretsmanager:${Secret}:SecretString:user}} {{resolve:secretsmanager:own:SecretString:port}}"
          AGAIN: "{{resolve:ssm:again}}"
`

// TestReferences: values that are kept elsewhere, and those that the template has itself.
func TestReferences(t *testing.T) {
	const arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"
	values := map[template.Reference]string{
		{Service: "ssm", Name: "/shop/text"}:                                                    "{{resolve:ssm:name}}",
		{Service: "ssm", Name: "/shop/list"}:                                                    "a, b",
		{Service: "ssm", Name: "name"}:                                                          "n",
		{Service: "ssm", Name: "key", Version: "3"}:                                             "id",
		{Service: "ssm", Name: "age"}:                                                           "5",
		{Service: "ssm", Name: "again"}:                                                         "{{resolve:ssm:name}}",
		{Service: "ssm-secure", Name: "pass", Version: "2"}:                                     "p",
		{Service: "secretsmanager", Name: "db"}:                                                 "{}",
		{Service: "secretsmanager", Name: "db", Key: "user"}:                                    "u",
		{Service: "secretsmanager", Name: "db", VersionID: "v1"}:                                "first",
		{Service: "secretsmanager", Name: arn + "db-AbCdEf", Key: "user", Stage: "AWSPREVIOUS"}: "old",
		{Service: "secretsmanager", Name: arn + "generated", Key: "password"}:                   "made",
	}
	asked := map[template.Reference]int{}
	got, err := template.Read("template.yaml", []byte(references), template.Options{
		Parameters: map[string]string{"Given": "the value"},
		Lookup: func(f template.Reference) (string, error) {
			asked[f]++
			value, ok := values[f]
			if !ok {
				return "", errors.New("there is none")
			}
			return value, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "environment", map[string]string{
		"TEXT": "{{resolve:ssm:name}}", "SUB": "{{resolve:ssm:name}} of /shop/text", "LIST": "a|b", "COMMAS": "b", "SUBNET": "a, b",
		"GIVEN": "the value", "NAME": "/shop/text", "TWO": "a n b p c", "BUILT": "{{resolve:ssm:name}}",
		"SECRET": "{}", "SECRET_KEY": "u", "SECRET_STAGE": "old", "SECRET_VERSION": "first", "GENERATED": "made",
		"OWN": "own /shop/text", "OWN_SECRET": `{"user": "me", "port": 5432}`, "OWN_KEYS": "me 5432", "AGAIN": "{{resolve:ssm:name}}",
	}, got.Functions[0].Environment)
	diff(t, "origins", []string{"https://n"}, got.APIs[0].CORS.AllowOrigins)
	diff(t, "age", "5s", got.APIs[0].CORS.MaxAge.String())
	diff(t, "topic", "t-n", got.Externals[len(got.Externals)-1].Name)
	diff(t, "table", map[string]any{"KeySchema": []any{map[string]any{"AttributeName": "id", "KeyType": "HASH"}}}, got.Tables[0].Properties)
	for f := range values {
		if asked[f] != 1 {
			t.Errorf("%+v was looked up %d times", f, asked[f])
		}
	}
	if len(asked) != len(values) {
		t.Errorf("looked up: %+v", asked)
	}
}

// TestReferenceProblems: what is missing is reported at each use, with how to supply it.
func TestReferenceProblems(t *testing.T) {
	const env = "Resources.F.Properties.Environment.Variables."
	source := "Parameters:\n  P: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /p}\n" + around + `  S: {Type: AWS::SecretsManager::Secret, Properties: {Name: s, SecretString: text}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      Environment:
        Variables:
          AA: !Ref P
          BB: "{{resolve:ssm:/b:1}} and {{resolve:ssm:/also}}"
          CC: "{{resolve:secretsmanager:c:SecretString:k:AWSCURRENT}}"
          DD: "{{resolve:secretsmanager:s:SecretString:k}}"
          EE: "{{resolve:ssm:/e"
          FF: "{{resolve:dynamodb:x}}"
          GG: "{{resolve:ssm:/g:x}}"
          HH: "{{resolve:secretsmanager:h:SecretBinary}}"
          II: "{{resolve:secretsmanager:i:SecretString:k:AWSCURRENT:v1}}"
          JJ: "{{resolve:secretsmanager:arn:aws:x}}"
`
	reference := func(line, name, text string) string {
		return "line " + line + ": " + env + name + `: "` + text + `" is not a dynamic reference such as {{resolve:ssm:name}}, ` +
			"{{resolve:ssm-secure:name}} or {{resolve:secretsmanager:name:SecretString:key}}"
	}
	always := []string{
		"line 16: " + env + `DD: the SecretString of S is not JSON with the key "k"`,
		reference("17", "EE", "{{resolve:ssm:/e"),
		reference("18", "FF", "{{resolve:dynamodb:x}}"),
		reference("19", "GG", "{{resolve:ssm:/g:x}}"),
		reference("20", "HH", "{{resolve:secretsmanager:h:SecretBinary}}"),
		reference("21", "II", "{{resolve:secretsmanager:i:SecretString:k:AWSCURRENT:v1}}"),
		reference("22", "JJ", "{{resolve:secretsmanager:arn:aws:x}}"),
	}
	failing := func(template.Reference) (string, error) { return "", errors.New("connection refused") }
	diff(t, "without a Lookup", slices.Concat([]string{
		`line 2: Parameters.P: its value is that of "/p" in Systems Manager: give it by --parameter P=Value, or --endpoint URL where it is`,
		"line 14: " + env + "BB: the value of {{resolve:ssm:/b:1}} is kept elsewhere: give --endpoint URL where it is",
		"line 14: " + env + "BB: the value of {{resolve:ssm:/also}} is kept elsewhere: give --endpoint URL where it is",
		"line 15: " + env + "CC: the value of {{resolve:secretsmanager:c:SecretString:k:AWSCURRENT}} is kept elsewhere: give --endpoint URL where it is",
	}, always), problems(t, source, template.Options{}))
	diff(t, "with one that fails", slices.Concat([]string{
		"line 2: Parameters.P: the value of {{resolve:ssm:/p}}: connection refused, or give it by --parameter P=Value",
		"line 14: " + env + "BB: the value of {{resolve:ssm:/b:1}}: connection refused",
		"line 14: " + env + "BB: the value of {{resolve:ssm:/also}}: connection refused",
		"line 15: " + env + "CC: the value of {{resolve:secretsmanager:c:SecretString:k:AWSCURRENT}}: connection refused",
	}, always), problems(t, source, template.Options{Lookup: failing}))
}

// TestLater: what depends on a value that is read at the start is left out, and nothing is
// a problem for it.
func TestLater(t *testing.T) {
	const source = `Transform: AWS::Serverless-2016-10-31
Parameters: {P: {Type: "AWS::SSM::Parameter::Value<String>", Default: /p}, L: {Type: "AWS::SSM::Parameter::Value<List<String>>", Default: /l}}
Conditions: {C: !Equals [!Ref P, x], N: !Not [!Condition C], Sure: !Equals [a, a]}
Globals: {Function: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023}}
Resources:
  Q: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub "q-${P}", RedrivePolicy: {deadLetterTargetArn: !GetAtt D.Arn, maxReceiveCount: 3}}}
  D: {Type: AWS::SQS::Queue, Properties: {RedriveAllowPolicy: {redrivePermission: byQueue, sourceQueueArns: !Ref L}}}
  R: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt D.Arn, maxReceiveCount: !Ref P}}}
  Maybe: {Type: AWS::SQS::Queue, Condition: N}
  MaybeApi: {Type: AWS::Serverless::HttpApi, Condition: C}
  T: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: !If [C, [], []], StreamSpecification: {StreamViewType: !Ref P}}}
  B: {Type: AWS::S3::Bucket, Properties: {CorsConfiguration: {CorsRules: [!Ref P, {MaxAge: !Ref P, Id: x}]}}}
  A:
    Type: AWS::Serverless::HttpApi
    Properties: {Auth: {DefaultAuthorizer: J, Authorizers: {J: {JwtConfiguration: {issuer: !Ref P, audience: !Ref L}}}}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Ref P
      Timeout: !Ref P
      Environment:
        Variables:
          AA: !Ref P
          BB: !Sub "${P}b"
          CC: !Join [",", [a, !Ref P]]
          DD: !If [C, a, b]
          EE: !Ref Maybe
          FF: !Select [0, !Ref L]
          GG: "x{{resolve:ssm:g}}"
          KEPT: kept
      Events:
        Queue: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}
        Maybe: {Type: SQS, Properties: {Queue: !GetAtt Maybe.Arn}}
        Table: {Type: DynamoDB, Properties: {Stream: !GetAtt T.StreamArn, StartingPosition: !Ref P}}
        MaybeTable: {Type: DynamoDB, Properties: {Stream: !GetAtt U.StreamArn, StartingPosition: LATEST}}
        Time: {Type: Schedule, Properties: {Schedule: !Ref P}}
        Time2: {Type: ScheduleV2, Properties: {ScheduleExpression: !Sub "rate(${P} days)"}}
        Path: {Type: HttpApi, Properties: {ApiId: !Ref A, Method: GET, Path: !Sub "/${P}"}}
        Api: {Type: HttpApi, Properties: {ApiId: !Ref MaybeApi, Method: GET, Path: /maybe}}
        Sure: {Type: HttpApi, Properties: {ApiId: !Ref A, Method: GET, Path: /sure}}
  G: {Type: AWS::Serverless::Function, Condition: C}
  U: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [], StreamSpecification: !If [C, {StreamViewType: NEW_IMAGE}, !Ref AWS::NoValue]}}
  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {FunctionName: !Ref F, EventSourceArn: !GetAtt U.StreamArn, StartingPosition: LATEST}}
`
	got, err := template.Read("template.yaml", []byte(source), template.Options{
		Lookup: func(template.Reference) (string, error) { return "", template.ErrLater },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Functions) != 1 {
		t.Fatalf("%d functions, want 1", len(got.Functions))
	}
	diff(t, "environment", map[string]string{"KEPT": "kept"}, got.Functions[0].Environment)
	var left []string
	for _, q := range got.Queues {
		left = append(left, "queue "+q.LogicalID)
	}
	for _, m := range got.Mappings {
		left = append(left, "mapping "+m.LogicalID)
	}
	for _, m := range got.StreamMappings {
		left = append(left, "mapping "+m.LogicalID)
	}
	for _, s := range got.Schedules {
		left = append(left, "schedule "+s.LogicalID)
	}
	for _, api := range got.APIs {
		left = append(left, "API "+api.LogicalID)
		for _, route := range api.Routes {
			left = append(left, "route "+route.Key)
		}
	}
	diff(t, "what is left", []string{"queue D", "queue R", "API A", "route GET /sure"}, left)
	diff(t, "bucket", map[string]any{"CorsConfiguration": map[string]any{"CorsRules": []any{map[string]any{"Id": "x"}}}}, got.Externals[0].Properties)
}

package template_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"paylane/shared/emulator/template"
)

// read reads a file of testdata that must be accepted.
func read(t *testing.T, file string, o template.Options) *template.Template {
	t.Helper()
	source, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := template.Read(file, source, o)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// noLines excludes line numbers from a comparison.
var noLines = cmpopts.IgnoreFields

func diff(t *testing.T, what string, want, got any, options ...cmp.Option) {
	t.Helper()
	if d := cmp.Diff(want, got, options...); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestOrdersFunctions(t *testing.T) {
	got := read(t, "orders.yaml", template.Options{StackName: "shop"})
	fifty := 50
	json := template.Logging{Format: "JSON", ApplicationLevel: "INFO"}
	common := map[string]string{"TABLE": "shop-OrdersTable", "LOG_LEVEL": "debug"}
	want := []template.Function{
		{
			LogicalID: "ApiFunction", Name: "shop-ApiFunction", CodeURI: ".", Build: template.Build{Method: "makefile"},
			ARN:     "arn:aws:lambda:us-east-1:123456789012:function:shop-ApiFunction:live",
			Handler: "bootstrap", Runtime: "provided.al2023", Architecture: "arm64",
			Timeout: 10 * time.Second, MemoryMB: 256, Logging: json,
			Environment: map[string]string{
				"TABLE":        "shop-OrdersTable",
				"LOG_LEVEL":    "debug",
				"QUEUE_URL":    "https://sqs.us-east-1.amazonaws.com/123456789012/shop-PaymentQueue",
				"QUEUE_ARN":    "arn:aws:sqs:us-east-1:123456789012:shop-PaymentQueue",
				"PAGE":         "20",
				"STRICT":       "true",
				"BASE":         "http://127.0.0.1:9000/v1?stack=shop&literal=${x}",
				"FIRST_ORIGIN": "https://a.example",
				"ORIGINS":      "https://a.example https://b.example",
				"HOST":         "host.example",
				"ENCODED":      "aGVsbG8=",
			},
		},
		{
			LogicalID: "PaymentFunction", Name: "shop-PaymentFunction", CodeURI: "functions/payment", Build: template.Build{Method: "go1.x"},
			ARN:     "arn:aws:lambda:us-east-1:123456789012:function:shop-PaymentFunction",
			Handler: "bootstrap", Runtime: "provided.al2023", Architecture: "arm64",
			Timeout: 10 * time.Second, MemoryMB: 256, Logging: json, ReservedConcurrency: &fifty, Environment: common,
		},
		{
			LogicalID: "DeadLetterFunction", Name: "shop-DeadLetterFunction", CodeURI: "functions/deadletter",
			ARN:     "arn:aws:lambda:us-east-1:123456789012:function:shop-DeadLetterFunction",
			Handler: "bootstrap", Runtime: "provided.al2023", Architecture: "arm64",
			Timeout: 30 * time.Second, MemoryMB: 256, Logging: json, Environment: common,
		},
	}
	for i := range want {
		want[i].Async = template.AsyncInvokes{MaxRetries: 2, MaxAge: 6 * time.Hour}
		want[i].Logging.Group = "/aws/lambda/" + want[i].Name
	}
	diff(t, "functions", want, got.Functions, noLines(template.Function{}, "Line"))
}

func TestOrdersAPI(t *testing.T) {
	got := read(t, "orders.yaml", template.Options{Parameters: map[string]string{"Issuer": "https://issuer.example"}})
	if len(got.APIs) != 1 {
		t.Fatalf("%d APIs, want 1", len(got.APIs))
	}
	api := got.APIs[0]
	minutes := 10 * time.Minute
	jwt := template.JWTAuthorizer{
		Name: "Jwt", Issuer: "https://issuer.example", IdentitySource: "$request.header.Authorization",
		Audience: []string{"web", api.Routes[0].Authorizer.Audience[1]},
	}
	stage := &template.Throttle{Rate: 500, Burst: 1000}
	route := func(key string, r template.Route) template.Route {
		r.Key, r.Function = key, "ApiFunction"
		r.Method, r.Path, _ = strings.Cut(key, " ")
		if key == template.DefaultRoute {
			r.Method = ""
		}
		if r.Timeout == 0 {
			r.Timeout = 30 * time.Second
		}
		if r.Throttle == nil {
			r.Throttle = stage
		}
		return r
	}
	want := template.HTTPAPI{
		LogicalID: "Api", ID: api.ID, DomainName: api.ID + ".execute-api.us-east-1.amazonaws.com",
		AccountID: "123456789012", Stage: "$default", StageVariables: map[string]string{"colour": "blue"},
		CORS: &template.CORS{
			AllowOrigins: []string{"https://a.example", "https://b.example"}, AllowMethods: []string{"GET", "POST"},
			AllowHeaders: []string{"content-type", "authorization"}, MaxAge: &minutes,
		},
		Routes: []template.Route{
			route("POST /orders", template.Route{
				Authorizer: &jwt, Scopes: []string{"orders/write"}, Throttle: &template.Throttle{Rate: 50, Burst: 1000}}),
			route("GET /orders/{id}", template.Route{
				Authorizer: &jwt, Scopes: []string{"orders/read"}, Timeout: 29 * time.Second}),
			route("GET /healthz", template.Route{}),
			route("OPTIONS /{proxy+}", template.Route{}),
			route("$default", template.Route{Authorizer: &jwt, Scopes: []string{"orders/read"}}),
		},
	}
	diff(t, "API", want, api, noLines(template.HTTPAPI{}, "Line"), noLines(template.Route{}, "Line"))
}

func TestOrdersQueues(t *testing.T) {
	got := read(t, "orders.yaml", template.Options{
		StackName: "shop", AccountID: "000000000001", Region: "eu-central-1", SQSEndpoint: "http://127.0.0.1:4566/",
	})
	day := 24 * time.Hour
	diff(t, "queues", []template.Queue{
		{
			LogicalID: "PaymentQueue", Name: "shop-PaymentQueue",
			ARN:               "arn:aws:sqs:eu-central-1:000000000001:shop-PaymentQueue",
			URL:               "http://127.0.0.1:4566/000000000001/shop-PaymentQueue",
			VisibilityTimeout: time.Minute, Retention: 4 * day, MaxMessageBytes: 1 << 20,
			DeadLetterQueue: "PaymentDLQ", MaxReceiveCount: 5,
		},
		{
			LogicalID: "PaymentDLQ", Name: "shop-payments-dead",
			ARN:               "arn:aws:sqs:eu-central-1:000000000001:shop-payments-dead",
			URL:               "http://127.0.0.1:4566/000000000001/shop-payments-dead",
			VisibilityTimeout: 3 * time.Minute, Retention: 14 * day, MaxMessageBytes: 1 << 20,
		},
	}, got.Queues, noLines(template.Queue{}, "Line"))
	diff(t, "mappings", []template.Mapping{
		{
			LogicalID: "PaymentFunctionQueue", Function: "PaymentFunction", Queue: "PaymentQueue", Enabled: true,
			BatchSize: 10, MaxConcurrency: 20, ReportBatchItemFailures: true,
			Filters: []string{`{"body": {"kind": ["charge", "refund"]}}`},
		},
		{
			LogicalID: "DeadLetterMapping", Function: "DeadLetterFunction", Queue: "PaymentDLQ", Enabled: true,
			BatchSize: 100, Window: 5 * time.Second, ReportBatchItemFailures: true,
		},
	}, got.Mappings, noLines(template.Mapping{}, "Line"))
}

func TestOrdersTable(t *testing.T) {
	got := read(t, "orders.yaml", template.Options{
		StackName: "shop", Parameters: map[string]string{"Environment": "prod"},
	})
	key := func(name, kind string) map[string]any {
		return map[string]any{"AttributeName": name, "KeyType": kind}
	}
	attribute := func(name string) map[string]any {
		return map[string]any{"AttributeName": name, "AttributeType": "S"}
	}
	diff(t, "tables", []template.Table{{
		LogicalID: "OrdersTable", Name: "shop-OrdersTable",
		ARN: "arn:aws:dynamodb:us-east-1:123456789012:table/shop-OrdersTable",
		Properties: map[string]any{
			"BillingMode":          "PAY_PER_REQUEST",
			"AttributeDefinitions": []any{attribute("pk"), attribute("tenant"), attribute("created")},
			"KeySchema":            []any{key("pk", "HASH")},
			"GlobalSecondaryIndexes": []any{map[string]any{
				"IndexName":  "byTenant",
				"KeySchema":  []any{key("tenant", "HASH"), key("created", "RANGE")},
				"Projection": map[string]any{"ProjectionType": "KEYS_ONLY"},
			}},
			"TimeToLiveSpecification": map[string]any{"AttributeName": "expires", "Enabled": true},
		},
	}}, got.Tables, noLines(template.Table{}, "Line"))
}

func TestStreamMappings(t *testing.T) {
	const source = `
Transform: AWS::Serverless-2016-10-31
Parameters: {Position: {Type: String, Default: LATEST}}
Conditions: {Never: !Equals [a, b]}
Resources:
  GivenUp: {Type: AWS::SQS::Queue}
  Plain: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [], StreamSpecification: !If [Never, {StreamViewType: KEYS_ONLY}, !Ref AWS::NoValue]}}
  Items: {Type: AWS::DynamoDB::Table, Properties: {TableName: items, KeySchema: [], StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
      AutoPublishAlias: live
      Environment: {Variables: {STREAM: !GetAtt Items.StreamArn, BUILT: !Sub "${Items.StreamArn}"}}
      Events:
        All:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Items.StreamArn
            StartingPosition: TRIM_HORIZON
            BatchSize: 10000
            MaximumBatchingWindowInSeconds: 300
            ParallelizationFactor: 10
            MaximumRetryAttempts: 0
            MaximumRecordAgeInSeconds: 60
            BisectBatchOnFunctionError: true
            FunctionResponseTypes: [ReportBatchItemFailures]
            FilterCriteria: {Filters: [{Pattern: '{"eventName": ["INSERT"]}'}]}
            DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt GivenUp.Arn}}
            Enabled: false
  G:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
      Events:
        Few:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Items.StreamArn
            StartingPosition: !Ref Position
            DestinationConfig: {OnFailure: {Destination: !GetAtt GivenUp.Arn}}
  H: {Type: AWS::Serverless::Function, Properties: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023}}
  ByHand:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Items.StreamArn
      FunctionName: !Ref H
      StartingPosition: LATEST
      MaximumRecordAgeInSeconds: 604800
      MaximumRetryAttempts: 10000
      DestinationConfig: {OnFailure: {Destination: !GetAtt GivenUp.Arn}}
`
	got, err := template.Read("template.yaml", []byte(source), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const stream = "arn:aws:dynamodb:us-east-1:123456789012:table/items/stream/2015-06-27T00:48:05.899"
	diff(t, "the tables' streams", []string{"", stream}, []string{got.Tables[0].StreamARN, got.Tables[1].StreamARN})
	diff(t, "environment", map[string]string{"STREAM": stream, "BUILT": stream}, got.Functions[0].Environment)
	const known = "arn:aws:dynamodb:us-east-1:123456789012:table/items/stream/2026-07-10T00:00:00.000"
	with, err := template.Read("template.yaml", []byte(source), template.Options{Streams: map[string]string{"Items": known}})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "the stream that is known", []string{known, known}, []string{with.Tables[1].StreamARN, with.Functions[0].Environment["STREAM"]})
	diff(t, "the mappings from it", got.StreamMappings, with.StreamMappings)
	if len(got.Mappings) != 0 {
		t.Errorf("mappings from queues: %+v", got.Mappings)
	}
	diff(t, "mappings", []template.StreamMapping{
		{
			LogicalID: "FAll", Function: "F", Table: "Items", StartingPosition: "TRIM_HORIZON",
			BatchSize: 10_000, Window: 5 * time.Minute, Parallelization: 10, MaxRecordAge: time.Minute,
			Bisect: true, ReportBatchItemFailures: true, OnFailure: "GivenUp", Filters: []string{`{"eventName": ["INSERT"]}`},
		},
		{
			LogicalID: "GFew", Function: "G", Table: "Items", Enabled: true, StartingPosition: "LATEST",
			BatchSize: 100, Parallelization: 1, MaxRetries: -1, OnFailure: "GivenUp",
		},
		{
			LogicalID: "ByHand", Function: "H", Table: "Items", Enabled: true, StartingPosition: "LATEST",
			BatchSize: 100, Parallelization: 1, MaxRetries: 10_000, MaxRecordAge: 7 * 24 * time.Hour, OnFailure: "GivenUp",
		},
	}, got.StreamMappings, noLines(template.StreamMapping{}, "Line"))
}

func TestSchedules(t *testing.T) {
	const source = `
Transform: AWS::Serverless-2016-10-31
Parameters: {Time: {Type: String, Default: "cron(0  3 * * ? *)"}}
Globals: {Function: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023, EventInvokeConfig: {MaximumEventAgeInSeconds: 3600}}}
Resources:
  Failed: {Type: AWS::SQS::Queue}
  Done: {Type: AWS::SQS::Queue}
  F:
    Type: AWS::Serverless::Function
    Properties:
      EventInvokeConfig:
        MaximumRetryAttempts: 0
        DestinationConfig:
          OnSuccess: {Type: SQS, Destination: !GetAtt Done.Arn}
          OnFailure: {Type: SQS, Destination: !GetAtt Failed.Arn}
      Events:
        Nightly:
          Type: ScheduleV2
          Properties:
            ScheduleExpression: !Ref Time
            ScheduleExpressionTimezone: Europe/Berlin
            FlexibleTimeWindow: {Mode: "OFF"}
            StartDate: 2026-07-10T02:00:00+02:00
            EndDate: "2027-07-10T00:00:00.000Z"
            GroupName: night
            Input: '{"dryRun": false}'
            RetryPolicy: {MaximumRetryAttempts: 5}
        Unnamed: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 days), OmitName: true, State: DISABLED}}
        Rule: {Type: Schedule, Properties: {Schedule: rate(5 minutes), Enabled: false}}
        Named: {Type: Schedule, Properties: {Schedule: rate(5 minutes), State: ENABLED, Name: five, Description: x}}
`
	got, err := template.Read("template.yaml", []byte(source), template.Options{StackName: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "asynchronous invokes", template.AsyncInvokes{MaxAge: time.Hour, OnSuccess: "Done", OnFailure: "Failed"}, got.Functions[0].Async)
	const scheduler, rules = "arn:aws:scheduler:us-east-1:123456789012:schedule/", "arn:aws:events:us-east-1:123456789012:rule/"
	diff(t, "schedules", []template.Schedule{
		{
			LogicalID: "FNightly", Name: "FNightly", ARN: scheduler + "night/FNightly", Function: "F", Enabled: true,
			Expression: "cron(0 3 * * ? *)", Timezone: "Europe/Berlin", Input: `{"dryRun": false}`,
			Start: time.Date(2026, 7, 10, 0, 0, 0, 0, time.UTC), End: time.Date(2027, 7, 10, 0, 0, 0, 0, time.UTC),
		},
		{LogicalID: "FUnnamed", Name: "shop-FUnnamed", ARN: scheduler + "default/shop-FUnnamed", Function: "F", Expression: "rate(1 day)", Timezone: "UTC"},
		{LogicalID: "FRule", Name: "shop-FRule", ARN: rules + "shop-FRule", Rule: true, Function: "F", Expression: "rate(5 minutes)", Timezone: "UTC"},
		{LogicalID: "FNamed", Name: "five", ARN: rules + "five", Rule: true, Function: "F", Enabled: true, Expression: "rate(5 minutes)", Timezone: "UTC"},
	}, got.Schedules, noLines(template.Schedule{}, "Line"))
}

func TestNotes(t *testing.T) {
	got := read(t, "notes.json", template.Options{})
	if len(got.APIs) != 2 || len(got.Functions) != 2 {
		t.Fatalf("%d APIs and %d functions, want 2 and 2", len(got.APIs), len(got.Functions))
	}
	staged, implicit := got.APIs[0], got.APIs[1]
	diff(t, "the API with a stage", []string{"Staged", "v1", "$default"},
		[]string{staged.LogicalID, staged.Stage, staged.Routes[0].Key})
	diff(t, "the implicit API", []string{"ServerlessHttpApi", "$default", "ANY /notes/{proxy+}", "ANY /"},
		[]string{implicit.LogicalID, implicit.Stage, implicit.Routes[0].Key, implicit.Routes[1].Key})
	diff(t, "its CORS", &template.CORS{AllowOrigins: []string{"*"}}, implicit.CORS)
	diff(t, "its throttle", &template.Throttle{Rate: 10_000, Burst: 3}, implicit.Routes[0].Throttle)
	diff(t, "the environment", map[string]string{
		"API": "https://" + implicit.DomainName,
		"ME":  "arn:aws:lambda:us-east-1:123456789012:function:notes",
	}, got.Functions[0].Environment)
	if f := got.Functions[0]; f.Timeout != 20*time.Second || f.MemoryMB != 1024 || f.CodeURI != "./src" {
		t.Errorf("timeout %v, memory %d, code %q", f.Timeout, f.MemoryMB, f.CodeURI)
	}
}

// TestValues: the meaning of scalars, since CloudFormation and SAM read YAML 1.1.
func TestValues(t *testing.T) {
	const p = "\n          XX: "
	rows := []struct{ name, source, want string }{
		{"booleans have one spelling", "[True, yes, ON, False, no, Off]", "true true true false false false"},
		{"what only looks like a boolean", "['yes', y, tRUE, !!str no]", "yes y tRUE no"},
		{"numbers and dates are as written", "[017, 0x1F, 1_000, 1e3, +5, 1.50, 2026-07-10, 12:30:45]", "017 0x1F 1_000 1e3 +5 1.50 2026-07-10 12:30:45"},
		{"colons", "[a:b, a::b, http://x:80/y, AWS::Region]", "a:b a::b http://x:80/y AWS::Region"},
		{"a colon at the end of a tag's value", "[!Ref AWS::Region, !Sub \"${AWS::Region}:x\"]", "us-east-1 us-east-1:x"},
		{"comments", "[a#b, # c\n            d]", "a#b d"},
		{"a tag without a value", "[a, !If [Never, !GetAZs , b]]", "a b"},
		{"anchors of values, of tags and of mappings", "[&a x, *a, &b !Ref AWS::Region, *b, !Sub [\"${k}${l}${m}\", {<<: [&m {k: 1, l: 2}, {l: 3, m: 4}], k: 5}]]",
			"x x us-east-1 us-east-1 524"},
		{"escapes", `["a\tb", 'it''s', "\u00e9"]`, "a\tb it's é"},
	}
	for _, row := range rows {
		for _, ends := range []string{"\n", "\r\n"} {
			t.Run(row.name+fmt.Sprintf(" %q", ends), func(t *testing.T) {
				source := "\ufeffConditions: {Never: !Equals [a, b]}\n" + around +
					"  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Environment:\n        Variables:" +
					p + "!Join [' ', " + row.source + "]\n"
				got, err := template.Read("template.yaml", []byte(strings.ReplaceAll(source, "\n", ends)), template.Options{})
				if err != nil {
					t.Fatal(err)
				}
				diff(t, "the variable", row.want, got.Functions[0].Environment["XX"])
			})
		}
	}
}

// The same template always gives the same ids, so that a queue's data is found again
// after a restart.
func TestNamesAreStable(t *testing.T) {
	one, two := read(t, "orders.yaml", template.Options{}), read(t, "orders.yaml", template.Options{})
	diff(t, "two readings", one, two)
	other := read(t, "orders.yaml", template.Options{StackName: "other"})
	if one.APIs[0].ID == other.APIs[0].ID {
		t.Error("two stacks have the same API id")
	}
}

// TestThrottle: limits come from the stage, the API for the route and the event, each by
// itself; what is not set or AWS::NoValue leaves the previous value, in the end no limit.
func TestThrottle(t *testing.T) {
	limit := func(rate float64, burst int) *template.Throttle { return &template.Throttle{Rate: rate, Burst: burst} }
	rows := []struct {
		name, global, api, event string
		want                     *template.Throttle
	}{
		{name: "nothing set"},
		{name: "the stage", api: "DefaultRouteSettings: {ThrottlingRateLimit: 5, ThrottlingBurstLimit: 6}", want: limit(5, 6)},
		{name: "Globals", global: "DefaultRouteSettings: {ThrottlingRateLimit: 0.5, ThrottlingBurstLimit: 6}", want: limit(0.5, 6)},
		{name: "Globals and the stage", global: "DefaultRouteSettings: {ThrottlingRateLimit: 5, ThrottlingBurstLimit: 6}",
			api: "DefaultRouteSettings: {ThrottlingBurstLimit: 7}", want: limit(5, 7)},
		{name: "Globals for the route", global: "RouteSettings: {GET /x: {ThrottlingBurstLimit: 7}}", want: limit(10_000, 7)},
		{name: "the route", api: "DefaultRouteSettings: {ThrottlingRateLimit: 5}, RouteSettings: {GET /x: {ThrottlingRateLimit: 4}, GET /y: {ThrottlingRateLimit: 3}}",
			want: limit(4, 5_000)},
		{name: "the event", api: "RouteSettings: {GET /x: {ThrottlingRateLimit: 4, ThrottlingBurstLimit: 6}}", event: "RouteSettings: {ThrottlingBurstLimit: 8}",
			want: limit(4, 8)},
		{name: "0 is a limit", api: "DefaultRouteSettings: {ThrottlingRateLimit: 0, ThrottlingBurstLimit: 0}", want: limit(0, 0)},
		{name: "only metrics", api: "DefaultRouteSettings: {DetailedMetricsEnabled: true}"},
		{name: "a parameter, by a condition that holds", api: "DefaultRouteSettings: {ThrottlingRateLimit: !If [Set, !Ref Rate, !Ref AWS::NoValue]}",
			want: limit(12, 5_000)},
		{name: "limits without a value", api: "DefaultRouteSettings: {ThrottlingRateLimit: !If [Unset, 5, !Ref AWS::NoValue], ThrottlingBurstLimit: !If [Unset, 5, !Ref AWS::NoValue]}"},
		{name: "settings without a value", api: "DefaultRouteSettings: !If [Unset, {ThrottlingRateLimit: 1}, !Ref AWS::NoValue], RouteSettings: !Ref AWS::NoValue",
			event: "RouteSettings: !If [Unset, {ThrottlingRateLimit: 1}, !Ref AWS::NoValue]"},
		{name: "a route without a value", api: "RouteSettings: {GET /x: !Ref AWS::NoValue, GET /nowhere: !Ref AWS::NoValue}"},
		{name: "a route that takes the stage's", api: "DefaultRouteSettings: {ThrottlingRateLimit: 5}, RouteSettings: {GET /x: {ThrottlingRateLimit: !Ref AWS::NoValue}}",
			want: limit(5, 5_000)},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			source := "Transform: AWS::Serverless-2016-10-31\nParameters: {Rate: {Type: Number, Default: 12}}\n" +
				"Conditions: {Set: !Equals [a, a], Unset: !Equals [a, b]}\nGlobals: {HttpApi: {" + row.global + "}}\nResources:\n" +
				"  A: {Type: AWS::Serverless::HttpApi, Properties: {" + row.api + "}}\n" +
				"  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: .\n      Handler: bootstrap\n" +
				"      Runtime: provided.al2023\n      Events:\n" +
				"        X: {Type: HttpApi, Properties: {ApiId: !Ref A, Path: /x, Method: GET, " + row.event + "}}\n" +
				"        Y: {Type: HttpApi, Properties: {ApiId: !Ref A, Path: /y, Method: GET}}\n"
			got, err := template.Read("template.yaml", []byte(source), template.Options{})
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "GET /x", row.want, got.APIs[0].Routes[0].Throttle)
		})
	}
}

package runner_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/emulator"
	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
	"paylane/shared/feed"
	"paylane/shared/queue"
)

// write writes a file and returns its path.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// inTemplate writes a template with resources, in a folder of its own.
func inTemplate(t *testing.T, resources string) (path string) {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "template.yaml"), "Transform: AWS::Serverless-2016-10-31\nResources:\n"+resources)
}

// platform runs functions in this process, by their logical ids.
type platform struct {
	handlers map[string]any
	queues   map[string]*channel    // by logical id
	streams  map[string]feed.Stream // by the tables' logical ids

	mu     sync.Mutex
	events []string // what the runner did with it
}

func (p *platform) open(_ context.Context, t *template.Template) (runner.Platform, error) {
	p.queues = map[string]*channel{}
	for _, q := range t.Queues {
		p.queues[q.LogicalID] = &channel{messages: make(chan string, 10), deleted: make(chan string, 10)}
	}
	return p, nil
}

func (p *platform) note(event string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, event)
}

func (p *platform) Invoker(f template.Function) (emulator.Invoker, error) {
	handler, ok := p.handlers[f.LogicalID]
	if !ok {
		return nil, errors.New("nothing runs it")
	}
	p.note("invoker " + f.LogicalID)
	return emulator.NewInProcess(handler, emulator.Config{ARN: f.ARN, Timeout: f.Timeout}), nil
}

func (p *platform) Queue(q template.Queue) (queue.Queue, int) { return p.queues[q.LogicalID], 1 }

func (p *platform) Stream(table template.Table) (feed.Stream, error) {
	if stream, ok := p.streams[table.LogicalID]; ok {
		return stream, nil
	}
	return nil, errors.New("nothing has it")
}

func (p *platform) Watch(ctx context.Context) { <-ctx.Done() }

func (p *platform) Close(context.Context) error {
	p.note("close")
	return nil
}

// channel is a queue that delivers each message once.
type channel struct {
	queue.Queue

	messages, deleted chan string
}

func (q *channel) Receive(ctx context.Context, r queue.ReceiveRequest) ([]queue.Message, error) {
	wait, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	select {
	case body := <-q.messages:
		return []queue.Message{{MessageID: body, ReceiptHandle: body, Body: body}}, nil
	case <-wait.Done():
		return nil, ctx.Err()
	}
}

func (q *channel) Delete(_ context.Context, receiptHandles []string) ([]error, error) {
	for _, handle := range receiptHandles {
		q.deleted <- handle
	}
	return make([]error, len(receiptHandles)), nil
}

func (q *channel) Send(_ context.Context, body string, _ time.Duration) (string, error) {
	q.messages <- body
	return body, nil
}

// shard is a stream that has one shard with these records.
type shard struct{ records []feed.Record }

func (s *shard) Shards(context.Context) ([]feed.Shard, error) { return []feed.Shard{{ID: "one"}}, nil }

func (s *shard) Open(context.Context, string, feed.Position) (feed.Reader, error) {
	return &shard{records: s.records}, nil
}

func (s *shard) Read(ctx context.Context, _ int, wait time.Duration) (records []feed.Record, ended bool, err error) {
	if records, s.records = s.records, nil; records == nil {
		waiting, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		<-waiting.Done()
	}
	return records, false, ctx.Err()
}

func (s *shard) Checkpoint(context.Context, string, string) error { return nil }

// says is a function that answers with a text.
func says(text string) any {
	return func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusOK, Body: text}, nil
	}
}

func start(t *testing.T, c runner.Config) *runner.Runner {
	t.Helper()
	r, err := runner.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func get(t *testing.T, url, authorization string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", authorization)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// TestRefused: what can't be run is reported with its line, all at once.
func TestRefused(t *testing.T) {
	t.Parallel()
	const function = ": {Type: AWS::Serverless::Function, Properties: {CodeUri: nowhere, Handler: bootstrap, Runtime: provided.al2023, " +
		"FunctionUrlConfig: {AuthType: NONE}}}\n"
	const stores = `  Queue: {Type: AWS::SQS::Queue}
  Table:
    Type: AWS::DynamoDB::Table
    Properties: {KeySchema: [{AttributeName: a, KeyType: HASH}], AttributeDefinitions: [{AttributeName: a, AttributeType: S}], BillingMode: PAY_PER_REQUEST}
`
	for _, tt := range []struct {
		name      string
		resources string
		change    func(*runner.Config)
		checked   bool // Check refuses it, too
		want      []string
	}{
		{"source that is missing", "  A" + function + "  B" + function, nil, true, []string{"line 3: Resources.A: its CodeUri nowhere", "line 4: Resources.B: its CodeUri nowhere"}},
		{"two HTTP APIs", "  One: {Type: AWS::Serverless::HttpApi}\n  Two: {Type: AWS::Serverless::HttpApi}\n", nil, true, []string{"line 4: Resources.Two: the runner serves one HTTP API"}},
		{"tokens without an API", "  Q: {Type: AWS::SQS::Queue}\n", func(c *runner.Config) { c.Tokens = &runner.Tokens{} }, true, []string{"no HTTP API"}},
		{"a type that is not supported", "  Bus: {Type: AWS::Events::EventBus}\n", nil, true, []string{"line 3: Resources.Bus", "AWS::Events::EventBus"}},
		{"a parameter that the template lacks", "  Q: {Type: AWS::SQS::Queue}\n", func(c *runner.Config) { c.Parameters = map[string]string{"Colour": "red"} }, true, []string{"Colour"}},
		{"no endpoint", stores, nil, false, []string{"line 3: Resources.Queue: a queue needs an endpoint\n", "line 4: Resources.Table: a table needs an endpoint\n", runner.ErrNoEndpoint.Error()}},
		{"an endpoint that is not a URL", stores, func(c *runner.Config) { c.Endpoint = "localhost:4566" }, false, []string{`"localhost:4566"`, "http://127.0.0.1:4566"}},
		{"an endpoint where nobody answers", stores, func(c *runner.Config) { c.Endpoint = "http://127.0.0.1:9" }, false, []string{"at the endpoint http://127.0.0.1:9", "refused"}},
		{"a platform that can't run it", "  A" + function + "  B" + function, func(c *runner.Config) { c.Platform = new(platform).open }, false, []string{"line 3: Resources.A: nothing runs it", "line 4: Resources.B: nothing runs it"}},
		{"a platform without the stream", streamed, func(c *runner.Config) {
			c.Platform = (&platform{handlers: map[string]any{"Watcher": says("")}}).open
		}, false, []string{"template.yaml:12: mapping WatcherChanges: nothing has it"}},
		{"an address that is not one", "  Q: {Type: AWS::SQS::Queue}\n", func(c *runner.Config) { c.Addr = "here" }, true, []string{"here"}},
		{"no template", "", func(c *runner.Config) { c.Template = "nowhere.yaml" }, true, []string{"read the template", "nowhere.yaml"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := runner.Config{Template: inTemplate(t, tt.resources)}
			if tt.change != nil {
				tt.change(&c)
			}
			if _, err := runner.Check(c); (err != nil) != tt.checked {
				t.Errorf("checked: %v", err)
			}
			_, err := runner.Start(t.Context(), c)
			if err == nil {
				t.Fatal("it started")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

// TestCheck reads a template without an endpoint, and touches no platform.
func TestCheck(t *testing.T) {
	t.Parallel()
	made, err := runner.Check(runner.Config{Template: "testdata/hello/template.yaml", Parameters: map[string]string{"Greeting": "hey"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := made.Functions[0].Environment["GREETING"]; got != "hey" {
		t.Errorf("the greeting is %q", got)
	}
	if !runner.IsInvoked(made, "Greeter") || runner.IsInvoked(made, "Other") {
		t.Error("Greeter alone is invoked")
	}
}

// TestStartFails: a start that fails leaves nothing behind.
func TestStartFails(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{}
	_, err = runner.Start(t.Context(), runner.Config{
		Template: inTemplate(t, "  A: {Type: AWS::Serverless::Function, Properties: {CodeUri: a, Handler: bootstrap, Runtime: provided.al2023, FunctionUrlConfig: {AuthType: NONE}}}\n"),
		Listener: listener, Platform: p.open,
	})
	var refused *template.Error
	if !errors.As(err, &refused) {
		t.Errorf("the error is %v", err)
	}
	if d := cmp.Diff([]string{"close"}, p.events); d != "" {
		t.Errorf("what was done with the platform (-want +got):\n%s", d)
	}
	if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener was open: %v", err)
	}
}

const twoFunctions = `  Front:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: front
      Handler: bootstrap
      Runtime: provided.al2023
      Events: {Any: {Type: HttpApi, Properties: {ApiId: !Ref Api, Path: "/{proxy+}", Method: ANY}}}
  Side:
    Type: AWS::Serverless::Function
    Metadata: {LocalPaths: ["/letters/{id}/events"]}
    Properties: {CodeUri: side, Handler: bootstrap, Runtime: provided.al2023, FunctionUrlConfig: {AuthType: NONE}}
  Idle:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: idle, Handler: bootstrap, Runtime: provided.al2023}
`

// TestOneOrigin: the HTTP API and the function URLs share an origin, with paths of the
// caller's own around them.
func TestOneOrigin(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	p := &platform{handlers: map[string]any{"Front": says("front"), "Side": says("side")}}
	r := start(t, runner.Config{
		Template: inTemplate(t, "  Api: {Type: AWS::Serverless::HttpApi}\n"+twoFunctions),
		Listener: listener, Addr: "localhost:" + port, Platform: p.open,
		Wrap: func(next http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("/", next)
			mux.HandleFunc("/own", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "own") })
			return mux
		},
	})
	if r.URL() != "http://localhost:"+port {
		t.Errorf("the URL is %s", r.URL())
	}
	for path, want := range map[string]string{
		"/letters": "front", "/own": "own", "/_url/Side/x": "side", "/letters/7/events": "side", "/letters/7/8/events": "front",
		"/_url/Front/x": `{"Message":null}`, "/_url/Idle/": `{"Message":null}`,
	} {
		if _, body := get(t, r.URL()+path, ""); body != want {
			t.Errorf("%s answers %s, want %s", path, body, want)
		}
	}
	if d := cmp.Diff([]string{"invoker Front", "invoker Side"}, p.events); d != "" {
		t.Errorf("what was done with the platform (-want +got):\n%s", d)
	}
}

// TestTokens: authorizers ask for tokens if they are told to: the template's issuer's, or
// those of another in its place.
func TestTokens(t *testing.T) {
	t.Parallel()
	own, other := tokentest.New(t, "https://own.test"), tokentest.New(t, "https://other.test")
	path := inTemplate(t, `  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Tokens
        Authorizers: {Tokens: {JwtConfiguration: {issuer: https://own.test, audience: [`+tokentest.Audience+`]}}}
`+twoFunctions)
	for _, tt := range []struct {
		name              string
		tokens            *runner.Tokens
		none, ours, their int
	}{
		{"nobody is asked", nil, 200, 200, 200},
		{"the template's", &runner.Tokens{Client: own.Client()}, 401, 200, 401},
		{"another's", &runner.Tokens{Issuer: other.URL, Audience: []string{tokentest.Audience}, Client: other.Client()}, 401, 401, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &platform{handlers: map[string]any{"Front": says("front"), "Side": says("side")}}
			r := start(t, runner.Config{Template: path, Platform: p.open, Tokens: tt.tokens})
			for authorization, want := range map[string]int{
				"": tt.none, "Bearer " + own.Token(t, own.Claims(time.Now(), nil)): tt.ours, "Bearer " + other.Token(t, other.Claims(time.Now(), nil)): tt.their,
			} {
				if status, body := get(t, r.URL()+"/x", authorization); status != want {
					t.Errorf("%.20s: %d %s, want %d", authorization, status, body, want)
				}
			}
		})
	}
}

// twoAuthorizers is an API with an issuer and an audience for each of its two routes, whose
// function answers with the claims that it sees.
const twoAuthorizers = `  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        Authorizers:
          Web: {JwtConfiguration: {issuer: https://web.test/, audience: [web]}}
          Admin: {JwtConfiguration: {issuer: https://admin.test, audience: [admin, ops]}}
  Show:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: show
      Handler: bootstrap
      Runtime: provided.al2023
      Events:
        Web: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: GET, Path: /web, Auth: {Authorizer: Web}}}
        Admin: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: GET, Path: /admin, Auth: {Authorizer: Admin}}}
`

// showClaims is that function.
func showClaims(_ context.Context, r events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	claims := r.RequestContext.Authorizer.JWT.Claims
	return events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: claims["iss"] + " " + claims["aud"] + " " + claims["cognito:groups"]}, nil
}

// TestAuthorizers: an issuer that stands in for those of the authorizers signs the tokens of
// each, for its audiences alone; and its own tokens are good for all of them.
func TestAuthorizers(t *testing.T) {
	t.Parallel()
	signer := tokentest.New(t, "http://127.0.0.1:9")
	p := &platform{handlers: map[string]any{"Show": showClaims}}
	r := start(t, runner.Config{
		Template: inTemplate(t, twoAuthorizers), Platform: p.open,
		Tokens: &runner.Tokens{Issuer: signer.URL, Audience: []string{tokentest.Audience}, StandIn: true, Client: signer.Client()},
	})
	for _, tt := range []struct {
		iss        any // nil is the signer's own
		aud        any
		web, admin int
	}{
		{nil, nil, 200, 200},
		{nil, "web", 200, 401},
		{nil, "ops", 401, 200},
		{nil, "other", 401, 401},
		{"https://web.test/", "web", 200, 401},
		{"https://web.test/", tokentest.Audience, 200, 401},
		{"https://web.test/", "admin", 401, 401},
		{"https://web.test", "web", 401, 401}, // iss is compared exactly
		{"https://admin.test", []string{"x", "admin"}, 401, 200},
		{"https://admin.test", "web", 401, 401},
		{"https://other.test", "web", 401, 401},
	} {
		claims := signer.Claims(time.Now(), nil)
		if tt.iss != nil {
			claims["iss"] = tt.iss
		}
		if tt.aud != nil {
			claims["aud"] = tt.aud
		}
		for path, want := range map[string]int{"/web": tt.web, "/admin": tt.admin} {
			status, body := get(t, r.URL()+path, "Bearer "+signer.Token(t, claims))
			if status != want || want == 200 && !strings.HasPrefix(body, claims["iss"].(string)+" ") {
				t.Errorf("iss %v, aud %v: %s answers %d %s, want %d", tt.iss, tt.aud, path, status, body, want)
			}
		}
	}
}

// TestOneIssuerForTwo: one issuer can't replace two that differ.
func TestOneIssuerForTwo(t *testing.T) {
	t.Parallel()
	p := &platform{handlers: map[string]any{"Show": showClaims}}
	_, err := runner.Start(t.Context(), runner.Config{
		Template: inTemplate(t, twoAuthorizers), Platform: p.open, Tokens: &runner.Tokens{Issuer: "https://other.test", Audience: []string{"web"}},
	})
	if err == nil || !strings.Contains(err.Error(), "authorizers Web and Admin") {
		t.Errorf("%v", err)
	}
}

// TestIdentity: without tokens, a function behind an authorizer sees an identity all the
// same.
func TestIdentity(t *testing.T) {
	t.Parallel()
	p := &platform{handlers: map[string]any{"Show": showClaims}}
	r := start(t, runner.Config{
		Template: inTemplate(t, twoAuthorizers), Platform: p.open, Identity: map[string]any{"cognito:groups": []any{"a", "b"}},
	})
	for path, want := range map[string]string{"/web": "https://web.test/ web [a b]", "/admin": "https://admin.test admin [a b]"} {
		if status, body := get(t, r.URL()+path, ""); status != 200 || body != want {
			t.Errorf("%s: %d %s, want %s", path, status, body, want)
		}
	}
}

// TestQueues: messages reach the function, and are deleted. An application without an HTTP
// API has no URL, and runs until it is closed.
func TestQueues(t *testing.T) {
	t.Parallel()
	received := make(chan string, 1)
	p := &platform{handlers: map[string]any{"Worker": func(_ context.Context, e events.SQSEvent) error {
		received <- e.Records[0].Body
		return nil
	}}}
	r := start(t, runner.Config{Platform: p.open, Template: inTemplate(t, `  Letters: {Type: AWS::SQS::Queue}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: worker
      Handler: bootstrap
      Runtime: provided.al2023
      Events: {Letters: {Type: SQS, Properties: {Queue: !GetAtt Letters.Arn}}}
`)})
	if r.URL() != "" {
		t.Errorf("the URL is %s", r.URL())
	}
	if _, err := p.queues["Letters"].Send(t.Context(), "hello", 0); err != nil {
		t.Fatal(err)
	}
	if got := <-received; got != "hello" {
		t.Errorf("the function received %q", got)
	}
	if got := <-p.queues["Letters"].deleted; got != "hello" {
		t.Errorf("%q was deleted", got)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Wait(); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"invoker Worker", "close"}, p.events); d != "" {
		t.Errorf("what was done with the platform (-want +got):\n%s", d)
	}
}

const streamed = `  Items: {Type: AWS::DynamoDB::Table, Properties: {TableName: items, KeySchema: [], StreamSpecification: {StreamViewType: KEYS_ONLY}}}
  GivenUp: {Type: AWS::SQS::Queue}
  Watcher:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: watcher
      Handler: bootstrap
      Runtime: provided.al2023
      Events:
        Changes:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Items.StreamArn
            StartingPosition: TRIM_HORIZON
            BatchSize: 1
            MaximumRetryAttempts: 0
            DestinationConfig: {OnFailure: {Destination: !GetAtt GivenUp.Arn}}
`

// TestStreams: changes of a table reach the function, what it fails on is told to a queue, and
// an invocation that is under way ends before the platform closes.
func TestStreams(t *testing.T) {
	t.Parallel()
	record := func(id string) feed.Record {
		return feed.Record{EventID: id, EventName: feed.Insert, Change: events.DynamoDBStreamRecord{SequenceNumber: id}}
	}
	received, goOn := make(chan string), make(chan struct{})
	p := &platform{streams: map[string]feed.Stream{"Items": &shard{records: []feed.Record{record("1"), record("2")}}}}
	p.handlers = map[string]any{"Watcher": func(_ context.Context, e events.DynamoDBEvent) error {
		received <- e.Records[0].EventID + " " + e.Records[0].EventSourceArn
		if e.Records[0].EventID == "1" {
			return errors.New("not this one")
		}
		<-goOn
		p.note("watched")
		return nil
	}}
	r := start(t, runner.Config{Platform: p.open, Template: inTemplate(t, streamed)})
	const stream = "arn:aws:dynamodb:us-east-1:123456789012:table/items/stream/2015-06-27T00:48:05.899"
	if got := <-received; got != "1 "+stream {
		t.Errorf("the function received first %s", got)
	}
	if got := <-p.queues["GivenUp"].messages; !strings.Contains(got, "RetryAttemptsExhausted") || !strings.Contains(got, stream) {
		t.Errorf("the destination has %s", got)
	}
	if got := <-received; got != "2 "+stream {
		t.Errorf("the function received then %s", got)
	}
	closed := make(chan error)
	go func() { closed <- r.Close() }()
	goOn <- struct{}{}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"invoker Watcher", "watched", "close"}, p.events); d != "" {
		t.Errorf("what was done with the platform (-want +got):\n%s", d)
	}
}

// TestContextEnds: the end of the context ends the application, as Close does.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	p := &platform{handlers: map[string]any{"Front": says("front"), "Side": says("side")}}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := runner.Start(ctx, runner.Config{Template: inTemplate(t, "  Api: {Type: AWS::Serverless::HttpApi}\n"+twoFunctions), Platform: p.open})
	if err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, r.URL()+"/x", ""); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	cancel()
	if err := r.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(r.URL(), "http://")); err == nil {
		t.Error("it still accepts connections")
	}
}

// function is a program that speaks the Runtime API by itself and answers with a text.
const function = `package main

import (
	"io"
	"net/http"
	"os"
	"strings"
)

const text = "hello"

func main() {
	for base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"; ; {
		next, err := http.Get(base + "next")
		if err != nil {
			panic(err)
		}
		_, _ = io.Copy(io.Discard, next.Body)
		_ = next.Body.Close()
		answer := strings.NewReader("{\"statusCode\": 200, \"body\": \"" + text + "\"}")
		posted, err := http.Post(base+next.Header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", "application/json", answer)
		if err != nil {
			panic(err)
		}
		_ = posted.Body.Close()
	}
}
`

// TestRebuilds: a function is built again when its source changes. One that does not
// compile changes nothing but is reported, and at the end no build is left behind.
func TestRebuilds(t *testing.T) {
	builds := t.TempDir()
	t.Setenv("TMPDIR", builds)
	path := inTemplate(t, `  Fun:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: fun, Handler: bootstrap, Runtime: provided.al2023, FunctionUrlConfig: {AuthType: NONE}}
`)
	source := filepath.Join(filepath.Dir(path), "fun", "main.go")
	write(t, filepath.Join(filepath.Dir(source), "go.mod"), "module fun\n\ngo 1.26\n")
	write(t, source, function)
	output := &output{}
	r := start(t, runner.Config{Template: path, Output: output})
	eventually := func(what string, is func() bool) {
		t.Helper()
		look := time.NewTicker(50 * time.Millisecond)
		defer look.Stop()
		for deadline := time.Now().Add(time.Minute); !is(); <-look.C {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not within a minute; the output is\n%s", what, output)
			}
		}
	}
	answer := func() string {
		_, body := get(t, r.URL()+"/_url/Fun/", "")
		return body
	}
	if got := answer(); got != "hello" {
		t.Fatalf("it answers %s", got)
	}
	write(t, source, strings.Replace(function, `"hello"`, `"good" + "bye"`, 1))
	eventually("the new code runs", func() bool { return answer() == "goodbye" })
	write(t, source, strings.Replace(function, `"hello"`, `"broken" +`, 1))
	eventually("the failure is reported", func() bool { return strings.Contains(output.String(), "Fun goes on as it was") })
	if got := answer(); got != "goodbye" || !strings.Contains(output.String(), "main.go:") {
		t.Errorf("after a build that failed it answers %s; the output is\n%s", got, output)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(builds, "paylane-*")); err != nil || len(left) > 0 {
		t.Errorf("%v is left behind, %v", left, err)
	}
}

// output can be read while it is written.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

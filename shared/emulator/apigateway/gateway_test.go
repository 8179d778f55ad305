package apigateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator"
	"paylane/shared/emulator/apigateway"
	"paylane/shared/emulator/template"
)

type (
	request  = events.APIGatewayV2HTTPRequest
	response = events.APIGatewayV2HTTPResponse
)

// tb is what the helpers need from a test, a benchmark or a rapid check.
type tb interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// api is a test's API: its routes (SAM events of function F, as YAML flow mappings)
// and its other properties.
type api struct {
	routes     []string
	properties string // of the API
	timeout    string // of the function, in seconds
}

// template reads the API from a SAM template.
func (a api) template(t tb) *template.Template {
	t.Helper()
	var b strings.Builder
	b.WriteString("Transform: AWS::Serverless-2016-10-31\nResources:\n")
	b.WriteString("  Api: {Type: AWS::Serverless::HttpApi, Properties: {" + a.properties + "}}\n")
	timeout := a.timeout
	if timeout == "" {
		timeout = "10"
	}
	b.WriteString("  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: .\n      Handler: bootstrap\n" +
		"      Runtime: provided.al2023\n      Timeout: " + timeout + "\n      Events:\n")
	for i, route := range a.routes {
		b.WriteString("        E" + string(rune('a'+i)) + ": {Type: HttpApi, Properties: {ApiId: !Ref Api" + route + "}}\n")
	}
	got, err := template.Read("template.yaml", []byte(b.String()), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// path is a route for api.routes.
func path(method, path string) string {
	return ", Method: " + method + ", Path: '" + path + "'"
}

// mode is how events reach handlers.
type mode struct {
	name string
	json bool
}

var modes = []mode{{"typed", false}, {"json", true}}

// gateway returns the API's gateway, with one handler behind all routes.
func (a api) gateway(t tb, m mode, handler any, o apigateway.Options) (*apigateway.Gateway, *emulator.InProcess) {
	t.Helper()
	parsed := a.template(t)
	f := parsed.Functions[0]
	invoker := emulator.NewInProcess(handler, emulator.Config{ARN: f.ARN, Timeout: f.Timeout, JSON: m.json})
	t.Cleanup(invoker.Close)
	o.Functions = map[string]emulator.Invoker{"F": invoker}
	g, err := apigateway.New(parsed.APIs[0], o)
	if err != nil {
		t.Fatal(err)
	}
	return g, invoker
}

// serve serves the API on its own port and returns the address.
func (a api) serve(t *testing.T, m mode, handler any, o apigateway.Options) string {
	t.Helper()
	g, _ := a.gateway(t, m, handler, o)
	return serve(t, g, apigateway.Limits{}, nil)
}

// serve serves a handler on its own port and returns the address. watch, which can be
// nil, is called with the states of connections.
func serve(t *testing.T, handler http.Handler, limits apigateway.Limits, watch func(net.Conn, http.ConnState)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := apigateway.Server(handler, slog.New(slog.DiscardHandler), limits)
	server.ConnState = watch
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(limits.Listener(listener))
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return listener.Addr().String()
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends bytes as they are: net/http's client would tidy them up.
func send(t *testing.T, address, raw string) answer {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second)) // so that a test fails rather than hangs
	go func() { _, _ = io.WriteString(connection, raw) }()       // a refused body may not be read
	method, _, _ := strings.Cut(raw, " ")
	reader := bufio.NewReader(connection)
	r, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err == nil && r.StatusCode == http.StatusContinue {
		r, err = http.ReadResponse(reader, &http.Request{Method: method})
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{r.StatusCode, r.Header, string(body)}
}

// get is a GET with only the required headers.
func get(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: api.test\r\n\r\n" }

// post is a POST; headers are whole lines.
func post(target, body string, headers ...string) string {
	lines := slices.Concat(headers, []string{"Content-Length: " + itoa(len(body))})
	return "POST " + target + " HTTP/1.1\r\nHost: api.test\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// echo answers with the event that it received.
func echo(_ context.Context, e request) (response, error) {
	body, err := json.Marshal(e)
	return response{StatusCode: 200, Body: string(body)}, err
}

// rawEcho answers with the JSON that it received, whatever the mode.
func rawEcho(_ context.Context, e json.RawMessage) (response, error) {
	return response{StatusCode: 200, Body: string(e)}, nil
}

// event reads what echo answered.
func event(t *testing.T, a answer) request {
	t.Helper()
	return eventOf(t, a)
}

func eventOf(t tb, a answer) request {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	var e request
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return e
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// record sends a request without a network, for tests on a virtual clock.
func record(g http.Handler, method, target string, headers ...string) answer {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return answer{w.Code, w.Result().Header, w.Body.String()}
}

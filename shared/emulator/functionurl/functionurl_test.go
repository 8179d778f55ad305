package functionurl_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdaurl"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator"
	"paylane/shared/emulator/functionurl"
	"paylane/shared/emulator/runtimeapi"
	"paylane/shared/emulator/template"
)

// program is package runtimeapi's test function, built as for AWS.
var program string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "functionurl")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(folder, "bootstrap")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-tags=lambda.norpc", "-o", program, "../runtimeapi/testdata/function")
	build.Env, build.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	status := 1
	if err = build.Run(); err == nil {
		status = m.Run()
	}
	_ = os.RemoveAll(folder)
	os.Exit(status)
}

type request = events.LambdaFunctionURLRequest

// url is the function URL under test.
type url struct {
	invoker emulator.Invoker
	config  template.FunctionURL
	timeout time.Duration // of a client's reading
	server  time.Duration // the server's own timeouts
}

var (
	buffered  = template.FunctionURL{LogicalID: "FUrl", ID: "id", DomainName: "id.lambda-url.us-east-1.on.aws"}
	streaming = template.FunctionURL{LogicalID: "FUrl", ID: "id", DomainName: "id.lambda-url.us-east-1.on.aws", Stream: true}
)

// inProcess runs a handler in this process, with typed events or through JSON.
func inProcess(t *testing.T, handler any, c emulator.Config) *emulator.InProcess {
	t.Helper()
	f := emulator.NewInProcess(handler, c)
	t.Cleanup(f.Close)
	return f
}

// serve serves the URL on its own port.
func (u url) serve(t *testing.T) string {
	t.Helper()
	handler, err := functionurl.New(u.config, functionurl.Options{Invoker: u.invoker, WriteTimeout: u.timeout})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ReadTimeout, server.Config.WriteTimeout = u.server, u.server
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

func do(t *testing.T, method, address, body string, headers ...string) (status int, header http.Header, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(all)
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// rawEcho returns the event, as it was sent.
func rawEcho(_ context.Context, e json.RawMessage) (any, error) { return e, nil }

// TestConformance has the rows D01 to D04 of docs/emulation.md.
func TestConformance(t *testing.T) {
	t.Run("D01 path, cookie and context", d01)
	t.Run("D02 a function error", d02)
	t.Run("D03 each Write at once, in process", func(t *testing.T) { d03(t, writer(t)) })
	t.Run("D03 each Write at once, in process through JSON", func(t *testing.T) {
		w := writer(t)
		w.invoker = inProcess(t, lambdaurl.Wrap(http.HandlerFunc(w.serve)), emulator.Config{Timeout: time.Minute, JSON: true})
		d03(t, w)
	})
	t.Run("D03 each Write at once, a built program", func(t *testing.T) { d03(t, built(t)) })
	t.Run("D04 plain object, verbatim, in process", func(t *testing.T) {
		d04(t, inProcess(t, func(context.Context, request) (any, error) { return map[string]int{"statusCode": 404}, nil }, emulator.Config{}))
	})
	t.Run("D04 plain object, verbatim, a built program", func(t *testing.T) {
		d04(t, notFound{process(t, "")})
	})
}

func d01(t *testing.T) {
	address := url{invoker: inProcess(t, rawEcho, emulator.Config{}), config: buffered}.serve(t)
	status, header, body := do(t, "GET", address+"/a%20b?x=1&x=2", "", "Cookie", "a=1; b=2", "X-P", "1", "X-P", "2")
	diff(t, "status", 200, status)
	var e struct {
		RawPath, RawQueryString, RouteKey string
		Cookies                           []string
		Headers, QueryStringParameters    map[string]string
		PathParameters, StageVariables    any
		RequestContext                    struct {
			AccountID, APIID, DomainName, DomainPrefix, RequestID, RouteKey, Stage string
			HTTP                                                                   struct{ Method, Path, SourceIP string }
			Authorizer                                                             any
		}
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatal(err)
	}
	c := e.RequestContext
	diff(t, "raw path, decoded path", []string{"/a%20b", "/a b"}, []string{e.RawPath, c.HTTP.Path})
	diff(t, "cookies", []string{"a=1", "b=2"}, e.Cookies)
	diff(t, "headers", []string{"a=1; b=2", "1,2"}, []string{e.Headers["cookie"], e.Headers["x-p"]})
	diff(t, "query", map[string]string{"x": "1,2"}, e.QueryStringParameters)
	diff(t, "context", []string{"anonymous", "id", "id.lambda-url.us-east-1.on.aws", "id", "$default", "$default", "$default", "GET", "127.0.0.1"},
		[]string{c.AccountID, c.APIID, c.DomainName, c.DomainPrefix, e.RouteKey, c.RouteKey, c.Stage, c.HTTP.Method, c.HTTP.SourceIP})
	if len(c.RequestID) != 36 || header.Get("X-Amzn-Requestid") != c.RequestID {
		t.Errorf("the request id is %q, in the header %q", c.RequestID, header.Get("X-Amzn-Requestid"))
	}
	for _, absent := range []string{"pathParameters", "stageVariables", "authorizer", `"body"`} {
		if strings.Contains(body, absent) {
			t.Errorf("the event has %s: %s", absent, body)
		}
	}
}

func d02(t *testing.T) {
	rows := map[string]any{
		"error": func(context.Context, request) (any, error) { return nil, errors.New("boom") },
		"panic": func(context.Context, request) (any, error) { panic("oh") },
		"does not fit": func(context.Context, request) (any, error) {
			return map[string]any{"statusCode": "x"}, nil
		},
		"timeout": func(ctx context.Context, _ request) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
	for name, handler := range rows {
		for _, config := range []template.FunctionURL{buffered, streaming} {
			if name == "does not fit" && config.Stream {
				continue // sent as it is: D04
			}
			f := inProcess(t, handler, emulator.Config{Timeout: 10 * time.Millisecond})
			status, header, body := do(t, "GET", url{invoker: f, config: config}.serve(t), "")
			diff(t, name, []any{502, "Internal Server Error", "text/plain"}, []any{status, body, header.Get("Content-Type")})
		}
	}
	status, _, body := do(t, "GET", url{invoker: process(t, ""), config: buffered}.serve(t), "")
	diff(t, "a program that answers", 200, status)
	if !strings.Contains(body, `"pid"`) {
		t.Error(body)
	}
}

// teller is a handler that writes what the test tells it to.
type teller struct {
	invoker emulator.Invoker
	query   string
	say     chan string // closed for its end
}

func (w teller) serve(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Add("Set-Cookie", "a=1")
	for text := range w.say {
		if _, err := io.WriteString(rw, text); err != nil {
			panic(fmt.Sprint("a write failed: ", err)) // which ends the process
		}
	}
}

func writer(t *testing.T) teller {
	w := teller{say: make(chan string)}
	w.invoker = inProcess(t, lambdaurl.Wrap(http.HandlerFunc(w.serve)), emulator.Config{Timeout: time.Minute})
	return w
}

// process is a built program in one of its modes.
func process(t *testing.T, mode string) *runtimeapi.Function {
	t.Helper()
	f, err := runtimeapi.New(runtimeapi.Config{
		Function: template.Function{Name: "f", ARN: "arn", Timeout: time.Minute, Environment: map[string]string{"MODE": mode}}, Binary: program,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = f.Close(ctx)
	})
	return f
}

// built is a program that writes what the test tells it to, over a connection.
func built(t *testing.T) teller {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	w := teller{invoker: process(t, "url"), query: "?address=" + listener.Addr().String(), say: make(chan string)}
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		for text := range w.say {
			_, _ = io.WriteString(connection, text)
		}
		_ = connection.Close()
	}()
	return w
}

// open requests a stream whose first event has arrived.
func open(t *testing.T, w teller, u url) *http.Response {
	t.Helper()
	u.invoker, u.config = w.invoker, streaming
	address := u.serve(t)
	go func() { w.say <- "data: 1\n\n" }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/"+w.query, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	reads(t, response.Body, "data: 1\n\n")
	return response
}

// reads reads what must arrive before anything else is written.
func reads(t *testing.T, from io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v; want %q", got, err, want)
	}
}

func d03(t *testing.T, w teller) {
	response := open(t, w, url{server: 200 * time.Millisecond, timeout: 200 * time.Millisecond})
	diff(t, "status and type", []any{200, "text/event-stream"}, []any{response.StatusCode, response.Header.Get("Content-Type")})
	for _, event := range []string{"data: 2\n\n", "data: 3\n\n"} {
		pause(t, 150*time.Millisecond) // together more than the timeouts
		w.say <- event
		reads(t, response.Body, event)
	}
	close(w.say)
	if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

// pause lets timeouts of a real connection run.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func d04(t *testing.T, f emulator.Invoker) {
	status, header, body := do(t, "GET", url{invoker: f, config: streaming}.serve(t), "")
	diff(t, "response", []any{200, `{"statusCode":404}`, "application/json"}, []any{status, body, header.Get("Content-Type")})
}

// notFound has the program return an object of the kind for BUFFERED.
type notFound struct{ *runtimeapi.Function }

func (f notFound) InvokeStream(ctx context.Context, i emulator.Invocation) (*emulator.Stream, error) {
	i.Event = emulator.RawEvent(`{"do":"not found"}`)
	return f.Function.InvokeStream(ctx, i)
}

// TestResponses: results that are handled differently from an HTTP API.
func TestResponses(t *testing.T) {
	rows := []struct {
		name   string
		result any
		status int
		typ    string
		body   string
	}{
		{"structured, without a type", map[string]any{"statusCode": 201, "body": "x"}, 201, "application/json", "x"},
		{"status as text", map[string]any{"statusCode": "418", "body": "x"}, 418, "application/json", "x"},
		{"a text", "hello", 200, "application/json", "hello"},
		{"a list", []int{1, 2}, 200, "application/json", "[1,2]"},
		{"a number", 5, 200, "application/json", "5"},
		{"a truth", true, 200, "application/json", "true"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			f := inProcess(t, func(context.Context, request) (any, error) { return row.result, nil }, emulator.Config{})
			status, header, body := do(t, "GET", url{invoker: f, config: buffered}.serve(t), "")
			diff(t, "response", []any{row.status, row.typ, row.body}, []any{status, header.Get("Content-Type"), body})
		})
	}
}

// TestBufferedStream: a handler that streams behind a BUFFERED URL returns everything at
// the end, with its prelude. AWS does not support that.
func TestBufferedStream(t *testing.T) {
	w := writer(t)
	go func() {
		w.say <- "x"
		close(w.say)
	}()
	_, _, body := do(t, "GET", url{invoker: w.invoker, config: buffered}.serve(t), "")
	if !strings.HasPrefix(body, `{"statusCode":200,`) || !strings.HasSuffix(body, "\x00x") {
		t.Errorf("%q", body)
	}
}

// TestRefused: requests that don't reach the function.
func TestRefused(t *testing.T) {
	none := 0
	throttled := inProcess(t, rawEcho, emulator.Config{ReservedConcurrency: &none})
	f := inProcess(t, rawEcho, emulator.Config{})
	for _, config := range []template.FunctionURL{buffered, streaming} {
		status, _, _ := do(t, "GET", url{invoker: throttled, config: config}.serve(t), "")
		diff(t, "throttled", 429, status)
		status, _, _ = do(t, "POST", url{invoker: f, config: config}.serve(t), strings.Repeat("x", 5<<20))
		diff(t, "an event over 6 MB, in base64", 413, status)
	}
	w := httptest.NewRecorder()
	functionurl.Unknown(w, nil)
	diff(t, "unknown", []any{403, `{"Message":null}`, "AccessDeniedException"}, []any{w.Code, w.Body.String(), w.Header().Get("X-Amzn-Errortype")})
	if _, err := functionurl.New(streaming, functionurl.Options{Invoker: struct{ emulator.Invoker }{f}}); err == nil {
		t.Error("an invoker that can't stream is accepted")
	}
}

// badPrelude is a function that announces an HTTP response and sends something else.
type badPrelude struct {
	emulator.Invoker
	body string
}

func (b badPrelude) InvokeStream(context.Context, emulator.Invocation) (*emulator.Stream, error) {
	return &emulator.Stream{ContentType: emulator.IntegrationResponse, Body: io.NopCloser(strings.NewReader(b.body))}, nil
}

func TestBadPrelude(t *testing.T) {
	const nuls = "\x00\x00\x00\x00\x00\x00\x00\x00"
	for _, body := range []string{"", "{}", "{}\x00\x00", "{}\x00\x00\x00x\x00\x00\x00\x00", "x" + nuls, `{"statusCode":99}` + nuls} {
		status, _, text := do(t, "GET", url{invoker: badPrelude{body: body}, config: streaming}.serve(t), "")
		diff(t, body, []any{502, "Internal Server Error"}, []any{status, text})
	}
	huge := `{"headers":{"x":"` + strings.Repeat("y", 70_000) + `"}}` + nuls
	status, _, _ := do(t, "GET", url{invoker: badPrelude{body: huge}, config: streaming}.serve(t), "")
	diff(t, "a huge one", 502, status)
	status, _, _ = do(t, "GET", url{invoker: badPrelude{body: `{"statuscode":404}` + nuls}, config: streaming}.serve(t), "")
	diff(t, "another name", 200, status)
	long := `{"headers":{"x":"` + strings.Repeat("y", 10_000) + `"}}` + nuls + "body"
	status, header, text := do(t, "GET", url{invoker: badPrelude{body: long}, config: streaming}.serve(t), "")
	diff(t, "a long one", []any{200, 10_000, "body"}, []any{status, len(header.Get("X")), text})
}

// lateness is a function that fails, or whose stream begins wrongly, after a while.
type lateness struct {
	badPrelude
	err   error
	after func()
}

func (l lateness) InvokeStream(ctx context.Context, i emulator.Invocation) (*emulator.Stream, error) {
	l.after()
	if l.err != nil {
		return nil, l.err
	}
	s, err := l.badPrelude.InvokeStream(ctx, i)
	s.Body = io.NopCloser(readerFunc(func() { l.after() }))
	return s, err
}

// readerFunc is a body that calls the function and ends.
type readerFunc func()

func (f readerFunc) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// TestLateFailure: a failure after the server's own timeout is reported too.
func TestLateFailure(t *testing.T) {
	for name, err := range map[string]error{"of the function": &emulator.FunctionError{}, "in the prelude": nil} {
		f := lateness{err: err, after: func() { pause(t, 300*time.Millisecond) }}
		status, _, text := do(t, "GET", url{invoker: f, config: streaming, server: 200 * time.Millisecond, timeout: 200 * time.Millisecond}.serve(t), "")
		diff(t, name, []any{502, "Internal Server Error"}, []any{status, text})
	}
}

// TestCORS: the URL's settings answer preflights, and override the function's headers.
func TestCORS(t *testing.T) {
	config := streaming
	config.CORS = &template.CORS{AllowOrigins: []string{"https://a.test"}, AllowMethods: []string{"GET"}, AllowHeaders: []string{"authorization", "last-event-id"}}
	f := inProcess(t, lambdaurl.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "function")
	})), emulator.Config{})
	address := url{invoker: f, config: config}.serve(t)
	status, header, _ := do(t, "OPTIONS", address, "", "Origin", "https://a.test", "Access-Control-Request-Method", "GET")
	diff(t, "preflight", []any{204, "https://a.test", "GET", "authorization,last-event-id"}, []any{
		status, header.Get("Access-Control-Allow-Origin"), header.Get("Access-Control-Allow-Methods"), header.Get("Access-Control-Allow-Headers"),
	})
	status, header, _ = do(t, "GET", address, "", "Origin", "https://a.test")
	diff(t, "request", []any{200, []string{"https://a.test"}}, []any{status, header.Values("Access-Control-Allow-Origin")})
	_, header, _ = do(t, "GET", address, "", "Origin", "https://b.test")
	diff(t, "another origin", []string(nil), header.Values("Access-Control-Allow-Origin"))
}

// TestCut: after the first bytes there is status 200 and a body that ends.
func TestCut(t *testing.T) {
	w := built(t)
	response := open(t, w, url{})
	w.say <- "exit"
	if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

// TestClientLeaves: the function runs on, and its writes succeed (its handler panics if
// one fails), until it returns.
func TestClientLeaves(t *testing.T) {
	w := writer(t)
	response := open(t, w, url{})
	_ = response.Body.Close()
	for range 3 {
		w.say <- "data: more\n\n"
	}
	close(w.say)
	w.invoker.(*emulator.InProcess).Close() // waits for its end
}

// TestNeverReads: a client that does not read is cut off, and the function runs on.
func TestNeverReads(t *testing.T) {
	w := writer(t)
	response := open(t, w, url{timeout: 50 * time.Millisecond})
	large := strings.Repeat("x", 64<<10)
	for range 200 { // far more than the buffers of a connection hold
		w.say <- large
	}
	close(w.say)
	w.invoker.(*emulator.InProcess).Close()
	if n, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Errorf("%d bytes, and no error", n)
	}
}

// TestCloseEndsStreams: closing a function ends the contexts of its streams, and waits
// until they have ended.
func TestCloseEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, ended := time.Now(), false
		f := emulator.NewInProcess(lambdaurl.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "x")
			<-r.Context().Done()
			time.Sleep(time.Second)
			ended = true
		})), emulator.Config{Timeout: time.Hour})
		s, err := f.InvokeStream(t.Context(), emulator.Invocation{Event: emulator.RawEvent(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(s.Body)
			read <- err
		}()
		f.Close()
		if took := time.Since(began); !ended || took != time.Second {
			t.Errorf("it ended: %v, after %v", ended, took)
		}
		if err := <-read; err != nil {
			t.Errorf("the body ended with %v", err)
		}
	})
}

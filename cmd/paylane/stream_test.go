package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"paylane/shared/e2e"
	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
)

// ordered places an order that is paid with a token, and returns its id.
func ordered(t testing.TB, url, token string) string {
	t.Helper()
	response, err := http.Post(url+"/orders", "application/json", strings.NewReader(`{"amount": 5, "paymentToken": "`+token+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var o struct{ ID string }
	if err := json.NewDecoder(response.Body).Decode(&o); err != nil || o.ID == "" {
		t.Fatal(response.StatusCode, err)
	}
	return o.ID
}

// followed opens an order's events until the test ends.
func followed(t testing.TB, url, path string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// TestShutdownEndsStreams: neither a stream that could last for minutes nor one whose client
// has left delays the end of the runner.
func TestShutdownEndsStreams(t *testing.T) {
	url, stop := runRunner(t, testConfig(t))
	id := ordered(t, url, "tok_unknown_600")
	gone := followed(t, url, "/orders/"+id+"/events")
	_ = gone.Body.Close()
	open := followed(t, url, "/orders/"+id+"/events")
	waits := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- e2e.ReadEvents(open.Body, func(e e2e.Event) {
			if strings.Contains(e.Data, `"outcome":"unknown"`) { // nothing happens for a while
				close(waits)
			}
		})
	}()
	<-waits
	began := time.Now()
	stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the runner ended after %v", took)
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
}

// TestFunctionURLs: a function URL is served at its own path and at the template's
// LocalPaths; everything else belongs to the HTTP API.
func TestFunctionURLs(t *testing.T) {
	c := testConfig(t)
	c.Parameters = map[string]string{"AllowedOrigins": "https://a.test"}
	url := startRunner(t, c)
	id := ordered(t, url, "tok_declined")
	rows := []struct {
		method, path string
		status       int
		answer       string
	}{
		{http.MethodGet, "/orders/" + id + "/events", 200, "retry: 1000\n\nevent: order\n"},
		{http.MethodGet, "/_url/Stream/orders/" + id + "/events", 200, "retry: 1000\n\nevent: order\n"},
		{http.MethodGet, "/_url/Stream/elsewhere", 404, "This address serves only /orders/{id}/events."},
		{http.MethodGet, "/_url/Stream", 404, "This address serves only /orders/{id}/events."},
		{http.MethodPost, "/_url/Stream/orders/" + id + "/events", 405, "This path allows GET and HEAD."},
		{http.MethodGet, "/_url/Api/orders", 403, `{"Message":null}`},
		{http.MethodGet, "/_url/", 403, `{"Message":null}`},
		{http.MethodPost, "/orders/" + id + "/events", 405, "This path allows GET and HEAD."},
		{http.MethodHead, "/orders/" + id + "/events", 200, ""},
		{http.MethodOptions, "/orders/" + id + "/events", 204, ""},
		{http.MethodGet, "/_url/%53tream/orders/" + id + "/events", 403, `{"Message":null}`},
		{http.MethodGet, "/_%75rl/Stream/x", 403, `{"Message":null}`},
		{http.MethodGet, "/orders//events", 404, "This address serves only /orders/{id}/events."},
		{http.MethodGet, "/orders/a/b/events", 404, "see /docs"},
		{http.MethodGet, "/orders/" + id, 200, id},
	}
	for _, row := range rows {
		request, err := http.NewRequestWithContext(t.Context(), row.method, url+row.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if row.method == http.MethodOptions { // a preflight
			request.Header.Set("Origin", "https://a.test")
			request.Header.Set("Access-Control-Request-Method", http.MethodGet)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != row.status || !strings.Contains(string(body), row.answer) {
			t.Errorf("%s %s: %d %s, %v; want %d %s", row.method, row.path, response.StatusCode, body, err, row.status, row.answer)
		}
	}
}

// TestThousandStreams opens 1,000 streams on one runner and logs the cost of each. All of
// them receive the order's change.
func TestThousandStreams(t *testing.T) {
	const streams = 1000
	gate := &held{Simulator: simulator.New(time.Now), open: make(chan struct{})}
	c := testConfig(t)
	c.Gateway = gate
	url := startRunner(t, c)
	id := ordered(t, url, "tok_ok") // PROCESSING until the gateway answers
	settled := followed(t, url, "/orders/"+id+"/events")
	seen := make(chan struct{})
	go func() {
		_ = e2e.ReadEvents(settled.Body, func(e e2e.Event) {
			if e.ID == 2 {
				close(seen)
			}
		})
	}()
	<-seen
	before, goroutines := inUse(), runtime.NumGoroutine()
	// Bare connections, which cost this process next to nothing.
	connections := make([]net.Conn, streams)
	for i := range connections {
		connection, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = connection.Close() }()
		fmt.Fprintf(connection, "GET /orders/%s/events HTTP/1.1\r\nHost: localhost\r\n\r\n", id)
		connections[i] = connection
	}
	for _, connection := range connections {
		waitFor(t, connection, `"status":"PROCESSING"`)
	}
	each := float64(inUse()-before) / streams
	t.Logf("1,000 open streams: %.1f KiB and %.2f goroutines each", each/1024, float64(runtime.NumGoroutine()-goroutines)/streams)
	if limit := 100.0 * 1024; each > limit {
		t.Errorf("a stream takes %.0f bytes, more than %.0f", each, limit)
	}
	close(gate.open)
	for _, connection := range connections {
		waitFor(t, connection, `"status":"PAID"`)
	}
}

// inUse returns the size of the process's heap and stacks.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// waitFor reads until a text has come.
func waitFor(t *testing.T, from net.Conn, text string) {
	t.Helper()
	if err := from.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for chunk := make([]byte, 2048); !strings.Contains(string(all), text); {
		n, err := from.Read(chunk)
		if err != nil {
			t.Fatalf("%s, %v", all, err)
		}
		all = append(all, chunk[:n]...)
	}
}

// held is a gateway that does not answer until it is opened.
type held struct {
	*simulator.Simulator
	open chan struct{}
}

func (h *held) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	select {
	case <-h.open:
	case <-ctx.Done():
	}
	return h.Simulator.Charge(ctx, r)
}

// timed is a gateway that records how long it took for each order.
type timed struct {
	*simulator.Simulator
	took sync.Map // by order id
}

func (g *timed) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	began := time.Now()
	receipt, err := g.Simulator.Charge(ctx, r)
	id, _, _ := strings.Cut(r.Key, ".")
	g.took.Store(id, time.Since(began))
	return receipt, err
}

// BenchmarkPushed measures the time from POST /orders to the client's event PAID, without
// the 10 to 60 ms that the gateway takes.
func BenchmarkPushed(b *testing.B) {
	gate := &timed{Simulator: simulator.New(time.Now)}
	c := testConfig(b)
	c.Gateway = gate
	url := startRunner(b, c)
	var over []float64
	for b.Loop() {
		began := time.Now()
		id := ordered(b, url, "tok_ok")
		var paid time.Time
		_ = e2e.ReadEvents(followed(b, url, "/orders/"+id+"/events").Body, func(e e2e.Event) {
			if strings.Contains(e.Data, `"status":"PAID"`) {
				paid = time.Now()
			}
		})
		if paid.IsZero() {
			b.Fatalf("order %s was not PAID", id)
		}
		took, _ := gate.took.Load(id)
		over = append(over, float64(paid.Sub(began)-took.(time.Duration))/float64(time.Millisecond))
	}
	slices.Sort(over)
	b.ReportMetric(over[len(over)/2], "ms-over-gateway-p50")
	b.ReportMetric(over[len(over)*99/100], "ms-over-gateway-p99")
}

// TestURLWithoutAPI: a template with a function URL but no HTTP API is served.
func TestURLWithoutAPI(t *testing.T) {
	c := testConfig(t)
	c.Template = filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(c.Template, []byte(`
Transform: AWS::Serverless-2016-10-31
Metadata: {Paylane: {}}
Resources:
  Stream:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/stream
      Handler: bootstrap
      Runtime: provided.al2023
      Environment: {Variables: {AUTH_MODE: none, ORDERS_TABLE: orders}}
      FunctionUrlConfig: {AuthType: NONE, InvokeMode: RESPONSE_STREAM}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	url := startRunner(t, c)
	for path, want := range map[string]int{"/_url/Stream/x": 404, "/orders": 403} {
		if got := followed(t, url, path).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// TestStreamTokens: with --auth jwt the events require a token, and show nothing of another
// tenant.
func TestStreamTokens(t *testing.T) {
	g := startTarget(t)
	placed := g.do(t, http.MethodPost, "/orders", g.of(t, "a", everything), `{"amount": 5, "paymentToken": "tok_declined"}`)
	path := placed.header.Get("Location") + "/events"
	rows := []struct {
		name, authorization string
		status              int
		body                string
	}{
		{"its tenant", g.of(t, "a", "orders/read"), 200, `"status":"FAILED"`},
		{"no token", "", 401, "Send an access token"},
		{"another tenant", g.of(t, "b", "orders/read"), 404, "/docs#order-not-found"},
		{"no scope", g.of(t, "a", "orders/write"), 403, "lacks the scope orders/read"},
		{"an operator over all", g.of(t, "*", everything), 400, "/docs#tenant-unnamed"},
	}
	for _, row := range rows {
		for _, at := range []string{path, "/_url/Stream" + path} {
			if got := g.do(t, http.MethodGet, at, row.authorization, ""); got.status != row.status || !strings.Contains(got.body, row.body) {
				t.Errorf("%s at %s: %d %s, want %d", row.name, at, got.status, got.body, row.status)
			}
		}
	}
}

package apigateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/apigateway"
)

// states records the states of connections.
type states struct {
	mu      sync.Mutex
	seen    []http.ConnState
	changed chan struct{} // has an item when there may be something new
}

func newStates() *states { return &states{changed: make(chan struct{}, 1)} }

func (s *states) watch(_ net.Conn, state http.ConnState) {
	s.mu.Lock()
	s.seen = append(s.seen, state)
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *states) all() []http.ConnState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// count returns how many connections have reached a state.
func (s *states) count(state http.ConnState) (n int) {
	for _, seen := range s.all() {
		if seen == state {
			n++
		}
	}
	return n
}

// await waits until n connections have reached a state.
func (s *states) await(t *testing.T, state http.ConnState, n int) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for s.count(state) < n {
		select {
		case <-s.changed:
		case <-limit:
			t.Fatalf("%d connections of %d are %v: %v", s.count(state), n, state, s.all())
		}
	}
}

// client is the behaviour of a slow client.
type client struct {
	name  string
	sends string // at once
	drips string // again and again, every few milliseconds
	reads bool   // only the first byte of the answer
	// limits returns short limits for those that the client reaches.
	limits apigateway.Limits
	want   int // the status that it receives before the end; 0 for none
}

const (
	head  = " / HTTP/1.1\r\nHost: api.test\r\n"
	short = 150 * time.Millisecond
)

var slowClients = []client{
	{name: "says nothing", limits: apigateway.Limits{Header: short}},
	{name: "headers that never end", sends: "GET" + head, drips: "X: y\r\n", limits: apigateway.Limits{Header: short}},
	{name: "announced body that never ends", sends: "POST" + head + "Content-Length: 60000\r\n\r\n", drips: "x",
		limits: apigateway.Limits{Request: short}, want: 408},
	{name: "long announced body that never ends", sends: "POST" + head + "Content-Length: 6000000\r\n\r\n", drips: "x",
		limits: apigateway.Limits{Request: short}, want: 408},
	{name: "chunked body that never ends", sends: "POST" + head + "Transfer-Encoding: chunked\r\n\r\n", drips: "1\r\nx\r\n",
		limits: apigateway.Limits{Request: short}, want: 408},
	{name: "body of a refused request that never ends", sends: "POST /nowhere HTTP/1.1\r\nHost: api.test\r\nContent-Length: 60000\r\n\r\n", drips: "x",
		limits: apigateway.Limits{Request: short}, want: 404},
	{name: "silent after an answer", sends: "GET" + head + "\r\n", limits: apigateway.Limits{Idle: short}, want: 200},
	{name: "reader that never reads", sends: "GET" + head + "\r\n", reads: true, limits: apigateway.Limits{Response: 2 * time.Second}},
}

// start runs the client until its connection or the test ends.
func (c client) start(t *testing.T, address string) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second)) // so that a test fails rather than hangs
	if c.reads {
		_ = connection.(*net.TCPConn).SetReadBuffer(4096)
	}
	if _, err := io.WriteString(connection, c.sends); err != nil {
		t.Fatal(err)
	}
	if c.drips != "" {
		go func() {
			for range time.Tick(5 * time.Millisecond) {
				if _, err := io.WriteString(connection, c.drips); err != nil {
					return
				}
			}
		}()
	}
	if c.reads { // by then the function has returned
		if _, err := io.ReadFull(connection, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	return connection
}

// single returns a gateway whose function has a concurrency of one, and for the path /
// returns more than the sockets' buffers hold.
func single(t *testing.T) http.Handler {
	parsed := api{routes: []string{path("ANY", "/"), path("GET", "/small")}}.template(t)
	large := strings.Repeat("x", 5<<20)
	handler := func(_ context.Context, e request) (response, error) {
		if e.RawPath == "/small" {
			return response{StatusCode: 200, Body: "small"}, nil
		}
		return response{StatusCode: 200, Body: large}, nil
	}
	one := 1
	f := emulator.NewInProcess(handler, emulator.Config{Timeout: time.Minute, ReservedConcurrency: &one})
	t.Cleanup(f.Close)
	g, err := apigateway.New(parsed.APIs[0], apigateway.Options{Functions: map[string]emulator.Invoker{"F": f}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Each slow client's connection and goroutine end by the limit that it reaches, and by no
// other.
func TestSlowClientsEnd(t *testing.T) {
	for _, c := range slowClients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seen := newStates()
			limits := apigateway.Limits{Header: time.Hour, Request: time.Hour, Response: time.Hour, Idle: time.Hour}
			for _, l := range []struct{ to, from *time.Duration }{
				{&limits.Header, &c.limits.Header}, {&limits.Request, &c.limits.Request},
				{&limits.Response, &c.limits.Response}, {&limits.Idle, &c.limits.Idle},
			} {
				if *l.from != 0 {
					*l.to = *l.from
				}
			}
			connection := c.start(t, serve(t, single(t), limits, seen.watch))
			if !c.reads {
				status := 0
				if answer, err := http.ReadResponse(bufio.NewReader(connection), nil); err == nil {
					status = answer.StatusCode
					_, _ = io.Copy(io.Discard, answer.Body)
				}
				diff(t, "status", c.want, status)
			}
			seen.await(t, http.StateClosed, 1)
		})
	}
}

// While slow clients of all kinds are connected, others are served as usual, by a function
// with a concurrency of one.
func TestSlowClientsHinderNobody(t *testing.T) {
	const clients = 200
	seen := newStates()
	hour := apigateway.Limits{Header: time.Hour, Request: time.Hour, Response: time.Hour, Idle: time.Hour}
	address := serve(t, single(t), hour, seen.watch)
	for i := range clients {
		c := slowClients[i%len(slowClients)]
		if c.reads && i > 50 { // 5 MB each
			c = slowClients[0]
		}
		if c.name == "silent after an answer" {
			c.sends = "GET /small HTTP/1.1\r\nHost: api.test\r\n\r\n"
			c.reads = true
		}
		c.start(t, address)
	}
	seen.await(t, http.StateNew, clients)
	took := make([]time.Duration, 0, 51)
	for range cap(took) {
		start := time.Now()
		got := send(t, address, get("/small"))
		diff(t, "answer", []any{200, "small"}, []any{got.status, got.body})
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > 100*time.Millisecond {
		t.Errorf("a request takes %v", median)
	}
	diff(t, "connections that ended", 0, seen.count(http.StateClosed))
}

// A connection beyond the limit waits until another ends.
func TestConnectionsAreLimited(t *testing.T) {
	seen := newStates()
	address := serve(t, single(t), apigateway.Limits{Header: short, Connections: 2}, seen.watch)
	for range 2 {
		slowClients[0].start(t, address)
	}
	seen.await(t, http.StateNew, 2)
	diff(t, "the third's answer", "small", send(t, address, get("/small")).body)
	states := seen.all()
	third := 0
	for i, n := 0, 0; i < len(states); i++ {
		if states[i] == http.StateNew {
			if n++; n == 3 {
				third = i
			}
		}
	}
	if closed := slices.Index(states, http.StateClosed); closed < 0 || closed > third {
		t.Errorf("the third connection was accepted while two were open: %v", states)
	}
}

// A full listener can be closed.
func TestFullListenerCloses(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := apigateway.Limits{Connections: 1}.Listener(inner)
	slowClients[0].start(t, inner.Addr().String())
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = accepted.Close() })
	failed := make(chan error)
	go func() {
		_, err := listener.Accept()
		failed <- err
	}()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("the error is %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it still accepts")
	}
}

// endless is a body without an end that counts the bytes read.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

// A body that is too long is not read beyond the limit, announced or not.
func TestBodyStopsAtLimit(t *testing.T) {
	for length, most := range map[int64]int{-1: 10<<20 + 1, 10<<20 + 1: 0} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			var body endless
			r := httptest.NewRequest(http.MethodPost, "/", &body)
			r.ContentLength = length
			w := httptest.NewRecorder()
			single(t).ServeHTTP(w, r)
			diff(t, "answer", []any{413, `{"message":"Request Entity Too Large"}`}, []any{w.Code, w.Body.String()})
			if body.read > most {
				t.Errorf("%d bytes were read", body.read)
			}
		})
	}
}

// stalling is a body that stops until it is released.
type stalling struct {
	first, rest io.Reader
	read        atomic.Int64
	letGo       chan struct{}
}

func (s *stalling) Read(p []byte) (int, error) {
	n, err := s.first.Read(p)
	if err != nil {
		<-s.letGo
		n, err = s.rest.Read(p)
	}
	s.read.Add(int64(n))
	return n, err
}

// However many large bodies are sent slowly, only a few are read beyond their beginning;
// small requests don't wait for them, and in the end each is answered.
func TestLargeBodiesTakeTurns(t *testing.T) {
	const clients, turns, beginning, size = 40, 16, 64 << 10, 200 << 10
	synctest.Test(t, func(t *testing.T) {
		g, _ := api{routes: []string{""}}.gateway(t, modes[0], func(_ context.Context, e request) (response, error) {
			return response{StatusCode: 200, Body: itoa(len(e.Body))}, nil
		}, apigateway.Options{})
		letGo := make(chan struct{})
		var bodies []*stalling
		var done sync.WaitGroup
		for i := range clients {
			body := &stalling{first: strings.NewReader(strings.Repeat("x", size/2)), rest: strings.NewReader(strings.Repeat("x", size/2)), letGo: letGo}
			bodies = append(bodies, body)
			r := httptest.NewRequest(http.MethodPost, "/", body)
			r.Header.Set("Content-Type", "text/plain")
			if r.ContentLength = size; i%2 == 0 {
				r.ContentLength = -1
			}
			done.Go(func() {
				w := httptest.NewRecorder()
				g.ServeHTTP(w, r)
				diff(t, "answer", []any{200, itoa(size)}, []any{w.Code, w.Body.String()})
			})
		}
		synctest.Wait()
		further := 0
		for _, body := range bodies {
			if body.read.Load() > beginning {
				further++
			}
		}
		diff(t, "bodies read further", turns, further)
		diff(t, "a small request", 200, record(g, "GET", "/").status)
		close(letGo)
		done.Wait()
	})
}

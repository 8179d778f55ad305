//go:build integration

package localstack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/order"
)

// proxy is a TCP proxy that can be told to disrupt every connection.
type proxy struct {
	target   string
	listener net.Listener
	mu       sync.Mutex
	bad      bool
	open     map[net.Conn]bool
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: target, listener: listener, open: make(map[net.Conn]bool)}
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.set(true) // closes what is open
		connections.Wait()
	})
	return p
}

// set starts or ends the trouble; either way all connections are cut.
func (p *proxy) set(bad bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad = bad
	for c := range p.open {
		_ = c.Close()
	}
	clear(p.open)
}

// admit registers a connection, and reports whether to disrupt it.
func (p *proxy) admit(conns ...net.Conn) (bad bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.open[c] = true
	}
	return p.bad
}

// serve forwards a connection. During the trouble a third of them are cut at once, a third
// are silent until it ends, and a third lose the end of their response: the request got
// through, but the client can't know.
func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := new(net.Dialer).Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if p.admit(client, server) {
		switch rand.IntN(3) {
		case 0:
			return
		case 1:
			_, _ = io.Copy(io.Discard, client)
			return
		}
		go func() { _, _ = io.Copy(server, client) }()
		_, _ = io.CopyN(client, server, 20) // not even the status line
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// TestFaults disrupts the connections between the binaries and AWS for 20 s under load.
// Meanwhile the API answers with a 503 problem if it can't do better; afterwards no
// acknowledged order is missing, each has ended, and none was charged twice.
func TestFaults(t *testing.T) {
	const trouble, writers = 20 * time.Second, 8
	s := newStack(t)
	target, err := url.Parse(s.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, target.Host)
	s.endpoint = "http://" + p.listener.Addr().String()
	r := s.start(t, project(t, hurry()...))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	acknowledged := make(map[string]bool)
	refusals := 0
	var load sync.WaitGroup
	for range writers {
		load.Go(func() {
			for ctx.Err() == nil {
				status, media, body, err := post(ctx, r.url+"/orders", `{"amount": 1200}`)
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				switch {
				case err != nil:
					t.Error(err)
				case status == http.StatusCreated:
					var o struct{ ID string }
					if err := json.Unmarshal([]byte(body), &o); err != nil {
						t.Error(err)
					}
					acknowledged[o.ID] = true
				case status == http.StatusServiceUnavailable && media == "application/problem+json":
					refusals++
				default:
					t.Errorf("during the trouble the API answered %d %s: %s", status, media, body)
				}
				mu.Unlock()
			}
		})
	}
	acknowledgedSoFar := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged)
	}
	wantMore := func(what string) {
		before := acknowledgedSoFar()
		eventually(t, time.Minute, func() string {
			if n := acknowledgedSoFar(); n < before+10*writers {
				return fmt.Sprintf("%s, %d orders were acknowledged", what, n-before)
			}
			return ""
		})
	}
	wantMore("before the trouble")
	p.set(true)
	over := time.NewTimer(trouble)
	<-over.C
	p.set(false)
	wantMore("after the trouble")
	stop()
	load.Wait()
	if refusals == 0 {
		t.Error("no request was refused: was there any trouble?")
	}

	simulator := simulator.New(time.Now)
	store := s.store() // not through the proxy
	for id := range acknowledged {
		ref := order.Ref{Tenant: "local", ID: id}
		var o order.Order
		eventually(t, 2*time.Minute, func() string {
			var err error
			if o, err = store.Get(t.Context(), ref); err != nil {
				t.Fatalf("read an acknowledged order: %v", err)
			}
			if !o.Status.End() {
				return fmt.Sprintf("order %s is %s, with %v", id, o.Status, o.Charge.Attempts)
			}
			return ""
		})
		checkCharged(t, simulator, o)
	}
	t.Logf("%d orders acknowledged, %d requests refused", len(acknowledged), refusals)
}

func post(ctx context.Context, url, body string) (status int, media, text string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", "", err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", "", err
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header.Get("Content-Type"), string(read), err
}

// checkCharged relies on the simulator, which has no memory, deriving a charge's reference
// from its key. A paid order has the reference of its newest key, and every key before that
// is known not to have charged.
func checkCharged(t *testing.T, simulator gateway.Gateway, o order.Order) {
	t.Helper()
	approved := 0
	for _, a := range o.Charge.Attempts {
		if a.Outcome == order.OutcomeApproved {
			approved++
		}
	}
	receipt, err := simulator.Charge(t.Context(), gateway.Request{Key: o.GatewayKey(order.KindCharge), Money: o.Total, Token: o.PaymentToken, Hint: gateway.Hint{Attempt: 1}})
	if err != nil {
		t.Fatal(err)
	}
	paid := o.Status == order.Paid
	if paid != (approved == 1) || paid && o.PaymentRef != receipt.Ref || approved > 1 {
		t.Errorf("order %s is %s with %d approved attempts and the reference %s, want %s", o.ID, o.Status, approved, o.PaymentRef, receipt.Ref)
	}
}

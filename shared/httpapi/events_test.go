package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/gateway/simulator"
	"paylane/shared/httpapi"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

const followedID = "018f2f5e-7b1a-7c3d-9e4f-5a6b7c8d9e0f"

// polled is a store of one order that does not announce changes.
type polled struct {
	mu    sync.Mutex
	order order.Order
	err   error
	gets  int
}

func (s *polled) Get(_ context.Context, ref order.Ref) (order.Order, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	if s.err != nil {
		return order.Order{}, s.err
	}
	if ref != s.order.Ref {
		return order.Order{}, order.ErrNotFound
	}
	return s.order, nil
}

// becomes changes the order's status.
func (s *polled) becomes(status order.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order.Status = status
	s.order.Version++
}

func (s *polled) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// watched is one that does.
type watched struct {
	polled
	changed chan struct{}
}

func (s *watched) Watch(order.Ref) (<-chan struct{}, func()) {
	return s.changed, func() { s.changed = nil }
}

func (s *watched) becomes(status order.Status) {
	s.polled.becomes(status)
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func pending() order.Order {
	o := order.New(order.Ref{Tenant: "t", ID: followedID}, order.Request{
		Amount: 12_000, Currency: "KRW", PaymentToken: "tok_ok", Metadata: map[string]string{"note": "<a>\nb"},
	}, "", time.Date(2026, 7, 10, 12, 0, 0, 0, time.UTC))
	return o
}

// orderAt returns the order at a version.
func orderAt(status order.Status, version int64) order.Order {
	o := pending()
	o.Status, o.Version = status, version
	return o
}

// wire is a response writer like lambdaurl's, no Flusher, that records each Write with its
// time. It fails once broken is set.
type wire struct {
	*httptest.ResponseRecorder
	began  time.Time
	mu     sync.Mutex
	writes []string
	broken bool
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return 0, io.ErrClosedPipe
	}
	text := string(p)
	if rest, ok := strings.CutPrefix(text, "event: order\nid: "); ok {
		version, data, _ := strings.Cut(rest, "\ndata: ")
		var o struct{ Status string }
		if err := json.Unmarshal([]byte(data), &o); err != nil {
			panic(err)
		}
		text = version + " " + o.Status
	}
	w.writes = append(w.writes, fmt.Sprint(time.Since(w.began), " ", strings.TrimSpace(text)))
	return len(p), nil
}

func (w *wire) Flush() { panic("not reached: the recorder is hidden") }

// hidden hides all but a writer's three methods.
type hidden struct{ http.ResponseWriter }

// follows runs a request in the bubble until it ends; then runs meanwhile.
func follows(t *testing.T, c httpapi.EventsConfig, lastEventID string, then func(w *wire)) *wire {
	t.Helper()
	w := &wire{ResponseRecorder: httptest.NewRecorder(), began: time.Now()}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/orders/"+followedID+"/events", nil)
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	if c.Authenticate == nil {
		c.Authenticate = as("t")
	}
	var meanwhile sync.WaitGroup
	meanwhile.Go(func() { then(w) })
	httpapi.NewEvents(c).ServeHTTP(hidden{w}, r)
	meanwhile.Wait()
	return w
}

func idle(*wire) {}

// as takes every caller for one tenant.
func as(tenant string) func(*http.Request) (httpapi.Identity, error) {
	return func(*http.Request) (httpapi.Identity, error) { return httpapi.Identity{Tenant: tenant}, nil }
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// TestPolled: the order as it is, each change soon after it, the newest of several between
// two looks, a comment every 15 s, nothing after the end.
func TestPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &polled{order: pending()}
		w := follows(t, httpapi.EventsConfig{Orders: pipeline.NewReader(s)}, "", func(*wire) {
			time.Sleep(50 * time.Millisecond)
			s.becomes(order.Processing) // 2, seen at 100 ms
			time.Sleep(20 * time.Second)
			s.becomes(order.Pending)
			s.becomes(order.Processing)
			time.Sleep(2 * time.Second)
			s.becomes(order.Paid)
		})
		diff(t, "what was written", []string{
			"0s retry: 1000", "0s 1 PENDING", "100ms 2 PROCESSING", "15s :", "21.2s 4 PROCESSING", "22.7s 5 PAID",
		}, w.writes)
		h := w.Header()
		diff(t, "headers", []any{200, "text/event-stream", "private, no-store"}, []any{w.Code, h.Get("Content-Type"), h.Get("Cache-Control")})
	})
}

// TestPollingIsCheap counts the reads of a stream on which nothing happens.
func TestPollingIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &polled{order: pending()}
		follows(t, httpapi.EventsConfig{Orders: pipeline.NewReader(s), Lifetime: time.Minute}, "", idle)
		// One at once, then after 0.1, 0.3, 0.7, 1.5, 3.1 s, and every 2 s.
		diff(t, "reads in a minute", 1+5+28, s.gets)
	})
}

// TestWatched: a store that announces changes is read only then, and at once.
func TestWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &watched{polled{order: pending()}, make(chan struct{}, 1)}
		w := follows(t, httpapi.EventsConfig{Orders: pipeline.NewReader(s), Lifetime: time.Hour}, "", func(*wire) {
			time.Sleep(time.Minute + time.Second)
			s.becomes(order.Processing)
			time.Sleep(7 * time.Millisecond)
			s.becomes(order.Failed)
		})
		diff(t, "what was written", []string{
			"0s retry: 1000", "0s 1 PENDING", "15s :", "30s :", "45s :", "1m0s :", "1m1s 2 PROCESSING", "1m1.007s 3 FAILED",
		}, w.writes)
		diff(t, "reads", 3, s.gets)
		if s.changed != nil {
			t.Error("the store still announces changes")
		}
	})
}

// TestResume: what a client gets, by its Last-Event-ID.
func TestResume(t *testing.T) {
	all := []string{"0s retry: 1000", "0s 3 PAID"}
	rows := []struct {
		name, lastEventID string
		order             order.Order
		status            int
		writes            []string
	}{
		{"an older version", "2", orderAt(order.Paid, 3), 200, all},
		{"the end", "3", orderAt(order.Paid, 3), 204, nil},
		{"an end that was not the last", "3", orderAt(order.Refunded, 5), 200, []string{"0s retry: 1000", "0s 5 REFUNDED"}},
		{"the present state, which is not an end", "3", orderAt(order.Refunding, 3), 200, []string{"0s retry: 1000", "1.5s 4 REFUNDED"}},
		{"nothing", "", orderAt(order.Paid, 3), 200, all},
		{"ahead of the order", "4", orderAt(order.Paid, 3), 200, all},
		{"malformed", "x", orderAt(order.Paid, 3), 200, all},
		{"malformed, but like the end", "03", orderAt(order.Paid, 3), 200, all},
		{"negative", "-3", orderAt(order.Paid, 3), 200, all},
		{"too large", "99999999999999999999", orderAt(order.Paid, 3), 200, all},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &polled{order: row.order}
				w := follows(t, httpapi.EventsConfig{Orders: pipeline.NewReader(s)}, row.lastEventID, func(*wire) {
					time.Sleep(time.Second)
					s.becomes(order.Refunded)
				})
				diff(t, "status", row.status, w.Code)
				diff(t, "what was written", row.writes, w.writes)
			})
		})
	}
}

// TestNeverBack: a store that shows an older state than before does not confuse a client.
func TestNeverBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &polled{order: orderAt(order.Processing, 4)}
		w := follows(t, httpapi.EventsConfig{Orders: pipeline.NewReader(s)}, "", func(*wire) {
			time.Sleep(time.Second)
			s.mu.Lock()
			s.order = orderAt(order.Pending, 3)
			s.mu.Unlock()
			time.Sleep(5 * time.Second)
			s.mu.Lock()
			s.order = orderAt(order.Paid, 5)
			s.mu.Unlock()
		})
		diff(t, "what was written", []string{"0s retry: 1000", "0s 4 PROCESSING", "7.1s 5 PAID"}, w.writes)
	})
}

// TestLifetime: a stream ends by itself: before the request's deadline, and when its
// caller's token expires.
func TestLifetime(t *testing.T) {
	rows := []struct {
		name                              string
		lifetime, deadline, expires, want time.Duration
	}{
		{"the configured one", 20 * time.Second, 0, 0, 20 * time.Second},
		{"five minutes by default", 0, 0, 0, 5 * time.Minute},
		{"before the function's timeout", time.Hour, 900 * time.Second, 0, 890 * time.Second},
		{"before a short timeout", time.Hour, 4 * time.Second, 0, 2 * time.Second},
		{"until the token expires", 0, 900 * time.Second, 20 * time.Second, 20 * time.Second},
		{"less than the token", 0, 0, time.Hour, 5 * time.Minute},
		{"no time at all", 0, 0, -time.Second, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if row.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, row.deadline)
					defer cancel()
				}
				began, expires := time.Now(), time.Time{}
				if row.expires != 0 {
					expires = began.Add(row.expires)
				}
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/orders/"+followedID+"/events", nil)
				httpapi.NewEvents(httpapi.EventsConfig{
					Orders: pipeline.NewReader(&polled{order: pending()}), Lifetime: row.lifetime, Log: slog.New(slog.DiscardHandler),
					Authenticate: func(*http.Request) (httpapi.Identity, error) {
						return httpapi.Identity{Tenant: "t", Expires: expires}, nil
					},
				}).ServeHTTP(httptest.NewRecorder(), r)
				diff(t, "lasted", row.want, time.Since(began))
			})
		})
	}
}

// TestClientGone: a write that fails ends the stream; without changes that is the next
// comment.
func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := follows(t, httpapi.EventsConfig{Orders: pipeline.NewReader(&polled{order: pending()})}, "", func(w *wire) {
			time.Sleep(time.Second)
			w.mu.Lock()
			w.broken = true
			w.mu.Unlock()
		})
		diff(t, "lasted", 15*time.Second, time.Since(w.began))
	})
}

// TestStoreOutOfReach: a stream outlasts an outage, also of a store that announces changes.
// Each outage is logged once, with its cause.
func TestStoreOutOfReach(t *testing.T) {
	down := fmt.Errorf("get: %w", order.ErrUnavailable)
	synctest.Test(t, func(t *testing.T) {
		s := &watched{polled{order: pending()}, make(chan struct{}, 1)}
		var log bytes.Buffer
		w := follows(t, httpapi.EventsConfig{Orders: pipeline.NewReader(s), Log: slog.New(slog.NewTextHandler(&log, nil))}, "", func(*wire) {
			for _, status := range []order.Status{order.Processing, order.Paid} {
				time.Sleep(time.Second)
				s.fails(down)
				s.becomes(status)
				time.Sleep(time.Second)
				s.fails(nil)
			}
		})
		diff(t, "what was written", []string{"0s retry: 1000", "0s 1 PENDING", "2.5s 2 PROCESSING", "4.5s 3 PAID"}, w.writes)
		if n := strings.Count(log.String(), "\n"); n != 2 || strings.Count(log.String(), down.Error()) != 2 {
			t.Errorf("the log has %d lines:\n%s", n, &log)
		}
	})
	var log bytes.Buffer
	w := follows(t, httpapi.EventsConfig{Orders: pipeline.NewReader(&polled{err: down}), Log: slog.New(slog.NewTextHandler(&log, nil))}, "", idle)
	if w.Code != http.StatusServiceUnavailable || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), down.Error()) {
		t.Errorf("at first: %d, and the log is:\n%s", w.Code, &log)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &polled{order: pending()}
		w := follows(t, httpapi.EventsConfig{Orders: pipeline.NewReader(s)}, "", func(*wire) {
			time.Sleep(time.Millisecond)
			s.fails(errors.New("a record of a newer build"))
		})
		diff(t, "what was written", []string{"0s retry: 1000", "0s 1 PENDING"}, w.writes)
	})
}

// panics is a store that panics after some reads.
type panics struct{ after int }

func (p *panics) Get(_ context.Context, ref order.Ref) (order.Order, error) {
	if p.after--; p.after < 0 {
		panic("oh")
	}
	o := pending()
	o.Ref = ref
	return o, nil
}

// TestEventProblems: what goes wrong before the first event is a problem, as elsewhere.
func TestEventProblems(t *testing.T) {
	const path = "/orders/" + followedID + "/events"
	refused := func(err error) func(*http.Request) (httpapi.Identity, error) {
		return func(*http.Request) (httpapi.Identity, error) { return httpapi.Identity{}, err }
	}
	rows := []struct {
		name, method, path string
		store              pipeline.Getter
		authenticate       func(*http.Request) (httpapi.Identity, error)
		status             int
		problem            string
		header, value      string
	}{
		{"unknown order", "GET", "/orders/018f2f5e-7b1a-7c3d-9e4f-000000000000/events", nil, as("t"), 404, "/docs#order-not-found", "", ""},
		{"no id", "GET", "/orders/nonsense/events", nil, as("t"), 404, "/docs#order-not-found", "", ""},
		{"another tenant's", "GET", path, nil, as("u"), 404, "/docs#order-not-found", "", ""},
		{"a tombstone", "GET", path, &polled{order: orderAt(order.Void, 1)}, as("t"), 404, "/docs#order-not-found", "", ""},
		{"another path", "GET", "/orders", nil, as("t"), 404, "about:blank", "", ""},
		{"a longer path", "GET", "/orders/a/b/events", nil, as("t"), 404, "about:blank", "", ""},
		{"method", "POST", path, nil, as("t"), 405, "about:blank", "Allow", "GET, HEAD"},
		{"no tenant", "GET", path, nil, as(""), 403, "/docs#no-tenant", "", ""},
		{"every tenant, no operator", "GET", path + "?tenant=t", nil, as("*"), 403, "/docs#no-tenant", "", ""},
		{"every tenant, none named", "GET", path, nil, func(*http.Request) (httpapi.Identity, error) {
			return httpapi.Identity{Tenant: "*", Operator: true}, nil
		}, 400, "/docs#tenant-unnamed", "", ""},
		{"a path that is not clean", "GET", "/" + path, nil, as("t"), 404, "about:blank", "", ""},
		{"no token", "GET", path, nil, refused(httpapi.Refusal(401, "Bearer", "why")), 401, "about:blank", "WWW-Authenticate", "Bearer"},
		{"no scope", "GET", path, nil, refused(httpapi.Refusal(403, "Bearer x", "why")), 403, "about:blank", "WWW-Authenticate", "Bearer x"},
		{"a verifier that fails", "GET", path, nil, refused(errors.New("x")), 500, "about:blank", "", ""},
		{"store out of reach", "GET", path, &polled{err: order.ErrUnavailable}, as("t"), 503, "/docs#unavailable", "Retry-After", "1"},
		{"panic", "GET", path, &panics{}, as("t"), 500, "about:blank", "", ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if row.store == nil {
				row.store = &polled{order: pending()}
			}
			w := httptest.NewRecorder()
			httpapi.NewEvents(httpapi.EventsConfig{Orders: pipeline.NewReader(row.store), Authenticate: row.authenticate, Log: slog.New(slog.DiscardHandler)}).
				ServeHTTP(w, httptest.NewRequest(row.method, row.path, nil))
			var p struct{ Type string }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			diff(t, "problem", []any{row.status, row.problem, "application/problem+json"}, []any{w.Code, p.Type, w.Header().Get("Content-Type")})
			if row.header != "" {
				diff(t, row.header, row.value, w.Header().Get(row.header))
			}
		})
	}
}

// TestEventsOfEveryTenant: an operator over all tenants names the one that is meant, and
// for nobody else does the parameter matter.
func TestEventsOfEveryTenant(t *testing.T) {
	for name, identity := range map[string]httpapi.Identity{
		"t": {Tenant: "*", Operator: true}, "u": {Tenant: "t"},
	} {
		w := httptest.NewRecorder()
		httpapi.NewEvents(httpapi.EventsConfig{
			Orders: pipeline.NewReader(&polled{order: orderAt(order.Paid, 3)}), Log: slog.New(slog.DiscardHandler),
			Authenticate: func(*http.Request) (httpapi.Identity, error) { return identity, nil },
		}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/orders/"+followedID+"/events?tenant="+name, nil))
		diff(t, "status for "+identity.Tenant, 200, w.Code)
	}
}

// TestPanicLater: a panic after the first event ends the stream, and nothing else.
func TestPanicLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := follows(t, httpapi.EventsConfig{Orders: pipeline.NewReader(&panics{after: 1})}, "", idle)
		diff(t, "what was written", []string{"0s retry: 1000", "0s 1 PENDING"}, w.writes)
	})
}

// TestHead: HEAD answers like GET, without events.
func TestHead(t *testing.T) {
	w := httptest.NewRecorder()
	httpapi.NewEvents(httpapi.EventsConfig{
		Orders: pipeline.NewReader(&polled{order: pending()}), Log: slog.New(slog.DiscardHandler), Authenticate: as("t"),
	}).ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/orders/"+followedID+"/events", nil))
	diff(t, "response", []any{200, "text/event-stream", ""}, []any{w.Code, w.Header().Get("Content-Type"), w.Body.String()})
}

// whole makes a polled an order.Store, for the API.
type whole struct {
	order.Store
	*polled
}

func (s whole) Get(ctx context.Context, ref order.Ref) (order.Order, error) {
	return s.polled.Get(ctx, ref)
}

// TestSameBytes: an event's data is what GET /orders/{id} answers.
func TestSameBytes(t *testing.T) {
	o := orderAt(order.Paid, 3)
	s := whole{polled: &polled{order: o}}
	api := httpapi.New(httpapi.Config{
		Checkout: pipeline.NewCheckout(pipeline.CheckoutConfig{Store: s, Tokens: simulator.New(time.Now), Now: time.Now}),
		Tenant:   func(context.Context) (string, bool) { return "t", true }, Log: slog.New(slog.DiscardHandler),
	})
	got := httptest.NewRecorder()
	api.ServeHTTP(got, httptest.NewRequest(http.MethodGet, "/orders/"+followedID, nil))
	events := httptest.NewRecorder()
	httpapi.NewEvents(httpapi.EventsConfig{Orders: pipeline.NewReader(s.polled), Log: slog.New(slog.DiscardHandler), Authenticate: as("t")}).
		ServeHTTP(events, httptest.NewRequest(http.MethodGet, "/orders/"+followedID+"/events", nil))
	diff(t, "the stream", "retry: 1000\n\nevent: order\nid: 3\ndata: "+strings.TrimSuffix(got.Body.String(), "\n")+"\n\n", events.Body.String())
	if !events.Flushed {
		t.Error("a writer that can be flushed was not")
	}
}

package stream_test

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
	"paylane/shared/stream"
)

const id = "018f2f5e-7b1a-7c3d-9e4f-5a6b7c8d9e0f"

// polled is a store of one order that can't tell of changes.
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

// becomes changes the order.
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

// watched is one that can.
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
	o := order.New(order.Ref{Tenant: "t", ID: id}, order.Request{
		Amount: 12_000, Currency: "KRW", PaymentToken: "tok_ok", Metadata: map[string]string{"note": "<a>\nb"},
	}, "", time.Date(2026, 7, 10, 12, 0, 0, 0, time.UTC))
	return o
}

// at gives the order at a version.
func at(status order.Status, version int64) order.Order {
	o := pending()
	o.Status, o.Version = status, version
	return o
}

// wire is a response writer like lambdaurl's, no Flusher, that notes each Write with its
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

// plain hides all but a writer's three methods.
type plain struct{ http.ResponseWriter }

// follows runs a request in the bubble until it ends. Then is what happens meanwhile.
func follows(t *testing.T, c stream.Config, lastEventID string, then func(w *wire)) *wire {
	t.Helper()
	w := &wire{ResponseRecorder: httptest.NewRecorder(), began: time.Now()}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/orders/"+id+"/events", nil)
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	if c.Tenant == nil {
		c.Tenant = anybody
	}
	var meanwhile sync.WaitGroup
	meanwhile.Go(func() { then(w) })
	stream.New(c).ServeHTTP(plain{w}, r)
	meanwhile.Wait()
	return w
}

func nothing(*wire) {}

// anybody takes every caller for the tenant t.
func anybody(*http.Request) (string, time.Time, error) { return "t", time.Time{}, nil }

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// TestPolled: the order as it stands, each change soon after it, the newest where several
// fall into one look, a comment every 15 s, nothing after the end.
func TestPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &polled{order: pending()}
		w := follows(t, stream.Config{Store: s}, "", func(*wire) {
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
		diff(t, "headers", []any{200, "text/event-stream", "no-store"}, []any{w.Code, h.Get("Content-Type"), h.Get("Cache-Control")})
	})
}

// TestPollingIsCheap counts the reads of a stream on which nothing happens.
func TestPollingIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &polled{order: pending()}
		follows(t, stream.Config{Store: s, Lifetime: time.Minute}, "", nothing)
		// One at once, then after 0.1, 0.3, 0.7, 1.5, 3.1 s, and every 2 s.
		diff(t, "reads in a minute", 1+5+28, s.gets)
	})
}

// TestWatched: a store that tells of changes is asked then only, and at once.
func TestWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &watched{polled{order: pending()}, make(chan struct{}, 1)}
		w := follows(t, stream.Config{Store: s}, "", func(*wire) {
			time.Sleep(time.Minute)
			s.becomes(order.Processing)
			time.Sleep(7 * time.Millisecond)
			s.becomes(order.Failed)
		})
		diff(t, "what was written", []string{
			"0s retry: 1000", "0s 1 PENDING", "15s :", "30s :", "45s :", "1m0s :", "1m0s 2 PROCESSING", "1m0.007s 3 FAILED",
		}, w.writes)
		diff(t, "reads", 3, s.gets)
		if s.changed != nil {
			t.Error("the store goes on telling")
		}
	})
}

// TestResume: what a client gets by what it has.
func TestResume(t *testing.T) {
	all := []string{"0s retry: 1000", "0s 3 PAID"}
	rows := []struct {
		name, lastEventID string
		order             order.Order
		status            int
		writes            []string
	}{
		{"an older version", "2", at(order.Paid, 3), 200, all},
		{"the end", "3", at(order.Paid, 3), 204, nil},
		{"the end of which something more came", "3", at(order.Refunded, 5), 200, []string{"0s retry: 1000", "0s 5 REFUNDED"}},
		{"the present state, which is no end", "3", at(order.Refunding, 3), 200, []string{"0s retry: 1000", "1.5s 4 REFUNDED"}},
		{"nothing", "", at(order.Paid, 3), 200, all},
		{"ahead of the order", "4", at(order.Paid, 3), 200, all},
		{"malformed", "x", at(order.Paid, 3), 200, all},
		{"malformed, like the end", "03", at(order.Paid, 3), 200, all},
		{"negative", "-3", at(order.Paid, 3), 200, all},
		{"too large", "99999999999999999999", at(order.Paid, 3), 200, all},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &polled{order: row.order}
				w := follows(t, stream.Config{Store: s}, row.lastEventID, func(*wire) {
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
		s := &polled{order: at(order.Processing, 4)}
		w := follows(t, stream.Config{Store: s}, "", func(*wire) {
			time.Sleep(time.Second)
			s.mu.Lock()
			s.order = at(order.Pending, 3)
			s.mu.Unlock()
			time.Sleep(5 * time.Second)
			s.mu.Lock()
			s.order = at(order.Paid, 5)
			s.mu.Unlock()
		})
		diff(t, "what was written", []string{"0s retry: 1000", "0s 4 PROCESSING", "7.1s 5 PAID"}, w.writes)
	})
}

// TestLifetime: a stream ends by itself, before the request's deadline, and with what was
// verified of its caller.
func TestLifetime(t *testing.T) {
	rows := []struct {
		name                              string
		lifetime, deadline, expires, want time.Duration
	}{
		{"its own", 20 * time.Second, 0, 0, 20 * time.Second},
		{"14 minutes, if not said", 0, 0, 0, 14 * time.Minute},
		{"before the function's timeout", time.Hour, 900 * time.Second, 0, 890 * time.Second},
		{"before one that is short", time.Hour, 4 * time.Second, 0, 2 * time.Second},
		{"until the token expires", 0, 900 * time.Second, time.Minute, time.Minute},
		{"less than the token", 0, 0, time.Hour, 14 * time.Minute},
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
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/orders/"+id+"/events", nil)
				stream.New(stream.Config{
					Store: &polled{order: pending()}, Lifetime: row.lifetime, Log: slog.New(slog.DiscardHandler),
					Tenant: func(*http.Request) (string, time.Time, error) { return "t", expires, nil },
				}).ServeHTTP(httptest.NewRecorder(), r)
				diff(t, "lasted", row.want, time.Since(began))
			})
		})
	}
}

// TestClientGone: a write that fails ends the stream, which for one without changes is at
// the next comment.
func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := follows(t, stream.Config{Store: &polled{order: pending()}}, "", func(w *wire) {
			time.Sleep(time.Second)
			w.mu.Lock()
			w.broken = true
			w.mu.Unlock()
		})
		diff(t, "lasted", 15*time.Second, time.Since(w.began))
	})
}

// TestStoreOutOfReach: a stream outlasts it, also on a store that tells of changes. The log
// has why, once each time.
func TestStoreOutOfReach(t *testing.T) {
	down := fmt.Errorf("get: %w", order.ErrUnavailable)
	synctest.Test(t, func(t *testing.T) {
		s := &watched{polled{order: pending()}, make(chan struct{}, 1)}
		var log bytes.Buffer
		w := follows(t, stream.Config{Store: s, Log: slog.New(slog.NewTextHandler(&log, nil))}, "", func(*wire) {
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
	w := follows(t, stream.Config{Store: &polled{err: down}, Log: slog.New(slog.NewTextHandler(&log, nil))}, "", nothing)
	if w.Code != http.StatusServiceUnavailable || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), down.Error()) {
		t.Errorf("at first: %d, and the log says:\n%s", w.Code, &log)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &polled{order: pending()}
		w := follows(t, stream.Config{Store: s}, "", func(*wire) { s.fails(errors.New("a record of a newer build")) })
		diff(t, "what was written", []string{"0s retry: 1000", "0s 1 PENDING"}, w.writes)
	})
}

// panics is a store with a fault.
type panics struct{ after int }

func (p *panics) Get(_ context.Context, ref order.Ref) (order.Order, error) {
	if p.after--; p.after < 0 {
		panic("oh")
	}
	o := pending()
	o.Ref = ref
	return o, nil
}

// TestProblems: what can go wrong before the first event is a problem, as the API's.
func TestProblems(t *testing.T) {
	const path = "/orders/" + id + "/events"
	refused := func(status int, challenge string) func(*http.Request) (string, time.Time, error) {
		return func(*http.Request) (string, time.Time, error) {
			return "", time.Time{}, &stream.Refusal{Status: status, Challenge: challenge, Detail: "why"}
		}
	}
	tenant := func(name string) func(*http.Request) (string, time.Time, error) {
		return func(*http.Request) (string, time.Time, error) { return name, time.Time{}, nil }
	}
	rows := []struct {
		name, method, path string
		store              stream.Store
		tenant             func(*http.Request) (string, time.Time, error)
		status             int
		problem            string
		header, value      string
	}{
		{"unknown order", "GET", "/orders/018f2f5e-7b1a-7c3d-9e4f-000000000000/events", nil, tenant("t"), 404, "/docs#order-not-found", "", ""},
		{"no id", "GET", "/orders/nonsense/events", nil, tenant("t"), 404, "/docs#order-not-found", "", ""},
		{"another tenant's", "GET", path, nil, tenant("u"), 404, "/docs#order-not-found", "", ""},
		{"a tombstone", "GET", path, &polled{order: at(order.Void, 1)}, tenant("t"), 404, "/docs#order-not-found", "", ""},
		{"another path", "GET", "/orders", nil, tenant("t"), 404, "about:blank", "", ""},
		{"a longer path", "GET", "/orders/a/b/events", nil, tenant("t"), 404, "about:blank", "", ""},
		{"method", "POST", path, nil, tenant("t"), 405, "about:blank", "Allow", "GET, HEAD"},
		{"no token", "GET", path, nil, refused(401, "Bearer"), 401, "about:blank", "WWW-Authenticate", "Bearer"},
		{"no scope", "GET", path, nil, refused(403, ""), 403, "about:blank", "WWW-Authenticate", ""},
		{"verifier out of order", "GET", path, nil, func(*http.Request) (string, time.Time, error) { return "", time.Time{}, errors.New("x") }, 500, "about:blank", "", ""},
		{"store out of reach", "GET", path, &polled{err: order.ErrUnavailable}, tenant("t"), 503, "/docs#unavailable", "Retry-After", "1"},
		{"panic", "GET", path, &panics{}, tenant("t"), 500, "about:blank", "", ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if row.store == nil {
				row.store = &polled{order: pending()}
			}
			w := httptest.NewRecorder()
			stream.New(stream.Config{Store: row.store, Tenant: row.tenant, Log: slog.New(slog.DiscardHandler)}).
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

// TestPanicLater: a panic after the first event ends the stream, and nothing else.
func TestPanicLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := follows(t, stream.Config{Store: &panics{after: 1}}, "", nothing)
		diff(t, "what was written", []string{"0s retry: 1000", "0s 1 PENDING"}, w.writes)
	})
}

// TestHead: HEAD tells what GET would be, and ends.
func TestHead(t *testing.T) {
	w := httptest.NewRecorder()
	stream.New(stream.Config{
		Store: &polled{order: pending()}, Log: slog.New(slog.DiscardHandler), Tenant: anybody,
	}).ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/orders/"+id+"/events", nil))
	diff(t, "response", []any{200, "text/event-stream", ""}, []any{w.Code, w.Header().Get("Content-Type"), w.Body.String()})
}

// whole makes a store of the one order an order.Store, for the API.
type whole struct {
	order.Store
	*polled
}

func (s whole) Get(ctx context.Context, ref order.Ref) (order.Order, error) {
	return s.polled.Get(ctx, ref)
}

// TestSameBytes: an event's data is what GET /orders/{id} answers.
func TestSameBytes(t *testing.T) {
	o := at(order.Paid, 3)
	s := whole{polled: &polled{order: o}}
	api := httpapi.New(httpapi.Config{
		Checkout: pipeline.NewCheckout(pipeline.CheckoutConfig{Store: s, Tokens: simulator.New(time.Now), Now: time.Now}),
		Tenant:   func(context.Context) (string, bool) { return "t", true }, Log: slog.New(slog.DiscardHandler),
	})
	got := httptest.NewRecorder()
	api.ServeHTTP(got, httptest.NewRequest(http.MethodGet, "/orders/"+id, nil))
	events := httptest.NewRecorder()
	stream.New(stream.Config{Store: s.polled, Log: slog.New(slog.DiscardHandler), Tenant: anybody}).
		ServeHTTP(events, httptest.NewRequest(http.MethodGet, "/orders/"+id+"/events", nil))
	diff(t, "the stream", "retry: 1000\n\nevent: order\nid: 3\ndata: "+strings.TrimSuffix(got.Body.String(), "\n")+"\n\n", events.Body.String())
	if !events.Flushed {
		t.Error("a writer that can be flushed was not")
	}
}

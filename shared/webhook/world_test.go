package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"paylane/shared/document"
	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/webhook"
)

const tenant = "shop"

// world is endpoints, fan-out and worker on a store in memory, with the servers of a stranger. It
// runs on synctest's clock.
type world struct {
	t         *testing.T
	documents document.Store
	endpoints *webhook.Endpoints
	fanout    *webhook.Fanout
	worker    *webhook.Worker
	queue     *messages
	servers   *servers
	// passed is added to the clock, where days would pass: the database counts every minute.
	passed time.Duration
}

func (w *world) now() time.Time { return time.Now().Add(w.passed) }

func newWorld(t *testing.T) *world {
	t.Helper()
	store, _ := pebbletest.Open(t, time.Minute)
	w := &world{t: t, documents: store, queue: &messages{}, servers: &servers{now: time.Now}}
	ids := 0
	w.endpoints = webhook.NewEndpoints(webhook.EndpointsConfig{
		Documents: store, Queue: w.queue, CheckURL: func(string) error { return nil }, Now: w.now,
		NewID: func() (string, error) { ids++; return fmt.Sprintf("01900000-0000-7000-8000-%012d", ids), nil },
	})
	w.fanout = webhook.NewFanout(webhook.FanoutConfig{Documents: store, Queue: w.queue})
	w.worker = webhook.NewWorker(webhook.WorkerConfig{Documents: store, Poster: w.servers, Now: w.now, Jitter: rand.IntN})
	return w
}

// register registers an endpoint that answers like this.
func (w *world) register(url string, answer func(request) (webhook.Answer, error), events ...webhook.EventType) webhook.Endpoint {
	w.t.Helper()
	w.servers.answer(url, answer)
	e, err := w.endpoints.Create(w.t.Context(), tenant, url, events)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// changed tells of a change, and returns the messages that were sent for it.
func (w *world) changed(before, after order.Order) []string {
	w.t.Helper()
	n := len(w.queue.all())
	sent, err := w.fanout.Batch().Changed(w.t.Context(), before, after)
	if err != nil {
		w.t.Fatal(err)
	}
	bodies := w.queue.all()[n:]
	if sent != len(bodies) {
		w.t.Errorf("it says that it sent %d messages, and sent %d", sent, len(bodies))
	}
	return bodies
}

// handle handles a message at its n-th receive.
func (w *world) handle(body string, receives int) job.Verdict {
	return w.worker.Handle(w.t.Context(), job.Delivery{Body: body, SentAt: time.Now(), ReceiveCount: receives})
}

// untilDone handles a message until it is done, at its times.
func (w *world) untilDone(body string) {
	for n := 1; n <= webhook.MaxReceives; n++ {
		v := w.handle(body, n)
		if v.Next == job.Done {
			return
		}
		time.Sleep(v.After)
	}
	w.t.Errorf("after %d receives it is not done", webhook.MaxReceives)
}

// messages is a queue that only keeps what was sent.
type messages struct {
	mu     sync.Mutex
	bodies []string
}

func (m *messages) Send(_ context.Context, body string, _ time.Duration) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bodies = append(m.bodies, body)
	return strconv.Itoa(len(m.bodies)), nil
}

func (m *messages) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bodies
}

// request is a request as an endpoint gets it.
type request struct {
	ctx    context.Context
	at     time.Time
	url    string
	header http.Header
	body   string
}

func (r request) id() string { return r.header.Get("webhook-id") }

// verified reports whether the signature is that of a secret.
func (r request) verified(secret webhook.Secret) bool {
	key, err := standardwebhooks.NewWebhook(string(secret))
	return err == nil && key.VerifyIgnoringTimestamp([]byte(r.body), r.header) == nil
}

// event is the body of a request.
type event struct {
	Type      string
	Timestamp string
	Data      map[string]any
}

func (r request) event(t *testing.T) (e event) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// servers plays the strangers' servers.
type servers struct {
	now func() time.Time

	mu      sync.Mutex
	answers map[string]func(request) (webhook.Answer, error)
	got     []request
	open    map[string]int
	most    map[string]int // requests at a time
}

func (s *servers) answer(url string, f func(request) (webhook.Answer, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == nil {
		s.answers, s.open, s.most = make(map[string]func(request) (webhook.Answer, error)), make(map[string]int), make(map[string]int)
	}
	s.answers[url] = f
}

// Post implements webhook.Poster.
func (s *servers) Post(ctx context.Context, url string, header map[string]string, body []byte) (webhook.Answer, error) {
	r := request{ctx: ctx, at: s.now(), url: url, header: http.Header{}, body: string(body)}
	for name, value := range header {
		r.header.Set(name, value)
	}
	s.mu.Lock()
	s.got = append(s.got, r)
	s.open[url]++
	s.most[url] = max(s.most[url], s.open[url])
	answer := s.answers[url]
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open[url]--
	}()
	return answer(r)
}

func (s *servers) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

func ok(request) (webhook.Answer, error) { return webhook.Answer{Status: http.StatusNoContent}, nil }

func status(code int) func(request) (webhook.Answer, error) {
	return func(request) (webhook.Answer, error) { return webhook.Answer{Status: code}, nil }
}

func after(wait time.Duration, answer func(request) (webhook.Answer, error)) func(request) (webhook.Answer, error) {
	return func(r request) (webhook.Answer, error) {
		select {
		case <-time.After(wait):
			return answer(r)
		case <-r.ctx.Done():
			return webhook.Answer{}, r.ctx.Err()
		}
	}
}

// life is the versions of an order, the first PENDING.
type life struct {
	t *testing.T
	o order.Order
}

var orders int

func newLife(t *testing.T) *life {
	orders++
	ref := order.Ref{Tenant: tenant, ID: fmt.Sprintf("01a204cb-dd3f-7a1f-8ee4-%012d", orders)}
	return &life{t, order.New(ref, order.Request{Amount: 1200, Currency: "KRW", PaymentToken: "tok_ok"}, "", time.Now())}
}

// step changes the order and returns it before and after.
func (l *life) step(change func(order.Order) (order.Order, error)) (before, after order.Order) {
	l.t.Helper()
	before = l.o
	next, err := change(l.o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.o = next
	return before, next
}

func claimed(o order.Order) (order.Order, error) {
	now := time.Now()
	kind := order.KindCharge
	if o.Status == order.Refunding {
		kind = order.KindRefund
	}
	return o.Claimed(order.Claim{Kind: kind, Round: o.Round, Now: now, Until: now.Add(time.Second), Limits: order.Limits{Attempts: 3}})
}

func paid(o order.Order) (order.Order, error) { return o.PaidWith("PAY-1", true, time.Now()) }

func failed(o order.Order) (order.Order, error) {
	return o.FailedWith(order.OutcomeDeclined, order.Failure{Code: "expired_card"}, time.Now())
}

func canceled(o order.Order) (order.Order, error) { return o.Cancel(time.Now()) }

func again(o order.Order) (order.Order, error) { return o.PayWith("tok_ok", time.Now()) }

func refunding(amount int64) func(order.Order) (order.Order, error) {
	return func(o order.Order) (order.Order, error) {
		return o.BeginRefund(o.NextRefundID(), order.RefundRequest{Amount: amount}, time.Now())
	}
}

func refunded(o order.Order) (order.Order, error) { return o.RefundedWith("REF-1", time.Now()) }

func refundDeclined(o order.Order) (order.Order, error) {
	return o.RefundDeclinedWith("charge_disputed", time.Now())
}

func erased(o order.Order) (order.Order, error) {
	o.CustomerID = "c"
	return o.Erased(time.Now())
}

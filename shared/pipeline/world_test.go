package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/pipeline"
	"paylane/shared/queue"
)

const tenant = "t"

// The settings of template.yaml that the tests depend on.
const (
	visibility    = time.Minute
	retention     = 13 * 24 * time.Hour
	dlqVisibility = 3 * time.Minute
	dlqRetention  = 14 * 24 * time.Hour
	maxReceives   = 1000
	timeout       = 10 * time.Second
)

// world is the whole pipeline on a real store and real queues, in memory and in
// virtual time. A test that wants a fault wraps the store or the gateway.
type world struct {
	t        *testing.T
	store    order.Store
	queue    *pebblestore.Queue
	dlq      *pebblestore.Queue
	gateway  *ledger
	checkout *pipeline.Checkout
	payments *pipeline.Payments
	dead     *pipeline.DeadLetters
	limits   order.Limits
	patience func(began time.Time) time.Duration
	// tokensOnce says that the gateway takes each payment token once.
	tokensOnce bool
	jitter     func(n int) int
	ids        int
}

// inWorld runs a test in a bubble of virtual time.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	inWorldOf(t, maxReceives, test)
}

// fewReceives make dead letters of messages that were merely unlucky.
const fewReceives = 5

// inWorldOf is inWorld with another maxReceiveCount.
func inWorldOf(t *testing.T, maxReceives int, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		dlq, err := db.Queue(pebblestore.QueueConfig{
			Name: "dlq", ARN: "arn:aws:sqs:us-east-1:123456789012:dlq", VisibilityTimeout: dlqVisibility,
			Retention: dlqRetention, MaxMessageBytes: queue.MaxBodyBytes,
		})
		if err != nil {
			t.Fatal(err)
		}
		queue, err := db.Queue(pebblestore.QueueConfig{
			Name: "payments", ARN: "arn:aws:sqs:us-east-1:123456789012:payments", VisibilityTimeout: visibility,
			Retention: retention, MaxMessageBytes: queue.MaxBodyBytes, DeadLetterQueue: "dlq", MaxReceiveCount: maxReceives,
		})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, store: db.Store(), queue: queue, dlq: dlq, gateway: newLedger(simulator.New(time.Now)),
			limits: order.Limits{Attempts: 3}, jitter: func(n int) int { return n - 1 }}
		w.wire()
		test(t, w)
	})
}

// wire rebuilds the use cases after a test has replaced a part.
func (w *world) wire() {
	w.checkout = pipeline.NewCheckout(pipeline.CheckoutConfig{
		Store: w.store, Queue: w.queue, Tokens: simulator.New(time.Now), Now: time.Now,
		NewID: func() (string, error) {
			w.ids++
			return order.KeyedID("ids", fmt.Sprint(w.ids)), nil
		},
	})
	c := pipeline.WorkerConfig{
		Store: w.store, Gateway: w.gateway, ReusesTokens: !w.tokensOnce, Limits: w.limits, Patience: w.patience,
		Now: time.Now, Jitter: w.jitter,
	}
	w.payments, w.dead = pipeline.NewPayments(c), pipeline.NewDeadLetters(c, w.queue)
}

// create places an order that is paid with the given token.
func (w *world) create(token order.Token) order.Order {
	w.t.Helper()
	o, _, err := w.checkout.Create(w.t.Context(), tenant, "", order.Request{Amount: 12000, PaymentToken: token})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// emptyQueue loses the messages of the payment queue.
func (w *world) emptyQueue() error {
	deliveries, err := w.queue.Receive(w.t.Context(), queue.ReceiveRequest{Max: queue.MaxBatch, Wait: time.Second})
	for _, d := range deliveries {
		_, deleteErr := w.queue.Delete(w.t.Context(), []string{d.ReceiptHandle})
		err = errors.Join(err, deleteErr)
	}
	return err
}

func (w *world) get(ref order.Ref) order.Order {
	w.t.Helper()
	o, err := w.checkout.Get(w.t.Context(), ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// handler is the Handle method of a worker.
type handler func(context.Context, job.Delivery) job.Verdict

// poll receives once, waiting up to the given time, and treats each message as Lambda and
// shared/job do. It returns the verdicts.
func (w *world) poll(q queue.Queue, handle handler, wait time.Duration) []job.Verdict {
	w.t.Helper()
	ctx := w.t.Context()
	deliveries, err := q.Receive(ctx, queue.ReceiveRequest{Max: queue.MaxBatch, Wait: wait})
	if err != nil {
		w.t.Fatal(err)
	}
	verdicts := make([]job.Verdict, len(deliveries))
	var wg sync.WaitGroup
	for i, d := range deliveries {
		wg.Go(func() {
			invocation, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			verdicts[i] = handle(invocation, job.Delivery{Body: d.Body, SentAt: d.SentAt(), ReceiveCount: d.ReceiveCount()})
		})
	}
	wg.Wait()
	for i, v := range verdicts {
		var err error
		switch v.Next {
		case job.Done:
			_, err = q.Delete(ctx, []string{deliveries[i].ReceiptHandle})
		case job.Again:
			err = q.ChangeVisibility(ctx, deliveries[i].ReceiptHandle, v.After.Round(time.Second))
		case job.Later:
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return verdicts
}

// runUntil polls both queues until the order satisfies done, for at most the given time,
// and returns the order.
func (w *world) runUntil(ref order.Ref, limit time.Duration, done func(order.Order) bool) order.Order {
	w.t.Helper()
	for end := time.Now().Add(limit); ; {
		o := w.get(ref)
		if done(o) {
			return o
		}
		if time.Now().After(end) {
			w.t.Fatalf("after %v the order is %s with attempts %v", limit, o.Status, o.Charge.Attempts)
		}
		w.poll(w.queue, w.payments.Handle, time.Second)
		w.poll(w.dlq, w.dead.Handle, 0)
	}
}

func (w *world) runToEnd(ref order.Ref, limit time.Duration) order.Order {
	w.t.Helper()
	return w.runUntil(ref, limit, func(o order.Order) bool { return o.Status.End() })
}

// ledger is a gateway that records what it really did, by key.
type ledger struct {
	gateway.Gateway

	mu      sync.Mutex
	charges map[string]gateway.Request
	refunds map[string]gateway.Request
	asked   []string // every call, as "charge KEY"
	// before is called at the start of each call, if set; an error is returned to
	// the caller before anything happens.
	before func(call string, r gateway.Request) error
	// after is called once the gateway has acted; an error replaces its answer.
	after func(call string, r gateway.Request) error
}

func newLedger(inner gateway.Gateway) *ledger {
	return &ledger{Gateway: inner, charges: make(map[string]gateway.Request), refunds: make(map[string]gateway.Request)}
}

func (l *ledger) begin(call string, r gateway.Request) error {
	l.mu.Lock()
	l.asked = append(l.asked, call+" "+r.Key)
	before := l.before
	l.mu.Unlock()
	if before != nil {
		return before(call, r)
	}
	return nil
}

func (l *ledger) end(call string, r gateway.Request, book map[string]gateway.Request, err error) error {
	l.mu.Lock()
	after := l.after
	// An unknown charge of the simulator went through if Resolve says so later.
	if err == nil {
		book[r.Key] = r
	}
	l.mu.Unlock()
	if after != nil && err == nil {
		return after(call, r)
	}
	return err
}

func (l *ledger) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	if err := l.begin("charge", r); err != nil {
		return gateway.Receipt{}, err
	}
	receipt, err := l.Gateway.Charge(ctx, r)
	return receipt, l.end("charge", r, l.charges, err)
}

func (l *ledger) Refund(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	if err := l.begin("refund", r); err != nil {
		return gateway.Receipt{}, err
	}
	receipt, err := l.Gateway.Refund(ctx, r)
	return receipt, l.end("refund", r, l.refunds, err)
}

func (l *ledger) Resolve(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	if err := l.begin("resolve", r); err != nil {
		return gateway.Resolution{}, err
	}
	known, err := l.Gateway.Resolve(ctx, r)
	if err == nil && known.Done {
		book := l.charges
		if r.PaymentRef != "" {
			book = l.refunds
		}
		err = l.end("resolve", r, book, nil)
	}
	return known, err
}

// charged counts the keys under which an order was charged.
func (l *ledger) charged(id string) int { return l.count(l.charges, id) }

// refunded counts the keys under which an order was refunded.
func (l *ledger) refunded(id string) int { return l.count(l.refunds, id) }

func (l *ledger) count(book map[string]gateway.Request, id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for key := range book {
		if len(key) > len(id) && key[:len(id)] == id {
			n++
		}
	}
	return n
}

// calls returns every call, oldest first.
func (l *ledger) calls() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.asked...)
}

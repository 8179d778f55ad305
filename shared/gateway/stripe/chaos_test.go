package stripe_test

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"paylane/shared/gateway/stripe"
	"paylane/shared/gateway/stripe/stripetest"
	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/pipeline"
	"paylane/shared/queue"
)

// lossy is a store that loses one write in seven of its workers': what they learned dies
// with them.
type lossy struct {
	*pebblestore.Store
	killed atomic.Int64
}

func (l *lossy) Update(ctx context.Context, o order.Order) error {
	if rand.N(7) == 0 {
		l.killed.Add(1)
		return errors.New("the worker is dead")
	}
	return l.Store.Update(ctx, o)
}

// misfortune chooses a fault for three calls in ten, by what the call is.
func misfortune(c stripetest.Call) stripetest.Fault {
	faults := []stripetest.Fault{
		stripetest.ResetBefore, stripetest.ResetAfter, stripetest.CutAfter, stripetest.GarbageAfter, stripetest.StoredBefore,
		stripetest.StoredAfter, stripetest.StoredLost, stripetest.Unstored, stripetest.RateLimited, stripetest.Locked, stripetest.InUse,
		stripetest.HangBefore, stripetest.HangAfter, stripetest.NotPermitted, stripetest.InvalidOther,
	}
	if c.Key == "" {
		return [10]stripetest.Fault{stripetest.ResetBefore, stripetest.ResetAfter, stripetest.Unstored, stripetest.RateLimited}[rand.N(10)]
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(c.Name + c.Key))
	n := int(h.Sum32()>>3) + c.Count
	if n%10 >= 3 {
		return stripetest.None
	}
	return faults[n/10%len(faults)]
}

// declined reports whether the i-th order's card is declined.
func declined(i int) bool { return i%8 == 0 }

// refunds are what is refunded of the i-th order, one after the other; 0 is all that is left.
func refunds(i int) []int64 {
	return [][]int64{{}, {200, 300}, {0}, {200, 300, 0}, {100, 100, 100, 100, 100}}[i%5]
}

// TestChaos: a thousand orders (with -short, a fifth of that), charged and refunded in parts, while calls of every kind fail
// before and after they are done, and workers die before they can write down what they learned.
// In the end Stripe's books and the orders agree to the unit.
func TestChaos(t *testing.T) {
	orders, workers := 1000, 128
	if testing.Short() { // each call has its time, which the race detector takes many times
		orders, workers = 200, 32
	}
	ctx := t.Context()
	db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	messages, err := db.Queue(pebblestore.QueueConfig{
		Name: "payments", ARN: "arn:aws:sqs:us-east-1:123456789012:payments", VisibilityTimeout: 3 * time.Second,
		Retention: time.Hour, MaxMessageBytes: queue.MaxBodyBytes,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := stripetest.New(t, testKey)
	server.Fault, server.SearchLag = misfortune, 0
	open := func(now func() time.Time) *stripe.Gateway {
		return stripe.New(stripe.Config{
			URL: server.URL, Now: now, Secret: func(context.Context, bool) (string, error) { return testKey, nil },
		})
	}
	g := open(time.Now)
	store := &lossy{Store: db.Store()}
	checkout := pipeline.NewCheckout(pipeline.CheckoutConfig{
		Store: db.Store(), Queue: messages, Tokens: g, Now: time.Now,
		NewID: func() (string, error) { return uuid.NewString(), nil },
	})
	payments := pipeline.NewPayments(pipeline.WorkerConfig{
		Store: store, Gateway: g, Limits: order.Limits{Attempts: 3, Patience: time.Hour}, Now: time.Now,
		Jitter: func(int) int { return 0 },
	})

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	for range workers {
		running.Go(func() { work(ctx, t, messages, payments) })
	}
	end := func(ref order.Ref, want order.Status) bool {
		patience, cancel := context.WithTimeout(ctx, 3*time.Minute)
		defer cancel()
		o, err := checkout.Await(ctx, ref, patience, func(o order.Order) bool { return o.Status.End() })
		if err != nil || o.Status != want {
			t.Errorf("%s is %s: %v, %v", ref.ID, o.Status, err, o.Charge.Attempts)
		}
		return err == nil && o.Status == want
	}
	refs := make([]order.Ref, orders)
	live := func(i int) {
		token, want := order.Token("pm_card_visa"), order.Paid
		if declined(i) {
			token, want = "pm_card_chargeDeclined", order.Failed
		}
		o, _, err := checkout.Create(ctx, "shop", "", order.Request{Amount: 1200, Currency: "USD", PaymentToken: token})
		if err != nil {
			t.Error(err)
			return
		}
		refs[i] = o.Ref
		if !end(o.Ref, want) || declined(i) {
			return
		}
		for _, amount := range refunds(i) {
			if amount == 0 {
				want = order.Refunded
			}
			if _, _, err := checkout.Refund(ctx, o.Ref, uuid.NewString(), order.RefundRequest{Amount: amount}); err != nil {
				t.Error(err)
				return
			}
			if !end(o.Ref, want) {
				return
			}
		}
	}
	var lives sync.WaitGroup
	for i := range orders {
		lives.Go(func() { live(i) })
	}
	lives.Wait()
	stop()
	running.Wait()

	books := server.Books()
	for i, ref := range refs {
		o, err := db.Store().Get(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		b := books[ref.ID]
		charges, refunded := 1, int64(0)
		if declined(i) {
			charges = 0
		} else {
			for _, amount := range refunds(i) {
				refunded += cmp.Or(amount, 1200-refunded)
			}
		}
		if b.Charges != charges || b.Charged != int64(charges)*1200 || b.Refunded != refunded || o.RefundedAmount() != refunded {
			t.Errorf("%s is %s with %d refunded, want %d; the books have %+v", ref.ID, o.Status, o.RefundedAmount(), refunded, b)
		}
	}
	server.Fault = nil
	// Of orders that were declined, and have forgotten their tokens, Stripe can tell only later.
	later := open(func() time.Time { return time.Now().Add(2 * time.Hour) })
	walk := pipeline.NewReconciler(pipeline.ReconcilerConfig{
		Store: db.Store(), Gateway: later, Now: time.Now,
		Found: func(_ context.Context, f pipeline.Finding) {
			t.Errorf("%s: %s %s %v", f.Order.ID, f.Kind, f.GatewayRef, f.Err)
		},
	})
	s, done, err := walk.Run(t.Context(), pipeline.NewReconcileState(time.Time{}, time.Time{}, false, 1000))
	if err != nil || !done || s.Report.Listed < int64(orders) {
		t.Errorf("the walk: done %v, %d listed, %v", done, s.Report.Listed, err)
	}
	t.Logf("%d workers died; %d creates, %d confirms, %d cancels, %d refunds were asked for",
		store.killed.Load(), server.Calls(create), server.Calls(confirm), server.Calls(cancel), server.Calls(createRefund))
}

// work handles messages as Lambda and shared/job do, until the context ends. One message in
// ten is not deleted, as if the worker died before that.
func work(ctx context.Context, t *testing.T, q *pebblestore.Queue, worker job.Worker) {
	for ctx.Err() == nil {
		deliveries, err := q.Receive(ctx, queue.ReceiveRequest{Max: 1, Wait: time.Second})
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		for _, d := range deliveries {
			invocation, cancel := context.WithTimeout(ctx, 1300*time.Millisecond)
			v := worker.Handle(invocation, job.Delivery{Body: d.Body, SentAt: d.SentAt(), ReceiveCount: 1})
			cancel()
			switch {
			case v.Next == job.Done && rand.N(10) > 0:
				_, err = q.Delete(ctx, []string{d.ReceiptHandle})
			case v.Next == job.Again:
				err = q.ChangeVisibility(ctx, d.ReceiptHandle, time.Second)
			}
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	}
}

package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// TestOneKey: 200 requests at once with one idempotency key make one order.
func TestOneKey(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const requests = 200
		orders := make([]order.Order, requests)
		replays := make([]bool, requests)
		var wg sync.WaitGroup
		for i := range requests {
			wg.Go(func() {
				var err error
				orders[i], replays[i], err = w.checkout.Create(t.Context(), tenant, "cart-77", order.Request{Amount: 5})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		first := 0
		for i := range requests {
			if !replays[i] {
				first++
			}
			if diff := cmp.Diff(orders[0], orders[i]); diff != "" {
				t.Fatalf("answer %d differs:\n%s", i, diff)
			}
		}
		if first != 1 {
			t.Errorf("%d requests made the order, want 1", first)
		}
		paid := w.runToEnd(orders[0].Ref, time.Minute)
		if paid.Status != order.Paid || w.gateway.charged(paid.ID) != 1 {
			t.Errorf("%s, charged %d times", paid.Status, w.gateway.charged(paid.ID))
		}
		// The first answer, not the order as it is now.
		again, replayed, err := w.checkout.Create(t.Context(), tenant, "cart-77", order.Request{Amount: 5, Currency: "KRW"})
		if diff := cmp.Diff(orders[0], again); err != nil || !replayed || diff != "" {
			t.Errorf("replay after payment: %v, %v\n%s", replayed, err, diff)
		}
		if _, _, err := w.checkout.Create(t.Context(), tenant, "cart-77", order.Request{Amount: 6}); !errors.Is(err, pipeline.ErrKeyReused) {
			t.Errorf("another request with the key: %v", err)
		}
		other, replayed, err := w.checkout.Create(t.Context(), "other", "cart-77", order.Request{Amount: 6})
		if err != nil || replayed || other.ID == paid.ID {
			t.Errorf("another tenant's request with the key: %v, %v", replayed, err)
		}
	})
}

// TestCancelAgainstCharge races the two a thousand times: a cancel succeeds exactly
// when the order ends CANCELED, and then nothing is charged.
func TestCancelAgainstCharge(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		canceled := 0
		for i := range 1000 {
			o := w.create("tok_ok")
			var cancelErr error
			var wg sync.WaitGroup
			message := order.Message{Kind: order.KindCharge, Ref: o.Ref, Round: 1}.Encode()
			cancel := func() { _, cancelErr = w.checkout.Cancel(t.Context(), o.Ref) }
			charge := func() {
				w.payments.Handle(t.Context(), job.Delivery{Body: message, SentAt: time.Now(), ReceiveCount: 1})
			}
			if i%2 == 0 {
				cancel, charge = charge, cancel
			}
			wg.Go(cancel)
			wg.Go(charge)
			wg.Wait()
			end := w.get(o.Ref)
			var late *order.TransitionError
			switch {
			case cancelErr == nil && end.Status == order.Canceled && w.gateway.charged(o.ID) == 0:
				canceled++
			case errors.As(cancelErr, &late) && end.Status == order.Paid && w.gateway.charged(o.ID) == 1:
			default:
				t.Fatalf("round %d: cancel returned %v, the order is %s, charged %d times", i, cancelErr, end.Status, w.gateway.charged(o.ID))
			}
		}
		if canceled == 0 || canceled == 1000 {
			t.Errorf("%d of 1000 canceled: there was no race", canceled)
		}
		again, err := w.checkout.Cancel(t.Context(), w.canceled(t))
		if err != nil || again.Status != order.Canceled {
			t.Errorf("a second cancel: %s, %v", again.Status, err)
		}
	})
}

// canceled places an order and cancels it.
func (w *world) canceled(t *testing.T) order.Ref {
	t.Helper()
	o := w.create("tok_ok")
	if _, err := w.checkout.Cancel(t.Context(), o.Ref); err != nil {
		t.Fatal(err)
	}
	return o.Ref
}

// TestManyWorkers gives every message of many orders to several workers at once.
func TestManyWorkers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var refs []order.Ref
		for range 50 {
			refs = append(refs, w.create("tok_flaky_1").Ref)
		}
		for range 6 {
			var wg sync.WaitGroup
			for _, ref := range refs {
				message := order.Message{Kind: order.KindCharge, Ref: ref, Round: 1}.Encode()
				for range 4 {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), timeout)
						defer cancel()
						w.payments.Handle(ctx, job.Delivery{Body: message, SentAt: time.Now(), ReceiveCount: 1})
					})
				}
			}
			wg.Wait()
		}
		for _, ref := range refs {
			o := w.get(ref)
			want := []order.Outcome{order.OutcomeUnavailable, order.OutcomeApproved}
			if diff := cmp.Diff(want, outcomes(o)); o.Status != order.Paid || diff != "" {
				t.Fatalf("%s:\n%s", o.Status, diff)
			}
		}
	})
}

// TestAwait: a waiter learns of the end at once; one that gives up earlier gets the order as
// it is then.
func TestAwait(t *testing.T) {
	for _, watching := range []bool{true, false} {
		t.Run(fmt.Sprintf("store announces changes %v", watching), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				if !watching {
					w.store = struct{ order.Store }{w.store}
					w.wire()
				}
				o := w.create("tok_slow_3000")
				ended := func(o order.Order) bool { return o.Status.End() }
				start := time.Now()
				early, err := w.checkout.Await(t.Context(), o.Ref, patience(t, time.Second), ended)
				if took := time.Since(start); err != nil || early.Status != order.Pending || took != time.Second {
					t.Errorf("impatient: %s, %v after %v", early.Status, err, took)
				}
				var got order.Order
				var wg sync.WaitGroup
				wg.Go(func() { got, err = w.checkout.Await(t.Context(), o.Ref, patience(t, 20*time.Second), ended) })
				w.poll(w.queue, w.payments.Handle, time.Second)
				wg.Wait()
				late := time.Since(w.get(o.Ref).UpdatedAt)
				if err != nil || got.Status != order.Paid || late > 2*time.Second || watching && late > 2*time.Millisecond {
					t.Errorf("patient: %s, %v, %v late", got.Status, err, late)
				}
				if _, err := w.checkout.Await(t.Context(), order.Ref{Tenant: tenant, ID: order.KeyedID("x", "y")}, patience(t, time.Hour), ended); !errors.Is(err, order.ErrNotFound) {
					t.Errorf("waiting for an unknown order: %v", err)
				}
				synctest.Wait()
			})
		})
	}
}

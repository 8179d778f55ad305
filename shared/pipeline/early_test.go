package pipeline_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// TestEarlyMessage: a message without an order is retried, and dropped only after two
// minutes, once a tombstone is in the order's place.
func TestEarlyMessage(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		ref := order.Ref{Tenant: tenant, ID: order.KeyedID(tenant, "k")}
		sent := time.Now()
		message := order.Message{Kind: order.KindCharge, Ref: ref, Round: 1}.Encode()
		handle := func(receives int) job.Verdict {
			return w.payments.Handle(t.Context(), job.Delivery{Body: message, SentAt: sent, ReceiveCount: receives})
		}
		v := handle(1)
		if v.Next != job.Again || v.Result != pipeline.ResultEarly || v.After != 5*time.Second || time.Since(sent) != 100*time.Millisecond {
			t.Errorf("first receive: %+v after %v", v, time.Since(sent))
		}
		for receives := 2; receives <= 3; receives++ {
			if v := handle(receives); v.Next != job.Again || v.After != time.Minute {
				t.Errorf("receive %d: %+v", receives, v)
			}
		}
		time.Sleep(time.Until(sent.Add(2*time.Minute + time.Millisecond)))
		if v := handle(4); v.Next != job.Done || v.Result != pipeline.ResultDropped {
			t.Errorf("after two minutes: %+v", v)
		}
		o, err := w.store.Get(t.Context(), ref)
		if err != nil || o.Status != order.Void || o.ExpiresAt.Before(time.Now().Add(23*time.Hour)) {
			t.Errorf("in the order's place: %s until %v, %v", o.Status, o.ExpiresAt, err)
		}
		if _, err := w.checkout.Get(t.Context(), ref); !errors.Is(err, order.ErrNotFound) {
			t.Errorf("callers see the tombstone: %v", err)
		}
		if n := len(w.gateway.calls()); n > 0 {
			t.Errorf("the gateway was asked %d times", n)
		}
		// A copy of the message finds the tombstone and fences again.
		if v := handle(5); v.Next != job.Done || v.Result != pipeline.ResultDropped {
			t.Errorf("a copy: %+v", v)
		}
		if again, err := w.store.Get(t.Context(), ref); err != nil || again.Version != o.Version+1 {
			t.Errorf("after the copy: version %d, %v; want %d", again.Version, err, o.Version+1)
		}
	})
}

// TestMessageOfTheNextOrder: a message that comes a day after its order's end may be about the next
// order under the same key, which is not there before the old one is deleted. It waits as others do.
func TestMessageOfTheNextOrder(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o := w.runToEnd(w.create("tok_ok").Ref, time.Minute)
		message := order.Message{Kind: order.KindCharge, Ref: o.Ref, Round: 1}.Encode()
		handle := func(sent time.Time) job.Verdict {
			return w.payments.Handle(t.Context(), job.Delivery{Body: message, SentAt: sent, ReceiveCount: 1})
		}
		time.Sleep(23 * time.Hour)
		if v := handle(time.Now()); v.Next != job.Done || v.Result != pipeline.ResultStale {
			t.Errorf("within a day: %+v", v)
		}
		time.Sleep(time.Hour)
		sent := time.Now()
		if v := handle(sent); v.Next != job.Again || v.After != time.Minute || v.Result != pipeline.ResultEarly {
			t.Errorf("after a day: %+v", v)
		}
		time.Sleep(order.EarlyFor + time.Millisecond)
		if v := handle(sent); v.Next != job.Done || v.Result != pipeline.ResultStale {
			t.Errorf("two minutes later: %+v", v)
		}
	})
}

// TestOrderRightBehindItsMessage: a message that is only just early costs no extra receive.
func TestOrderRightBehindItsMessage(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		gate := newGate(w.store)
		gate.delay.Store(int64(70 * time.Millisecond))
		w.store = gate
		w.wire()
		var wg sync.WaitGroup
		wg.Go(func() { w.create("tok_ok") })
		verdicts := w.poll(w.queue, w.payments.Handle, time.Second)
		wg.Wait()
		if len(verdicts) != 1 || verdicts[0].Result != "paid" {
			t.Errorf("verdicts %+v, want paid at the first receive", verdicts)
		}
	})
}

// gate delays the writes that a message announces.
type gate struct {
	order.Store
	delay atomic.Int64
}

func newGate(s order.Store) *gate { return &gate{Store: s} }

func (g *gate) Create(ctx context.Context, o order.Order) error {
	if o.Status != order.Void {
		time.Sleep(time.Duration(g.delay.Load()))
	}
	return g.Store.Create(ctx, o)
}

func (g *gate) Update(ctx context.Context, next order.Order) error {
	if next.Status == order.Refunding && next.Refund.Tries == 0 || next.Status == order.Pending {
		time.Sleep(time.Duration(g.delay.Load()))
	}
	return g.Store.Update(ctx, next)
}

// TestFrozenWrites: a write that was frozen until its message had been dropped must not
// leave an order that nobody works on.
func TestFrozenWrites(t *testing.T) {
	const frozen = 3 * time.Minute
	for _, tt := range []struct {
		name    string
		token   order.Token
		prepare order.Status // of the order before the write; empty if there is none
		write   func(*world, order.Ref) error
		end     order.Status
	}{
		{"create", "tok_ok", "", func(w *world, _ order.Ref) error {
			_, _, err := w.checkout.Create(w.t.Context(), tenant, "k", order.Request{Amount: 1})
			return err
		}, order.Paid},
		{"retry", "tok_flaky_3", order.Failed, func(w *world, ref order.Ref) error {
			_, err := w.checkout.Retry(w.t.Context(), ref)
			return err
		}, order.Paid},
		{"refund", "tok_ok", order.Paid, func(w *world, ref order.Ref) error {
			_, _, err := w.checkout.Refund(w.t.Context(), ref, "", order.RefundRequest{})
			return err
		}, order.Refunded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				o, _, err := w.checkout.Create(t.Context(), tenant, "j", order.Request{Amount: 1, PaymentToken: tt.token})
				if err != nil {
					t.Fatal(err)
				}
				ref := o.Ref
				if tt.prepare == "" {
					ref.ID = order.KeyedID(tenant, "k")
				}
				w.runToEnd(o.Ref, time.Minute)
				gate := newGate(w.store)
				gate.delay.Store(int64(frozen))
				w.store = gate
				w.wire()
				dropped := 0
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := tt.write(w, ref); err != nil {
						t.Error(err)
					}
				})
				for start := time.Now(); time.Since(start) < frozen; {
					for _, v := range w.poll(w.queue, w.payments.Handle, 5*time.Second) {
						if v.Result == pipeline.ResultDropped {
							dropped++
						}
					}
				}
				gate.delay.Store(0)
				wg.Wait()
				if dropped != 1 {
					t.Fatalf("%d messages dropped while the write was frozen, want 1", dropped)
				}
				if o := w.runUntil(ref, time.Minute, func(o order.Order) bool { return o.Status == tt.end }); o.Round < 1 {
					t.Errorf("%+v", o)
				}
			})
		})
	}
}

// TestTombstoneRace: concurrent creates that meet a tombstone make one order.
func TestTombstoneRace(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		ref := order.Ref{Tenant: tenant, ID: order.KeyedID(tenant, "k")}
		if err := w.store.Create(t.Context(), order.NewVoid(ref, time.Now())); err != nil {
			t.Fatal(err)
		}
		const requests = 20
		orders, replays := make([]order.Order, requests), make([]bool, requests)
		var wg sync.WaitGroup
		for i := range requests {
			wg.Go(func() {
				var err error
				orders[i], replays[i], err = w.checkout.Create(t.Context(), tenant, "k", order.Request{Amount: 1})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		made := 0
		for i := range requests {
			if !replays[i] {
				made++
			}
			if orders[i].Version != orders[0].Version || !orders[i].CreatedAt.Equal(orders[0].CreatedAt) {
				t.Errorf("answers differ: %+v, %+v", orders[0], orders[i])
			}
		}
		if made != 1 {
			t.Errorf("%d requests made the order, want 1", made)
		}
		if o := w.runToEnd(ref, time.Minute); o.Status != order.Paid || w.gateway.charged(ref.ID) != 1 {
			t.Errorf("%s, charged %d times", o.Status, w.gateway.charged(ref.ID))
		}
	})
}

// TestStaleMessages: a message for a step that its order is past does nothing.
func TestStaleMessages(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		paid := w.runToEnd(w.create("tok_ok").Ref, time.Minute)
		canceled := w.get(w.canceled(t))
		failed := w.runToEnd(w.create("tok_flaky_3").Ref, time.Minute)
		retried, err := w.checkout.Retry(t.Context(), failed.Ref)
		if err != nil {
			t.Fatal(err)
		}
		before := len(w.gateway.calls())
		for _, tt := range []struct {
			name string
			m    order.Message
		}{
			{"charge of a paid order", order.Message{Kind: order.KindCharge, Ref: paid.Ref, Round: 1}},
			{"charge of a canceled order", order.Message{Kind: order.KindCharge, Ref: canceled.Ref, Round: 1}},
			{"refund of a canceled order", order.Message{Kind: order.KindRefund, Ref: canceled.Ref, Round: 1}},
			{"charge of an older round", order.Message{Kind: order.KindCharge, Ref: retried.Ref, Round: 1}},
		} {
			for name, handle := range map[string]handler{"payments": w.payments.Handle, "dead letters": w.dead.Handle} {
				v := handle(t.Context(), job.Delivery{Body: tt.m.Encode(), SentAt: time.Now(), ReceiveCount: 1})
				if v.Next != job.Done || v.Result != pipeline.ResultStale {
					t.Errorf("%s, %s: %+v", name, tt.name, v)
				}
			}
		}
		if n := len(w.gateway.calls()) - before; n > 0 {
			t.Errorf("the gateway was asked %d times", n)
		}
	})
}

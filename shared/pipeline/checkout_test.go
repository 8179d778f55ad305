package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// overtaken is a store in which another write comes before the next update.
type overtaken struct {
	order.Store
	by func()
}

func (s *overtaken) Update(ctx context.Context, o order.Order) error {
	if by := s.by; by != nil {
		s.by = nil
		by()
	}
	return s.Store.Update(ctx, o)
}

// TestOnlyIfOvertaken: a condition holds for the version that is changed, not for one that was
// there when it was looked at.
func TestOnlyIfOvertaken(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o := w.runToEnd(w.create("tok_flaky_9").Ref, time.Minute)
		plain, other := w.checkout, errors.New("another version")
		w.store = &overtaken{w.store, func() {
			if _, _, err := plain.Pay(t.Context(), o.Ref, "tok_declined"); err != nil {
				t.Error(err)
			}
			w.runToEnd(o.Ref, time.Minute)
		}}
		w.wire()
		_, _, err := w.checkout.OnlyIf(func(current order.Order) error {
			if current.Version != o.Version {
				return other
			}
			return nil
		}).Pay(t.Context(), o.Ref, "tok_ok")
		if !errors.Is(err, other) {
			t.Errorf("paid in another version than was allowed: %v", err)
		}
		if got := w.get(o.Ref); got.Status != order.Failed || !got.Declined() {
			t.Errorf("the order is %s, want what the other made of it", got.Status)
		}
	})
}

// TestRefundNeedsKey: a refund of an amount would be another one if it were asked for again.
func TestRefundNeedsKey(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o := w.runToEnd(w.create("tok_ok").Ref, time.Minute)
		for key, want := range map[string]error{"": pipeline.ErrKeyRequired, "a b": pipeline.ErrKeyMalformed} {
			if _, _, err := w.checkout.Refund(t.Context(), o.Ref, key, order.RefundRequest{Amount: 1}); !errors.Is(err, want) {
				t.Errorf("with the key %q: %v, want %v", key, err, want)
			}
		}
		if got := w.get(o.Ref); got.Version != o.Version {
			t.Errorf("a refund that was refused changed the order to %s", got.Status)
		}
	})
}

// TestLivemode: an order says for which gateway it was placed, and so does its replay.
func TestLivemode(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for key, livemode := range map[string]bool{"live": true, "test": false} {
			checkout := pipeline.NewCheckout(pipeline.CheckoutConfig{
				Store: w.store, Queue: w.queue, Tokens: simulator.New(time.Now), Livemode: livemode, Now: time.Now,
			})
			for range 2 {
				if o, _, err := checkout.Create(t.Context(), tenant, key, order.Request{Amount: 1}); err != nil || o.Livemode != livemode || w.get(o.Ref).Livemode != livemode {
					t.Errorf("%s: livemode %t, %v", key, o.Livemode, err)
				}
			}
		}
	})
}

// TestReserve: of an invocation's time enough is left to write down that the gateway did not answer,
// however much of it there was.
func TestReserve(t *testing.T) {
	for _, left := range []time.Duration{timeout, 4 * time.Second, 2 * time.Second} {
		inWorld(t, func(t *testing.T, w *world) {
			w.gateway.Gateway = silent{w.gateway.Gateway}
			o := w.create("tok_ok")
			ctx, cancel := context.WithTimeout(t.Context(), left)
			defer cancel()
			began := time.Now()
			v := w.payments.Handle(ctx, job.Delivery{
				Body: order.Message{Kind: order.KindCharge, Ref: o.Ref, Round: 1}.Encode(), SentAt: began, ReceiveCount: 1,
			})
			got := w.get(o.Ref)
			last, _ := got.Charge.Last()
			const writes = 100 * time.Millisecond // of virtual time, which are hardly any
			if spent := time.Since(began); spent > min(left-time.Second, pipeline.GatewayTimeout)+writes {
				t.Errorf("with %v: it took %v", left, spent)
			}
			if !got.LeaseUntil.IsZero() || last.Outcome != order.OutcomeUnknown || v.Next != job.Again || v.Result != pipeline.ResultUnknown {
				t.Errorf("with %v: %+v, leased until %v, verdict %s", left, last, got.LeaseUntil, v.Result)
			}
		})
	}
}

// silent is a gateway that does not answer.
type silent struct{ gateway.Gateway }

func (silent) Charge(ctx context.Context, _ gateway.Request) (gateway.Receipt, error) {
	<-ctx.Done()
	return gateway.Receipt{}, ctx.Err()
}

// TestAsked: what the gateway is asked is the order's own, and since when its key may be known: of a
// charge since the order was placed, of a refund since that was asked for.
func TestAsked(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var asked []gateway.Request
		w.gateway.before = func(_ string, r gateway.Request) error {
			if asked = append(asked, r); len(asked)%2 == 1 {
				return gateway.ErrUnavailable
			}
			return nil
		}
		o := w.runToEnd(w.create("tok_ok").Ref, time.Minute)
		want := gateway.Request{
			Key: o.ID + ".1", Order: o.Ref, Money: o.Total, Token: "tok_ok", Since: o.CreatedAt,
			Hint: gateway.Hint{Attempt: 1, Since: o.Charge.Attempts[0].StartedAt},
		}
		check := func(want gateway.Request) {
			t.Helper()
			again := want
			again.Hint.Attempt++
			if diff := cmp.Diff([]gateway.Request{want, again}, asked, plainTokens); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			asked = nil
		}
		check(want)
		time.Sleep(time.Hour)
		if _, _, err := w.checkout.Refund(t.Context(), o.Ref, "k", order.RefundRequest{Amount: 5000}); err != nil {
			t.Fatal(err)
		}
		o = w.runToEnd(o.Ref, time.Minute)
		want.Key, want.Money.Amount, want.PaymentRef = o.ID+".refund", 5000, o.PaymentRef
		want.Since, want.Hint.Since = o.LastRefund().RequestedAt, o.Refund.Attempts[0].StartedAt
		check(want)
	})
}

// plainTokens compares payment tokens, which print as one.
var plainTokens = cmp.Comparer(func(a, b order.Token) bool { return a == b })

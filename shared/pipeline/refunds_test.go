package pipeline_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

// TestRefundsInParts: each part is refunded once, whatever the token does, and what is left
// can be refunded after.
func TestRefundsInParts(t *testing.T) {
	for _, token := range []order.Token{
		"tok_ok", "tok_flaky_2", "tok_timeout_charged", "tok_timeout_not_charged", "tok_unknown_2", "tok_slow_8000",
	} {
		t.Run(string(token), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				o := w.runToEnd(w.create(token).Ref, time.Minute)
				for i, r := range []order.RefundRequest{{Amount: 2000, Reason: "a cup"}, {Amount: 3000}, {}} {
					o, begun, err := w.checkout.Refund(t.Context(), o.Ref, fmt.Sprint("key", i), r)
					if err != nil || !begun || o.Status != order.Refunding {
						t.Fatalf("refund %d: %s, %v, %v", i, o.Status, begun, err)
					}
					if o = w.runToEnd(o.Ref, 10*time.Minute); o.LastRefund().Status != order.RefundDone || o.LastRefund().Ref == "" {
						t.Fatalf("refund %d: %+v; calls: %v", i, o.LastRefund(), w.gateway.calls())
					}
				}
				if o = w.get(o.Ref); o.Status != order.Refunded || o.RefundedAmount() != o.Total.Amount || w.gateway.refunded(o.ID) != 3 {
					t.Errorf("%s, %d refunded in %d refunds; calls: %v", o.Status, o.RefundedAmount(), w.gateway.refunded(o.ID), w.gateway.calls())
				}
			})
		})
	}
}

// TestRefundDeclined: the order is PAID again, says so, and may be refunded once more.
func TestRefundDeclined(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o := w.runToEnd(w.create("tok_refund_declined").Ref, time.Minute)
		for n := 1; n <= 2; n++ {
			if _, _, err := w.checkout.Refund(t.Context(), o.Ref, "", order.RefundRequest{}); err != nil {
				t.Fatal(err)
			}
			o = w.runToEnd(o.Ref, time.Minute)
			if r := o.LastRefund(); o.Status != order.Paid || len(o.Refunds) != n || r.Status != order.RefundDeclined || r.Code != "refund_declined" {
				t.Errorf("%s with the refunds %+v", o.Status, o.Refunds)
			}
		}
		if w.gateway.refunded(o.ID) != 0 {
			t.Errorf("refunded; calls: %v", w.gateway.calls())
		}
	})
}

// TestRefundMessages: a message about a refund that has ended is stale, and does nothing to
// the order, nor to its next refund.
func TestRefundMessages(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o := w.runToEnd(w.create("tok_ok").Ref, time.Minute)
		if _, _, err := w.checkout.Refund(t.Context(), o.Ref, "k", order.RefundRequest{Amount: 1}); err != nil {
			t.Fatal(err)
		}
		o = w.runToEnd(o.Ref, time.Minute)
		again := order.Message{Kind: order.KindRefund, Ref: o.Ref, Round: o.Round, Refund: 1}
		if _, err := w.queue.Send(t.Context(), again.Encode(), 0); err != nil {
			t.Fatal(err)
		}
		verdicts := w.poll(w.queue, w.payments.Handle, time.Second)
		if len(verdicts) != 1 || verdicts[0].Result != "stale" || w.get(o.Ref).Version != o.Version {
			t.Errorf("%+v; the order is at version %d, was at %d", verdicts, w.get(o.Ref).Version, o.Version)
		}
	})
}

// TestPayAgain: a declined order is charged with another token under another key, once.
func TestPayAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o := w.runToEnd(w.create("tok_declined").Ref, time.Minute)
		if _, begun, err := w.checkout.Pay(t.Context(), o.Ref, "tok_flaky_1"); err != nil || !begun {
			t.Fatal(begun, err)
		}
		if _, begun, err := w.checkout.Pay(t.Context(), o.Ref, "tok_flaky_1"); err != nil || begun {
			t.Errorf("again: %v, %v", begun, err)
		}
		if o = w.runToEnd(o.Ref, time.Minute); o.Status != order.Paid || w.gateway.charged(o.ID) != 1 || len(o.Charge.Attempts) != 2 {
			t.Errorf("%s, charged %d times, attempts %v", o.Status, w.gateway.charged(o.ID), outcomes(o))
		}
	})
}

// TestRefundChaos makes up to five refunds of each of a thousand orders, while workers and
// the store fail around every call of the gateway and requests are repeated: the gateway's
// books and the orders agree to the unit. The seed is in the test's name.
func TestRefundChaos(t *testing.T) {
	const worlds, orders = 40, 25
	for seed := range uint64(worlds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorldOf(t, fewReceives, func(t *testing.T, w *world) { refundChaos(t, w, orders, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func refundChaos(t *testing.T, w *world, orders int, random *rand.Rand) {
	tokens := []order.Token{
		"tok_ok", "tok_flaky_1", "tok_timeout_charged", "tok_timeout_not_charged", "tok_unknown_5", "tok_slow_6000", "tok_refund_declined",
	}
	store := &breakable{Store: w.store}
	w.store = store
	w.wire()
	var refs []order.Ref
	for range orders {
		o, _, err := w.checkout.Create(t.Context(), tenant, "", order.Request{
			Amount: int64(1 + random.IntN(1000)), PaymentToken: tokens[random.IntN(len(tokens))],
		})
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, o.Ref)
	}
	for _, ref := range refs {
		if o := w.runToEnd(ref, time.Hour); o.Status != order.Paid {
			t.Fatalf("%s ended %s", string(o.PaymentToken), o.Status)
		}
	}
	var mu sync.Mutex // the hooks run side by side; chance must not
	die := func(string, gateway.Request) error {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(8) == 0 {
			store.set(true)
			time.AfterFunc(timeout, func() { store.set(false) })
		}
		return nil
	}
	w.gateway.before, w.gateway.after = die, die
	for range 5 * orders {
		ref := refs[random.IntN(len(refs))]
		mu.Lock()
		r := order.RefundRequest{Amount: int64(random.IntN(400))} // 0 is all that is left
		key := fmt.Sprint("key", random.IntN(5))
		repeats := random.IntN(3)
		wait := time.Duration(random.IntN(5)) * time.Second
		mu.Unlock()
		for range 1 + repeats { // refusals are part of the game
			_, _, _ = w.checkout.Refund(t.Context(), ref, key, r)
		}
		w.poll(w.queue, w.payments.Handle, wait)
		w.poll(w.dlq, w.dead.Handle, 0)
	}
	w.gateway.before, w.gateway.after = nil, nil
	for _, ref := range refs {
		o := w.runToEnd(ref, 4*time.Hour)
		var done int
		for _, r := range o.Refunds {
			if r.Status == order.RefundDone {
				done++
			}
		}
		var moved int64
		for key, r := range w.gateway.refunds {
			if strings.HasPrefix(key, o.ID+".") {
				moved += r.Money.Amount
			}
		}
		all := moved == o.Total.Amount
		if moved != o.RefundedAmount() || w.gateway.refunded(o.ID) != done || moved > o.Total.Amount || all != (o.Status == order.Refunded) {
			t.Errorf("%s (%s) of %d is %s, with %d refunded by %d refunds; the gateway returned %d by %d",
				o.ID, string(o.PaymentToken), o.Total.Amount, o.Status, o.RefundedAmount(), done, moved, w.gateway.refunded(o.ID))
		}
	}
}

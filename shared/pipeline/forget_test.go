package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// once is a gateway with books that takes each token once: only a charge may have one.
type once struct{ *bank }

func (o once) Refund(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	if r.Token != "" {
		return gateway.Receipt{}, &gateway.DeclinedError{Code: "token", Message: "A refund names a token."}
	}
	r.Token = "tok_ok" // which the simulator wants
	return o.bank.Refund(ctx, r)
}

// ends lists ways to an end, and whether the order then still has a payment token: at a gateway
// that takes each token once, and at one that reuses tokens.
var ends = []struct {
	name           string
	way            func(w *world) order.Order
	status         order.Status
	once, reusable bool
}{
	{"paid", func(w *world) order.Order { return w.to("tok_ok") }, order.Paid, false, true},
	{"paid, after a dead letter", func(w *world) order.Order { return w.to("tok_unknown_600") }, order.Paid, false, true},
	{"declined", func(w *world) order.Order { return w.to("tok_declined") }, order.Failed, false, false},
	{"given up", func(w *world) order.Order { return w.to("tok_outage") }, order.Failed, true, true},
	{"canceled", func(w *world) order.Order { return w.cancel(w.create("tok_ok")) }, order.Canceled, false, false},
	{"paid, once retried", func(w *world) order.Order { return w.again(w.to("tok_flaky_3"), "") }, order.Paid, false, true},
	{"given up, once retried", func(w *world) order.Order { return w.again(w.to("tok_outage"), "") }, order.Failed, true, true},
	{"canceled, once retried", func(w *world) order.Order {
		o, err := w.checkout.Retry(w.t.Context(), w.to("tok_outage").Ref)
		if err != nil {
			w.t.Fatal(err)
		}
		return w.cancel(o)
	}, order.Canceled, false, false},
	{"paid with another token", func(w *world) order.Order { return w.again(w.to("tok_declined"), "tok_ok") }, order.Paid, false, true},
	{"declined again", func(w *world) order.Order { return w.again(w.to("tok_declined"), "tok_expired_card") }, order.Failed, false, false},
	{"given up with another token", func(w *world) order.Order { return w.again(w.to("tok_declined"), "tok_outage") }, order.Failed, true, true},
	{"refunded in part", func(w *world) order.Order { return w.refund(w.to("tok_ok"), 2000) }, order.Paid, false, true},
	{"refunded", func(w *world) order.Order { return w.refund(w.refund(w.to("tok_ok"), 2000), 0) }, order.Refunded, false, true},
	{"paid and erased", func(w *world) order.Order { return w.erase(w.to("tok_ok")) }, order.Paid, false, true},
	{"declined and erased", func(w *world) order.Order { return w.erase(w.to("tok_declined")) }, order.Failed, false, false},
	{"given up and erased", func(w *world) order.Order { return w.erase(w.to("tok_outage")) }, order.Failed, true, true},
	{"canceled by an earlier build, and erased", func(w *world) order.Order {
		o := w.cancel(w.create("tok_ok"))
		o.Version, o.PaymentToken = o.Version+1, "tok_ok"
		if err := w.store.Update(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
		return w.erase(o)
	}, order.Canceled, false, false},
	{"found paid by reconcile", func(w *world) order.Order { return w.lost("tok_ok") }, order.Paid, false, true},
	{"found without a charge by reconcile", func(w *world) order.Order { return w.lost("tok_outage") }, order.Failed, true, true},
}

// to takes a new order to its end.
func (w *world) to(token order.Token) order.Order {
	w.t.Helper()
	o, _, err := w.checkout.Create(w.t.Context(), tenant, "", request(token))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.runToEnd(o.Ref, time.Hour)
}

func request(token order.Token) order.Request {
	return order.Request{Amount: 12_000, PaymentToken: token, CustomerID: "c"}
}

// again takes a FAILED order to its next end, with another token if there is one.
func (w *world) again(o order.Order, token order.Token) order.Order {
	w.t.Helper()
	var err error
	if token == "" {
		_, err = w.checkout.Retry(w.t.Context(), o.Ref)
	} else {
		_, _, err = w.checkout.Pay(w.t.Context(), o.Ref, token)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return w.runToEnd(o.Ref, time.Hour)
}

func (w *world) cancel(o order.Order) order.Order {
	w.t.Helper()
	o, err := w.checkout.Cancel(w.t.Context(), o.Ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) refund(o order.Order, amount int64) order.Order {
	w.t.Helper()
	if _, _, err := w.checkout.Refund(w.t.Context(), o.Ref, fmt.Sprint("refund-", amount), order.RefundRequest{Amount: amount}); err != nil {
		w.t.Fatal(err)
	}
	o = w.runToEnd(o.Ref, time.Hour)
	if last := o.LastRefund(); last.Status != order.RefundDone {
		w.t.Fatalf("the refund is %+v", last)
	}
	return o
}

func (w *world) erase(o order.Order) order.Order {
	w.t.Helper()
	o, err := w.checkout.Erase(w.t.Context(), o.Ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// lost takes an order to its end by a walk: its first attempt charged or not, the answer did
// not arrive, and the message is lost.
func (w *world) lost(token order.Token) order.Order {
	w.t.Helper()
	o := w.create(token)
	w.gateway.after = func(call string, _ gateway.Request) error {
		if call == "charge" {
			return errors.New("the connection broke")
		}
		return nil
	}
	w.poll(w.queue, w.payments.Handle, time.Second)
	time.Sleep(time.Minute)
	if err := w.emptyQueue(); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(2 * time.Hour)
	if report := short(w.walk()); report == "scanned" {
		w.t.Fatal("the walk did not settle the order")
	}
	return w.get(o.Ref)
}

// walk reconciles all orders, and fails the test if one differs from the gateway's record.
func (w *world) walk() pipeline.ReconcileReport {
	w.t.Helper()
	walk := pipeline.NewReconciler(pipeline.ReconcilerConfig{
		Store: w.store.(reconcilable), Gateway: w.gateway, ReusesTokens: !w.tokensOnce, Now: time.Now,
		Found: func(_ context.Context, f pipeline.Finding) {
			if f.Kind.Difference() || f.Err != nil {
				w.t.Errorf("reconcile found %s of an order that is %s: %v", f.Kind, f.Order.Status, f.Err)
			}
		},
	})
	s, done, err := walk.Run(w.t.Context(), pipeline.NewReconcileState(time.Time{}, time.Time{}, true, 1000))
	if err != nil || !done {
		w.t.Fatalf("the walk: done %v, %v", done, err)
	}
	return s.Report
}

// TestTokenForgotten: an order that has ended keeps its payment token only if a retry charges
// with it, or the gateway wants it for a refund. Without it, the order agrees with the
// gateway's record, can be refunded, and is still found by its idempotency key.
func TestTokenForgotten(t *testing.T) {
	for _, tokensOnce := range []bool{true, false} {
		for _, tt := range ends {
			t.Run(map[bool]string{true: "once, ", false: "reused, "}[tokensOnce]+tt.name, func(t *testing.T) {
				inWorldOf(t, fewReceives, func(t *testing.T, w *world) {
					if w.tokensOnce = tokensOnce; tokensOnce {
						w.gateway = newLedger(once{newBank()})
					} else {
						w.gateway = newLedger(simulator.New(time.Now))
					}
					w.wire()
					o := tt.way(w)
					want := tt.reusable
					if tokensOnce {
						want = tt.once
					}
					if stored := w.get(o.Ref); stored.Status != tt.status || (stored.PaymentToken != "") != want {
						t.Errorf("it is %s, want %s, and has a token: %v, want %v", stored.Status, tt.status, stored.PaymentToken != "", want)
					}
					w.walk()
					if o.Status == order.Paid {
						if o = w.refund(o, 0); o.Status != order.Refunded {
							t.Errorf("after a refund of all it is %s", o.Status)
						}
						w.walk()
					}
				})
			})
		}
	}
}

// TestReplayWithoutToken: a request that is repeated with its idempotency key finds the order
// that has forgotten its token, and shows it as it was.
func TestReplayWithoutToken(t *testing.T) {
	for _, token := range []order.Token{"tok_ok", "tok_declined"} {
		inWorld(t, func(t *testing.T, w *world) {
			w.tokensOnce = true
			w.wire()
			created, _, err := w.checkout.Create(t.Context(), tenant, "key", request(token))
			if err != nil {
				t.Fatal(err)
			}
			if o := w.runToEnd(created.Ref, time.Hour); o.PaymentToken != "" {
				t.Errorf("%s with a token", o.Status)
			}
			again, replayed, err := w.checkout.Create(t.Context(), tenant, "key", request(token))
			created.PaymentToken = ""
			if diff := cmp.Diff(created, again); diff != "" || !replayed || err != nil {
				t.Errorf("replayed: %v, %v (-created +again):\n%s", replayed, err, diff)
			}
			if _, _, err := w.checkout.Create(t.Context(), tenant, "key", request("tok_flaky_1")); !errors.Is(err, pipeline.ErrKeyReused) {
				t.Errorf("with another token: %v", err)
			}
		})
	}
}

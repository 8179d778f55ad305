package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/queue"
)

// TestNextAttempt: while an order waits for its next attempt it says when that is due, which is
// when its message comes back, in either queue; and an attempt took as long as the gateway did.
// At its end it waits for nothing.
func TestNextAttempt(t *testing.T) {
	const took = 700 * time.Millisecond
	cut := errors.New("the connection was cut")
	for name, tt := range map[string]struct {
		kind    order.Kind
		failure error
		dead    bool // its message becomes a dead letter
	}{
		"unavailable":                 {order.KindCharge, gateway.ErrUnavailable, false},
		"misconfigured":               {order.KindCharge, gateway.ErrMisconfigured, false},
		"unknown":                     {order.KindCharge, cut, false},
		"unknown, as a dead letter":   {order.KindCharge, cut, true},
		"a refund":                    {order.KindRefund, gateway.ErrUnavailable, false},
		"a refund, as a dead letter":  {order.KindRefund, gateway.ErrUnavailable, true},
		"a refund of unknown outcome": {order.KindRefund, cut, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				o := w.create("tok_ok")
				m := order.Message{Kind: tt.kind, Ref: o.Ref, Round: 1}
				if tt.kind == order.KindRefund {
					w.runToEnd(o.Ref, time.Minute)
					var err error
					if o, _, err = w.checkout.Refund(t.Context(), o.Ref, "", order.RefundRequest{}); err != nil {
						t.Fatal(err)
					}
					m.Refund = 1
				}
				calls := 0
				w.gateway.before = func(string, gateway.Request) error {
					time.Sleep(took) // virtual
					if calls++; calls <= 3 {
						return tt.failure
					}
					return nil
				}
				waited := 0
				handle := func(inner handler) handler {
					return func(ctx context.Context, d job.Delivery) job.Verdict {
						if due, ok := w.get(o.Ref).NextAttempt(); ok && d.ReceiveCount > 1 {
							if waited++; !time.Now().Truncate(time.Millisecond).Equal(due) {
								t.Errorf("the message came back %v, and was due %v", time.Now(), due)
							}
						}
						return inner(ctx, d)
					}
				}
				var q queue.Queue = w.queue
				next := handle(w.payments.Handle)
				for end := time.Now().Add(time.Hour); !o.Status.End() && time.Now().Before(end); o = w.get(o.Ref) {
					w.poll(q, next, 20*time.Second)
					last, _ := w.get(o.Ref).Leg(tt.kind).Last()
					if was := last.EndedAt.Sub(last.StartedAt); calls <= 3 && was.Truncate(10*time.Millisecond) != took {
						t.Errorf("an attempt took %v, want %v", was, took)
					}
					if tt.dead && q != w.dlq {
						q, next = w.dlq, handle(w.dead.Handle)
						if _, err := w.dlq.Send(t.Context(), m.Encode(), 0); err != nil {
							t.Fatal(err)
						}
					}
				}
				at, waits := o.NextAttempt()
				if !o.Status.End() || waits || !o.RetryAt.IsZero() || waited < 2 {
					t.Errorf("%s: it waits until %v (%t), and has waited %d times", o.Status, at, waits, waited)
				}
				for _, a := range o.Leg(tt.kind).Attempts {
					if a.EndedAt.Before(a.StartedAt.Add(took)) {
						t.Errorf("%+v ended too early", a)
					}
				}
			})
		})
	}
}

// TestNoEnd: an attempt whose worker died has no end, nor does the order know when the next
// comes; once that has come, nobody can say how long it took.
func TestNoEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		store := &breakable{Store: w.store}
		w.store = store
		w.wire()
		o := w.create("tok_ok")
		w.gateway.before = func(string, gateway.Request) error {
			store.set(true)
			return gateway.ErrUnavailable
		}
		w.poll(w.queue, w.payments.Handle, time.Second)
		o = w.get(o.Ref)
		if at, waits := o.NextAttempt(); waits || len(o.Charge.Attempts) != 1 || !o.Charge.Attempts[0].EndedAt.IsZero() {
			t.Errorf("its worker is dead: it waits until %v (%t), after %+v", at, waits, o.Charge.Attempts)
		}
		w.gateway.before = nil
		store.set(false)
		o = w.runToEnd(o.Ref, time.Minute)
		if a := o.Charge.Attempts; len(a) != 2 || !a[0].EndedAt.IsZero() || a[0].Outcome != order.OutcomeUnknown || a[1].EndedAt.IsZero() {
			t.Errorf("at its end, %s: %+v", o.Status, a)
		}
	})
}

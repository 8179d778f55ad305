package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"paylane/shared/order"
)

// chaos does to queues what SQS, strangers and operators may do to them, for as long as there are
// faults.
func (w *world) chaos(ctx context.Context) {
	ctx = named(ctx, "chaos")
	for n := 0; ; n++ {
		if t := w.await(ctx, fmt.Sprint("chaos ", n), 2*time.Second); t.err != nil || w.faults.off.Load() {
			return
		}
		w.disturb(ctx)
		w.changed = true
	}
}

// bodies are messages that are none of orders.
var bodies = []string{ //nolint:gochecknoglobals // never written
	"poison", `{"version":1}`, `{"version":2,"kind":"charge","tenant":"acme","orderId":"210e0dd2-3f47-567d-9dbb-0177d4b282a8","round":1}`, "\ufffd", "[]", "null",
}

func (w *world) disturb(ctx context.Context) {
	d := w.dice()
	if w.machine != nil {
		w.power(ctx, d)
	} else {
		w.deliverAgain(ctx, d)
	}
	// Each is received a thousand times.
	if w.poisoned < 1 && w.faults.hits(d, poison) {
		w.poisoned++
		body := bodies[d.IntN(len(bodies))]
		w.tell(ctx, "a stranger sends %q", body)
		_, _ = w.of["PaymentQueue"].Send(ctx, body, 0)
	}
	if orders := w.checks.refs(); len(orders) > 0 && w.faults.hits(d, poison) {
		// A message about an order that nobody sent: of another round, another kind, or too early.
		o := w.checks.last[orders[d.IntN(len(orders))]]
		m := order.Message{Kind: order.KindCharge, Ref: o.Ref, Round: max(1, o.Round-1+d.IntN(3))}
		if d.IntN(2) == 0 {
			m.Kind, m.Refund = order.KindRefund, 1+d.IntN(2)
		}
		w.tell(ctx, "a stranger sends %s", m.Encode())
		_, _ = w.of["PaymentQueue"].Send(ctx, m.Encode(), 0)
	}
	if w.faults.hits(d, reconciles) {
		event := fmt.Sprintf(`{"apply": %t, "stuckAfter": "%dm"}`, d.IntN(4) > 0, 1+d.IntN(60))
		w.ghosts.Go(func() { w.reconcile(ctx, event) })
	}
	if w.build == 0 && w.faults.hits(d, deploys) {
		w.tell(ctx, "a new build is deployed")
		w.build = 1
	}
	if w.faults.hits(d, restores) && w.table != nil && !w.hooks {
		w.tell(ctx, "the table may go back to this")
		w.snapshot = w.table.Snapshot()
	}
	if w.faults.hits(d, backlog) {
		if w.paused("PaymentQueue") {
			w.tell(ctx, "the queues are polled again")
			w.hold()
		} else {
			w.tell(ctx, "nothing is polled for now")
			w.hold("PaymentQueue", "PaymentDLQ")
		}
	}
}

// deliverAgain does to the model's queues what a standard queue may do, and operators.
func (w *world) deliverAgain(ctx context.Context, d *rand.Rand) {
	for _, name := range []string{"PaymentQueue", "PaymentDLQ"} {
		q := w.queues[name]
		if held := q.Messages(); len(held) > 0 && w.faults.hits(d, redelivered) {
			m := held[d.IntN(len(held))]
			w.tell(ctx, "%s delivers again: %s", name, m.Body)
			q.Redeliver(m.MessageID)
		}
		if w.faults.hits(d, revived) {
			if body, ok := q.Revive(d.IntN(5)); ok {
				w.tell(ctx, "in %s a deleted message is back: %s", name, body)
			}
		}
	}
	if w.faults.hits(d, deadLetters) {
		// As after many receives; then somebody sends them back.
		if n := d.IntN(3); n > 0 {
			w.tell(ctx, "messages become dead letters")
			w.queues["PaymentQueue"].Bury()
		} else {
			w.tell(ctx, "%d dead letters are sent back", w.queues["PaymentDLQ"].Redrive(ctx, w.queues["PaymentQueue"]))
		}
	}
}

// power has the machine lose its power.
func (w *world) power(ctx context.Context, d *rand.Rand) {
	if !w.faults.hits(d, powerLoss) {
		return
	}
	w.tell(ctx, "the machine loses its power")
	w.crash()
	if err := w.machine.losePower(d); err != nil {
		w.checks.fail("store", "%v", err)
		return
	}
	w.checks.restarted()
}

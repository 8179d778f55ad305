package sim

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/handlers"
	"paylane/shared/order"
)

// reconcile has an operator reconcile, and returns the answer; ok is false if there was none.
func (w *world) reconcile(ctx context.Context, event string) (r handlers.ReconcileResult, ok bool) {
	w.await(ctx, "reconcile", invokeTakes)
	w.tell(ctx, "reconcile %s", event)
	result, err := w.functions["Reconcile"].Invoke(ctx, emulator.Invocation{Event: emulator.RawEvent(event)})
	t := w.await(ctx, "reconciled", invokeTakes)
	r, ok = result.Value.(handlers.ReconcileResult)
	w.tell(ctx, "reconciled: %+v, %v", r, err)
	return r, ok && err == nil && t.err == nil
}

// restore has the table go back to the snapshot that was taken in the middle of the run, as
// docs/operating.md says ("Restoring the table"): what was going on has ended, nobody calls, and
// what waits is worked off before the orders are compared with the gateway's books.
func (w *world) restore() {
	ctx := named(context.Background(), "operator")
	const minutes = 5 // past any timeout and lease of what had begun
	n := 0
	for ; n < minutes || w.late > 0; n++ {
		w.await(ctx, fmt.Sprint("wait ", n), time.Minute)
	}
	w.tell(ctx, "the table is restored")
	w.table.Restore(w.snapshot)
	w.checks.goBack(w.table.Orders())
	w.hold()
	for waited := n; n < waited+minutes || w.waits(); n++ {
		w.await(ctx, fmt.Sprint("wait ", n), time.Minute)
	}
	// One walk learns that nothing is known of a key, the next acts under another, and what that
	// comes to the last one sees.
	for walks := 0; ; walks++ {
		r, ok := w.reconcile(ctx, `{"apply": true, "stuckAfter": "1m"}`)
		if !ok || !r.Done || walks == 3 {
			w.checks.fail("reconcile", "without faults, walk %d is not done: %+v", walks+1, r)
		}
		if r.Report.Unknown == 0 || w.checks.failure != nil {
			break
		}
		w.await(ctx, fmt.Sprint("walk ", walks), 10*time.Minute)
	}
	w.checks.reconciled()
	w.calmSince = time.Now()
}

// waits reports whether the payments' queue has a message about an order.
func (w *world) waits() bool {
	for _, m := range w.of["PaymentQueue"].Messages() {
		if _, ok := w.checks.parse(m.Body); ok {
			return true
		}
	}
	return false
}

// goBack takes note of the orders of a table that was restored.
func (c *checks) goBack(orders []order.Order) {
	before := c.last
	c.unordered, c.restored, c.lost, c.last = true, true, map[order.Ref]bool{}, map[order.Ref]order.Order{}
	for _, o := range orders {
		c.last[o.Ref] = o
	}
	for ref, o := range before {
		c.lost[ref] = c.last[ref].Version != o.Version
	}
	for ref := range c.promised {
		c.promised[ref] = min(c.promised[ref], c.last[ref].Version)
	}
	c.loseAnswers(func(ref order.Ref) bool { return c.lost[ref] })
}

// loseAnswers takes note of keys whose orders are not there any more, or not as they were.
func (c *checks) loseAnswers(lost func(order.Ref) bool) {
	for key, a := range c.answers {
		tenant, _, _ := strings.Cut(key, " ")
		a.lost = a.lost || lost(order.Ref{Tenant: tenant, ID: a.id})
		c.answers[key] = a
	}
}

// reconciled checks, after a walk over a restored table, that each order agrees with the gateway's
// books, or was named.
func (c *checks) reconciled() {
	for _, ref := range c.refs() {
		o := c.last[ref]
		if !o.Status.End() && o.Status != order.Void {
			c.fail("reconcile", "%s is still %s", c.short(ref), o.Status)
		}
		if !c.found[ref] {
			c.money(c.short(ref), o)
		}
	}
	for _, e := range c.gateway.Books() {
		o := c.last[e.Order]
		reflected := !e.Refund && o.PaymentRef == e.Ref
		for _, r := range o.Refunds {
			reflected = reflected || e.Refund && r.Ref == e.Ref
		}
		if !reflected && !c.found[e.Order] {
			c.fail("reconcile", "%s of %s is not the order's, which is %s, and was not found", e.Ref, c.short(e.Order), o.Status)
		}
	}
}

// findings takes note of what reconciling finds, from the log, where a person looks.
type findings struct{ *world }

func (findings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (f findings) WithAttrs([]slog.Attr) slog.Handler         { return f }
func (f findings) WithGroup(string) slog.Handler              { return f }

func (f findings) Handle(ctx context.Context, r slog.Record) error {
	if r.Message != "the order and the gateway differ" {
		return nil
	}
	var text []string
	var ref order.Ref
	r.Attrs(func(a slog.Attr) bool {
		if o, ok := a.Value.Any().(order.Order); ok {
			ref = o.Ref
			a.Value = a.Value.Resolve() // as a handler would write it
		}
		text = append(text, a.String())
		return true
	})
	f.tell(ctx, "found: %s", strings.Join(text, " "))
	f.checks.found[ref] = true
	if !f.checks.lost[ref] {
		f.checks.fail("reconcile", "nothing of %s was lost, and this was found: %s", f.short(ref), strings.Join(text, " "))
	}
	return nil
}

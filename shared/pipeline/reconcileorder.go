package pipeline

import (
	"cmp"
	"context"
	"errors"

	"paylane/shared/gateway"
	"paylane/shared/job"
	"paylane/shared/order"
)

// visit does with one order what is to be done, and counts it. False means that there
// was no time for it, and that it must be visited again.
func (w *walk) visit(ctx, until context.Context, o order.Order) bool {
	var f Finding
	checked := false
	switch {
	case until.Err() != nil:
		return false
	case !w.spans(o):
		return true
	case o.Status.End():
		if !w.turn(until, 1) {
			return false
		}
		f, checked = w.compare(ctx, o), true
	case !w.stuck(o):
	case !w.state.Apply:
		f.Kind = FindingStuck
	default:
		if !w.turn(until, asks(o)) {
			return false
		}
		f, checked = w.settleStuck(ctx, o)
	}
	if ctx.Err() != nil {
		return false // what was found may only be that the time was over
	}
	f.Order = o
	w.count(f, checked)
	if f.Kind != "" {
		w.found(ctx, f)
	}
	return true
}

// spans tells whether an order is one of the walk's.
func (w *walk) spans(o order.Order) bool {
	return !o.CreatedAt.Before(w.state.From) && (w.state.To.IsZero() || o.CreatedAt.Before(w.state.To))
}

// stuck tells whether an open order has rested for long and nobody holds it.
func (w *walk) stuck(o order.Order) bool {
	now := w.Now()
	return now.Sub(o.UpdatedAt) >= cmp.Or(w.state.StuckAfter, w.stuckAfter) && !o.LeaseUntil.After(now)
}

// asks is how often the gateway is asked to settle an order, at the most: a refund is
// made, and before that perhaps one of unknown outcome asked about.
func asks(o order.Order) int {
	if o.Status == order.Refunding {
		return 2
	}
	return 1
}

// turn waits until the gateway may be asked n times; false means that the time is over.
func (w *walk) turn(until context.Context, n int) bool {
	for range n {
		select {
		case <-w.ticks:
		case <-until.Done():
			return false
		}
	}
	return until.Err() == nil
}

// compare asks the gateway about an order that ended. Nobody will use its key again.
func (w *walk) compare(ctx context.Context, o order.Order) Finding {
	h := held{order: o, kind: order.KindCharge}
	if o.Status == order.Refunded {
		h.kind = order.KindRefund
	}
	known, err := w.resolve(ctx, h)
	if err != nil {
		return Finding{Kind: FindingUnknown, Err: err}
	}
	return Finding{Kind: difference(o, known), GatewayRef: known.Receipt.Ref}
}

// difference compares how an order ended with what the gateway says of its charge, or of
// its refund if it is REFUNDED; empty where they agree.
func difference(o order.Order, known gateway.Resolution) FindingKind {
	switch o.Status {
	case order.Paid:
		switch {
		case !known.Done:
			return ChargeMissing
		case known.Receipt.Ref != o.PaymentRef:
			return ChargeReference
		}
	case order.Refunded:
		switch {
		case !known.Done:
			return RefundMissing
		case known.Receipt.Ref != o.RefundRef:
			return RefundReference
		}
	case order.Failed, order.Canceled:
		if known.Done {
			return ChargeUnexpected
		}
	case order.Pending, order.Processing, order.Refunding, order.Void:
	}
	return ""
}

// settleStuck does what DeadLetters does, with an order as it was read; asked is false
// where it has changed since, and is left alone.
func (w *walk) settleStuck(ctx context.Context, o order.Order) (f Finding, asked bool) {
	ctx, cancel := context.WithTimeout(ctx, reconcileWithin) // the lease ends with it
	defer cancel()
	kind := order.KindCharge
	if o.Status == order.Refunding {
		kind = order.KindRefund
	}
	h, err := w.holdSeen(ctx, o, w.claim(ctx, order.Message{Kind: kind, Ref: o.Ref, Round: o.Round}))
	var conflict *order.ConflictError
	switch {
	case errors.As(err, &conflict), errors.Is(err, order.ErrNotFound):
		return Finding{}, false
	case err != nil:
		return Finding{Kind: FindingError, Err: err}, false
	}
	v := w.work(ctx, h, job.Delivery{ReceiveCount: 1}, kind == order.KindCharge)
	switch {
	case v.Next == job.Done:
		return Finding{Kind: FindingSettled, Settled: v.Result}, true
	case v.Result == ResultDeclined:
		return Finding{Kind: RefundDeclined}, true
	case v.Err != nil:
		return Finding{Kind: FindingError, Err: v.Err}, true
	default:
		return Finding{Kind: FindingUnknown}, true
	}
}

// holdSeen takes hold of an order if it still is as it was read: of a charge to learn
// what became of it, of a refund for one more attempt.
func (w *walk) holdSeen(ctx context.Context, seen order.Order, c order.Claim) (held, error) {
	if c.Kind != order.KindRefund {
		return w.takeOver(ctx, seen, c)
	}
	next, refused := seen.Claimed(c)
	if refused != nil {
		return held{}, &order.ConflictError{Current: seen}
	}
	return held{order: next, kind: c.Kind, fresh: true}, w.Store.Update(ctx, next)
}

func (w *walk) count(f Finding, checked bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &w.state.Report
	r.Scanned++
	if checked {
		r.Checked++
	}
	switch {
	case f.Kind.Difference():
		r.Differences[f.Kind]++
	case f.Kind == FindingSettled:
		r.Settled[f.Settled]++
	case f.Kind == FindingStuck:
		r.Stuck++
	case f.Kind == FindingUnknown:
		r.Unknown++
	case f.Kind == FindingError:
		r.Errors++
	}
}

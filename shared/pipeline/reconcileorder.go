package pipeline

import (
	"cmp"
	"context"
	"errors"

	"paylane/shared/gateway"
	"paylane/shared/job"
	"paylane/shared/order"
)

// visit checks or settles one order, and counts it. It returns false if there was no time for
// it, and it must be visited again.
func (w *walk) visit(ctx, until context.Context, o order.Order) bool {
	var f Finding
	checked := false
	switch {
	case until.Err() != nil:
		return false
	case !w.inWindow(o):
		return true
	case o.Livemode != w.Gateway.Livemode(): // another gateway's
	case o.Status.End():
		if !w.awaitQuota(until, 1) {
			return false
		}
		f, checked = w.compare(ctx, o), true
	case !w.stuck(o):
	case !w.state.Apply:
		f.Kind = FindingStuck
	default:
		if !w.awaitQuota(until, maxCalls(o)) {
			return false
		}
		f, checked = w.settleStuck(ctx, o)
	}
	if ctx.Err() != nil {
		return false // the finding may only be that time was up
	}
	f.Order = o
	w.count(f, checked)
	if f.Kind != "" {
		w.found(ctx, f)
	}
	return true
}

// inWindow reports whether an order is one of the walk's.
func (w *walk) inWindow(o order.Order) bool {
	return !o.CreatedAt.Before(w.state.From) && (w.state.To.IsZero() || o.CreatedAt.Before(w.state.To))
}

// stuck reports whether an open order has rested for long and nobody holds it.
func (w *walk) stuck(o order.Order) bool {
	now := w.Now()
	return now.Sub(o.UpdatedAt) >= cmp.Or(w.state.StuckAfter, w.stuckAfter) && !o.LeaseUntil.After(now)
}

// maxCalls is how many calls of the gateway it takes at most to settle an order: a refund is
// made, perhaps after asking about one of unknown outcome.
func maxCalls(o order.Order) int {
	if o.Status == order.Refunding {
		return 2
	}
	return 1
}

// awaitQuota waits until the gateway may be called n times. It returns false if time is up.
func (w *walk) awaitQuota(until context.Context, n int) bool {
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

// difference compares how an order ended with the gateway's record of its charge, or of its
// refund if it is REFUNDED. It returns "" if they agree.
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
		case known.Receipt.Ref != o.LastRefund().Ref:
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

// settleStuck does what DeadLetters does, with an order as it was read; asked is false if it
// has changed since and is left alone.
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
	case v.Err != nil:
		return Finding{Kind: FindingError, Err: v.Err}, true
	default:
		return Finding{Kind: FindingUnknown}, true
	}
}

// holdSeen takes hold of an order if it is still as it was read: of a charge, to learn what
// became of it; of a refund, for one more attempt.
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

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"paylane/shared/internal/pause"
	"paylane/shared/job"
	"paylane/shared/order"
)

// When a message that is early is looked at again; see [order.EarlyFor].
const (
	earlyWithin = 100 * time.Millisecond // in the same invocation
	earlyFirst  = 5 * time.Second
	earlyLater  = time.Minute
)

// take gets hold of the message's order through hold, or returns the verdict on a message
// that finds nothing to do. Hold fails as a store does.
func (w worker) take(
	ctx context.Context, m order.Message, d job.Delivery,
	hold func(context.Context, order.Message, order.Claim) (held, error),
) (held, *job.Verdict) {
	again := lookAgain(ctx, earlyWithin)
	for range maxConflicts {
		claim := w.claim(ctx, m)
		h, err := hold(ctx, m, claim)
		if err == nil {
			return h, nil
		}
		current, err := currentOf(err)
		if err != nil {
			return held{}, w.unclaimed(m, fmt.Errorf("claim the order: %w", err))
		}
		switch m.Disposition(current, claim.Now) {
		case order.Workable: // it changed between two looks
		case order.Leased:
			return held{}, verdict(m.Ref, job.Verdict{Next: job.Again, After: current.LeaseUntil.Sub(claim.Now), Result: ResultBusy})
		case order.Stale:
			if mayBeNext(m, d, current) && claim.Now.Sub(d.SentAt) <= order.EarlyFor {
				return held{}, verdict(m.Ref, job.Verdict{Next: job.Again, After: earlyLater, Result: ResultEarly})
			}
			return held{}, verdict(m.Ref, job.Verdict{Next: job.Done, Result: ResultStale})
		case order.Early:
			switch {
			case claim.Now.Sub(d.SentAt) > order.EarlyFor:
				done, err := w.drop(ctx, m, current)
				if err != nil {
					return held{}, w.unclaimed(m, fmt.Errorf("fence the order: %w", err))
				}
				if done {
					return held{}, verdict(m.Ref, job.Verdict{Next: job.Done, Result: ResultDropped})
				}
			case !again():
				rest := earlyLater
				if d.ReceiveCount <= 1 {
					rest = earlyFirst
				}
				return held{}, verdict(m.Ref, job.Verdict{Next: job.Again, After: rest, Result: ResultEarly})
			}
		}
	}
	return held{}, w.unclaimed(m, errors.New("claim the order: too many others change it"))
}

// shortestRetention is how long an order is kept at least after it has ended.
const shortestRetention = 24 * time.Hour

// mayBeNext reports whether a message that comes so long after its order's end may be about the
// next order under the same idempotency key, which is stored once this one has been deleted.
func mayBeNext(m order.Message, d job.Delivery, o *order.Order) bool {
	const clocksApart = time.Minute
	return m.Kind == order.KindCharge && m.Round == 1 && d.SentAt.Sub(o.UpdatedAt) >= shortestRetention-clocksApart
}

// unclaimed is the verdict on a message whose order could not be looked at.
func (w worker) unclaimed(m order.Message, err error) *job.Verdict {
	return verdict(m.Ref, job.Verdict{Next: job.Later, Result: job.ResultError, Err: err})
}

// claim asks for the order until the invocation must have ended.
func (w worker) claim(ctx context.Context, m order.Message) order.Claim {
	now := w.Now()
	until, ok := ctx.Deadline()
	if !ok {
		until = now.Add(defaultLease)
	}
	// The order has not been read: whether its round is over is also asked after each attempt.
	return order.Claim{Kind: m.Kind, Round: m.Round, Now: now, Until: until, Limits: w.limits(time.Time{})}
}

// drop gives up a message that was early for too long, after a fence. It returns false if
// something changed meanwhile and the message must be looked at again.
func (w worker) drop(ctx context.Context, m order.Message, current *order.Order) (bool, error) {
	err := w.fence(ctx, m.Ref, current)
	var refused *order.TransitionError
	var conflict *order.ConflictError
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &refused):
		// From such a state the awaited write can't start. It is lost already, because
		// its condition names an older version.
		return true, nil
	case errors.As(err, &conflict), errors.Is(err, order.ErrNotFound):
		return false, nil
	}
	return false, err
}

// fence makes the write that a message waited for fail, should it come yet.
func (w worker) fence(ctx context.Context, ref order.Ref, current *order.Order) error {
	if current == nil {
		return w.Store.Create(ctx, order.NewVoid(ref, w.Now()))
	}
	fenced, err := current.Fenced(w.Now())
	if err != nil {
		return err
	}
	return w.Store.Update(ctx, fenced)
}

// begin holds the order for one more attempt, in one write.
func (w worker) begin(ctx context.Context, m order.Message, c order.Claim) (held, error) {
	o, err := w.Store.Claim(ctx, m.Ref, c)
	return held{order: o, kind: m.Kind, fresh: true}, err
}

// takeOver holds an order as it was seen, without a new attempt.
func (w worker) takeOver(ctx context.Context, seen order.Order, c order.Claim) (held, error) {
	next, refused := seen.TakenOver(c)
	if refused != nil {
		return held{}, &order.ConflictError{Current: seen}
	}
	if err := w.Store.Update(ctx, next); err != nil {
		return held{}, err
	}
	return held{order: next, kind: c.Kind}, nil
}

// currentOf returns the order that was in a write's way, nil if there is none. Any other
// error is returned.
func currentOf(err error) (*order.Order, error) {
	var conflict *order.ConflictError
	switch {
	case errors.As(err, &conflict):
		return &conflict.Current, nil
	case errors.Is(err, order.ErrNotFound):
		return nil, nil
	}
	return nil, err
}

// lookAgain returns a function that pauses, longer each time, and returns false once the
// given time is over.
func lookAgain(ctx context.Context, within time.Duration) func() bool {
	next, left := 5*time.Millisecond, within
	return func() bool {
		if left <= 0 {
			return false
		}
		now := min(next, left)
		left, next = left-next, next*2
		return pause.For(ctx, now) == nil
	}
}

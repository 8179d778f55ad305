package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"paylane/shared/order"
)

// How a message that is early comes back; see order.EarlyFor.
const (
	earlyWithin = 100 * time.Millisecond // looked again so long in the same invocation
	earlyFirst  = 5 * time.Second
	earlyLater  = time.Minute
)

// stance is how an order stands towards a message about it.
type stance int

const (
	workable stance = iota // a claim or a takeover may succeed
	leased                 // as workable, but for another worker's lease
	early
	stale
)

// stand compares a message with the order as it is; nil where there is none.
func stand(m order.Message, o *order.Order, now time.Time) stance {
	if o == nil || o.Status == order.Void || o.Round < m.Round {
		return early
	}
	if o.Round > m.Round {
		return stale
	}
	switch o.Status {
	case order.Pending, order.Processing:
		if m.Kind == order.KindRefund {
			return early
		}
	case order.Paid:
		if m.Kind == order.KindRefund {
			return early
		}
		return stale
	case order.Refunding:
		if m.Kind != order.KindRefund {
			return stale
		}
	case order.Failed, order.Canceled, order.Refunded, order.Void:
		return stale
	}
	if o.LeaseUntil.After(now) {
		return leased
	}
	return workable
}

// take gets hold of the message's order through hold, or says what is to become of
// the message instead. Hold fails as a store does.
func (w worker) take(
	ctx context.Context, m order.Message, d Delivery,
	hold func(context.Context, order.Message, order.Claim) (held, error),
) (held, *Verdict) {
	again := lookAgain(ctx, earlyWithin)
	for range contended {
		claim := w.claim(ctx, m)
		h, err := hold(ctx, m, claim)
		if err == nil {
			return h, nil
		}
		current, err := currentOf(err)
		if err != nil {
			return held{}, w.unclaimed(m, fmt.Errorf("claim the order: %w", err))
		}
		switch stand(m, current, claim.Now) {
		case workable: // it changed between two looks
		case leased:
			return held{}, &Verdict{Result: ResultBusy, Ref: m.Ref, RetryAfter: current.LeaseUntil.Sub(claim.Now)}
		case stale:
			return held{}, &Verdict{Done: true, Result: ResultStale, Ref: m.Ref}
		case early:
			switch {
			case claim.Now.Sub(d.SentAt) > order.EarlyFor:
				done, err := w.drop(ctx, m, current)
				if err != nil {
					return held{}, w.unclaimed(m, fmt.Errorf("fence the order: %w", err))
				}
				if done {
					return held{}, &Verdict{Done: true, Result: ResultDropped, Ref: m.Ref}
				}
			case !again():
				pause := earlyLater
				if d.ReceiveCount <= 1 {
					pause = earlyFirst
				}
				return held{}, &Verdict{Result: ResultEarly, Ref: m.Ref, RetryAfter: pause}
			}
		}
	}
	return held{}, w.unclaimed(m, errors.New("claim the order: too many others change it"))
}

// unclaimed is the verdict on a message whose order could not be looked at.
func (w worker) unclaimed(m order.Message, err error) *Verdict {
	return &Verdict{Result: ResultError, Ref: m.Ref, RetryAfter: -1, Err: err}
}

// claim is this worker's wish: until the invocation must have ended.
func (w worker) claim(ctx context.Context, m order.Message) order.Claim {
	now := w.Now()
	until, ok := ctx.Deadline()
	if !ok {
		until = now.Add(defaultLease)
	}
	return order.Claim{Kind: m.Kind, Round: m.Round, Now: now, Until: until}
}

// drop gives a message up that was early for too long, after a fence. False means
// that something changed meanwhile and the message must be looked at again.
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

// currentOf gives the order that stood in a write's way, nil if there is none. Any
// other error is returned.
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

// lookAgain returns a function that pauses, longer each time, and is false once the
// given time is over.
func lookAgain(ctx context.Context, within time.Duration) func() bool {
	pause, left := 5*time.Millisecond, within
	return func() bool {
		if left <= 0 {
			return false
		}
		timer := time.NewTimer(min(pause, left))
		defer timer.Stop()
		left, pause = left-pause, pause*2
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

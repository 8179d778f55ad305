package sim

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/order"
	"paylane/shared/queue"
)

// maxSkew is how far the clock of an environment may be from the others'.
const maxSkew = 30 * time.Second

// A context's deadlines run on the bubble's clock, so an environment whose clock is ahead can't
// have another. Instead it sees the times of all others as being earlier, and they its own as
// being later, which is the same.

// skewOf is how far ahead the clock of a context's environment is.
func skewOf(ctx context.Context) time.Duration {
	if e := environmentOf(ctx); e != nil {
		return e.skew
	}
	return 0
}

// outward returns an order as the others see it that an environment writes.
func outward(ctx context.Context, o order.Order) order.Order { return shifted(o, skewOf(ctx)) }

// inward returns an order as an environment sees it.
func inward(ctx context.Context, o order.Order) order.Order { return shifted(o, -skewOf(ctx)) }

// inwardError is inward for the order of a conflict.
func inwardError(ctx context.Context, err error) error {
	var conflict *order.ConflictError
	if errors.As(err, &conflict) {
		return &order.ConflictError{Current: inward(ctx, conflict.Current)}
	}
	return err
}

// shifted returns an order with all its times later.
func shifted(o order.Order, by time.Duration) order.Order {
	if by == 0 {
		return o
	}
	for _, at := range []*time.Time{&o.LeaseUntil, &o.RetryAt, &o.CreatedAt, &o.UpdatedAt, &o.ExpiresAt} {
		*at = later(*at, by)
	}
	o.Charge, o.Refund = shiftedLeg(o.Charge, by), shiftedLeg(o.Refund, by)
	o.Refunds = slices.Clone(o.Refunds)
	for i := range o.Refunds {
		o.Refunds[i].RequestedAt, o.Refunds[i].EndedAt = later(o.Refunds[i].RequestedAt, by), later(o.Refunds[i].EndedAt, by)
	}
	return o
}

func shiftedLeg(l order.Leg, by time.Duration) order.Leg {
	l.Since, l.Attempts = later(l.Since, by), slices.Clone(l.Attempts)
	for i := range l.Attempts {
		l.Attempts[i].StartedAt, l.Attempts[i].EndedAt = later(l.Attempts[i].StartedAt, by), later(l.Attempts[i].EndedAt, by)
	}
	return l
}

// later leaves the zero time alone, which stands for none.
func later(at time.Time, by time.Duration) time.Time {
	if at.IsZero() {
		return at
	}
	return at.Add(by)
}

// inwardEvent returns a batch as an environment sees it.
func inwardEvent(ctx context.Context, e events.SQSEvent) events.SQSEvent {
	by := skewOf(ctx)
	if by == 0 && !newBuild(ctx) {
		return e
	}
	e.Records = slices.Clone(e.Records)
	for i := range e.Records {
		r := &e.Records[i]
		if newBuild(ctx) {
			r.Body = read(r.Body)
		}
		r.Attributes = maps.Clone(r.Attributes)
		for _, name := range []string{queue.SentAttribute, queue.FirstReceivedAttribute} {
			if ms, err := strconv.ParseInt(r.Attributes[name], 10, 64); err == nil {
				r.Attributes[name] = strconv.FormatInt(ms-by.Milliseconds(), 10)
			}
		}
	}
	return e
}

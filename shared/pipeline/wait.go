package pipeline

import (
	"context"
	"time"

	"paylane/shared/order"
)

// Await returns the order as soon as done says so of it, or as it stands after
// patience. Errors as [Checkout.Get], or the context's.
func (c *Checkout) Await(
	ctx context.Context, ref order.Ref, patience time.Duration, done func(order.Order) bool,
) (order.Order, error) {
	changed, stop := order.Watch(c.store, ref)
	defer stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for pause := order.FirstPoll; ; pause = min(pause*2, order.LastPoll) {
		o, err := c.Get(ctx, ref)
		if err != nil || done(o) {
			return o, err
		}
		var poll <-chan time.Time
		if changed == nil {
			poll = time.After(pause)
		}
		select {
		case <-changed:
		case <-poll:
		case <-deadline.C:
			return c.Get(ctx, ref)
		case <-ctx.Done():
			return order.Order{}, ctx.Err()
		}
	}
}

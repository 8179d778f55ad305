package sim

import (
	"context"
	"fmt"
	"time"

	"paylane/shared/order"
)

// expire has the retention of some orders end while callers ask under each key. By then nothing was
// going on about them for a day, and the gateway has forgotten their keys.
func (w *world) expire() {
	ctx := named(context.Background(), "retention")
	for n := 0; w.late > 0; n++ {
		w.await(ctx, fmt.Sprint("wait ", n), time.Minute)
	}
	const retention = 24 * time.Hour
	time.Sleep(retention)
	w.await(ctx, "a day later", time.Minute)
	w.calmSince, w.checks.unordered = time.Now(), true
	w.ghosts.Go(func() {
		for _, ref := range w.checks.refs() {
			t := w.await(ctx, "expire "+w.short(ref), clientTakes)
			o := w.checks.last[ref]
			if t.err != nil || t.rng.IntN(2) == 0 || !o.Status.End() || time.Since(o.UpdatedAt) < retention {
				continue
			}
			w.tell(ctx, "%s is over", w.short(ref))
			w.table.Expire(ref)
			w.gateway.Forget(ref)
			w.checks.over(ref)
		}
	})
}

// over takes note of an order whose retention is over.
func (c *checks) over(ref order.Ref) {
	c.gone[ref] = true
	delete(c.last, ref)
	delete(c.promised, ref)
	c.booked = len(c.gateway.Books())
	c.loseAnswers(func(other order.Ref) bool { return other == ref })
}

package load

import (
	"context"
	"io"
	"time"

	"github.com/google/uuid"

	"paylane/cmd/paylane/internal/apiclient"
)

// Config is what a run drives, and how. The fields are required unless they say what their
// zero value means.
type Config struct {
	Target      *apiclient.Client
	Connections int
	// Duration is how long to send orders.
	Duration time.Duration
	// Drain is how long to wait afterwards for orders to reach their ends.
	Drain time.Duration
	// PaymentToken is the payment token of the orders.
	PaymentToken string
	// Keys sends an Idempotency-Key with each order.
	Keys bool
	// FloorTime is the duration of each measurement of the floor; 0 does not measure it.
	FloorTime time.Duration
	// Progress is a terminal to show progress on; nil shows none.
	Progress io.Writer
	Now      func() time.Time
}

// Run drives the target, with the floor before and after it if it is asked for, and follows the
// orders to their ends. Closing stop ends the load early; ending ctx ends everything.
func Run(ctx context.Context, stop <-chan struct{}, c Config) (Report, error) {
	show := &progress{w: c.Progress}
	defer show.clear()
	body, err := orderRequest(c.PaymentToken)
	if err != nil {
		return Report{}, err
	}
	l := load{
		target: c.Target, connections: c.Connections, duration: c.Duration, body: body,
		now: c.Now, show: show, name: "load",
	}
	m := measured{url: c.Target.URL, connections: c.Connections, drainLimit: c.Drain}
	floor := l
	if c.FloorTime > 0 {
		server, err := startFloor(ctx, c.Connections)
		if err != nil {
			return Report{}, err
		}
		defer server.stop()
		floor.target, floor.duration, floor.name = server.target, c.FloorTime, "floor"
		m.floorBefore = floor.run(ctx, stop)
	}
	if c.Keys {
		l.keyPrefix = "load-" + uuid.NewString()
	}
	m.load = l.run(ctx, stop)
	m.interrupted = isClosed(stop)
	f := follower{target: c.Target, limit: c.Drain, now: c.Now, show: show}
	m.orders, m.duplicates = newLedger(m.load.ids)
	m.followError = f.run(ctx, m.orders, m.load.oldest)
	if c.FloorTime > 0 {
		m.floorAfter = floor.run(ctx, stop)
	}
	return m.report(), nil
}

package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"paylane/shared/httpapi"
	"paylane/shared/order"
)

// quiet is the longest time without a word to the client.
const quiet = 15 * time.Second

// comeBack is how long a client waits before it comes back, in milliseconds.
const comeBack = "retry: 1000\n\n"

// follower looks at one order.
type follower struct {
	store   Store
	ref     order.Ref
	changed <-chan struct{} // nil for a store that can't tell
	stop    func()
	log     *slog.Logger
	failed  bool // the last look did
}

// follow begins to follow an order: from now on no change is missed.
func (h *handler) follow(ref order.Ref) *follower {
	f := &follower{store: h.Store, ref: ref, log: h.Log}
	f.changed, f.stop = order.Watch(h.Store, ref)
	return f
}

// get reads the order; errors as [order.Store], with tombstones not found. A store out of
// reach is logged, once until it is back.
func (f *follower) get(ctx context.Context) (order.Order, error) {
	if !order.ValidID(f.ref.ID) {
		return order.Order{}, order.ErrNotFound
	}
	o, err := f.store.Get(ctx, f.ref)
	if errors.Is(err, order.ErrUnavailable) && !f.failed && ctx.Err() == nil {
		f.log.WarnContext(ctx, "the store is out of reach", "order", f.ref.ID, "error", err)
	}
	f.failed = err != nil
	if err == nil && o.Status == order.Void {
		err = order.ErrNotFound
	}
	return o, err
}

// send writes the order's states from o on that are newer than last, until the order
// ends, the client has gone, or ctx is over.
func (f *follower) send(ctx context.Context, w *writer, o order.Order, last int64) error {
	if err := w.write(comeBack); err != nil {
		return nil // the client has gone
	}
	silence := time.NewTicker(quiet)
	defer silence.Stop()
	pause := order.FirstPoll // between looks at a store that can't tell of changes, or was out of reach
	poll := time.NewTimer(pause)
	defer poll.Stop()
	for {
		if o.Version > last {
			if err := w.order(o); err != nil {
				return nil // the client has gone
			}
			last, pause = o.Version, order.FirstPoll
		}
		if o.Status.End() {
			return nil
		}
		if f.changed == nil || f.failed {
			poll.Reset(pause)
			pause = min(2*pause, order.LastPoll)
		} else {
			poll.Stop()
		}
		if !f.wait(ctx, w, poll.C, silence.C) {
			return nil
		}
		next, err := f.get(ctx)
		switch {
		case err == nil:
			o = next
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, order.ErrUnavailable):
			return fmt.Errorf("look at the order: %w", err)
		}
	}
}

// wait returns when it is time to look at the order, or false when the stream is over.
func (f *follower) wait(ctx context.Context, w *writer, poll, silence <-chan time.Time) bool {
	for {
		select {
		case <-f.changed:
			return true
		case <-poll:
			return true
		case <-silence:
			if w.write(": \n\n") != nil {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
}

// writer writes events, each in one Write: behind a Function URL that is what leaves at
// once. A writer that has to be told so is flushed.
type writer struct {
	http.ResponseWriter
	flush func() error
}

func newWriter(w http.ResponseWriter) *writer {
	return &writer{w, http.NewResponseController(w).Flush}
}

func (w *writer) write(text string) error {
	if _, err := w.Write([]byte(text)); err != nil {
		return err
	}
	if err := w.flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (w *writer) order(o order.Order) error {
	return w.write(fmt.Sprintf("event: order\nid: %d\ndata: %s\n\n", o.Version, httpapi.OrderJSON(o)))
}

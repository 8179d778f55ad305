package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"paylane/shared/order"
)

// Getter is the part of [order.Store] that a [Reader] needs.
type Getter interface {
	Get(ctx context.Context, ref order.Ref) (order.Order, error)
}

// Reader is the part of [Checkout] that only looks at orders.
type Reader struct {
	store Getter
}

// NewReader returns a Reader of the store. If the store is an [order.Watcher], an order
// that is waited for is read when it changed; otherwise it is polled.
func NewReader(store Getter) Reader { return Reader{store} }

// Get returns an order. The error is [order.ErrNotFound], or the store's.
func (r Reader) Get(ctx context.Context, ref order.Ref) (order.Order, error) {
	if !order.ValidID(ref.ID) {
		return order.Order{}, order.ErrNotFound
	}
	o, err := r.store.Get(ctx, ref)
	if err == nil && o.Status == order.Void {
		err = order.ErrNotFound
	}
	if err != nil {
		return order.Order{}, fmt.Errorf("read the order: %w", err)
	}
	return o, nil
}

// Follow returns an iterator over an order's states: the present one first, then each
// newer version as it is seen. Changes between two looks at the order show as the newest.
// The iterator ends with the order's end (see [order.Status.End]), with ctx, or with an
// error, which it yields; errors are those of [Reader.Get].
//
// [order.ErrUnavailable] alone does not end it. It is yielded once for each outage, and
// the order is then looked at again, also if the store is an [order.Watcher]: a caller
// that does not want to wait for the store to come back breaks off.
func (r Reader) Follow(ctx context.Context, ref order.Ref) iter.Seq2[order.Order, error] {
	return func(yield func(order.Order, error) bool) {
		for o, err := range r.states(ctx, ref, nil) {
			if !yield(o, err) || err == nil && o.Status.End() {
				return
			}
		}
	}
}

// Await returns the order as soon as done reports true of it, or as it is when patience
// ends. The error is one of [Reader.Get], or that of ctx.
func (r Reader) Await(
	ctx context.Context, ref order.Ref, patience context.Context, done func(order.Order) bool,
) (order.Order, error) {
	for o, err := range r.states(ctx, ref, patience.Done()) {
		if err != nil || done(o) {
			return o, err
		}
	}
	if err := ctx.Err(); err != nil {
		return order.Order{}, err
	}
	return r.Get(ctx, ref)
}

// The pauses between looks at an order double from firstPoll to lastPoll while nothing
// changes.
const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = 2 * time.Second
)

// states is [Reader.Follow] beyond the order's end, until enough is closed.
func (r Reader) states(ctx context.Context, ref order.Ref, enough <-chan struct{}) iter.Seq2[order.Order, error] {
	return func(yield func(order.Order, error) bool) {
		changed, stop := r.watch(ref)
		defer stop()
		seen, pause, down := int64(0), firstPoll, false
		for {
			o, err := r.Get(ctx, ref)
			switch {
			case err != nil && ctx.Err() != nil:
				return
			case err != nil && !errors.Is(err, order.ErrUnavailable):
				yield(order.Order{}, err)
				return
			case err != nil && !down && !yield(order.Order{}, err):
				return
			case err == nil && o.Version > seen:
				if !yield(o, nil) {
					return
				}
				seen, pause = o.Version, firstPoll
			}
			down = err != nil
			var poll <-chan time.Time
			if changed == nil || down {
				poll = time.After(pause)
				pause = min(2*pause, lastPoll)
			}
			select {
			case <-changed:
			case <-poll:
			case <-enough:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// watch is the store's Watch, if it is an [order.Watcher]. Otherwise changed is nil.
func (r Reader) watch(ref order.Ref) (changed <-chan struct{}, stop func()) {
	if watcher, ok := r.store.(order.Watcher); ok {
		return watcher.Watch(ref)
	}
	return nil, func() {}
}

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

const (
	// defaultStuckAfter is far past the longest pause between two attempts.
	defaultStuckAfter = time.Hour
	// reconcileReserve is how long before its deadline a walk stops starting new work. What
	// it has started ends within reconcileWithin.
	reconcileReserve = 30 * time.Second
	reconcileWithin  = 10 * time.Second
	// reconcilePart is how many orders are read at a time.
	reconcilePart = 50
)

// ReconcilerConfig is what a [Reconciler] needs. All fields but ReusesTokens and StuckAfter
// are required.
type ReconcilerConfig struct {
	Store interface {
		order.Store
		order.Scanner
	}
	Gateway gateway.Gateway
	// ReusesTokens is the gateway's [gateway.TokenDescription.Reused].
	ReusesTokens bool
	Now          func() time.Time
	// StuckAfter is how long an open order rests before it counts as stuck; 0 is an
	// hour. An order whose message waits in a long backlog rests as well, and is then FAILED
	// as not charged: make it longer than any backlog that is still to be worked off.
	StuckAfter time.Duration
	// Found is called with each finding, by many goroutines at once.
	Found func(context.Context, Finding)
}

// Reconciler compares all orders with the gateway's records, and the gateway's books, if it is
// a [gateway.Ledger], with the orders.
//
// An open order to which nothing has happened for long, and that nobody holds, is settled as
// by [DeadLetters]: it is taken over, unless it has changed since it was read, and then the
// gateway is asked. That finds the charges that a store does not know about because it was
// restored from a backup. An order that ended is never changed: if the gateway disagrees, a
// person must look.
//
// Asking about a charge that did not happen closes its key for good. So the gateway is asked
// only about keys under which nobody will charge again: those of orders that ended (a retry
// has a new key), and of orders held by the walk. Without Apply no order is held, so open
// orders are counted but not asked about. Orders of the gateway's other mode are counted as
// scanned and left alone.
type Reconciler struct {
	worker
	scanner    order.Scanner
	stuckAfter time.Duration
	found      func(context.Context, Finding)
}

// NewReconciler returns a Reconciler.
func NewReconciler(c ReconcilerConfig) *Reconciler {
	stuckAfter := c.StuckAfter
	if stuckAfter == 0 {
		stuckAfter = defaultStuckAfter
	}
	return &Reconciler{
		worker: worker{WorkerConfig{
			Store: c.Store, Gateway: c.Gateway, ReusesTokens: c.ReusesTokens, Now: c.Now,
			Jitter: func(int) int { return 0 }, // there is no message to come back
		}},
		scanner: c.Store, stuckAfter: stuckAfter, found: c.Found,
	}
}

// walk is one call of Run.
type walk struct {
	*Reconciler
	ticks <-chan time.Time

	mu    sync.Mutex // guards state.Report; each segment is its goroutine's
	state ReconcileState
}

// Run continues a walk until it is done, or until half a minute before the context's deadline,
// and returns its state. After an error, too, the returned state is where to continue: a
// segment whose orders could not be read stays where it was, and all others go on. The error
// is [ErrReconcileState], the store's, or the context's, including when the deadline is too
// close to begin.
func (r *Reconciler) Run(ctx context.Context, s ReconcileState) (next ReconcileState, done bool, err error) {
	if err := s.Check(); err != nil {
		return s, false, err
	}
	// Nothing is started once until has ended; what was started is finished under ctx.
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	if deadline, ok := ctx.Deadline(); ok {
		until, cancel = context.WithDeadline(ctx, deadline.Add(-reconcileReserve))
		defer cancel()
	}
	if err := until.Err(); err != nil {
		return s, false, fmt.Errorf("reconcile with less than %v left: %w", reconcileReserve, err)
	}
	ticker := time.NewTicker(time.Second / time.Duration(s.RatePerSecond))
	defer ticker.Stop()
	w := &walk{Reconciler: r, ticks: ticker.C, state: s.clone()}
	errs := make([]error, len(w.state.Segments))
	var parts sync.WaitGroup
	for i := range w.state.Segments {
		parts.Go(func() { errs[i] = w.segment(ctx, until, i) })
	}
	parts.Wait()
	ledger, hasBooks := r.Gateway.(gateway.Ledger)
	if hasBooks {
		// Not before: an entry whose order is then settled otherwise would go unnoticed.
		errs = append(errs, w.books(ctx, until, ledger))
	}
	done = w.state.visited() && (w.state.Books.Ended || !hasBooks)
	if !done {
		errs = append(errs, ctx.Err())
	}
	return w.state, done, errors.Join(errs...)
}

// segment visits the orders of one segment while there is time.
func (w *walk) segment(ctx, until context.Context, i int) error {
	seg := &w.state.Segments[i]
	for !seg.Ended || len(seg.Rest) > 0 {
		orders, err := w.read(until, seg, i)
		if until.Err() != nil && err != nil {
			return nil //nolint:nilerr // time is up, and nothing was read
		}
		if err != nil {
			return fmt.Errorf("segment %d: %w", i, err)
		}
		for len(orders) > 0 && w.visit(ctx, until, orders[0]) {
			orders = orders[1:]
		}
		seg.Rest = nil
		for _, o := range orders {
			seg.Rest = append(seg.Rest, RestOrder(o.Ref))
		}
		if len(orders) > 0 {
			return nil // time is up
		}
	}
	return nil
}

// read returns the next orders of a segment: those left over, or a page of the store.
func (w *walk) read(ctx context.Context, seg *ReconcileSegment, i int) (orders []order.Order, err error) {
	for _, rest := range seg.Rest {
		o, err := w.Store.Get(ctx, order.Ref(rest))
		switch {
		case errors.Is(err, order.ErrNotFound):
		case err != nil:
			return nil, fmt.Errorf("read the order %s: %w", rest.ID, err)
		case o.Status != order.Void:
			orders = append(orders, o)
		}
	}
	if len(seg.Rest) > 0 {
		return orders, nil
	}
	page, err := w.scanner.Scan(ctx, order.ScanQuery{
		Segment: i, Segments: len(w.state.Segments), Cursor: seg.Cursor, Limit: reconcilePart,
	})
	if err != nil {
		return nil, err
	}
	seg.Cursor, seg.Ended = page.Next, page.Next == ""
	return page.Orders, nil
}

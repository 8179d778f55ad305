package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

// ReconcileBooks is how far a walk has come in the gateway's books.
type ReconcileBooks struct {
	// Cursor is where to continue, unless Ended says that nothing is left to read.
	Cursor string `json:"cursor,omitempty"`
	Ended  bool   `json:"ended,omitempty"`
}

// books compares what the gateway lists with the orders, while there is time.
func (w *walk) books(ctx, until context.Context, ledger gateway.Ledger) error {
	q := gateway.EntryQuery{From: w.state.From, To: w.state.To}
	if q.From.IsZero() {
		q.From = time.Unix(0, 0)
	}
	if q.To.IsZero() {
		q.To = w.Now()
	}
	for !w.state.Books.Ended && w.awaitQuota(until, 1) {
		q.Cursor = w.state.Books.Cursor
		page, err := ledger.Entries(ctx, q)
		if err != nil {
			return fmt.Errorf("read the gateway's books: %w", err)
		}
		for _, e := range page.Entries {
			if err := w.entry(ctx, e); err != nil {
				return err
			}
		}
		w.state.Books = ReconcileBooks{Cursor: page.Next, Ended: page.Next == ""}
	}
	return nil
}

// entry compares one entry with its order, and counts it.
func (w *walk) entry(ctx context.Context, e gateway.Entry) error {
	f := Finding{GatewayRef: e.Ref}
	if order.ValidID(e.Order.ID) && e.Order.Tenant != "" { // it is one of this side's
		o, err := w.Store.Get(ctx, e.Order)
		switch {
		case errors.Is(err, order.ErrNotFound), err == nil && o.Status == order.Void:
			f.Order.Ref = e.Order
			if e.Done {
				f.Kind = OrderMissing
			}
		case err != nil:
			return fmt.Errorf("read the order %s, which the gateway's books name: %w", e.Order.ID, err)
		default:
			f.Order, f.Kind = o, entryDifference(o, e)
		}
	}
	w.mu.Lock()
	w.state.Report.Listed++
	if f.Kind != "" {
		w.state.Report.Differences[f.Kind]++
	}
	w.mu.Unlock()
	if f.Kind != "" {
		w.found(ctx, f)
	}
	return nil
}

// entryDifference compares an entry with its order, which may be newer. It returns "" if they
// agree, or if the order is open and will.
func entryDifference(o order.Order, e gateway.Entry) FindingKind {
	if !e.Refund {
		if e.Done && e.Ref != o.PaymentRef && o.Status != order.Pending && o.Status != order.Processing {
			return ChargeUnexpected
		}
		return ""
	}
	for _, r := range o.Refunds {
		switch {
		case r.Ref != e.Ref:
		case e.Done:
			return ""
		default:
			return RefundMissing
		}
	}
	if e.Done && o.Status != order.Refunding {
		return RefundUnexpected
	}
	return ""
}

package order_test

import (
	"testing"
	"time"

	"paylane/shared/order"
)

// TestDisposition checks every kind of message against every status.
func TestDisposition(t *testing.T) {
	const workable, early, stale = order.Workable, order.Early, order.Stale
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for status, want := range map[order.Status][2]order.Disposition{ // of a charge, of a refund
		order.Pending:    {workable, early},
		order.Processing: {workable, early},
		order.Paid:       {stale, early},
		order.Failed:     {stale, stale},
		order.Canceled:   {stale, stale},
		order.Refunding:  {stale, workable},
		order.Refunded:   {stale, stale},
		order.Void:       {early, early},
	} {
		for i, kind := range []order.Kind{order.KindCharge, order.KindRefund} {
			m := order.Message{Kind: kind, Round: 2, Refund: 1}
			o := &order.Order{Status: status, Round: 2}
			if status == order.Refunding || status == order.Refunded {
				o.Refunds = make([]order.Refund, 1)
			}
			if got := m.Disposition(o, now); got != want[i] {
				t.Errorf("a %s message for a %s order: %d, want %d", kind, status, got, want[i])
			}
			for until, want := range map[time.Time]order.Disposition{
				now.Add(time.Millisecond): map[bool]order.Disposition{true: order.Leased, false: want[i]}[want[i] == workable],
				now:                       want[i],
			} {
				o.LeaseUntil = until
				if got := m.Disposition(o, now); got != want {
					t.Errorf("a %s message for a %s order, leased for another %v: %d, want %d", kind, status, until.Sub(now), got, want)
				}
			}
			for round, want := range map[int]order.Disposition{1: early, 3: stale} {
				if status == order.Void {
					want = early
				}
				if got := m.Disposition(&order.Order{Status: status, Round: round}, now); got != want {
					t.Errorf("a %s message of round 2 for a %s order of round %d: %d, want %d", kind, status, round, got, want)
				}
			}
		}
	}
	if got := (order.Message{Kind: order.KindCharge, Round: 1}).Disposition(nil, now); got != early {
		t.Errorf("without an order: %d, want %d", got, early)
	}
	// Refunds are counted: one that is yet to be written is early, one that has ended stale.
	for status, want := range map[order.Status][3]order.Disposition{ // of the refunds 1, 2 and 3 where 2 are written
		order.Paid:      {stale, stale, early},
		order.Refunding: {stale, workable, stale},
		order.Refunded:  {stale, stale, stale},
	} {
		for i, want := range want {
			m := order.Message{Kind: order.KindRefund, Round: 1, Refund: i + 1}
			o := &order.Order{Status: status, Round: 1, Refunds: make([]order.Refund, 2)}
			if got := m.Disposition(o, now); got != want {
				t.Errorf("a message of refund %d finds a %s order with two %d, want %d", m.Refund, status, got, want)
			}
		}
	}
}

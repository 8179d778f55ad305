package order_test

import (
	"errors"
	"slices"
	"testing"

	"paylane/shared/order"
)

// TestTransitions tries every event in every status. Whatever is not listed here must
// be refused.
func TestTransitions(t *testing.T) {
	type step struct {
		from  order.Status
		event order.Event
	}
	allowed := map[step]order.Status{
		{order.Pending, order.EventClaim}:        order.Processing,
		{order.Pending, order.EventTakeover}:     order.Processing,
		{order.Pending, order.EventCancel}:       order.Canceled,
		{order.Processing, order.EventClaim}:     order.Processing,
		{order.Processing, order.EventTakeover}:  order.Processing,
		{order.Processing, order.EventRenew}:     order.Processing,
		{order.Processing, order.EventRelease}:   order.Processing,
		{order.Processing, order.EventPay}:       order.Paid,
		{order.Processing, order.EventFail}:      order.Failed,
		{order.Failed, order.EventRetry}:         order.Pending,
		{order.Failed, order.EventFence}:         order.Failed,
		{order.Paid, order.EventRefund}:          order.Refunding,
		{order.Paid, order.EventFence}:           order.Paid,
		{order.Refunding, order.EventClaim}:      order.Refunding,
		{order.Refunding, order.EventRenew}:      order.Refunding,
		{order.Refunding, order.EventRelease}:    order.Refunding,
		{order.Refunding, order.EventReturn}:     order.Refunded,
		{order.Refunding, order.EventReturnPart}: order.Paid,
		{order.Refunding, order.EventRefuse}:     order.Paid,
		{order.Failed, order.EventRepay}:         order.Pending,
		{order.Void, order.EventFence}:           order.Void,
		{order.Paid, order.EventErase}:           order.Paid,
		{order.Failed, order.EventErase}:         order.Failed,
		{order.Canceled, order.EventErase}:       order.Canceled,
		{order.Refunded, order.EventErase}:       order.Refunded,
	}
	events := []order.Event{
		order.EventClaim, order.EventTakeover, order.EventRenew, order.EventRelease, order.EventPay,
		order.EventFail, order.EventCancel, order.EventRetry, order.EventRefund, order.EventReturn, order.EventFence,
		order.EventRepay, order.EventReturnPart, order.EventRefuse, order.EventErase,
	}
	statuses := append(order.Statuses(), order.Void, "", "NO_SUCH")
	seen := 0
	for _, from := range statuses {
		for _, event := range events {
			to, err := order.Transition(from, event)
			want, ok := allowed[step{from, event}]
			if ok {
				seen++
				if err != nil || to != want {
					t.Errorf("%s --%s--> %q, %v; want %s", from, event, to, err, want)
				}
				continue
			}
			var refused *order.TransitionError
			if !errors.As(err, &refused) || refused.From != from || refused.Event != event {
				t.Errorf("%s --%s--> %q, %v; want a TransitionError that names both", from, event, to, err)
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("tried %d of the %d allowed steps", seen, len(allowed))
	}
}

// TestSparse: an order that goes well, and stays paid, is in no sparse index.
func TestSparse(t *testing.T) {
	for status, want := range map[order.Status]bool{
		order.Pending: false, order.Processing: false, order.Paid: false, order.Void: false, "": false,
		order.Failed: true, order.Canceled: true, order.Refunding: true, order.Refunded: true,
	} {
		if got := status.Sparse(); got != want {
			t.Errorf("%q: Sparse() = %v, want %v", status, got, want)
		}
	}
}

// TestEnds checks that End returns true for exactly the statuses that workers never change.
func TestEnds(t *testing.T) {
	byWorkers := []order.Event{
		order.EventClaim, order.EventTakeover, order.EventRenew, order.EventRelease,
		order.EventPay, order.EventFail, order.EventReturn,
	}
	for _, s := range order.Statuses() {
		moves := slices.ContainsFunc(byWorkers, func(e order.Event) bool {
			_, err := order.Transition(s, e)
			return err == nil
		})
		if s.End() == moves {
			t.Errorf("%s: End() = %v, though workers can change it: %v", s, s.End(), moves)
		}
	}
}

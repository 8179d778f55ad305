package order

import "fmt"

// Status is how far an order has come.
type Status string

// The statuses. Paid, Failed, Canceled and Refunded are the ends: nothing more happens to such
// an order by itself.
const (
	// Pending is an order that waits for its first attempt in this round.
	Pending Status = "PENDING"
	// Processing is an order that a worker is charging, or has tried to charge.
	Processing Status = "PROCESSING"
	// Paid is an order that was charged, by the gateway's word.
	Paid Status = "PAID"
	// Failed is an order known not to be charged.
	Failed Status = "FAILED"
	// Canceled is an order that its owner withdrew before any attempt.
	Canceled Status = "CANCELED"
	// Refunding is an order whose money is owed back.
	Refunding Status = "REFUNDING"
	// Refunded is an order whose money was returned.
	Refunded Status = "REFUNDED"
	// Void is a tombstone: the order's message was dropped before the order was written. To
	// callers it does not exist.
	Void Status = "VOID"
)

// Statuses lists what callers can see, in the order of an order's life.
func Statuses() []Status {
	return []Status{Pending, Processing, Paid, Failed, Canceled, Refunding, Refunded}
}

// End reports whether an order of this status stays as it is unless somebody asks for a retry
// or a refund.
func (s Status) End() bool {
	switch s {
	case Paid, Failed, Canceled, Refunded:
		return true
	case Pending, Processing, Refunding, Void:
	}
	return false
}

// Sparse reports whether stores keep an index of the tenant's orders with this status
// alone. Few orders get there; a PENDING, PROCESSING or PAID order, which is most of them
// at some time, never pays for an index entry.
func (s Status) Sparse() bool {
	switch s {
	case Failed, Canceled, Refunding, Refunded:
		return true
	case Pending, Processing, Paid, Void:
	}
	return false
}

// Event is something that changes an order.
type Event string

// The events; each is a method of [Order].
const (
	EventClaim    Event = "claim"    // a worker takes the order for one attempt
	EventTakeover Event = "takeover" // a worker takes the order to learn what became of earlier attempts
	EventRenew    Event = "renew"    // the former gateway key is spent, the next attempt uses a new one
	EventRelease  Event = "release"  // the attempt is over and decided nothing
	EventPay      Event = "pay"      // the gateway charged
	EventFail     Event = "fail"     // the gateway did not charge and will not
	EventCancel   Event = "cancel"   // the owner takes the order back
	EventRetry    Event = "retry"    // an operator opens a new round
	EventRepay    Event = "repay"    // the owner pays with another token, in a new round
	EventRefund   Event = "refund"   // the owner asks for money back
	EventReturn   Event = "return"   // the gateway refunded all that was left
	EventErase    Event = "erase"    // an operator blanks what is personal
	EventFence    Event = "fence"    // a message is dropped; see the package comment

	EventReturnPart Event = "return part" // the gateway refunded, and something is left
	EventRefuse     Event = "refuse"      // the gateway declined the refund
)

// TransitionError reports that an event is not allowed in a status.
type TransitionError struct {
	From  Status
	Event Event
}

func (e *TransitionError) Error() string {
	return fmt.Sprintf("an order that is %s can't %s", e.From, e.Event)
}

// transitions is the one table of an order's life; nothing else decides where an event leads.
// Conditions beyond the status (a lease, a round, an attempt left) are in the methods.
//
//nolint:gochecknoglobals // never written
var transitions = [...]struct {
	from  Status
	event Event
	to    Status
}{
	{Pending, EventClaim, Processing},
	{Pending, EventTakeover, Processing},
	{Pending, EventCancel, Canceled},
	{Processing, EventClaim, Processing},
	{Processing, EventTakeover, Processing},
	{Processing, EventRenew, Processing},
	{Processing, EventRelease, Processing},
	{Processing, EventPay, Paid},
	{Processing, EventFail, Failed},
	{Paid, EventRefund, Refunding},
	{Paid, EventErase, Paid},
	{Paid, EventFence, Paid},
	{Failed, EventRetry, Pending},
	{Failed, EventRepay, Pending},
	{Failed, EventErase, Failed},
	{Failed, EventFence, Failed},
	{Canceled, EventErase, Canceled},
	{Refunding, EventClaim, Refunding},
	{Refunding, EventRenew, Refunding},
	{Refunding, EventRelease, Refunding},
	{Refunding, EventReturn, Refunded},
	{Refunding, EventReturnPart, Paid},
	{Refunding, EventRefuse, Paid},
	{Refunded, EventErase, Refunded},
	{Void, EventFence, Void},
}

// Transition returns the status to which an event leads. The error is a [*TransitionError].
func Transition(from Status, event Event) (Status, error) {
	for _, t := range transitions {
		if t.from == from && t.event == event {
			return t.to, nil
		}
	}
	return "", &TransitionError{From: from, Event: event}
}

package order

import "time"

// Disposition is how an order stands towards a message about it.
type Disposition int

const (
	// Workable is an order that the message is about as it is now: a claim or a takeover
	// may succeed.
	Workable Disposition = iota
	// Leased is a Workable order that another worker holds.
	Leased
	// Early is a message whose order, round or state is yet to come; see [EarlyFor].
	Early
	// Stale is a message whose order is past what it asks for.
	Stale
)

// disposition is the table of what a charge message finds an order of its own round to be.
func disposition(s Status) Disposition {
	switch s {
	case Pending, Processing:
		return Workable
	case Void:
		return Early
	case Paid, Failed, Canceled, Refunding, Refunded:
	}
	return Stale
}

// refundDisposition is the table for a refund message. The order's refunds are counted, so
// a refund that has ended is told from one that is yet to be written.
func (m Message) refundDisposition(o *Order) Disposition {
	written := len(o.Refunds)
	switch o.Status {
	case Void, Pending, Processing:
		return Early
	case Paid:
		if m.Refund > written {
			return Early
		}
	case Refunding:
		if m.Refund == written {
			return Workable
		}
	case Failed, Canceled, Refunded:
	}
	return Stale
}

// Disposition compares the message with its order as it is; nil if there is none.
func (m Message) Disposition(o *Order, now time.Time) Disposition {
	switch {
	case o == nil || o.Status == Void || o.Round < m.Round:
		return Early
	case o.Round > m.Round:
		return Stale
	}
	d := disposition(o.Status)
	if m.Kind == KindRefund {
		d = m.refundDisposition(o)
	}
	if d == Workable && o.LeaseUntil.After(now) {
		return Leased
	}
	return d
}

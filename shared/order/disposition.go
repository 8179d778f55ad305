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

// disposition is the table of what a message of a kind finds an order of its own round
// to be, by status. The lease decides between Workable and Leased.
func disposition(kind Kind, s Status) Disposition {
	switch s {
	case Pending, Processing:
		if kind == KindRefund {
			return Early
		}
		return Workable
	case Paid:
		if kind == KindRefund {
			return Early
		}
		return Stale
	case Refunding:
		if kind == KindRefund {
			return Workable
		}
		return Stale
	case Void:
		return Early
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
	d := disposition(m.Kind, o.Status)
	if d == Workable && o.LeaseUntil.After(now) {
		return Leased
	}
	return d
}

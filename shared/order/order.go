package order

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"time"
)

// Of the attempts of a leg, which may go on for days, the first and the latest are kept.
const (
	firstAttempts  = 1
	latestAttempts = 9
)

// EarlyFor is how long a message waits for the order, round or state that it is about. It is
// far past any timeout of the function that writes the order.
const EarlyFor = 2 * time.Minute

// VoidFor is how long a tombstone is kept. It need only outlast a write that was frozen
// together with its process.
const VoidFor = 24 * time.Hour

// Ref identifies an order. Orders of different tenants never share one.
type Ref struct {
	Tenant string
	ID     string
}

// Order is one order, and one item in a store. Read its fields freely; change it
// only by its methods. Slices and maps are never changed in place, so a copy is a
// snapshot.
type Order struct {
	Ref
	Status Status
	// Version rises by one with every change.
	Version int64
	// FirstVersion is the version at creation: 1, or more if the order replaced a
	// tombstone.
	FirstVersion int64

	Total      Money
	Items      []Item
	CustomerID string
	// PaymentToken is empty once the order has ended and will not need it again.
	PaymentToken Token
	Metadata     map[string]string
	// Fingerprint is [Request.Fingerprint] if the order came with an idempotency key, and
	// empty otherwise.
	Fingerprint []byte
	// Livemode says that the order was placed for a gateway that moves money. No gateway of
	// the other mode is asked about it.
	Livemode bool

	// Round counts how often the order became payable: 1, and one more for each retry and
	// each new payment token. A message of an older round is stale.
	Round  int
	Charge Leg
	// Refund is the leg of the newest refund; its keys go on from the refund before.
	Refund Leg
	// LeaseUntil is when the claim of the worker that holds the order ends; the zero time if
	// nobody holds it.
	LeaseUntil time.Time
	// RetryAt is when the message of an order that was released comes back. It is for people,
	// by [Order.NextAttempt]: nothing is decided by it.
	RetryAt time.Time

	// PaymentRef is the gateway's reference for the charge.
	PaymentRef string
	// Refunds are the refunds asked for, oldest first. If the order is REFUNDING, the last
	// is open; the others have ended.
	Refunds []Refund
	Failure *Failure

	CreatedAt time.Time
	UpdatedAt time.Time
	// ExpiresAt is when a tombstone may be deleted, in whole seconds; zero for an order.
	ExpiresAt time.Time
}

// Item is one line of an order.
type Item struct {
	SKU      string
	Quantity int64
	// UnitPrice is in the minor unit of the order's currency.
	UnitPrice int64
}

// Token stands for a means of payment at the gateway. It hides itself from logs and from
// everything that is printed.
type Token string

// Format hides the token, whatever the verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue hides the token.
func (Token) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Failure is why an order is FAILED.
type Failure struct {
	Code    string
	Message string
}

// Leg is one side of an order's dealings with the gateway: its charge or its refund.
type Leg struct {
	// KeySeq is the n of the gateway key in use. It grows only once the gateway is known
	// never to act under the former key.
	KeySeq int
	// Tries is the number of attempts begun in this round, or at this refund.
	Tries int
	// Since is when the first of them began; the zero time if there is none, or if a build
	// that did not record it wrote them all.
	Since time.Time
	// Attempts are the attempts of all rounds, or at this refund, oldest first. Of many, some
	// after the first are left out.
	Attempts []Attempt
	// Omitted is how many are left out.
	Omitted int
}

// Attempt is one claim of the order to charge or refund it.
type Attempt struct {
	StartedAt time.Time
	// EndedAt is when an outcome was first recorded; the zero time while there is none, if the
	// next attempt began before there was one, or if a build that did not record it wrote it.
	EndedAt time.Time
	Outcome Outcome
	// Code is the gateway's reason, if it gave one.
	Code string
}

// Outcome is what came of an attempt.
type Outcome string

// The outcomes.
const (
	// OutcomePending is an attempt that is running, or whose worker died.
	OutcomePending     Outcome = "pending"
	OutcomeApproved    Outcome = "approved"
	OutcomeDeclined    Outcome = "declined"
	OutcomeUnavailable Outcome = "unavailable" // known not to have acted
	OutcomeUnknown     Outcome = "unknown"     // nobody can say yet whether it acted
)

// Last returns the newest attempt; ok is false if there is none.
func (l Leg) Last() (a Attempt, ok bool) {
	if len(l.Attempts) == 0 {
		return Attempt{}, false
	}
	return l.Attempts[len(l.Attempts)-1], true
}

// Number is the number of Attempts[i], counted from 1 over all attempts there were.
func (l Leg) Number(i int) int {
	if i < firstAttempts {
		return i + 1
	}
	return i + 1 + l.Omitted
}

// Count is how many attempts there were, those left out included.
func (l Leg) Count() int { return len(l.Attempts) + l.Omitted }

// begin adds an attempt.
func (l Leg) begin(now time.Time) Leg {
	l.KeySeq = max(l.KeySeq, 1)
	l.Tries++
	if l.Since.IsZero() {
		l.Since = now
	}
	l.Attempts = append(slices.Clip(l.Attempts), Attempt{StartedAt: now, Outcome: OutcomePending})
	return l
}

// end records the outcome of the newest attempt, and that an earlier one without an outcome
// never reported, and leaves out what is too many.
func (l Leg) end(outcome Outcome, code string, now time.Time) Leg {
	l.Attempts = slices.Clone(l.Attempts)
	newest := len(l.Attempts) - 1
	for i := range newest {
		if l.Attempts[i].Outcome == OutcomePending {
			l.Attempts[i].Outcome = OutcomeUnknown
		}
	}
	if newest >= 0 {
		a := &l.Attempts[newest]
		if a.Outcome == OutcomePending { // otherwise it ended earlier, and this is what became of it
			a.EndedAt = now
		}
		a.Outcome, a.Code = outcome, code
	}
	if n := len(l.Attempts) - firstAttempts - latestAttempts; n > 0 {
		l.Attempts = slices.Delete(l.Attempts, firstAttempts, firstAttempts+n)
		l.Omitted += n
	}
	return l
}

// leg returns the side that a kind of message is about.
func (o *Order) leg(kind Kind) *Leg {
	if kind == KindRefund {
		return &o.Refund
	}
	return &o.Charge
}

// Leg returns the side of the order that a kind of message is about.
func (o Order) Leg(kind Kind) Leg { return *o.leg(kind) }

// GatewayKey is the idempotency key under which the gateway is asked next:
// "<id>.<n>" for a charge; "<id>.refund" for a refund, and from its second key on
// "<id>.refund.<n>".
func (o Order) GatewayKey(kind Kind) string {
	n := strconv.Itoa(max(o.leg(kind).KeySeq, 1))
	switch {
	case kind != KindRefund:
		return o.ID + "." + n
	case n == "1":
		return o.ID + ".refund"
	default:
		return o.ID + ".refund." + n
	}
}

// Declined reports whether the order FAILED because the gateway declined it: asking again
// would only be declined again.
func (o Order) Declined() bool {
	last, ok := o.Charge.Last()
	return o.Status == Failed && ok && last.Outcome == OutcomeDeclined
}

// NextAttempt returns when an order that waits for another attempt, or for word of the last,
// is due for it; ok is false if it waits for none, or nobody knows.
func (o Order) NextAttempt() (at time.Time, ok bool) {
	waits := (o.Status == Processing || o.Status == Refunding) && o.LeaseUntil.IsZero()
	// An earlier build, which does not know of RetryAt, may have left one of a former release.
	return o.RetryAt, waits && o.RetryAt.After(o.UpdatedAt)
}

// AsCreated returns the order as it was when it was created, which is what a replay of the
// request must answer. What was erased since, and the payment token, which no answer has, do
// not come back.
func (o Order) AsCreated() Order {
	o.Status, o.Version, o.Round = Pending, o.FirstVersion, 1
	o.Charge, o.Refund = Leg{}, Leg{}
	o.LeaseUntil, o.RetryAt = time.Time{}, time.Time{}
	o.PaymentRef, o.Refunds, o.Failure = "", nil, nil
	o.UpdatedAt = o.CreatedAt
	return o
}

// LogValue identifies the order and its state, and holds nothing personal.
func (o Order) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("tenant", o.Tenant),
		slog.String("id", o.ID),
		slog.String("status", string(o.Status)),
		slog.Int64("version", o.Version),
		slog.Int("round", o.Round),
	)
}

package order

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Reasons for which a claim is refused although the status would allow it.
var (
	// ErrLeased reports that another worker holds the order.
	ErrLeased = errors.New("another worker holds the order")
	// ErrNoAttemptLeft reports that the round's attempts are used up; see [Limits].
	ErrNoAttemptLeft = errors.New("no attempt is left in this round")
	// ErrRound reports that the message is of another round.
	ErrRound = errors.New("the message is of another round")
)

// Limits say when a round of attempts to charge an order is over that none of them decides:
// once there were Attempts of them, and Patience has passed since the first began. After
// that the order is not charged again; an unknown outcome is only asked about. A refund has
// no limits: it is owed.
type Limits struct {
	Attempts int           // at least 1
	Patience time.Duration // 0 leaves it to Attempts
}

// Over reports whether an attempt that ends now, and is known not to have acted, is the
// round's last.
func (l Limits) Over(leg Leg, now time.Time) bool {
	return leg.Tries >= l.Attempts && (l.Patience == 0 || !leg.Since.After(now.Add(-l.Patience)))
}

// lateness is after how many times the patience no attempt may begin. With 2, an order whose
// message comes back late, out of a backlog, still has its last attempt, and one whose workers
// die at every attempt is given up all the same.
const lateness = 2

// Claim is a worker's request to hold an order.
type Claim struct {
	Kind  Kind
	Round int
	// Now is the worker's time; Until is when the claim expires by itself.
	Now   time.Time
	Until time.Time
	// Limits are required to begin an attempt at a charge.
	Limits Limits
}

// BegunAfter returns the time after which a round must have begun to have another attempt
// once it has had Limits.Attempts of them; never reports that it has none, whenever it began.
func (c Claim) BegunAfter() (since time.Time, never bool) {
	return c.Now.Add(-lateness * c.Limits.Patience), c.Limits.Patience == 0
}

// used reports whether the limits leave no attempt to begin.
func (c Claim) used(leg Leg) bool {
	since, never := c.BegunAfter()
	return leg.Tries >= c.Limits.Attempts && (never || !leg.Since.After(since))
}

// Claimed begins an attempt. It is the rule that every store's Claim must keep: the round is
// the message's, nobody holds the order, the status is the kind's, and the limits leave an
// attempt to begin, or it is a refund. The error is a [*TransitionError], [ErrRound],
// [ErrLeased] or [ErrNoAttemptLeft].
func (o Order) Claimed(c Claim) (Order, error) {
	next, err := o.take(EventClaim, c)
	if err != nil {
		return Order{}, err
	}
	leg := next.leg(c.Kind)
	if c.Kind == KindCharge && c.used(*leg) {
		return Order{}, ErrNoAttemptLeft
	}
	*leg = leg.begin(instant(c.Now))
	return next, nil
}

// TakenOver holds the order without beginning an attempt, to ask what became of the earlier
// ones. It returns the same errors as [Order.Claimed], except [ErrNoAttemptLeft].
func (o Order) TakenOver(c Claim) (Order, error) {
	return o.take(EventTakeover, c)
}

func (o Order) take(event Event, c Claim) (Order, error) {
	if (c.Kind == KindRefund) != (o.Status == Refunding) {
		return Order{}, &TransitionError{From: o.Status, Event: event}
	}
	next, err := o.change(event, c.Now)
	switch {
	case err != nil:
		return Order{}, err
	case o.Round != c.Round:
		return Order{}, ErrRound
	case o.LeaseUntil.After(c.Now):
		return Order{}, ErrLeased
	}
	next.LeaseUntil, next.RetryAt = instant(c.Until), time.Time{}
	return next, nil
}

// Renewed moves on to a new gateway key. Only the holder of a claim may call it, and only
// once the gateway said that it will never act under the former key.
func (o Order) Renewed(kind Kind, now time.Time) (Order, error) {
	next, err := o.change(EventRenew, now)
	if err != nil {
		return Order{}, err
	}
	leg := next.leg(kind)
	leg.KeySeq = max(leg.KeySeq, 1) + 1
	return next, nil
}

// Released ends the claim with an outcome that decides nothing. Rest is how long the message
// then rests.
func (o Order) Released(kind Kind, outcome Outcome, code string, now time.Time, rest time.Duration) (Order, error) {
	next, err := o.conclude(EventRelease, kind, outcome, code, now)
	if err != nil {
		return Order{}, err
	}
	next.RetryAt = instant(now.Add(rest))
	return next, nil
}

// CodeMisconfigured is the code of an attempt that [Order.Returned] gave back.
const CodeMisconfigured = "gateway_misconfigured"

// Returned is [Order.Released] for an attempt that could not be made because the gateway
// refuses this side's requests: it is not counted, and the patience with the order begins
// again, for none of that is the order's fault. The outcome is of what came before: unknown
// if it still is.
func (o Order) Returned(kind Kind, outcome Outcome, now time.Time, rest time.Duration) (Order, error) {
	next, err := o.Released(kind, outcome, CodeMisconfigured, now, rest)
	if err != nil {
		return Order{}, err
	}
	leg := next.leg(kind)
	leg.Tries, leg.Since = leg.Tries-1, instant(now)
	if leg.Tries == 0 {
		leg.Since = time.Time{}
	}
	return next, nil
}

// Refused reports whether the latest attempt to charge the order was given back by
// [Order.Returned], and nobody has held the order since.
func (o Order) Refused() bool {
	last, ok := o.Charge.Last()
	return ok && last.Code == CodeMisconfigured && o.Status == Processing && o.LeaseUntil.IsZero()
}

// PaidWith ends the order with the gateway's reference of the charge. Unless the gateway
// reuses tokens, and so needs this one for a refund, the order forgets its payment token.
func (o Order) PaidWith(ref string, reused bool, now time.Time) (Order, error) {
	next, err := o.conclude(EventPay, KindCharge, OutcomeApproved, "", now)
	if err != nil {
		return Order{}, err
	}
	next.PaymentRef = ref
	if !reused {
		next.PaymentToken = ""
	}
	return next, nil
}

// FailedWith ends the order, which was not charged. If it was declined, it forgets its payment
// token; otherwise a retry charges with it.
func (o Order) FailedWith(outcome Outcome, f Failure, now time.Time) (Order, error) {
	next, err := o.conclude(EventFail, KindCharge, outcome, f.Code, now)
	if err != nil {
		return Order{}, err
	}
	next.Failure = &f
	return next.withoutSpentToken(), nil
}

func (o Order) conclude(event Event, kind Kind, outcome Outcome, code string, now time.Time) (Order, error) {
	next, err := o.change(event, now)
	if err != nil {
		return Order{}, err
	}
	leg := next.leg(kind)
	*leg = leg.end(outcome, code, instant(now))
	next.LeaseUntil = time.Time{}
	return next, nil
}

// Cancel withdraws a PENDING order, which forgets its payment token.
func (o Order) Cancel(now time.Time) (Order, error) {
	next, err := o.change(EventCancel, now)
	return next.withoutSpentToken(), err
}

// withoutSpentToken returns the order without its payment token if nothing can be charged
// with that any more, whatever the gateway: the order was canceled, or declined, after which
// only another token pays.
func (o Order) withoutSpentToken() Order {
	if o.Status == Canceled || o.Declined() {
		o.PaymentToken = ""
	}
	return o
}

// Retry opens a new round, with new attempts and a new gateway key. The error is a
// [*TransitionError], including for an order that was declined.
func (o Order) Retry(now time.Time) (Order, error) {
	if o.Declined() {
		return Order{}, fmt.Errorf("the gateway declined it: %w", &TransitionError{From: o.Status, Event: EventRetry})
	}
	return o.newRound(EventRetry, now)
}

// PayWith opens a new round of a FAILED order, declined or not, with another payment token.
// The error is a [*TransitionError].
func (o Order) PayWith(token Token, now time.Time) (Order, error) {
	next, err := o.newRound(EventRepay, now)
	next.PaymentToken = token
	return next, err
}

func (o Order) newRound(event Event, now time.Time) (Order, error) {
	next, err := o.change(event, now)
	if err != nil {
		return Order{}, err
	}
	next.Round++
	next.Charge.Tries, next.Charge.Since = 0, time.Time{}
	next.Charge.KeySeq = max(next.Charge.KeySeq, 1) + 1
	next.Failure = nil
	return next, nil
}

// Erased blanks what may be personal in an order that has ended: the customer, the metadata, the
// reasons of refunds, and a payment token that an earlier build kept to no use. What was paid,
// for what and how stays, and so do the fingerprint, by which a repeated request is still
// recognized, and the payment token of an order that can be retried or, at a gateway that
// reuses tokens, refunded. An order that has nothing to blank is returned as it is. The error
// is a [*TransitionError].
func (o Order) Erased(now time.Time) (Order, error) {
	next, err := o.change(EventErase, now)
	if err != nil {
		return Order{}, err
	}
	next = next.withoutSpentToken()
	personal := o.CustomerID != "" || len(o.Metadata) > 0 || next.PaymentToken != o.PaymentToken
	next.CustomerID, next.Metadata, next.Refunds = "", nil, slices.Clone(o.Refunds)
	for i := range next.Refunds {
		personal = personal || next.Refunds[i].Reason != ""
		next.Refunds[i].Reason = ""
	}
	if !personal {
		return o, nil
	}
	return next, nil
}

// Fenced changes nothing but the version, so that a write that was prepared from
// the former version fails. See the package comment.
func (o Order) Fenced(now time.Time) (Order, error) {
	next, err := o.change(EventFence, now)
	if err == nil && next.Status == Void {
		next.ExpiresAt = expiry(now)
	}
	return next, err
}

// NewVoid returns the tombstone that keeps an order from being created after its message was
// dropped.
func NewVoid(ref Ref, now time.Time) Order {
	return Order{
		Ref: ref, Status: Void, Version: 1, FirstVersion: 1,
		CreatedAt: instant(now), UpdatedAt: instant(now), ExpiresAt: expiry(now),
	}
}

// InPlaceOf returns the order with the version that follows a tombstone's.
func (o Order) InPlaceOf(void Order) Order {
	o.Version = void.Version + 1
	o.FirstVersion = o.Version
	return o
}

func (o Order) change(event Event, now time.Time) (Order, error) {
	to, err := Transition(o.Status, event)
	if err != nil {
		return Order{}, err
	}
	o.Status = to
	o.Version++
	o.UpdatedAt = instant(now)
	return o, nil
}

// instant truncates a time to what orders keep: UTC, in whole milliseconds.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// expiry is when a tombstone made now ends, in the whole seconds of DynamoDB's TTL.
func expiry(now time.Time) time.Time { return now.UTC().Add(VoidFor).Truncate(time.Second) }

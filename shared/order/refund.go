package order

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of refunds.
const (
	MaxRefunds = 100 // of one order
	MaxReason  = 255 // characters
)

// RefundStatus is how far a refund has come.
type RefundStatus string

// The statuses of a refund.
const (
	RefundPending  RefundStatus = "PENDING"  // the money is owed back
	RefundDone     RefundStatus = "DONE"     // the gateway returned it
	RefundDeclined RefundStatus = "DECLINED" // the gateway refused to
)

// Refund is one refund of an order.
type Refund struct {
	ID string
	// Amount is in the minor unit of the order's currency.
	Amount int64
	// All says that the request asked for all that was left.
	All    bool
	Reason string
	Status RefundStatus
	// Ref is the gateway's reference, and Code its reason for declining.
	Ref         string
	Code        string
	RequestedAt time.Time
	EndedAt     time.Time // zero while it is PENDING
}

// RefundRequest is what a caller asks to get back.
type RefundRequest struct {
	// Amount is in the minor unit of the order's currency; 0 is all that is left.
	Amount int64
	Reason string
}

// Asked reports whether a refund is the one that a request asks for.
func (r Refund) Asked(by RefundRequest) bool {
	return r.Reason == by.Reason && r.All == (by.Amount == 0) && (r.All || r.Amount == by.Amount)
}

// KeyedRefundID is the id of the refund that an idempotency key stands for: a UUIDv5 (RFC
// 9562) of the order and the key.
func KeyedRefundID(orderID, key string) string {
	return uuid.NewSHA1(uuid.NewSHA1(uuid.NameSpaceOID, []byte(orderID)), []byte(key)).String()
}

// NextRefundID is the id of the order's next refund if it has no idempotency key. No key is
// empty, so no keyed refund has the same.
func (o Order) NextRefundID() string {
	return uuid.NewSHA1(uuid.NewSHA1(uuid.NameSpaceOID, []byte(o.ID+"#"+strconv.Itoa(len(o.Refunds)+1))), nil).String()
}

// FindRefund returns the refund with this id.
func (o Order) FindRefund(id string) (Refund, bool) {
	i := slices.IndexFunc(o.Refunds, func(r Refund) bool { return r.ID == id })
	if i < 0 {
		return Refund{}, false
	}
	return o.Refunds[i], true
}

// LastRefund returns the newest refund, which is the open one if the order is REFUNDING; the
// zero refund if there is none.
func (o Order) LastRefund() Refund {
	if len(o.Refunds) == 0 {
		return Refund{}
	}
	return o.Refunds[len(o.Refunds)-1]
}

// RefundedAmount is how much was returned.
func (o Order) RefundedAmount() int64 {
	var sum int64
	for _, r := range o.Refunds {
		if r.Status == RefundDone {
			sum += r.Amount
		}
	}
	return sum
}

// BeginRefund opens a refund of a PAID order. The error is a [*TransitionError], or an
// [*InvalidError] for more than is left, a reason that is too long, or too many refunds.
func (o Order) BeginRefund(id string, r RefundRequest, now time.Time) (Order, error) {
	next, err := o.change(EventRefund, now)
	if err != nil {
		return Order{}, err
	}
	left := o.Total.Amount - o.RefundedAmount()
	var bad InvalidError
	switch {
	case len(o.Refunds) >= MaxRefunds:
		bad.Fields = append(bad.Fields, FieldError{Location: "", Message: fmt.Sprintf("an order has at most %d refunds", MaxRefunds)})
	case r.Amount < 0:
		bad.Fields = append(bad.Fields, FieldError{Location: "amount", Message: "must be at least 1, in the currency's minor unit; omit it to refund all that is left"})
	case r.Amount > left:
		bad.Fields = append(bad.Fields, FieldError{Location: "amount", Message: fmt.Sprintf("must be at most %d, which is what is left to refund", left)})
	}
	if utf8.RuneCountInString(r.Reason) > MaxReason {
		bad.Fields = append(bad.Fields, FieldError{Location: "reason", Message: fmt.Sprintf("must be at most %d characters", MaxReason)})
	}
	if len(bad.Fields) > 0 {
		return Order{}, &bad
	}
	refund := Refund{
		ID: id, Amount: r.Amount, All: r.Amount == 0, Reason: r.Reason, Status: RefundPending, RequestedAt: instant(now),
	}
	if refund.All {
		refund.Amount = left
	}
	next.Refunds = append(slices.Clip(o.Refunds), refund)
	// A key of its own, and attempts of its own.
	next.Refund = Leg{KeySeq: o.Refund.KeySeq + 1}
	return next, nil
}

// RefundedWith ends the open refund with the gateway's reference. The order is REFUNDED if
// nothing is left, and PAID otherwise.
func (o Order) RefundedWith(ref string, now time.Time) (Order, error) {
	event := EventReturn
	if o.RefundedAmount()+o.LastRefund().Amount < o.Total.Amount {
		event = EventReturnPart
	}
	return o.endRefund(event, OutcomeApproved, Refund{Status: RefundDone, Ref: ref}, now)
}

// RefundDeclinedWith ends the open refund, which the gateway declined. The order is PAID.
func (o Order) RefundDeclinedWith(code string, now time.Time) (Order, error) {
	return o.endRefund(EventRefuse, OutcomeDeclined, Refund{Status: RefundDeclined, Code: code}, now)
}

func (o Order) endRefund(event Event, outcome Outcome, end Refund, now time.Time) (Order, error) {
	next, err := o.conclude(event, KindRefund, outcome, end.Code, now)
	if err != nil {
		return Order{}, err
	}
	next.Refunds = slices.Clone(o.Refunds)
	last := &next.Refunds[len(next.Refunds)-1]
	last.Status, last.Ref, last.Code, last.EndedAt = end.Status, end.Ref, end.Code, instant(now)
	return next, nil
}

// WithWholeRefund returns an order that a build without [Order.Refunds] wrote, whose refunds
// were of the whole amount. Stores call it when they read such an order; ref is the
// gateway's reference, if it had one.
func (o Order) WithWholeRefund(ref string) Order {
	if o.Status != Refunding && o.Status != Refunded {
		return o
	}
	refund := Refund{ID: o.NextRefundID(), Amount: o.Total.Amount, All: true, Status: RefundPending, RequestedAt: o.UpdatedAt}
	if o.Status == Refunded {
		refund.Status, refund.Ref, refund.EndedAt = RefundDone, ref, o.UpdatedAt
	}
	o.Refunds = []Refund{refund}
	return o
}

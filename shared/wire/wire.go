// Package wire is an order as callers see it: in the answers of the API, in its events, and in
// webhooks. The tags are for the OpenAPI document.
package wire

import (
	"time"

	"paylane/shared/order"
)

// OrderBody is an order as callers see it, which is without the payment token.
type OrderBody struct {
	ID         string            `json:"id" format:"uuid" doc:"The order's id."`
	Status     string            `json:"status" enum:"PENDING,PROCESSING,PAID,FAILED,CANCELED,REFUNDING,REFUNDED" doc:"The order's state. PAID, FAILED, CANCELED and REFUNDED are ends."`
	Amount     int64             `json:"amount" minimum:"1" doc:"In the currency's minor unit." example:"12000"`
	Currency   string            `json:"currency" doc:"ISO 4217 code." example:"KRW"`
	Items      []ItemBody        `json:"items,omitempty" maxItems:"100" nullable:"false" doc:"What is bought."`
	CustomerID string            `json:"customerId,omitempty" maxLength:"64" doc:"Your name for the customer." example:"c-42"`
	Metadata   map[string]string `json:"metadata,omitempty" doc:"Your own entries."`
	Livemode   bool              `json:"livemode" doc:"Whether the order was placed for a gateway that moves money; false with the simulator and in a sandbox."`
	PaymentRef string            `json:"paymentRef,omitempty" doc:"The gateway's reference of the charge." example:"PAY-5F0C21AB"`
	Failure    *FailureBody      `json:"failure,omitempty" doc:"Why it FAILED."`
	Refunded   int64             `json:"refundedAmount,omitempty" minimum:"1" doc:"How much was returned, in the currency's minor unit; absent if nothing was."`
	Refunds    []RefundBody      `json:"refunds,omitempty" maxItems:"100" nullable:"false" doc:"Each refund, oldest first."`
	Attempts   []AttemptBody     `json:"attempts" nullable:"false" doc:"The attempts to charge it, oldest first. Of many, the first and the latest: the numbers tell which are left out."`
	NextAt     string            `json:"nextAttemptAt,omitempty" format:"date-time" doc:"When the next attempt is due, to charge or to refund it, or to learn what became of the last. Only while it waits for one."`
	Version    int64             `json:"version" minimum:"1" doc:"Rises by one with every change; also the ETag."`
	CreatedAt  string            `json:"createdAt" format:"date-time" doc:"When it was placed."`
	UpdatedAt  string            `json:"updatedAt" format:"date-time" doc:"When it last changed."`
}

// ItemBody is one line of an order.
type ItemBody struct {
	SKU       string `json:"sku" doc:"Your name for the article." example:"TEA-1"`
	Quantity  int64  `json:"quantity" minimum:"1" doc:"How many." example:"2"`
	UnitPrice int64  `json:"unitPrice" minimum:"0" doc:"In the currency's minor unit." example:"6000"`
}

// FailureBody is why an order is FAILED.
type FailureBody struct {
	Code    string `json:"code" doc:"For programs: the gateway's reason, gateway_unavailable or not_processed." example:"insufficient_funds"`
	Message string `json:"message" doc:"For people." example:"The card has insufficient funds."`
}

// RefundBody is one refund.
type RefundBody struct {
	ID          string `json:"id" format:"uuid" doc:"The refund's id."`
	Amount      int64  `json:"amount" minimum:"1" doc:"In the currency's minor unit." example:"200"`
	Status      string `json:"status" enum:"PENDING,DONE,DECLINED" doc:"DONE once the gateway has returned the money; DECLINED if it refused to."`
	Reason      string `json:"reason,omitempty" doc:"Your reason." example:"one cup was broken"`
	Ref         string `json:"ref,omitempty" doc:"The gateway's reference of the refund." example:"REF-5F0C21AB"`
	Code        string `json:"code,omitempty" doc:"The gateway's reason for declining."`
	RequestedAt string `json:"requestedAt" format:"date-time" doc:"When it was asked for."`
	EndedAt     string `json:"endedAt,omitempty" format:"date-time" doc:"When it was DONE or DECLINED."`
}

// AttemptBody is one attempt to charge an order.
type AttemptBody struct {
	Number    int    `json:"number" minimum:"1" doc:"The first is 1." example:"1"`
	StartedAt string `json:"startedAt" format:"date-time" doc:"When it started."`
	EndedAt   string `json:"endedAt,omitempty" format:"date-time" doc:"When its outcome was recorded; absent if it is under way, or never reported."`
	Outcome   string `json:"outcome" enum:"pending,approved,declined,unavailable,unknown" doc:"pending: it is under way; unavailable: it is known not to have charged; unknown: what it did is not known yet."`
	Code      string `json:"code,omitempty" doc:"The gateway's reason."`
}

// NewOrderBody returns an order as callers see it.
func NewOrderBody(o order.Order) OrderBody {
	b := OrderBody{
		ID: o.ID, Status: string(o.Status), Amount: o.Total.Amount, Currency: string(o.Total.Currency),
		CustomerID: o.CustomerID, Metadata: o.Metadata, Livemode: o.Livemode, PaymentRef: o.PaymentRef, Refunded: o.RefundedAmount(),
		Attempts: make([]AttemptBody, len(o.Charge.Attempts)), Version: o.Version,
		CreatedAt: Timestamp(o.CreatedAt), UpdatedAt: Timestamp(o.UpdatedAt),
	}
	if at, ok := o.NextAttempt(); ok {
		b.NextAt = Timestamp(at)
	}
	for _, i := range o.Items {
		b.Items = append(b.Items, ItemBody(i))
	}
	if o.Failure != nil {
		b.Failure = &FailureBody{Code: o.Failure.Code, Message: o.Failure.Message}
	}
	for _, r := range o.Refunds {
		b.Refunds = append(b.Refunds, RefundBody{
			ID: r.ID, Amount: r.Amount, Status: string(r.Status), Reason: r.Reason, Ref: r.Ref, Code: r.Code,
			RequestedAt: Timestamp(r.RequestedAt), EndedAt: optionalTimestamp(r.EndedAt),
		})
	}
	for i, a := range o.Charge.Attempts {
		b.Attempts[i] = AttemptBody{
			Number: o.Charge.Number(i), StartedAt: Timestamp(a.StartedAt), EndedAt: optionalTimestamp(a.EndedAt),
			Outcome: string(a.Outcome), Code: a.Code,
		}
	}
	return b
}

// Timestamp formats t by RFC 3339, in UTC with milliseconds.
func Timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// optionalTimestamp is Timestamp, or empty for the zero time.
func optionalTimestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return Timestamp(t)
}

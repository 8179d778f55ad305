package httpapi

import (
	"time"

	"paylane/shared/order"
)

// createRequest is the body of POST /orders. The limits in its tags are those of
// order.Request. They are here for the OpenAPI document and for error texts that name the
// field, and there because an order must be valid whoever made it. What a payment token may
// be is for the gateway to say.
type createRequest struct {
	_            struct{}          `json:"-" additionalProperties:"false"`
	Amount       int64             `json:"amount,omitempty" minimum:"1" doc:"What to charge, in the currency's minor unit. Required unless items are given, whose sum it then is; if both are given, they must agree." example:"12000"`
	Currency     string            `json:"currency,omitempty" default:"KRW" minLength:"3" maxLength:"3" doc:"ISO 4217 code, in upper case." example:"KRW"`
	Items        []createItem      `json:"items,omitempty" maxItems:"100" nullable:"false" doc:"What is bought."`
	CustomerID   string            `json:"customerId,omitempty" maxLength:"64" doc:"Your name for the customer." example:"c-42"`
	PaymentToken string            `json:"paymentToken,omitempty" minLength:"1" maxLength:"64"`
	Metadata     map[string]string `json:"metadata,omitempty" doc:"Up to 20 entries of your own, with keys of up to 40 characters and values of up to 500."`
}

type createItem struct {
	_         struct{} `json:"-" additionalProperties:"false"`
	SKU       string   `json:"sku" minLength:"1" maxLength:"64" doc:"Your name for the article." example:"TEA-1"`
	Quantity  int64    `json:"quantity" minimum:"1" maximum:"10000" doc:"How many." example:"2"`
	UnitPrice int64    `json:"unitPrice" minimum:"0" doc:"In the currency's minor unit." example:"6000"`
}

func (r createRequest) request() order.Request {
	out := order.Request{
		Amount: r.Amount, Currency: order.Currency(r.Currency), CustomerID: r.CustomerID,
		PaymentToken: order.Token(r.PaymentToken), Metadata: r.Metadata,
	}
	for _, i := range r.Items {
		out.Items = append(out.Items, i.item())
	}
	return out
}

func (i createItem) item() order.Item {
	return order.Item{SKU: i.SKU, Quantity: i.Quantity, UnitPrice: i.UnitPrice}
}

// refundRequest is the body of POST /orders/{id}/refund; without one, or if it is empty, all
// that is left is refunded.
type refundRequest struct {
	_      struct{} `json:"-" additionalProperties:"false"`
	Amount int64    `json:"amount,omitempty" minimum:"1" doc:"How much to refund, in the currency's minor unit; without it, all that is left. With it, Idempotency-Key is required." example:"200"`
	Reason string   `json:"reason,omitempty" maxLength:"255" doc:"Your reason, shown with the refund." example:"one cup was broken"`
}

// payRequest is the body of POST /orders/{id}/pay.
type payRequest struct {
	_            struct{} `json:"-" additionalProperties:"false"`
	PaymentToken string   `json:"paymentToken" minLength:"1" maxLength:"64"`
}

// orderBody is an order as callers see it, which is without the payment token.
type orderBody struct {
	ID         string            `json:"id" format:"uuid" doc:"The order's id."`
	Status     string            `json:"status" enum:"PENDING,PROCESSING,PAID,FAILED,CANCELED,REFUNDING,REFUNDED" doc:"The order's state. PAID, FAILED, CANCELED and REFUNDED are ends."`
	Amount     int64             `json:"amount" minimum:"1" doc:"In the currency's minor unit." example:"12000"`
	Currency   string            `json:"currency" doc:"ISO 4217 code." example:"KRW"`
	Items      []itemBody        `json:"items,omitempty" maxItems:"100" nullable:"false" doc:"What is bought."`
	CustomerID string            `json:"customerId,omitempty" maxLength:"64" doc:"Your name for the customer." example:"c-42"`
	Metadata   map[string]string `json:"metadata,omitempty" doc:"Your own entries."`
	Livemode   bool              `json:"livemode" doc:"Whether the order was placed for a gateway that moves money; false with the simulator and in a sandbox."`
	PaymentRef string            `json:"paymentRef,omitempty" doc:"The gateway's reference of the charge." example:"PAY-5F0C21AB"`
	Failure    *failureBody      `json:"failure,omitempty" doc:"Why it FAILED."`
	Refunded   int64             `json:"refundedAmount,omitempty" minimum:"1" doc:"How much was returned, in the currency's minor unit; absent if nothing was."`
	Refunds    []refundBody      `json:"refunds,omitempty" maxItems:"100" nullable:"false" doc:"Each refund, oldest first."`
	Attempts   []attemptBody     `json:"attempts" nullable:"false" doc:"The attempts to charge it, oldest first. Of many, the first and the latest: the numbers tell which are left out."`
	Version    int64             `json:"version" minimum:"1" doc:"Rises by one with every change; also the ETag."`
	CreatedAt  string            `json:"createdAt" format:"date-time" doc:"When it was placed."`
	UpdatedAt  string            `json:"updatedAt" format:"date-time" doc:"When it last changed."`
}

type itemBody struct {
	SKU       string `json:"sku" doc:"Your name for the article." example:"TEA-1"`
	Quantity  int64  `json:"quantity" minimum:"1" doc:"How many." example:"2"`
	UnitPrice int64  `json:"unitPrice" minimum:"0" doc:"In the currency's minor unit." example:"6000"`
}

type failureBody struct {
	Code    string `json:"code" doc:"For programs: the gateway's reason, gateway_unavailable or not_processed." example:"insufficient_funds"`
	Message string `json:"message" doc:"For people." example:"The card has insufficient funds."`
}

type refundBody struct {
	ID          string `json:"id" format:"uuid" doc:"The refund's id."`
	Amount      int64  `json:"amount" minimum:"1" doc:"In the currency's minor unit." example:"200"`
	Status      string `json:"status" enum:"PENDING,DONE,DECLINED" doc:"DONE once the gateway has returned the money; DECLINED if it refused to."`
	Reason      string `json:"reason,omitempty" doc:"Your reason." example:"one cup was broken"`
	Ref         string `json:"ref,omitempty" doc:"The gateway's reference of the refund." example:"REF-5F0C21AB"`
	Code        string `json:"code,omitempty" doc:"The gateway's reason for declining."`
	RequestedAt string `json:"requestedAt" format:"date-time" doc:"When it was asked for."`
	EndedAt     string `json:"endedAt,omitempty" format:"date-time" doc:"When it was DONE or DECLINED."`
}

type attemptBody struct {
	Number    int    `json:"number" minimum:"1" doc:"The first is 1." example:"1"`
	StartedAt string `json:"startedAt" format:"date-time" doc:"When it started."`
	Outcome   string `json:"outcome" enum:"pending,approved,declined,unavailable,unknown" doc:"pending: it is under way; unavailable: it is known not to have charged; unknown: what it did is not known yet."`
	Code      string `json:"code,omitempty" doc:"The gateway's reason."`
}

func newOrderBody(o order.Order) orderBody {
	b := orderBody{
		ID: o.ID, Status: string(o.Status), Amount: o.Total.Amount, Currency: string(o.Total.Currency),
		CustomerID: o.CustomerID, Metadata: o.Metadata, Livemode: o.Livemode, PaymentRef: o.PaymentRef, Refunded: o.RefundedAmount(),
		Attempts: make([]attemptBody, len(o.Charge.Attempts)), Version: o.Version,
		CreatedAt: timestamp(o.CreatedAt), UpdatedAt: timestamp(o.UpdatedAt),
	}
	for _, i := range o.Items {
		b.Items = append(b.Items, itemBody(i))
	}
	if o.Failure != nil {
		b.Failure = &failureBody{Code: o.Failure.Code, Message: o.Failure.Message}
	}
	for _, r := range o.Refunds {
		body := refundBody{
			ID: r.ID, Amount: r.Amount, Status: string(r.Status), Reason: r.Reason, Ref: r.Ref, Code: r.Code,
			RequestedAt: timestamp(r.RequestedAt),
		}
		if !r.EndedAt.IsZero() {
			body.EndedAt = timestamp(r.EndedAt)
		}
		b.Refunds = append(b.Refunds, body)
	}
	for i, a := range o.Charge.Attempts {
		b.Attempts[i] = attemptBody{
			Number: o.Charge.Number(i), StartedAt: timestamp(a.StartedAt), Outcome: string(a.Outcome), Code: a.Code,
		}
	}
	return b
}

// timestamp formats t by RFC 3339, in UTC with milliseconds.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

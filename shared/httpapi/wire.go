package httpapi

import "paylane/shared/order"

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

package httpapi

import (
	"encoding/json"

	"paylane/shared/webhook"
	"paylane/shared/wire"
)

const (
	exampleID        = "0199a6c5-1f6e-7c1a-9d0b-3f6e8a2b4c5d"
	exampleWebhookID = "0199a6c7-5d2e-7b4f-8c3a-6e1f0d9b7a54"
	exampleEventID   = "evt_0199a6c5-1f6e-5c1a-9d0b-3f6e8a2b4c5d"
	exampleSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw3vJ5y6Q7h8k="
	exampleTime      = "2026-01-31T09:30:00.000Z"
	exampleLater     = "2026-01-31T09:30:00.120Z"
	exampleCursor    = "AQAAAZwTyydAAZmmxR9ufBqdCz9uiitMXQ"
)

// requestExamples are bodies of requests, by path.
func requestExamples() map[string]map[string]any {
	return map[string]map[string]any{
		"/orders": createExamples(),
		"/webhooks": {
			"all":  createWebhookRequest{URL: "https://shop.example/hooks/paylane"},
			"some": createWebhookRequest{URL: "https://shop.example/hooks/paylane", Events: []string{"order.paid", "order.refunded"}},
		},
		"/webhooks/{id}/resend": {"event": resendRequest{OrderID: exampleID, EventID: exampleEventID}},
		"/orders/{id}/refund": {
			"all":  refundRequest{},
			"part": refundRequest{Amount: 200, Reason: "one cup was broken"},
		},
		"/orders/{id}/pay": {"token": payRequest{PaymentToken: "${token.approved}"}},
	}
}

// createExamples are requests that are accepted; a test sends them.
func createExamples() map[string]any {
	return map[string]any{
		"items": createRequest{
			Amount: 12000, Currency: "KRW", Items: []createItem{{SKU: "TEA-1", Quantity: 2, UnitPrice: 6000}},
			CustomerID: "c-42", PaymentToken: "${token.approved}", Metadata: map[string]string{"cart": "77"},
		},
		"amount":   createRequest{Amount: 12000, PaymentToken: "${token.approved}" + ifRequired},
		"declined": createRequest{Amount: 4999, Currency: "USD", PaymentToken: "${token.declined}"},
	}
}

// createdExamples are the answers to createExamples.
func createdExamples() map[string]any {
	amount := wire.OrderBody{
		ID: exampleID, Status: "PENDING", Amount: 12000, Currency: "KRW", Attempts: []wire.AttemptBody{},
		Version: 1, CreatedAt: exampleTime, UpdatedAt: exampleTime,
	}
	declined := amount
	declined.Amount, declined.Currency = 4999, "USD"
	return map[string]any{"items": examplePending(), "amount": amount, "declined": declined}
}

func examplePending() wire.OrderBody {
	return wire.OrderBody{
		ID: exampleID, Status: "PENDING", Amount: 12000, Currency: "KRW",
		Items: []wire.ItemBody{{SKU: "TEA-1", Quantity: 2, UnitPrice: 6000}}, CustomerID: "c-42",
		Metadata: map[string]string{"cart": "77"}, Attempts: []wire.AttemptBody{},
		Version: 1, CreatedAt: exampleTime, UpdatedAt: exampleTime,
	}
}

func examplePaid() wire.OrderBody {
	o := examplePending()
	o.Status, o.PaymentRef, o.Version, o.UpdatedAt = "PAID", "PAY-5F0C21AB", 3, exampleLater
	o.Attempts = []wire.AttemptBody{{Number: 1, StartedAt: exampleTime, EndedAt: exampleLater, Outcome: "approved"}}
	return o
}

func exampleErased() wire.OrderBody {
	o := examplePaid()
	o.CustomerID, o.Metadata, o.Version = "", nil, 4
	return o
}

func exampleDeclined() wire.OrderBody {
	o := examplePending()
	o.Status, o.Version, o.UpdatedAt = "FAILED", 3, exampleLater
	o.Failure = &wire.FailureBody{Code: "insufficient_funds", Message: "The card has insufficient funds."}
	o.Attempts = []wire.AttemptBody{{Number: 1, StartedAt: exampleTime, EndedAt: exampleLater, Outcome: "declined", Code: "insufficient_funds"}}
	return o
}

func exampleCanceled() wire.OrderBody {
	o := examplePending()
	o.Status, o.Version, o.UpdatedAt = "CANCELED", 2, exampleLater
	return o
}

func exampleRefunding() wire.OrderBody {
	o := examplePaid()
	o.Status, o.Version = "REFUNDING", 4
	o.Refunds = []wire.RefundBody{{ID: exampleID, Amount: 12000, Status: "PENDING", RequestedAt: exampleLater}}
	return o
}

func exampleRetried() wire.OrderBody {
	o := examplePending()
	o.Version, o.UpdatedAt = 8, exampleLater
	for n := 1; n <= 3; n++ {
		o.Attempts = append(o.Attempts, wire.AttemptBody{Number: n, StartedAt: exampleTime, EndedAt: exampleLater, Outcome: "unavailable"})
	}
	o.Attempts[2].Code = "gateway_unavailable"
	return o
}

// exampleEvent is the event of an order that has just become PAID.
func exampleEvent() map[string]string {
	data, err := json.Marshal(examplePaid())
	if err != nil {
		panic(err) // fails the test
	}
	return map[string]string{"event": "order", "id": "3", "data": string(data)}
}

// exampleWebhook is new if it has a secret.
func exampleWebhook(secret string) webhookBody {
	b := newWebhookBody(webhook.Registered{Endpoint: webhook.Endpoint{ID: exampleWebhookID, URL: "https://shop.example/hooks/paylane"}})
	b.Secret, b.CreatedAt = secret, exampleTime
	if secret == "" {
		b.Successes = []deliveryBody{{
			EventID: "evt_0199a6c5-1f6e-5c1a-9d0b-3f6e8a2b4c5d", Type: "order.paid", OrderID: exampleID, At: exampleLater, Receives: 1, Status: 204, Milliseconds: 12,
		}}
	}
	return b
}

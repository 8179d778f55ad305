package httpapi

import (
	"encoding/json"
)

const (
	exampleID     = "0199a6c5-1f6e-7c1a-9d0b-3f6e8a2b4c5d"
	exampleTime   = "2026-01-31T09:30:00.000Z"
	exampleLater  = "2026-01-31T09:30:00.120Z"
	exampleCursor = "AQAAAZwTyydAAZmmxR9ufBqdCz9uiitMXQ"
)

// requestExamples are bodies of requests, by path.
func requestExamples() map[string]map[string]any {
	return map[string]map[string]any{
		"/orders": createExamples(),
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
	amount := orderBody{
		ID: exampleID, Status: "PENDING", Amount: 12000, Currency: "KRW", Attempts: []attemptBody{},
		Version: 1, CreatedAt: exampleTime, UpdatedAt: exampleTime,
	}
	declined := amount
	declined.Amount, declined.Currency = 4999, "USD"
	return map[string]any{"items": examplePending(), "amount": amount, "declined": declined}
}

func examplePending() orderBody {
	return orderBody{
		ID: exampleID, Status: "PENDING", Amount: 12000, Currency: "KRW",
		Items: []itemBody{{SKU: "TEA-1", Quantity: 2, UnitPrice: 6000}}, CustomerID: "c-42",
		Metadata: map[string]string{"cart": "77"}, Attempts: []attemptBody{},
		Version: 1, CreatedAt: exampleTime, UpdatedAt: exampleTime,
	}
}

func examplePaid() orderBody {
	o := examplePending()
	o.Status, o.PaymentRef, o.Version, o.UpdatedAt = "PAID", "PAY-5F0C21AB", 3, exampleLater
	o.Attempts = []attemptBody{{Number: 1, StartedAt: exampleTime, Outcome: "approved"}}
	return o
}

func exampleErased() orderBody {
	o := examplePaid()
	o.CustomerID, o.Metadata, o.Version = "", nil, 4
	return o
}

func exampleDeclined() orderBody {
	o := examplePending()
	o.Status, o.Version, o.UpdatedAt = "FAILED", 3, exampleLater
	o.Failure = &failureBody{Code: "insufficient_funds", Message: "The card has insufficient funds."}
	o.Attempts = []attemptBody{{Number: 1, StartedAt: exampleTime, Outcome: "declined", Code: "insufficient_funds"}}
	return o
}

func exampleCanceled() orderBody {
	o := examplePending()
	o.Status, o.Version, o.UpdatedAt = "CANCELED", 2, exampleLater
	return o
}

func exampleRefunding() orderBody {
	o := examplePaid()
	o.Status, o.Version = "REFUNDING", 4
	o.Refunds = []refundBody{{ID: exampleID, Amount: 12000, Status: "PENDING", RequestedAt: exampleLater}}
	return o
}

func exampleRetried() orderBody {
	o := examplePending()
	o.Version, o.UpdatedAt = 8, exampleLater
	for n := 1; n <= 3; n++ {
		o.Attempts = append(o.Attempts, attemptBody{Number: n, StartedAt: exampleTime, Outcome: "unavailable"})
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

package load

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"paylane/cmd/paylane/internal/apiclient"
	"paylane/shared/order"
	"paylane/shared/smoke"
)

// orderView is what the driver reads of an order.
type orderView struct {
	ID        uuid.UUID    `json:"id"`
	Status    order.Status `json:"status"`
	CreatedAt time.Time    `json:"createdAt"`
	UpdatedAt time.Time    `json:"updatedAt"`
}

// orderRequest returns the body of every order: an ordinary one, as a shop would send it.
func orderRequest(paymentToken string) ([]byte, error) {
	type item struct {
		SKU       string `json:"sku"`
		Quantity  int    `json:"quantity"`
		UnitPrice int    `json:"unitPrice"`
	}
	body, err := json.Marshal(struct {
		Amount       int               `json:"amount"`
		Currency     string            `json:"currency"`
		Items        []item            `json:"items"`
		CustomerID   string            `json:"customerId"`
		PaymentToken string            `json:"paymentToken"`
		Metadata     map[string]string `json:"metadata"`
	}{12000, "KRW", []item{{"TEA-1", 2, 6000}}, "c-42", paymentToken, map[string]string{"cart": "77"}})
	if err != nil {
		return nil, fmt.Errorf("encode the order: %w", err)
	}
	return body, nil
}

// askFor sends a request and decodes the answer into v if it has that status. Another
// status is a [*statusError].
func askFor(ctx context.Context, t *apiclient.Client, status int, v any, method, path string, body []byte) (smoke.Answer, error) {
	a, err := t.Ask(ctx, method, path, nil, body)
	if err != nil {
		return a, err
	}
	if a.Status != status {
		return a, fmt.Errorf("%s %s: %w", method, path, &statusError{status: a.Status, body: string(a.Body)})
	}
	if err := json.Unmarshal(a.Body, v); err != nil {
		return a, fmt.Errorf("decode the answer to %s %s: %w", method, path, err)
	}
	return a, nil
}

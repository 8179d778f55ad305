package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// sink is a store and a queue that take everything and keep nothing.
type sink struct {
	order.Store
}

func (sink) Create(context.Context, order.Order) error { return nil }

func (sink) Send(context.Context, string, time.Duration) (string, error) { return "", nil }

// BenchmarkCreate is POST /orders from http.Request to response: decoding, validation,
// the use case and the answer, with a store and a queue that cost nothing.
func BenchmarkCreate(b *testing.B) {
	const body = `{"amount": 12000, "currency": "KRW", "items": [{"sku": "TEA-1", "quantity": 2, "unitPrice": 6000}], "customerId": "c-42", "paymentToken": "tok_ok", "metadata": {"cart": "77"}}`
	a := newAPI(b, func(c *pipeline.CheckoutConfig) { c.Store, c.Queue = sink{}, sink{} })
	ctx := context.WithValue(b.Context(), tenantKey{}, "t")
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/orders", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if a.handler.ServeHTTP(w, r); w.Code != http.StatusCreated {
			b.Fatal(w.Code, w.Body)
		}
	}
}

package pipeline_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"paylane/shared/gateway/simulator"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// sink is a store and a queue that accept everything and keep nothing.
type sink struct {
	order.Store
}

func (sink) Create(context.Context, order.Order) error { return nil }

func (sink) Send(context.Context, string, time.Duration) (string, error) { return "", nil }

// BenchmarkCreate measures the use case alone, with a store and a queue that cost nothing.
func BenchmarkCreate(b *testing.B) {
	checkout := pipeline.NewCheckout(pipeline.CheckoutConfig{
		Store: sink{}, Queue: sink{}, Tokens: simulator.New(time.Now), Now: time.Now,
		NewID: func() (string, error) { return uuid.NewString(), nil },
	})
	request := order.Request{
		Amount: 12_000, Currency: "KRW", CustomerID: "c-42", PaymentToken: "tok_ok",
		Items:    []order.Item{{SKU: "TEA-1", Quantity: 2, UnitPrice: 6000}},
		Metadata: map[string]string{"cart": "77"},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := checkout.Create(b.Context(), tenant, "", request); err != nil {
			b.Fatal(err)
		}
	}
}

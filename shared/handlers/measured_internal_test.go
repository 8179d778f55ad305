package handlers

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"paylane/shared/gateway"
)

type bookless struct{ gateway.Provider }

type bookkeeper struct{ bookless }

func (bookkeeper) Entries(context.Context, gateway.EntryQuery) (gateway.EntryPage, error) {
	return gateway.EntryPage{Next: "more"}, nil
}

// TestMeasuredLedger: a gateway has books, being measured, if it has any.
func TestMeasuredLedger(t *testing.T) {
	for _, test := range []struct {
		gateway gateway.Provider
		want    bool
	}{{bookless{}, false}, {bookkeeper{}, true}} {
		s := Services{
			Now: time.Now, Traces: noop.NewTracerProvider(),
			Gateway: func(string) (gateway.Provider, error) { return test.gateway, nil },
		}
		opened, err := s.measured().Gateway("any")
		if err != nil {
			t.Fatal(err)
		}
		ledger, ok := opened.(gateway.Ledger)
		if ok != test.want {
			t.Errorf("%T has books: %t", test.gateway, ok)
		}
		if !ok {
			continue
		}
		if page, err := ledger.Entries(t.Context(), gateway.EntryQuery{}); err != nil || page.Next != "more" {
			t.Errorf("%+v, %v", page, err)
		}
	}
}

package pebblestore_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/contract"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
)

func TestScanner(t *testing.T) {
	for name := range places(t) {
		t.Run(name, func(t *testing.T) {
			contract.RunScanner(t, func(t *testing.T) contract.ScanStore { return open(t, places(t)[name]).Store() })
		})
	}
}

// fickle is a context that ends after Err has been called a number of times.
type fickle struct {
	context.Context
	looks atomic.Int64 // left before the end
}

func (f *fickle) Err() error {
	if f.looks.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestScanCutShort: a page that the context's end cut short is an error, not the last page.
func TestScanCutShort(t *testing.T) {
	const orders = 20
	s := open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()}).Store()
	for n := range orders {
		ref := order.Ref{Tenant: "t", ID: order.KeyedID("t", fmt.Sprint(n))}
		if err := s.Create(t.Context(), order.New(ref, order.Request{Amount: 1}, "", time.Unix(1, 0))); err != nil {
			t.Fatal(err)
		}
	}
	cut := 0
	for looks := range int64(2 * orders) {
		ctx := &fickle{Context: t.Context()}
		ctx.looks.Store(looks)
		page, err := s.Scan(ctx, order.ScanQuery{Segments: 1, Limit: 100})
		switch {
		case errors.Is(err, context.Canceled):
			cut++
		case err != nil || len(page.Orders) != orders:
			t.Errorf("after %d looks at the context: %d orders, %v", looks, len(page.Orders), err)
		}
	}
	if cut < orders {
		t.Errorf("%d scans were cut short", cut)
	}
}

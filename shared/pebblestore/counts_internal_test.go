package pebblestore

import (
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/order"
)

// TestCountsComeLater: nothing is said before all orders are counted, and what changed by then is
// in the counts.
func TestCountsComeLater(t *testing.T) {
	db, err := Open(Options{Dir: "data", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	create := func(id string) order.Order {
		o := order.New(order.Ref{Tenant: "t", ID: id}, order.Request{Amount: 1, Currency: "KRW"}, "", time.Now())
		if err := db.Store().Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	old := create("old")
	db.counts = counts{} // as in a database that was opened just now
	snapshot := db.pebble.NewSnapshot()
	create("new")
	old.Status, old.Version = order.Paid, old.Version+1
	if err := db.Store().Update(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if got := db.Counts(); got != nil {
		t.Errorf("before all are counted: %v", got)
	}
	db.countOrders(snapshot)
	if got := db.Counts(); got[order.Pending] != 1 || got[order.Paid] != 1 {
		t.Errorf("when all are counted: %v, want one PENDING and one PAID", got)
	}
}

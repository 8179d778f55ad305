package pebblestore_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
	"paylane/shared/pebblestore"
)

func openCounting(t *testing.T, fs vfs.FS) *pebblestore.DB {
	t.Helper()
	return open(t, pebblestore.Options{Dir: "data", FS: fs, Count: true})
}

// wantCounts waits until the orders are counted. Statuses that want lacks have none.
func wantCounts(t *testing.T, step string, db *pebblestore.DB, want map[order.Status]int) {
	t.Helper()
	synctest.Wait()
	all := map[order.Status]int{
		order.Pending: 0, order.Processing: 0, order.Paid: 0, order.Failed: 0, order.Canceled: 0, order.Refunding: 0, order.Refunded: 0,
	}
	for status, n := range want {
		all[status] = n
	}
	if diff := cmp.Diff(all, db.Counts()); diff != "" {
		t.Errorf("%s: the counts (-want +got):\n%s", step, diff)
	}
}

// TestCounts: every change counts, also after the database was closed and opened again.
// Tombstones count neither while they are there, nor when they go or an order takes their place.
func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openCounting(t, fs)
		reopen := func() {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = openCounting(t, fs)
		}
		wantCounts(t, "empty", db, nil)
		a, b := storeOrder(t, db, newOrder("t", "a")), storeOrder(t, db, newOrder("u", "b"))
		wantCounts(t, "created", db, map[order.Status]int{order.Pending: 2})
		storeOrder(t, db, nextIn(a, order.Processing))
		b = storeOrder(t, db, nextIn(b, order.Pending))
		wantCounts(t, "changed", db, map[order.Status]int{order.Pending: 1, order.Processing: 1})
		storeOrder(t, db, nextIn(b, order.Canceled))
		void, expiring := order.NewVoid(order.Ref{Tenant: "t", ID: "c"}, time.Now()), order.NewVoid(order.Ref{Tenant: "t", ID: "d"}, time.Now())
		storeOrder(t, db, void)
		storeOrder(t, db, expiring)
		storeOrder(t, db, order.NewVoid(order.Ref{Tenant: "t", ID: "e"}, time.Now()))
		want := map[order.Status]int{order.Processing: 1, order.Canceled: 1}
		wantCounts(t, "with tombstones", db, want)
		reopen()
		wantCounts(t, "opened again", db, want)
		storeOrder(t, db, newOrder("t", "c").InPlaceOf(void))
		want[order.Pending]++
		wantCounts(t, "in a tombstone's place", db, want)
		time.Sleep(time.Until(expiring.ExpiresAt))
		storeOrder(t, db, newOrder("t", "d"))
		want[order.Pending]++
		wantCounts(t, "after a tombstone's time", db, want)
		time.Sleep(2 * time.Minute)
		wantCounts(t, "swept", db, want)
		reopen()
		wantCounts(t, "opened at last", db, want)
	})
}

// TestCountsWhileWriting: what is written while the orders are counted is counted once.
func TestCountsWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const orders, writers = 4000, 8
		fs := vfs.NewMem()
		db := openCounting(t, fs)
		side := func(write func(i int)) {
			var all sync.WaitGroup
			for w := range writers {
				all.Go(func() {
					for i := w; i < orders; i += writers {
						write(i)
					}
				})
			}
			all.Wait()
		}
		old := make([]order.Order, orders)
		side(func(i int) { old[i] = storeOrder(t, db, newOrder("t", fmt.Sprintf("old-%04d", i))) })
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		// With one thread the first write comes before whatever the opening left to be done.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		db = openCounting(t, fs)
		storeOrder(t, db, newOrder("t", "new"))
		side(func(i int) {
			switch i % 4 {
			case 0:
				storeOrder(t, db, nextIn(storeOrder(t, db, nextIn(old[orders-1-i], order.Processing)), order.Paid))
			case 1:
				storeOrder(t, db, newOrder("t", fmt.Sprintf("new-%04d", i)))
			}
		})
		wantCounts(t, "counted", db, map[order.Status]int{order.Pending: orders + 1, order.Paid: orders / 4})
	})
}

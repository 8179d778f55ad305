package pebblestore_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/order"
	"paylane/shared/pebblestore"
)

// Lists don't lag behind writes, which the contract would allow.
func TestAListDoesNotLag(t *testing.T) {
	s := open(t, pebblestore.Options{Dir: t.TempDir()}).Store()
	for i := range 50 {
		o := newOrder("t", fmt.Sprint(i))
		if err := s.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		page, err := s.List(t.Context(), order.Query{Tenant: "t", Limit: 100})
		if err != nil || len(page.Orders) != i+1 {
			t.Fatalf("after %d creates the list has %d orders, %v", i+1, len(page.Orders), err)
		}
	}
}

// A filtered page reads at most order.MaxFiltered orders, and then says where to continue.
func TestAFilteredPageIsBounded(t *testing.T) {
	const orders = 2*order.MaxFiltered + order.MaxFiltered/2
	s := open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()}).Store()
	var creates sync.WaitGroup
	for i := range orders {
		creates.Go(func() {
			o := newOrder("t", fmt.Sprintf("%04d", i))
			o.CreatedAt = time.UnixMilli(int64(i))
			if i%2 == 0 {
				o.CustomerID = "even"
			}
			if i == 10 {
				o.Status = order.Paid
			}
			if i == 20 {
				o.Status = order.Failed
			}
			if err := s.Create(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	creates.Wait()
	for _, test := range []struct {
		customer string
		status   order.Status
		found    []int // by page
	}{
		{"", order.Paid, []int{0, 0, 1}},
		{"", order.Processing, []int{0, 0, 0}},
		{"", order.Failed, []int{1}}, // has an index
		{"", order.Pending, []int{10}},
		{"even", order.Paid, []int{0, 1}},
		{"even", order.Failed, []int{0, 1}},
		{"even", order.Pending, []int{10}},
		{"odd", order.Paid, []int{0}},
	} {
		q := order.Query{Tenant: "t", CustomerID: test.customer, Status: test.status, Limit: 10}
		for i, want := range test.found {
			page, err := s.List(t.Context(), q)
			if err != nil || len(page.Orders) != want {
				t.Errorf("page %d of %s of %q has %d orders, want %d (%v)", i, test.status, test.customer, len(page.Orders), want, err)
			}
			last := i == len(test.found)-1
			if (page.Next == nil) != (last && test.status != order.Pending) {
				t.Fatalf("page %d of %s of %q has the next %v", i, test.status, test.customer, page.Next)
			}
			q.After = page.Next
		}
	}
}

// A tombstone that has expired is absent, whether it was swept or not; an order in its place
// stays.
func TestTombstonesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openFor(t, fs)
		s := db.Store()
		start := time.Now()
		void := order.NewVoid(order.Ref{Tenant: "t", ID: "void"}, start)
		replaced := order.NewVoid(order.Ref{Tenant: "t", ID: "replaced"}, start)
		fenced := order.NewVoid(order.Ref{Tenant: "t", ID: "fenced"}, start)
		for _, o := range []order.Order{void, replaced, fenced} {
			if err := s.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Update(t.Context(), newOrder("t", "replaced").InPlaceOf(replaced)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		again, err := fenced.Fenced(time.Now()) // expires an hour later
		if err == nil {
			err = s.Update(t.Context(), again)
		}
		if err != nil {
			t.Fatal(err)
		}

		// Around the expiry, and before the next sweep.
		time.Sleep(time.Until(void.ExpiresAt) - time.Millisecond)
		if _, err := s.Get(t.Context(), void.Ref); err != nil {
			t.Errorf("just before the expiry: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
		if _, err := s.Get(t.Context(), void.Ref); !errors.Is(err, order.ErrNotFound) {
			t.Errorf("just after the expiry: the error is %v, want order.ErrNotFound", err)
		}
		if _, err := s.Claim(t.Context(), void.Ref, claimNow()); !errors.Is(err, order.ErrNotFound) {
			t.Errorf("a claim just after the expiry: the error is %v, want order.ErrNotFound", err)
		}
		if _, err := s.Get(t.Context(), fenced.Ref); err != nil {
			t.Errorf("the fenced tombstone: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if err := s.Create(t.Context(), newOrder("t", "void")); err != nil {
			t.Errorf("create where a tombstone was swept: %v", err)
		}
		time.Sleep(2 * time.Hour)
		for _, id := range []string{"void", "replaced"} {
			if o, err := s.Get(t.Context(), order.Ref{Tenant: "t", ID: id}); err != nil || o.Status != order.Pending {
				t.Errorf("the order %s: %+v, %v", id, o, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		// Two orders, each with its list entry, and the two counts of openings.
		if keys := countKeys(t, fs); keys != 6 {
			t.Errorf("%d keys are left, want 6", keys)
		}
	})
}

func countKeys(t *testing.T, fs vfs.FS) (n int) {
	t.Helper()
	db, err := pebble.Open("data", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatValueSeparation, Logger: nolog{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	iter, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for ok := iter.First(); ok; ok = iter.Next() {
		n++
	}
	if err := iter.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

type nolog struct{}

func (nolog) Infof(string, ...any)           {}
func (nolog) Errorf(string, ...any)          {}
func (nolog) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// A queue whose messages were deleted, moved and swept leaves nothing behind.
func TestADrainedQueueIsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		db := openFor(t, fs)
		q, dead := openBothFor(t, db, time.Hour)
		killMessage(t, q, "poison")
		send(t, q, "deleted", 0)
		deleteMessage(t, q, receive(t, q, time.Second).ReceiptHandle)
		deleteMessage(t, dead, receive(t, dead, time.Second).ReceiptHandle)
		killMessage(t, q, "moved back")
		startMove(t, dead)
		receive(t, q, time.Second)
		time.Sleep(2 * time.Hour)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if keys := countKeys(t, fs); keys != 2 {
			t.Errorf("%d keys are left, want the two counts of openings", keys)
		}
	})
}

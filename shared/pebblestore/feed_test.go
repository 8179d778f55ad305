package pebblestore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
	"paylane/shared/pebblestore"
)

// everyChange keeps all changes.
func everyChange(string, order.Status, order.Status) bool { return true }

// toAnEnd keeps the changes of orders that end.
func toAnEnd(_ string, before, after order.Status) bool { return after.End() && before != after }

func openFeed(t *testing.T, fs vfs.FS, keep func(tenant string, before, after order.Status) bool) *pebblestore.DB {
	return open(t, pebblestore.Options{Dir: "data", FS: fs, Feed: keep})
}

// readFeed reads at most limit changes after a number, without waiting.
func readFeed(t *testing.T, db *pebblestore.DB, after uint64, limit int) []pebblestore.Change {
	t.Helper()
	changes, err := db.Feed().Read(t.Context(), after, limit, 0)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

// storeOrder creates an order, or replaces it.
func storeOrder(t *testing.T, db *pebblestore.DB, o order.Order) order.Order {
	t.Helper()
	var err error
	if o.Version == 1 {
		err = db.Store().Create(t.Context(), o)
	} else {
		err = db.Store().Update(t.Context(), o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// nextIn returns the order's next version, with a status.
func nextIn(o order.Order, status order.Status) order.Order {
	o.Status, o.Version = status, o.Version+1
	return o
}

func ends(changes []pebblestore.Change) (ends []string) {
	for _, c := range changes {
		before := "-"
		if c.Before != nil {
			before = fmt.Sprint(c.Before.Status, c.Before.Version)
		}
		ends = append(ends, fmt.Sprint(c.After.ID, ": ", before, " to ", c.After.Status, c.After.Version))
	}
	return ends
}

func wantEnds(t *testing.T, changes []pebblestore.Change, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, ends(changes)); diff != "" {
		t.Errorf("the changes (-want +got):\n%s", diff)
	}
}

// TestFeed: what is kept, with the orders as they were stored, and how it is read.
func TestFeed(t *testing.T) {
	clock := time.Date(2026, 3, 14, 9, 26, 53, 589e6, time.UTC)
	db := open(t, pebblestore.Options{
		Dir: "data", FS: vfs.NewMem(), Now: func() time.Time { return clock },
		Feed: func(_ string, before, after order.Status) bool { return before == "" || after.End() },
	})
	a, b := newOrder("t", "a"), newOrder("t/2", "b")
	a.CreatedAt, a.UpdatedAt = a.CreatedAt.Truncate(time.Millisecond).UTC(), a.UpdatedAt.Truncate(time.Millisecond).UTC()
	storeOrder(t, db, a)
	processing := storeOrder(t, db, nextIn(a, order.Processing))
	clock = clock.Add(time.Second)
	paid := storeOrder(t, db, nextIn(processing, order.Paid))
	// A tombstone is shown neither by itself, nor when an order takes its place.
	void := order.NewVoid(b.Ref, clock)
	storeOrder(t, db, void)
	again, err := void.Fenced(clock)
	if err != nil {
		t.Fatal(err)
	}
	storeOrder(t, db, again)
	storeOrder(t, db, b.InPlaceOf(again))

	all := readFeed(t, db, 0, 10)
	wantEnds(t, all, "a: - to PENDING1", "a: PROCESSING2 to PAID3", "b: - to PENDING3")
	if diff := cmp.Diff([]*order.Order{&processing, &paid}, []*order.Order{all[1].Before, all[1].After}); diff != "" {
		t.Errorf("the orders before and after (-want +got):\n%s", diff)
	}
	if !all[1].At.Equal(clock) || !all[0].At.Equal(clock.Add(-time.Second)) {
		t.Errorf("the changes happened at %v and %v", all[0].At, all[1].At)
	}
	wantEnds(t, readFeed(t, db, 0, 2), "a: - to PENDING1", "a: PROCESSING2 to PAID3")
	wantEnds(t, readFeed(t, db, all[0].Number, 1), "a: PROCESSING2 to PAID3")
	wantEnds(t, readFeed(t, db, all[2].Number, 10))
	if newest := db.Feed().Newest(); newest != all[2].Number {
		t.Errorf("the newest is %d, want %d", newest, all[2].Number)
	}
}

// TestFeedIsForgotten: what is forgotten is gone, also from the next opening on, and what
// comes then has higher numbers.
func TestFeedIsForgotten(t *testing.T) {
	fs := vfs.NewMem()
	db := openFeed(t, fs, everyChange)
	o := storeOrder(t, db, newOrder("t", "a"))
	for range 4 {
		o = storeOrder(t, db, nextIn(o, order.Pending))
	}
	first := readFeed(t, db, 0, 10)
	for _, upTo := range []uint64{first[1].Number, first[1].Number, first[0].Number, first[2].Number} {
		if err := db.Feed().Forget(t.Context(), upTo); err != nil {
			t.Fatal(err)
		}
	}
	wantEnds(t, readFeed(t, db, 0, 10), "a: PENDING3 to PENDING4", "a: PENDING4 to PENDING5")
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openFeed(t, fs, everyChange)
		if newest := db.Feed().Newest(); newest < first[4].Number {
			t.Errorf("after an opening the newest is %d, want %d at least", newest, first[4].Number)
		}
		wantEnds(t, readFeed(t, db, 0, 10), "a: PENDING3 to PENDING4", "a: PENDING4 to PENDING5")
	}
	storeOrder(t, db, nextIn(o, order.Paid))
	wantEnds(t, readFeed(t, db, first[4].Number, 10), "a: PENDING5 to PAID6")
	// Beyond the newest: what is still to come is not forgotten.
	if err := db.Feed().Forget(t.Context(), 1<<63); err != nil {
		t.Fatal(err)
	}
	wantEnds(t, readFeed(t, db, 0, 10))
	storeOrder(t, db, newOrder("t", "b"))
	wantEnds(t, readFeed(t, db, 0, 10), "b: - to PENDING1")
	if err := db.Feed().Forget(t.Context(), db.Feed().Newest()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// Two orders, each with its list entry, and the two counts of openings.
	if keys := countKeys(t, fs); keys != 6 {
		t.Errorf("%d keys are left, want 6", keys)
	}
}

// TestFeedWaits: a read returns with the change that it waits for, or once its time is over.
func TestFeedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := (&countingFS{}).over(vfs.NewMem())
		db := openFeed(t, fs, toAnEnd)
		o := storeOrder(t, db, newOrder("t", "a"))
		after := db.Feed().Newest()
		begun := time.Now()
		changes, err := db.Feed().Read(t.Context(), after, 10, time.Minute)
		if len(changes) > 0 || err != nil || time.Since(begun) != time.Minute {
			t.Errorf("after %v without a change: %v, %v", time.Since(begun), ends(changes), err)
		}

		var took time.Duration
		before := fs.syncs.Load()
		read := start(func() {
			changes, err = db.Feed().Read(t.Context(), after, 10, time.Hour)
			took = time.Since(begun)
		})
		o = storeOrder(t, db, nextIn(o, order.Processing)) // which is not kept
		if read() {
			t.Error("a change that is not kept ended the wait")
		}
		begun = time.Now()
		storeOrder(t, db, nextIn(o, order.Paid))
		written := time.Since(begun)
		if !read() || err != nil || took > written {
			t.Errorf("the read returned %v after the change was begun, which took %v (%v)", took, written, err)
		}
		wantEnds(t, changes, "a: PROCESSING2 to PAID3")
		if syncs := fs.syncs.Load() - before; syncs != 2 {
			t.Errorf("two writes took %d fsyncs, want 2", syncs)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		_, err = db.Feed().Read(ctx, db.Feed().Newest(), 10, time.Hour)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("after %v, with a deadline of a second, the error is %v", time.Since(begun), err)
		}
	})
}

// TestFeedShowsOnlyWhatIsDurable: a change is neither read, nor passed over, nor forgotten
// while its fsync is outstanding.
func TestFeedShowsOnlyWhatIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := (&countingFS{}).over(vfs.NewMem())
		db := openFeed(t, fs, everyChange)
		storeOrder(t, db, newOrder("t", "a"))
		held := make(chan struct{})
		gate := func() { <-held }
		fs.gate.Store(&gate)
		written := start(func() { storeOrder(t, db, newOrder("t", "b")) })
		written()
		first := readFeed(t, db, 0, 10)
		wantEnds(t, first, "a: - to PENDING1")
		if newest := db.Feed().Newest(); newest != first[0].Number {
			t.Errorf("the newest is %d, want %d", newest, first[0].Number)
		}
		if err := db.Feed().Forget(t.Context(), first[0].Number+1); err != nil {
			t.Fatal(err)
		}
		var second []pebblestore.Change
		read := start(func() { second, _ = db.Feed().Read(t.Context(), first[0].Number, 10, time.Hour) })
		if read() {
			t.Error("the read returned before the change was durable")
		}
		fs.gate.Store(nil)
		close(held)
		if !read() || !written() {
			t.Error("the calls did not return after the fsync")
		}
		wantEnds(t, second, "b: - to PENDING1")
	})
}

// asked is a context that calls a function when it is asked for its error the at-th time.
type asked struct {
	context.Context
	at   int
	call func()
}

func (a *asked) Err() error {
	if a.at--; a.at == 0 {
		a.call()
	}
	return a.Context.Err()
}

// TestFeedPassesOverNothing: a change that comes during a read is what it returns, at whatever
// moment of the read it becomes durable.
func TestFeedPassesOverNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openFeed(t, vfs.NewMem(), everyChange)
		for at := 1; ; at++ {
			id, after := fmt.Sprint("order ", at), db.Feed().Newest()
			begun, within := time.Now(), false
			ctx := &asked{t.Context(), at, func() {
				within = time.Since(begun) < time.Hour
				storeOrder(t, db, newOrder("t", id))
			}}
			changes, err := db.Feed().Read(ctx, after, 10, time.Hour)
			switch {
			case err != nil:
				t.Fatal(err)
			case !within && at == 1:
				t.Fatal("the read never asks its context, so nothing was written during it")
			case !within: // all moments were tried
				return
			}
			wantEnds(t, changes, id+": - to PENDING1")
		}
	})
}

// TestCloseEndsAReadOfTheFeed: also one that waits for long.
func TestCloseEndsAReadOfTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openFeed(t, vfs.NewMem(), everyChange)
		var err error
		read := start(func() { _, err = db.Feed().Read(t.Context(), db.Feed().Newest(), 10, time.Hour) })
		if read() {
			t.Fatal("the read did not wait")
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if !read() || !errors.Is(err, order.ErrUnavailable) {
			t.Errorf("the read's error is %v, want order.ErrUnavailable", err)
		}
		if _, err := db.Feed().Read(t.Context(), 0, 10, 0); !errors.Is(err, order.ErrUnavailable) {
			t.Errorf("a read of a closed database: %v, want order.ErrUnavailable", err)
		}
		if err := db.Feed().Forget(t.Context(), 1); !errors.Is(err, order.ErrUnavailable) {
			t.Errorf("a forget in a closed database: %v, want order.ErrUnavailable", err)
		}
	})
}

// changeOrders creates and changes orders until it is enough: some that only this writer
// changes, and one that all do.
func changeOrders(ctx context.Context, s *pebblestore.Store, name int, enough func() bool) error {
	rng := rand.New(rand.NewPCG(1, uint64(name)))
	for !enough() {
		ref := order.Ref{Tenant: "t", ID: fmt.Sprint(name, "-", rng.IntN(5))}
		if rng.IntN(3) == 0 {
			ref.ID = "shared"
		}
		current, err := s.Get(ctx, ref)
		switch {
		case errors.Is(err, order.ErrNotFound):
			err = s.Create(ctx, newOrder(ref.Tenant, ref.ID))
		case err == nil:
			err = s.Update(ctx, nextIn(current, order.Statuses()[rng.IntN(len(order.Statuses()))]))
		}
		// After a conflict another writer was faster.
		if conflict := new(order.ConflictError); err != nil && !errors.As(err, &conflict) {
			return err
		}
	}
	return nil
}

// feedHistory is what was read from a feed.
type feedHistory struct {
	after    uint64
	versions map[string][]int64 // by order
}

// read reads what comes next, and reports whether there was anything.
func (h *feedHistory) read(t *testing.T, db *pebblestore.DB, limit int) bool {
	t.Helper()
	changes, err := db.Feed().Read(t.Context(), h.after, limit, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Number <= h.after {
			t.Errorf("change %d comes after change %d", c.Number, h.after)
		}
		if before := c.After.Version - 1; before > 0 && (c.Before == nil || c.Before.Version != before) {
			t.Errorf("change %d of order %s is not from version %d: %+v", c.Number, c.After.ID, before, c.Before)
		}
		h.after = c.Number
		h.versions[c.After.ID] = append(h.versions[c.After.ID], c.After.Version)
	}
	return len(changes) > 0
}

// TestFeedOfManyWriters: a reader that is slower than they are sees each change exactly once,
// and those of an order in the order of its versions.
func TestFeedOfManyWriters(t *testing.T) {
	const writers, steps = 8, 150
	db := openFeed(t, vfs.NewMem(), everyChange)
	var working sync.WaitGroup
	for name := range writers {
		working.Go(func() {
			step := 0
			if err := changeOrders(t.Context(), db.Store(), name, func() bool { step++; return step > steps }); err != nil {
				t.Error(err)
			}
		})
	}
	ended := make(chan struct{})
	go func() { working.Wait(); close(ended) }()
	h := feedHistory{versions: map[string][]int64{}}
	for running := true; running; {
		select {
		case <-ended:
			running = false
		default:
		}
		for h.read(t, db, 3) && running {
		}
	}
	for h.read(t, db, 100) {
	}
	page, err := db.Store().List(t.Context(), order.Query{Tenant: "t", Limit: 1000})
	if err != nil || len(page.Orders) < writers {
		t.Fatalf("there are %d orders, %v", len(page.Orders), err)
	}
	want := map[string][]int64{}
	for _, o := range page.Orders {
		for version := range o.Version {
			want[o.ID] = append(want[o.ID], version+1)
		}
	}
	if diff := cmp.Diff(want, h.versions); diff != "" {
		t.Errorf("the versions that were read (-want +got):\n%s", diff)
	}
}

// TestFeedAfterACrash: whatever a cut of the power leaves, the feed has each change of the
// orders that are there, and no other, except that the oldest may be forgotten. What was read
// before is there as it was.
func TestFeedAfterACrash(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 0))
			fs := vfs.NewCrashableMem()
			h := &crashedFeed{read: map[string]int64{}, forgotten: map[string]int64{}}
			for cut := range 5 {
				db := openFeed(t, fs, everyChange)
				h.check(t, db, cut)
				fs = h.liveAndCrash(t, db, fs, rng)
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if len(h.forgotten) == 0 {
				t.Error("nothing was forgotten; the test shows little")
			}
		})
	}
}

// crashedFeed is what is known of a feed: the newest version of each order that was read, and
// that was forgotten.
type crashedFeed struct {
	after           uint64
	read, forgotten map[string]int64
}

// liveAndCrash has writers and a reader work, cuts the power, and returns what is on disk.
func (c *crashedFeed) liveAndCrash(t *testing.T, db *pebblestore.DB, fs *vfs.MemFS, rng *rand.Rand) *vfs.MemFS {
	t.Helper()
	var stop atomic.Bool
	var working sync.WaitGroup
	for name := range 4 {
		working.Go(func() {
			if err := changeOrders(t.Context(), db.Store(), name, stop.Load); err != nil {
				t.Error(err)
			}
		})
	}
	h := feedHistory{after: c.after, versions: map[string][]int64{}}
	note := func(known map[string]int64) {
		for id, versions := range h.versions {
			known[id] = versions[len(versions)-1]
		}
	}
	for reads := 20 + rng.IntN(100); reads > 0; reads-- {
		h.read(t, db, 1+rng.IntN(20))
		if rng.IntN(10) == 0 {
			c.after = h.after
			note(c.forgotten)
			if err := db.Feed().Forget(t.Context(), c.after); err != nil {
				t.Fatal(err)
			}
		}
	}
	note(c.read)
	left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[rng.IntN(3)], RNG: rng})
	stop.Store(true)
	working.Wait()
	return left
}

// check compares all of a feed with the orders.
func (c *crashedFeed) check(t *testing.T, db *pebblestore.DB, cut int) {
	t.Helper()
	h := feedHistory{versions: map[string][]int64{}}
	for h.read(t, db, 1000) {
	}
	page, err := db.Store().List(t.Context(), order.Query{Tenant: "t", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	want, stored := map[string][]int64{}, map[string]int64{}
	for _, o := range page.Orders {
		stored[o.ID] = o.Version
		first := c.forgotten[o.ID] + 1
		if again := h.versions[o.ID]; len(again) > 0 { // what was forgotten may come again
			first = min(first, again[0])
		}
		for version := first; version <= o.Version; version++ {
			want[o.ID] = append(want[o.ID], version)
		}
	}
	for id, version := range c.read {
		if stored[id] < version {
			t.Errorf("after cut %d: version %d of order %s was read, and it is at %d", cut, version, id, stored[id])
		}
	}
	if diff := cmp.Diff(want, h.versions); diff != "" {
		t.Errorf("after cut %d: the versions in the feed (-want +got):\n%s", cut, diff)
	}
	if cut > 0 && len(h.versions) == 0 {
		t.Errorf("after cut %d the feed is empty; the test shows nothing", cut)
	}
}

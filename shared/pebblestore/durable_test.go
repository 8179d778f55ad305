package pebblestore_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

// stalled is a database whose next fsyncs wait until release is called.
type stalled struct {
	fs    *countingFS
	db    *pebblestore.DB
	store *pebblestore.Store
	queue *pebblestore.Queue
	held  chan struct{}
}

func openStalled(t *testing.T) *stalled {
	s := &stalled{fs: (&countingFS{}).over(vfs.NewMem())}
	s.db = open(t, pebblestore.Options{Dir: "data", FS: s.fs})
	s.store = s.db.Store()
	s.queue = openQueue(t, s.db, queueConfig("payments"))
	t.Cleanup(s.release)
	return s
}

func (s *stalled) stall() {
	held := make(chan struct{})
	gate := func() { <-held }
	s.held = held
	s.fs.gate.Store(&gate)
}

func (s *stalled) release() {
	if s.held != nil {
		s.fs.gate.Store(nil)
		close(s.held)
		s.held = nil
	}
}

// start runs a call, and later reports whether it has returned. There is a pause between two
// fsyncs; the clock is virtual.
func start(call func()) (returned func() bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	return func() bool {
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

func newOrder(tenant, id string) order.Order {
	return order.New(order.Ref{Tenant: tenant, ID: id}, order.Request{Amount: 1, Currency: "KRW"}, "", time.Now())
}

func claimNow() order.Claim {
	return order.Claim{Kind: order.KindCharge, Round: 1, Now: time.Now(), Until: time.Now().Add(time.Minute), Limits: order.Limits{Attempts: 3}}
}

// No call returns or acknowledges anything that no fsync has covered yet.
func TestNothingIsShownBeforeItIsDurable(t *testing.T) {
	for _, test := range []struct {
		name string
		// write is left waiting for its fsync, then read must wait, too.
		write, read func(*testing.T, *stalled)
	}{
		{"a created order by get", create("new"), get("new")},
		{"a created order by list", create("new"), list("")},
		{"a created order by list of its status", create("new"), list(order.Pending)},
		{"a created order by the conflict of a create", create("new"), conflictingCreate("new")},
		{"a claimed order by get", claim, get("old")},
		{"a claimed order by list", claim, list("")},
		{"a claimed order by list of its status", claim, list(order.Processing)},
		// The order is left out, which reveals the claim as well.
		{"a claimed order by list of its former status", claim, list(order.Pending)},
		{"a claimed order by the conflict of a claim", claim, func(t *testing.T, s *stalled) {
			_, err := s.store.Claim(t.Context(), oldRef(), claimNow())
			wantConflictAt(t, err, 2)
		}},
		{"a canceled order by list of its status", cancel, list(order.Canceled)},
		{"a canceled order by the conflict of an update", cancel, func(t *testing.T, s *stalled) {
			next := newOrder("t", "old")
			next.Version = 2
			wantConflictAt(t, s.store.Update(t.Context(), next), 2)
		}},
		{"a created order by its own create", func(*testing.T, *stalled) {}, create("new")},
		{"a claimed order by its own claim", func(*testing.T, *stalled) {}, claim},
		{"a canceled order by its own update", func(*testing.T, *stalled) {}, cancel},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openStalled(t)
				create("old")(t, s)
				changed, stop := s.store.Watch(order.Ref{Tenant: "t", ID: "new"})
				defer stop()
				s.stall()
				written := start(func() { test.write(t, s) })
				written()
				read := start(func() { test.read(t, s) })
				if read() {
					t.Error("the read returned before the write was durable")
				}
				select {
				case <-changed:
					t.Error("a watcher was notified before the write was durable")
				default:
				}
				s.release()
				if !written() || !read() {
					t.Error("the calls did not return after the fsync")
				}
			})
		})
	}
}

func oldRef() order.Ref { return order.Ref{Tenant: "t", ID: "old"} }

func create(id string) func(*testing.T, *stalled) {
	return func(t *testing.T, s *stalled) {
		if err := s.store.Create(t.Context(), newOrder("t", id)); err != nil {
			t.Error(err)
		}
	}
}

func get(id string) func(*testing.T, *stalled) {
	return func(t *testing.T, s *stalled) {
		if _, err := s.store.Get(t.Context(), order.Ref{Tenant: "t", ID: id}); err != nil {
			t.Error(err)
		}
	}
}

func list(status order.Status) func(*testing.T, *stalled) {
	return func(t *testing.T, s *stalled) {
		if _, err := s.store.List(t.Context(), order.Query{Tenant: "t", Status: status, Limit: 10}); err != nil {
			t.Error(err)
		}
	}
}

func conflictingCreate(id string) func(*testing.T, *stalled) {
	return func(t *testing.T, s *stalled) {
		wantConflictAt(t, s.store.Create(t.Context(), newOrder("t", id)), 1)
	}
}

func claim(t *testing.T, s *stalled) {
	if _, err := s.store.Claim(t.Context(), oldRef(), claimNow()); err != nil {
		t.Error(err)
	}
}

func cancel(t *testing.T, s *stalled) {
	next, err := newOrder("t", "old").Cancel(time.Now())
	if err == nil {
		err = s.store.Update(t.Context(), next)
	}
	if err != nil {
		t.Error(err)
	}
}

func wantConflictAt(t *testing.T, err error, version int64) {
	t.Helper()
	conflict := new(order.ConflictError)
	if !errors.As(err, &conflict) || conflict.Current.Version != version {
		t.Errorf("the error is %v, want a conflict with version %d", err, version)
	}
}

// While an fsync hangs, nothing else does: not further writes of the same order, not reads
// of others, not the queue.
func TestNothingIsLockedDuringAnFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStalled(t)
		create("old")(t, s)
		create("other")(t, s)
		if _, err := s.queue.Send(t.Context(), "old", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // until that is durable
		s.stall()
		claimed := start(func() { claim(t, s) })
		claimed()
		for name, call := range map[string]func(){
			"a get of another order": func() { get("other")(t, s) },
			"a send":                 func() { _, _ = s.queue.Send(t.Context(), "new", 0) },
			"a receive and what follows": func() {
				got, err := s.queue.Receive(t.Context(), queue.ReceiveRequest{Max: 10})
				if err != nil || len(got) != 1 || got[0].Body != "old" {
					t.Errorf("receive: %v, %v, want the durable message", got, err)
					return
				}
				if err := s.queue.ChangeVisibility(t.Context(), got[0].ReceiptHandle, time.Second); err != nil {
					t.Error(err)
				}
				if _, err := s.queue.Delete(t.Context(), []string{got[0].ReceiptHandle}); err != nil {
					t.Error(err)
				}
			},
		} {
			if !start(call)() {
				t.Errorf("%s waits for another order's fsync", name)
			}
		}
		// Ten more writes of the same order: all are applied, and share one fsync.
		before := s.fs.syncs.Load()
		var updates sync.WaitGroup
		for version := int64(3); version <= 12; version++ {
			updates.Go(func() {
				next := newOrder("t", "old")
				next.Version = version
				if err := s.store.Update(t.Context(), next); err != nil {
					t.Errorf("update to version %d: %v", version, err)
				}
			})
			synctest.Wait() // it is applied now, in this order
		}
		s.release()
		updates.Wait()
		if !claimed() {
			t.Error("the claim did not return")
		}
		if syncs := s.fs.syncs.Load() - before; syncs > 2 {
			t.Errorf("a claim, then ten updates meanwhile, took %d fsyncs, want 2", syncs)
		}
	})
}

// A read waits for the write that it saw, not only for the one before.
func TestAReadWaitsForTheNewestWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStalled(t)
		create("old")(t, s)
		fsync := make(chan struct{})
		gate := func() { <-fsync }
		s.fs.gate.Store(&gate)
		claimed := start(func() { claim(t, s) })
		claimed()
		updated := start(func() {
			next := newOrder("t", "old")
			next.Version = 3
			if err := s.store.Update(t.Context(), next); err != nil {
				t.Error(err)
			}
		})
		updated()
		fsync <- struct{}{}
		if !claimed() || updated() {
			t.Error("the first fsync is the claim's alone")
		}
		read := start(func() { get("old")(t, s) })
		if read() {
			t.Error("the read returned before the update was durable")
		}
		s.fs.gate.Store(nil)
		close(fsync)
		if !updated() || !read() {
			t.Error("the calls did not return after the fsync")
		}
	})
}

func TestConcurrentWritesShareFsyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers = 200
		s := openStalled(t)
		before := s.fs.syncs.Load()
		s.stall()
		var writes sync.WaitGroup
		for i := range writers {
			writes.Go(func() { create(fmt.Sprint(i))(t, s) })
		}
		synctest.Wait()
		s.release()
		writes.Wait()
		// One for the first write, and one for all that came meanwhile.
		if syncs := s.fs.syncs.Load() - before; syncs > 2 {
			t.Errorf("%d concurrent writes took %d fsyncs, want 2", writers, syncs)
		}
	})
}

func TestAnAcceptedOrderTakesOneFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const orders = 100
		s := openStalled(t)
		before := s.fs.syncs.Load()
		for i := range orders {
			if _, err := s.queue.Send(t.Context(), fmt.Sprint(i), 0); err != nil {
				t.Fatal(err)
			}
			create(fmt.Sprint(i))(t, s)
		}
		if syncs := s.fs.syncs.Load() - before; syncs != orders {
			t.Errorf("%d orders, one after the other, took %d fsyncs", orders, syncs)
		}
		time.Sleep(time.Second)
		if syncs := s.fs.syncs.Load() - before; syncs != orders {
			t.Errorf("the timer added %d fsyncs to those of %d orders", syncs-orders, orders)
		}
	})
}

func TestAMessageWaitsForAnFsync(t *testing.T) {
	for _, test := range []struct {
		name string
		send func(*testing.T, *stalled)
	}{
		{"sent", func(t *testing.T, s *stalled) {
			if _, err := s.queue.Send(t.Context(), "x", 0); err != nil {
				t.Error(err)
			}
		}},
		{"sent in a batch", func(t *testing.T, s *stalled) {
			if _, err := s.queue.SendBatch(t.Context(), []queue.SendEntry{{ID: "a", Body: "x"}}); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openStalled(t)
				receive := func() []queue.Message {
					got, err := s.queue.Receive(t.Context(), queue.ReceiveRequest{Max: 10})
					if err != nil {
						t.Error(err)
					}
					return got
				}
				s.stall()
				test.send(t, s)
				time.Sleep(time.Hour)
				if got := receive(); len(got) > 0 {
					t.Errorf("the message came before it was durable: %v", got)
				}
				s.release()
				synctest.Wait()
				if got := receive(); len(got) != 1 {
					t.Fatalf("%d messages came after the fsync, want 1", len(got))
				}
			})
		})
	}
}

// A message becomes durable with whatever is synced next, and without that within moments.
func TestASendRides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStalled(t)
		before := s.fs.syncs.Load()
		if _, err := s.queue.Send(t.Context(), "rides", 0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if syncs := s.fs.syncs.Load() - before; syncs != 0 {
			t.Errorf("a send alone took %d fsyncs at once", syncs)
		}
		create("other")(t, s)
		if got, _ := s.queue.Receive(t.Context(), queue.ReceiveRequest{Max: 10}); len(got) != 1 {
			t.Errorf("%d messages came after the next write, want 1", len(got))
		}
		time.Sleep(time.Second)
		before = s.fs.syncs.Load()
		for range 3 {
			if _, err := s.queue.Send(t.Context(), "by itself", 0); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		start := time.Now()
		if got, _ := s.queue.Receive(t.Context(), queue.ReceiveRequest{Max: 10, Wait: time.Second}); len(got) != 3 {
			t.Errorf("%d messages came by themselves, want 3", len(got))
		}
		if took := time.Since(start); took > 5*time.Millisecond {
			t.Errorf("the messages came after %v", took)
		}
		time.Sleep(time.Second)
		// One for the sends, one for the receive.
		if syncs := s.fs.syncs.Load() - before; syncs != 2 {
			t.Errorf("three sends and a receive took %d fsyncs, want 2", syncs)
		}

		// One that is sent after another's fsync, while the timer runs.
		if _, err := s.queue.Send(t.Context(), "first", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Millisecond)
		create("another")(t, s)
		if _, err := s.queue.Send(t.Context(), "second", 0); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"first", "second"} {
			if d := receive(t, s.queue, 20*time.Millisecond); d.Body != want {
				t.Errorf("the message %q came, want %q", d.Body, want)
			}
		}
	})
}

package pebblestore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

var errDisk = errors.New("the disk is on fire")

// failing is a database whose disk can be made to fail. It is never closed: the process of
// a real one ends.
func failing(t *testing.T, kinds ...errorfs.OpKind) (db *pebblestore.DB, q *pebblestore.Queue, fail func(), fatal <-chan error, fs *vfs.MemFS) {
	t.Helper()
	var disk errorfs.Toggle
	disk.Injector = errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") {
			for _, kind := range kinds {
				if op.Kind == kind {
					return errDisk
				}
			}
		}
		return nil
	})
	fs = vfs.NewCrashableMem()
	ended := make(chan error, 10)
	db, err := pebblestore.Open(pebblestore.Options{
		Dir: "data", FS: errorfs.Wrap(fs, &disk), Logger: silent(), Fatal: func(err error) { ended <- err }, Feed: everyChange,
	})
	if err != nil {
		t.Fatal(err)
	}
	return db, openQueue(t, db, queueConfig("payments")), disk.On, ended, fs
}

// After a failed write or fsync nothing is acknowledged or returned, and nothing hangs.
func TestADiskThatFails(t *testing.T) {
	for name, kinds := range map[string][]errorfs.OpKind{
		"fsync": {errorfs.OpFileSync, errorfs.OpFileSyncData},
		"write": {errorfs.OpFileWrite},
	} {
		t.Run(name, func(t *testing.T) {
			db, q, fail, fatal, fs := failing(t, kinds...)
			s := db.Store()
			old := newOrder("t", "old")
			if err := s.Create(t.Context(), old); err != nil {
				t.Fatal(err)
			}
			polled := make(chan error, 1)
			go func() {
				_, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 1, Wait: queue.MaxReceiveWait})
				polled <- err
			}()
			after := db.Feed().Newest()
			var reads, writes sync.WaitGroup
			for range 20 {
				reads.Go(func() {
					changes, err := db.Feed().Read(t.Context(), after, 10, time.Hour)
					if len(changes) > 0 || !errors.Is(err, order.ErrUnavailable) {
						t.Errorf("a read of the feed: %v, %v, want order.ErrUnavailable", changes, err)
					}
				})
			}
			fail()
			for i := range 20 {
				writes.Go(func() {
					if err := s.Create(t.Context(), newOrder("t", string(rune('a'+i)))); !errors.Is(err, order.ErrUnavailable) {
						t.Errorf("a create on a failing disk: the error is %v, want order.ErrUnavailable", err)
					}
				})
			}
			writes.Wait()
			reads.Wait()
			if err := <-fatal; !errors.Is(err, errDisk) {
				t.Errorf("fatal was called with %v, want the disk's error", err)
			}
			if err := <-polled; !errors.Is(err, order.ErrUnavailable) {
				t.Errorf("a long poll: the error is %v, want order.ErrUnavailable", err)
			}
			for name, call := range map[string]func() error{
				"get":    func() error { _, err := s.Get(t.Context(), order.Ref{Tenant: "t", ID: "a"}); return err },
				"list":   func() error { _, err := s.List(t.Context(), order.Query{Tenant: "t", Limit: 9}); return err },
				"claim":  func() error { _, err := s.Claim(t.Context(), old.Ref, claimNow()); return err },
				"send":   func() error { _, err := q.Send(t.Context(), "x", 0); return err },
				"delete": func() error { _, err := q.Delete(t.Context(), nil); return err },
			} {
				if err := call(); !errors.Is(err, order.ErrUnavailable) || !errors.Is(err, errDisk) {
					t.Errorf("%s after the failure: the error is %v, want order.ErrUnavailable for the disk's", name, err)
				}
			}
			if len(fatal) > 0 {
				t.Error("fatal was called more than once")
			}
			if err := db.Close(); !errors.Is(err, errDisk) {
				t.Errorf("close: the error is %v, want the disk's", err)
			}
			// A new process finds what was acknowledged, and at most that part of the rest
			// that could be read before.
			again := open(t, pebblestore.Options{Dir: "data", FS: powerCut(fs)})
			if _, err := again.Store().Get(t.Context(), old.Ref); err != nil {
				t.Errorf("the acknowledged order: %v", err)
			}
		})
	}
}

// A sent message whose fsync fails is never delivered.
func TestADiskThatFailsUnderTheQueue(t *testing.T) {
	_, q, fail, fatal, _ := failing(t, errorfs.OpFileSync, errorfs.OpFileSyncData)
	fail()
	if _, err := q.Send(t.Context(), "x", 0); err != nil {
		t.Fatal(err) // it rides on a later fsync, so it does not know yet
	}
	if err := <-fatal; !errors.Is(err, errDisk) {
		t.Errorf("fatal was called with %v, want the disk's error", err)
	}
	got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 1})
	if len(got) > 0 || !errors.Is(err, order.ErrUnavailable) {
		t.Errorf("receive after the failure: %v, %v, want order.ErrUnavailable", got, err)
	}
}

func TestClosing(t *testing.T) {
	db, err := pebblestore.Open(pebblestore.Options{Dir: t.TempDir(), Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	s, q := db.Store(), openQueue(t, db, queueConfig("payments"))
	var calls, begun sync.WaitGroup
	for range 4 {
		begun.Add(1)
		calls.Go(func() {
			if _, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 1, Wait: queue.MaxReceiveWait}); !errors.Is(err, order.ErrUnavailable) {
				t.Errorf("a long poll that is closed: the error is %v, want order.ErrUnavailable", err)
			}
		})
		calls.Go(func() {
			for i := 0; ; i++ {
				err := s.Create(t.Context(), benchOrder("t"))
				if errors.Is(err, order.ErrUnavailable) {
					return
				}
				if err != nil {
					t.Errorf("a create while closing: %v", err)
					return
				}
				if i == 0 {
					begun.Done()
				}
			}
		})
	}
	begun.Wait()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	calls.Wait()
	if _, err := db.Queue(queueConfig("other")); !errors.Is(err, order.ErrUnavailable) {
		t.Errorf("a queue after close: the error is %v, want order.ErrUnavailable", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}

// A caller can give up waiting for a slow disk; its write goes on.
func TestACallerMayGiveUpOnAnFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStalled(t)
		s.stall()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		o := newOrder("t", "a")
		if err := s.store.Create(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("create: the error is %v, want the context's", err)
		}
		if _, err := s.store.Get(ctx, o.Ref); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("get: the error is %v, want the context's", err)
		}
		s.release()
		if _, err := s.store.Get(t.Context(), o.Ref); err != nil {
			t.Errorf("get after the fsync: %v", err)
		}
	})
}

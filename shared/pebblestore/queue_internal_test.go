package pebblestore

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/document"
	"paylane/shared/order"
	"paylane/shared/queue"
)

func openForInternals(t *testing.T) *DB {
	t.Helper()
	db, err := Open(Options{Dir: "data", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// A call about a message that another call is writing about waits for the other, whatever
// that one does in the end, and then does its work.
func TestACallWaitsForTheOneBefore(t *testing.T) {
	for name, end := range map[string]func(*queueWrite) error{
		"that does nothing": func(w *queueWrite) error { w.abandon(); return nil },
		"that hides it": func(w *queueWrite) error {
			if _, err := w.hide(0, time.Hour); err != nil {
				return err
			}
			return w.commit()
		},
		"that deletes it": func(w *queueWrite) error { w.remove(0); return w.commit() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := openForInternals(t)
				q, err := db.Queue(QueueConfig{Name: "queue", Retention: time.Hour, MaxMessageBytes: 1024})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := q.Send(t.Context(), "x", 0); err != nil {
					t.Fatal(err)
				}
				got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 1, Wait: time.Second, Visibility: time.Minute})
				if err != nil || len(got) != 1 {
					t.Fatal(got, err)
				}
				h, err := parseHandle(got[0].ReceiptHandle, "queue")
				if err != nil {
					t.Fatal(err)
				}
				w := db.newWrite(q, q.takeReceived(h))
				deleted := make(chan error, 1)
				go func() {
					_, err := q.Delete(t.Context(), []string{got[0].ReceiptHandle})
					deleted <- err
				}()
				synctest.Wait()
				if len(deleted) > 0 {
					t.Error("the delete did not wait")
				}
				if err := end(w); err != nil {
					t.Fatal(err)
				}
				if err := <-deleted; err != nil {
					t.Error(err)
				}
				if left := q.Stats(); left != (Stats{}) {
					t.Errorf("the queue still has %+v", left)
				}
			})
		})
	}
}

// A tombstone may have been replaced since the sweep found it.
func TestForgetLeavesOrders(t *testing.T) {
	s := openForInternals(t).Store()
	o := order.New(order.Ref{Tenant: "t", ID: "id"}, order.Request{Amount: 1, Currency: "KRW"}, "", time.Now())
	if err := s.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := s.forget(o.Ref); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), o.Ref); err != nil {
		t.Error(err)
	}
}

// The expiry of a document may have been put off since the sweep found it.
func TestForgetLeavesDocuments(t *testing.T) {
	s := openForInternals(t).Store()
	k := document.Key{Tenant: "t", Name: "name"}
	if err := s.PutDocument(t.Context(), document.Document{Key: k, Version: 1, ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := s.forgetDocument(documentRef(k)); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Document(t.Context(), k); err != nil || d.Version != 1 {
		t.Errorf("the document is %+v, %v", d, err)
	}
}

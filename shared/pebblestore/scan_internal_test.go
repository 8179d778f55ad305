package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/order"
)

// TestScanNamesWhatItCannotRead: an order that can't be read is an error, and is not left
// out.
func TestScanNamesWhatItCannotRead(t *testing.T) {
	for name, record := range map[string][]byte{"cut short": {schemaRefunds}, "of a newer build": {schemaRefunds + 1}, "empty": {}} {
		db, err := Open(Options{Dir: "data", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ref := order.Ref{Tenant: "t", ID: order.KeyedID("t", "k")}
		if err := db.pebble.Set(orderKey(nil, ref), record, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		_, err = db.Store().Scan(t.Context(), order.ScanQuery{Segments: 1, Limit: 10})
		if !errors.Is(err, ErrDamaged) || !errors.Is(err, order.ErrUnavailable) || !strings.Contains(err.Error(), ref.ID) {
			t.Errorf("%s: the error is %v, want ErrDamaged that names the order", name, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSegmentsAreForever: a cursor outlives its process, so segments must not change.
func TestSegmentsAreForever(t *testing.T) {
	var got []int
	for n := range 8 {
		ref := order.Ref{Tenant: "t", ID: order.KeyedID("t", fmt.Sprint(n))}
		got = append(got, segmentOf(orderKey(nil, ref), 16))
	}
	if want := "[10 8 9 4 12 15 2 3]"; fmt.Sprint(got) != want {
		t.Errorf("the segments are %v, want %s", got, want)
	}
}

// TestScanShowsWhatIsDurable: a scan that meets a write on its way to disk waits for it.
func TestScanShowsWhatIsDurable(t *testing.T) {
	db, err := Open(Options{Dir: "data", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	s, ref := db.Store(), order.Ref{Tenant: "t", ID: order.KeyedID("t", "k")}
	if err := s.Create(t.Context(), order.New(ref, order.Request{Amount: 1}, "", time.Unix(1, 0))); err != nil {
		t.Fatal(err)
	}
	b := db.pebble.NewBatch()
	defer func() { _ = b.Close() }()
	st := s.stripe(ref)
	st.mu.Lock()
	st.inflight[ref] = newCommit(b, ref, s.settle) // a write that never becomes durable
	st.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if page, err := s.Scan(ctx, order.ScanQuery{Segments: 1, Limit: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the scan shows %v, %v; want the context's error", page.Orders, err)
	}
	st.mu.Lock()
	delete(st.inflight, ref)
	st.mu.Unlock()
}

package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"paylane/shared/order"
)

// Feed is the changes that [Options.Feed] keeps, until they are forgotten. Its methods may be
// called concurrently.
//
// A change is written in one batch with its order, under a number that is handed out while the
// order is locked. Batches of different orders may reach the log in another order than that of
// their numbers, so a reader sees no number before all lower ones are settled.
type Feed struct {
	db   *DB
	keep func(tenant string, before, after order.Status) bool

	mu        sync.Mutex
	last      uint64   // the newest number; it begins with the count of openings, see newNumber
	unsettled []uint64 // those not known to be durable, in order
	forgotten uint64   // what is up to here was deleted
	// advanced is closed when more can be read; nil if nobody waits for that.
	advanced chan struct{}

	// forgetting is held while entries are found and deleted: none may be deleted twice.
	forgetting sync.Mutex
}

// Change is one change of one order.
type Change struct {
	// Number rises from change to change, with gaps, also from one opening of the database to
	// the next.
	Number uint64
	// At is when the change was written.
	At time.Time
	// Before is nil if there was no order, or a tombstone.
	Before, After *order.Order
}

func newFeed(d *DB, keep func(tenant string, before, after order.Status) bool) *Feed {
	return &Feed{db: d, keep: keep, last: d.opening << 40}
}

// Feed returns the changes of the database's orders.
func (d *DB) Feed() *Feed { return d.feed }

// add adds a change to the batch that makes it, and returns its number; 0 is none. The batch
// must then be written: readers wait for it.
func (f *Feed) add(b *pebble.Batch, before stored, after *order.Order) (uint64, error) {
	if before.status == order.Void {
		before = stored{}
	}
	if f.keep == nil || after.Status == order.Void || !f.keep(after.Tenant, before.status, after.Status) {
		return 0, nil
	}
	entry, err := appendChange(nil, stampOf(f.db.now()), before.record, after)
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	f.last++
	number := f.last
	f.unsettled = append(f.unsettled, number)
	f.mu.Unlock()
	return number, b.Set(feedKey(number), entry, nil)
}

// settle is called for each change that is durable. One that failed is never settled: what is
// on disk is then unknown, and the database has ended.
func (f *Feed) settle(number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, _ := slices.BinarySearch(f.unsettled, number)
	f.unsettled = slices.Delete(f.unsettled, i, i+1)
	if i == 0 && f.advanced != nil {
		close(f.advanced)
		f.advanced = nil
	}
}

// settled returns the number up to which everything is durable. The caller holds f.mu.
func (f *Feed) settled() uint64 {
	if len(f.unsettled) > 0 {
		return f.unsettled[0] - 1
	}
	return f.last
}

// Newest returns the number of the newest durable change, or one between it and the next.
func (f *Feed) Newest() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settled()
}

// Read returns the changes after a number, oldest first: at least one, and at most limit. If
// there is none, it waits for one, up to wait, and then returns none. A change is returned
// only once it is durable, and the changes of an order in the order of its versions. The error
// is [order.ErrUnavailable] (wrapped) or the context's.
func (f *Feed) Read(ctx context.Context, after uint64, limit int, wait time.Duration) ([]Change, error) {
	const doing = "read the feed"
	if err := f.db.begin(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	defer f.db.ops.Done()
	var timeout <-chan time.Time
	for {
		settled, advanced := f.watch()
		changes, err := f.read(ctx, after, settled, limit)
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%s: %w", doing, ctx.Err())
		case err != nil:
			return nil, unavailable(doing, err)
		case len(changes) > 0 || wait <= 0:
			return changes, nil
		}
		after = max(after, settled)
		if timeout == nil {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-advanced:
		case <-timeout:
			wait = 0 // look once more: a change may have come with the timeout
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w", doing, ctx.Err())
		case <-f.db.ended:
			return nil, fmt.Errorf("%s: %w: the database is closing", doing, order.ErrUnavailable)
		}
	}
}

// watch returns how far the feed can be read, and a channel that is closed when it can be
// read further.
func (f *Feed) watch() (settled uint64, advanced <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.advanced == nil {
		f.advanced = make(chan struct{})
	}
	return f.settled(), f.advanced
}

func (f *Feed) read(ctx context.Context, after, upTo uint64, limit int) (changes []Change, err error) {
	iter, err := f.entries(ctx, after, upTo)
	if iter == nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	for ok := iter.First(); ok && len(changes) < limit && ctx.Err() == nil; ok = iter.Next() {
		entry, err := iter.ValueAndErr()
		if err != nil {
			return nil, err
		}
		c, err := decodeChange(iter.Key(), entry)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, iter.Error()
}

// entries returns an iterator over the entries after a number, up to another and that
// included; nil if there can be none. It passes over no entry that was forgotten, of which
// pebble may still have many.
func (f *Feed) entries(ctx context.Context, after, upTo uint64) (*pebble.Iterator, error) {
	f.mu.Lock()
	after = max(after, f.forgotten)
	f.mu.Unlock()
	if after >= upTo {
		return nil, nil
	}
	return f.db.pebble.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: feedKey(after + 1), UpperBound: feedKey(upTo + 1),
	})
}

// Forget deletes the changes up to a number, and that included. It becomes durable with one of
// the next fsyncs: after a crash, some of them may come again.
func (f *Feed) Forget(ctx context.Context, upTo uint64) error {
	const doing = "forget changes"
	if err := f.db.begin(ctx); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer f.db.ops.Done()
	f.forgetting.Lock()
	defer f.forgetting.Unlock()
	upTo = min(upTo, f.Newest())
	b, err := f.deletion(ctx, upTo)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	case err != nil:
		return unavailable(doing, err)
	case b.Empty():
		return nil
	}
	if _, err := f.db.wal.writeLazily(b); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgotten = upTo
	return nil
}

// deletion returns a batch that deletes the entries up to a number.
func (f *Feed) deletion(ctx context.Context, upTo uint64) (b *pebble.Batch, err error) {
	b = f.db.pebble.NewBatch()
	iter, err := f.entries(ctx, 0, upTo)
	if iter == nil {
		return b, err
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	for ok := iter.First(); ok && ctx.Err() == nil; ok = iter.Next() {
		// An entry is written only once, so it and a single delete cancel out, often while
		// both are still in memory.
		_ = b.SingleDelete(iter.Key(), nil)
	}
	return b, iter.Error()
}

// schemaChange is the schema of an entry of the feed. The records in it have their own.
const schemaChange = 1

func appendChange(b []byte, at stamp, before []byte, after *order.Order) ([]byte, error) {
	record, err := appendOrder(nil, after)
	if err != nil {
		return nil, err
	}
	b = binary.BigEndian.AppendUint64(append(b, schemaChange), uint64(at))
	b = appendText(appendText(b, after.Tenant), after.ID)
	return appendText(appendText(b, string(before)), string(record)), nil
}

func decodeChange(key, entry []byte) (Change, error) {
	number, ok := parseFeedKey(key)
	if !ok {
		return Change{}, fmt.Errorf("%w: the key of a change is garbled: %x", ErrDamaged, key)
	}
	if len(entry) > 0 && entry[0] > schemaChange {
		return Change{}, fmt.Errorf("change %d has schema %d and this build reads up to %d: it was written by a newer build",
			number, entry[0], schemaChange)
	}
	r := reader{rest: string(entry)}
	r.byte()
	c := Change{Number: number, At: r.stamp().time()}
	ref := order.Ref{Tenant: r.text(), ID: r.text()}
	before, after := r.text(), r.text()
	if r.failed || r.rest != "" {
		return Change{}, fmt.Errorf("%w: change %d: %w", ErrDamaged, number, errRecord)
	}
	var err error
	if c.After, err = decodeImage(ref, after); err == nil && before != "" {
		c.Before, err = decodeImage(ref, before)
	}
	if err != nil {
		return Change{}, fmt.Errorf("change %d: %w", number, err)
	}
	return c, nil
}

func decodeImage(ref order.Ref, record string) (*order.Order, error) {
	o, err := stored{ref: ref, record: []byte(record)}.order()
	if err != nil {
		return nil, err
	}
	return &o, nil
}

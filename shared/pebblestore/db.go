package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"paylane/shared/order"
	"paylane/shared/pebblestore/internal/sealfs"
)

// sweepEvery is how often expired tombstones and messages are removed.
const sweepEvery = time.Minute

// DB is an open database. Its methods, its store and its queues may be used
// concurrently.
type DB struct {
	dir    string
	now    func() time.Time
	logger *slog.Logger
	fatal  func(error)
	pebble *pebble.DB
	wal    *wal
	seal   *sealfs.Seal
	lock   *pebble.Lock
	store  *Store
	feed   *Feed
	counts counts
	// opening counts the times the database was opened; see newNumber.
	opening uint64

	queuesMu sync.Mutex
	queues   atomic.Pointer[[]*Queue] // replaced, never changed

	life    sync.Mutex
	serving bool // a failure before is only Open's error
	closing bool
	failure error
	failed  chan struct{} // closed when failure is set
	ended   chan struct{} // closed at the first of closing and failure
	ops     sync.WaitGroup
}

// damaged marks pebble's errors about damaged files as [ErrDamaged].
func damaged(err error) error {
	if pebble.IsCorruptionError(err) && !errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// Store returns the database's orders.
func (d *DB) Store() *Store { return d.store }

// Close ends all calls that are waiting, waits for those that are working, and makes
// everything durable. All later calls fail with [order.ErrUnavailable].
func (d *DB) Close() error {
	d.life.Lock()
	if d.closing {
		d.life.Unlock()
		return nil
	}
	d.closing = true
	if d.failure == nil {
		close(d.ended)
	}
	d.life.Unlock()
	settled := make(chan struct{})
	go func() {
		d.ops.Wait()
		for _, q := range *d.queues.Load() {
			q.timer.Stop()
		}
		d.wal.close()
		close(settled)
	}()
	select {
	case <-settled:
	case <-d.failed: // pebble may be stuck; the process should end
	}
	if err := d.failedWith(); err != nil {
		return err
	}
	err := errors.Join(d.pebble.Close(), d.failedWith(), d.seal.Close(), d.lock.Close())
	if err != nil {
		return fmt.Errorf("close the database in %s: %w", d.dir, err)
	}
	return nil
}

// begin must precede every use of the database, and d.ops.Done must follow it.
func (d *DB) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.enter()
}

// enter is begin without a caller's context.
func (d *DB) enter() error {
	d.life.Lock()
	defer d.life.Unlock()
	switch {
	case d.failure != nil:
		return d.failure
	case d.closing:
		return fmt.Errorf("%w: the database is closing", order.ErrUnavailable)
	}
	d.ops.Add(1)
	return nil
}

// fail ends the database for good, and returns the error that all calls now fail with. None
// fails before that has been logged.
func (d *DB) fail(err error) error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.failure != nil {
		return d.failure
	}
	d.failure = err
	if d.serving {
		d.failure = fmt.Errorf("%w: the database in %s failed: %w", order.ErrUnavailable, d.dir, err)
		d.logger.Error("the database failed and can't be used by this process any longer", "dir", d.dir, "error", err)
		d.fatal(d.failure)
	}
	close(d.failed)
	if !d.closing {
		close(d.ended)
	}
	return d.failure
}

// failedWith returns the failure of the database, if it has failed.
func (d *DB) failedWith() error {
	select {
	case <-d.failed:
		return d.failure
	default:
		return nil
	}
}

// unavailable wraps the error of a read.
func unavailable(doing string, err error) error {
	return fmt.Errorf("%s: %w: %w", doing, order.ErrUnavailable, damaged(err))
}

// advanced tells the queues that more of the log has become durable.
func (d *DB) advanced() {
	for _, q := range *d.queues.Load() {
		q.advanced()
	}
}

// housekeeping syncs the seal soon after it changed, and regularly removes what has
// expired.
func (d *DB) housekeeping() {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	sync := time.NewTimer(sealfs.SyncDelay)
	defer sync.Stop()
	changed := d.seal.Changed()
	for {
		var err error
		select {
		case <-d.ended:
			return
		case <-changed:
			changed = nil // until that is synced
			sync.Reset(sealfs.SyncDelay)
		case <-sync.C:
			changed = d.seal.Changed()
			err = d.seal.Sync()
		case <-sweep.C:
			err = errors.Join(d.store.sweep(), d.store.sweepDocuments())
			for _, q := range *d.queues.Load() {
				err = errors.Join(err, q.sweep())
			}
		}
		if err != nil {
			d.logger.Error("sync the seal, or remove what has expired", "dir", d.dir, "error", err)
		}
	}
}

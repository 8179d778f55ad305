package pebblestore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"paylane/shared/order"
)

// syncDelay is how long a write that asked for no fsync waits for another's before it gets
// one of its own. It also bounds what a kill loses: pebble hands a record to the operating
// system only with a sync or a full block of 32 KiB (record.LogWriter.flushLoop).
const syncDelay = 5 * time.Millisecond

// wal hands batches to pebble's write-ahead log and knows how far the log is durable. One
// number is enough, because a synced record makes all earlier ones durable: pebble assigns
// sequence numbers in the order of the log (commitPipeline.prepare), writes everything that
// is buffered before it syncs (LogWriter.flushPending), and when it changes to a new log
// file it first syncs and closes the previous one (DB.rotateWAL, StandaloneManager's
// writer.Close).
type wal struct {
	pebble *pebble.DB
	// fail records that the disk can no longer be trusted, and returns the error to
	// return. Failed returns that error if it was called, for whatever file: what pebble
	// says is then not true of the log either.
	fail   func(error) error
	failed func() error

	// durable is how far the log is known to be on disk: every batch whose end is at most
	// this is durable.
	durable atomic.Uint64
	// advanced is called each time that durable has grown.
	advanced func()

	mu       sync.Mutex
	changed  sync.Cond
	syncing  []*commit // applied and waiting for their fsyncs, roughly in the log's order
	lazyDue  bool      // the timer below has ended
	stopping bool
	stopped  chan struct{}

	// lazy concerns the writes without an fsync of their own.
	lazy struct {
		sync.Mutex
		timer  *time.Timer
		armed  bool
		target uint64 // what must be durable when the timer ends
		newest uint64 // the end of the newest such write
	}
}

// commit is a write that was applied and asked for an fsync.
type commit struct {
	batch  *pebble.Batch
	ref    order.Ref
	change uint64 // its number in the feed; 0 if it is not there
	// before and after are the order's statuses; equal if it is not an order's write.
	before, after order.Status
	settle        func(*commit) // called when it is durable or has failed, before done is closed
	done          chan struct{}
	err           error // why it is not known to be durable; set before done is closed
}

func newCommit(b *pebble.Batch, ref order.Ref, settle func(*commit)) *commit {
	return &commit{batch: b, ref: ref, settle: settle, done: make(chan struct{})}
}

// wait returns once the write is durable. After the context's error it may still become
// durable.
func (c *commit) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startWAL returns a wal that must be closed.
func startWAL(d *DB) *wal {
	w := &wal{pebble: d.pebble, advanced: d.advanced, fail: d.fail, failed: d.failedWith, stopped: make(chan struct{})}
	w.changed.L = &w.mu
	w.lazy.timer = time.AfterFunc(time.Hour, w.lazyTimeout)
	w.lazy.timer.Stop()
	go w.run()
	return w
}

// close returns once every commit is settled. Nothing may be written after it is called.
func (w *wal) close() {
	w.mu.Lock()
	w.stopping = true
	w.mu.Unlock()
	w.changed.Signal()
	<-w.stopped
	w.lazy.timer.Stop()
}

// write applies a batch and asks for the fsync that settles c. Readers of pebble see the
// batch from then on.
func (w *wal) write(c *commit) {
	if err := w.apply(c.batch, pebble.Sync); err != nil {
		w.finish(c, err)
		return
	}
	w.mu.Lock()
	w.syncing = append(w.syncing, c)
	w.mu.Unlock()
	w.changed.Signal()
}

// writeLazily applies a batch, which is then closed, and returns its end in the log.
// It becomes durable with the next fsync, within about syncDelay at the latest.
func (w *wal) writeLazily(b *pebble.Batch) (end uint64, err error) {
	if err := w.apply(b, pebble.NoSync); err != nil {
		return 0, err
	}
	end = endOf(b)
	if err := b.Close(); err != nil {
		return 0, w.fail(fmt.Errorf("close a batch: %w", err))
	}
	l := &w.lazy
	l.Lock()
	defer l.Unlock()
	l.newest = max(l.newest, end)
	if !l.armed {
		l.armed, l.target = true, end
		l.timer.Reset(syncDelay)
	}
	return end, nil
}

// apply never waits for an fsync. Pebble panics, with its commit lock held, if it can't
// write to the log; after that nothing can be written.
func (w *wal) apply(b *pebble.Batch, opts *pebble.WriteOptions) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = w.fail(fmt.Errorf("write to the log: %v", r))
		}
	}()
	if opts.Sync {
		err = w.pebble.ApplyNoSyncWait(b, opts)
	} else {
		err = w.pebble.Apply(b, opts)
	}
	if err != nil {
		return w.fail(fmt.Errorf("write to the log: %w", err))
	}
	return nil
}

// endOf returns the position in the log after an applied batch.
func endOf(b *pebble.Batch) uint64 { return uint64(b.SeqNum()) + uint64(b.Count()) }

// run settles the commits one by one as their fsyncs complete.
func (w *wal) run() {
	defer close(w.stopped)
	var batch []*commit
	for {
		w.mu.Lock()
		for len(w.syncing) == 0 && !w.lazyDue && !w.stopping {
			w.changed.Wait()
		}
		batch, w.syncing = w.syncing, batch[:0]
		lazy, stop := w.lazyDue, w.stopping
		w.lazyDue = false
		w.mu.Unlock()
		for i, c := range batch {
			err := c.batch.SyncWait()
			if err != nil {
				err = w.fail(fmt.Errorf("sync the log: %w", err))
			} else {
				err = w.failed()
			}
			w.finish(c, err)
			batch[i] = nil
		}
		switch {
		case stop && len(batch) == 0:
			return
		case lazy:
			w.syncLazy()
		}
	}
}

// finish settles a commit that is durable, or will never be known to be.
func (w *wal) finish(c *commit, err error) {
	c.err = err
	if err == nil {
		if end := endOf(c.batch); end > w.durable.Load() { // run is the only writer
			w.durable.Store(end)
			w.advanced()
		}
		// This only returns the batch to pebble's pool; it is applied and durable.
		_ = c.batch.Close()
	}
	if c.settle != nil {
		c.settle(c)
	}
	close(c.done)
}

func (w *wal) lazyTimeout() {
	w.mu.Lock()
	w.lazyDue = true
	w.mu.Unlock()
	w.changed.Signal()
}

// syncLazy asks for an fsync if there was no other since the timer was armed.
func (w *wal) syncLazy() {
	l := &w.lazy
	l.Lock()
	durable := w.durable.Load()
	l.armed = durable >= l.target && l.newest > durable
	needed := durable < l.target
	if l.armed {
		l.target = l.newest
		l.timer.Reset(syncDelay)
	}
	l.Unlock()
	if !needed {
		return
	}
	b := w.pebble.NewBatch()
	_ = b.LogData(nil, nil) // an empty record, which can't fail
	w.write(newCommit(b, order.Ref{}, nil))
}

package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/order"
	"paylane/shared/pebblestore/internal/sealfs"
)

// Errors of [Open]. ErrDamaged may also come from any read.
var (
	// ErrInUse reports that another process, or another DB in this one, has the directory
	// open.
	ErrInUse = errors.New("in use by another process")
	// ErrDamaged reports that files of the database are not as they were written.
	ErrDamaged = sealfs.ErrDamaged
)

// format pins pebble's file formats, so that a newer pebble does not change them by itself.
// Since FormatWALSyncChunks, each piece of the log records how far the log was synced
// before.
const format = pebble.FormatValueSeparation

// Options configures a database.
type Options struct {
	// Dir holds the database and is created if absent. It and its files are for their owner
	// only; a folder that holds other things too keeps its mode.
	Dir string
	// FS is the file system; nil is the disk.
	FS vfs.FS
	// Now is the clock; nil is time.Now. It must keep pace with the time package's timers.
	Now func() time.Time
	// Logger logs pebble's messages at level debug, and errors above it; nil is
	// slog.Default().
	Logger *slog.Logger
	// Feed reports whether a change of a tenant's order from one status to another is kept in
	// the database's [Feed], until it is forgotten there; before is "" if there was no order.
	// Nil keeps none. Tombstones are not orders, and are never kept. It is called while the
	// order is locked, and may read documents.
	Feed func(tenant string, before, after order.Status) bool
	// Count has the orders counted by status, see [DB.Counts].
	Count bool
	// Fatal is called once, after a write or fsync failed, for want of space too. What the
	// disk holds is then unknown, so nothing more is acknowledged and only a new process
	// can go on: Fatal must have this one end, and must not wait for it, or use the
	// database. The error has been logged; Close returns it without touching the disk. Nil
	// exits with status 1.
	Fatal func(error)
}

// Open opens the database in o.Dir. The error wraps [ErrInUse], [ErrDamaged] or one of the
// file system's.
func Open(o Options) (*DB, error) {
	if o.Dir == "" {
		return nil, errors.New("open the database: no directory given")
	}
	d := &DB{dir: o.Dir, now: o.Now, logger: o.Logger, fatal: o.Fatal, ended: make(chan struct{}), failed: make(chan struct{})}
	if d.now == nil {
		d.now = time.Now //nolint:forbidigo // the default of a clock that can be passed in
	}
	if d.logger == nil {
		d.logger = slog.Default()
	}
	if d.fatal == nil {
		d.fatal = func(error) { os.Exit(1) }
	}
	d.queues.Store(new([]*Queue))
	if o.FS == nil {
		o.FS = privateFS{vfs.Default}
	}
	if err := d.open(o.FS); err != nil {
		return nil, fmt.Errorf("open the database in %s: %w", o.Dir, err)
	}
	d.wal = startWAL(d)
	d.store = newStore(d)
	d.feed = newFeed(d, o.Feed)
	d.ops.Go(d.housekeeping)
	if o.Count {
		snapshot := d.pebble.NewSnapshot() // before the first write
		d.ops.Go(func() { d.countOrders(snapshot) })
	}
	return d, nil
}

// open acquires everything that Close releases.
func (d *DB) open(fsys vfs.FS) (err error) {
	if err := makeDir(fsys, d.dir); err != nil {
		return err
	}
	if disk, ok := fsys.(privateFS); ok {
		if err := disk.tighten(d.dir); err != nil {
			return err
		}
	}
	d.lock, err = pebble.LockDirectory(d.dir, fsys)
	if err != nil {
		if path := new(fs.PathError); errors.As(err, &path) {
			return err
		}
		// The file could be opened, but another process holds its lock.
		return fmt.Errorf("%w: end that one first, or choose another directory (%w)", ErrInUse, err)
	}
	defer func() {
		if err != nil {
			_ = d.lock.Close()
		}
	}()
	d.seal, err = sealfs.Open(fsys, d.dir, d.fail)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && d.failedWith() == nil { // what is left behind may use it
			_ = d.seal.Close()
		}
	}()
	// Apart, because pebble does not return from some failures, such as a full disk: it
	// tries again forever. Then it is left behind where it waits for the file system.
	options, opened := d.options(fsys), make(chan error, 1)
	go func() { opened <- d.start(options) }()
	select {
	case err = <-opened:
	case <-d.failed:
	}
	d.life.Lock()
	defer d.life.Unlock()
	if d.failure != nil {
		return d.failure
	}
	d.serving = err == nil
	if name := d.seal.Damaged(); name != "" {
		d.logger.Warn("a file is damaged that tells how far others were synced: damage at their ends went unnoticed, if there was any", "file", name)
	}
	return damaged(err)
}

// start opens pebble.
func (d *DB) start(o *pebble.Options) (err error) {
	if d.pebble, err = openPebble(d.dir, o); err != nil {
		return err
	}
	if err = d.countOpening(); err != nil {
		_ = d.pebble.Close()
	}
	return err
}

// makeDir creates a directory and its parents, so that they survive a power cut.
func makeDir(fsys vfs.FS, dir string) error {
	var parents []string // of those that are created
	for p := fsys.PathDir(dir); ; p = fsys.PathDir(p) {
		parents = append(parents, p)
		if _, err := fsys.Stat(p); err == nil || p == fsys.PathDir(p) {
			break
		}
	}
	if err := fsys.MkdirAll(dir, privateDir); err != nil {
		return err
	}
	for _, p := range parents {
		if err := sealfs.SyncDir(fsys, p); err != nil {
			return err
		}
	}
	return nil
}

// openPebble turns pebble's panics into errors: it panics at some sorts of damage
// (DB.replayWAL says so itself).
func openPebble(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	db, err = pebble.Open(dir, o)
	if err != nil {
		err = blameOptions(dir, o, err)
	}
	return db, err
}

// blameOptions adds the name of pebble's file of options to an error of pebble.Open if these
// are not as they were written. Pebble's error then tells only what it could not read.
func blameOptions(dir string, o *pebble.Options, err error) error {
	found, peekErr := pebble.Peek(dir, o.FS)
	if peekErr != nil || found.OptionsFilename == "" {
		return err
	}
	file, openErr := o.FS.Open(found.OptionsFilename)
	if openErr != nil {
		return err
	}
	written, readErr := io.ReadAll(file)
	if errors.Join(readErr, file.Close()) != nil {
		return err
	}
	defaults := o.Clone()
	defaults.EnsureDefaults()
	if defaults.CheckCompatibility(dir, string(written)) == nil {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrDamaged, found.OptionsFilename, err)
}

// options returns pebble's options. The sizes were chosen by measuring with
// BenchmarkOrders.
func (d *DB) options(fsys vfs.FS) *pebble.Options {
	o := &pebble.Options{
		FS:                 d.seal.FS(fsys),
		Lock:               d.lock,
		FormatMajorVersion: format,
		// A message or an order changes a few times within seconds. A memtable that is
		// large enough drops all but the newest version before anything is flushed.
		MemTableSize:                32 << 20,
		MemTableStopWritesThreshold: 4,
		// Usually two memtables are counted in it. The rest must hold the filters and
		// indexes of all tables, or every create reads some from disk.
		CacheSize:    128 << 20,
		MaxOpenFiles: 500,
		// This makes fewer fsyncs, each shared by more writes. On a quiet disk it delays
		// none.
		WALMinSyncInterval: func() time.Duration { return time.Millisecond },
	}
	// A create looks up an order that does not exist yet: ids from idempotency keys are
	// random, and only a filter saves reading a block of every level.
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	d.logTo(o)
	return o
}

// countOpening durably counts this opening of the database. If the opening before was by a
// build that writes fewer indexes, they are completed first.
func (d *DB) countOpening() error {
	openings, err := d.opened(kindOpenings)
	if err != nil {
		return err
	}
	indexed, err := d.opened(kindIndexed)
	if err != nil {
		return err
	}
	if indexed != openings {
		if err := d.indexCustomers(); err != nil {
			return fmt.Errorf("index the orders by customer: %w", damaged(err))
		}
	}
	d.opening = openings + 1
	value := binary.BigEndian.AppendUint64(nil, d.opening)
	b := d.pebble.NewBatch()
	err = errors.Join(b.Set([]byte{kindOpenings}, value, nil), b.Set([]byte{kindIndexed}, value, nil))
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	return errors.Join(err, b.Close())
}

// opened reads the number of an opening; 0 is none.
func (d *DB) opened(kind byte) (uint64, error) {
	value, closer, err := d.pebble.Get([]byte{kind})
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, damaged(err)
	}
	defer func() { _ = closer.Close() }()
	if len(value) != 8 {
		return 0, fmt.Errorf("%w: the count of openings: %w", ErrDamaged, errRecord)
	}
	return binary.BigEndian.Uint64(value), nil
}

// indexCustomers adds the entries of all orders to the lists of customers. Its writes are
// durable with the next one that is synced, and may be made again.
func (d *DB) indexCustomers() (err error) {
	const batchBytes = 1 << 20
	iter, err := d.pebble.NewIter(&pebble.IterOptions{LowerBound: []byte{kindOrder}, UpperBound: prefixEnd([]byte{kindOrder})})
	if err != nil {
		return err
	}
	b, n := d.pebble.NewBatch(), 0
	defer func() { err = errors.Join(err, iter.Error(), iter.Close(), b.Close()) }()
	flush := func() error {
		err := errors.Join(b.Commit(pebble.NoSync), b.Close())
		b = d.pebble.NewBatch()
		return err
	}
	for ok := iter.First(); ok; ok = iter.Next() {
		o, err := scanned(iter)
		if err != nil {
			return err
		}
		key := indexKey(nil, indexCustomer, header{status: o.Status, created: stampOf(o.CreatedAt)}, o.CustomerID, o.Ref)
		if len(key) == 0 {
			continue
		}
		if err := b.Set(key, nil, nil); err != nil {
			return err
		}
		n++
		if b.Len() >= batchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	d.logger.Info("indexed the orders of an earlier build by customer", "dir", d.dir, "orders", n)
	return flush()
}

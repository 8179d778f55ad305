// Package sealfs finds damage in pebble's write-ahead log and manifest that pebble takes
// for their end.
//
// A [Seal] is a small file beside pebble's. It records how far the newest log and the
// newest manifest were synced; when they are opened again, everything up to there must be
// whole.
//
// Pebble alone can't promise that. A log's last records may be torn by a crash, before
// anybody was told that they are durable; so pebble's reader takes the first chunk that
// makes no sense for the log's end, unless a chunk in a later block of 32 KiB says that
// the log was synced beyond it (record.Reader.readAheadForCorruption). A damaged byte in
// the last block silently takes all that follows with it, and in the first log of a new
// database, which has no such marks yet, a damaged byte in any block does; and one flipped
// bit in a chunk's log number looks like a proper end anywhere. The manifest's reader
// always ends at the first senseless chunk (versionSet.load), and the tables that the rest
// of it named are then deleted.
//
// The seal is written after each fsync and before the fsync's waiters are told. It is
// synced itself only a second later, or it would double the cost. The system keeps it when
// the process is killed; after a power cut it may be a second older than the log, and then
// promises less, never too much.
package sealfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrDamaged reports that files of the database are not as they were written.
var ErrDamaged = errors.New("the database is damaged")

// SyncDelay is how soon after a promise [Seal.Sync] is due.
const SyncDelay = time.Second

// Seal keeps a promise for the newest log, and one for the newest manifest.
type Seal struct {
	file vfs.File
	// changed has a value if there are promises that are not synced yet.
	changed chan struct{}
	// mu is held while a promise is written, which is fast: nothing is synced.
	mu       sync.Mutex
	promises [slots]promise

	fail    func(error) error
	failed  atomic.Bool
	damaged string // the file's name if it was found damaged
}

// promise says that this file is whole up to there. The zero value promises nothing.
type promise struct {
	file   uint64 // the number in the file's name
	length int64
}

const (
	sealName = "SEAL"
	// Each promise has a sector of its own, so that it is written whole or not at all.
	sectorBytes  = 512
	promiseBytes = 8 + 8 + 4
	// The slots.
	slotLog      = 0
	slotManifest = 1
	slots        = 2
)

// Open opens the seal of the database in dir, and creates it if it is absent. Fail is
// called with each failed write or fsync of a file, before pebble learns of it, which
// panics at some of them and tries others again at once, forever.
func Open(fsys vfs.FS, dir string, fail func(error) error) (*Seal, error) {
	name := fsys.PathJoin(dir, sealName)
	file, err := fsys.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	var sectors [slots * sectorBytes]byte
	if _, err := file.ReadAt(sectors[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("read %s: %w", name, err), file.Close())
	}
	s := &Seal{file: file, changed: make(chan struct{}, 1), fail: fail}
	for slot := range s.promises {
		sector := sectors[slot*sectorBytes:][:sectorBytes]
		p, whole := parsePromise(sector)
		if s.promises[slot] = p; !whole && len(bytes.Trim(sector, "\x00")) > 0 {
			s.damaged = name
		}
	}
	if err := s.checkPresent(fsys, dir); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// checkPresent looks for the sealed log, or a newer one: pebble replays the logs that
// there are, and does not notice if one is missing. It also looks for the marker that says
// which manifest counts, which is durable before there is a log: without it pebble makes a new
// database, and removes the tables.
func (s *Seal) checkPresent(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	newest, marked := uint64(0), false
	for _, name := range names {
		marked = marked || strings.HasPrefix(name, "marker.manifest.")
		if slot, number, ok := parseFileName(name); ok && slot == slotLog {
			newest = max(newest, number)
		}
	}
	switch sealed := s.promises[slotLog].file; {
	case newest < sealed:
		return fmt.Errorf("%w: the write-ahead log %06d.log is missing", ErrDamaged, sealed)
	case sealed > 0 && !marked:
		return fmt.Errorf("%w: the marker of the manifest is missing", ErrDamaged)
	}
	return nil
}

// Damaged returns the name of the seal's file if a promise in it was not as it was written, and
// "" otherwise. What it promised is then unknown, and was not checked.
func (s *Seal) Damaged() string { return s.damaged }

// Changed receives a value when there are promises that are not synced yet.
func (s *Seal) Changed() <-chan struct{} { return s.changed }

// Sync makes the promises durable.
func (s *Seal) Sync() error { return s.report("sync", sealName, s.file.Sync()) }

// Close makes the promises durable and closes the seal's file.
func (s *Seal) Close() error {
	if err := errors.Join(s.file.Sync(), s.file.Close()); err != nil {
		return fmt.Errorf("sync and close %s: %w", sealName, err)
	}
	return nil
}

// parsePromise reads a promise. One that is absent or not whole promises nothing.
func parsePromise(b []byte) (p promise, whole bool) {
	if crc32.ChecksumIEEE(b[:promiseBytes-4]) != binary.BigEndian.Uint32(b[promiseBytes-4:]) {
		return promise{}, false
	}
	return promise{file: binary.BigEndian.Uint64(b), length: int64(binary.BigEndian.Uint64(b[8:]))}, true
}

// set makes a promise. One for each slot is enough: pebble writes only its newest log and
// its newest manifest.
func (s *Seal) set(slot int, p promise) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(slot, p)
}

func (s *Seal) write(slot int, p promise) error {
	s.promises[slot] = p
	b := binary.BigEndian.AppendUint64(make([]byte, 0, promiseBytes), p.file)
	b = binary.BigEndian.AppendUint64(b, uint64(p.length))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	if _, err := s.file.WriteAt(b, int64(slot*sectorBytes)); err != nil {
		return err
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return nil
}

// withdraw durably takes back the promise about a file that is about to be removed. Pebble
// removes the logs that it replayed before it has a new one.
func (s *Seal) withdraw(slot int, number uint64) error {
	s.mu.Lock()
	promised := s.promises[slot].file == number
	var err error
	if promised {
		err = s.write(slot, promise{})
	}
	s.mu.Unlock()
	if err == nil && promised {
		return s.Sync()
	}
	return s.report("write", sealName, err)
}

// check checks a log or manifest before pebble reads it.
func (s *Seal) check(fsys vfs.FS, path string, slot int, number uint64) error {
	s.mu.Lock()
	promised, isLog := s.promises[slot], slot == slotLog
	s.mu.Unlock()
	// A log older than the sealed one was closed, and pebble would not replay it if it
	// were obsolete. Anything newer than the sealed one was never synced.
	closed := isLog && number < promised.file
	if number != promised.file && !closed {
		return nil
	}
	file, err := fsys.Open(path)
	if err != nil {
		return err
	}
	whole, ended, err := scanLog(file, isLog, uint32(number))
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	switch {
	case closed && !ended:
		return fmt.Errorf("%w: %s was closed and now breaks off after %d bytes", ErrDamaged, path, whole)
	case !closed && whole < promised.length:
		return fmt.Errorf("%w: %s was synced up to byte %d and now breaks off after %d",
			ErrDamaged, path, promised.length, whole)
	}
	return nil
}

// parseFileName returns the slot and number of a file; ok is false if it is not a log or
// manifest of pebble's.
func parseFileName(name string) (slot int, number uint64, ok bool) {
	digits, isLog := strings.CutSuffix(name, ".log")
	if !isLog {
		if digits, ok = strings.CutPrefix(name, "MANIFEST-"); !ok {
			return 0, 0, false
		}
		slot = slotManifest
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return slot, number, err == nil
}

// report passes an error on to fail, and returns it.
func (s *Seal) report(doing, name string, err error) error {
	if err == nil || s.failed.Load() {
		return err
	}
	described := err
	if path := new(fs.PathError); !errors.As(err, &path) { // which says as much
		described = fmt.Errorf("%s %s: %w", doing, name, err)
	}
	_ = s.fail(described)
	s.failed.Store(true) // not before: from here on, logs only pretend to be written
	return err
}

// errFailed is the error of writes to a manifest after a failure.
var errFailed = errors.New("a write failed before")

// halt precedes what changes a directory. After a failure pebble's background work would
// try again at once, forever: it stops here for good.
func (s *Seal) halt() {
	if s.failed.Load() {
		select {}
	}
}

// FS returns a file system for pebble that keeps and checks the seal.
func (s *Seal) FS(fsys vfs.FS) vfs.FS { return sealedFS{FS: fsys, seal: s} }

type sealedFS struct {
	vfs.FS
	seal *Seal
}

func (f sealedFS) Unwrap() vfs.FS { return f.FS }

func (f sealedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	// A marker's name says which manifest counts. Pebble relies on the file system to
	// make the manifest's own name durable before the marker's.
	if strings.HasPrefix(f.PathBase(name), "marker.") {
		if err := SyncDir(f, f.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return f.open(name, func() (vfs.File, error) { return f.FS.Create(name, category) })
}

func (f sealedFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, category) })
}

// open opens a file for writing.
func (f sealedFS) open(name string, open func() (vfs.File, error)) (vfs.File, error) {
	slot, number, ok := parseFileName(f.PathBase(name))
	isLog := ok && slot == slotLog
	if !isLog {
		f.seal.halt()
	}
	file, err := vfs.File(nil), errFailed
	if !f.seal.failed.Load() {
		file, err = open()
	}
	if err = f.seal.report("create", name, err); err != nil {
		if isLog {
			return nowhere{}, nil // see logFile
		}
		return nil, err
	}
	watched := watchedFile{File: file, seal: f.seal, name: name}
	sealed := sealedFile{watchedFile: watched, slot: slot, number: number}
	switch {
	case isLog:
		return &logFile{sealed}, nil
	case ok:
		return &sealed, nil
	}
	return &watched, nil
}

func (f sealedFS) Rename(oldname, newname string) error {
	f.seal.halt()
	return f.seal.report("rename", oldname, f.FS.Rename(oldname, newname))
}

func (f sealedFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &watchedDir{watchedFile{File: file, seal: f.seal, name: name}}, nil
}

func (f sealedFS) Remove(name string) error {
	f.seal.halt()
	if slot, number, ok := parseFileName(f.PathBase(name)); ok {
		if err := f.seal.withdraw(slot, number); err != nil {
			return err
		}
	}
	return f.FS.Remove(name)
}

func (f sealedFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if slot, number, ok := parseFileName(f.PathBase(name)); ok {
		if err := f.seal.check(f.FS, name, slot, number); err != nil {
			return nil, err
		}
	}
	return f.FS.Open(name, opts...)
}

// watchedFile is a file or directory whose failures are reported.
type watchedFile struct {
	vfs.File
	seal *Seal
	name string
}

func (f *watchedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.seal.report("write", f.name, err)
}

func (f *watchedFile) Sync() error     { return f.seal.report("sync", f.name, f.File.Sync()) }
func (f *watchedFile) SyncData() error { return f.seal.report("sync", f.name, f.File.SyncData()) }

func (f *watchedFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.seal.report("sync", f.name, err)
}

// watchedDir is a directory. Pebble syncs it when it changes to another log, and does not see
// that fail, as of a [logFile].
type watchedDir struct{ watchedFile }

func (f *watchedDir) Sync() error {
	_ = f.watchedFile.Sync()
	return nil
}

// sealedFile is a log or manifest that pebble writes. Its writes and syncs are never
// concurrent (vfs.File).
type sealedFile struct {
	watchedFile
	slot    int
	number  uint64
	written int64
}

func (f *sealedFile) Write(p []byte) (int, error) {
	if f.seal.failed.Load() {
		return 0, errFailed
	}
	n, err := f.watchedFile.Write(p)
	f.written += int64(n)
	return n, err
}

func (f *sealedFile) Sync() error     { return f.sync(f.watchedFile.Sync) }
func (f *sealedFile) SyncData() error { return f.sync(f.watchedFile.SyncData) }

func (f *sealedFile) sync(sync func() error) error {
	if f.seal.failed.Load() { // a part of a write may be the file's end: promise nothing of it
		return errFailed
	}
	if err := sync(); err != nil {
		return err
	}
	return f.seal.report("write", sealName, f.seal.set(f.slot, promise{file: f.number, length: f.written}))
}

// logFile is a log. Its failures are reported, but pebble does not see them: when it can't
// change to another log it panics and unlocks a mutex that is not locked, which nothing
// can recover from (DB.rotateWAL). Whoever fail tells must not trust what pebble says of
// the log afterwards.
type logFile struct{ sealedFile }

func (f *logFile) Write(p []byte) (int, error) {
	_, _ = f.sealedFile.Write(p) // reported
	return len(p), nil
}

func (f *logFile) Sync() error {
	_ = f.sealedFile.Sync()
	return nil
}

func (f *logFile) SyncData() error {
	_ = f.sealedFile.SyncData()
	return nil
}

func (f *logFile) Close() error {
	_ = f.seal.report("close", f.name, f.File.Close())
	return nil
}

// nowhere is a log that could not be created, for pebble to write to all the same.
type nowhere struct{ vfs.File }

func (nowhere) Write(p []byte) (int, error)    { return len(p), nil }
func (nowhere) Preallocate(int64, int64) error { return nil }
func (nowhere) Sync() error                    { return nil }
func (nowhere) SyncData() error                { return nil }
func (nowhere) SyncTo(int64) (bool, error)     { return true, nil }
func (nowhere) Close() error                   { return nil }
func (nowhere) Fd() uintptr                    { return vfs.InvalidFd }

// SyncDir makes the names in a directory durable.
func SyncDir(fsys vfs.FS, dir string) error {
	f, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

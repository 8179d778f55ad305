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
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
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

	fail      func(error) error
	reporting atomic.Bool
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
// called with each failed write or fsync of a log or manifest after
// [Seal.ReportFailures], before pebble learns of it, which panics at some of them.
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
		s.promises[slot] = parsePromise(sectors[slot*sectorBytes:])
	}
	if err := s.checkPresent(fsys, dir); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// checkPresent looks for the sealed log, or a newer one: pebble replays the logs that
// there are, and does not notice if one is missing.
func (s *Seal) checkPresent(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	newest := uint64(0)
	for _, name := range names {
		if slot, number, ok := parseFileName(name); ok && slot == slotLog {
			newest = max(newest, number)
		}
	}
	if sealed := s.promises[slotLog].file; newest < sealed {
		return fmt.Errorf("%w: the write-ahead log %06d.log is missing", ErrDamaged, sealed)
	}
	return nil
}

// ReportFailures has failures passed to fail. Until then they are only returned, which is
// right while a database is being opened.
func (s *Seal) ReportFailures() { s.reporting.Store(true) }

// Changed receives a value when there are promises that are not synced yet.
func (s *Seal) Changed() <-chan struct{} { return s.changed }

// Sync makes the promises durable.
func (s *Seal) Sync() error { return s.file.Sync() }

// Close makes the promises durable and closes the seal's file.
func (s *Seal) Close() error { return errors.Join(s.file.Sync(), s.file.Close()) }

// parsePromise reads a promise. One that is absent or not whole promises nothing.
func parsePromise(b []byte) promise {
	if crc32.ChecksumIEEE(b[:promiseBytes-4]) != binary.BigEndian.Uint32(b[promiseBytes-4:]) {
		return promise{}
	}
	return promise{file: binary.BigEndian.Uint64(b), length: int64(binary.BigEndian.Uint64(b[8:]))}
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
		err = s.Sync()
	}
	return err
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
	if err != nil && s.reporting.Load() {
		_ = s.fail(fmt.Errorf("%s %s: %w", doing, name, err))
	}
	return err
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
		if err := SyncDir(f.FS, f.PathDir(name)); err != nil {
			return nil, err
		}
	}
	file, err := f.FS.Create(name, category)
	return f.wrap(name, file, err)
}

func (f sealedFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(oldname, newname, category)
	return f.wrap(newname, file, err)
}

func (f sealedFS) wrap(name string, file vfs.File, err error) (vfs.File, error) {
	slot, number, ok := parseFileName(f.PathBase(name))
	if !ok {
		return file, err
	}
	if err != nil {
		return file, f.seal.report("create", name, err)
	}
	return &sealedFile{File: file, seal: f.seal, name: name, slot: slot, number: number}, nil
}

func (f sealedFS) Remove(name string) error {
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

// sealedFile is a log or manifest that pebble writes. Its writes and syncs are never
// concurrent (vfs.File).
type sealedFile struct {
	vfs.File
	seal    *Seal
	name    string
	slot    int
	number  uint64
	written int64
}

func (f *sealedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.written += int64(n)
	return n, f.seal.report("write", f.name, err)
}

func (f *sealedFile) Sync() error     { return f.synced(f.File.Sync()) }
func (f *sealedFile) SyncData() error { return f.synced(f.File.SyncData()) }

func (f *sealedFile) synced(err error) error {
	if err == nil {
		err = f.seal.set(f.slot, promise{file: f.number, length: f.written})
	}
	return f.seal.report("sync", f.name, err)
}

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

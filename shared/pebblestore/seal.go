package pebblestore

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

// seal remembers, in a small file beside pebble's, how far the newest write-ahead log
// and the newest manifest were synced. At the next opening everything up to there
// must be whole.
//
// Pebble alone can't promise that. A log's last records may be torn by a crash, and
// then nobody was told that they are durable; so the reader takes the first chunk that
// makes no sense for the log's end, unless a chunk in a later block of 32 KiB says that
// the log was synced beyond it (record.Reader.readAheadForCorruption). A damaged
// byte in the last block silently takes all that follows with it, in the first log of
// a new database, which has no such marks yet, from any block; and one flipped bit in
// a chunk's log number looks like a proper end anywhere. The manifest's reader ends at
// the first senseless chunk always (versionSet.load), and the tables that the rest of
// it named are then deleted.
//
// The seal is written after each fsync and before the fsync's waiters are told. It is
// synced itself only a second later, or else it would double the cost. The system
// keeps it when the process is killed; after a power cut it may be a second older than
// the log, and then promises less, never too much.
type seal struct {
	file vfs.File
	// changed has a value if there are promises that are not synced yet.
	changed chan struct{}
	// mu is held for writing a promise, which the system only notes.
	mu       sync.Mutex
	promises [sealSlots]sealed

	// fail is told of every write or fsync that fails, before pebble is, which
	// panics at some of them. Until the database is running, Open returns them.
	fail    func(error) error
	running atomic.Bool
}

// sealed is one promise: this file is whole up to there. The zero value is none.
type sealed struct {
	file   uint64 // the number in the file's name
	length int64
}

const (
	sealName = "SEAL"
	// Each promise has a sector of its own, so that it is written whole or not.
	sealSector = 512
	sealBytes  = 8 + 8 + 4
	// The slots.
	sealLog      = 0
	sealManifest = 1
	sealSlots    = 2
)

// sealDelay is how soon after it changed the seal is synced.
const sealDelay = time.Second

func openSeal(fsys vfs.FS, dir string, fail func(error) error) (*seal, error) {
	name := fsys.PathJoin(dir, sealName)
	file, err := fsys.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	var sectors [sealSlots * sealSector]byte
	if _, err := file.ReadAt(sectors[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("read %s: %w", name, err), file.Close())
	}
	s := &seal{file: file, changed: make(chan struct{}, 1), fail: fail}
	for slot := range s.promises {
		s.promises[slot] = parseSealed(sectors[slot*sealSector:])
	}
	if err := s.checkPresent(fsys, dir); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// checkPresent looks for the sealed log, or a newer one: pebble replays what logs
// there are and does not miss any.
func (s *seal) checkPresent(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	newest := uint64(0)
	for _, name := range names {
		if slot, number, ok := parseFileName(name); ok && slot == sealLog {
			newest = max(newest, number)
		}
	}
	if sealed := s.promises[sealLog].file; newest < sealed {
		return fmt.Errorf("%w: the write-ahead log %06d.log is missing", ErrDamaged, sealed)
	}
	return nil
}

// parseSealed reads a promise. One that is not there or not whole promises nothing.
func parseSealed(b []byte) sealed {
	if crc32.ChecksumIEEE(b[:sealBytes-4]) != binary.BigEndian.Uint32(b[sealBytes-4:]) {
		return sealed{}
	}
	return sealed{file: binary.BigEndian.Uint64(b), length: int64(binary.BigEndian.Uint64(b[8:]))}
}

// set makes a promise. There is one for each slot, as pebble writes only its newest
// log and its newest manifest.
func (s *seal) set(slot int, p sealed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(slot, p)
}

func (s *seal) write(slot int, p sealed) error {
	s.promises[slot] = p
	b := binary.BigEndian.AppendUint64(make([]byte, 0, sealBytes), p.file)
	b = binary.BigEndian.AppendUint64(b, uint64(p.length))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	if _, err := s.file.WriteAt(b, int64(slot*sealSector)); err != nil {
		return err
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return nil
}

// withdraw takes back, durably, what was promised of a file that is about to go.
// Pebble removes the logs that it replayed before it has a new one.
func (s *seal) withdraw(slot int, number uint64) error {
	s.mu.Lock()
	promised := s.promises[slot].file == number
	var err error
	if promised {
		err = s.write(slot, sealed{})
	}
	s.mu.Unlock()
	if err == nil && promised {
		err = s.sync()
	}
	return err
}

func (s *seal) sync() error  { return s.file.Sync() }
func (s *seal) close() error { return errors.Join(s.file.Sync(), s.file.Close()) }

// check is called with each log and manifest before pebble reads it.
func (s *seal) check(fsys vfs.FS, path string, slot int, number uint64) error {
	s.mu.Lock()
	promise, isLog := s.promises[slot], slot == sealLog
	s.mu.Unlock()
	// A log older than the sealed one was closed, and pebble would not replay it if
	// it were obsolete. Anything newer than the promise was never synced.
	closed := isLog && number < promise.file
	if number != promise.file && !closed {
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
	case !closed && whole < promise.length:
		return fmt.Errorf("%w: %s was synced up to byte %d and now breaks off after %d",
			ErrDamaged, path, promise.length, whole)
	}
	return nil
}

// parseFileName tells whether a file is a log or manifest of pebble's.
func parseFileName(name string) (slot int, number uint64, ok bool) {
	digits, isLog := strings.CutSuffix(name, ".log")
	if !isLog {
		if digits, ok = strings.CutPrefix(name, "MANIFEST-"); !ok {
			return 0, 0, false
		}
		slot = sealManifest
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return slot, number, err == nil
}

// report tells of a failure and gives the error back.
func (s *seal) report(doing, name string, err error) error {
	if err != nil && s.running.Load() {
		_ = s.fail(fmt.Errorf("%s %s: %w", doing, name, err))
	}
	return err
}

// fs wraps pebble's file system to keep the seal.
func (s *seal) fs(fsys vfs.FS) vfs.FS { return sealedFS{FS: fsys, seal: s} }

type sealedFS struct {
	vfs.FS
	seal *seal
}

func (f sealedFS) Unwrap() vfs.FS { return f.FS }

func (f sealedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	// A marker's name says which manifest counts. Pebble leaves it to the file system
	// that the manifest's own name is durable before the marker's.
	if strings.HasPrefix(f.PathBase(name), "marker.") {
		if err := syncDir(f.FS, f.PathDir(name)); err != nil {
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
	seal    *seal
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
		err = f.seal.set(f.slot, sealed{file: f.number, length: f.written})
	}
	return f.seal.report("sync", f.name, err)
}

package pebblestore_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"paylane/shared/order"
	"paylane/shared/pebblestore"
)

// fullDisk is a disk that can run out of space, for operations on some files.
type fullDisk struct {
	files string // a part of their names
	kinds []errorfs.OpKind
}

func (f fullDisk) over(inner vfs.FS) (vfs.FS, *errorfs.Toggle) {
	disk := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if slices.Contains(f.kinds, op.Kind) && strings.Contains(op.Path, f.files) {
			return &fs.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	})}
	return errorfs.Wrap(inner, disk), disk
}

// fullDisks returns disks that lack space for something, by name.
func fullDisks(files ...string) map[string]fullDisk {
	disks := make(map[string]fullDisk)
	for _, files := range files {
		disks["write "+files] = fullDisk{files, []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileWriteAt}}
		if files != "SEAL" { // which is made when there is nothing else yet
			disks["create "+files] = fullDisk{files, []errorfs.OpKind{errorfs.OpCreate}}
		}
	}
	return disks
}

// shortFS is a disk that is full after the first half of a write, to a log.
type shortFS struct {
	vfs.FS
	on atomic.Bool
}

func (s *shortFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := s.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return file, err
	}
	return &shortFile{file, s}, nil
}

type shortFile struct {
	vfs.File
	fs *shortFS
}

func (f *shortFile) Write(p []byte) (int, error) {
	if !f.fs.on.Load() {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:len(p)/2])
	return n, errors.Join(err, syscall.ENOSPC)
}

// TestHalfAWrite: what is left of a write for which there was no space is not damage.
func TestHalfAWrite(t *testing.T) {
	memory := vfs.NewCrashableMem()
	disk := &shortFS{FS: memory}
	db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: disk, Logger: silent(), Fatal: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	old := newOrder("t", "old")
	if err := db.Store().Create(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	disk.on.Store(true)
	if err := db.Store().Create(t.Context(), newOrder("t", "new")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("create: the error is %v, want ENOSPC", err)
	}
	_ = db.Close()
	// The system keeps what was written when the process ends.
	again := open(t, pebblestore.Options{Dir: "data", FS: memory.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})})
	if _, err := again.Store().Get(t.Context(), old.Ref); err != nil {
		t.Errorf("the acknowledged order: %v", err)
	}
}

// logLines counts what is logged.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) lines() (n int, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), "\n"), l.text.String()
}

// within fails the test if f takes as long as only something that hangs does.
func within(t *testing.T, doing string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s hangs", doing)
		return nil
	}
}

// TestOpenOnAFullDisk: whatever can't be written, Open returns, and does not log what it
// returns. With space again everything is there.
func TestOpenOnAFullDisk(t *testing.T) {
	for name, full := range fullDisks("", ".sst", ".log", "MANIFEST", "dbtmp", "SEAL") {
		t.Run(name, func(t *testing.T) {
			memory := vfs.NewCrashableMem()
			old := newOrder("t", "old")
			db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: memory, Logger: quiet(t)})
			if err == nil {
				err = errors.Join(db.Store().Create(t.Context(), old), db.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
			fsys, disk := full.over(memory)
			disk.On()
			var log logLines
			err = within(t, "open on a full disk", func() error {
				db, err := pebblestore.Open(pebblestore.Options{
					Dir: "data", FS: fsys, Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Fatal: func(err error) { t.Errorf("fatal was called with %v", err) },
				})
				if err == nil {
					_ = db.Close()
				}
				return err
			})
			if n, text := log.lines(); n > 0 {
				t.Errorf("open logged:\n%s", text)
			}
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "database in data: ") {
				t.Errorf("the error is %v, want one that names the folder and ENOSPC", err)
			}
			again := open(t, pebblestore.Options{Dir: "data", FS: powerCut(memory)})
			if _, err := again.Store().Get(t.Context(), old.Ref); err != nil {
				t.Errorf("the order, with space again: %v", err)
			}
		})
	}
}

// TestTheDiskFills: calls fail, nothing hangs or floods the log, and nothing that was
// acknowledged is lost.
func TestTheDiskFills(t *testing.T) {
	disks := fullDisks("", ".sst", ".log", "MANIFEST")
	delete(disks, "create MANIFEST") // which happens at hundreds of MB
	for name, full := range disks {
		t.Run(name, func(t *testing.T) {
			memory := vfs.NewCrashableMem()
			fsys, disk := full.over(memory)
			var log logLines
			fatal := make(chan error, 10)
			db, err := pebblestore.Open(pebblestore.Options{
				Dir: "data", FS: fsys, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})),
				Fatal: func(err error) { fatal <- err },
			})
			if err != nil {
				t.Fatal(err)
			}
			q := openQueue(t, db, queueConfig("payments"))
			old := newOrder("t", "old")
			if err := db.Store().Create(t.Context(), old); err != nil {
				t.Fatal(err)
			}
			disk.On()
			large := strings.Repeat("x", 200<<10)
			err = within(t, "sending on a full disk", func() error {
				for range 2000 { // until a table or another log is due
					if _, err := q.Send(t.Context(), large, 0); err != nil {
						return err
					}
				}
				return nil
			})
			if !errors.Is(err, order.ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("the error is %v, want order.ErrUnavailable for ENOSPC", err)
			}
			if err := within(t, "create", func() error { return db.Store().Create(t.Context(), newOrder("t", "new")) }); !errors.Is(err, order.ErrUnavailable) {
				t.Errorf("create: the error is %v, want order.ErrUnavailable", err)
			}
			if err := within(t, "close", db.Close); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("close: the error is %v, want ENOSPC", err)
			}
			if err := <-fatal; !errors.Is(err, syscall.ENOSPC) || len(fatal) > 0 {
				t.Errorf("fatal was called with %v and %d times more", err, len(fatal))
			}
			if n, text := log.lines(); n != 1 {
				t.Errorf("%d lines were logged, want 1:\n%.2000s", n, text)
			}
			again := open(t, pebblestore.Options{Dir: "data", FS: powerCut(memory)})
			if _, err := again.Store().Get(t.Context(), old.Ref); err != nil {
				t.Errorf("the acknowledged order: %v", err)
			}
		})
	}
}

// TestCloseOfAStuckDisk: after a failure Close waits for nothing.
func TestCloseOfAStuckDisk(t *testing.T) {
	fsys, disk := fullDisk{"SEAL", []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}}.over(vfs.NewMem())
	disk.On()
	var log countingFS
	fatal := make(chan error, 1)
	db, err := pebblestore.Open(pebblestore.Options{
		Dir: "data", FS: log.over(fsys), Logger: silent(), Fatal: func(err error) { fatal <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	stuck, never := make(chan struct{}, 10), make(chan struct{})
	t.Cleanup(func() { close(never) })
	gate := func() {
		stuck <- struct{}{}
		<-never
	}
	log.gate.Store(&gate)
	go func() { _ = db.Store().Create(context.Background(), newOrder("t", "a")) }()
	<-stuck
	if err := <-fatal; !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("fatal was called with %v, want ENOSPC", err)
	}
	if err := within(t, "close", db.Close); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("close: the error is %v, want ENOSPC", err)
	}
}

// TestPrivateFiles: whatever the umask, only the owner can read the database. A folder of an
// earlier version is made private; one with other things in it is not.
func TestPrivateFiles(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	for name, test := range map[string]struct {
		prepare func(dir string) error
		folder  fs.FileMode
	}{
		"absent": {func(string) error { return nil }, 0o700},
		"empty":  {func(dir string) error { return os.MkdirAll(dir, 0o755) }, 0o700},
		"of an earlier version": {func(dir string) error {
			db, err := pebblestore.Open(pebblestore.Options{Dir: dir, FS: vfs.Default, Logger: quiet(t)})
			if err == nil {
				err = errors.Join(db.Close(), os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "issuer.pem"), nil, 0o600))
			}
			return err
		}, 0o700},
		"with a file of somebody else's": {func(dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600), os.Chmod(filepath.Join(dir, "notes"), 0o644))
		}, 0o755},
		"with a folder": {func(dir string) error { return os.MkdirAll(filepath.Join(dir, "src"), 0o755) }, 0o755},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "data")
			if err := test.prepare(dir); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				db, err := pebblestore.Open(pebblestore.Options{Dir: dir, Logger: quiet(t)})
				if err != nil {
					t.Fatal(err)
				}
				q := openQueue(t, db, queueConfig("payments"))
				for range 200 { // which takes a table and another log
					if _, err := q.Send(t.Context(), strings.Repeat("x", 200<<10), 0); err != nil {
						t.Fatal(err)
					}
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				tables := 0
				for _, entry := range entries(t, dir) {
					if filepath.Ext(entry.Name()) == ".sst" {
						tables++
					}
					if entry.Name() == "notes" || entry.IsDir() {
						continue
					}
					if info, err := entry.Info(); err != nil || info.Mode() != 0o600 {
						t.Errorf("%s: %v, %v, want 0600", entry.Name(), info.Mode(), err)
					}
				}
				if tables == 0 {
					t.Error("there is no table")
				}
				if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != test.folder {
					t.Errorf("the folder: %v, %v, want %v", info.Mode(), err, test.folder)
				}
			}
		})
	}
}

func entries(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

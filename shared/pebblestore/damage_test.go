package pebblestore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

// world is what a database must have: everything that was acknowledged.
type world struct {
	orders   []order.Order
	messages int
	size     int // of an order, roughly
}

// write adds n orders with messages to the database, and to the world.
func (w *world) write(t *testing.T, db *pebblestore.DB, q *pebblestore.Queue, n int) {
	t.Helper()
	for range n {
		i := len(w.orders)
		if _, err := q.Send(t.Context(), fmt.Sprint(i), 0); err != nil {
			t.Fatal(err)
		}
		w.messages++
		o := newOrder("t", fmt.Sprintf("id-%04d", i))
		o.CustomerID, o.CreatedAt = strings.Repeat("c", w.size), o.CreatedAt.Add(time.Duration(i)*time.Millisecond)
		if i%3 == 0 {
			o.Status = order.Failed
		}
		if err := db.Store().Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		w.orders = append(w.orders, o)
	}
}

// check opens a database and compares everything in it with the world. The error is the
// database's first; missing is what is absent or wrong although there was no error.
func (w *world) check(t *testing.T, fs vfs.FS) (missing string, err error) {
	t.Helper()
	db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: fs, Logger: silent()})
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }()
	for _, want := range w.orders {
		got, err := db.Store().Get(t.Context(), want.Ref)
		if errors.Is(err, order.ErrNotFound) {
			return "order " + want.ID, nil
		}
		if err != nil {
			return "", err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return diff, nil
		}
	}
	for status, n := range map[order.Status]int{"": len(w.orders), order.Failed: (len(w.orders) + 2) / 3} {
		page, err := db.Store().List(t.Context(), order.Query{Tenant: "t", Status: status, Limit: len(w.orders) + 1})
		if err != nil {
			return "", err
		}
		if len(page.Orders) < n {
			return fmt.Sprintf("%d of %d listed orders %s", n-len(page.Orders), n, status), nil
		}
	}
	q, err := db.Queue(queueConfig("payments"))
	if err != nil {
		return "", err
	}
	for n := 0; n < w.messages; {
		got, err := q.Receive(context.Background(), queue.ReceiveRequest{Max: 10})
		if err != nil {
			return "", err
		}
		if len(got) == 0 {
			return fmt.Sprintf("%d of %d messages", w.messages-n, w.messages), nil
		}
		n += len(got)
	}
	return "", nil
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t *testing.T, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(slices.Clone(data)); err != nil { // a Write may change what it gets
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// newest returns the file with the highest number among those that match.
func newest(t *testing.T, fs vfs.FS, match func(name string) bool) string {
	t.Helper()
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for _, name := range names {
		if match(name) {
			found = max(found, name)
		}
	}
	if found == "" {
		t.Fatalf("no such file among %v", names)
	}
	return "data/" + found
}

const sealFile = "SEAL"

func isLog(name string) bool      { return strings.HasSuffix(name, ".log") }
func isManifest(name string) bool { return strings.HasPrefix(name, "MANIFEST-") }
func isTable(name string) bool    { return strings.HasSuffix(name, ".sst") }

// copied returns the files as they are, which is how a kill leaves them.
func copied(fs *vfs.MemFS) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))})
}

// powerCut returns the files without anything that was not synced.
func powerCut(fs *vfs.MemFS) *vfs.MemFS { return fs.CrashClone(vfs.CrashCloneCfg{}) }

// life describes how a database came to be as it is.
type life struct {
	name string
	size int // of its orders, roughly
	// earlier is how many orders it had when it was last opened, later how many it gets
	// now.
	earlier, later int
	// unflushed means that no log becomes obsolete, as in a burst of writes.
	unflushed bool
}

func lives() []life {
	return []life{
		// 100 small orders are more than a block of the log.
		{name: "a new database", size: 200, later: 100},
		{name: "a database opened again", size: 200, earlier: 10, later: 100},
		{name: "a database with tables", size: 4_000, earlier: 66, later: 5},
		// The first log has a quarter of a megabyte, since pebble begins small.
		{name: "a database with unflushed logs", size: 4_000, later: 70, unflushed: true},
	}
}

func (l life) begin(t *testing.T, fs *vfs.MemFS) (w *world, db *pebblestore.DB, q *pebblestore.Queue) {
	t.Helper()
	w = &world{size: l.size}
	if l.unflushed {
		held := make(chan struct{})
		db = openFor(t, withoutTables{fs, held})
		t.Cleanup(func() { close(held) }) // before it is closed
		return w, db, openQueue(t, db, queueConfig("payments"))
	}
	db = openFor(t, fs)
	q = openQueue(t, db, queueConfig("payments"))
	if l.earlier == 0 {
		return w, db, q
	}
	w.write(t, db, q, l.earlier)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openFor(t, fs)
	return w, db, openQueue(t, db, queueConfig("payments"))
}

// withoutTables is a file system on which no flush makes progress.
type withoutTables struct {
	vfs.FS
	held <-chan struct{}
}

func (f withoutTables) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if isTable(name) {
		<-f.held
	}
	return f.FS.Create(name, category)
}

// openFor opens a database that the test may also close itself.
func openFor(t *testing.T, fs vfs.FS) *pebblestore.DB {
	t.Helper()
	db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: fs, Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// eachLife runs a test on a database of each life, in virtual time.
func eachLife(t *testing.T, test func(*testing.T, life)) {
	for _, l := range lives() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(t, l) })
		})
	}
}

// A crash may tear the end of the log anywhere. What was acknowledged before survives.
func TestTornLog(t *testing.T) {
	eachLife(t, func(t *testing.T, l life) {
		fs := vfs.NewCrashableMem()
		w, db, q := l.begin(t, fs)
		w.write(t, db, q, 5)
		time.Sleep(2 * time.Second) // until the seal is synced
		before, acknowledged := powerCut(fs), *w
		w.write(t, db, q, 1)
		after := powerCut(fs)
		name := newest(t, after, isLog)
		if name != newest(t, before, isLog) {
			t.Fatal("the log changed meanwhile")
		}
		if missing, err := w.check(t, powerCut(after)); missing != "" || err != nil {
			t.Errorf("the whole log: missing %s, %v", missing, err)
		}
		synced, whole := len(readFile(t, before, name)), readFile(t, after, name)
		tails := []string{"", strings.Repeat("\x00", 100), strings.Repeat("\x00", 40_000)}
		step := 1 // every byte, of small orders
		if l.size > 1000 {
			step = 31
		}
		if testing.Short() { // as under the race detector, which finds nothing in a damaged file
			step *= 20
		}
		for end := synced; end < len(whole); end += step {
			torn := powerCut(before)
			tail := tails[end%len(tails)]
			writeFile(t, torn, name, append(whole[:end:end], tail...))
			if missing, err := acknowledged.check(t, torn); missing != "" || err != nil {
				t.Fatalf("torn at byte %d of %d, then %d zeros: missing %s, %v", end, len(whole), len(tail), missing, err)
			}
		}
		// Before the end of what was synced, it is not a tear but a loss.
		for end := 0; end < synced; end += 1 + synced/few(100) {
			cut := powerCut(before)
			writeFile(t, cut, name, whole[:end])
			if _, err := acknowledged.check(t, cut); !errors.Is(err, pebblestore.ErrDamaged) {
				t.Errorf("cut off at byte %d of %d that were synced: the error is %v", end, synced, err)
			}
		}
	})
}

// Damage anywhere in what was synced is reported, or harmless.
func TestDamage(t *testing.T) {
	eachLife(t, func(t *testing.T, l life) {
		fs := vfs.NewCrashableMem()
		w, db, q := l.begin(t, fs)
		w.write(t, db, q, l.later)
		killed := copied(fs)
		time.Sleep(2 * time.Second) // until the seal is synced
		ends := map[string]*vfs.MemFS{"killed": killed, "power cut": powerCut(fs)}
		if !l.unflushed {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			ends["closed"] = powerCut(fs)
		}
		for end, fs := range ends {
			if missing, err := w.check(t, powerCut(fs)); missing != "" || err != nil {
				t.Fatalf("%s, undamaged: missing %s, %v", end, missing, err)
			}
			damageFiles(t, fs, w, end, l.unflushed)
		}
	})
}

func damageFiles(t *testing.T, fs *vfs.MemFS, w *world, end string, unflushed bool) {
	t.Helper()
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	const header = 20
	for _, name := range names {
		path := "data/" + name
		current := path == newest(t, fs, isManifest) || path == newest(t, fs, isLog) || isLog(name) && unflushed
		// These are the same after every end. The other files are empty.
		once := isTable(name) || strings.HasPrefix(name, "OPTIONS-")
		if !current && name != sealFile && (!once || end != "killed") {
			continue
		}
		size := len(readFile(t, fs, path))
		found, tried := 0, 0
		for at := 0; at < size; {
			flip := []byte{0xff, 0x80, 0x01}[tried%3]
			if at == 7 {
				flip = 0x01 // makes an even log number the next, as in a log's proper end
			}
			if damageByte(t, fs, w, end+": "+name, path, at, flip) {
				found++
			}
			tried++
			// All of the first chunk's header, then more densely toward the end, where a
			// tear would be.
			if at++; at > header || testing.Short() {
				at += min(size/few(25), (size-at)/4)
			}
		}
		t.Logf("%s: %s: %d of %d damages were found, the others did no harm", end, name, found, tried)
	}
}

// few is how many of n damages are tried in short mode.
func few(n int) int {
	if testing.Short() {
		return (n + 9) / 10
	}
	return n
}

// damageByte reports whether the damage was found.
func damageByte(t *testing.T, fs *vfs.MemFS, w *world, what, path string, at int, flip byte) bool {
	t.Helper()
	damaged := powerCut(fs)
	data, err := damaged.UnsafeGetFileDataBuffer(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= flip
	missing, err := w.check(t, damaged)
	switch {
	case missing != "":
		t.Errorf("%s: byte %d of %d changed by %#x: missing %s", what, at, len(data), flip, missing)
	case err != nil && !strings.Contains(err.Error(), strings.TrimSuffix(strings.TrimPrefix(path, "data/"), ".sst")):
		t.Errorf("%s: byte %d of %d changed by %#x: %v, which does not name the file", what, at, len(data), flip, err)
	case err != nil && !errors.Is(err, pebblestore.ErrDamaged):
		t.Errorf("%s: byte %d of %d changed by %#x: %v, which is not ErrDamaged", what, at, len(data), flip, err)
	}
	return err != nil
}

// A log that is missing is damage, too, also if there is an older one.
func TestMissingLog(t *testing.T) {
	for _, l := range []life{lives()[1], lives()[3]} {
		t.Run(l.name, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			w, db, q := l.begin(t, fs)
			w.write(t, db, q, l.later)
			ends := map[string]*vfs.MemFS{"killed": copied(fs)}
			if !l.unflushed {
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				ends["closed"] = powerCut(fs)
			}
			for end, fs := range ends {
				if err := fs.Remove(newest(t, fs, isLog)); err != nil {
					t.Fatal(err)
				}
				if _, err := w.check(t, fs); !errors.Is(err, pebblestore.ErrDamaged) {
					t.Errorf("%s: the error is %v, want pebblestore.ErrDamaged", end, err)
				}
			}
		})
	}
}

// A missing marker of the manifest is damage, and no reason to begin a new database in its place.
func TestMissingMarker(t *testing.T) {
	for _, l := range lives() {
		t.Run(l.name, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			w, db, q := l.begin(t, fs)
			w.write(t, db, q, l.later)
			left := copied(fs)
			marker := newest(t, left, func(name string) bool { return strings.HasPrefix(name, "marker.manifest.") })
			if err := left.Remove(marker); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := w.check(t, left); !errors.Is(err, pebblestore.ErrDamaged) {
					t.Errorf("the error is %v, want pebblestore.ErrDamaged", err)
				}
			}
		})
	}
}

// A manifest that breaks off before the end of what was synced is damage, too, even while the logs
// have what its end told of: they are removed at any moment.
func TestDamagedManifest(t *testing.T) {
	fs := vfs.NewCrashableMem()
	w, db, _ := life{size: 200, earlier: 10}.begin(t, fs)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if missing, err := w.check(t, powerCut(fs)); missing != "" || err != nil {
		t.Fatalf("undamaged: missing %s, %v", missing, err)
	}
	name := newest(t, fs, isManifest)
	whole := readFile(t, fs, name)
	for at := range whole {
		if !damageByte(t, fs, w, "closed", name, at, 0x01) {
			t.Errorf("byte %d of %d changed, which was not found", at, len(whole))
		}
		cut := powerCut(fs)
		writeFile(t, cut, name, whole[:at])
		if _, err := w.check(t, cut); !errors.Is(err, pebblestore.ErrDamaged) {
			t.Errorf("cut off at byte %d of %d: the error is %v, want pebblestore.ErrDamaged", at, len(whole), err)
		}
	}
}

// A damaged seal harms nothing by itself, but promises less: that is logged.
func TestDamagedSeal(t *testing.T) {
	fs := vfs.NewCrashableMem()
	w, db, q := lives()[0].begin(t, fs)
	w.write(t, db, q, 5)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 15, 19, 512, 531} { // a promise of the log, and one of the manifest
		damaged := powerCut(fs)
		data, err := damaged.UnsafeGetFileDataBuffer("data/" + sealFile)
		if err != nil {
			t.Fatal(err)
		}
		data[at] ^= 0x01
		for opening, want := range []int{1, 0} { // the first writes it anew
			var log logLines
			db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: damaged, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatalf("byte %d changed: %v", at, err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if n, text := log.lines(); n != want || want == 1 && !strings.Contains(text, "data/"+sealFile) {
				t.Errorf("byte %d changed: opening %d logged %q, want %d lines", at, opening, text, want)
			}
		}
		if missing, err := w.check(t, damaged); missing != "" || err != nil {
			t.Errorf("byte %d changed: missing %s, %v", at, missing, err)
		}
	}
}

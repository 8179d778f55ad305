package pebblestore_test

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/order"
	"paylane/shared/queue"
)

var (
	crashSeed = flag.Uint64("seed", 1, "the first seed of the tests that crash at every sync")
	crashRuns = flag.Uint64("runs", 2, "how many seeds they run")
)

// eachCrashSeed runs a test once for each seed, and says how to repeat one that fails.
func eachCrashSeed(t *testing.T, test func(*testing.T, *rand.Rand)) {
	runs := *crashRuns
	if testing.Short() { // as under the race detector, which is after other faults
		runs = 1
	}
	for seed := *crashSeed; seed < *crashSeed+runs; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			defer func() {
				if t.Failed() {
					name, _, _ := strings.Cut(t.Name(), "/")
					t.Logf("again: go test ./shared/pebblestore -run '^%s$' -args -seed=%d -runs=1", name, seed)
				}
			}()
			test(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

// pointsFS calls a function before and after each sync of a file or directory, and before
// each write. It may refuse them.
type pointsFS struct {
	vfs.FS
	// write returns the error to fail with after half of the write.
	write func(name string) error
	// sync does the sync, or does not.
	sync func(name string, sync func() error) error
}

func (p *pointsFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &pointsFile{f, p, name}, nil
}

func (p *pointsFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := p.write(name); err != nil {
		return nil, err
	}
	f, err := p.FS.Create(name, c)
	return p.wrap(name, f, err)
}

func (p *pointsFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := p.FS.OpenReadWrite(name, c, opts...)
	return p.wrap(name, f, err)
}

func (p *pointsFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.ReuseForWrite(oldname, newname, c)
	return p.wrap(newname, f, err)
}

func (p *pointsFS) OpenDir(name string) (vfs.File, error) {
	f, err := p.FS.OpenDir(name)
	return p.wrap(name, f, err)
}

type pointsFile struct {
	vfs.File
	fs   *pointsFS
	name string
}

func (f *pointsFile) Sync() error     { return f.fs.sync(f.name, f.File.Sync) }
func (f *pointsFile) SyncData() error { return f.fs.sync(f.name, f.File.SyncData) }

func (f *pointsFile) SyncTo(length int64) (full bool, err error) {
	err = f.fs.sync(f.name, func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

func (f *pointsFile) Write(b []byte) (int, error) {
	if err := f.fs.write(f.name); err != nil {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, err
	}
	return f.File.Write(b)
}

func (f *pointsFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.fs.write(f.name); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, at)
}

// torn returns what a crash may leave: of what was not synced, any of the names and any of
// the sectors of the files, the last of them torn at any byte.
func torn(t *testing.T, fs *vfs.MemFS, rng *rand.Rand) *vfs.MemFS {
	t.Helper()
	const sector = 512
	synced := powerCut(fs)
	left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{50, 100, 100}[rng.IntN(3)], RNG: rng})
	names, err := left.List("data")
	if err != nil { // the folder itself is lost
		return synced
	}
	for _, name := range names {
		name = "data/" + name
		if _, err := synced.Stat(name); err != nil {
			continue // how much of it was synced is unknown: it may have been renamed
		}
		old, data := readFile(t, synced, name), readFile(t, left, name)
		if len(data) <= len(old) {
			continue
		}
		for at := len(old)/sector*sector + sector; at < len(data); at += sector {
			if rng.IntN(4) == 0 {
				clear(data[at:min(at+sector, len(data))])
			}
		}
		if rng.IntN(3) > 0 {
			data = data[:len(old)+rng.IntN(len(data)-len(old))]
		}
		writeFile(t, left, name, data)
	}
	return copied(left)
}

// crashPoint is what a crash may leave at some point, and what must and may be there.
type crashPoint struct {
	name        string
	fs          *vfs.MemFS
	at          time.Time
	least, most int
	position    uint64 // in the feed
}

// key is the same for disks with the same content, at the same time.
func (p crashPoint) key(t *testing.T) string {
	t.Helper()
	names, err := p.fs.List("data")
	if err != nil {
		return "nothing"
	}
	sum := sha256.New()
	slices.Sort(names)
	for _, name := range names {
		_, _ = fmt.Fprintf(sum, "%s %x\n", name, sha256.Sum256(readFile(t, p.fs, "data/"+name)))
	}
	return fmt.Sprintf("%x at %v", sum.Sum(nil), p.at)
}

// crashPoints takes what crashes leave.
type crashPoints struct {
	*ledger
	t     *testing.T
	taken sync.Mutex
	rng   *rand.Rand
	disk  *vfs.MemFS
	all   []crashPoint
}

func (p *crashPoints) take(name string) {
	p.taken.Lock()
	defer p.taken.Unlock()
	for _, tear := range []bool{false, true} {
		least, _ := p.bounds() // before the crash: what is promised during it may be lost
		point := crashPoint{name: name + ", nothing more", least: least, position: p.readUpTo()}
		if point.fs = powerCut(p.disk); tear {
			point.name, point.fs = name+", and some more", torn(p.t, p.disk, p.rng)
		}
		_, point.most = p.bounds()
		point.at = p.clock().Truncate(time.Second) // so that many are alike
		p.all = append(p.all, point)
	}
}

// TestCrashAtEverySync has one caller do random things of every sort, and cuts the power before
// and after every sync of a file or directory, also those of the opening, and after every call.
// Each time the database must be as if the caller had made its first calls and no others: all
// that were promised to be durable, and of the later ones those up to some moment. It goes on
// from one of the crashes.
func TestCrashAtEverySync(t *testing.T) {
	eachCrashSeed(t, func(t *testing.T, rng *rand.Rand) {
		l := newLedger(true)
		disk, now, bodies := vfs.NewCrashableMem(), l.now, 0
		for life := range 3 {
			var points []crashPoint
			padding := []int{100, 100, 20_000}[life] // which takes tables and another log
			synctest.Test(t, func(t *testing.T) {
				least, most := l.bounds()
				l.mu.Lock()
				l.now, l.since = now, time.Now()
				l.mu.Unlock()
				p := &crashPoints{ledger: l, t: t, rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), disk: disk}
				db, err := l.open(&pointsFS{disk, func(string) error { return nil }, func(name string, sync func() error) error {
					p.take("before the sync of " + name)
					err := sync()
					p.take("after the sync of " + name)
					return err
				}})
				if err != nil {
					t.Fatalf("life %d: %v", life, err)
				}
				got, err := db.observe(t.Context(), l.clock())
				if err != nil {
					t.Fatalf("life %d: %v", life, err)
				}
				step, ok := l.match(got, l.clock(), least, most)
				if !ok {
					t.Fatalf("life %d: %s", life, l.explain(got, l.clock(), least, most))
				}
				l.restart(step, l.clock())
				c := &crashClient{ledger: l, db: db, rng: rng, bodies: &bodies, padding: padding}
				for i := range 60 {
					if err := c.step(t.Context()); err != nil {
						t.Errorf("life %d, call %d: %v", life, i, err)
						break
					}
					p.take(fmt.Sprint("after call ", i))
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
				points = p.all
			})
			seen := map[string]facts{}
			step := 1
			if testing.Short() {
				step = 20
			}
			for i := 0; i < len(points); i += step {
				p := points[i]
				key := p.key(t)
				found, ok := seen[key]
				if !ok {
					if found, err := observeCrash(t, powerCut(p.fs), p.at); err != nil {
						t.Fatalf("life %d, %s: %v", life, p.name, err)
					} else {
						seen[key] = found
					}
					found = seen[key]
				}
				if err := l.check(found, p.at, p.least, p.most); err != nil {
					t.Fatalf("life %d, %s: %v", life, p.name, err)
				}
			}
			t.Logf("life %d: %d writes, %d crashes that left %d different disks", life, len(l.steps), len(points), len(seen))
			next := points[rng.IntN(len(points))]
			disk, now, l.durable, l.steps, l.position = next.fs, next.at, next.least, l.steps[:next.most+1], next.position
		}
	})
}

// fault is a disk that fails once it has come to some point.
type fault struct {
	mu       sync.Mutex
	left     int // operations that still succeed
	seen     int
	failedAt string
}

// op counts an operation. It returns the error of the one that fails, and whether the disk has
// failed before.
func (f *fault) op(name string) (now, before bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	before = f.failedAt != ""
	if f.left--; f.left == -1 {
		f.failedAt = name
		now = true
	}
	return now, before
}

// A sync that fails may have lost what it was to write, while later ones succeed. Nothing is
// acknowledged any more.
func TestEverySyncFails(t *testing.T) {
	everyFault(t, errDisk, func(disk vfs.FS, f *fault) vfs.FS {
		return &pointsFS{disk, func(string) error { return nil }, func(name string, sync func() error) error {
			switch now, before := f.op(name); {
			case now:
				return errDisk
			case before:
				return nil // and nothing was written: the system has forgotten that it was to
			}
			return sync()
		}}
	})
}

// A disk that is full at some write, of which it takes a half, is full from then on. When the
// database is opened again there is space.
func TestEveryWriteFindsNoSpace(t *testing.T) {
	everyFault(t, syscall.ENOSPC, func(disk vfs.FS, f *fault) vfs.FS {
		return &pointsFS{disk, func(name string) error {
			if now, before := f.op(name); now || before {
				return syscall.ENOSPC
			}
			return nil
		}, func(_ string, sync func() error) error { return sync() }}
	})
}

// everyFault has a caller do random things until the disk fails, at each operation in turn.
func everyFault(t *testing.T, want error, over func(vfs.FS, *fault) vfs.FS) {
	eachCrashSeed(t, func(t *testing.T, rng *rand.Rand) {
		some := 40 // faults; each run has a few hundred
		if testing.Short() {
			some = 4
		}
		seed := rng.Uint64()
		whole := faultyRun(t, seed, over, &fault{left: 1 << 30}, want)
		for at := rng.IntN(1 + whole/some); at < whole; at += 1 + whole/some {
			faultyRun(t, seed, over, &fault{left: at}, want)
			if t.Failed() {
				t.Logf("the disk failed at operation %d of %d", at, whole)
				return
			}
		}
	})
}

// faultyRun returns how many operations of the disk there were.
func faultyRun(t *testing.T, seed uint64, over func(vfs.FS, *fault) vfs.FS, f *fault, want error) (seen int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	memory, l, bodies := vfs.NewCrashableMem(), newLedger(false), 0
	db, err := l.open(over(memory, f))
	opened := err == nil
	for i := 0; err == nil && i < 40; i++ {
		c := &crashClient{ledger: l, db: db, rng: rng, bodies: &bodies, padding: 15_000}
		err = c.step(t.Context())
	}
	if opened {
		err = errors.Join(err, within(t, "close", db.Close))
	}
	f.mu.Lock()
	failedAt, seen := f.failedAt, f.seen
	f.mu.Unlock()
	switch {
	case failedAt == "" && err != nil:
		t.Errorf("without a fault: %v", err)
	case failedAt == "":
	case !errors.Is(err, want) || !strings.Contains(err.Error(), path.Base(failedAt)):
		t.Errorf("the error is %v, want one that names %s: %v", err, failedAt, want)
	case opened:
		wantEnded(t, db, failedAt)
	}
	least, most := l.bounds()
	for _, left := range []*vfs.MemFS{powerCut(memory), torn(t, memory, rng)} {
		found, err := observeCrash(t, left, l.clock())
		if err == nil {
			err = l.check(found, l.clock(), least, most)
		}
		if err != nil {
			t.Errorf("after a failure of %s: %v", failedAt, err)
		}
	}
	return seen
}

// wantEnded wants that a database neither acknowledges nor shows anything.
func wantEnded(t *testing.T, db *crashedDB, failedAt string) {
	t.Helper()
	ctx := t.Context()
	_, got := db.Store().Get(ctx, crashRefs()[0])
	_, received := db.payments.Receive(ctx, queue.ReceiveRequest{Max: 10})
	_, sent := db.payments.Send(ctx, "x", 0)
	_, read := db.Feed().Read(ctx, 0, 10, 0)
	for doing, err := range map[string]error{
		"create": db.Store().Create(ctx, newOrder("t", "new")), "get": got, "receive": received, "send": sent, "read the feed": read,
		"write a document": db.Store().DeleteDocument(ctx, crashDocuments()[0]),
	} {
		if !errors.Is(err, order.ErrUnavailable) {
			t.Errorf("%s, after a failure of %s: the error is %v, want order.ErrUnavailable", doing, failedAt, err)
		}
	}
}

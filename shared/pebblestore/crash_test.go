package pebblestore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

// TestCrash has workers do random things, cuts the power at some moment, continues with
// what is left on disk, and so on. After each cut, everything that was acknowledged or read
// before must be there. Of what was not synced, any part may be there, or none.
func TestCrash(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 0))
			fs := vfs.NewCrashableMem()
			h := newHistory()
			for cut := range 6 {
				db := openFor(t, fs)
				payments, dead := openBoth(t, db)
				h.check(t, db, cut)
				fs = h.liveAndCrash(t, db, payments, dead, fs, rng)
				if t.Failed() {
					return
				}
			}
			db := openFor(t, fs)
			h.check(t, db, 6)
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			// Three days later, every message that is left is visible.
			h.checkMessages(t, open(t, pebblestore.Options{
				Dir: "data", FS: fs, Now: func() time.Time { return time.Now().Add(72 * time.Hour) },
			}))
		})
	}
}

// TestCrashWhileOpening cuts the power before each step that Open takes on the disk, and
// then again at a random step of the next Open, which repairs that.
func TestCrashWhileOpening(t *testing.T) {
	for _, l := range lives() {
		if l.unflushed {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, 2))
			cut := func(fs *vfs.MemFS) *vfs.MemFS {
				return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[rng.IntN(3)], RNG: rng})
			}
			fs := vfs.NewCrashableMem()
			w, db, q := l.begin(t, fs)
			w.write(t, db, q, 3)
			// Anything more may be torn, and is not in the world.
			more := *w
			more.write(t, db, q, 3)
			start := cut(fs)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			for step := int64(0); ; step++ {
				left, reached := openUntil(t, powerCut(start), step, cut)
				if !reached {
					t.Logf("open takes %d steps", step)
					return
				}
				left, _ = openUntil(t, left, rng.Int64N(step+1), cut)
				if missing, err := w.check(t, left); missing != "" || err != nil {
					t.Fatalf("cut at step %d: missing %s, %v", step, missing, err)
				}
			}
		})
	}
}

// openUntil opens a database and returns what is on disk if the power is cut before the
// step; reached is false if opening takes fewer steps.
func openUntil(t *testing.T, fs *vfs.MemFS, step int64, cut func(*vfs.MemFS) *vfs.MemFS) (left *vfs.MemFS, reached bool) {
	t.Helper()
	var steps atomic.Int64
	counted := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && steps.Add(1)-1 == step {
			left = cut(fs)
		}
		return nil
	}))
	db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: counted, Logger: quiet(t)})
	if err != nil {
		t.Fatalf("open, to cut it at step %d: %v", step, err)
	}
	reached = steps.Load() > step
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if !reached {
		left = powerCut(fs)
	}
	return left, reached
}

// whileOpening opens a database and closes it, and returns the disks that take made of it right before
// any of its operations; nil is none.
func whileOpening(t *testing.T, fs vfs.FS, take func(errorfs.Op) *vfs.MemFS) (taken []*vfs.MemFS) {
	t.Helper()
	var mu sync.Mutex
	watched := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if disk := take(op); disk != nil {
			taken = append(taken, disk)
		}
		return nil
	}))
	db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: watched, Logger: quiet(t)})
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

// TestACrashAfterALogIsRemoved: a removed file may be gone after a crash although nothing was synced
// since, and what else was not synced is lost.
func TestACrashAfterALogIsRemoved(t *testing.T) {
	fs, w := vfs.NewCrashableMem(), &world{size: 200}
	db := openFor(t, fs)
	w.write(t, db, openQueue(t, db, queueConfig("payments")), 3)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var removed []string
	var crashes []*vfs.MemFS
	for range 3 {
		crashes = append(crashes, whileOpening(t, fs, func(op errorfs.Op) *vfs.MemFS {
			if op.Kind != errorfs.OpRemove || !isLog(op.Path) {
				return nil
			}
			removed = append(removed, op.Path)
			left := powerCut(fs)
			for _, name := range removed {
				if err := left.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Error(err)
				}
			}
			return left
		})...)
	}
	if len(crashes) == 0 {
		t.Fatal("no log was removed")
	}
	for i, left := range crashes {
		if missing, err := w.check(t, left); missing != "" || err != nil {
			t.Errorf("after %v: missing %s, %v", removed[:i+1], missing, err)
		}
	}
}

// TestACrashAfterAManifestIsMarked: the name of a marker may be there after a crash although nothing
// was synced since, and what else was not synced is lost.
func TestACrashAfterAManifestIsMarked(t *testing.T) {
	fs, w := vfs.NewCrashableMem(), &world{size: 200}
	db := openFor(t, fs)
	w.write(t, db, openQueue(t, db, queueConfig("payments")), 3)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	crashes := whileOpening(t, fs, func(op errorfs.Op) *vfs.MemFS {
		if op.Kind != errorfs.OpCreate || !strings.HasPrefix(op.Path, "data/marker.manifest.") {
			return nil
		}
		left := powerCut(fs)
		writeFile(t, left, op.Path, nil)
		return left
	})
	if len(crashes) == 0 {
		t.Fatal("no manifest was marked")
	}
	for _, left := range crashes {
		if missing, err := w.check(t, left); missing != "" || err != nil {
			t.Errorf("missing %s, %v", missing, err)
		}
	}
}

// openBoth opens a queue and its dead-letter queue.
func openBoth(t *testing.T, db *pebblestore.DB) (payments, dead *pebblestore.Queue) {
	return openBothFor(t, db, queueConfig("").Retention)
}

func openBothFor(t *testing.T, db *pebblestore.DB, retention time.Duration) (payments, dead *pebblestore.Queue) {
	c := queueConfig("dead")
	c.Retention = retention
	dead = openQueue(t, db, c)
	c = queueConfig("payments")
	c.Retention, c.DeadLetterQueue, c.MaxReceiveCount = retention, "dead", 3
	return openQueue(t, db, c), dead
}

// history is what the workers know to have happened.
type history struct {
	mu sync.Mutex
	// tried has what writes of an order tried to store, by version.
	tried map[order.Ref]map[int64][]order.Order
	// promised is the newest version that a write returned or a read showed.
	promised map[order.Ref]int64
	// sent has the messages that are durable, since a write of an order came after them,
	// and how often each was received before such a write.
	sent map[string]int
	// deleted has the messages that a worker tried to delete. They may be gone.
	deleted map[string]bool
}

func newHistory() *history {
	return &history{
		tried:    make(map[order.Ref]map[int64][]order.Order),
		promised: make(map[order.Ref]int64),
		sent:     make(map[string]int), deleted: make(map[string]bool),
	}
}

func (h *history) try(o order.Order) order.Order {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tried[o.Ref] == nil {
		h.tried[o.Ref] = make(map[int64][]order.Order)
	}
	h.tried[o.Ref][o.Version] = append(h.tried[o.Ref][o.Version], o)
	return o
}

func (h *history) promise(o order.Order) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.promised[o.Ref] = max(h.promised[o.Ref], o.Version)
}

// liveAndCrash lets workers run until the power is cut and returns what is on disk.
func (h *history) liveAndCrash(t *testing.T, db *pebblestore.DB, payments, dead *pebblestore.Queue, fs *vfs.MemFS, rng *rand.Rand) *vfs.MemFS {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var writes atomic.Int64
	enough := 200 + rng.Int64N(600)
	reached := make(chan struct{})
	var workers sync.WaitGroup
	for range 8 {
		w := &crashWorker{
			history: h, store: db.Store(), queues: []*pebblestore.Queue{payments, payments, dead},
			rng: rand.New(rand.NewPCG(rng.Uint64(), 0)),
		}
		workers.Go(func() {
			for ctx.Err() == nil {
				if err := w.step(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
				if writes.Add(1) == enough {
					close(reached)
				}
			}
		})
	}
	<-reached
	h.mu.Lock()
	promised, sent := maps.Clone(h.promised), maps.Clone(h.sent)
	h.mu.Unlock()
	left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[rng.IntN(3)], RNG: rng})
	stop()
	workers.Wait()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	// What was promised after the cut does not count.
	h.promised, h.sent = promised, sent
	return left
}

type crashWorker struct {
	*history
	store  *pebblestore.Store
	queues []*pebblestore.Queue
	rng    *rand.Rand
	// unsure has the messages sent, and the receives of others, since this worker's last
	// write of an order.
	unsure map[string]int
}

// step does something random.
func (w *crashWorker) step(ctx context.Context) error {
	ref := order.Ref{Tenant: "t" + strconv.Itoa(w.rng.IntN(2)), ID: "id-" + strconv.Itoa(w.rng.IntN(60))}
	q := w.queues[w.rng.IntN(len(w.queues))]
	switch w.rng.IntN(8) {
	case 0, 1:
		return w.send(ctx, w.queues[0])
	case 2:
		return w.receive(ctx, q)
	case 3:
		return w.list(ctx, ref.Tenant)
	default:
		return w.write(ctx, ref)
	}
}

// write reads an order and stores a new version of it.
func (w *crashWorker) write(ctx context.Context, ref order.Ref) error {
	current, err := w.store.Get(ctx, ref)
	next := newOrder(ref.Tenant, ref.ID)
	switch {
	case errors.Is(err, order.ErrNotFound):
		if w.rng.IntN(8) == 0 {
			next = order.NewVoid(ref, time.Now())
		}
	case err != nil:
		return err
	default:
		w.promise(current)
		next.Version, next.CreatedAt = current.Version+1, current.CreatedAt
		next.Status = order.Statuses()[w.rng.IntN(len(order.Statuses()))]
		if len(next.Refunds) == 0 {
			next = next.WithWholeRefund("REF") // as there is one in such a status
		}
	}
	next.CustomerID = strconv.FormatUint(w.rng.Uint64(), 36) + strings.Repeat("x", w.rng.IntN(1000))
	w.try(next)
	if next.Version == 1 {
		err = w.store.Create(ctx, next)
	} else {
		err = w.store.Update(ctx, next)
	}
	conflict := new(order.ConflictError)
	switch {
	case errors.As(err, &conflict):
		w.promise(conflict.Current)
	case err != nil:
		return err
	default:
		w.promise(next)
	}
	if err == nil {
		w.sure()
	}
	return nil
}

// sure records that a write came after everything that this worker did with messages.
func (w *crashWorker) sure() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, count := range w.unsure {
		w.sent[id] = max(w.sent[id], count)
	}
	w.unsure = nil
}

func (w *crashWorker) note(id string, count int) {
	if w.unsure == nil {
		w.unsure = make(map[string]int)
	}
	w.unsure[id] = max(w.unsure[id], count)
}

func (w *crashWorker) send(ctx context.Context, q *pebblestore.Queue) error {
	id, err := q.Send(ctx, strings.Repeat("x", 1+w.rng.IntN(500)), time.Duration(w.rng.IntN(2))*time.Second)
	if err == nil {
		w.note(id, 0)
	}
	return err
}

func (w *crashWorker) receive(ctx context.Context, q *pebblestore.Queue) error {
	got, err := q.Receive(ctx, queue.ReceiveRequest{Max: 1 + w.rng.IntN(10), Visibility: time.Second})
	for _, d := range got {
		w.note(d.MessageID, d.ReceiveCount())
		switch w.rng.IntN(4) {
		case 0:
			w.mu.Lock()
			w.deleted[d.MessageID] = true
			w.mu.Unlock()
			_, err = q.Delete(ctx, []string{d.ReceiptHandle})
		case 1:
			err = q.ChangeVisibility(ctx, d.ReceiptHandle, 0)
		}
		if err != nil {
			return err
		}
	}
	return err
}

func (w *crashWorker) list(ctx context.Context, tenant string) error {
	status := append(order.Statuses(), "")[w.rng.IntN(8)]
	page, err := w.store.List(ctx, order.Query{Tenant: tenant, Status: status, Limit: 1 + w.rng.IntN(100)})
	for _, o := range page.Orders {
		w.promise(o)
	}
	return err
}

// check compares the orders with what was promised.
func (h *history) check(t *testing.T, db *pebblestore.DB, cut int) {
	t.Helper()
	listed := map[order.Ref]order.Order{}
	for _, tenant := range []string{"t0", "t1"} {
		page, err := db.Store().List(t.Context(), order.Query{Tenant: tenant, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Orders {
			listed[o.Ref] = o
		}
		h.checkStatusLists(t, db, tenant, page.Orders)
		h.checkCustomerLists(t, db, tenant, page.Orders)
	}
	for ref, versions := range h.tried {
		o, err := db.Store().Get(t.Context(), ref)
		if errors.Is(err, order.ErrNotFound) {
			if h.promised[ref] > 0 {
				t.Errorf("after cut %d: order %s was at version %d and is gone", cut, ref.ID, h.promised[ref])
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if o.Version < h.promised[ref] {
			t.Errorf("after cut %d: order %s was at version %d and is at %d", cut, ref.ID, h.promised[ref], o.Version)
		}
		whole := false
		for _, tried := range versions[o.Version] {
			whole = whole || cmp.Equal(tried, o)
		}
		if !whole {
			t.Errorf("after cut %d: order %s is not as any worker wrote it: %+v", cut, ref.ID, o)
		}
		if inList, ok := listed[ref]; ok != (o.Status != order.Void) || ok && !cmp.Equal(inList, o) {
			t.Errorf("after cut %d: the list has order %s as %+v, get has %+v", cut, ref.ID, inList, o)
		}
	}
}

func (h *history) checkStatusLists(t *testing.T, db *pebblestore.DB, tenant string, all []order.Order) {
	t.Helper()
	for _, status := range order.Statuses() {
		page, err := db.Store().List(t.Context(), order.Query{Tenant: tenant, Status: status, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		var want []order.Order
		for _, o := range all {
			if o.Status == status {
				want = append(want, o)
			}
		}
		if diff := cmp.Diff(want, page.Orders); diff != "" {
			t.Errorf("the list of %s (-want +got):\n%s", status, diff)
		}
	}
}

// checkCustomerLists lists every customer that an order has, or may have had at some version.
func (h *history) checkCustomerLists(t *testing.T, db *pebblestore.DB, tenant string, all []order.Order) {
	t.Helper()
	want := map[string][]order.Order{}
	for ref, versions := range h.tried {
		for _, tried := range versions {
			for _, o := range tried {
				if ref.Tenant == tenant && o.CustomerID != "" {
					want[o.CustomerID] = nil
				}
			}
		}
	}
	for _, o := range all {
		want[o.CustomerID] = append(want[o.CustomerID], o)
	}
	for customer, want := range want {
		page, err := db.Store().List(t.Context(), order.Query{Tenant: tenant, CustomerID: customer, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, page.Orders); diff != "" {
			t.Errorf("the list of a customer (-want +got):\n%s", diff)
		}
	}
}

// checkMessages receives every message and compares them with what was promised.
func (h *history) checkMessages(t *testing.T, db *pebblestore.DB) {
	t.Helper()
	payments, dead := openBoth(t, db)
	counts := map[string]int{}
	for _, q := range []*pebblestore.Queue{payments, dead} {
		for {
			got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 10})
			if err != nil {
				t.Fatal(err)
			}
			// Receives of the other queue soon bring the dead-letter queue more.
			if s := q.Stats(); len(got) == 0 && s.Visible == 0 {
				break
			}
			for _, d := range got {
				if counts[d.MessageID] > 0 {
					t.Errorf("message %s is there twice", d.MessageID)
				}
				counts[d.MessageID] = d.ReceiveCount()
			}
		}
	}
	for id, received := range h.sent {
		switch count := counts[id]; {
		case count == 0 && !h.deleted[id]:
			t.Errorf("message %s was certainly sent, not deleted, and is gone", id)
		case count > 0 && count <= received:
			t.Errorf("message %s had been received %d times, and this receive's count is %d", id, received, count)
		}
	}
	if len(h.sent) == 0 {
		t.Error("no message was certainly sent; the test shows nothing")
	}
}

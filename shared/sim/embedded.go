package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/document"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
	"paylane/shared/sim/model"
)

// machine is a computer with the embedded store on its disk. It may lose its power, and with it
// whatever was not yet synced.
type machine struct {
	*world
	mu     sync.Mutex
	fs     *vfs.MemFS
	db     *pebblestore.DB
	queues map[string]*pebblestore.Queue // by logical id
}

func (m *machine) open() error {
	db, err := pebblestore.Open(pebblestore.Options{
		Dir: "data", FS: m.fs, Logger: slog.New(slog.DiscardHandler),
		Fatal: func(err error) { m.checks.fail("store", "the store has ended: %v", err) },
	})
	if err != nil {
		return err
	}
	m.db, m.queues = db, map[string]*pebblestore.Queue{}
	for _, q := range m.template.Queues {
		if err := m.openQueue(q.LogicalID); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) openQueue(id string) error {
	if m.queues[id] != nil {
		return nil
	}
	q, _ := m.template.Queue(id)
	c := pebblestore.QueueConfig{
		Name: q.Name, ARN: q.ARN, VisibilityTimeout: q.VisibilityTimeout, Retention: q.Retention, Delay: q.Delay, MaxMessageBytes: q.MaxMessageBytes,
	}
	if dead, ok := m.template.Queue(q.DeadLetterQueue); ok {
		if err := m.openQueue(dead.LogicalID); err != nil {
			return err
		}
		c.DeadLetterQueue, c.MaxReceiveCount = dead.Name, q.MaxReceiveCount
	}
	opened, err := m.db.Queue(c)
	m.queues[id] = opened
	return err
}

// losePower ends the machine between two steps, and starts it again with what the disk has: what was
// synced, and some of what was not.
func (m *machine) losePower(rng *rand.Rand) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	_ = m.db.Close() // the old disk is not looked at again
	m.fs = after
	if err := m.open(); err != nil {
		return fmt.Errorf("open the store after a loss of power: %w", err)
	}
	return nil
}

func (m *machine) store() *pebblestore.Store {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.db.Store()
}

func (m *machine) queue(id string) *pebblestore.Queue {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.queues[id]
}

// kept is the machine's store, whatever process has it open.
type kept struct{ *machine }

func (k kept) Create(ctx context.Context, o order.Order) error { return k.store().Create(ctx, o) }

func (k kept) Get(ctx context.Context, ref order.Ref) (order.Order, error) {
	return k.store().Get(ctx, ref)
}

func (k kept) Claim(ctx context.Context, ref order.Ref, c order.Claim) (order.Order, error) {
	return k.store().Claim(ctx, ref, c)
}

func (k kept) Update(ctx context.Context, next order.Order) error { return k.store().Update(ctx, next) }

func (k kept) List(ctx context.Context, q order.Query) (order.Page, error) {
	return k.store().List(ctx, q)
}

func (k kept) Scan(ctx context.Context, q order.ScanQuery) (order.ScanPage, error) {
	return k.store().Scan(ctx, q)
}

func (k kept) Document(ctx context.Context, key document.Key) (document.Document, error) {
	return k.store().Document(ctx, key)
}

func (k kept) PutDocument(ctx context.Context, d document.Document) error {
	return k.store().PutDocument(ctx, d)
}

func (k kept) DeleteDocument(ctx context.Context, key document.Key) error {
	return k.store().DeleteDocument(ctx, key)
}

// keptQueue is one of the machine's queues, whatever process has it open.
type keptQueue struct {
	*machine
	id string
}

func (q keptQueue) Send(ctx context.Context, body string, delay time.Duration) (string, error) {
	return q.queue(q.id).Send(ctx, body, delay)
}

func (q keptQueue) SendBatch(ctx context.Context, entries []queue.SendEntry) (queue.SendBatchResult, error) {
	return q.queue(q.id).SendBatch(ctx, entries)
}

func (q keptQueue) Receive(ctx context.Context, r queue.ReceiveRequest) ([]queue.Message, error) {
	return q.queue(q.id).Receive(ctx, r)
}

func (q keptQueue) Delete(ctx context.Context, handles []string) ([]error, error) {
	return q.queue(q.id).Delete(ctx, handles)
}

func (q keptQueue) ChangeVisibility(ctx context.Context, handle string, timeout time.Duration) error {
	return q.queue(q.id).ChangeVisibility(ctx, handle, timeout)
}

// Messages returns what is in the queue.
func (q keptQueue) Messages() []model.Held {
	var held []model.Held
	for m, err := range q.queue(q.id).Peek(context.Background(), 0) {
		if err != nil {
			q.checks.fail("store", "look at the queue: %v", err)
			break
		}
		held = append(held, model.Held{MessageID: m.MessageID, Body: m.Body, SentAt: m.SentAt, Receives: m.ReceiveCount, Visible: m.HiddenUntil})
	}
	return held
}

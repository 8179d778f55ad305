package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"paylane/shared/queue"
)

// QueueConfig holds the settings of a queue, in SQS's words and limits. None has a default
// here: they come from the template.
type QueueConfig struct {
	Name string
	// ARN is the source of messages that redrive moves from this queue.
	ARN               string
	VisibilityTimeout time.Duration
	// Retention is how long a message is kept after it was sent.
	Retention time.Duration
	// Delay is the delay of messages sent without one of their own.
	Delay           time.Duration
	MaxMessageBytes int
	// DeadLetterQueue is the name of the queue that a message is moved to at the receive
	// after MaxReceiveCount; both or neither are set.
	DeadLetterQueue string
	MaxReceiveCount int
}

// Queue is a [queue.Queue] in a database.
//
// Its lock guards only memory. A call takes the messages that it concerns out of the
// index, writes their changes without the lock, and puts them back.
type Queue struct {
	db     *DB
	config QueueConfig
	dead   *Queue // the dead-letter queue, or nil

	last atomic.Uint64 // the newest message number; see newNumber

	mu    sync.Mutex
	index index
	// untaken is signaled when messages that were taken are put back or removed.
	untaken sync.Cond
	// waiters belong to the receives that wait for a message; closing one wakes it.
	waiters []chan struct{}
	// timer wakes a waiter at the nearest deadline; timerAt is 0 if it is not set.
	timer   *time.Timer
	timerAt stamp
	move    MoveTask
}

var _ queue.Queue = (*Queue)(nil)

// Stats counts a queue's messages.
type Stats struct {
	Visible  int // may be received now
	InFlight int // received, and hidden by its visibility timeout
	Delayed  int // not yet received, and hidden by its delay
	// Oldest is when that message was first sent which has been in the queue longest; zero
	// without any.
	Oldest time.Time
}

// Queue opens a queue, and creates it if it is new; the settings may differ from those of
// the last time. Call it once for each name; a dead-letter queue must be opened before the
// queues that use it.
func (d *DB) Queue(c QueueConfig) (*Queue, error) {
	if err := d.enter(); err != nil {
		return nil, fmt.Errorf("open the queue %s: %w", c.Name, err)
	}
	defer d.ops.Done()
	q, err := d.openQueue(c)
	if err != nil {
		return nil, fmt.Errorf("open the queue %s: %w", c.Name, err)
	}
	return q, nil
}

func (d *DB) openQueue(c QueueConfig) (*Queue, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	d.queuesMu.Lock()
	defer d.queuesMu.Unlock()
	if d.queue(c.Name) != nil {
		return nil, errors.New("it is already open")
	}
	q := &Queue{db: d, config: c}
	if c.DeadLetterQueue != "" {
		if q.dead = d.queue(c.DeadLetterQueue); q.dead == nil {
			return nil, fmt.Errorf("its dead-letter queue %s must be opened first", c.DeadLetterQueue)
		}
	}
	q.untaken.L = &q.mu
	q.last.Store(d.opening << 40)
	q.timer = time.AfterFunc(time.Hour, q.deadline)
	q.timer.Stop()
	if err := q.load(); err != nil {
		return nil, err
	}
	queues := append(slices.Clip(*d.queues.Load()), q)
	d.queues.Store(&queues)
	return q, nil
}

// queue returns an open queue by its name, or nil.
func (d *DB) queue(name string) *Queue {
	for _, q := range *d.queues.Load() {
		if q.config.Name == name {
			return q
		}
	}
	return nil
}

// newNumber returns a number that identifies a message in its queue forever: it begins with
// the count of the database's openings. Numbers grow, so a scan returns messages in the
// order in which they were sent.
func (q *Queue) newNumber() uint64 { return q.last.Add(1) }

func (q *Queue) key(number uint64, part byte) []byte {
	return messageKey(nil, q.config.Name, number, part)
}

// load builds the index. Everything that Open found is durable: pebble flushes what it
// replays from the log (DB.replayWAL).
func (q *Queue) load() error {
	prefix := messagePrefix(nil, q.config.Name)
	iter, err := q.db.pebble.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return damaged(err)
	}
	now := stampOf(q.db.now())
	var e *entry
	for ok := iter.First(); ok && err == nil; ok = iter.Next() {
		number, part, valid := parseMessageKey(iter.Key(), prefix)
		record, valueErr := iter.ValueAndErr()
		switch {
		case valueErr != nil:
			return errors.Join(damaged(valueErr), iter.Close())
		case !valid:
			err = errRecord
		case part == partSent:
			var m message
			var s state
			m, s, _, err = decodeSent(record)
			e = &entry{number: number, sent: m.sent, visible: s.visible, count: s.count}
			q.index.add(e)
			q.index.settle(e, now)
		case e == nil || e.number != number:
			err = fmt.Errorf("message %d has a state but no content", number)
		default:
			var s state
			s, err = decodeState(record)
			q.index.take(e)
			e.visible, e.count = s.visible, s.count
			q.index.settle(e, now)
		}
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return damaged(errors.Join(err, iter.Error(), iter.Close()))
}

// Send implements [queue.Queue].
func (q *Queue) Send(ctx context.Context, body string, delay time.Duration) (messageID string, err error) {
	if refusal := queue.CheckBody(body, q.config.MaxMessageBytes, "One or more parameters are invalid."); refusal != nil {
		return "", refusal
	}
	if refusal := queue.CheckDelay(delay); refusal != nil {
		return "", refusal
	}
	if err := q.db.begin(ctx); err != nil {
		return "", fmt.Errorf("send a message: %w", err)
	}
	defer q.db.ops.Done()
	w := q.db.newWrite(q, nil)
	id := w.send(ctx, body, delay)
	if err := w.commit(); err != nil {
		return "", fmt.Errorf("send a message: %w", err)
	}
	return id, nil
}

// SendBatch implements [queue.Queue].
func (q *Queue) SendBatch(ctx context.Context, entries []queue.SendEntry) (queue.SendBatchResult, error) {
	if refusal := queue.CheckBatch(entries); refusal != nil {
		return queue.SendBatchResult{}, refusal
	}
	if err := q.db.begin(ctx); err != nil {
		return queue.SendBatchResult{}, fmt.Errorf("send a batch of messages: %w", err)
	}
	defer q.db.ops.Done()
	result := queue.SendBatchResult{
		MessageIDs: make(map[string]string, len(entries)), Failed: make(map[string]*queue.RequestError),
	}
	w := q.db.newWrite(q, nil)
	for _, e := range entries {
		refusal := queue.CheckBody(e.Body, q.config.MaxMessageBytes, "One or more parameters cannot be validated.")
		if refusal == nil {
			refusal = queue.CheckDelay(e.Delay)
		}
		if refusal != nil {
			result.Failed[e.ID] = refusal
			continue
		}
		result.MessageIDs[e.ID] = w.send(ctx, e.Body, e.Delay)
	}
	if err := w.commit(); err != nil {
		return queue.SendBatchResult{}, fmt.Errorf("send a batch of messages: %w", err)
	}
	return result, nil
}

// Delete implements [queue.Queue].
func (q *Queue) Delete(ctx context.Context, receiptHandles []string) ([]error, error) {
	if refusal := queue.CheckEntries(len(receiptHandles)); refusal != nil {
		return nil, refusal
	}
	if err := q.db.begin(ctx); err != nil {
		return nil, fmt.Errorf("delete messages: %w", err)
	}
	defer q.db.ops.Done()
	outcomes := make([]error, len(receiptHandles))
	handles := make([]handle, 0, len(receiptHandles))
	for i, text := range receiptHandles {
		h, err := parseHandle(text, q.config.Name)
		if err != nil {
			outcomes[i] = err
			continue
		}
		handles = append(handles, h)
	}
	taken := q.takeReceived(handles...)
	w := q.db.newWrite(q, taken)
	for i := range taken {
		w.remove(i)
	}
	if err := w.commit(); err != nil {
		return nil, fmt.Errorf("delete messages: %w", err)
	}
	return outcomes, nil
}

// ChangeVisibility implements [queue.Queue].
func (q *Queue) ChangeVisibility(ctx context.Context, receiptHandle string, timeout time.Duration) error {
	if refusal := queue.CheckVisibility(timeout); refusal != nil {
		return refusal
	}
	h, err := parseHandle(receiptHandle, q.config.Name)
	if err != nil {
		return err
	}
	if err := q.db.begin(ctx); err != nil {
		return fmt.Errorf("change a message's visibility: %w", err)
	}
	defer q.db.ops.Done()
	taken := q.takeReceived(h)
	if len(taken) == 0 {
		return nil
	}
	w := q.db.newWrite(q, taken)
	refusal, err := w.hide(0, timeout)
	switch {
	case err != nil:
		w.abandon()
		return unavailable("change a message's visibility", err)
	case refusal != nil:
		w.abandon()
		return refusal
	}
	if err := w.commit(); err != nil {
		return fmt.Errorf("change a message's visibility: %w", err)
	}
	return nil
}

// takeReceived takes the messages of the handles, except those received again since. It
// waits for calls that are writing about one of them, and takes none meanwhile.
func (q *Queue) takeReceived(handles ...handle) []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	current := func(h handle) *entry {
		if e := q.index.entries[h.number]; e != nil && e.count == h.count {
			return e
		}
		return nil
	}
	for slices.ContainsFunc(handles, func(h handle) bool {
		e := current(h)
		return e != nil && e.place == placeTaken
	}) {
		q.untaken.Wait()
	}
	taken := make([]*entry, 0, len(handles))
	for _, h := range handles {
		// A handle may be given twice.
		if e := current(h); e != nil && e.place != placeTaken {
			q.index.take(e)
			taken = append(taken, e)
		}
	}
	return taken
}

// Stats counts the messages.
func (q *Queue) Stats() Stats {
	now := stampOf(q.db.now())
	q.mu.Lock()
	defer q.mu.Unlock()
	q.index.surface(now)
	s := Stats{Visible: q.index.ready.len + len(q.index.unsynced), Delayed: q.index.numDelayed}
	s.InFlight = len(q.index.entries) - s.Visible - s.Delayed
	if e := q.index.first(); e != nil {
		s.Oldest = e.sent.time()
	}
	return s
}

// advanced is called when more of the log has become durable.
func (q *Queue) advanced() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.index.unsynced) > 0 {
		q.refresh(stampOf(q.db.now()))
	}
}

// refresh brings the index up to date and wakes a waiter if a message is ready. It follows
// every change of the index, under the lock.
func (q *Queue) refresh(now stamp) {
	q.index.synced(q.db.wal.durable.Load(), now)
	q.index.surface(now)
	// One is enough: the one that is woken calls refresh in its turn.
	if len(q.waiters) > 0 && q.index.ready.first != nil {
		close(q.waiters[0])
		q.waiters = slices.Delete(q.waiters, 0, 1)
	}
	// A deadline matters only while a receive waits for it.
	if len(q.waiters) == 0 || len(q.index.hidden) == 0 {
		return
	}
	if at := q.index.hidden[0].visible; q.timerAt == 0 || at < q.timerAt {
		q.timerAt = at
		q.timer.Reset(time.Duration(at-now) * time.Millisecond)
	}
}

// deadline is called by the timer.
func (q *Queue) deadline() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.timerAt = 0
	q.refresh(stampOf(q.db.now()))
}

// sweep removes the messages that are past their retention.
func (q *Queue) sweep() error {
	const batch = 1000
	for {
		before := stampOf(q.db.now().Add(-q.config.Retention)) + 1
		q.mu.Lock()
		old := q.index.takeSentBefore(before, batch)
		q.mu.Unlock()
		w := q.db.newWrite(q, old)
		for i := range old {
			w.remove(i)
		}
		if err := w.commit(); err != nil || len(old) < batch {
			return err
		}
	}
}

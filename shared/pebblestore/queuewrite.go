package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"paylane/shared/queue"
)

// queueWrite is one atomic change of a queue's messages, and of another queue's if it moves
// some there. It begins with messages that were taken out of the index, and ends with
// commit or abandon, which put them back.
type queueWrite struct {
	db    *DB
	q     *Queue
	batch *pebble.Batch
	now   stamp
	taken []takenMessage
	added []addedMessage
	key   []byte // reused
	value []byte // reused
}

// takenMessage is a message and its state after commit; a nil next leaves it unchanged.
type takenMessage struct {
	*entry
	next    *state
	removed bool
}

// addedMessage is a new message and the queue that it is added to.
type addedMessage struct {
	*entry
	to *Queue
}

func (d *DB) newWrite(q *Queue, taken []*entry) *queueWrite {
	w := &queueWrite{db: d, q: q, batch: d.pebble.NewBatch(), now: stampOf(d.now())}
	if len(taken) > 0 {
		w.taken = make([]takenMessage, len(taken))
	}
	for i, e := range taken {
		w.taken[i].entry = e
	}
	return w
}

// messageKey returns a key that is valid until the next call. The errors of batch.Set and
// the like are ignored by all callers: only batches with an index have any.
func (w *queueWrite) messageKey(q *Queue, number uint64, part byte) []byte {
	w.key = messageKey(w.key[:0], q.config.Name, number, part)
	return w.key
}

// add adds a message to a queue, this one or another.
func (w *queueWrite) add(to *Queue, m *message, s state) {
	e := &entry{number: to.newNumber(), visible: s.visible, sent: m.sent, hot: m, count: s.count}
	w.value = appendMessage(w.value[:0], m, s)
	_ = w.batch.Set(w.messageKey(to, e.number, partSent), w.value, nil)
	w.added = append(w.added, addedMessage{entry: e, to: to})
}

// send adds a new message and returns its id.
func (w *queueWrite) send(ctx context.Context, body string, delay time.Duration) string {
	if delay == 0 {
		delay = w.q.config.Delay
	}
	m := &message{id: uuid.New(), sent: w.now, trace: queue.TraceHeader(ctx), body: body}
	w.add(w.q, m, state{visible: w.now + millis(delay)})
	return m.id.String()
}

// remove deletes the i-th message that was taken.
func (w *queueWrite) remove(i int) {
	t := &w.taken[i]
	t.removed = true
	// This part is written only once, so its value and a single delete cancel out, often
	// while both are still in memory. A plain delete would stay until it is compacted.
	_ = w.batch.SingleDelete(w.messageKey(w.q, t.number, partSent), nil)
	if t.count > 0 {
		_ = w.batch.Delete(w.messageKey(w.q, t.number, partState), nil)
	}
}

// receive counts a receive of the i-th message that was taken, and returns it.
func (w *queueWrite) receive(i int, visibility time.Duration) (queue.Message, error) {
	t := &w.taken[i]
	m, err := w.q.read(t.entry)
	if err != nil {
		return queue.Message{}, err
	}
	s := state{
		visible: w.now + millis(visibility), received: w.now, firstReceived: m.firstReceived, count: t.count + 1,
	}
	if s.firstReceived == 0 {
		s.firstReceived = w.now
	}
	w.setState(t, s)
	return queue.Message{
		MessageID:     m.id.String(),
		ReceiptHandle: handle{number: t.number, count: s.count}.encode(w.q.config.Name),
		Body:          m.body,
		Attributes:    attributes(m, s),
	}, nil
}

// senderID stands for whoever sends to this queue, which does not know them. The shape is
// that of an IAM user's id.
const senderID = "AIDALOCALLOCALLOCALXX"

// attributes returns the system attributes of a receive.
func attributes(m *message, s state) map[string]string {
	made := map[string]string{
		queue.ReceiveCountAttribute:  strconv.Itoa(int(s.count)),
		queue.SentAttribute:          m.sent.unixMilli(),
		queue.SenderAttribute:        senderID,
		queue.FirstReceivedAttribute: s.firstReceived.unixMilli(),
	}
	if m.source != "" {
		made[queue.DeadLetterSourceAttribute] = m.source
	}
	if m.trace != "" {
		made[queue.TraceHeaderAttribute] = m.trace
	}
	return made
}

// hide changes when the i-th message that was taken is visible again. SQS allows 12 hours
// from the receive in total (developer guide, "visibility timeout").
func (w *queueWrite) hide(i int, timeout time.Duration) (*queue.RequestError, error) {
	t := &w.taken[i]
	s, err := w.q.readState(t.entry)
	if err != nil {
		return nil, err
	}
	s.visible = w.now + millis(timeout)
	if s.visible > s.received+millis(queue.MaxVisibility) {
		return invalid("Value %v for parameter VisibilityTimeout is invalid. "+
			"Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].", timeout.Seconds()), nil
	}
	w.setState(t, s)
	return nil, nil
}

func (w *queueWrite) setState(t *takenMessage, s state) {
	t.next = &s
	w.value = appendState(w.value[:0], s)
	_ = w.batch.Set(w.messageKey(w.q, t.number, partState), w.value, nil)
}

// redrive moves the i-th message that was taken to the dead-letter queue. There it is still
// the same message, with its id, its age and its receive count.
func (w *queueWrite) redrive(i int) error {
	m, err := w.q.read(w.taken[i].entry)
	if err != nil {
		return err
	}
	moved := *m
	moved.source = w.q.config.ARN
	w.add(w.q.dead, &moved, state{
		visible: w.now, firstReceived: moved.firstReceived, count: w.taken[i].count,
	})
	w.remove(i)
	return nil
}

// sendBack moves the i-th message that was taken to another queue, as a new message.
func (w *queueWrite) sendBack(i int, to *Queue, m *message) {
	w.add(to, &message{id: uuid.New(), sent: w.now, trace: m.trace, body: m.body}, state{visible: w.now})
	w.remove(i)
}

// commit applies the change, which rides on the next fsync, and puts the messages back in
// their new places.
func (w *queueWrite) commit() error {
	if w.batch.Empty() {
		w.abandon()
		return nil
	}
	end, err := w.db.wal.writeLazily(w.batch)
	if err != nil {
		w.putBack(func(*takenMessage) {})
		return err
	}
	w.putBack(func(t *takenMessage) {
		if t.next == nil {
			return
		}
		t.visible, t.count = t.next.visible, t.next.count
		if t.hot != nil {
			t.hot.firstReceived = t.next.firstReceived
		}
	})
	for i, a := range w.added {
		if i == 0 || a.to != w.added[i-1].to {
			a.to.mu.Lock()
		}
		a.to.index.addUnsynced(a.entry, end)
		if i == len(w.added)-1 || a.to != w.added[i+1].to {
			a.to.refresh(w.now)
			a.to.mu.Unlock()
		}
	}
	return nil
}

// abandon puts the messages back as they were.
func (w *queueWrite) abandon() {
	_ = w.batch.Close()
	w.putBack(func(t *takenMessage) { t.removed = false })
}

func (w *queueWrite) putBack(change func(*takenMessage)) {
	if len(w.taken) == 0 {
		return
	}
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	for i := range w.taken {
		t := &w.taken[i]
		change(t)
		if t.removed {
			w.q.index.remove(t.entry)
		} else {
			w.q.index.settle(t.entry, w.now)
		}
	}
	w.q.untaken.Broadcast()
	w.q.refresh(w.now)
}

// read returns a message that was taken. The caller must not change it.
func (q *Queue) read(e *entry) (*message, error) {
	if e.hot != nil {
		return e.hot, nil
	}
	record, closer, err := q.db.pebble.Get(q.key(e.number, partSent))
	if err != nil {
		return nil, q.readError(e, err)
	}
	m, _, err := decodeMessage(record)
	_ = closer.Close()
	if err != nil {
		return nil, q.readError(e, fmt.Errorf("%w: %w", ErrDamaged, err))
	}
	if e.count > 0 {
		s, err := q.readState(e)
		if err != nil {
			return nil, err
		}
		m.firstReceived = s.firstReceived
	}
	return &m, nil
}

// readState returns the receive state of a message.
func (q *Queue) readState(e *entry) (state, error) {
	decode := decodeState
	record, closer, err := q.db.pebble.Get(q.key(e.number, partState))
	if errors.Is(err, pebble.ErrNotFound) {
		// Not received since redrive moved it here.
		decode = func(record []byte) (state, error) { _, s, err := decodeMessage(record); return s, err }
		record, closer, err = q.db.pebble.Get(q.key(e.number, partSent))
	}
	if err != nil {
		return state{}, q.readError(e, err)
	}
	defer func() { _ = closer.Close() }()
	s, err := decode(record)
	if err != nil {
		return state{}, q.readError(e, fmt.Errorf("%w: %w", ErrDamaged, err))
	}
	return s, nil
}

func (q *Queue) readError(e *entry, err error) error {
	return fmt.Errorf("read message %d of the queue %s: %w", e.number, q.config.Name, damaged(err))
}

// millis converts a duration to the unit of a stamp.
func millis(d time.Duration) stamp { return stamp(d.Milliseconds()) }

package model

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"paylane/shared/queue"
)

// QueueConfig is what a [Queue] needs. All fields but Delay, MaxReceives, DeadLetters and Pick are
// required.
type QueueConfig struct {
	Name, ARN             string
	Visibility, Retention time.Duration
	Delay                 time.Duration
	MaxMessageBytes       int
	// MaxReceives is after how many receives a message goes to DeadLetters.
	MaxReceives int
	DeadLetters *Queue
	Now         func() time.Time
	// Pick returns which of n messages that could be received is received next, from 0 to n-1,
	// the first being the oldest; nil is the oldest.
	Pick func(n int) int
}

// keptDeleted is how many deleted messages can still be revived.
const keptDeleted = 20

// Queue is a [queue.Queue] as a standard queue of SQS is.
type Queue struct {
	config QueueConfig

	mu       sync.Mutex
	sent     int
	messages []*message // in the order in which they came
	byID     map[string]*message
	visible  []*message // of pick, to be used again
	deleted  []*message
	// waiting are the receives that wait for a message. Only the first is ever woken, for no two
	// may race for one.
	waiting []chan struct{}
}

var _ queue.Queue = (*Queue)(nil)

type message struct {
	id, body, trace, source string
	sent, first, received   time.Time
	visible                 time.Time
	receives                int
}

// Held is a message in a queue.
type Held struct {
	MessageID, Body string
	SentAt          time.Time
	Receives        int
	// Visible is when it may be received; in the past if it may be now.
	Visible time.Time
}

// NewQueue returns an empty queue.
func NewQueue(c QueueConfig) *Queue { return &Queue{config: c, byID: make(map[string]*message)} }

// wake has the first receive that waits look again. The caller holds the lock.
func (q *Queue) wake() {
	if len(q.waiting) > 0 {
		select {
		case q.waiting[0] <- struct{}{}:
		default: // it has been told already
		}
	}
}

// insert adds a message as the newest. The caller holds the lock.
func (q *Queue) insert(m *message) {
	q.messages = append(q.messages, m)
	q.byID[m.id] = m
	q.wake()
}

// remove takes a message out. The caller holds the lock.
func (q *Queue) remove(m *message) {
	i := slices.Index(q.messages, m)
	q.messages = slices.Delete(q.messages, i, i+1)
	delete(q.byID, m.id)
}

// expire removes what is past its retention. The caller holds the lock.
func (q *Queue) expire(now time.Time) {
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool {
		old := now.Sub(m.sent) >= q.config.Retention
		if old {
			delete(q.byID, m.id)
		}
		return old
	})
}

// Send implements [queue.Queue].
func (q *Queue) Send(ctx context.Context, body string, delay time.Duration) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if refusal := q.check(body, delay, "One or more parameters are invalid."); refusal != nil {
		return "", refusal
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.add(body, queue.TraceHeader(ctx), q.delay(delay)), nil
}

func (q *Queue) check(body string, delay time.Duration, reason string) *queue.RequestError {
	if refusal := queue.CheckBody(body, q.config.MaxMessageBytes, reason); refusal != nil {
		return refusal
	}
	return queue.CheckDelay(delay)
}

func (q *Queue) delay(own time.Duration) time.Duration {
	if own == 0 {
		return q.config.Delay
	}
	return own
}

// add adds a new message and returns its id. The caller holds the lock.
func (q *Queue) add(body, trace string, delay time.Duration) string {
	q.sent++
	now := q.config.Now()
	m := &message{id: fmt.Sprintf("%s-%d", q.config.Name, q.sent), body: body, trace: trace, sent: now, visible: now.Add(delay)}
	q.insert(m)
	return m.id
}

// SendBatch implements [queue.Queue].
func (q *Queue) SendBatch(ctx context.Context, entries []queue.SendEntry) (queue.SendBatchResult, error) {
	if err := ctx.Err(); err != nil {
		return queue.SendBatchResult{}, err
	}
	if refusal := queue.CheckBatch(entries); refusal != nil {
		return queue.SendBatchResult{}, refusal
	}
	result := queue.SendBatchResult{MessageIDs: make(map[string]string), Failed: make(map[string]*queue.RequestError)}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		if refusal := q.check(e.Body, e.Delay, "One or more parameters cannot be validated."); refusal != nil {
			result.Failed[e.ID] = refusal
			continue
		}
		result.MessageIDs[e.ID] = q.add(e.Body, queue.TraceHeader(ctx), q.delay(e.Delay))
	}
	return result, nil
}

// Receive implements [queue.Queue].
func (q *Queue) Receive(ctx context.Context, r queue.ReceiveRequest) ([]queue.Message, error) {
	if refusal := queue.CheckReceive(r); refusal != nil {
		return nil, refusal
	}
	end := q.config.Now().Add(r.Wait)
	var turn chan struct{} // nil until it has to wait
	for {
		if err := ctx.Err(); err != nil {
			q.leave(turn)
			return nil, err
		}
		left := end.Sub(q.config.Now())
		if left > 0 && turn == nil {
			turn = make(chan struct{}, 1)
		}
		received, next := q.receive(r, turn, left)
		if len(received) > 0 || left <= 0 {
			return received, nil
		}
		pause(ctx, min(left, next), turn)
	}
}

// receive takes what can be received now. If that is nothing and there is time left, the receive
// waits for its turn, and next is when it must look by itself.
func (q *Queue) receive(r queue.ReceiveRequest, turn chan struct{}, left time.Duration) (received []queue.Message, next time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.config.Now()
	q.expire(now)
	for len(received) < r.Max {
		m := q.pick(now)
		if m == nil {
			break
		}
		if q.config.DeadLetters != nil && m.receives >= q.config.MaxReceives {
			q.remove(m)
			q.config.DeadLetters.take(m, q.config.ARN, now)
			continue
		}
		received = append(received, q.deliver(m, now, r.Visibility))
	}
	if len(received) > 0 || left <= 0 {
		q.goOn(turn)
		return received, 0
	}
	if !slices.Contains(q.waiting, turn) {
		q.waiting = append(q.waiting, turn)
	}
	next = left
	if turn != q.waiting[0] {
		return nil, next
	}
	for _, m := range q.messages {
		next = min(next, m.visible.Sub(now)) // none is visible
	}
	return nil, next
}

// leave ends the wait of a receive that gives up; nil did not wait.
func (q *Queue) leave(turn chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.goOn(turn)
}

// goOn ends a receive's wait, and has the next one look. The caller holds the lock.
func (q *Queue) goOn(turn chan struct{}) {
	if i := slices.Index(q.waiting, turn); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		q.wake()
	}
}

// pick returns the message to receive next; nil if none can be.
func (q *Queue) pick(now time.Time) *message {
	q.visible = q.visible[:0]
	for _, m := range q.messages {
		if m.visible.After(now) {
			continue
		}
		if q.config.Pick == nil {
			return m
		}
		q.visible = append(q.visible, m)
	}
	if len(q.visible) == 0 {
		return nil
	}
	return q.visible[q.config.Pick(len(q.visible))]
}

// deliver hides a message and returns it as it is received.
func (q *Queue) deliver(m *message, now time.Time, visibility time.Duration) queue.Message {
	m.receives++
	m.received = now
	if m.first.IsZero() {
		m.first = now
	}
	if visibility == 0 {
		visibility = q.config.Visibility
	}
	m.visible = now.Add(visibility)
	attributes := map[string]string{
		queue.ReceiveCountAttribute:  strconv.Itoa(m.receives),
		queue.SentAttribute:          strconv.FormatInt(m.sent.UnixMilli(), 10),
		queue.FirstReceivedAttribute: strconv.FormatInt(m.first.UnixMilli(), 10),
		queue.SenderAttribute:        "sender",
	}
	if m.source != "" {
		attributes[queue.DeadLetterSourceAttribute] = m.source
	}
	if m.trace != "" {
		attributes[queue.TraceHeaderAttribute] = m.trace
	}
	return queue.Message{MessageID: m.id, ReceiptHandle: q.handle(m), Body: m.body, Attributes: attributes}
}

// take adds a message of another queue, which keeps its id, its age and its count of receives
// ("Dead-letter queues": the original enqueue timestamp).
func (q *Queue) take(m *message, source string, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	moved := *m
	moved.source, moved.visible, moved.first = source, now, time.Time{}
	q.insert(&moved)
}

// handle names a receive of a message.
func (q *Queue) handle(m *message) string {
	return q.handlePrefix() + m.id + ":" + strconv.Itoa(m.receives)
}

func (q *Queue) handlePrefix() string { return "handle:" + q.config.Name + ":" }

// find returns the message of a handle's receive; nil if the message is gone, or was received
// again since. It returns false if the queue did not issue the handle. The caller holds the lock.
func (q *Queue) find(handle string) (m *message, ours bool) {
	rest, ours := strings.CutPrefix(handle, q.handlePrefix())
	id, receive, parts := strings.Cut(rest, ":")
	n, err := strconv.Atoi(receive)
	if !ours || !parts || err != nil {
		return nil, false
	}
	if m := q.byID[id]; m != nil && m.receives == n {
		return m, true
	}
	return nil, true
}

// Delete implements [queue.Queue].
func (q *Queue) Delete(ctx context.Context, handles []string) ([]error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if refusal := queue.CheckEntries(len(handles)); refusal != nil {
		return nil, refusal
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	outcomes := make([]error, len(handles))
	for i, handle := range handles {
		m, ours := q.find(handle)
		switch {
		case !ours:
			outcomes[i] = queue.ErrReceiptHandle
		case m != nil:
			q.remove(m)
			q.deleted = append(q.deleted, m)
			if len(q.deleted) > keptDeleted {
				q.deleted = slices.Delete(q.deleted, 0, 1)
			}
		}
	}
	return outcomes, nil
}

// ChangeVisibility implements [queue.Queue].
func (q *Queue) ChangeVisibility(ctx context.Context, handle string, timeout time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if refusal := queue.CheckVisibility(timeout); refusal != nil {
		return refusal
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	m, ours := q.find(handle)
	switch {
	case !ours:
		return queue.ErrReceiptHandle
	case m == nil:
		return nil
	}
	visible := q.config.Now().Add(timeout)
	if visible.After(m.received.Add(queue.MaxVisibility)) { // "Visibility timeout": 12 hours from the receive
		return &queue.RequestError{Code: "InvalidParameterValue", Message: fmt.Sprintf(
			"Value %v for parameter VisibilityTimeout is invalid. "+
				"Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].", timeout.Seconds())}
	}
	m.visible = visible
	q.wake()
	return nil
}

// Messages returns what is in the queue, visible or not, in the order in which it came.
func (q *Queue) Messages() []Held {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(q.config.Now())
	held := make([]Held, len(q.messages))
	for i, m := range q.messages {
		held[i] = Held{MessageID: m.id, Body: m.body, SentAt: m.sent, Receives: m.receives, Visible: m.visible}
	}
	return held
}

// Redeliver has a message that was received be received again although it is hidden
// ("At-least-once delivery"). The handle of the former receive is good until then.
func (q *Queue) Redeliver(messageID string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if m := q.byID[messageID]; m != nil && m.receives > 0 {
		m.visible = q.config.Now()
		q.wake()
	}
}

// Revive has the n-th of the messages that were deleted lately come back: a server that did not
// take part in the delete still had it ("At-least-once delivery"). It returns false if there is
// none.
func (q *Queue) Revive(n int) (body string, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n >= len(q.deleted) {
		return "", false
	}
	m := q.deleted[n]
	q.deleted = slices.Delete(q.deleted, n, n+1)
	m.visible = q.config.Now()
	q.insert(m)
	return m.body, true
}

// takeVisible takes out all messages that can be received now.
func (q *Queue) takeVisible() (taken []*message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.config.Now()
	q.expire(now)
	for _, m := range slices.Clone(q.messages) {
		if !m.visible.After(now) {
			q.remove(m)
			taken = append(taken, m)
		}
	}
	return taken
}

// Bury moves all messages that can be received now to the dead-letter queue, as if they had been
// received too often.
func (q *Queue) Bury() {
	for _, m := range q.takeVisible() {
		m.receives = max(m.receives, q.config.MaxReceives)
		q.config.DeadLetters.take(m, q.config.ARN, q.config.Now())
	}
}

// Redrive moves all messages that can be received now to another queue, as StartMessageMoveTask
// does, and returns how many: each is a new message there, with a new id, a new age and no receives.
func (q *Queue) Redrive(_ context.Context, to *Queue) int {
	moved := q.takeVisible()
	to.mu.Lock()
	defer to.mu.Unlock()
	for _, m := range moved {
		to.add(m.body, m.trace, 0)
	}
	return len(moved)
}

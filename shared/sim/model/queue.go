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
	deleted  []*message
	// changed is closed when something may have become visible, or may sooner than it would.
	changed chan struct{}
}

type message struct {
	id, body, trace, source string
	sent, first, visible    time.Time
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
func NewQueue(c QueueConfig) *Queue { return &Queue{config: c, changed: make(chan struct{})} }

// wake has every receive look again. The caller holds the lock.
func (q *Queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Send implements [queue.Queue].
func (q *Queue) Send(ctx context.Context, body string, delay time.Duration) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if refusal := queue.CheckBody(body, q.config.MaxMessageBytes, "One or more parameters are invalid."); refusal != nil {
		return "", refusal
	}
	if refusal := queue.CheckDelay(delay); refusal != nil {
		return "", refusal
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.add(ctx, body, delay), nil
}

func (q *Queue) add(ctx context.Context, body string, delay time.Duration) string {
	q.sent++
	now := q.config.Now()
	if delay == 0 {
		delay = q.config.Delay
	}
	m := &message{
		id: fmt.Sprintf("%s-%d", q.config.Name, q.sent), body: body, trace: queue.TraceHeader(ctx), sent: now, visible: now.Add(delay),
	}
	q.messages = append(q.messages, m)
	q.wake()
	return m.id
}

// SendBatch implements [queue.Queue].
func (q *Queue) SendBatch(ctx context.Context, entries []queue.SendEntry) (queue.SendBatchResult, error) {
	result := queue.SendBatchResult{MessageIDs: map[string]string{}, Failed: map[string]*queue.RequestError{}}
	if err := ctx.Err(); err != nil {
		return result, err
	}
	if refusal := queue.CheckBatch(entries); refusal != nil {
		return result, refusal
	}
	if refusal := queue.CheckEntries(len(entries)); refusal != nil {
		return result, refusal
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		refusal := queue.CheckBody(e.Body, q.config.MaxMessageBytes, "One or more parameters cannot be validated.")
		if refusal == nil {
			refusal = queue.CheckDelay(e.Delay)
		}
		if refusal != nil {
			result.Failed[e.ID] = refusal
			continue
		}
		result.MessageIDs[e.ID] = q.add(ctx, e.Body, e.Delay)
	}
	return result, nil
}

// Receive implements [queue.Queue].
func (q *Queue) Receive(ctx context.Context, r queue.ReceiveRequest) ([]queue.Message, error) {
	if refusal := queue.CheckReceive(r); refusal != nil {
		return nil, refusal
	}
	end := q.config.Now().Add(r.Wait)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		received, next, changed := q.receive(r)
		left := end.Sub(q.config.Now())
		if len(received) > 0 || left <= 0 {
			return received, nil
		}
		timer := time.NewTimer(min(left, next))
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// receive takes what can be received now. Otherwise it returns how long until there may be more,
// and what is closed if there is sooner.
func (q *Queue) receive(r queue.ReceiveRequest) (received []queue.Message, next time.Duration, changed <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.config.Now()
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return now.Sub(m.sent) >= q.config.Retention })
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
	next = time.Hour
	for _, m := range q.messages {
		if m.visible.After(now) {
			next = min(next, m.visible.Sub(now))
		}
	}
	return received, next, q.changed
}

// pick returns the message to receive next; nil if none can be.
func (q *Queue) pick(now time.Time) *message {
	var visible []*message
	for _, m := range q.messages {
		if !m.visible.After(now) {
			if q.config.Pick == nil {
				return m
			}
			visible = append(visible, m)
		}
	}
	if len(visible) == 0 {
		return nil
	}
	return visible[q.config.Pick(len(visible))]
}

func (q *Queue) deliver(m *message, now time.Time, visibility time.Duration) queue.Message {
	m.receives++
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

// take adds a message of another queue, which keeps its id, its age and its count of receives.
func (q *Queue) take(m *message, source string, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	moved := *m
	moved.source, moved.visible, moved.first = source, now, time.Time{}
	q.messages = append(q.messages, &moved)
	q.wake()
}

// handle names a receive of a message.
func (q *Queue) handle(m *message) string {
	return fmt.Sprintf("handle:%s:%s:%d", q.config.Name, m.id, m.receives)
}

// find returns the message of a handle's receive; nil if the message is gone, or was received
// again since. It returns false if the queue did not issue the handle.
func (q *Queue) find(handle string) (*message, bool) {
	rest, ours := strings.CutPrefix(handle, "handle:"+q.config.Name+":")
	if !ours || strings.Count(rest, ":") != 1 {
		return nil, false
	}
	for _, m := range q.messages {
		if q.handle(m) == handle {
			return m, true
		}
	}
	return nil, true
}

func (q *Queue) remove(m *message) {
	q.messages = slices.DeleteFunc(q.messages, func(other *message) bool { return other == m })
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
				q.deleted = q.deleted[1:]
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
	if !ours {
		return queue.ErrReceiptHandle
	}
	if m != nil {
		m.visible = q.config.Now().Add(timeout)
		q.wake()
	}
	return nil
}

// Messages returns what is in the queue, visible or not, in the order in which it came.
func (q *Queue) Messages() []Held {
	q.mu.Lock()
	defer q.mu.Unlock()
	held := make([]Held, len(q.messages))
	for i, m := range q.messages {
		held[i] = Held{MessageID: m.id, Body: m.body, SentAt: m.sent, Receives: m.receives, Visible: m.visible}
	}
	return held
}

// Redeliver has a message be received again although it is hidden ("At-least-once delivery").
func (q *Queue) Redeliver(messageID string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages {
		if m.id == messageID {
			m.visible = q.config.Now()
			q.wake()
		}
	}
}

// Revive has the n-th of the messages that were deleted lately come back: a server that did not
// take part in the delete still had it. It returns false if there is none.
func (q *Queue) Revive(n int) (body string, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n >= len(q.deleted) {
		return "", false
	}
	m := q.deleted[n]
	q.deleted = slices.Delete(q.deleted, n, n+1)
	m.visible = q.config.Now()
	q.messages = append(q.messages, m)
	q.wake()
	return m.body, true
}

// Bury moves all messages that can be received now to the dead-letter queue, as if they had been
// received too often.
func (q *Queue) Bury() {
	q.mu.Lock()
	now := q.config.Now()
	var moved []*message
	for _, m := range q.messages {
		if !m.visible.After(now) {
			moved = append(moved, m)
		}
	}
	for _, m := range moved {
		q.remove(m)
		m.receives = max(m.receives, q.config.MaxReceives)
	}
	q.mu.Unlock()
	for _, m := range moved {
		q.config.DeadLetters.take(m, q.config.ARN, now)
	}
}

// Redrive sends all messages that can be received now to another queue, anew, as
// StartMessageMoveTask does, and returns how many.
func (q *Queue) Redrive(ctx context.Context, to *Queue) int {
	q.mu.Lock()
	now := q.config.Now()
	var moved []*message
	for _, m := range q.messages {
		if !m.visible.After(now) {
			moved = append(moved, m)
		}
	}
	for _, m := range moved {
		q.remove(m)
	}
	q.mu.Unlock()
	to.mu.Lock()
	defer to.mu.Unlock()
	for _, m := range moved {
		to.add(queue.WithTraceHeader(ctx, m.trace), m.body, 0)
	}
	return len(moved)
}

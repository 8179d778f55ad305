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
	waiting  []*receive // those that wait for a message, in the order in which they began
}

var _ queue.Queue = (*Queue)(nil)

type message struct {
	id, body, trace, source string
	sent, first, received   time.Time
	visible                 time.Time
	receives                int
}

// receive is one call of Receive that waits. Whoever makes a message visible gives it to the first
// of them under the lock, so that it does not depend on the order in which goroutines happen to run
// who receives what.
type receive struct {
	queue.ReceiveRequest
	ctx      context.Context //nolint:containedctx // the call's own
	end      time.Time
	received []queue.Message
	// look wakes the call: it has received something, or must look at another time.
	look chan struct{}
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

// serve gives what can be received now to the receives that wait. It follows every change of the
// queue. The caller holds the lock.
func (q *Queue) serve(now time.Time) {
	for len(q.waiting) > 0 {
		w := q.waiting[0]
		if w.ctx.Err() == nil && now.Before(w.end) {
			w.received = q.take(w.ReceiveRequest, now)
			w.wake()
			if len(w.received) == 0 {
				return
			}
		}
		q.waiting = slices.Delete(q.waiting, 0, 1)
	}
}

func (w *receive) wake() {
	select {
	case w.look <- struct{}{}:
	default: // it has been woken already
	}
}

// insert adds a message as the newest. The caller holds the lock.
func (q *Queue) insert(m *message) {
	q.messages = append(q.messages, m)
	q.byID[m.id] = m
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
	now := q.config.Now()
	id := q.add(body, queue.TraceHeader(ctx), now, q.delay(delay))
	q.serve(now)
	return id, nil
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
func (q *Queue) add(body, trace string, now time.Time, delay time.Duration) string {
	q.sent++
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
	now := q.config.Now()
	for _, e := range entries {
		if refusal := q.check(e.Body, e.Delay, "One or more parameters cannot be validated."); refusal != nil {
			result.Failed[e.ID] = refusal
			continue
		}
		result.MessageIDs[e.ID] = q.add(e.Body, queue.TraceHeader(ctx), now, q.delay(e.Delay))
	}
	q.serve(now)
	return result, nil
}

// Receive implements [queue.Queue].
func (q *Queue) Receive(ctx context.Context, r queue.ReceiveRequest) ([]queue.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if refusal := queue.CheckReceive(r); refusal != nil {
		return nil, refusal
	}
	w, next := q.begin(ctx, r)
	for next > 0 {
		pause(ctx, next, w.look)
		next = q.goOn(w)
	}
	if len(w.received) > 0 {
		return w.received, nil
	}
	return nil, ctx.Err()
}

// begin receives what there is. If that is nothing, the receive waits, for next at most.
func (q *Queue) begin(ctx context.Context, r queue.ReceiveRequest) (w *receive, next time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.config.Now()
	q.serve(now) // those that came before
	w = &receive{ReceiveRequest: r, ctx: ctx, end: now.Add(r.Wait), received: q.take(r, now)}
	if len(w.received) > 0 || r.Wait <= 0 {
		return w, 0
	}
	w.look = make(chan struct{}, 1)
	q.waiting = append(q.waiting, w)
	return w, q.next(w, now)
}

// goOn returns how long a receive waits from now on; 0 ends it.
func (q *Queue) goOn(w *receive) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.config.Now()
	q.serve(now)
	select {
	case <-w.look: // by the line above, perhaps
	default:
	}
	if len(w.received) == 0 && w.ctx.Err() == nil && now.Before(w.end) {
		return q.next(w, now)
	}
	if i := slices.Index(q.waiting, w); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	return 0
}

// next returns how long a receive may wait before it must look by itself. Only the first looks when
// a message becomes visible: no two may race for it.
func (q *Queue) next(w *receive, now time.Time) time.Duration {
	next := w.end.Sub(now)
	if w == q.waiting[0] {
		for _, m := range q.messages {
			next = min(next, m.visible.Sub(now)) // none is visible
		}
	}
	return next
}

// take receives what can be received now.
func (q *Queue) take(r queue.ReceiveRequest, now time.Time) (received []queue.Message) {
	q.expire(now)
	for len(received) < r.Max {
		m := q.pick(now)
		if m == nil {
			break
		}
		if q.config.DeadLetters != nil && m.receives >= q.config.MaxReceives {
			q.remove(m)
			q.config.DeadLetters.bury(m, q.config.ARN, now)
			continue
		}
		received = append(received, q.deliver(m, now, r.Visibility))
	}
	return received
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

// bury adds a message of another queue, which keeps its id, its age and its count of receives
// ("Dead-letter queues": the original enqueue timestamp).
func (q *Queue) bury(m *message, source string, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	moved := *m
	moved.source, moved.visible, moved.first = source, now, time.Time{}
	q.insert(&moved)
	q.serve(now)
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
	now := q.config.Now()
	visible := now.Add(timeout)
	if visible.After(m.received.Add(queue.MaxVisibility)) { // "Visibility timeout": 12 hours from the receive
		return &queue.RequestError{Code: "InvalidParameterValue", Message: fmt.Sprintf(
			"Value %v for parameter VisibilityTimeout is invalid. "+
				"Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].", timeout.Seconds())}
	}
	m.visible = visible
	q.serve(now)
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
		q.serve(m.visible)
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
	q.serve(m.visible)
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
		q.config.DeadLetters.bury(m, q.config.ARN, q.config.Now())
	}
}

// Redrive moves all messages that can be received now to another queue, as StartMessageMoveTask
// does, and returns how many: each is a new message there, with a new id, a new age and no receives.
func (q *Queue) Redrive(_ context.Context, to *Queue) int {
	moved := q.takeVisible()
	to.mu.Lock()
	defer to.mu.Unlock()
	now := to.config.Now()
	for _, m := range moved {
		to.add(m.body, m.trace, now, 0)
	}
	to.serve(now)
	return len(moved)
}

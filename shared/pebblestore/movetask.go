package pebblestore

import (
	"context"
	"fmt"
	"time"

	"paylane/shared/queue"
)

// MoveStatus is the status of a [MoveTask].
type MoveStatus string

// The statuses, in the words of ListMessageMoveTasks.
const (
	MoveRunning   MoveStatus = "RUNNING"
	MoveCompleted MoveStatus = "COMPLETED"
	MoveFailed    MoveStatus = "FAILED"
)

// MoveTask moves the messages of a dead-letter queue back to where they came from
// (developer guide, "dead-letter queue redrive"). It ends with the process.
type MoveTask struct {
	Status    MoveStatus
	StartedAt time.Time
	// ToMove is the number of messages that could be received at the start, Moved the
	// number moved so far.
	ToMove, Moved int
	// Failure is why the task failed.
	Failure string
}

// SQS moves at most 500 messages a second.
const (
	moveBatch = 50
	moveEvery = 100 * time.Millisecond
)

// StartMoveTask begins to move this queue's messages back, each to the queue that redrive
// moved it from; a message that was sent to this queue goes to the one queue that has it
// for its dead-letter queue. A moved message is a new one: it has a new id, a new age and
// no receives. The error is a [*queue.RequestError] if no queue has this one for its
// dead-letter queue, or a task is running.
func (q *Queue) StartMoveTask(ctx context.Context) (MoveTask, error) {
	if len(q.sources()) == 0 {
		return MoveTask{}, errNoSources()
	}
	if err := q.db.begin(ctx); err != nil {
		return MoveTask{}, fmt.Errorf("start to move messages: %w", err)
	}
	toMove := q.Stats().Visible
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.move.Status == MoveRunning {
		q.db.ops.Done()
		return MoveTask{}, invalid("There is already a task running. " +
			"Only one active task is allowed for a source queue arn at a given time.")
	}
	q.move = MoveTask{Status: MoveRunning, StartedAt: q.db.now(), ToMove: toMove}
	go func() {
		defer q.db.ops.Done()
		q.runMoveTask(toMove)
	}()
	return q.move, nil
}

// MoveMessage moves one message back as a task does, by the number that [Queue.Peek] told. SQS has
// no such action. The error is a [*queue.RequestError] if no queue has this one for its dead-letter
// queue, if the message has left the queue or is hidden by a receive or a delay, or if it is unknown
// where it came from; then nothing has changed.
func (q *Queue) MoveMessage(ctx context.Context, number uint64) error {
	if len(q.sources()) == 0 {
		return errNoSources()
	}
	if err := q.db.begin(ctx); err != nil {
		return fmt.Errorf("move a message: %w", err)
	}
	defer q.db.ops.Done()
	e, refusal := q.takeNumber(number)
	if refusal != nil {
		return refusal
	}
	return q.sendBack([]*entry{e})
}

// takeNumber takes a message that can be received now. It waits for a call that is writing about
// it.
func (q *Queue) takeNumber(number uint64) (*entry, *queue.RequestError) {
	now := stampOf(q.db.now())
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.index.entries[number]
	for e != nil && e.place == placeTaken {
		q.untaken.Wait()
		e = q.index.entries[number]
	}
	q.refresh(now)
	switch {
	case e == nil || e.place == placeUnsynced || e.sent+millis(q.config.Retention) <= now:
		return nil, invalid("The message is no longer in the queue.")
	case e.place == placeHidden && e.count == 0:
		return nil, invalid("The message is delayed until %s.", e.visible.time().Format(time.RFC3339))
	case e.place == placeHidden:
		return nil, invalid("The message is in flight: whoever received it has until %s to finish it.", e.visible.time().Format(time.RFC3339))
	}
	q.index.take(e)
	return e, nil
}

// MoveTask returns the newest task of this queue; ok is false if there was none since the
// database was opened.
func (q *Queue) MoveTask() (task MoveTask, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.move, q.move.Status != ""
}

func errNoSources() error {
	return invalid("Source queue must be configured as a Dead Letter Queue.")
}

// sources returns the queues that have this one for their dead-letter queue.
func (q *Queue) sources() []*Queue {
	var sources []*Queue
	for _, s := range *q.db.queues.Load() {
		if s.dead == q {
			sources = append(sources, s)
		}
	}
	return sources
}

func (q *Queue) runMoveTask(left int) {
	ticker := time.NewTicker(moveEvery)
	defer ticker.Stop()
	for {
		taken, _ := q.takeReady(min(left, moveBatch), false)
		err := q.sendBack(taken)
		left -= len(taken)
		// Some may have been sent just now and not be durable yet.
		over := left == 0 || len(taken) == 0 && q.Stats().Visible == 0
		q.mu.Lock()
		switch {
		case err != nil:
			q.move.Status, q.move.Failure = MoveFailed, err.Error()
		case over:
			q.move.Status = MoveCompleted
			fallthrough
		default:
			q.move.Moved += len(taken)
		}
		running := q.move.Status == MoveRunning
		q.mu.Unlock()
		if !running {
			return
		}
		select {
		case <-ticker.C:
		case <-q.db.ended:
			return
		}
	}
}

// sendBack moves the messages that were taken, all or none.
func (q *Queue) sendBack(taken []*entry) error {
	w := q.db.newWrite(q, taken)
	sources := q.sources()
	for i, e := range taken {
		m, err := q.read(e)
		if err != nil {
			w.abandon()
			return unavailable("move messages", err)
		}
		to := sources[0]
		for _, s := range sources {
			if s.config.ARN == m.source {
				to = s
			}
		}
		if to.config.ARN != m.source && (m.source != "" || len(sources) > 1) {
			w.abandon()
			return invalid("The queue that message %s came from is unknown.", m.id)
		}
		w.sendBack(i, to, m)
	}
	return w.commit()
}

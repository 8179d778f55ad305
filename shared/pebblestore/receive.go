package pebblestore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"paylane/shared/order"
	"paylane/shared/queue"
)

// Receive implements [queue.Queue].
func (q *Queue) Receive(ctx context.Context, r queue.ReceiveRequest) ([]queue.Message, error) {
	const doing = "receive messages"
	if refusal := queue.CheckReceive(r); refusal != nil {
		return nil, refusal
	}
	if err := q.db.begin(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	defer q.db.ops.Done()
	visibility := q.config.VisibilityTimeout
	if r.Visibility != 0 {
		visibility = r.Visibility
	}
	wait := r.Wait > 0
	var timeout <-chan time.Time
	for {
		taken, woken := q.takeReady(r.Max, wait)
		messages, err := q.deliver(taken, visibility)
		switch {
		case err != nil:
			return nil, unavailable(doing, err)
		case len(messages) > 0 || len(taken) == 0 && !wait:
			return messages, nil
		case len(taken) > 0:
			continue // all of them were too old, or were moved away
		}
		if timeout == nil {
			timer := time.NewTimer(r.Wait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-woken:
			continue
		case <-timeout:
			wait = false // try once more: a message may have come with the timeout
		case <-ctx.Done():
			err = ctx.Err()
		case <-q.db.ended:
			err = fmt.Errorf("%w: the database is closing", order.ErrUnavailable)
		}
		q.giveUpWaiting(woken)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
}

// takeReady takes up to limit messages. If there is none and the caller waits, woken is
// closed when there may be one.
func (q *Queue) takeReady(limit int, wait bool) (taken []*entry, woken chan struct{}) {
	now := stampOf(q.db.now())
	q.mu.Lock()
	defer q.mu.Unlock()
	q.index.surface(now)
	for len(taken) < limit {
		e := q.index.takeReady()
		if e == nil {
			break
		}
		taken = append(taken, e)
	}
	if len(taken) == 0 && wait {
		woken = make(chan struct{})
		q.waiters = append(q.waiters, woken)
	}
	q.refresh(now)
	return taken, woken
}

// giveUpWaiting removes a waiter that takeReady added. If a message came just then, another
// waiter gets it.
func (q *Queue) giveUpWaiting(woken chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiters = slices.DeleteFunc(q.waiters, func(w chan struct{}) bool { return w == woken })
	q.refresh(stampOf(q.db.now()))
}

// deliver receives the messages that were taken. Those past their retention are removed
// instead, and those received often enough are moved to the dead-letter queue.
func (q *Queue) deliver(taken []*entry, visibility time.Duration) ([]queue.Message, error) {
	if len(taken) == 0 {
		return nil, nil
	}
	w := q.db.newWrite(q, taken)
	messages := make([]queue.Message, 0, len(taken))
	for i, e := range taken {
		var err error
		switch {
		case e.sent+millis(q.config.Retention) <= w.now:
			w.remove(i)
		case q.dead != nil && int(e.count) >= q.config.MaxReceiveCount:
			err = w.redrive(i)
		default:
			var d queue.Message
			d, err = w.receive(i, visibility)
			messages = append(messages, d)
		}
		if err != nil {
			w.abandon()
			return nil, err
		}
	}
	return messages, w.commit()
}

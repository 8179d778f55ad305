package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// PeekedMessage is a message as [Queue.Peek] found it.
type PeekedMessage struct {
	// Number names the message in its queue for ever. Messages that came later have greater
	// ones.
	Number    uint64
	MessageID string
	SentAt    time.Time
	// FirstReceivedAt is zero before the first receive.
	FirstReceivedAt time.Time
	ReceiveCount    int
	// HiddenUntil is when it can be received: the end of its visibility timeout if it was
	// received, of its delay otherwise. It is zero if it can be received now.
	HiddenUntil time.Time
	// DeadLetterSourceARN is the queue that redrive moved the message from, if any.
	DeadLetterSourceARN string
	Body                string
}

// Peek returns the messages whose numbers are greater than after, in the order in which they came
// to the queue, and changes nothing about them. The walk sees the queue as it is when it begins,
// and skips what has left since. Messages are read one by one: a caller that stops reads no more,
// and one that keeps none needs no memory for them.
func (q *Queue) Peek(ctx context.Context, after uint64) iter.Seq2[PeekedMessage, error] {
	const doing = "look at messages"
	return func(yield func(PeekedMessage, error) bool) {
		if err := q.db.begin(ctx); err != nil {
			yield(PeekedMessage{}, fmt.Errorf("%s: %w", doing, err))
			return
		}
		defer q.db.ops.Done()
		stopped, err := q.peek(ctx, after, func(m PeekedMessage) bool { return yield(m, nil) })
		switch {
		case stopped, err == nil:
		case ctx.Err() != nil:
			yield(PeekedMessage{}, fmt.Errorf("%s: %w", doing, ctx.Err()))
		default:
			yield(PeekedMessage{}, unavailable(doing, err))
		}
	}
}

// peek reports whether see returned false, which ends the walk.
func (q *Queue) peek(ctx context.Context, after uint64, see func(PeekedMessage) bool) (stopped bool, err error) {
	prefix := messagePrefix(nil, q.config.Name)
	records, err := q.db.pebble.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: q.key(after, partState+1), UpperBound: prefixEnd(prefix),
	})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, records.Close()) }()
	now := stampOf(q.db.now())
	for ok := records.First(); ok; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		number, m, s, err := peeked(records, prefix)
		if err != nil {
			return false, err
		}
		if ok = records.Next(); ok {
			if of, part, valid := parseMessageKey(records.Key(), prefix); valid && of == number && part == partState {
				if s, err = peekedState(records); err != nil {
					return false, err
				}
				ok = records.Next()
			}
		}
		if m.sent+millis(q.config.Retention) <= now || !q.has(number) {
			continue
		}
		seen := PeekedMessage{
			Number: number, MessageID: m.id.String(), SentAt: m.sent.time(), FirstReceivedAt: s.firstReceived.time(),
			ReceiveCount: int(s.count), DeadLetterSourceARN: m.source, Body: m.body,
		}
		if s.visible > now {
			seen.HiddenUntil = s.visible.time()
		}
		if !see(seen) {
			return true, nil
		}
	}
	return false, records.Error()
}

// peeked reads the content of the message that an iterator is at, and its first state.
func peeked(records *pebble.Iterator, prefix []byte) (number uint64, m message, s state, err error) {
	number, part, ok := parseMessageKey(records.Key(), prefix)
	if !ok || part != partSent {
		return 0, message{}, state{}, fmt.Errorf("%w: the key of a message is garbled: %x", ErrDamaged, records.Key())
	}
	record, err := records.ValueAndErr()
	if err != nil {
		return 0, message{}, state{}, err
	}
	if m, s, err = decodeMessage(record); err != nil {
		err = fmt.Errorf("%w: message %d: %w", ErrDamaged, number, err)
	}
	return number, m, s, err
}

// peekedState reads the receive state that an iterator is at.
func peekedState(records *pebble.Iterator) (state, error) {
	record, err := records.ValueAndErr()
	if err != nil {
		return state{}, err
	}
	s, err := decodeState(record)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return s, err
}

// has reports whether a message is in the queue now, and its send is durable.
func (q *Queue) has(number uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.index.entries[number]
	return e != nil && e.place != placeUnsynced
}

package eventsource

import (
	"context"
	"time"

	"paylane/shared/emulator"
)

const (
	// longestWait is how long one receive waits for a message.
	longestWait = 20 * time.Second
	// batchBytes is what a batch may weigh. The event is a little more.
	batchBytes = emulator.MaxPayloadBytes - 1024
)

// batch is what one invocation gets.
type batch struct {
	records []Record
	weight  int
	// since is when the first of them was received.
	since time.Time
}

// receiver gathers batches, one after the other.
type receiver struct {
	*Poller
	left batch // received, and too heavy for the batch before
	bad  int   // receives that failed in a row
}

// next gives the next batch; an empty one when the context ends, a receive fails, or
// the queue is quiet.
func (r *receiver) next(ctx context.Context) batch {
	b := r.leftover()
	if len(b.records) > 0 {
		return b
	}
	records := r.receive(ctx, min(r.mapping.BatchSize, MaxReceive), longestWait)
	b.since = r.now()
	r.add(&b, records)
	if len(records) == 0 {
		return b
	}
	// The window opens with the first message. Without one, a batch is whatever one
	// receive gave.
	for len(b.records) < r.mapping.BatchSize && len(r.left.records) == 0 && ctx.Err() == nil {
		wait := min(r.mapping.Window-r.now().Sub(b.since), longestWait)
		if wait <= 0 {
			break
		}
		r.add(&b, r.receive(ctx, min(r.mapping.BatchSize-len(b.records), MaxReceive), wait))
	}
	return b
}

// leftover begins a batch with what did not go into the one before.
func (r *receiver) leftover() batch {
	left := r.left
	r.left = batch{}
	b := batch{since: left.since}
	r.add(&b, left.records)
	return b
}

// add puts records into a batch as long as it does not weigh too much, and keeps the
// others for the next. A record that is too heavy by itself goes alone.
func (r *receiver) add(b *batch, records []Record) {
	for i, record := range records {
		weight := record.weight()
		if b.weight+weight > batchBytes && len(b.records) > 0 {
			r.left = batch{records: records[i:], since: b.since}
			return
		}
		b.records = append(b.records, record)
		b.weight += weight
	}
}

// receive takes records and deletes those that the filters leave out.
func (r *receiver) receive(ctx context.Context, most int, wait time.Duration) []Record {
	records, err := r.source.Receive(ctx, ReceiveRequest{Max: most, Wait: wait, Visibility: r.visibility})
	if err != nil {
		if ctx.Err() == nil {
			r.logger.WarnContext(ctx, "the queue can't be polled", "queue", r.queue.Name, "error", err)
			r.pause(ctx)
		}
		return nil
	}
	r.bad = 0
	if len(r.filters) == 0 {
		return records
	}
	var kept, dropped []Record
	for _, record := range records {
		if r.matches(record) {
			kept = append(kept, record)
		} else {
			dropped = append(dropped, record)
		}
	}
	if len(dropped) > 0 {
		r.delete(ctx, dropped)
	}
	return kept
}

// pause waits before the next receive after some that failed: 0.1 s, twice as long
// each time, up to 10 s.
func (r *receiver) pause(ctx context.Context) {
	const first, doublings = 100 * time.Millisecond, 7
	timer := time.NewTimer(min(first<<min(r.bad, doublings), 10*time.Second))
	defer timer.Stop()
	r.bad++
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// matches says whether one of the mapping's filters takes a record.
func (p *Poller) matches(r Record) bool {
	seen := map[string]any{
		"messageId": r.MessageID, "receiptHandle": r.ReceiptHandle, "body": r.Body, "md5OfBody": hash([]byte(r.Body)),
		"eventSource": "aws:sqs", "eventSourceARN": p.queue.ARN, "awsRegion": p.region,
	}
	attributes := make(map[string]any, len(r.Attributes))
	for name, value := range r.Attributes {
		attributes[name] = value
	}
	seen["attributes"] = attributes
	own := make(map[string]any, len(r.MessageAttributes))
	for name, a := range r.MessageAttributes {
		attribute := map[string]any{"dataType": a.DataType}
		if !a.isBinary() {
			attribute["stringValue"] = a.String
		}
		own[name] = attribute
	}
	seen["messageAttributes"] = own
	for _, f := range p.filters {
		if f.Match(seen) {
			return true
		}
	}
	return false
}

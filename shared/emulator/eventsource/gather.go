package eventsource

import (
	"context"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/internal/pause"
	"paylane/shared/queue"
)

// batchBytes is what a batch may weigh. The event is a little more.
const batchBytes = emulator.MaxPayloadBytes - 1024

// batch is what one invocation gets.
type batch struct {
	records []queue.Message
	weight  int // of them all
	// since is when the first of them was received.
	since time.Time
}

// receiver gathers batches, one after the other.
type receiver struct {
	*Poller
	left     batch // received, and too heavy for the batch before
	failures int   // of receives, in a row
}

// next returns the next batch. It is empty if the context ended, a receive failed, or the
// queue is quiet.
func (r *receiver) next(ctx context.Context) batch {
	b := r.leftover()
	if len(b.records) > 0 {
		return b
	}
	records := r.receive(ctx, min(r.mapping.BatchSize, queue.MaxBatch), queue.MaxReceiveWait)
	b.since = r.now()
	r.add(&b, records)
	if len(records) == 0 {
		return b
	}
	// The window opens with the first message. Without a window, a batch is what one
	// receive returned.
	for len(b.records) < r.mapping.BatchSize && len(r.left.records) == 0 && ctx.Err() == nil {
		wait := min(r.mapping.Window-r.now().Sub(b.since), queue.MaxReceiveWait)
		if wait <= 0 {
			break
		}
		r.add(&b, r.receive(ctx, min(r.mapping.BatchSize-len(b.records), queue.MaxBatch), wait))
	}
	return b
}

// leftover returns a batch that begins with what did not fit into the one before.
func (r *receiver) leftover() batch {
	left := r.left
	r.left = batch{}
	b := batch{since: left.since}
	r.add(&b, left.records)
	return b
}

// add adds records to a batch until it would weigh too much, and keeps the others for the
// next. A record that is too heavy by itself goes alone.
func (r *receiver) add(b *batch, records []queue.Message) {
	for i, record := range records {
		w := weight(record)
		if b.weight+w > batchBytes && len(b.records) > 0 {
			r.left = batch{records: records[i:], since: b.since}
			return
		}
		b.records = append(b.records, record)
		b.weight += w
	}
}

// receive returns up to most records that a filter matches. The others are deleted.
func (r *receiver) receive(ctx context.Context, most int, wait time.Duration) []queue.Message {
	records, err := r.source.Receive(ctx, queue.ReceiveRequest{Max: most, Wait: wait, Visibility: r.visibility})
	if err != nil {
		if ctx.Err() == nil {
			r.logger.WarnContext(ctx, "can't poll the queue", "queue", r.queue.Name, "error", err)
			r.pause(ctx)
		}
		return nil
	}
	r.failures = 0
	if len(r.filters) == 0 {
		return records
	}
	var kept, dropped []queue.Message
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

// pause waits after a receive that failed: 0.1 s, twice as long each time, up to 10 s.
func (r *receiver) pause(ctx context.Context) {
	const first, doublings = 100 * time.Millisecond, 7
	_ = pause.For(ctx, min(first<<min(r.failures, doublings), 10*time.Second)) // the caller looks at ctx
	r.failures++
}

// matches reports whether one of the mapping's filters matches a record.
func (p *Poller) matches(r queue.Message) bool {
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
		if !a.IsBinary() {
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

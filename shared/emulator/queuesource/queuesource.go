// Package queuesource lets a queue of paylane's be the event source of a mapping: it
// turns an [order.Queue] into an [eventsource.Source]. It is the only place where the
// emulator and paylane's domain meet.
package queuesource

import (
	"context"
	"errors"
	"strconv"
	"time"

	"paylane/shared/emulator/eventsource"
	"paylane/shared/order"
)

// SenderID is what records say of who sent them, since a local queue does not know:
// the shape is that of an IAM user's id.
const SenderID = "AIDALOCALLOCALLOCALXX"

// Source is an [order.Queue] as a mapping's source. Its messages have no attributes
// of their own.
type Source struct {
	queue order.Queue
}

// New makes a source of a queue.
func New(queue order.Queue) Source { return Source{queue: queue} }

// Receive implements [eventsource.Source].
func (s Source) Receive(ctx context.Context, r eventsource.ReceiveRequest) ([]eventsource.Record, error) {
	deliveries, err := s.queue.Receive(ctx, order.ReceiveRequest{Max: r.Max, Wait: r.Wait, Visibility: r.Visibility})
	if err != nil {
		return nil, err
	}
	records := make([]eventsource.Record, len(deliveries))
	for i, d := range deliveries {
		records[i] = eventsource.Record{
			MessageID: d.MessageID, ReceiptHandle: d.ReceiptHandle, Body: d.Body, Attributes: attributes(d),
		}
	}
	return records, nil
}

// attributes are SQS's names for what a delivery says ("MessageSystemAttributeName" in
// the SQS API reference).
func attributes(d order.Delivery) map[string]string {
	made := map[string]string{
		"ApproximateReceiveCount":          strconv.Itoa(d.ReceiveCount),
		"SentTimestamp":                    milliseconds(d.SentAt),
		"SenderId":                         SenderID,
		"ApproximateFirstReceiveTimestamp": milliseconds(d.FirstReceivedAt),
	}
	if d.DeadLetterSourceARN != "" {
		made["DeadLetterQueueSourceArn"] = d.DeadLetterSourceARN
	}
	return made
}

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// Delete implements [eventsource.Source].
func (s Source) Delete(ctx context.Context, receiptHandles []string) error {
	outcomes, err := s.queue.Delete(ctx, receiptHandles)
	if err != nil {
		return err
	}
	return errors.Join(outcomes...)
}

var _ eventsource.Source = Source{}

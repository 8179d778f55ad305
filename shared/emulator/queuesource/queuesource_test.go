package queuesource_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/queuesource"
	"paylane/shared/order"
)

// queue is an order.Queue that answers what it is told to.
type queue struct {
	order.Queue
	asked      order.ReceiveRequest
	deliveries []order.Delivery
	outcomes   []error
	err        error
}

func (q *queue) Receive(_ context.Context, r order.ReceiveRequest) ([]order.Delivery, error) {
	q.asked = r
	return q.deliveries, q.err
}

func (q *queue) Delete(context.Context, []string) ([]error, error) { return q.outcomes, q.err }

func TestReceive(t *testing.T) {
	q := &queue{deliveries: []order.Delivery{
		{
			MessageID: "m1", ReceiptHandle: "h1", Body: "b1", ReceiveCount: 3,
			SentAt: time.UnixMilli(1000), FirstReceivedAt: time.UnixMilli(2000), DeadLetterSourceARN: "arn:x",
		},
		{MessageID: "m2", ReceiptHandle: "h2", Body: "b2", ReceiveCount: 1, SentAt: time.UnixMilli(3), FirstReceivedAt: time.UnixMilli(4)},
	}}
	got, err := queuesource.New(q).Receive(t.Context(), eventsource.ReceiveRequest{Max: 7, Wait: time.Second, Visibility: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	want := []eventsource.Record{
		{MessageID: "m1", ReceiptHandle: "h1", Body: "b1", Attributes: map[string]string{
			"ApproximateReceiveCount": "3", "SentTimestamp": "1000", "ApproximateFirstReceiveTimestamp": "2000",
			"SenderId": queuesource.SenderID, "DeadLetterQueueSourceArn": "arn:x",
		}},
		{MessageID: "m2", ReceiptHandle: "h2", Body: "b2", Attributes: map[string]string{
			"ApproximateReceiveCount": "1", "SentTimestamp": "3", "ApproximateFirstReceiveTimestamp": "4",
			"SenderId": queuesource.SenderID,
		}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
	if d := cmp.Diff(order.ReceiveRequest{Max: 7, Wait: time.Second, Visibility: time.Minute}, q.asked); d != "" {
		t.Errorf("request (-want +got):\n%s", d)
	}
}

func TestErrors(t *testing.T) {
	q := &queue{err: order.ErrUnavailable}
	source := queuesource.New(q)
	if _, err := source.Receive(t.Context(), eventsource.ReceiveRequest{Max: 1}); !errors.Is(err, order.ErrUnavailable) {
		t.Errorf("receive: %v", err)
	}
	if err := source.Delete(t.Context(), []string{"h"}); !errors.Is(err, order.ErrUnavailable) {
		t.Errorf("delete: %v", err)
	}
	q.err, q.outcomes = nil, []error{nil, order.ErrReceiptHandle, nil}
	if err := source.Delete(t.Context(), []string{"a", "b", "c"}); !errors.Is(err, order.ErrReceiptHandle) {
		t.Errorf("delete of a handle that is none: %v", err)
	}
	q.outcomes = []error{nil}
	if err := source.Delete(t.Context(), []string{"a"}); err != nil {
		t.Error(err)
	}
}

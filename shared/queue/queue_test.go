package queue_test

import (
	"testing"
	"time"

	"paylane/shared/queue"
)

func TestMessage(t *testing.T) {
	m := queue.Message{Attributes: map[string]string{
		"ApproximateReceiveCount": "3", "SentTimestamp": "1773480413589",
		"ApproximateFirstReceiveTimestamp": "1773480413600", "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:1:payments",
	}}
	if n := m.ReceiveCount(); n != 3 {
		t.Errorf("the receive count is %d", n)
	}
	if at := m.SentAt(); at != time.UnixMilli(1773480413589).UTC() {
		t.Errorf("it was sent at %v", at)
	}
	if at := m.FirstReceivedAt(); at != time.UnixMilli(1773480413600).UTC() {
		t.Errorf("it was first received at %v", at)
	}
	if arn := m.DeadLetterSourceARN(); arn != "arn:aws:sqs:us-east-1:1:payments" {
		t.Errorf("it comes from %q", arn)
	}
	var none queue.Message
	if none.ReceiveCount() != 0 || !none.SentAt().IsZero() || !none.FirstReceivedAt().IsZero() || none.DeadLetterSourceARN() != "" {
		t.Error("a message without attributes has values for them")
	}
}

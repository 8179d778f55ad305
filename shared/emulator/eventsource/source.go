package eventsource

import (
	"context"
	"time"
)

// MaxReceive is how many records one receive can give, and one delete can take.
const MaxReceive = 10

// Source is a queue as a poller needs it. Every method may be called concurrently.
type Source interface {
	// Receive takes up to r.Max records as soon as there is one, and waits up to
	// r.Wait for it; a quiet queue gives none and no error. When ctx ends it returns
	// soon, with the context's error or with records.
	Receive(ctx context.Context, r ReceiveRequest) ([]Record, error)
	// Delete removes up to [MaxReceive] records by their receipt handles. An error
	// may leave some of them: they come again.
	Delete(ctx context.Context, receiptHandles []string) error
}

// ReceiveRequest asks for records.
type ReceiveRequest struct {
	// Max is 1 to [MaxReceive].
	Max int
	// Wait is at most 20 s. A source that counts in seconds may round it up.
	Wait time.Duration
	// Visibility replaces the queue's visibility timeout, unless 0.
	Visibility time.Duration
}

// Record is one receive of one message.
type Record struct {
	MessageID     string
	ReceiptHandle string
	Body          string
	// Attributes are SQS's own, such as ApproximateReceiveCount, with their values
	// as the event has them: text, and times in milliseconds.
	Attributes map[string]string
	// MessageAttributes are the sender's.
	MessageAttributes map[string]Attribute
}

// Attribute is an attribute that the sender gave a message.
type Attribute struct {
	// DataType is String, Number or Binary, perhaps with a label behind a dot.
	DataType string
	// String is the value, unless it is binary.
	String string
	// Binary is a binary value.
	Binary []byte
}

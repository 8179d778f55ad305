package order

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrReceiptHandle says that a receipt handle is none this queue gave out.
var ErrReceiptHandle = errors.New("the receipt handle is not valid")

// Limits of a queue, as SQS has them ("Amazon SQS message quotas").
const (
	MaxBatch        = 10
	MaxBodyBytes    = 1 << 20 // a message, and a whole batch
	MaxDelay        = 15 * time.Minute
	MaxVisibility   = 12 * time.Hour
	MaxReceiveWait  = 20 * time.Second
	MaxBatchIDBytes = 80
)

// Queue is one message queue with the semantics of an SQS standard queue, whose
// words it uses.
//
// Delivery is at least once and in no promised order. A message that was received
// stays in the queue and is hidden for its visibility timeout; unless it is deleted
// by then it is received again, with a receive count one higher and a new receipt
// handle. A receive that would raise the count above the queue's maxReceiveCount
// moves the message to the dead-letter queue instead; nothing moves by time alone.
// A message older than the queue's retention is gone; its age runs from the first
// send, across such a move.
//
// Every method may be called concurrently. Errors other than those named are
// [ErrUnavailable] (wrapped) or the context's.
type Queue interface {
	// Send adds a message and returns its id. After nil it is durable no later than
	// any write to the [Store] begun afterwards, and by itself within moments; it
	// is delivered only once it is durable. After [ErrUnavailable] it may have been
	// added. The error is a [*RequestError] for a message the queue would never
	// take. Delay is 0 to [MaxDelay], in whole seconds.
	Send(ctx context.Context, body string, delay time.Duration) (messageID string, err error)

	// SendBatch adds up to [MaxBatch] messages, each for itself: some may be added
	// and others not. An error means that the request as a whole was refused, with
	// a [*RequestError], or is [ErrUnavailable].
	SendBatch(ctx context.Context, entries []SendEntry) (SendBatchResult, error)

	// Receive takes up to Max messages, as soon as there is one, and waits up to
	// Wait for it; a quiet queue gives none and no error.
	Receive(ctx context.Context, r ReceiveRequest) ([]Delivery, error)

	// Delete removes messages by the handles of their receives; one outcome each,
	// nil where it is gone, in the order asked. A handle whose visibility timeout
	// ended still deletes, unless the message was received again since, which is
	// then left and is no error. The outcome is [ErrReceiptHandle] for a handle
	// that is none. Durability is not promised: a message may come again.
	Delete(ctx context.Context, receiptHandles []string) ([]error, error)

	// ChangeVisibility hides the message until timeout from now, 0 to
	// [MaxVisibility] in whole seconds; 0 shows it at once. It acts on this receive
	// only: with an older handle it does nothing and is no error. The error is
	// [ErrReceiptHandle], or a [*RequestError] for a timeout out of range.
	ChangeVisibility(ctx context.Context, receiptHandle string, timeout time.Duration) error
}

// RequestError is a refusal of what was asked, with SQS's code and text.
type RequestError struct {
	Code    string
	Message string
}

func (e *RequestError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// SendEntry is one message of a batch. ID names it within the batch: 1 to 80 of
// letters, digits, - and _.
type SendEntry struct {
	ID    string
	Body  string
	Delay time.Duration
}

// SendBatchResult says what became of each entry of a batch.
type SendBatchResult struct {
	// MessageIDs are the messages added, by entry id.
	MessageIDs map[string]string
	// Failed are those that were not, by entry id.
	Failed map[string]*RequestError
}

// ReceiveRequest asks for messages.
type ReceiveRequest struct {
	// Max is 1 to [MaxBatch].
	Max int
	// Wait is at most [MaxReceiveWait].
	Wait time.Duration
	// Visibility replaces the queue's visibility timeout for this receive, unless 0.
	Visibility time.Duration
}

// Delivery is one receive of one message.
type Delivery struct {
	MessageID     string
	ReceiptHandle string
	Body          string
	// ReceiveCount is 1 at the first receive. It goes on in a dead-letter queue.
	ReceiveCount int
	SentAt       time.Time
	// FirstReceivedAt is when the message was first received.
	FirstReceivedAt time.Time
	// DeadLetterSourceARN is the queue that the message was moved from, if any.
	DeadLetterSourceARN string
}

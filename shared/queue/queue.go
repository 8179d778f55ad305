// Package queue is the port to a message queue with the semantics and the limits of an
// Amazon SQS standard queue, in SQS's own words. The emulator's event sources poll it; the
// embedded store and the SQS client implement it, held to the same suite by
// shared/contract.
package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrReceiptHandle reports a receipt handle that this queue did not issue.
var ErrReceiptHandle = errors.New("the receipt handle is not valid")

// Limits of a queue ("Amazon SQS message quotas").
const (
	MaxBatch        = 10      // entries of a batch, and messages of one receive
	MaxBodyBytes    = 1 << 20 // of a message, and of a whole batch
	MaxDelay        = 15 * time.Minute
	MaxVisibility   = 12 * time.Hour
	MaxReceiveWait  = 20 * time.Second
	MaxBatchIDBytes = 80
)

// Queue is one message queue.
//
// Delivery is at least once and in no promised order. A message that was received
// stays in the queue, hidden for its visibility timeout. Unless it is deleted by then,
// it is received again with a receive count one higher and a new receipt handle. A
// receive that would raise the count above the queue's maxReceiveCount moves the
// message to the dead-letter queue instead; nothing moves by time alone. A message
// older than the queue's retention is gone; its age counts from the first send, across
// such a move.
//
// What is sent with a context of [WithTraceHeader] carries the header to each of its receives.
//
// Every method may be called concurrently. An error other than those named is the
// context's, or means that the queue could not be reached or could not do it now: the
// call may or may not have taken effect, and may be repeated.
type Queue interface {
	// Send adds a message and returns its id. Once it returned nil, the message is
	// durable within moments, and no later than any write that is begun afterwards to a
	// store that shares the queue's log; it is delivered only once it is durable. The
	// error is a [*RequestError] for a message that the queue would never take. Delay is
	// 0 to [MaxDelay], in whole seconds.
	Send(ctx context.Context, body string, delay time.Duration) (messageID string, err error)

	// SendBatch adds up to [MaxBatch] messages, each on its own: some may be added and
	// others not. A [*RequestError] means that the request was refused as a whole.
	SendBatch(ctx context.Context, entries []SendEntry) (SendBatchResult, error)

	// Receive returns up to r.Max messages as soon as there is one, and waits up to
	// r.Wait for it. A quiet queue returns none and no error.
	Receive(ctx context.Context, r ReceiveRequest) ([]Message, error)

	// Delete removes up to [MaxBatch] messages by the handles of their receives. It
	// returns one outcome for each handle, in the same order: nil if the message is gone.
	// A handle whose visibility timeout has ended still deletes, unless the message was
	// received again since; then it is left alone, which is not an error. The outcome is
	// [ErrReceiptHandle] for a handle that is not one. Durability is not promised: a
	// deleted message may come again. A [*RequestError] means that the request was
	// refused as a whole.
	Delete(ctx context.Context, receiptHandles []string) ([]error, error)

	// ChangeVisibility hides the message until timeout from now, 0 to [MaxVisibility] in
	// whole seconds; 0 shows it at once. It acts on this receive only: with an older
	// handle it does nothing, which is not an error. The error is [ErrReceiptHandle], or
	// a [*RequestError] for a timeout out of range.
	ChangeVisibility(ctx context.Context, receiptHandle string, timeout time.Duration) error
}

// RequestError is a refusal of what was asked, with SQS's code and text.
type RequestError struct {
	Code    string
	Message string
}

func (e *RequestError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// SendEntry is one message of a batch. ID names it within the batch: 1 to 80 letters,
// digits, hyphens and underscores.
type SendEntry struct {
	ID    string
	Body  string
	Delay time.Duration
}

// SendBatchResult holds the outcome of each entry of a batch, by entry id.
type SendBatchResult struct {
	// MessageIDs are the ids of the messages that were added.
	MessageIDs map[string]string
	// Failed are the entries that were not.
	Failed map[string]*RequestError
}

// ReceiveRequest asks for messages.
type ReceiveRequest struct {
	// Max is 1 to [MaxBatch].
	Max int
	// Wait is at most [MaxReceiveWait]. A queue that counts in seconds rounds it up.
	Wait time.Duration
	// Visibility replaces the queue's visibility timeout for this receive, unless 0.
	Visibility time.Duration
}

// Message is one receive of one message.
type Message struct {
	MessageID     string
	ReceiptHandle string
	Body          string
	// Attributes are the system attributes by SQS's names, as text and with times in
	// milliseconds since the epoch, which is how an event carries them.
	Attributes map[string]string
	// MessageAttributes are the sender's.
	MessageAttributes map[string]Attribute
}

// System attributes of a [Message] ("MessageSystemAttributeName" in the SQS API
// reference).
const (
	ReceiveCountAttribute     = "ApproximateReceiveCount"
	SentAttribute             = "SentTimestamp"
	FirstReceivedAttribute    = "ApproximateFirstReceiveTimestamp"
	SenderAttribute           = "SenderId"
	DeadLetterSourceAttribute = "DeadLetterQueueSourceArn"
	// TraceHeaderAttribute is absent unless the sender gave it.
	TraceHeaderAttribute = "AWSTraceHeader"
)

type traceHeaderKey struct{}

// WithTraceHeader returns a context with which messages are sent as part of a trace. The header
// is X-Ray's ("Tracing header" in its developer guide); empty is none.
func WithTraceHeader(ctx context.Context, header string) context.Context {
	return context.WithValue(ctx, traceHeaderKey{}, header)
}

// TraceHeader returns the trace header that messages are to be sent with; empty if there is none.
func TraceHeader(ctx context.Context) string {
	header, _ := ctx.Value(traceHeaderKey{}).(string)
	return header
}

// ReceiveCount is 1 at the first receive, and continues in a dead-letter queue. It is 0
// if the queue did not report it.
func (m Message) ReceiveCount() int {
	n, _ := strconv.Atoi(m.Attributes[ReceiveCountAttribute])
	return n
}

// SentAt is when the message was sent; the zero time if the queue did not report it.
func (m Message) SentAt() time.Time { return m.timestamp(SentAttribute) }

// FirstReceivedAt is when the message was first received; the zero time if the queue did
// not report it.
func (m Message) FirstReceivedAt() time.Time { return m.timestamp(FirstReceivedAttribute) }

// DeadLetterSourceARN is the queue that the message was moved from, if any.
func (m Message) DeadLetterSourceARN() string { return m.Attributes[DeadLetterSourceAttribute] }

func (m Message) timestamp(attribute string) time.Time {
	ms, err := strconv.ParseInt(m.Attributes[attribute], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Attribute is an attribute that the sender gave a message.
type Attribute struct {
	// DataType is String, Number or Binary, optionally with a label after a dot.
	DataType string
	// String is the value, unless it is binary.
	String string
	// Binary is a binary value.
	Binary []byte
}

// IsBinary reports whether the value is binary.
func (a Attribute) IsBinary() bool { return strings.HasPrefix(a.DataType, "Binary") }

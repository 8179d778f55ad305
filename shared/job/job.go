// Package job is what every asynchronous job behind an SQS queue needs: a [Worker] handles
// one message and returns a [Verdict], and [Handler] runs a worker as a Lambda function.
// It knows nothing of orders.
//
// To add a job, write a Worker. SQS delivers at least once and in no order, so a worker
// must stand a message that comes twice, late, or before what it speaks of is there.
package job

import (
	"context"
	"log/slog"
	"time"
)

// Worker handles messages. Handle is called concurrently, once for each message of a batch,
// and returns before the context's deadline, which is the invocation's.
type Worker interface {
	Handle(ctx context.Context, d Delivery) Verdict
}

// Delivery is one message as it reached a worker.
type Delivery struct {
	Body string
	// SentAt is when it was first sent.
	SentAt time.Time
	// ReceiveCount is 1 at the first receive.
	ReceiveCount int
}

// Verdict is what a worker made of a message.
type Verdict struct {
	// Next is what becomes of the message.
	Next Next
	// After is, for [Again], how long the message rests, at most 12 hours. It is rounded
	// up to whole seconds.
	After time.Duration
	// Result names in a word what happened, for the log: one of the job's own, or
	// [ResultError] or [ResultPoison].
	Result string
	// Err is set if something failed, for the log.
	Err error
	// Attrs say what the message was about, for the log.
	Attrs []slog.Attr
}

// Next is what becomes of a message that a worker has handled.
type Next int

const (
	// Later redelivers the message when its visibility timeout ends.
	Later Next = iota
	// Again redelivers it after Verdict.After.
	Again
	// Done deletes it.
	Done
)

// Results that any worker has.
const (
	ResultError  = "error"  // by a fault on this side; a panic is one, too
	ResultPoison = "poison" // no message that this worker can read, now or later
)

// maxBackoff keeps retries well below the 12 hours for which SQS can hide a message.
const maxBackoff = 15 * time.Minute

// Backoff returns how long a message rests after its n-th receive: exponential from one
// second, with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog), in
// the whole seconds that SQS counts in, and at least one. Jitter returns a number from 0
// to n-1, for n > 0.
func Backoff(receives int, jitter func(n int) int) time.Duration {
	const doublings = 10 // 2^10 s is past maxBackoff
	ceiling := min(time.Second<<min(max(receives-1, 0), doublings), maxBackoff)
	return time.Duration(1+jitter(int(ceiling/time.Second))) * time.Second
}

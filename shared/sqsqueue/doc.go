// Package sqsqueue is a [queue.Queue] on Amazon SQS: one standard queue, by its URL. The
// semantics are SQS's own; this package only translates words and errors.
//
// It has two sorts of caller. A Lambda function sends a message, or changes when one comes
// back, and has a caller of its own who waits: those calls get a few short tries. A poller
// receives and deletes, and has time: a try that is under way is left alone for long,
// since what SQS was about to hand over would be lost until its visibility timeout.
//
// All calls are retried where that may help, with jitter, within the caller's deadline. A
// message whose first try was stored and only its answer lost is then sent twice; a queue
// that delivers at least once has such messages anyway. Errors that a later call may not
// meet wrap [order.ErrUnavailable].
package sqsqueue

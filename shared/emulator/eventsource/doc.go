// Package eventsource polls a queue for a function, as Lambda's event source mapping
// for SQS does. [New] makes the poller of one mapping, and [Poller.Run] polls until
// its context ends. The queue itself is behind the port [Source].
//
// # A batch's way
//
// A receiver takes a slot of the mapping's concurrency, and only then receives: what
// it can't hand on stays in the queue, unreceived (concurrency.go). Records that the
// mapping's filters leave out are deleted. The rest make a batch: without a window
// whatever one receive gave, with one what comes until the window ends, the batch is
// full, or it weighs 6 MB (gather.go). The batch goes to the function in a goroutine
// of its own, which holds the slot; then the records that succeeded are deleted
// (poller.go, result.go).
//
// A record that failed is left alone. Nothing makes it visible: it comes back when
// the visibility timeout of its receive ends, unless the function itself changed
// that through the receipt handle. What a queue does with it after too many receives
// is the queue's affair.
//
// # Concurrency
//
// With MaximumConcurrency that is the cap. Without, there are at first 5 batches at a
// time, and under load 5 more each second up to 1,250. Function errors halve what is
// allowed, and it grows back the same way; single records that a function reports
// do not count as errors.
package eventsource

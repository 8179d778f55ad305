// Package eventsource polls a queue for a function, as Lambda's event source mappings for
// SQS do. [New] returns the poller of one mapping, and [Poller.Run] polls until its
// context ends.
//
// # What happens to a batch
//
// A receiver acquires a slot of the mapping's concurrency, and only then receives: what
// it can't hand on stays in the queue, unreceived (concurrency.go). Records that no filter
// of the mapping matches are deleted. The others form a batch: without a window what one
// receive returned, with a window what arrives until it ends, the batch is full, or it
// weighs 6 MB (gather.go). The batch goes to the function in a goroutine of its own, which
// holds the slot; then the records that succeeded are deleted (poller.go, result.go).
//
// A record that failed is left alone. It comes back when the visibility timeout of its
// receive ends, unless the function itself changed that through the receipt handle. What
// happens to it after too many receives is up to the queue.
//
// # Concurrency
//
// MaximumConcurrency is the cap, if there is one. Otherwise a mapping begins with 5
// batches at a time, and under load grows by 5 each second up to 1,250. Function errors
// halve what is allowed, and it grows back the same way; single records that a function
// reports as failed do not count as errors.
package eventsource

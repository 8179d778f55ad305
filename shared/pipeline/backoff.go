package pipeline

import "time"

// maxBackoff keeps retries well below the 12 hours that SQS can hide a message.
const maxBackoff = 15 * time.Minute

// backoff is how long a message rests after its n-th receive: exponential from one
// second, with full jitter ("Exponential Backoff And Jitter", AWS Architecture
// Blog), in the whole seconds that a queue counts in, and at least one.
func backoff(receives int, jitter func(n int) int) time.Duration {
	const doublings = 10 // 2^10 s is past maxBackoff
	ceiling := min(time.Second<<min(max(receives-1, 0), doublings), maxBackoff)
	return time.Duration(1+jitter(int(ceiling/time.Second))) * time.Second
}

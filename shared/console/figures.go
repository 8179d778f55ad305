package console

import (
	"context"
	"time"

	"paylane/shared/order"
)

// Board has the figures of the whole system for the last 15 minutes, second by second. Its methods
// are called concurrently.
type Board interface {
	// Seconds returns those that ended after a time, oldest first.
	Seconds(after time.Time) []Second
	// Wait returns once a second has ended after that time. The error says that none will be
	// waited for: the context's, or that the program ends.
	Wait(ctx context.Context, after time.Time) error
}

// Second is the figures of one second. What is in it is never changed.
type Second struct {
	// At is when it ended.
	At time.Time
	// Accepted to Failed say how often that happened within the second, as the metrics of these
	// names do.
	Accepted, Paid, Declined, Unavailable, Unknown, Misconfigured, GaveUp, Failed int
	// P50 and P99 are percentiles of the time to PAID of orders that became PAID in the ten
	// seconds up to At, whose number is Timed.
	P50, P99 time.Duration
	Timed    int
	// Orders is how many there are in each status; nil while they are being counted.
	Orders map[order.Status]int
	Queues []QueueFigures
}

// QueueFigures is a queue at the end of a second.
type QueueFigures struct {
	Name string
	// DeadLetters says that it is the dead-letter queue of another, or that nothing is invoked with
	// its messages.
	DeadLetters                bool
	Visible, InFlight, Delayed int
	// Oldest is how long ago its oldest message was sent; 0 without one.
	Oldest time.Duration
}

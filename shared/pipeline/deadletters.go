package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"paylane/shared/job"
	"paylane/shared/order"
)

// poisonPause is how long a message that this build can't read rests in the dead-letter queue
// before it is looked at again. It is kept for a person, or for a newer build, until the
// queue's retention ends.
const poisonPause = time.Hour

// unattemptedFor is how long a round may wait for its first attempt, or for another after one
// that the gateway would not take from this side. A message that was received many times
// within that goes back to the payment queue: a lack of concurrency decides no order, nor does
// a wrong API key.
const unattemptedFor = 24 * time.Hour

// DeadLetters is the [job.Worker] that finishes what [Payments] could not: it asks the gateway
// what became of the charge and settles the order from the answer. It never charges; an order
// that could not be attempted it gives back to Payments, for a day. A refund that was promised it
// still makes. While the gateway can't say, the message stays.
type DeadLetters struct {
	worker
	payments Sender
}

// NewDeadLetters returns a worker for the dead-letter queue; payments is the queue of
// [Payments].
func NewDeadLetters(c WorkerConfig, payments Sender) *DeadLetters {
	return &DeadLetters{worker: worker{c}, payments: payments}
}

// Handle handles one message of the dead-letter queue.
func (l *DeadLetters) Handle(ctx context.Context, d job.Delivery) job.Verdict {
	m, err := order.ParseMessage(d.Body)
	if err != nil {
		return job.Verdict{Next: job.Again, After: poisonPause, Result: job.ResultPoison, Err: err}
	}
	if verdict := l.giveBack(ctx, m); verdict != nil {
		return *verdict
	}
	h, verdict := l.take(ctx, m, d, l.hold)
	if verdict != nil {
		return *verdict
	}
	return l.work(ctx, h, d, m.Kind == order.KindCharge)
}

// giveBack sends the message of an order that waits for an attempt to the payment queue again,
// or returns nil if it is not about such an order, or has waited for too long. The gateway is
// not asked: that would close the order's key.
func (l *DeadLetters) giveBack(ctx context.Context, m order.Message) *job.Verdict {
	if m.Kind != order.KindCharge {
		return nil
	}
	o, err := l.Store.Get(ctx, m.Ref)
	switch {
	case errors.Is(err, order.ErrNotFound):
		return nil
	case err != nil:
		return l.unclaimed(m, fmt.Errorf("look at the order: %w", err))
	}
	now := l.Now()
	// A PENDING order last changed when its round began.
	if o.Status != order.Pending && !o.Refused() || o.Round != m.Round || now.Sub(o.UpdatedAt) >= unattemptedFor {
		return nil
	}
	if _, err := l.payments.Send(ctx, m.Encode(), 0); err != nil {
		return l.unclaimed(m, fmt.Errorf("send the message to the payment queue again: %w", err))
	}
	return verdict(m.Ref, job.Verdict{Next: job.Done, Result: ResultReturned})
}

// hold takes over the order as it is; a refund it claims for one more attempt.
func (l *DeadLetters) hold(ctx context.Context, m order.Message, c order.Claim) (held, error) {
	if m.Kind == order.KindRefund {
		return l.begin(ctx, m, c)
	}
	o, err := l.Store.Get(ctx, m.Ref)
	if err != nil {
		return held{}, err
	}
	return l.takeOver(ctx, o, c)
}

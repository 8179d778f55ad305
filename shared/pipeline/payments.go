package pipeline

import (
	"context"
	"errors"
	"time"

	"paylane/shared/job"
	"paylane/shared/order"
)

// Payments is the [job.Worker] of the payment queue. It holds no state and may be used
// concurrently.
type Payments struct {
	worker
}

// NewPayments returns a worker for the payment queue.
func NewPayments(c WorkerConfig) *Payments { return &Payments{worker{c}} }

// Handle claims the message's order, asks the gateway, and settles or releases the order. It
// returns by about the context's deadline.
func (p *Payments) Handle(ctx context.Context, d job.Delivery) job.Verdict {
	m, err := order.ParseMessage(d.Body)
	if err != nil {
		// It gets no better, so let it reach the dead-letter queue soon, but without a storm:
		// the queue allows many receives.
		return job.Verdict{Next: job.Again, After: time.Second, Result: job.ResultPoison, Err: err}
	}
	h, verdict := p.take(ctx, m, d, p.hold)
	if verdict != nil {
		return *verdict
	}
	return p.work(ctx, h, d, false)
}

// hold claims the order for one more attempt, in one write, or takes it over if its attempts
// are used up.
func (p *Payments) hold(ctx context.Context, m order.Message, c order.Claim) (held, error) {
	h, err := p.begin(ctx, m, c)
	var conflict *order.ConflictError
	if errors.As(err, &conflict) {
		if _, refused := conflict.Current.Claimed(c); errors.Is(refused, order.ErrNoAttemptLeft) {
			return p.takeOver(ctx, conflict.Current, c)
		}
	}
	return h, err
}

package pipeline

import (
	"context"
	"time"

	"paylane/shared/job"
	"paylane/shared/order"
)

// poisonPause is how long a message that this build can't read rests in the dead-letter queue
// before it is looked at again. It is kept for a person, or for a newer build, until the
// queue's retention ends.
const poisonPause = time.Hour

// DeadLetters is the [job.Worker] that finishes what [Payments] could not: it asks the gateway
// what became of the charge and settles the order from the answer. It never charges. A refund
// that was promised it still makes. While the gateway can't say, the message stays.
type DeadLetters struct {
	worker
}

// NewDeadLetters returns a worker for the dead-letter queue.
func NewDeadLetters(c WorkerConfig) *DeadLetters { return &DeadLetters{worker{c}} }

// Handle handles one message of the dead-letter queue.
func (l *DeadLetters) Handle(ctx context.Context, d job.Delivery) job.Verdict {
	m, err := order.ParseMessage(d.Body)
	if err != nil {
		return job.Verdict{Next: job.Again, After: poisonPause, Result: job.ResultPoison, Err: err}
	}
	h, verdict := l.take(ctx, m, d, l.hold)
	if verdict != nil {
		return *verdict
	}
	return l.work(ctx, h, d, m.Kind == order.KindCharge)
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

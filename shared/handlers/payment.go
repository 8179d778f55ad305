package handlers

import (
	"context"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/handlers/internal/environ"
	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/telemetry"
)

type paymentEnvironment struct {
	Orders   environ.OrdersTable
	Payments environ.PaymentQueue
	Gateway  environ.PaymentGateway
	// Attempts and Patience are an [order.Limits]: an order that the gateway is known not to
	// have charged FAILED once there were that many attempts, and that many seconds have
	// passed since the first.
	Attempts environ.Positive `env:"MAX_ATTEMPTS" envDefault:"3"`
	Patience environ.Seconds  `env:"PATIENCE" envDefault:"0"`
}

// SQSHandler is a Lambda handler behind an SQS event source mapping.
type SQSHandler = func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)

// Payment returns the handler of the payment function: it charges orders and makes refunds.
func Payment(environment map[string]string, s Services) (SQSHandler, error) {
	e, err := environ.Parse[paymentEnvironment](environment)
	if err != nil {
		return nil, err
	}
	s = s.measured()
	worker, err := s.worker(e.Orders, e.Gateway)
	if err != nil {
		return nil, err
	}
	worker.Limits = order.Limits{Attempts: int(e.Attempts), Patience: time.Duration(e.Patience)}
	worker.Patience = s.Patience
	return s.job(pipeline.NewPayments(worker), e.Payments.Variable(), e.Payments.URL)
}

// worker returns what the workers on the payment queues need.
func (s Services) worker(orders environ.OrdersTable, gateway environ.PaymentGateway) (pipeline.WorkerConfig, error) {
	opened, err := s.Gateway(gateway.Name)
	if err != nil {
		return pipeline.WorkerConfig{}, err
	}
	return pipeline.WorkerConfig{
		Store: s.Store(orders.Name), Gateway: opened, ReusesTokens: opened.Describe().Reused,
		Now: s.Now, Jitter: s.Jitter, Observe: observe,
	}, nil
}

// job returns the handler of a worker on the queue whose URL a variable has.
func (s Services) job(w job.Worker, variable, url string) (SQSHandler, error) {
	queue, err := s.queue(variable, url)
	if err != nil {
		return nil, err
	}
	return observed(s.Telemetry, job.Handler(job.Config{
		Worker: w, Queue: queue, Now: s.Now, Log: s.Log,
		Failed: func(ctx context.Context) { telemetry.From(ctx).Count(telemetry.Failed) },
		Begin:  s.message(url),
	})), nil
}

// unresolvedAfter is how long the gateway may leave open what it did, or a refund undone, until
// that is counted as unresolved.
const unresolvedAfter = 15 * time.Minute

// observe counts what came of an attempt.
func observe(ctx context.Context, a pipeline.Attempted) {
	i := telemetry.From(ctx)
	switch a.Outcome {
	case order.OutcomeApproved:
		if a.Kind == order.KindCharge {
			i.Count(telemetry.Paid)
			i.Time(telemetry.TimeToPaid, a.Order.UpdatedAt.Sub(a.Order.CreatedAt))
		}
	case order.OutcomeDeclined:
		i.Count(telemetry.Declined)
	case order.OutcomeUnavailable:
		i.Count(telemetry.Unavailable)
	case order.OutcomeUnknown:
		i.Count(telemetry.Unknown)
	case order.OutcomePending:
	}
	if a.Misconfigured {
		i.Count(telemetry.Misconfigured)
	}
	if a.Order.Status == order.Failed && a.Outcome != order.OutcomeDeclined {
		i.Count(telemetry.GaveUp)
	}
	undone := a.Outcome == order.OutcomeUnknown || a.Outcome == order.OutcomeUnavailable && a.Kind == order.KindRefund
	if undone && a.Order.UpdatedAt.Sub(a.Order.Leg(a.Kind).Since) >= unresolvedAfter {
		i.Count(telemetry.Unresolved)
	}
}

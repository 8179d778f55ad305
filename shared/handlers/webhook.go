package handlers

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/handlers/internal/environ"
	"paylane/shared/order"
	"paylane/shared/telemetry"
	"paylane/shared/webhook"
)

// webhookEnvironment is that of both functions.
type webhookEnvironment struct {
	Orders   environ.OrdersTable
	Webhooks environ.WebhookQueue
}

// TableStreamHandler is a Lambda handler behind an event source mapping of a table's stream.
type TableStreamHandler = func(context.Context, events.DynamoDBEvent) (events.DynamoDBEventResponse, error)

// Fanout returns the handler of the fanout function: it sends a message for each event of an order
// and each webhook.
func Fanout(environment map[string]string, s Services) (TableStreamHandler, error) {
	e, err := environ.Parse[webhookEnvironment](environment)
	if err != nil {
		return nil, err
	}
	s = s.measured()
	queue, err := s.queue(e.Webhooks.Variable(), e.Webhooks.URL)
	if err != nil {
		return nil, err
	}
	f := fanout{Services: s, to: webhook.NewFanout(webhook.FanoutConfig{Documents: s.Store(e.Orders.Name), Queue: queue})}
	return observed(s.Telemetry, f.handle), nil
}

type fanout struct {
	Services
	to *webhook.Fanout
}

// handle reports the first record that failed; what follows it comes again, too ("Configuring
// partial batch response with DynamoDB and Lambda").
func (f fanout) handle(ctx context.Context, event events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
	batch, sent := f.to.Batch(), 0
	response := events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{}}
	for _, r := range event.Records {
		n, err := f.record(ctx, batch, r)
		sent += n
		if err != nil {
			telemetry.From(ctx).Count(telemetry.Failed)
			f.Log.ErrorContext(ctx, "a change was not told to webhooks", "event_id", r.EventID, "sequence_number", r.Change.SequenceNumber, "error", err)
			response.BatchItemFailures = append(response.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: r.Change.SequenceNumber})
			break
		}
	}
	telemetry.From(ctx).Annotate(slog.Int("records", len(event.Records)), slog.Int("sent", sent))
	return response, nil
}

func (f fanout) record(ctx context.Context, batch *webhook.Batch, r events.DynamoDBEventRecord) (sent int, err error) {
	var before, after order.Order
	if len(r.Change.NewImage) == 0 {
		return 0, nil // deleted
	}
	if after, err = f.Image(r.Change.NewImage); err != nil {
		return 0, fmt.Errorf("read the new image: %w", err)
	}
	if len(r.Change.OldImage) > 0 {
		if before, err = f.Image(r.Change.OldImage); err != nil {
			return 0, fmt.Errorf("read the old image: %w", err)
		}
	}
	return batch.Changed(ctx, before, after)
}

// Webhook returns the handler of the webhook function: it posts events.
func Webhook(environment map[string]string, s Services) (SQSHandler, error) {
	e, err := environ.Parse[webhookEnvironment](environment)
	if err != nil {
		return nil, err
	}
	s = s.measured()
	worker := webhook.NewWorker(webhook.WorkerConfig{Documents: s.Store(e.Orders.Name), Poster: s.Webhooks, Now: s.Now, Jitter: s.Jitter})
	return s.job(worker, e.Webhooks.Variable(), e.Webhooks.URL)
}

// Package sqsevent turns Lambda's SQS event into calls of a worker, and their
// verdicts into the batch response. It holds no business rule.
//
// The records of a batch are worked on side by side, each for itself: one that
// fails, or panics, is reported alone ("Handling errors for an SQS event source in
// Lambda", ReportBatchItemFailures), and comes back when its worker wants it to, by
// ChangeMessageVisibility.
package sqsevent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/telemetry"
)

// Worker handles one message; pipeline.Payments and pipeline.DeadLetters are workers.
type Worker interface {
	Handle(ctx context.Context, d pipeline.Delivery) pipeline.Verdict
}

// Visibility is the part of queue.Queue that decides when a message comes back.
type Visibility interface {
	ChangeVisibility(ctx context.Context, receiptHandle string, timeout time.Duration) error
}

// Config is what [Handler] needs. All fields but Telemetry are required.
type Config struct {
	Worker Worker
	// Queue is the one that the event's records come from.
	Queue Visibility
	Now   func() time.Time
	Log   *slog.Logger
	// Telemetry gets what came of each message; nil is none.
	Telemetry *telemetry.Recorder
}

// Handler makes the Lambda handler of a queue. It never returns an error, which
// would fail the whole batch.
func Handler(c Config) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	return func(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
		ctx, end := c.Telemetry.Begin(ctx)
		defer end()
		done := make([]bool, len(event.Records))
		var others sync.WaitGroup
		for i := 1; i < len(event.Records); i++ {
			others.Go(func() { done[i] = c.record(ctx, &event.Records[i]) })
		}
		// The first needs no goroutine of its own, and often it is the only one.
		if len(event.Records) > 0 {
			done[0] = c.record(ctx, &event.Records[0])
		}
		others.Wait()
		response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
		for i, ok := range done {
			if !ok {
				response.BatchItemFailures = append(response.BatchItemFailures,
					events.SQSBatchItemFailure{ItemIdentifier: event.Records[i].MessageId})
			}
		}
		return response, nil
	}
}

// record works on one message and tells whether it is done with.
func (c Config) record(ctx context.Context, r *events.SQSMessage) bool {
	d := c.delivery(r)
	v := c.handle(ctx, d)
	c.log(ctx, r, d, v)
	count(telemetry.From(ctx), v)
	if v.Done || v.RetryAfter < 0 {
		return v.Done
	}
	// Whole seconds, rounded up: too early is a wasted receive.
	timeout := (v.RetryAfter + time.Second - 1).Truncate(time.Second)
	if err := c.Queue.ChangeVisibility(ctx, r.ReceiptHandle, timeout); err != nil {
		// The message comes back all the same, when its visibility timeout ends.
		c.Log.WarnContext(ctx, "could not set when a message comes back",
			"message_id", r.MessageId, "timeout", timeout, "error", err)
	}
	return false
}

// count counts what the gateway said, and what failed by a fault of ours.
func count(told *telemetry.Invocation, v pipeline.Verdict) {
	switch {
	case v.Err != nil && v.Result != pipeline.ResultPoison:
		told.Count(telemetry.Failed)
	case v.Outcome == order.OutcomeApproved && v.Result == strings.ToLower(string(order.Paid)):
		told.Count(telemetry.Paid)
		told.Time(telemetry.TimeToPaid, v.Age)
	case v.Outcome == order.OutcomeDeclined:
		told.Count(telemetry.Declined)
	case v.Outcome == order.OutcomeUnavailable:
		told.Count(telemetry.Unavailable)
	case v.Outcome == order.OutcomeUnknown:
		told.Count(telemetry.Unknown)
	}
}

// handle contains a panic to the record that caused it.
func (c Config) handle(ctx context.Context, d pipeline.Delivery) (v pipeline.Verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = pipeline.Verdict{
				Result: pipeline.ResultError, RetryAfter: -1,
				Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack()),
			}
		}
	}()
	return c.Worker.Handle(ctx, d)
}

// delivery reads what a worker must know of a record. Attributes that SQS always
// sets may be missing from an event written by hand.
func (c Config) delivery(r *events.SQSMessage) pipeline.Delivery {
	d := pipeline.Delivery{Body: r.Body, SentAt: c.Now(), ReceiveCount: 1}
	if ms, err := strconv.ParseInt(r.Attributes["SentTimestamp"], 10, 64); err == nil {
		d.SentAt = time.UnixMilli(ms)
	}
	if n, err := strconv.Atoi(r.Attributes["ApproximateReceiveCount"]); err == nil {
		d.ReceiveCount = n
	}
	return d
}

func (c Config) log(ctx context.Context, r *events.SQSMessage, d pipeline.Delivery, v pipeline.Verdict) {
	level := slog.LevelInfo
	if v.Err != nil {
		level = slog.LevelError
	}
	if !c.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("result", v.Result),
		slog.String("tenant", v.Ref.Tenant),
		slog.String("order_id", v.Ref.ID),
		slog.String("message_id", r.MessageId),
		slog.Int("receive_count", d.ReceiveCount),
	}
	if !v.Done {
		attrs = append(attrs, slog.Duration("retry_after", v.RetryAfter))
	}
	if v.Err != nil {
		attrs = append(attrs, slog.Any("error", v.Err))
	}
	c.Log.LogAttrs(ctx, level, "message", attrs...)
}

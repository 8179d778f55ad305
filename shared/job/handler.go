package job

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// Visibility sets when a message comes back.
type Visibility interface {
	// ChangeVisibility hides the message of a receipt handle until timeout from now, in
	// whole seconds; 0 shows it at once.
	ChangeVisibility(ctx context.Context, receiptHandle string, timeout time.Duration) error
}

// Config is what [Handler] needs. All fields down to Log are required.
type Config struct {
	Worker Worker
	// Queue is the one that the event's records come from.
	Queue Visibility
	Now   func() time.Time
	Log   *slog.Logger
	// Failed is called for each message whose verdict is [ResultError], panics included.
	Failed func(context.Context)
	// Begin is called before a message is handled, and returns the context for that. End is
	// called with what came of it.
	Begin func(ctx context.Context, r *events.SQSMessage) (_ context.Context, end func(Verdict))
}

// Handler returns the Lambda handler of a queue with ReportBatchItemFailures. It never
// returns an error, which would fail the whole batch: the records are handled side by
// side, each on its own, and one that is not done, or whose worker panics, is reported
// alone ("Handling errors for an SQS event source in Lambda"). It comes back when its
// worker wants it to, by ChangeMessageVisibility.
func Handler(c Config) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	return func(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
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

// record handles one message and reports whether it is done.
func (c Config) record(ctx context.Context, r *events.SQSMessage) (done bool) {
	d := c.delivery(r)
	end := func(Verdict) {}
	if c.Begin != nil {
		ctx, end = c.Begin(ctx, r)
	}
	v := c.handle(ctx, d)
	defer end(v)
	c.log(ctx, r, d, v)
	if v.Result == ResultError && c.Failed != nil {
		c.Failed(ctx)
	}
	if v.Next == Again {
		// Rounded up: a message that comes too early is a wasted receive.
		timeout := (v.After + time.Second - 1).Truncate(time.Second)
		if err := c.Queue.ChangeVisibility(ctx, r.ReceiptHandle, timeout); err != nil {
			// The message comes back all the same, when its visibility timeout ends.
			c.Log.WarnContext(ctx, "could not set when a message comes back",
				"message_id", r.MessageId, "timeout", timeout, "error", err)
		}
	}
	return v.Next == Done
}

// handle contains a panic to the record that caused it.
func (c Config) handle(ctx context.Context, d Delivery) (v Verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = Verdict{Result: ResultError, Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	return c.Worker.Handle(ctx, d)
}

// delivery reads what a worker must know of a record. Attributes that SQS always sets may
// be missing from an event written by hand.
func (c Config) delivery(r *events.SQSMessage) Delivery {
	d := Delivery{Body: r.Body, SentAt: c.Now(), ReceiveCount: 1}
	if ms, err := strconv.ParseInt(r.Attributes["SentTimestamp"], 10, 64); err == nil {
		d.SentAt = time.UnixMilli(ms)
	}
	if n, err := strconv.Atoi(r.Attributes["ApproximateReceiveCount"]); err == nil {
		d.ReceiveCount = n
	}
	return d
}

func (c Config) log(ctx context.Context, r *events.SQSMessage, d Delivery, v Verdict) {
	level := slog.LevelInfo
	if v.Err != nil {
		level = slog.LevelError
	}
	if !c.Log.Enabled(ctx, level) {
		return
	}
	attrs := append([]slog.Attr{slog.String("result", v.Result)}, v.Attrs...)
	attrs = append(attrs, slog.String("message_id", r.MessageId), slog.Int("receive_count", d.ReceiveCount))
	if v.Next == Again {
		attrs = append(attrs, slog.Duration("retry_after", v.After))
	}
	if v.Err != nil {
		attrs = append(attrs, slog.Any("error", v.Err))
	}
	c.Log.LogAttrs(ctx, level, "message", attrs...)
}

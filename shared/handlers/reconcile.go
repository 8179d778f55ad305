package handlers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/handlers/internal/environ"
	"paylane/shared/pipeline"
	"paylane/shared/telemetry"
)

// maxInvocations ends a walk that is not done after that many. At a quarter of an hour each,
// it has then taken a day, and the next night's walk begins.
const maxInvocations = 100

// errNoTime ends a walk that would go on forever.
var errNoTime = errors.New("the function's timeout is too short, or ratePerSecond too low")

type reconcileEnvironment struct {
	Orders environ.OrdersTable
	// QueueURL is the function's own: what one invocation has no time for comes back by it.
	QueueURL string `env:"RECONCILE_QUEUE_URL,required,notEmpty"`
	Gateway  environ.PaymentGateway
	// Days is how far back the orders lie that a scheduled run visits, by creation.
	Days environ.Positive `env:"RECONCILE_DAYS" envDefault:"35"`
	// Rate is how often the gateway is asked per second, unless the event says otherwise.
	Rate environ.Positive `env:"RECONCILE_RATE" envDefault:"50"`
	// StuckAfter is how long an open order rests before it is settled from the gateway's
	// answer: longer than any backlog of payments that is still to be worked off.
	StuckAfter time.Duration `env:"RECONCILE_STUCK_AFTER" envDefault:"24h"`
}

// ReconcileResult is the answer to an invocation by hand or by the schedule. Unless Done,
// the walk goes on in other invocations, and the last of them logs the whole report.
type ReconcileResult struct {
	Done   bool                     `json:"done"`
	Apply  bool                     `json:"apply"`
	Report pipeline.ReconcileReport `json:"report"`
}

// ReconcileHandler is a Lambda handler of several kinds of events.
type ReconcileHandler = func(context.Context, json.RawMessage) (any, error)

// Reconcile returns the handler of the reconcile function, which compares all orders with
// what the gateway says of them. It takes
//
//   - an event of EventBridge Scheduler: a run that settles, over the last RECONCILE_DAYS;
//   - an SQS event of its own queue, to go on, with a batch response
//     (ReportBatchItemFailures), or an error if no record could be handled; the batch size
//     should be 1, for each record takes an invocation's whole time;
//   - by hand {"from", "to", "apply", "ratePerSecond", "stuckAfter"}, all of them optional:
//     a dry run over all orders unless "apply" is true. The last is a duration such as "90m".
//
// A walk that is not done after a hundred invocations is given up. The metric
// [telemetry.Reconciled] counts the scheduled ones that are done.
func Reconcile(environment map[string]string, s Services) (ReconcileHandler, error) {
	e, err := environ.Parse[reconcileEnvironment](environment)
	if err != nil {
		return nil, err
	}
	s = s.measured()
	queue, err := s.queue("RECONCILE_QUEUE_URL", e.QueueURL)
	if err != nil {
		return nil, err
	}
	opened, err := s.Gateway(e.Gateway.Name)
	if err != nil {
		return nil, err
	}
	r := reconciler{queue: queue, log: s.Log, pipeline: pipeline.NewReconciler(pipeline.ReconcilerConfig{
		Store: s.Store(e.Orders.Name), Gateway: opened, ReusesTokens: opened.Describe().Reused, Now: s.Now, StuckAfter: e.StuckAfter,
		Found: func(ctx context.Context, f pipeline.Finding) { logFinding(ctx, s.Log, f) },
	})}
	return observed(s.Telemetry, func(ctx context.Context, event json.RawMessage) (any, error) {
		var kind struct {
			Records json.RawMessage
			Source  string
		}
		_ = json.Unmarshal(event, &kind) // what is none of these is by hand, and refused there
		if kind.Records != nil {
			return r.resume(ctx, event)
		}
		var state pipeline.ReconcileState
		var err error
		if kind.Source == "aws.scheduler" {
			from := s.Now().UTC().AddDate(0, 0, -int(e.Days))
			state = pipeline.NewReconcileState(from, time.Time{}, true, int(e.Rate))
			state.Nightly = true
		} else {
			state, err = byHand(event, int(e.Rate))
		}
		var result ReconcileResult
		if err == nil {
			result, err = r.run(ctx, state)
		}
		if err != nil { // nobody may be waiting for the answer
			r.log.ErrorContext(ctx, "could not reconcile", "error", err)
		}
		return result, err
	}), nil
}

// byHand reads what a person asks for.
func byHand(event json.RawMessage, rate int) (pipeline.ReconcileState, error) {
	ask := struct {
		From          time.Time `json:"from"`
		To            time.Time `json:"to"`
		Apply         bool      `json:"apply"`
		RatePerSecond int       `json:"ratePerSecond"`
		StuckAfter    string    `json:"stuckAfter"`
	}{RatePerSecond: rate, StuckAfter: "0s"}
	decoder := json.NewDecoder(bytes.NewReader(event))
	decoder.DisallowUnknownFields()
	if !bytes.HasPrefix(bytes.TrimSpace(event), []byte("{")) {
		return pipeline.ReconcileState{}, errors.New("reconcile: the event must be a JSON object")
	}
	if err := decoder.Decode(&ask); err != nil {
		return pipeline.ReconcileState{}, fmt.Errorf("reconcile: the event may have from and to (RFC 3339), "+
			"apply (true or false), ratePerSecond (a number) and stuckAfter (a duration): %w", err)
	}
	state := pipeline.NewReconcileState(ask.From, ask.To, ask.Apply, ask.RatePerSecond)
	var err error
	if state.StuckAfter, err = time.ParseDuration(ask.StuckAfter); err != nil {
		return state, fmt.Errorf("reconcile: stuckAfter must be a duration such as 90m or 24h: %w", err)
	}
	return state, state.Check()
}

type reconciler struct {
	queue    pipeline.Sender
	log      *slog.Logger
	pipeline *pipeline.Reconciler
}

// resume goes on with the walks in a batch.
func (r reconciler) resume(ctx context.Context, event json.RawMessage) (any, error) {
	var batch events.SQSEvent
	if err := json.Unmarshal(event, &batch); err != nil {
		return nil, fmt.Errorf("reconcile: read the SQS event: %w", err)
	}
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for i := range batch.Records {
		record := &batch.Records[i]
		state, err := pipeline.ParseReconcileState(record.Body)
		if err == nil {
			_, err = r.run(ctx, state)
		}
		if err != nil {
			r.log.ErrorContext(ctx, "could not go on reconciling", "message_id", record.MessageId, "error", err)
			telemetry.From(ctx).Count(telemetry.Failed)
			response.BatchItemFailures = append(response.BatchItemFailures,
				events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
		}
	}
	// All of these come back either way, but what a response lists is not among Lambda's Errors.
	if failed := len(response.BatchItemFailures); failed > 0 && failed == len(batch.Records) {
		return nil, fmt.Errorf("reconcile: none of %d records could be handled; the log says why", failed)
	}
	return response, nil
}

// run walks as far as this invocation's time goes, and sends what is left to the queue.
// Should that fail, the invocation fails, and does all of it again when it is tried
// again; what is settled stays so.
func (r reconciler) run(ctx context.Context, state pipeline.ReconcileState) (ReconcileResult, error) {
	next, done, err := r.pipeline.Run(ctx, state)
	result := ReconcileResult{Done: done, Apply: next.Apply, Report: next.Report}
	if done {
		if next.Nightly {
			telemetry.From(ctx).Count(telemetry.Reconciled)
		}
		r.log.InfoContext(ctx, "reconciled", "from", next.From, "to", next.To, "apply", next.Apply, "report", next.Report)
		return result, nil
	}
	rest := next.Encode()
	switch {
	case rest == state.Encode():
		return result, fmt.Errorf("reconcile: no order could be visited: %w", cmp.Or(err, errNoTime))
	case err != nil:
		r.log.ErrorContext(ctx, "a part of the orders could not be read; it is tried again", "error", err)
	}
	next.Continued++
	if next.Continued >= maxInvocations {
		// As an error it would come back, and be given up again and again.
		r.log.ErrorContext(ctx, "reconciling took too many invocations and is given up: "+
			"raise RECONCILE_RATE, lower RECONCILE_DAYS, or ask for a shorter span", "report", next.Report)
		telemetry.From(ctx).Count(telemetry.Failed)
		return result, nil
	}
	if _, err := r.queue.Send(ctx, next.Encode(), 0); err != nil {
		return result, fmt.Errorf("reconcile: send what is left to do: %w", err)
	}
	r.log.InfoContext(ctx, "reconciling goes on in another invocation", "report", next.Report)
	return result, nil
}

// logFinding logs a finding. A difference is for a person to look at.
func logFinding(ctx context.Context, log *slog.Logger, f pipeline.Finding) {
	level, text := slog.LevelInfo, "finding"
	switch {
	case f.Kind.Difference():
		level, text = slog.LevelError, "the order and the gateway differ"
		telemetry.From(ctx).Count(telemetry.Differences)
	case f.Kind == pipeline.FindingError:
		level, text = slog.LevelError, "an order could not be settled"
	case f.Kind == pipeline.FindingUnknown, f.Kind == pipeline.FindingStuck:
		level = slog.LevelWarn
	case f.Settled == "failed":
		telemetry.From(ctx).Count(telemetry.GaveUp) // nothing is charged here, so nothing declined
	}
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("kind", string(f.Kind)),
		slog.Any("order", f.Order),
		slog.String("payment_ref", f.Order.PaymentRef),
		slog.String("refund_ref", f.Order.LastRefund().Ref),
		slog.String("gateway_ref", f.GatewayRef),
	}
	if f.Settled != "" {
		attrs = append(attrs, slog.String("settled", f.Settled))
	}
	if f.Err != nil {
		attrs = append(attrs, slog.Any("error", f.Err))
	}
	log.LogAttrs(ctx, level, text, attrs...)
}

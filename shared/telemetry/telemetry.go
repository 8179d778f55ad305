// Package telemetry reports what a Lambda function does: one line of JSON for each
// invocation, from which CloudWatch takes metrics and which people read as a log line, and
// what every other log line says about the invocation that it belongs to.
//
// The line is in the embedded metric format ("Specification: Embedded metric format",
// CloudWatch user guide): nothing calls PutMetricData. Metrics have one dimension, the
// stack. No line has a payment token, a card number, or any of a customer's data.
//
// Lines name the trace that they belong to. It goes on from function to function by X-Ray's
// header: see [WithTrace].
package telemetry

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"go.opentelemetry.io/otel/trace"
)

// Namespace is the namespace of all metrics, and Dimension their only dimension: its value
// is the stack's name, so that the stacks of one account don't mix.
const (
	Namespace = "paylane"
	Dimension = "Stack"
)

// Metric is the name of a metric.
type Metric string

// The metrics. All are counts but the last two, which are times in milliseconds: each
// value by itself, so that CloudWatch can compute percentiles.
const (
	Accepted      Metric = "Accepted"      // orders placed; replays don't count
	Paid          Metric = "Paid"          // orders that became PAID
	Declined      Metric = "Declined"      // charges and refunds that the gateway declined
	Unavailable   Metric = "Unavailable"   // attempts that the gateway did not act on
	Unknown       Metric = "Unknown"       // attempts whose outcome nobody knows yet
	Misconfigured Metric = "Misconfigured" // attempts that the gateway refused for this side's own fault
	GaveUp        Metric = "GaveUp"        // orders that FAILED without being declined
	Unresolved    Metric = "Unresolved"    // attempts that left open, long after the first, what the gateway did, or a refund undone
	Failed        Metric = "Failed"        // messages that could not be handled, and requests answered 500, by a fault on this side
	Differences   Metric = "Differences"   // ended orders that differ from the gateway's records
	Reconciled    Metric = "Reconciled"    // nightly walks over the orders that came to their end
	// TimeToAccept is from when API Gateway received a request that was Accepted until the
	// function had its answer: with any cold start.
	TimeToAccept Metric = "TimeToAccept"
	// TimeToPaid is from an order's creation until it was PAID.
	TimeToPaid Metric = "TimeToPaid"
)

// Metrics returns all of them, in the order in which a line has them.
func Metrics() []Metric {
	return []Metric{Accepted, Paid, Declined, Unavailable, Unknown, Misconfigured, GaveUp, Unresolved, Failed, Differences, Reconciled, TimeToAccept, TimeToPaid}
}

// Part is something that invocations wait for.
type Part string

// The parts, by the names of the fields that have the time spent there.
const (
	Gateway Part = "gateway_ms"
	Queue   Part = "queue_ms"
	Store   Part = "store_ms"
)

// maxValues is how many values of a metric one line may have.
const maxValues = 100

// Recorder writes the lines of one function, or hands on what they would say. A nil Recorder
// does neither.
type Recorder struct {
	out   io.Writer // nil without lines
	take  func(Tally)
	stack string
	now   func() time.Time
	warm  atomic.Bool
	mu    sync.Mutex // one line at a time
}

// NewRecorder returns a recorder that writes to out, which on Lambda is standard output.
func NewRecorder(out io.Writer, stack string, now func() time.Time) *Recorder {
	return &Recorder{out: out, stack: stack, now: now}
}

// Tally is what happened in one invocation. Metrics that did not are absent.
type Tally struct {
	Counts map[Metric]int
	Times  map[Metric][]int64 // milliseconds
}

// NewTallies returns a recorder that writes no lines: it hands the tally of each invocation to
// take, at its end. Take may be called concurrently, and holds up the invocation.
func NewTallies(take func(Tally)) *Recorder { return &Recorder{take: take} }

// Lines reports whether the recorder writes lines. Without them nobody sees what an invocation
// spent where, or its details.
func (r *Recorder) Lines() bool { return r != nil && r.out != nil }

// Invocation collects what is recorded about one invocation. Its methods may be called
// concurrently, and on nil.
type Invocation struct {
	cold    bool
	mu      sync.Mutex
	tally   Tally
	spent   map[Part]time.Duration
	details []slog.Attr
}

type invocationKey struct{}

// Begin starts an invocation and returns a context that carries it, see [From], and continues
// the trace that Lambda names. What is logged with that context names the invocation. Call end
// at its end.
func (r *Recorder) Begin(ctx context.Context) (_ context.Context, end func()) {
	ctx = WithTrace(ctx, invocationHeader(ctx))
	if r == nil {
		return ctx, func() {}
	}
	i := &Invocation{cold: !r.warm.Swap(true)}
	ctx = context.WithValue(ctx, invocationKey{}, i)
	return ctx, func() { r.end(ctx, i) }
}

// From returns the invocation that a context belongs to; nil if there is none.
func From(ctx context.Context) *Invocation {
	i, _ := ctx.Value(invocationKey{}).(*Invocation)
	return i
}

// Count adds one to a metric.
func (i *Invocation) Count(m Metric) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.tally.Counts == nil {
		i.tally.Counts = make(map[Metric]int)
	}
	i.tally.Counts[m]++
}

// Time adds a value to a metric that is a time.
func (i *Invocation) Time(m Metric, d time.Duration) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.tally.Times == nil {
		i.tally.Times = make(map[Metric][]int64)
	}
	i.tally.Times[m] = append(i.tally.Times[m], d.Milliseconds())
}

// Spend adds time that was spent on a part. Of calls side by side each counts: a batch may have
// spent more than it took.
func (i *Invocation) Spend(p Part, d time.Duration) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.spent == nil {
		i.spent = make(map[Part]time.Duration)
	}
	i.spent[p] += d
}

// Annotate adds details to the line: facts about the invocation, such as an order's id.
func (i *Invocation) Annotate(details ...slog.Attr) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.details = append(i.details, details...)
}

func (r *Recorder) end(ctx context.Context, i *Invocation) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.Lines() {
		r.write(ctx, i)
	}
	if r.take != nil {
		r.take(i.tally)
	}
}

// write writes the line. Counts that did not happen are written as 0, so that an alarm need
// not guess about what is missing.
func (r *Recorder) write(ctx context.Context, i *Invocation) {
	type definition struct{ Name, Unit string }
	line := map[string]any{"level": "INFO", "msg": "invocation", Dimension: r.stack}
	var metrics []definition
	for _, m := range Metrics() {
		switch times := i.tally.Times[m]; {
		case m != TimeToAccept && m != TimeToPaid:
			metrics = append(metrics, definition{string(m), "Count"})
			line[string(m)] = i.tally.Counts[m]
		case len(times) > 0:
			metrics = append(metrics, definition{string(m), "Milliseconds"})
			line[string(m)] = times[:min(len(times), maxValues)]
		}
	}
	for part, d := range i.spent {
		line[string(part)] = d.Round(time.Millisecond).Milliseconds()
	}
	for _, a := range append(facts(ctx, i), i.details...) {
		line[a.Key] = a.Value.Any()
	}
	line["_aws"] = map[string]any{
		"Timestamp": r.now().UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace": Namespace, "Dimensions": [][]string{{Dimension}}, "Metrics": metrics,
		}},
	}
	text, err := json.Marshal(line)
	if err != nil {
		return // a detail without a JSON form: the caller's mistake, and not worth an order
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.out.Write(append(text, '\n')) // there is nowhere to report that
}

// facts is what every line says about its invocation.
func facts(ctx context.Context, i *Invocation) []slog.Attr {
	var out []slog.Attr
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		out = append(out, slog.String("request_id", lc.AwsRequestID))
	}
	if c := trace.SpanContextFromContext(ctx); c.HasTraceID() {
		out = append(out, slog.String("trace_id", traceID(c)))
	}
	return append(out, slog.Bool("cold_start", i.cold))
}

// Handler returns a log handler that adds to each record what is known of its invocation.
func Handler(next slog.Handler) slog.Handler { return handler{next} }

type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if i := From(ctx); i != nil {
		r = r.Clone()
		r.AddAttrs(facts(ctx, i)...)
	}
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }

package streamsource_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator"
	"paylane/shared/emulator/streamsource"
	"paylane/shared/emulator/template"
	"paylane/shared/feed"
)

type (
	event    = events.DynamoDBEvent
	response = events.DynamoDBEventResponse
	failure  = events.DynamoDBBatchItemFailure
	mapping  = template.StreamMapping
)

const streamARN = "arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2026-01-01T00:00:00.000"

var function = template.Function{ARN: "arn:aws:lambda:us-east-1:123456789012:function:f", Timeout: 5 * time.Second}

// world is a mapping at work between a stream and a function, on a virtual clock.
type world struct {
	*stream
	t     *testing.T
	json  bool
	began time.Time
	stop  func() // returns when all that was under way is done
	// refused is how often the destination fails before it takes a record.
	refused int

	seenMu  sync.Mutex
	seen    []invocation
	givenUp []string // what the destination has
}

// invocation is one that the handler saw: when, and the values of the records.
type invocation struct {
	At     time.Duration
	Values string
}

// handle is a handler that gets the values of the records, separated by blanks.
type handle func(ctx context.Context, values string, e event) (response, error)

func succeed(context.Context, string, event) (response, error) { return response{}, nil }

// report returns the response that reports records.
func report(numbers ...string) response {
	var r response
	for _, n := range numbers {
		r.BatchItemFailures = append(r.BatchItemFailures, failure{ItemIdentifier: n})
	}
	return r
}

// bothModes runs a test on its own virtual clock, with typed events and through JSON.
func bothModes(t *testing.T, name string, test func(t *testing.T, w *world)) {
	for mode, json := range map[string]bool{" typed": false, " json": true} {
		t.Run(name+mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, json)
				w.split("", "s")
				test(t, w)
			})
		})
	}
}

func newWorld(t *testing.T, json bool) *world {
	w := &world{stream: newStream(), t: t, json: json, began: time.Now(), stop: func() {}}
	t.Cleanup(func() { w.stop() })
	return w
}

// enabled completes a mapping: it is enabled, and retries without end unless it says
// otherwise.
func enabled(m mapping) mapping {
	m.LogicalID, m.Enabled = "M", true
	if m.StartingPosition == "" {
		m.StartingPosition = "TRIM_HORIZON"
	}
	return m
}

// poll starts a poller. The handler is a handle, an [emulator.Invoker], or any that Lambda
// takes.
func (w *world) poll(m mapping, handler any) {
	w.t.Helper()
	if h, ok := handler.(handle); ok {
		handler = w.record(h)
	}
	invoker, ok := handler.(emulator.Invoker)
	if !ok {
		inProcess := emulator.NewInProcess(handler, emulator.Config{ARN: function.ARN, Timeout: function.Timeout, JSON: w.json})
		w.t.Cleanup(inProcess.Close)
		invoker = inProcess
	}
	w.stop = startPoller(w.t, m, w.stream, invoker, w.destination)
	w.t.Cleanup(w.stop)
}

// startPoller starts a poller, and returns how to stop it.
func startPoller(t *testing.T, m mapping, s feed.Stream, i emulator.Invoker, destination func(context.Context, string) error) (stop func()) {
	t.Helper()
	poller, err := streamsource.New(streamsource.Config{
		Mapping: enabled(m), Table: template.Table{StreamARN: streamARN}, Function: function, Stream: s, Invoker: i,
		OnFailure: destination,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		poller.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (w *world) destination(_ context.Context, body string) error {
	w.seenMu.Lock()
	defer w.seenMu.Unlock()
	if w.refused > 0 {
		w.refused--
		return errAway
	}
	w.givenUp = append(w.givenUp, body)
	return nil
}

func (w *world) record(h handle) func(context.Context, event) (response, error) {
	return func(ctx context.Context, e event) (response, error) {
		values := make([]string, len(e.Records))
		for i, r := range e.Records {
			values[i] = r.Change.NewImage["value"].String()
		}
		joined := strings.Join(values, " ")
		w.seenMu.Lock()
		w.seen = append(w.seen, invocation{time.Since(w.began), joined})
		w.seenMu.Unlock()
		return h(ctx, joined, e)
	}
}

// invocations returns those so far.
func (w *world) invocations() []invocation {
	w.seenMu.Lock()
	defer w.seenMu.Unlock()
	return slices.Clone(w.seen)
}

// batches returns the values of each invocation so far.
func (w *world) batches() []string {
	var batches []string
	for _, i := range w.invocations() {
		batches = append(batches, i.Values)
	}
	return batches
}

// sizes returns how many records each invocation had.
func (w *world) sizes() []int {
	var sizes []int
	for _, b := range w.batches() {
		sizes = append(sizes, len(strings.Fields(b)))
	}
	return sizes
}

// discarded returns what the destination has.
func (w *world) discarded() []string {
	w.seenMu.Lock()
	defer w.seenMu.Unlock()
	return slices.Clone(w.givenUp)
}

func (w *world) saved() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.checkpoints)
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

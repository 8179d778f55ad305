package eventsource_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	gocmp "github.com/google/go-cmp/cmp"

	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/template"
	"paylane/shared/queue"
)

type (
	event    = events.SQSEvent
	response = events.SQSEventResponse
	failure  = events.SQSBatchItemFailure
)

// backend is a sort of queue that mappings poll in tests, and how time passes there.
type backend struct {
	// open reads a template and makes its queues.
	open func(t *testing.T, source string) (parsed *template.Template, jobs, dead testQueue)
	// run runs a test; testing/synctest's Test gives it virtual time.
	run func(t *testing.T, test func(t *testing.T))
	// modes are the ways in which handlers get their events, by what they add to a
	// test's name: as JSON or typed.
	modes     map[string]bool
	receivers int
	// timeout is the function's.
	timeout time.Duration
	// visibility is the queue's visibility timeout in tests that wait for it.
	visibility time.Duration
	// late is how much later than due a message may be handed to the function.
	late time.Duration
	// idle is how long a poller waits before it gets something to do.
	idle time.Duration
	// differs are facts about SQS that do not hold here, each with the reason. A row
	// checks what does hold; a fact that holds after all fails it, and is to be taken off.
	differs map[string]string
}

// testQueue is a queue, and what only tests ask of it.
type testQueue interface {
	queue.Queue
	// left returns the number of its messages, visible or not.
	left(t *testing.T) int
	// startMoveTask begins to move its messages back to where they came from.
	startMoveTask(ctx context.Context) error
}

// setting is a test's template: a queue, its dead-letter queue and a function.
type setting struct {
	queue    string // properties, as the inside of a YAML flow mapping
	mapping  string
	function string
	// waits has the queue take the backend's visibility timeout, not SQS's default.
	waits bool
}

const (
	reporting = "FunctionResponseTypes: [ReportBatchItemFailures]"
	redrive2  = "RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}"
)

func (s setting) source(b backend) string {
	visibility := ""
	if s.waits {
		visibility = fmt.Sprintf("VisibilityTimeout: %v, ", b.visibility.Seconds())
	}
	return `
Transform: AWS::Serverless-2016-10-31
Resources:
  Dead: {Type: AWS::SQS::Queue, Properties: {QueueName: dead}}
  Jobs: {Type: AWS::SQS::Queue, Properties: {QueueName: jobs, ` + visibility + s.queue + `}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
      ` + cmp.Or(s.function, fmt.Sprintf("Timeout: %v", b.timeout.Seconds())) + `
      Events: {E: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn, ` + s.mapping + `}}}
`
}

// world is a mapping at work between the queues of a backend and a function.
type world struct {
	backend
	t          *testing.T
	template   *template.Template
	jobs, dead testQueue
	json       bool
	began      time.Time
	stop       func() // returns when all that was under way is done

	mu   sync.Mutex
	seen []invocation
}

// invocation is one that the handler saw.
type invocation struct {
	at      time.Time
	records []events.SQSMessage
}

// inModes runs a test in each mode of a backend.
func inModes(t *testing.T, b backend, name string, test func(t *testing.T, json bool)) {
	for mode, json := range b.modes {
		t.Run(name+mode, func(t *testing.T) {
			t.Parallel()
			b.run(t, func(t *testing.T) { test(t, json) })
		})
	}
}

// open makes the queues.
func open(t *testing.T, b backend, s setting, json bool) *world {
	t.Helper()
	w := &world{backend: b, t: t, json: json, began: time.Now(), stop: func() {}}
	w.template, w.jobs, w.dead = b.open(t, s.source(b))
	return w
}

// poll starts the poller. The handler is an [emulator.Invoker], or any that Lambda takes;
// one of type handle also has the world.
func (w *world) poll(handler any) {
	w.t.Helper()
	if h, ok := handler.(handle); ok {
		handler = w.record(h)
	}
	f, invoker := w.template.Functions[0], w.invoker(handler)
	q, _ := w.template.Queue("Jobs")
	poller, err := eventsource.New(eventsource.Config{
		Mapping: w.template.Mappings[0], Queue: q, Function: f, Source: w.jobs, Invoker: invoker, Receivers: w.receivers,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		poller.Run(ctx)
	}()
	w.stop = func() {
		cancel()
		<-done
	}
	w.t.Cleanup(w.stop)
}

// invoker returns the handler itself if it is an invoker.
func (w *world) invoker(handler any) emulator.Invoker {
	if invoker, ok := handler.(emulator.Invoker); ok {
		return invoker
	}
	f := w.template.Functions[0]
	inProcess := emulator.NewInProcess(handler, emulator.Config{
		ARN: f.ARN, Timeout: f.Timeout, ReservedConcurrency: f.ReservedConcurrency, JSON: w.json,
	})
	w.t.Cleanup(inProcess.Close) // after the poller
	return inProcess
}

// handle is a handler that has the world.
type handle func(ctx context.Context, w *world, e event) (response, error)

// succeed is a handler that reports no failure.
func succeed(context.Context, *world, event) (response, error) { return response{}, nil }

func (w *world) record(h handle) func(context.Context, event) (response, error) {
	return func(ctx context.Context, e event) (response, error) {
		w.mu.Lock()
		w.seen = append(w.seen, invocation{time.Now(), slices.Clone(e.Records)})
		w.mu.Unlock()
		return h(ctx, w, e)
	}
}

// invocations returns those so far.
func (w *world) invocations() []invocation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// receives counts how often each message was handed to the handler.
func (w *world) receives() map[string]int {
	count := map[string]int{}
	for _, i := range w.invocations() {
		for _, r := range i.records {
			count[r.MessageId]++
		}
	}
	return count
}

// send sends messages at one moment, and returns their ids.
func (w *world) send(bodies ...string) []string {
	w.t.Helper()
	var ids []string
	for some := range slices.Chunk(bodies, queue.MaxBatch) {
		entries := batchOf(some...)
		result, err := w.jobs.SendBatch(context.Background(), entries)
		if err != nil || len(result.Failed) > 0 {
			w.t.Fatal(err, result.Failed)
		}
		for _, e := range entries {
			ids = append(ids, result.MessageIDs[e.ID])
		}
	}
	return ids
}

// batchOf returns the entries of a batch, with their indexes for ids.
func batchOf(bodies ...string) (entries []queue.SendEntry) {
	for i, body := range bodies {
		entries = append(entries, queue.SendEntry{ID: strconv.Itoa(i), Body: body})
	}
	return entries
}

// patience is how long to wait for what should happen.
func (w *world) patience() time.Duration { return 20*time.Second + 3*w.visibility }

// until waits until reached returns true; missing says what there is instead.
func (w *world) until(reached func() (ok bool, missing string)) {
	w.t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	late := time.After(w.patience())
	for {
		ok, missing := reached()
		if ok {
			return
		}
		select {
		case <-look.C:
		case <-late:
			w.t.Fatalf("after %v: %s", w.patience(), missing)
		}
	}
}

// untilReceives waits until the handler was handed messages as often as this, all
// together.
func (w *world) untilReceives(n int) {
	w.t.Helper()
	w.until(func() (bool, string) {
		sum := 0
		for _, received := range w.receives() {
			sum += received
		}
		return sum >= n, fmt.Sprintf("%d receives, want %d", sum, n)
	})
}

// untilLeft waits until a queue has so many messages.
func (w *world) untilLeft(q testQueue, n int) {
	w.t.Helper()
	w.until(func() (bool, string) {
		left := q.left(w.t)
		return left == n, fmt.Sprintf("%d messages are left, want %d", left, n)
	})
}

// receive waits for a message of a queue.
func (w *world) receive(q queue.Queue) queue.Message {
	w.t.Helper()
	for end := time.Now().Add(w.patience()); time.Now().Before(end); {
		got, err := q.Receive(w.t.Context(), queue.ReceiveRequest{Max: 1, Wait: time.Second})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(got) == 1 {
			return got[0]
		}
	}
	w.t.Fatalf("no message came within %v", w.patience())
	return queue.Message{}
}

// onTime checks that something took as long as it is due, or little longer.
func (w *world) onTime(what string, due, took time.Duration) {
	w.t.Helper()
	if took < due || took > due+w.late {
		w.t.Errorf("%s after %v, want %v, or up to %v more", what, took, due, w.late)
	}
}

// holds checks a fact about SQS, unless it is known to differ here.
func (w *world) holds(fact string, want, got any) {
	w.t.Helper()
	switch reason, differs := w.differs[fact]; {
	case differs && gocmp.Equal(want, got):
		w.t.Errorf("%s: it holds here now; take it off the differences", fact)
	case differs:
		w.t.Logf("%s: here it is %v: %s", fact, got, reason)
	default:
		diff(w.t, fact, want, got)
	}
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func numbered(n int) []string {
	var bodies []string
	for i := range n {
		bodies = append(bodies, fmt.Sprint("message ", i))
	}
	return bodies
}

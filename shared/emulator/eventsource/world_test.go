package eventsource_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/template"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

type (
	event    = events.SQSEvent
	response = events.SQSEventResponse
	failure  = events.SQSBatchItemFailure
)

// setting is a test's template: a queue, its dead-letter queue and a function.
type setting struct {
	queue    string // properties, as a YAML flow mapping's inside
	mapping  string
	function string
}

func (s setting) source() string {
	return `
Transform: AWS::Serverless-2016-10-31
Resources:
  Dead: {Type: AWS::SQS::Queue, Properties: {QueueName: dead}}
  Jobs: {Type: AWS::SQS::Queue, Properties: {QueueName: jobs, ` + s.queue + `}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
      ` + orElse(s.function, "Timeout: 5") + `
      Events: {E: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn, ` + s.mapping + `}}}
`
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

const (
	reporting = "FunctionResponseTypes: [ReportBatchItemFailures]"
	redrive2  = "RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}"
)

// world is a mapping at work between a real queue and a function, on a virtual clock.
type world struct {
	t        *testing.T
	template *template.Template
	jobs     *pebblestore.Queue
	dead     *pebblestore.Queue
	invoker  *emulator.InProcess
	stop     func()

	mu    sync.Mutex
	seen  []invocation
	began time.Time
}

// invocation is one that the handler saw.
type invocation struct {
	at      time.Duration // since the start
	records []events.SQSMessage
}

// bothModes runs a test in a bubble of time of its own, with typed events and through
// JSON.
func bothModes(t *testing.T, name string, test func(t *testing.T, json bool)) {
	for mode, json := range map[string]bool{"typed": false, "json": true} {
		t.Run(name+" "+mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, json) })
		})
	}
}

// start opens the queues and starts the poller. The handler is any of Lambda's; one
// of type handle also has the world.
func start(t *testing.T, s setting, json bool, handler any) *world {
	t.Helper()
	parsed, err := template.Read("template.yaml", []byte(s.source()), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, template: parsed, began: time.Now()}
	w.openQueues()
	if h, ok := handler.(handle); ok {
		handler = w.record(h)
	}
	f := parsed.Functions[0]
	w.invoker = emulator.NewInProcess(handler, emulator.Config{
		ARN: f.ARN, Timeout: f.Timeout, ReservedConcurrency: f.ReservedConcurrency, JSON: json,
	})
	t.Cleanup(w.invoker.Close)
	q, _ := parsed.Queue("Jobs")
	poller, err := eventsource.New(eventsource.Config{
		Mapping: parsed.Mappings[0], Queue: q, Function: f, Source: w.jobs, Invoker: w.invoker,
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
	w.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(w.stop)
	return w
}

func (w *world) openQueues() {
	db, err := pebblestore.Open(pebblestore.Options{
		Dir: "data", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	})
	open := func(id string) *pebblestore.Queue {
		q, _ := w.template.Queue(id)
		dead, _ := w.template.Queue(q.DeadLetterQueue)
		opened, err := db.Queue(pebblestore.QueueConfig{
			Name: q.Name, ARN: q.ARN, VisibilityTimeout: q.VisibilityTimeout, Retention: q.Retention, Delay: q.Delay,
			MaxMessageBytes: q.MaxMessageBytes, DeadLetterQueue: dead.Name, MaxReceiveCount: q.MaxReceiveCount,
		})
		if err != nil {
			w.t.Fatal(err)
		}
		return opened
	}
	w.dead = open("Dead")
	w.jobs = open("Jobs")
}

// handle is a handler that has the world.
type handle func(w *world, ctx context.Context, e event) (response, error)

func (w *world) record(h handle) func(context.Context, event) (response, error) {
	return func(ctx context.Context, e event) (response, error) {
		w.mu.Lock()
		w.seen = append(w.seen, invocation{time.Since(w.began), slices.Clone(e.Records)})
		w.mu.Unlock()
		return h(w, ctx, e)
	}
}

// invocations are those so far.
func (w *world) invocations() []invocation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// send sends messages at one moment, and gives their ids.
func (w *world) send(bodies ...string) []string {
	w.t.Helper()
	var ids []string
	for some := range slices.Chunk(bodies, queue.MaxBatch) {
		var entries []queue.SendEntry
		for i, body := range some {
			entries = append(entries, queue.SendEntry{ID: fmt.Sprint(i), Body: body})
		}
		result, err := w.jobs.SendBatch(context.Background(), entries)
		if err != nil || len(result.Failed) > 0 {
			w.t.Fatal(err, result.Failed)
		}
		for i := range entries {
			ids = append(ids, result.MessageIDs[fmt.Sprint(i)])
		}
	}
	return ids
}

// left is what a queue holds, visible or not.
func left(q *pebblestore.Queue) int {
	s := q.Stats()
	return s.Visible + s.InFlight + s.Delayed
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

// succeed is a handler for which all is well.
func succeed(*world, context.Context, event) (response, error) { return response{}, nil }

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
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

func refused(t *testing.T, s setting, text string) {
	t.Helper()
	_, err := template.Read("template.yaml", []byte(s.source()), template.Options{})
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("want a refusal with %q, got %v", text, err)
	}
}

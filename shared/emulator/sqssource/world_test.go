//go:build integration

package sqssource_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/sqssource"
	"paylane/shared/emulator/template"
)

// TestMain has some cases run side by side: they mostly wait. The command line still
// overrides it.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// differences are where LocalStack 4.14 is not like SQS. A row checks what does hold
// there; one that holds after all fails, so that it is taken off this list.
var differences = map[string]string{
	"B12 code of a message that is too long": "LocalStack calls it InvalidParameterValueException",
	"B12 its message":                        "LocalStack says that parameters are invalid, not that they can't be validated",
	"B13 the moved message has a new id":     "LocalStack's move task keeps the message as it is, with its id",
	"B13 its receive count is 1":             "LocalStack's move task keeps the receive count, too, and it goes on",
}

// holds checks a fact about SQS, unless it is known to differ here.
func holds(t *testing.T, fact string, want, got any) {
	t.Helper()
	switch reason, differs := differences[fact]; {
	case differs && cmp.Equal(want, got):
		t.Errorf("%s: it holds here now; take it off the differences", fact)
	case differs:
		t.Logf("%s: here it is %v: %s", fact, got, reason)
	default:
		diff(t, fact, want, got)
	}
}

type (
	event    = events.SQSEvent
	response = events.SQSEventResponse
	failure  = events.SQSBatchItemFailure
)

// setting is a test's template: a queue, its dead-letter queue and a function.
type setting struct {
	queue   string // properties, as a YAML flow mapping's inside
	mapping string
}

const (
	reporting = "FunctionResponseTypes: [ReportBatchItemFailures]"
	redrive2  = "VisibilityTimeout: 1, RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}"
)

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
      Timeout: 1
      Events: {E: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn, ` + s.mapping + `}}}
`
}

// handle is a handler that has the world.
type handle func(ctx context.Context, w *world, e event) (response, error)

// succeed is a handler for which all is well.
func succeed(context.Context, *world, event) (response, error) { return response{}, nil }

// world is a mapping at work between a queue at the endpoint and a function here.
type world struct {
	t          *testing.T
	client     *sqs.Client
	template   *template.Template
	jobs, dead template.Queue
	stop       func() // returns when all that was under way is done

	mu      sync.Mutex
	seen    []invocation
	stirred chan struct{} // has an element after something happened
}

// invocation is one that the handler saw.
type invocation struct {
	at      time.Time
	records []events.SQSMessage
}

// open makes the queues, in an account that no other test has.
func open(t *testing.T, s setting) *world {
	t.Helper()
	c, account := awstest.Config(t)
	parsed, err := template.Read("template.yaml", []byte(s.source()), template.Options{SQSEndpoint: *c.BaseEndpoint, AccountID: account})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, client: sqs.NewFromConfig(c), template: parsed, stop: func() {}, stirred: make(chan struct{}, 1)}
	if err := provision.Make(t.Context(), provision.Clients{SQS: w.client}, parsed, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	w.jobs, _ = parsed.Queue("Jobs")
	w.dead, _ = parsed.Queue("Dead")
	return w
}

// poll starts the poller. The handler is an invoker itself, or any of Lambda's, which
// gets its events as JSON; one of type handle also has the world.
func (w *world) poll(handler any) {
	w.t.Helper()
	if h, ok := handler.(handle); ok {
		handler = w.record(h)
	}
	f := w.template.Functions[0]
	invoker, ok := handler.(emulator.Invoker)
	if !ok {
		inProcess := emulator.NewInProcess(handler, emulator.Config{ARN: f.ARN, Timeout: f.Timeout, JSON: true})
		w.t.Cleanup(inProcess.Close) // after the poller
		invoker = inProcess
	}
	poller, err := eventsource.New(eventsource.Config{
		Mapping: w.template.Mappings[0], Queue: w.jobs, Function: f,
		Source: sqssource.New(w.client, w.jobs.URL), Invoker: invoker, Receivers: 2,
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

func (w *world) record(h handle) func(context.Context, event) (response, error) {
	return func(ctx context.Context, e event) (response, error) {
		w.mu.Lock()
		w.seen = append(w.seen, invocation{time.Now(), slices.Clone(e.Records)})
		w.mu.Unlock()
		w.stir()
		return h(ctx, w, e)
	}
}

func (w *world) stir() {
	select {
	case w.stirred <- struct{}{}:
	default:
	}
}

// invocations are those so far.
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

const deadline = 20 * time.Second

// until waits until the handler has seen messages as often as this, all together.
func (w *world) until(receives int) {
	w.t.Helper()
	late := time.After(deadline)
	for {
		sum := 0
		for _, n := range w.receives() {
			sum += n
		}
		if sum >= receives {
			return
		}
		select {
		case <-w.stirred:
		case <-late:
			w.t.Fatalf("%d receives after %v, not %d", sum, deadline, receives)
		}
	}
}

// untilLeft waits until so many messages are in a queue, visible or not.
func (w *world) untilLeft(q template.Queue, n int) {
	w.t.Helper()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for late := time.After(deadline); w.left(q) != n; {
		select {
		case <-look.C:
		case <-late:
			w.t.Fatalf("%s has %d messages after %v, not %d", q.Name, w.left(q), deadline, n)
		}
	}
}

// left is what a queue holds, visible or not.
func (w *world) left(q template.Queue) int {
	w.t.Helper()
	got, err := w.client.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0
	for _, name := range []string{"", "NotVisible", "Delayed"} {
		n, err := strconv.Atoi(got.Attributes["ApproximateNumberOfMessages"+name])
		if err != nil {
			w.t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// send sends messages at one moment, and gives their ids.
func (w *world) send(bodies ...string) []string {
	w.t.Helper()
	var ids []string
	for some := range slices.Chunk(bodies, 10) {
		result, err := w.client.SendMessageBatch(w.t.Context(), w.batch(some...))
		if err != nil || len(result.Failed) > 0 {
			w.t.Fatal(err, result)
		}
		for _, s := range result.Successful {
			ids = append(ids, *s.MessageId)
		}
	}
	return ids
}

// batch is the request that sends messages.
func (w *world) batch(bodies ...string) *sqs.SendMessageBatchInput {
	in := &sqs.SendMessageBatchInput{QueueUrl: &w.jobs.URL}
	for i, body := range bodies {
		id := strconv.Itoa(i)
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body})
	}
	return in
}

// receive takes one message from a queue, and waits for it.
func (w *world) receive(q template.Queue) eventsource.Record {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), deadline)
	defer cancel()
	for { // LocalStack ends some waits early
		got, err := sqssource.New(w.client, q.URL).Receive(ctx, eventsource.ReceiveRequest{Max: 1, Wait: deadline})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(got) == 1 {
			return got[0]
		}
	}
}

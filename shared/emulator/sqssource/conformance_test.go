//go:build integration

package sqssource_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/sqssource"
)

// TestConformance has the rows of the conformance checklist for event source mappings
// on a queue behind SQS's protocol, in real time (B06 has a table of its own). B03 and
// B04 are refusals of a template; package eventsource has them, and the same rows on a
// virtual clock.
func TestConformance(t *testing.T) {
	rows := []struct {
		name string
		run  func(t *testing.T)
	}{
		{"B01 three messages at once", b01},
		{"B02 no attributes, window 0", b02("0", "absent")},
		{"B02 no attributes, window 1", b02("1", "null")},
		{"B02 attributes", b02Attributes},
		{"B05 one of three reported", b05},
		{"B07 a returned error", b07},
		{"B08 dead-letter queue after two receives", b08},
		{"B09 the handler makes it visible", b09},
		{"B10 maximum concurrency", b10},
		{"B11 filter", b11},
		{"B12 sizes and ids of a batch", b12},
		{"B13 move task", b13},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.run(t)
		})
	}
}

func b01(t *testing.T) {
	w := open(t, setting{})
	w.poll(handle(succeed))
	before := time.Now()
	ids := w.send("a", "b", "c")
	after := time.Now()
	w.until(3)
	w.stop()
	seen := w.invocations()
	if len(seen) > 3 {
		t.Errorf("%d invocations", len(seen))
	}
	// A receive waits up to 20 s for messages, but never for more of them.
	if waited := seen[len(seen)-1].at.Sub(after); waited > 5*time.Second {
		t.Errorf("the last came after %v", waited)
	}
	diff(t, "receives", map[string]int{ids[0]: 1, ids[1]: 1, ids[2]: 1}, w.receives())
	diff(t, "left in the queue", 0, w.left(w.jobs))
	for _, i := range seen {
		for _, r := range i.records {
			diff(t, "record", []any{"", "aws:sqs", w.jobs.ARN, "us-east-1", "1", true},
				[]any{r.Md5OfMessageAttributes, r.EventSource, r.EventSourceARN, r.AWSRegion, r.Attributes["ApproximateReceiveCount"], r.ReceiptHandle != ""})
			sent, received := at(t, r.Attributes["SentTimestamp"]), at(t, r.Attributes["ApproximateFirstReceiveTimestamp"])
			if sent.Before(before.Truncate(time.Millisecond)) || sent.After(after) || received.Before(sent) || received.After(i.at) {
				t.Errorf("sent at %v and received at %v", sent, received)
			}
			if r.MessageId == ids[0] && (r.Body != "a" || r.Md5OfBody != "0cc175b9c0f1b6a831c399e269772661") {
				t.Errorf("the first record is %+v", r)
			}
			if len(r.Attributes) != 4 || r.MessageAttributes == nil || len(r.MessageAttributes) != 0 {
				t.Errorf("attributes %v and %v", r.Attributes, r.MessageAttributes)
			}
		}
	}
}

// at reads a time of an attribute.
func at(t *testing.T, millis string) time.Time {
	t.Helper()
	n, err := strconv.ParseInt(millis, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.UnixMilli(n)
}

func b02(window, want string) func(*testing.T) {
	return func(t *testing.T) {
		hash := make(chan string, 1)
		w := open(t, setting{mapping: "MaximumBatchingWindowInSeconds: " + window})
		w.poll(func(_ context.Context, e json.RawMessage) error {
			var event struct{ Records []map[string]json.RawMessage }
			if err := json.Unmarshal(e, &event); err != nil {
				return err
			}
			value, ok := event.Records[0]["md5OfMessageAttributes"]
			if !ok {
				value = json.RawMessage("absent")
			}
			hash <- string(value)
			return nil
		})
		w.send("a")
		select {
		case got := <-hash:
			diff(t, "md5OfMessageAttributes", want, got)
		case <-time.After(deadline):
			t.Error("no invocation")
		}
	}
}

// The hash that the poller makes is the one that SQS makes.
func b02Attributes(t *testing.T) {
	w := open(t, setting{})
	w.poll(handle(succeed))
	sent, err := w.client.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: &w.jobs.URL, MessageBody: aws.String("a"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"kind":  {DataType: aws.String("String"), StringValue: aws.String("örder")},
			"count": {DataType: aws.String("Number.int"), StringValue: aws.String("7")},
			"blob":  {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 255}},
		},
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-5759e988-bd862e3fe1be46a994272793")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.until(1)
	r := w.invocations()[0].records[0]
	diff(t, "md5OfMessageAttributes", *sent.MD5OfMessageAttributes, r.Md5OfMessageAttributes)
	diff(t, "AWSTraceHeader", "Root=1-5759e988-bd862e3fe1be46a994272793", r.Attributes["AWSTraceHeader"])
	got := r.MessageAttributes
	diff(t, "attributes", []any{"String", "örder", "Number.int", "7", "Binary", []byte{0, 1, 255}}, []any{
		got["kind"].DataType, *got["kind"].StringValue, got["count"].DataType, *got["count"].StringValue,
		got["blob"].DataType, got["blob"].BinaryValue,
	})
}

func b05(t *testing.T) {
	w := open(t, setting{queue: "VisibilityTimeout: 2", mapping: reporting})
	w.poll(handle(func(_ context.Context, _ *world, e event) (response, error) {
		var r response
		for _, record := range e.Records {
			if record.Body == "c" && record.Attributes["ApproximateReceiveCount"] == "1" {
				r.BatchItemFailures = append(r.BatchItemFailures, failure{ItemIdentifier: record.MessageId})
			}
		}
		return r, nil
	}))
	ids := w.send("a", "b", "c")
	w.until(4)
	w.stop()
	diff(t, "receives", map[string]int{ids[0]: 1, ids[1]: 1, ids[2]: 2}, w.receives())
	diff(t, "left", 0, w.left(w.jobs))
	seen := w.invocations()
	last := seen[len(seen)-1]
	diff(t, "receive count", "2", last.records[0].Attributes["ApproximateReceiveCount"])
	first := at(t, last.records[0].Attributes["ApproximateFirstReceiveTimestamp"])
	if again := last.at.Sub(first); again < 2*time.Second {
		t.Errorf("it came again %v after its first receive", again)
	}
}

func b07(t *testing.T) {
	w := open(t, setting{queue: "VisibilityTimeout: 3", mapping: reporting})
	w.poll(handle(func(_ context.Context, _ *world, e event) (response, error) {
		if e.Records[0].Attributes["ApproximateReceiveCount"] == "1" {
			return response{BatchItemFailures: []failure{{ItemIdentifier: e.Records[0].MessageId}}}, errors.New("boom")
		}
		return response{}, nil
	}))
	ids := w.send("a", "b", "c")
	w.until(6)
	w.stop()
	handles := map[string]bool{}
	for _, i := range w.invocations() {
		for _, r := range i.records {
			handles[r.ReceiptHandle] = true
		}
	}
	diff(t, "receives", map[string]int{ids[0]: 2, ids[1]: 2, ids[2]: 2}, w.receives())
	diff(t, "different receipt handles", 6, len(handles))
	diff(t, "left", 0, w.left(w.jobs))
}

func b08(t *testing.T) {
	w := open(t, setting{queue: redrive2, mapping: reporting})
	w.poll(handle(func(context.Context, *world, event) (response, error) { return response{}, errors.New("never") }))
	ids := w.send("poison")
	got := w.receive(w.dead)
	w.stop()
	diff(t, "receives", map[string]int{ids[0]: 2}, w.receives())
	diff(t, "left", 0, w.left(w.jobs))
	diff(t, "message", []string{ids[0], "poison", "3", w.jobs.ARN, w.invocations()[0].records[0].Attributes["SentTimestamp"]}, []string{
		got.MessageID, got.Body, got.Attributes["ApproximateReceiveCount"], got.Attributes["DeadLetterQueueSourceArn"],
		got.Attributes["SentTimestamp"],
	})
}

func b09(t *testing.T) {
	w := open(t, setting{mapping: reporting}) // the queue's visibility timeout is 30 s
	w.poll(handle(func(ctx context.Context, w *world, e event) (response, error) {
		r := e.Records[0]
		if r.Attributes["ApproximateReceiveCount"] != "1" {
			return response{}, nil
		}
		_, err := w.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: &w.jobs.URL, ReceiptHandle: &r.ReceiptHandle, VisibilityTimeout: 0,
		})
		return response{BatchItemFailures: []failure{{ItemIdentifier: r.MessageId}}}, err
	}))
	ids := w.send("a")
	w.until(2)
	w.stop()
	diff(t, "receives", map[string]int{ids[0]: 2}, w.receives())
	diff(t, "left", 0, w.left(w.jobs))
	seen := w.invocations()
	if again := seen[1].at.Sub(seen[0].at); again > 10*time.Second {
		t.Errorf("it came again after %v", again)
	}
}

// Twelve messages that take half a second each, two at a time, need longer than the
// visibility timeout: one that was received too early would be received twice.
func b10(t *testing.T) {
	const messages, work = 12, 500 * time.Millisecond
	var now, most atomic.Int64
	w := open(t, setting{queue: "VisibilityTimeout: 2", mapping: "BatchSize: 1, ScalingConfig: {MaximumConcurrency: 2}"})
	w.poll(handle(func(ctx context.Context, _ *world, _ event) (response, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		select {
		case <-time.After(work):
		case <-ctx.Done():
		}
		return response{}, ctx.Err()
	}))
	var bodies []string
	for i := range messages {
		bodies = append(bodies, strconv.Itoa(i))
	}
	w.send(bodies...)
	w.until(messages)
	w.stop()
	diff(t, "most at a time", int64(2), most.Load())
	for _, i := range w.invocations() {
		diff(t, "receive count", "1", i.records[0].Attributes["ApproximateReceiveCount"])
	}
	diff(t, "left", 0, w.left(w.jobs))
}

func b11(t *testing.T) {
	w := open(t, setting{mapping: `FilterCriteria: {Filters: [{Pattern: '{"body":{"k":["v"]}}'}]}`})
	w.poll(handle(succeed))
	w.send(`{"k":"w"}`, `plain`)
	w.untilLeft(w.jobs, 0)
	ids := w.send(`{"k":"v"}`)
	w.until(1)
	w.stop()
	diff(t, "receives of the one that matches", map[string]int{ids[0]: 1}, w.receives())
	diff(t, "left", 0, w.left(w.jobs))
}

func b12(t *testing.T) {
	w := open(t, setting{queue: "MaximumMessageSize: 1024"})
	result, err := w.client.SendMessageBatch(t.Context(), w.batch("1", strings.Repeat("x", 2048), "3"))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "successful and failed", []int{2, 1}, []int{len(result.Successful), len(result.Failed)})
	failed := result.Failed[0]
	holds(t, "B12 code of a message that is too long", "InvalidParameterValue", *failed.Code)
	reason := "Reason: Message must be shorter than 1024 bytes."
	holds(t, "B12 its message", "One or more parameters cannot be validated. "+reason, *failed.Message)
	diff(t, "failed", []any{"1", true, true}, []any{*failed.Id, failed.SenderFault, strings.HasSuffix(*failed.Message, reason)})
	repeated := w.batch("1", "2")
	repeated.Entries[1].Id = repeated.Entries[0].Id
	_, err = w.client.SendMessageBatch(t.Context(), repeated)
	if !errors.As(err, new(*types.BatchEntryIdsNotDistinct)) {
		t.Errorf("a repeated id: %v", err)
	}
	diff(t, "left", 2, w.left(w.jobs))
}

func b13(t *testing.T) {
	var mended atomic.Bool
	w := open(t, setting{queue: redrive2})
	w.poll(handle(func(context.Context, *world, event) (response, error) {
		if !mended.Load() {
			return response{}, errors.New("not yet")
		}
		return response{}, nil
	}))
	ids := w.send("a")
	w.untilLeft(w.dead, 1)
	mended.Store(true)
	if _, err := w.client.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: &w.dead.ARN}); err != nil {
		t.Fatal(err)
	}
	w.until(3)
	w.stop()
	seen := w.invocations()
	last := seen[len(seen)-1].records[0]
	diff(t, "body", "a", last.Body)
	holds(t, "B13 the moved message has a new id", true, last.MessageId != ids[0])
	holds(t, "B13 its receive count is 1", "1", last.Attributes["ApproximateReceiveCount"])
	diff(t, "left in the queue and in the dead-letter queue", []int{0, 0}, []int{w.left(w.jobs), w.left(w.dead)})
	_, err := w.client.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: &w.jobs.ARN})
	var refusal smithy.APIError
	if !errors.As(err, &refusal) || !strings.Contains(refusal.ErrorMessage(), "Source queue must be configured as a Dead Letter Queue.") {
		t.Errorf("from a plain queue: %v", err)
	}
}

// TestConformanceB06 has the table of responses, each to a batch of two messages. The
// poller ends with that batch, and what is not deleted then stays.
func TestConformanceB06(t *testing.T) {
	const all, none = 0, 2 // what is left when all, or none, are deleted
	report := func(ids ...string) (any, error) {
		var r response
		for _, id := range ids {
			r.BatchItemFailures = append(r.BatchItemFailures, failure{ItemIdentifier: id})
		}
		return r, nil
	}
	// give returns what is JSON as it is.
	give := func(result any) func([]string) (any, error) {
		return func([]string) (any, error) { return result, nil }
	}
	raw := func(payload string) func([]string) (any, error) { return give(json.RawMessage(payload)) }
	rows := []struct {
		name    string
		handler func(ids []string) (any, error)
		left    int
	}{
		{"empty list", raw(`{"batchItemFailures":[]}`), all},
		{"null list", raw(`{"batchItemFailures":null}`), all},
		{"empty object", raw(`{}`), all},
		{"null", raw(`null`), all},
		{"zero response", give(response{}), all},
		{"nil pointer", give((*response)(nil)), all},
		{"subset", func(ids []string) (any, error) { return report(ids[0]) }, 1},
		{"all ids", func(ids []string) (any, error) { return report(ids...) }, none},
		{"same id twice", func(ids []string) (any, error) { return report(ids[0], ids[0]) }, 1},
		{"empty identifier", func(ids []string) (any, error) { return report(ids[0], "") }, none},
		{"null identifier", raw(`{"batchItemFailures":[{"itemIdentifier":null}]}`), none},
		{"misspelt key", raw(`{"batchItemFailures":[{"foo":"x"}]}`), none},
		{"id not in the batch", func(ids []string) (any, error) { return report(ids[0], "other") }, none},
		{"not an object", raw(`["x"]`), none},
		{"a text", give("done"), none},
		{"not a list", raw(`{"batchItemFailures":{"itemIdentifier":"x"}}`), none},
		{"returned error", func(ids []string) (any, error) {
			r, _ := report(ids[0])
			return r, errors.New("boom")
		}, none},
		{"panic", func([]string) (any, error) { panic("boom") }, none},
		{"exit of the goroutine", func([]string) (any, error) { runtime.Goexit(); return nil, nil }, none},
		{"timeout", nil, none},
		{"oversize response", give(strings.Repeat("x", emulator.MaxPayloadBytes)), none},
	}
	for _, row := range rows {
		t.Run("B06 "+row.name, func(t *testing.T) {
			t.Parallel()
			diff(t, "left", row.left, leftAfter(t, reporting+", ", row.handler))
		})
	}
	// What a handler can't send through aws-lambda-go, a process can.
	for payload, left := range map[string]int{"": all, "\n": all, "{": none} {
		t.Run(fmt.Sprintf("B06 the bytes %q", payload), func(t *testing.T) {
			t.Parallel()
			w := open(t, setting{mapping: reporting + ", BatchSize: 2, MaximumBatchingWindowInSeconds: 20"})
			w.send("a", "b")
			w.poll(answers{payload, w})
			w.until(2)
			w.stop()
			diff(t, "left", left, w.left(w.jobs))
		})
	}
	t.Run("B06 without reporting the body is ignored", func(t *testing.T) {
		t.Parallel()
		diff(t, "left", all, leftAfter(t, "", func(ids []string) (any, error) { return report(ids[0], "other", "") }))
	})
}

// answers is a function that sends these bytes, whatever its event.
type answers struct {
	payload string
	w       *world
}

func (a answers) Invoke(ctx context.Context, i emulator.Invocation) (emulator.Result, error) {
	_, err := a.w.record(succeed)(ctx, *i.Event.Typed().(*event))
	return emulator.PayloadResult([]byte(a.payload)), err
}

// leftAfter is what is left of two messages that the handler got in one batch. Without
// a handler the function runs into its timeout.
func leftAfter(t *testing.T, mapping string, handler func(ids []string) (any, error)) int {
	t.Helper()
	batches := make(chan int, 1)
	// The window ends when the batch is full.
	w := open(t, setting{mapping: mapping + "BatchSize: 2, MaximumBatchingWindowInSeconds: 20"})
	w.send("a", "b")
	w.poll(func(ctx context.Context, e event) (any, error) {
		var ids []string
		for _, r := range e.Records {
			ids = append(ids, r.MessageId)
		}
		batches <- len(ids)
		if handler == nil {
			<-ctx.Done()
			return nil, nil
		}
		return handler(ids)
	})
	select {
	case n := <-batches:
		diff(t, "batch", 2, n)
	case <-time.After(2 * deadline):
		t.Fatal("no invocation")
	}
	w.stop()
	return w.left(w.jobs)
}

func TestReceiveIsCancelled(t *testing.T) {
	t.Parallel()
	w := open(t, setting{})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := sqssource.New(w.client, w.jobs.URL).Receive(ctx, eventsource.ReceiveRequest{Max: 10, Wait: deadline})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > deadline/2 {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

func TestDeleteOfSome(t *testing.T) {
	t.Parallel()
	w := open(t, setting{})
	w.send("a")
	source := sqssource.New(w.client, w.jobs.URL)
	err := source.Delete(t.Context(), []string{"garbage", w.receive(w.jobs).ReceiptHandle})
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "record 0 of 2: ReceiptHandleIsInvalid") {
		t.Errorf("want an error about the first alone, got %v", err)
	}
	diff(t, "left", 0, w.left(w.jobs))
}

package eventsource_test

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

	"paylane/shared/emulator"
	"paylane/shared/queue"
)

// conformance checks that a mapping on a backend behaves as Lambda's do: the rows B01 to
// B13 of docs/emulation.md, but for those about templates.
func conformance(t *testing.T, b backend) {
	rows := map[string]func(t *testing.T, open func(setting) *world){
		"B01 three messages at once":               b01,
		"B02 no attributes, window 0":              b02("0", "absent"),
		"B02 no attributes, window 1":              b02("1", "null"),
		"B05 one of three reported":                b05,
		"B07 a returned error":                     b07,
		"B08 dead-letter queue after two receives": b08,
		"B09 the handler makes it visible":         b09,
		"B10 maximum concurrency":                  b10,
		"B11 filter":                               b11,
		"B12 sizes and ids of a batch":             b12,
		"B13 move task":                            b13,
	}
	for name, row := range b06() {
		rows["B06 "+name] = row
	}
	for name, row := range rows {
		inModes(t, b, name, func(t *testing.T, json bool) {
			row(t, func(s setting) *world {
				t.Helper()
				return open(t, b, s, json)
			})
		})
	}
}

func b01(t *testing.T, open func(setting) *world) {
	w := open(setting{})
	w.poll(handle(succeed))
	time.Sleep(w.idle) // until the poller waits
	before := time.Now()
	ids := w.send("a", "b", "c")
	after := time.Now()
	w.untilReceives(3)
	w.stop()
	seen := w.invocations()
	if len(seen) > 3 {
		t.Errorf("%d invocations", len(seen))
	}
	// A receive waits up to 20 s for messages, but never for more of them.
	w.onTime("the last came", 0, max(0, seen[len(seen)-1].at.Sub(after)))
	diff(t, "receives", map[string]int{ids[0]: 1, ids[1]: 1, ids[2]: 1}, w.receives())
	diff(t, "left", 0, w.jobs.left(t))
	q, _ := w.template.Queue("Jobs")
	for _, i := range seen {
		for _, r := range i.records {
			diff(t, "record", []any{"", "aws:sqs", q.ARN, "us-east-1", "1", true},
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

func b02(window, want string) func(*testing.T, func(setting) *world) {
	return func(t *testing.T, open func(setting) *world) {
		hash := make(chan string, 1)
		w := open(setting{mapping: "MaximumBatchingWindowInSeconds: " + window})
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
		case <-time.After(w.patience()):
			t.Error("no invocation")
		}
	}
}

func b05(t *testing.T, open func(setting) *world) {
	w := open(setting{mapping: reporting, waits: true})
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
	w.untilReceives(4)
	w.stop()
	diff(t, "receives", map[string]int{ids[0]: 1, ids[1]: 1, ids[2]: 2}, w.receives())
	diff(t, "left", 0, w.jobs.left(t))
	seen := w.invocations()
	last := seen[len(seen)-1]
	diff(t, "receive count", "2", last.records[0].Attributes["ApproximateReceiveCount"])
	first := at(t, last.records[0].Attributes["ApproximateFirstReceiveTimestamp"])
	w.onTime("it came again", w.visibility, last.at.Sub(first))
}

func b07(t *testing.T, open func(setting) *world) {
	w := open(setting{mapping: reporting, waits: true})
	w.poll(handle(func(_ context.Context, _ *world, e event) (response, error) {
		if e.Records[0].Attributes["ApproximateReceiveCount"] == "1" {
			return response{BatchItemFailures: []failure{{ItemIdentifier: e.Records[0].MessageId}}}, errors.New("boom")
		}
		return response{}, nil
	}))
	ids := w.send("a", "b", "c")
	w.untilReceives(3)
	diff(t, "left after the error", 3, w.jobs.left(t))
	w.untilReceives(6)
	w.stop()
	handles := map[string]bool{}
	for _, i := range w.invocations() {
		for _, r := range i.records {
			handles[r.ReceiptHandle] = true
		}
	}
	diff(t, "receives", map[string]int{ids[0]: 2, ids[1]: 2, ids[2]: 2}, w.receives())
	diff(t, "different receipt handles", 6, len(handles))
	diff(t, "left", 0, w.jobs.left(t))
}

func b08(t *testing.T, open func(setting) *world) {
	w := open(setting{queue: redrive2, mapping: reporting, waits: true})
	w.poll(handle(func(context.Context, *world, event) (response, error) { return response{}, errors.New("never") }))
	ids := w.send("poison")
	got := w.receive(w.dead)
	w.stop()
	diff(t, "receives", map[string]int{ids[0]: 2}, w.receives())
	diff(t, "left in the queue and in the dead-letter queue", []int{0, 1}, []int{w.jobs.left(t), w.dead.left(t)})
	q, _ := w.template.Queue("Jobs")
	diff(t, "message", []any{ids[0], "poison", 3, q.ARN, w.invocations()[0].records[0].Attributes["SentTimestamp"]},
		[]any{got.MessageID, got.Body, got.ReceiveCount(), got.DeadLetterSourceARN(), got.Attributes["SentTimestamp"]})
}

func b09(t *testing.T, open func(setting) *world) {
	w := open(setting{mapping: reporting}) // the queue's visibility timeout is 30 s
	w.poll(handle(func(ctx context.Context, w *world, e event) (response, error) {
		r := e.Records[0]
		if r.Attributes["ApproximateReceiveCount"] != "1" {
			return response{}, nil
		}
		err := w.jobs.ChangeVisibility(ctx, r.ReceiptHandle, 0)
		return response{BatchItemFailures: []failure{{ItemIdentifier: r.MessageId}}}, err
	}))
	ids := w.send("a")
	w.untilReceives(2)
	w.stop()
	diff(t, "receives", map[string]int{ids[0]: 2}, w.receives())
	diff(t, "left", 0, w.jobs.left(t))
	seen := w.invocations()
	w.onTime("it came again", 0, seen[1].at.Sub(seen[0].at))
}

// The messages take longer than the visibility timeout together: one that was received
// too early would be received twice.
func b10(t *testing.T, open func(setting) *world) {
	const messages, atOnce, perTimeout = 24, 2, 8
	var now, most atomic.Int64
	w := open(setting{mapping: fmt.Sprintf("BatchSize: 1, ScalingConfig: {MaximumConcurrency: %d}", atOnce), waits: true})
	w.poll(handle(func(ctx context.Context, w *world, _ event) (response, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		select {
		case <-time.After(w.visibility / perTimeout):
		case <-ctx.Done():
		}
		return response{}, ctx.Err()
	}))
	w.send(numbered(messages)...)
	w.untilReceives(messages)
	w.stop()
	diff(t, "most at a time", int64(atOnce), most.Load())
	for _, i := range w.invocations() {
		diff(t, "receive count", "1", i.records[0].Attributes["ApproximateReceiveCount"])
	}
	diff(t, "left", 0, w.jobs.left(t))
}

func b11(t *testing.T, open func(setting) *world) {
	w := open(setting{mapping: `FilterCriteria: {Filters: [{Pattern: '{"body":{"k":["v"]}}'}]}`})
	w.poll(handle(succeed))
	w.send(`{"k":"w"}`, `plain`)
	w.untilLeft(w.jobs, 0)
	ids := w.send(`{"k":"v"}`)
	w.untilReceives(1)
	w.stop()
	diff(t, "receives of the one that matches", map[string]int{ids[0]: 1}, w.receives())
	diff(t, "left", 0, w.jobs.left(t))
}

func b12(t *testing.T, open func(setting) *world) {
	w := open(setting{queue: "MaximumMessageSize: 1024"})
	result, err := w.jobs.SendBatch(t.Context(), batchOf("1", strings.Repeat("x", 2048), "3"))
	if err != nil {
		t.Fatal(err)
	}
	failed := result.Failed["1"]
	if len(result.MessageIDs) != 2 || len(result.Failed) != 1 || failed == nil {
		t.Fatalf("sent %v and failed %v", result.MessageIDs, result.Failed)
	}
	w.holds("B12 code of a message that is too long", "InvalidParameterValue", failed.Code)
	const reason = "Reason: Message must be shorter than 1024 bytes."
	w.holds("B12 its message", "One or more parameters cannot be validated. "+reason, failed.Message)
	if !strings.HasSuffix(failed.Message, reason) {
		t.Errorf("the message is %q", failed.Message)
	}
	repeated := batchOf("1", "2")
	repeated[1].ID = repeated[0].ID
	_, err = w.jobs.SendBatch(t.Context(), repeated)
	if refusal := new(queue.RequestError); !errors.As(err, &refusal) || !strings.HasSuffix(refusal.Code, "BatchEntryIdsNotDistinct") {
		t.Errorf("a repeated id: %v", err)
	}
	diff(t, "left", 2, w.jobs.left(t))
}

func b13(t *testing.T, open func(setting) *world) {
	var mended atomic.Bool
	w := open(setting{queue: redrive2, waits: true})
	w.poll(handle(func(context.Context, *world, event) (response, error) {
		if !mended.Load() {
			return response{}, errors.New("not yet")
		}
		return response{}, nil
	}))
	ids := w.send("a")
	w.untilLeft(w.dead, 1)
	mended.Store(true)
	if err := w.dead.startMoveTask(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.untilReceives(3)
	w.stop()
	seen := w.invocations()
	last := seen[len(seen)-1].records[0]
	diff(t, "body", "a", last.Body)
	w.holds("B13 the moved message has a new id", true, last.MessageId != ids[0])
	w.holds("B13 its receive count is 1", "1", last.Attributes["ApproximateReceiveCount"])
	diff(t, "left in the queue and in the dead-letter queue", []int{0, 0}, []int{w.jobs.left(t), w.dead.left(t)})
	err := w.jobs.startMoveTask(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Source queue must be configured as a Dead Letter Queue.") {
		t.Errorf("from a plain queue: %v", err)
	}
}

// b06 returns the table of responses, each to a batch of two messages. The poller ends
// with that batch, and what is not deleted then stays.
func b06() map[string]func(*testing.T, func(setting) *world) {
	const all, none = 0, 2 // what is left when all, or none, are deleted
	report := func(ids ...string) response {
		var r response
		for _, id := range ids {
			r.BatchItemFailures = append(r.BatchItemFailures, failure{ItemIdentifier: id})
		}
		return r
	}
	give := func(result any) any { return func(context.Context, event) (any, error) { return result, nil } }
	raw := func(payload string) any { return give(json.RawMessage(payload)) }
	rows := map[string]func(*testing.T, func(setting) *world){}
	for _, row := range []struct {
		name string
		// handler gets the ids of the batch, or is any that world.poll takes.
		handler any
		left    int
	}{
		{"empty list", raw(`{"batchItemFailures":[]}`), all},
		{"null list", raw(`{"batchItemFailures":null}`), all},
		{"empty object", raw(`{}`), all},
		{"null", raw(`null`), all},
		{"zero response", func([]string) (response, error) { return response{}, nil }, all},
		{"nil pointer", give((*response)(nil)), all},
		{"subset", func(ids []string) (response, error) { return report(ids[0]), nil }, 1},
		{"all ids", func(ids []string) (response, error) { return report(ids...), nil }, none},
		{"same id twice", func(ids []string) (response, error) { return report(ids[0], ids[0]), nil }, 1},
		{"empty identifier", func(ids []string) (response, error) { return report(ids[0], ""), nil }, none},
		{"null identifier", raw(`{"batchItemFailures":[{"itemIdentifier":null}]}`), none},
		{"misspelt key", raw(`{"batchItemFailures":[{"foo":"x"}]}`), none},
		{"identifier that is a number", raw(`{"batchItemFailures":[{"itemIdentifier":1}]}`), none},
		{"item that is not an object", raw(`{"batchItemFailures":["x"]}`), none},
		{"null item", raw(`{"batchItemFailures":[null]}`), none},
		{"id not in the batch", func(ids []string) (response, error) { return report(ids[0], "other"), nil }, none},
		{"not an object", raw(`["x"]`), none},
		{"a text", give("done"), none},
		{"not a list", raw(`{"batchItemFailures":{"itemIdentifier":"x"}}`), none},
		{"list under a name in another case", raw(`{"BatchItemFailures":[{"itemIdentifier":"x"}]}`), all},
		{"returned error", func(ids []string) (response, error) { return report(ids[0]), errors.New("boom") }, none},
		{"panic", func([]string) (response, error) { panic("boom") }, none},
		{"exit of the goroutine", func([]string) (response, error) { runtime.Goexit(); return response{}, nil }, none},
		{"timeout", func(ctx context.Context, _ event) (response, error) { <-ctx.Done(); return response{}, nil }, none},
		{"oversize response", give(strings.Repeat("x", emulator.MaxPayloadBytes)), none},
		// A process can answer what a handler can't send through aws-lambda-go.
		{"no bytes", payloads(""), all},
		{"the byte \\n", payloads("\n"), all},
		{"the byte {", payloads("{"), none},
	} {
		rows[row.name] = leaves(row.left, reporting+", ", row.handler)
	}
	rows["without reporting the body is ignored"] = leaves(all, "",
		func(ids []string) (response, error) { return report(ids[0], "other", ""), nil })
	return rows
}

// leaves is a row of [b06]: how many messages are left after a batch of two.
func leaves(want int, mapping string, handler any) func(*testing.T, func(setting) *world) {
	if ofIDs, ok := handler.(func(ids []string) (response, error)); ok {
		handler = func(_ context.Context, e event) (response, error) {
			return ofIDs([]string{e.Records[0].MessageId, e.Records[1].MessageId})
		}
	}
	return func(t *testing.T, open func(setting) *world) {
		// The window ends when the batch is full.
		w := open(setting{mapping: mapping + "BatchSize: 2, MaximumBatchingWindowInSeconds: 20"})
		batches := make(chan int, 1)
		w.send("a", "b")
		w.poll(counting{w.invoker(handler), batches})
		select {
		case n := <-batches:
			diff(t, "batch", 2, n)
		case <-time.After(w.patience()):
			t.Fatal("no invocation")
		}
		w.stop()
		diff(t, "left", want, w.jobs.left(t))
	}
}

// counting is an invoker that reports how many records the first event has.
type counting struct {
	emulator.Invoker
	batches chan<- int
}

func (c counting) Invoke(ctx context.Context, i emulator.Invocation) (emulator.Result, error) {
	select {
	case c.batches <- len(i.Event.Typed().(*event).Records):
	default:
	}
	return c.Invoker.Invoke(ctx, i)
}

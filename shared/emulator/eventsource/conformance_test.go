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
	"testing/synctest"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/template"
	"paylane/shared/queue"
)

// TestConformance has the rows B01 to B13 of the conformance checklist (B06 has a table
// of its own), on a pebble queue and a virtual clock, each with typed events and
// through JSON.
func TestConformance(t *testing.T) {
	rows := []struct {
		name string
		run  func(t *testing.T, json bool)
	}{
		{"B01 three messages at once", b01},
		{"B02 no attributes, window 0", b02("0", "absent")},
		{"B02 no attributes, window 1", b02("1", "null")},
		{"B03 batch size 11 without a window", b03},
		{"B04 visibility below the function's timeout", b04},
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
		bothModes(t, row.name, row.run)
	}
}

func b01(t *testing.T, json bool) {
	w := start(t, setting{}, json, handle(succeed))
	time.Sleep(time.Minute) // the poller waits already
	sent := time.Now()
	ids := w.send("a", "b", "c")
	time.Sleep(10 * time.Millisecond) // a message is delivered once it is durable, 5 ms later
	seen := w.invocations()
	if len(seen) < 1 || len(seen) > 3 {
		t.Fatalf("%d invocations", len(seen))
	}
	for _, id := range ids {
		diff(t, "receives of "+id, 1, w.receives()[id])
	}
	diff(t, "left in the queue", 0, left(w.jobs))
	r := seen[0].records[0]
	diff(t, "record", []any{
		ids[0], "a", "0cc175b9c0f1b6a831c399e269772661", "", "aws:sqs", "arn:aws:sqs:us-east-1:123456789012:jobs", "us-east-1",
	}, []any{r.MessageId, r.Body, r.Md5OfBody, r.Md5OfMessageAttributes, r.EventSource, r.EventSourceARN, r.AWSRegion})
	diff(t, "receive count", "1", r.Attributes["ApproximateReceiveCount"])
	diff(t, "sent", millis(sent), r.Attributes["SentTimestamp"])
	diff(t, "first received", millis(sent.Add(5*time.Millisecond)), r.Attributes["ApproximateFirstReceiveTimestamp"])
	if r.ReceiptHandle == "" || len(r.Attributes) != 4 || r.MessageAttributes == nil || len(r.MessageAttributes) != 0 {
		t.Errorf("the record is %+v", r)
	}
}

func b02(window, want string) func(*testing.T, bool) {
	return func(t *testing.T, viaJSON bool) {
		var hash atomic.Value
		handler := func(_ context.Context, e json.RawMessage) error {
			var event struct{ Records []map[string]json.RawMessage }
			if err := json.Unmarshal(e, &event); err != nil {
				return err
			}
			hash.Store("absent")
			if value, ok := event.Records[0]["md5OfMessageAttributes"]; ok {
				hash.Store(string(value))
			}
			return nil
		}
		w := start(t, setting{mapping: "MaximumBatchingWindowInSeconds: " + window}, viaJSON, handler)
		w.send("a")
		time.Sleep(2 * time.Second)
		diff(t, "md5OfMessageAttributes", any(want), hash.Load())
	}
}

func b03(t *testing.T, _ bool) {
	refused(t, setting{mapping: "BatchSize: 11"},
		"Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10")
}

func b04(t *testing.T, _ bool) {
	refused(t, setting{queue: "VisibilityTimeout: 30", function: "Timeout: 60"},
		"Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds")
}

func b05(t *testing.T, json bool) {
	var third atomic.Value
	w := start(t, setting{mapping: reporting}, json, handle(func(_ *world, _ context.Context, e event) (response, error) {
		var r response
		for _, record := range e.Records {
			if record.MessageId == third.Load() && record.Attributes["ApproximateReceiveCount"] == "1" {
				r.BatchItemFailures = append(r.BatchItemFailures, failure{ItemIdentifier: record.MessageId})
			}
		}
		return r, nil
	}))
	synctest.Wait() // the poller waits for messages
	ids := w.send("a", "b", "c")
	third.Store(ids[2])
	time.Sleep(29 * time.Second)
	diff(t, "left before the visibility timeout", 1, left(w.jobs))
	diff(t, "receives before it", map[string]int{ids[0]: 1, ids[1]: 1, ids[2]: 1}, w.receives())
	time.Sleep(2 * time.Second)
	diff(t, "receives after it", map[string]int{ids[0]: 1, ids[1]: 1, ids[2]: 2}, w.receives())
	diff(t, "left after it", 0, left(w.jobs))
	seen := w.invocations()
	diff(t, "receive count", "2", seen[len(seen)-1].records[0].Attributes["ApproximateReceiveCount"])
}

func b07(t *testing.T, json bool) {
	w := start(t, setting{mapping: reporting}, json, handle(func(_ *world, _ context.Context, e event) (response, error) {
		if e.Records[0].Attributes["ApproximateReceiveCount"] == "1" {
			return response{BatchItemFailures: []failure{{ItemIdentifier: e.Records[0].MessageId}}}, errors.New("boom")
		}
		return response{}, nil
	}))
	ids := w.send("a", "b", "c")
	time.Sleep(time.Second)
	diff(t, "left", 3, left(w.jobs))
	handles := map[string]bool{}
	time.Sleep(30 * time.Second)
	for _, i := range w.invocations() {
		for _, r := range i.records {
			handles[r.ReceiptHandle] = true
		}
	}
	diff(t, "receives", map[string]int{ids[0]: 2, ids[1]: 2, ids[2]: 2}, w.receives())
	diff(t, "different receipt handles", 6, len(handles))
	diff(t, "left", 0, left(w.jobs))
}

func b08(t *testing.T, json bool) {
	w := start(t, setting{queue: redrive2, mapping: reporting}, json, handle(func(*world, context.Context, event) (response, error) {
		return response{}, errors.New("never")
	}))
	sent := time.Now()
	ids := w.send("poison")
	time.Sleep(5 * time.Minute)
	diff(t, "receives", map[string]int{ids[0]: 2}, w.receives())
	diff(t, "left in the queue and in the dead-letter queue", []int{0, 1}, []int{left(w.jobs), left(w.dead)})
	got, err := w.dead.Receive(t.Context(), queue.ReceiveRequest{Max: 1})
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	diff(t, "message", []any{ids[0], 3, millis(sent), "arn:aws:sqs:us-east-1:123456789012:jobs"},
		[]any{got[0].MessageID, got[0].ReceiveCount(), millis(got[0].SentAt()), got[0].DeadLetterSourceARN()})
}

func b09(t *testing.T, json bool) {
	w := start(t, setting{mapping: reporting}, json, handle(func(w *world, ctx context.Context, e event) (response, error) {
		r := e.Records[0]
		if r.Attributes["ApproximateReceiveCount"] != "1" {
			return response{}, nil
		}
		err := w.jobs.ChangeVisibility(ctx, r.ReceiptHandle, 0)
		return response{BatchItemFailures: []failure{{ItemIdentifier: r.MessageId}}}, err
	}))
	ids := w.send("a")
	time.Sleep(100 * time.Millisecond)
	diff(t, "receives", map[string]int{ids[0]: 2}, w.receives())
	diff(t, "left", 0, left(w.jobs))
}

func b10(t *testing.T, json bool) {
	var now, most atomic.Int64
	w := start(t, setting{mapping: "BatchSize: 1, ScalingConfig: {MaximumConcurrency: 2}"}, json,
		handle(func(*world, context.Context, event) (response, error) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(4 * time.Second)
			now.Add(-1)
			return response{}, nil
		}))
	w.send(numbered(50)...)
	time.Sleep(102 * time.Second) // far beyond the visibility timeout of 30 s
	diff(t, "most at a time", int64(2), most.Load())
	diff(t, "invocations", 50, len(w.invocations()))
	for _, i := range w.invocations() {
		diff(t, "receive count", "1", i.records[0].Attributes["ApproximateReceiveCount"])
	}
	diff(t, "left", 0, left(w.jobs))
}

func b11(t *testing.T, json bool) {
	w := start(t, setting{mapping: `FilterCriteria: {Filters: [{Pattern: '{"body":{"k":["v"]}}'}]}`}, json, handle(succeed))
	w.send(`{"k":"w"}`, `plain`)
	time.Sleep(time.Second)
	diff(t, "invocations", 0, len(w.invocations()))
	diff(t, "left", 0, left(w.jobs))
	ids := w.send(`{"k":"v"}`)
	time.Sleep(time.Second)
	diff(t, "receives of one that matches", map[string]int{ids[0]: 1}, w.receives())
}

func b12(t *testing.T, json bool) {
	w := start(t, setting{queue: "MaximumMessageSize: 1024", mapping: "Enabled: false"}, json, handle(succeed))
	long := string(make([]byte, 2048))
	result, err := w.jobs.SendBatch(t.Context(), []queue.SendEntry{{ID: "a", Body: "1"}, {ID: "b", Body: long}, {ID: "c", Body: "3"}})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "successful", 2, len(result.MessageIDs))
	diff(t, "failed", map[string]*queue.RequestError{"b": {Code: "InvalidParameterValue",
		Message: "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes."}}, result.Failed)
	_, err = w.jobs.SendBatch(t.Context(), []queue.SendEntry{{ID: "a", Body: "1"}, {ID: "a", Body: "2"}})
	var refusal *queue.RequestError
	if !errors.As(err, &refusal) {
		t.Errorf("a repeated id: %v", err)
	}
	diff(t, "left", 2, left(w.jobs))
}

func b13(t *testing.T, json bool) {
	var fail atomic.Bool
	fail.Store(true)
	w := start(t, setting{queue: redrive2}, json, handle(func(*world, context.Context, event) (response, error) {
		if fail.Load() {
			return response{}, errors.New("not yet")
		}
		return response{}, nil
	}))
	ids := w.send("a")
	time.Sleep(5 * time.Minute)
	diff(t, "in the dead-letter queue", 1, left(w.dead))
	fail.Store(false)
	if _, err := w.dead.StartMoveTask(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	seen := w.invocations()
	last := seen[len(seen)-1].records[0]
	if last.MessageId == ids[0] || last.Attributes["ApproximateReceiveCount"] != "1" || last.Body != "a" {
		t.Errorf("the moved message is %+v", last)
	}
	_, err := w.jobs.StartMoveTask(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Source queue must be configured as a Dead Letter Queue.") {
		t.Errorf("from a plain queue: %v", err)
	}
}

// B06: the table of responses, each to a batch of two messages.
func TestConformanceB06(t *testing.T) {
	report := func(ids ...string) response {
		var r response
		for _, id := range ids {
			r.BatchItemFailures = append(r.BatchItemFailures, failure{ItemIdentifier: id})
		}
		return r
	}
	const all, none = 0, 2 // what is left when all, or none, are deleted
	rows := []struct {
		name string
		// typed is the handler; where it is nil, one that returns the JSON.
		typed func(ids []string) (response, error)
		json  any
		left  int
	}{
		{"empty list", nil, raw(`{"batchItemFailures":[]}`), all},
		{"null list", nil, raw(`{"batchItemFailures":null}`), all},
		{"empty object", nil, raw(`{}`), all},
		{"null", nil, raw(`null`), all},
		{"zero response", func([]string) (response, error) { return response{}, nil }, nil, all},
		{"nil pointer", nil, (*response)(nil), all},
		{"subset", func(ids []string) (response, error) { return report(ids[0]), nil }, nil, 1},
		{"all ids", func(ids []string) (response, error) { return report(ids...), nil }, nil, none},
		{"same id twice", func(ids []string) (response, error) { return report(ids[0], ids[0]), nil }, nil, 1},
		{"empty identifier", func(ids []string) (response, error) { return report(ids[0], ""), nil }, nil, none},
		{"null identifier", nil, raw(`{"batchItemFailures":[{"itemIdentifier":null}]}`), none},
		{"misspelt key", nil, raw(`{"batchItemFailures":[{"foo":"x"}]}`), none},
		{"identifier that is a number", nil, raw(`{"batchItemFailures":[{"itemIdentifier":1}]}`), none},
		{"item that is no object", nil, raw(`{"batchItemFailures":["x"]}`), none},
		{"null item", nil, raw(`{"batchItemFailures":[null]}`), none},
		{"id not in the batch", func(ids []string) (response, error) { return report(ids[0], "other"), nil }, nil, none},
		{"not an object", nil, raw(`["x"]`), none},
		{"a text", nil, "done", none},
		{"not a list", nil, raw(`{"batchItemFailures":{"itemIdentifier":"x"}}`), none},
		{"list under a name in another case", nil, raw(`{"BatchItemFailures":[{"itemIdentifier":"x"}]}`), all},
		{"returned error", func(ids []string) (response, error) { return report(ids[0]), errors.New("boom") }, nil, none},
		{"panic", func([]string) (response, error) { panic("boom") }, nil, none},
		{"exit of the goroutine", func([]string) (response, error) { runtime.Goexit(); return response{}, nil }, nil, none},
		{"timeout", func([]string) (response, error) { time.Sleep(6 * time.Second); return response{}, nil }, nil, none},
		{"oversize response", nil, strings.Repeat("x", emulator.MaxPayloadBytes), none},
	}
	for _, row := range rows {
		bothModes(t, "B06 "+row.name, func(t *testing.T, json bool) {
			var handler any = func(context.Context, event) (any, error) { return row.json, nil }
			if row.typed != nil {
				handler = func(_ context.Context, e event) (response, error) {
					var ids []string
					for _, r := range e.Records {
						ids = append(ids, r.MessageId)
					}
					return row.typed(ids)
				}
			}
			w := start(t, setting{mapping: reporting}, json, handler)
			synctest.Wait() // the poller waits, so that both come in one batch
			w.send("a", "b")
			time.Sleep(10 * time.Second)
			diff(t, "left", row.left, left(w.jobs))
		})
	}
	// What a handler can't send through aws-lambda-go, a child process can.
	for payload, left := range map[string]int{"": all, "\n": all, "{": none} {
		bothModes(t, fmt.Sprintf("B06 the bytes %q", payload), func(t *testing.T, _ bool) {
			sent := &source{records: records(2)}
			run(t, eventsource.Config{
				Mapping: template.Mapping{Enabled: true, BatchSize: 10, ReportBatchItemFailures: true},
				Source:  sent, Invoker: payloads(payload),
			})
			diff(t, "left", left, 2-len(sent.deleted))
		})
	}
	bothModes(t, "B06 without reporting the body is ignored", func(t *testing.T, json bool) {
		w := start(t, setting{}, json, handle(func(_ *world, _ context.Context, e event) (response, error) {
			return report(e.Records[0].MessageId, "other", ""), nil
		}))
		w.send("a", "b")
		time.Sleep(time.Second)
		diff(t, "left", all, left(w.jobs))
	})
}

func raw(payload string) json.RawMessage { return json.RawMessage(payload) }

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

package streamsource_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator"
)

var errBoom = errors.New("boom")

const (
	ms      = time.Millisecond
	forever = -1 // MaximumRetryAttempts
)

// TestConformance has the rows G01 and on of docs/emulation.md.
func TestConformance(t *testing.T) {
	bothModes(t, "G01 a child waits for its parent", g01)
	bothModes(t, "G01 children of one that is gone, and of one that goes", g01Gone)
	bothModes(t, "G02 one batch at a time, in order", g02)
	bothModes(t, "G03 parallelization", g03)
	bothModes(t, "G04 batch size", g04)
	bothModes(t, "G05 window", g05)
	bothModes(t, "G05 6 MB", g05Heavy)
	for position, want := range map[string][]string{"TRIM_HORIZON": {"a b", "c", "d", "e", "f"}, "LATEST": {"d", "e", "f"}} {
		bothModes(t, "G06 starting position "+position, g06(position, want))
	}
	bothModes(t, "G07 filters", g07)
	bothModes(t, "G08 retries", g08)
	bothModes(t, "G08 retries without end", g08Forever)
	bothModes(t, "G09 record age", g09)
	bothModes(t, "G10 bisect", g10)
	bothModes(t, "G11 reported records", g11)
	bothModes(t, "G12 bisect at a reported record", g12)
	bothModes(t, "G14 what the destination gets", g14)
	bothModes(t, "G15 throttled", g15)
	bothModes(t, "G16 a kill before the checkpoint", g16)
	bothModes(t, "G17 records that repeat", g17)
	bothModes(t, "G17 a repeated record that is reported", g17Reported)
	for name, row := range g13() {
		bothModes(t, "G13 "+name, row)
	}
}

func g01(t *testing.T, w *world) {
	var release atomic.Bool
	w.poll(mapping{MaxRetries: forever}, handle(func(_ context.Context, values string, _ event) (response, error) {
		if values == "last" && !release.Load() {
			return response{}, errBoom
		}
		return response{}, nil
	}))
	time.Sleep(time.Minute)
	w.write("s", "k", "first")
	synctest.Wait()
	w.write("s", "k", "last")
	w.split("s", "left", "right")
	w.write("left", "k", "after")
	w.split("left", "grandchild")
	w.write("grandchild", "k", "at last")
	time.Sleep(time.Minute)
	diff(t, "while the parent's last record fails", []string{"first", "last"}, slices.Compact(w.batches()))
	diff(t, "opened", []string{"s"}, w.opens())
	release.Store(true)
	time.Sleep(time.Minute)
	diff(t, "and after", []string{"first", "last", "after", "at last"}, slices.Compact(w.batches()))
	diff(t, "checkpoints", []string{"s:1", "s:2", "left:3", "grandchild:4"}, w.saved())
	w.split("", "another") // found, although nothing has ended
	w.write("another", "k", "new")
	time.Sleep(2 * time.Second)
	diff(t, "of a new shard", "new", w.batches()[len(w.batches())-1])
}

func g01Gone(t *testing.T, w *world) {
	w.do(func() { w.find("s").gone = true })
	w.split("s", "child")
	w.write("child", "k", "a")
	w.poll(mapping{}, handle(succeed))
	time.Sleep(time.Second)
	diff(t, "batches", []string{"a"}, w.batches())
	w.do(func() { w.find("child").gone = true }) // though it was not read to its end
	w.split("child", "grandchild")
	w.write("grandchild", "k", "b")
	time.Sleep(time.Minute)
	diff(t, "batches", []string{"a", "b"}, w.batches())
}

func g02(t *testing.T, w *world) {
	var now atomic.Int64
	w.poll(mapping{BatchSize: 2}, handle(func(context.Context, string, event) (response, error) {
		if now.Add(1) > 1 {
			t.Error("two batches of a shard at a time")
		}
		time.Sleep(time.Second)
		now.Add(-1)
		return response{}, nil
	}))
	w.write("s", "k", "a")
	w.write("s", "l", "b")
	w.write("s", "k", "c")
	w.write("s", "m", "d", "e", "f")
	w.split("", "t")
	time.Sleep(time.Minute)
	diff(t, "order", "a b c d e f", strings.Join(w.batches(), " "))
	diff(t, "left", 0, w.left("s"))
}

// Two shards are polled side by side, and so are the lanes of one.
func g03(t *testing.T, w *world) {
	var now, most atomic.Int64
	w.poll(mapping{BatchSize: 1, Parallelization: 3}, handle(func(context.Context, string, event) (response, error) {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(time.Second)
		now.Add(-1)
		return response{}, nil
	}))
	var want []string
	for round := range 4 {
		for key := range 12 {
			w.write("s", fmt.Sprint("key", key), fmt.Sprint("key", key, "-", round))
			want = append(want, fmt.Sprint("key", key, "-", round))
		}
	}
	time.Sleep(10 * time.Minute)
	diff(t, "most at a time", int64(3), most.Load())
	got := w.batches()
	byKey := func(a, b string) int {
		a, _, _ = strings.Cut(a, "-")
		b, _, _ = strings.Cut(b, "-")
		return strings.Compare(a, b)
	}
	slices.SortStableFunc(got, byKey)
	slices.SortStableFunc(want, byKey)
	diff(t, "in order of each item", want, got)
	diff(t, "left", 0, w.left("s"))
	saved := w.saved()
	if !slices.IsSortedFunc(saved, func(a, b string) int { return len(a)*1000 - len(b)*1000 + strings.Compare(a, b) }) {
		t.Errorf("a checkpoint went back: %v", saved)
	}
}

func g04(t *testing.T, w *world) {
	w.write("s", "k", make([]string, 250)...)
	var sizes []int
	w.poll(mapping{}, func(_ context.Context, e event) (response, error) {
		sizes = append(sizes, len(e.Records))
		return response{}, nil
	})
	time.Sleep(time.Minute)
	synctest.Wait()
	diff(t, "by default", []int{100, 100, 50}, sizes)
	w.stop()
	w.write("s", "k", make([]string, 12000)...)
	sizes = nil
	w.poll(mapping{BatchSize: 10000, Window: time.Second}, func(_ context.Context, e event) (response, error) {
		sizes = append(sizes, len(e.Records))
		return response{}, nil
	})
	time.Sleep(time.Minute)
	synctest.Wait()
	diff(t, "at most", []int{10000, 2000}, sizes)
}

func g05(t *testing.T, w *world) {
	w.poll(mapping{BatchSize: 3, Window: 5 * time.Second}, handle(succeed))
	time.Sleep(time.Second)
	w.write("s", "k", "a")
	time.Sleep(4 * time.Second)
	w.write("s", "k", "b")
	time.Sleep(time.Second + ms)
	diff(t, "at the window's end", []invocation{{6 * time.Second, "a b"}}, w.invocations())
	w.write("s", "k", "c", "d", "e", "f")
	synctest.Wait()
	diff(t, "a full batch", []string{"a b", "c d e"}, w.batches())
	w.split("s", "child")
	synctest.Wait()
	diff(t, "at the shard's end", []string{"a b", "c d e", "f"}, w.batches())
}

func g05Heavy(t *testing.T, w *world) {
	w.poll(mapping{BatchSize: 100, Window: time.Minute}, handle(succeed))
	for range 7 {
		w.write("s", "k", strings.Repeat("x", 1<<20))
	}
	w.write("s", "k", strings.Repeat("y", 7<<20)) // longer than any event
	time.Sleep(time.Second)
	diff(t, "batches before the window's end", []int{5, 2}, w.sizes())
	time.Sleep(time.Minute)
	diff(t, "batches", []int{5, 2, 1}, w.sizes())
	diff(t, "left", 0, w.left("s"))
}

func g06(position string, want []string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		w.write("s", "k", "a", "b")
		w.split("s", "child")
		w.write("child", "k", "c")
		w.poll(mapping{StartingPosition: position}, handle(succeed))
		synctest.Wait()
		w.write("child", "k", "d")
		synctest.Wait()
		w.split("child", "grandchild") // its parent was there at the start, but it was not
		w.write("grandchild", "k", "e")
		synctest.Wait()
		w.split("", "new")
		w.write("new", "k", "f")
		time.Sleep(time.Minute)
		diff(t, "batches", want, w.batches())
		diff(t, "what has ended is opened", position == "TRIM_HORIZON", slices.Contains(w.opens(), "s"))
	}
}

func g07(t *testing.T, w *world) {
	w.poll(mapping{BatchSize: 2, Window: time.Minute, Filters: []string{
		`{"eventName":["INSERT"],"dynamodb":{"NewImage":{"value":{"S":[{"prefix":"yes"}]}}}}`,
		`{"dynamodb":{"NewImage":{"count":{"N":["7"]}}}}`,
		`{"dynamodb":{"NewImage":{"count":{"N":[{"numeric":[">",0]}]}}}}`, // never: N is a string
	}}, handle(succeed))
	w.write("s", "k", "no", "no")
	synctest.Wait()
	diff(t, "a stretch without a match", []string{"s:2"}, w.saved())
	w.write("s", "k", "yes-1", "no", "no", "no", "no", "no")
	synctest.Wait()
	diff(t, "behind one that waits", []string{"s:2"}, w.saved())
	modified := record("10", "k", "yes-not-inserted")
	modified.EventName = "MODIFY"
	eight, seven := record("11", "k", "count-8"), record("12", "k", "count-7")
	eight.Change.NewImage["count"] = events.NewNumberAttribute("8")
	seven.Change.NewImage["count"] = events.NewNumberAttribute("7")
	w.add(modified, eight, seven)
	synctest.Wait()
	diff(t, "batches", []string{"yes-1 count-7"}, w.batches())
	diff(t, "checkpoints", []string{"s:2", "s:12"}, w.saved())
}

func g08(t *testing.T, w *world) {
	w.poll(mapping{BatchSize: 2, MaxRetries: 2}, handle(func(_ context.Context, values string, _ event) (response, error) {
		if strings.Contains(values, "bad") {
			return response{}, errBoom
		}
		return response{}, nil
	}))
	w.write("s", "k", "bad", "b", "c")
	time.Sleep(time.Minute)
	diff(t, "invocations", []invocation{{0, "bad b"}, {250 * ms, "bad b"}, {750 * ms, "bad b"}, {750 * ms, "c"}}, w.invocations())
	diff(t, "given up", 1, len(w.discarded()))
	diff(t, "checkpoints", []string{"s:2", "s:3"}, w.saved())
}

func g08Forever(t *testing.T, w *world) {
	w.poll(mapping{MaxRetries: forever}, handle(func(context.Context, string, event) (response, error) {
		return response{}, errBoom
	}))
	w.write("s", "k", "bad")
	synctest.Wait() // it is a batch of its own
	w.write("s", "k", "blocked")
	time.Sleep(time.Hour)
	diff(t, "batches", []string{"bad"}, slices.Compact(w.batches()))
	seen := w.invocations()
	diff(t, "the last wait", 10*time.Second, seen[len(seen)-1].At-seen[len(seen)-2].At)
	diff(t, "given up", 0, len(w.discarded()))
	diff(t, "left", 2, w.left("s"))
}

func g09(t *testing.T, w *world) {
	w.write("s", "k", "old")
	time.Sleep(61 * time.Second)
	w.write("s", "k", "bad")
	w.poll(mapping{MaxRetries: forever, MaxRecordAge: time.Minute}, handle(func(context.Context, string, event) (response, error) {
		return response{}, errBoom
	}))
	time.Sleep(50 * time.Second)
	diff(t, "what is old is not handed on", []string{"bad"}, slices.Compact(w.batches()))
	diff(t, "given up", []outcome{{"RecordAgeExceeded", 0, "1", "1", 1, false}}, outcomes(t, w.discarded()))
	time.Sleep(time.Hour)
	tries := len(w.batches())
	diff(t, "given up", []outcome{
		{"RecordAgeExceeded", 0, "1", "1", 1, false}, {"RecordAgeExceeded", tries, "2", "2", 1, true},
	}, outcomes(t, w.discarded()))
	if last := w.invocations()[tries-1].At; last > 122*time.Second {
		t.Errorf("it was tried at %v", last)
	}
	diff(t, "left", 0, w.left("s"))
}

// A split uses up no retry: each half is tried as often as the mapping allows.
func g10(t *testing.T, w *world) {
	w.write("s", "k", "a", "b", "bad", "d", "e")
	w.poll(mapping{MaxRetries: 1, Bisect: true}, handle(func(_ context.Context, values string, _ event) (response, error) {
		if strings.Contains(values, "bad") {
			return response{}, errBoom
		}
		return response{}, nil
	}))
	time.Sleep(time.Minute)
	diff(t, "batches", []string{"a b bad d e", "a b bad", "a b", "bad", "bad", "d e"}, w.batches())
	diff(t, "given up", []outcome{{"RetryAttemptsExhausted", 4, "3", "3", 1, true}}, outcomes(t, w.discarded()))
	diff(t, "checkpoints", []string{"s:2", "s:3", "s:5"}, w.saved())
}

func g11(t *testing.T, w *world) {
	numbers := w.write("s", "k", "a", "b", "c", "d", "e")
	var calls int
	w.poll(mapping{MaxRetries: 2, ReportBatchItemFailures: true}, handle(func(context.Context, string, event) (response, error) {
		switch calls++; calls {
		case 1:
			return report(numbers[3], numbers[1], numbers[3]), nil
		case 2:
			return report(numbers[3]), nil
		case 3:
			return report(numbers[3]), nil
		}
		return response{}, nil
	}))
	time.Sleep(time.Minute)
	// What succeeded begins the waits anew.
	diff(t, "invocations", []invocation{{0, "a b c d e"}, {250 * ms, "b c d e"}, {500 * ms, "d e"}}, w.invocations())
	diff(t, "given up", []outcome{{"RetryAttemptsExhausted", 3, "4", "5", 2, true}}, outcomes(t, w.discarded()))
	diff(t, "checkpoints", []string{"s:1", "s:3", "s:5"}, w.saved())
}

// The batch is split at the reported record; that uses up no retry, unless it is the first.
func g12(t *testing.T, w *world) {
	numbers := w.write("s", "k", "a", "b", "c", "d")
	answers := []response{report(numbers[1]), report(numbers[2]), report(numbers[2]), report(numbers[2])}
	w.poll(mapping{MaxRetries: 1, Bisect: true, ReportBatchItemFailures: true},
		handle(func(context.Context, string, event) (response, error) {
			next := answers[0]
			answers = answers[1:]
			return next, nil
		}))
	time.Sleep(time.Minute)
	diff(t, "batches", []string{"a b c d", "b c d", "c d", "c d"}, w.batches())
	diff(t, "given up", []outcome{{"RetryAttemptsExhausted", 4, "3", "4", 2, true}}, outcomes(t, w.discarded()))
}

// payloads is an invoker whose function sends any bytes, as a child process can.
type payloads string

func (p payloads) Invoke(context.Context, emulator.Invocation) (emulator.Result, error) {
	return emulator.PayloadResult([]byte(p)), nil
}

// g13 returns the table of responses, each to a batch of two records that is not retried.
func g13() map[string]func(*testing.T, *world) {
	give := func(result any) any { return func(context.Context, event) (any, error) { return result, nil } }
	raw := func(payload string) any { return give(json.RawMessage(payload)) }
	answer := func(r response, err error) any {
		return func(context.Context, event) (response, error) { return r, err }
	}
	const all, one, none = 0, 1, 2 // how many records are given up when all, one or none succeed
	rows := make(map[string]func(*testing.T, *world))
	for _, row := range []struct {
		name    string
		handler any
		givenUp int
	}{
		{"empty list", raw(`{"batchItemFailures":[]}`), all},
		{"null list", raw(`{"batchItemFailures":null}`), all},
		{"empty object", raw(`{}`), all},
		{"null", raw(`null`), all},
		{"zero response", answer(response{}, nil), all},
		{"no bytes", payloads(""), all},
		{"no result", func(context.Context, event) error { return nil }, all},
		{"the second", answer(report("2"), nil), one},
		{"the second as JSON", raw(`{"batchItemFailures":[{"itemIdentifier":"2"}]}`), one},
		{"the first", answer(report("1"), nil), none},
		{"both", answer(report("2", "1"), nil), none},
		{"empty identifier", answer(report("2", ""), nil), none},
		{"null identifier", raw(`{"batchItemFailures":[{"itemIdentifier":null}]}`), none},
		{"misspelt key", raw(`{"batchItemFailures":[{"foo":"2"}]}`), none},
		{"identifier that is a number", raw(`{"batchItemFailures":[{"itemIdentifier":2}]}`), none},
		{"record not in the batch", answer(report("2", "3"), nil), none},
		{"not an object", raw(`["x"]`), none},
		{"not a list", raw(`{"batchItemFailures":{"itemIdentifier":"2"}}`), none},
		{"the byte {", payloads("{"), none},
		{"returned error", answer(report("2"), errBoom), none},
		{"panic", func(context.Context, event) (response, error) { panic("boom") }, none},
		{"timeout", func(ctx context.Context, _ event) (response, error) { <-ctx.Done(); return response{}, nil }, none},
		{"oversize response", give(strings.Repeat("x", emulator.MaxPayloadBytes)), none},
		{"oversize list", answer(report(strings.Split(strings.Repeat("2 ", 300_000), " ")...), nil), none},
	} {
		rows[row.name] = gives(mapping{ReportBatchItemFailures: true}, row.handler, row.givenUp)
	}
	rows["without reporting the body is ignored"] = gives(mapping{}, answer(report("1", "x"), nil), all)
	return rows
}

func gives(m mapping, handler any, want int) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		w.write("s", "k", "a", "b")
		w.poll(m, handler)
		time.Sleep(time.Minute)
		size := 0
		for _, o := range outcomes(t, w.discarded()) {
			size += o.Size
		}
		diff(t, "given up", want, size)
		diff(t, "left", 0, w.left("s"))
	}
}

// outcome is what tests compare of the destination's records.
type outcome struct {
	Condition  string
	Invokes    int
	Start, End string
	Size       int
	Response   bool
}

func outcomes(t *testing.T, bodies []string) []outcome {
	t.Helper()
	var list []outcome
	for _, body := range bodies {
		var r struct {
			RequestContext struct {
				Condition              string
				ApproximateInvokeCount int
			}
			ResponseContext    *struct{}
			DDBStreamBatchInfo struct {
				StartSequenceNumber, EndSequenceNumber string
				BatchSize                              int
			}
		}
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, outcome{
			r.RequestContext.Condition, r.RequestContext.ApproximateInvokeCount,
			r.DDBStreamBatchInfo.StartSequenceNumber, r.DDBStreamBatchInfo.EndSequenceNumber, r.DDBStreamBatchInfo.BatchSize,
			r.ResponseContext != nil,
		})
	}
	return list
}

// The record as the destination gets it, which it must have before the batch is done.
func g14(t *testing.T, w *world) {
	w.refused = 2
	w.write("s", "k", "a")
	time.Sleep(1234 * ms)
	w.write("s", "k", "b")
	id := make(chan string, 1)
	w.poll(mapping{ReportBatchItemFailures: true}, identified(id))
	time.Sleep(600 * ms)
	diff(t, "checkpoints before", 0, len(w.saved()))
	time.Sleep(200 * ms)
	diff(t, "checkpoints after", []string{"s:2"}, w.saved())
	const body = `{"requestContext":{"requestId":"%s","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:f",` +
		`"condition":"RetryAttemptsExhausted","approximateInvokeCount":1},` +
		`"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},` +
		`"version":"1.0","timestamp":"2000-01-01T00:00:01.234Z","DDBStreamBatchInfo":{"shardId":"s","startSequenceNumber":"1",` +
		`"endSequenceNumber":"2","approximateArrivalOfFirstRecord":"2000-01-01T00:00:00Z",` +
		`"approximateArrivalOfLastRecord":"2000-01-01T00:00:01Z","batchSize":2,"streamArn":"` + streamARN + `"}}`
	diff(t, "records", []string{fmt.Sprintf(body, <-id)}, w.discarded())
}

// identified is an invoker whose function fails, and that passes the request's id on.
type identified chan string

func (i identified) Invoke(_ context.Context, in emulator.Invocation) (emulator.Result, error) {
	i <- in.RequestID
	return emulator.Result{}, &emulator.FunctionError{Type: "T"}
}

// throttled is an invoker that is throttled at first.
type throttled struct {
	times int
	next  emulator.Invoker
}

func (i *throttled) Invoke(ctx context.Context, in emulator.Invocation) (emulator.Result, error) {
	if i.times--; i.times >= 0 {
		return emulator.Result{}, emulator.ErrThrottled
	}
	return i.next.Invoke(ctx, in)
}

func g15(t *testing.T, w *world) {
	w.write("s", "k", "a", "b")
	f := emulator.NewInProcess(w.record(succeed), emulator.Config{JSON: w.json})
	t.Cleanup(f.Close)
	w.poll(mapping{Bisect: true}, &throttled{times: 9, next: f}) // there are no retries
	time.Sleep(time.Hour)
	diff(t, "batches", []string{"a b"}, w.batches())
	diff(t, "given up", 0, len(w.discarded()))
}

func g16(t *testing.T, w *world) {
	w.poll(mapping{BatchSize: 2}, handle(func(_ context.Context, values string, _ event) (response, error) {
		if values == "c d" { // the process ends here
			w.do(func() { w.dead = true })
		}
		return response{}, nil
	}))
	w.write("s", "k", "a")
	synctest.Wait()
	w.write("s", "k", "b")
	synctest.Wait()
	w.add(record("3", "k", "c"), record("4", "k", "d"), record("5", "k", "e"))
	time.Sleep(time.Second)
	w.stop()
	diff(t, "checkpoints", []string{"s:1", "s:2"}, w.saved())
	w.do(func() { w.dead = false })
	before := len(w.batches())
	w.poll(mapping{BatchSize: 2}, handle(succeed))
	time.Sleep(time.Second)
	diff(t, "what comes again", []string{"c d", "e"}, w.batches()[before:])
	diff(t, "left", 0, w.left("s"))
}

// A stream may repeat records, and give others late; the checkpoint never goes back.
func g17(t *testing.T, w *world) {
	w.poll(mapping{BatchSize: 1, ReportBatchItemFailures: true}, handle(succeed))
	w.add(record("9", "k", "a"), record("10", "k", "b"), record("9", "k", "a"), record("10", "k", "b"))
	time.Sleep(time.Hour)
	w.add(record("8", "k", "late"), record("11", "k", "c"))
	time.Sleep(time.Second)
	diff(t, "batches", []string{"a", "b", "a", "b", "late", "c"}, w.batches())
	diff(t, "checkpoints", []string{"s:9", "s:10", "s:11"}, w.saved())
}

// Which of the two it is can't be told, so it is the first.
func g17Reported(t *testing.T, w *world) {
	var again bool
	w.add(record("9", "k", "a"), record("10", "k", "b"), record("9", "k", "a"))
	w.poll(mapping{MaxRetries: 1, ReportBatchItemFailures: true}, handle(func(context.Context, string, event) (response, error) {
		if again {
			return response{}, nil
		}
		again = true
		return report("9"), nil
	}))
	time.Sleep(time.Second)
	diff(t, "batches", []string{"a b a", "a b a"}, w.batches())
}

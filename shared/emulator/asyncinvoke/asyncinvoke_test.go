package asyncinvoke_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator"
	"paylane/shared/emulator/asyncinvoke"
	"paylane/shared/emulator/template"
)

// world is a function that is invoked asynchronously, with queues for its records, on a
// virtual clock that begins at 2000-01-01.
type world struct {
	t       *testing.T
	invoker *asyncinvoke.Invoker
	began   time.Time

	mu     sync.Mutex
	seen   []invocation
	failed []sent
	done   []sent
}

// invocation is one that the handler saw; sent is a record that a queue received.
type (
	invocation struct {
		At        time.Duration
		RequestID string
	}
	sent struct {
		At   time.Duration
		Body string
	}
)

func start(t *testing.T, function template.Function, json bool, handler any) *world {
	t.Helper()
	if function.ARN == "" {
		function.ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
	}
	if function.Async.MaxAge == 0 {
		function.Async.MaxAge = 6 * time.Hour
	}
	sync := emulator.NewInProcess(handler, emulator.Config{
		ARN: function.ARN, Timeout: time.Second, ReservedConcurrency: function.ReservedConcurrency, JSON: json,
	})
	t.Cleanup(sync.Close)
	return startWith(t, function, sync)
}

func startWith(t *testing.T, function template.Function, invoker emulator.Invoker) *world {
	w := &world{t: t, began: time.Now()}
	w.invoker = asyncinvoke.New(asyncinvoke.Config{
		Function: function, Invoker: invoker, OnSuccess: w.queue(&w.done), OnFailure: w.queue(&w.failed),
	})
	t.Cleanup(func() { w.invoker.Close(context.Background()) })
	return w
}

func (w *world) queue(to *[]sent) asyncinvoke.Send {
	return func(_ context.Context, body string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		*to = append(*to, sent{time.Since(w.began), body})
		return nil
	}
}

// saw records an invocation, and returns its number.
func (w *world) saw(ctx context.Context) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, _ := lambdacontext.FromContext(ctx)
	w.seen = append(w.seen, invocation{time.Since(w.began), known.AwsRequestID})
	return len(w.seen)
}

func (w *world) invoke(event string) (requestID string) {
	w.t.Helper()
	requestID, err := w.invoker.Invoke(emulator.RawEvent(event))
	if err != nil {
		w.t.Fatal(err)
	}
	return requestID
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// bothModes runs a test on its own virtual clock, with a typed handler called directly and
// through JSON.
func bothModes(t *testing.T, name string, test func(t *testing.T, json bool)) {
	for mode, json := range map[string]bool{"typed": false, "json": true} {
		t.Run(name+" "+mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, json) })
		})
	}
}

// TestConformance has the row E02 of docs/emulation.md.
func TestConformance(t *testing.T) {
	bothModes(t, "E02 async function error", func(t *testing.T, json bool) {
		var w *world
		w = start(t, template.Function{Async: template.AsyncInvokes{MaxRetries: 2}}, json,
			func(ctx context.Context, _ events.EventBridgeEvent) error {
				w.saw(ctx)
				return errors.New("boom")
			})
		id := w.invoke(`{"source":"a<b"}`)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		diff(t, "invocations", []invocation{{0, id}, {time.Minute, id}, {3 * time.Minute, id}}, w.seen)
		diff(t, "records of failure", []sent{{3 * time.Minute, `{"version":"1.0","timestamp":"2000-01-01T00:03:00.000Z",` +
			`"requestContext":{"requestId":"` + id + `","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST",` +
			`"condition":"RetriesExhausted","approximateInvokeCount":3},"requestPayload":{"source":"a<b"},` +
			`"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},` +
			`"responsePayload":{"errorMessage":"boom","errorType":"errorString"}}`}}, w.failed)
		diff(t, "records of success", []sent(nil), w.done)
	})
}

func TestSuccessOnASecondTry(t *testing.T) {
	bothModes(t, "success", func(t *testing.T, json bool) {
		var w *world
		function := template.Function{
			ARN: "arn:aws:lambda:us-east-1:123456789012:function:f:live", Async: template.AsyncInvokes{MaxRetries: 2},
		}
		w = start(t, function, json, func(ctx context.Context, _ events.EventBridgeEvent) (map[string]string, error) {
			if w.saw(ctx) == 1 {
				time.Sleep(time.Minute) // past the timeout of 1 s
			}
			return map[string]string{"a": "<b>"}, nil
		})
		id := w.invoke(`{}`)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		diff(t, "invocations", []invocation{{0, id}, {61 * time.Second, id}}, w.seen)
		diff(t, "records of success", []sent{{61 * time.Second, `{"version":"1.0","timestamp":"2000-01-01T00:01:01.000Z",` +
			`"requestContext":{"requestId":"` + id + `","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:f:live",` +
			`"condition":"Success","approximateInvokeCount":2},"requestPayload":{},` +
			`"responseContext":{"statusCode":200,"executedVersion":"$LATEST"},"responsePayload":{"a":"<b>"}}`}}, w.done)
		diff(t, "records of failure", []sent(nil), w.failed)
	})
}

// outcome is what a test compares of a record of failure.
type outcome struct {
	At        time.Duration
	Condition string
	Invokes   int
	Response  bool
}

func outcomes(t *testing.T, records []sent) []outcome {
	t.Helper()
	var list []outcome
	for _, r := range records {
		var record struct {
			RequestContext struct {
				Condition              string
				ApproximateInvokeCount int
			}
			ResponseContext *struct{}
		}
		if err := json.Unmarshal([]byte(r.Body), &record); err != nil {
			t.Fatal(err)
		}
		list = append(list, outcome{r.At, record.RequestContext.Condition, record.RequestContext.ApproximateInvokeCount, record.ResponseContext != nil})
	}
	return list
}

func TestRetries(t *testing.T) {
	zero := 0
	rows := []struct {
		name     string
		function template.Function
		tries    []time.Duration
		want     outcome
	}{
		{"no retries", template.Function{}, []time.Duration{0}, outcome{0, "RetriesExhausted", 1, true}},
		{"one retry", template.Function{Async: template.AsyncInvokes{MaxRetries: 1}},
			[]time.Duration{0, time.Minute}, outcome{time.Minute, "RetriesExhausted", 2, true}},
		{"age", template.Function{Async: template.AsyncInvokes{MaxRetries: 2, MaxAge: 2 * time.Minute}},
			[]time.Duration{0, time.Minute}, outcome{time.Minute, "EventAgeExceeded", 2, true}},
		{"reserved concurrency 0", template.Function{ReservedConcurrency: &zero, Async: template.AsyncInvokes{MaxRetries: 2}},
			nil, outcome{0, "ZeroReservedConcurrency", 0, false}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w *world
				w = start(t, row.function, false, func(ctx context.Context) error {
					w.saw(ctx)
					return errors.New("boom")
				})
				w.invoke(`{}`)
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				var tries []time.Duration
				for _, i := range w.seen {
					tries = append(tries, i.At)
				}
				diff(t, "tries", row.tries, tries)
				diff(t, "records", []outcome{row.want}, outcomes(t, w.failed))
			})
		})
	}
}

// throttled is an invoker that is always throttled.
type throttled struct{ *world }

func (i throttled) Invoke(context.Context, emulator.Invocation) (emulator.Result, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen = append(i.seen, invocation{At: time.Since(i.began)})
	return emulator.Result{}, emulator.ErrThrottled
}

func TestThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts := &world{began: time.Now()}
		w := startWith(t, template.Function{Async: template.AsyncInvokes{MaxRetries: 2, MaxAge: 6 * time.Hour}}, throttled{counts})
		w.invoke(`{}`)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		var waits []time.Duration
		for n := range counts.seen[1:] {
			waits = append(waits, counts.seen[n+1].At-counts.seen[n].At)
		}
		second := time.Second
		diff(t, "first waits", []time.Duration{second, 2 * second, 4 * second, 8 * second, 16 * second, 32 * second,
			64 * second, 128 * second, 256 * second, 300 * second, 300 * second}, waits[:11])
		diff(t, "records", []outcome{{6 * time.Hour, "EventAgeExceeded", 0, false}}, outcomes(t, w.failed))
	})
}

// With a concurrency of one, two events are handled one after the other.
func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := 1
		var w *world
		w = start(t, template.Function{ReservedConcurrency: &one}, false, func(ctx context.Context) error {
			w.saw(ctx)
			time.Sleep(500 * time.Millisecond)
			return nil
		})
		w.invoke(`{}`)
		w.invoke(`{}`)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(w.done) != 2 || len(w.failed) != 0 || w.seen[1].At != time.Second {
			t.Errorf("done %v, failed %v, seen %v", w.done, w.failed, w.seen)
		}
	})
}

func TestEventsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w *world
		w = start(t, template.Function{}, false, func(ctx context.Context, _ json.RawMessage) { w.saw(ctx) })
		largest := `"` + strings.Repeat("x", asyncinvoke.MaxPayloadBytes-2) + `"`
		w.invoke(largest)
		for _, event := range []string{largest + " ", `{`, ``} {
			if id, err := w.invoker.Invoke(emulator.RawEvent(event)); err == nil || id != "" {
				t.Errorf("%d bytes: accepted", len(event))
			}
		}
		diff(t, "given up", 0, w.invoker.Close(t.Context()))
		diff(t, "invocations", 1, len(w.seen))
		if _, err := w.invoker.Invoke(emulator.RawEvent(`{}`)); err == nil {
			t.Error("accepted after Close")
		}
	})
}

func TestClose(t *testing.T) {
	rows := []struct {
		name     string
		limit    time.Duration // of Close
		returns  time.Duration // from its start
		givenUp  int
		finished int
	}{
		{"waits for invocations in progress", time.Minute, 500 * time.Millisecond, 1, 1},
		{"within its limit", 100 * time.Millisecond, 100 * time.Millisecond, 2, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w *world
				w = start(t, template.Function{Async: template.AsyncInvokes{MaxRetries: 2}}, false, func(ctx context.Context) error {
					if w.saw(ctx) == 1 {
						return errors.New("boom") // and waits for another try
					}
					time.Sleep(500 * time.Millisecond)
					return nil
				})
				w.invoke(`{}`)
				synctest.Wait()
				w.invoke(`{}`)
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), row.limit)
				defer cancel()
				began := time.Now()
				diff(t, "given up", row.givenUp, w.invoker.Close(ctx))
				diff(t, "time", row.returns, time.Since(began))
				diff(t, "finished", row.finished, len(w.done))
				diff(t, "again", row.givenUp, w.invoker.Close(ctx))
			})
		})
	}
}

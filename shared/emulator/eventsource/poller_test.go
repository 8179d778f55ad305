package eventsource_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/template"
	"paylane/shared/queue"
)

// sizes returns how many records each invocation had.
func (w *world) sizes() []int {
	var sizes []int
	for _, i := range w.invocations() {
		sizes = append(sizes, len(i.records))
	}
	return sizes
}

// inProcess returns an invoker that ends with the test.
func inProcess(t testing.TB, handler any, c emulator.Config) *emulator.InProcess {
	t.Helper()
	f := emulator.NewInProcess(handler, c)
	t.Cleanup(f.Close)
	return f
}

func TestWindow(t *testing.T) {
	bothModes(t, "a batch waits for the window's end", func(t *testing.T, json bool) {
		w := start(t, setting{mapping: "BatchSize: 100, MaximumBatchingWindowInSeconds: 5"}, json, handle(succeed))
		w.send(numbered(3)...)
		time.Sleep(4 * time.Second)
		diff(t, "before its end", 0, len(w.invocations()))
		w.send(numbered(20)...)
		time.Sleep(2 * time.Second)
		diff(t, "batches", []int{23}, w.sizes())
		diff(t, "invoked after", 5005*time.Millisecond, w.invocations()[0].at.Sub(w.began)) // 5 ms until the first was durable
		diff(t, "left", 0, w.jobs.left(t))
	})
	bothModes(t, "a full batch does not wait", func(t *testing.T, json bool) {
		w := start(t, setting{mapping: "BatchSize: 15, MaximumBatchingWindowInSeconds: 300"}, json, handle(succeed))
		w.send(numbered(35)...)
		time.Sleep(time.Second)
		diff(t, "batches", []int{15, 15}, w.sizes())
		time.Sleep(300 * time.Second)
		diff(t, "and the rest", []int{15, 15, 5}, w.sizes())
		for id, n := range w.receives() {
			diff(t, "receives of "+id, 1, n)
		}
	})
	bothModes(t, "6 MB are full", func(t *testing.T, json bool) {
		w := start(t, setting{mapping: "BatchSize: 100, MaximumBatchingWindowInSeconds: 10"}, json, handle(succeed))
		for range 7 {
			w.send(strings.Repeat("x", 1<<20))
		}
		time.Sleep(30 * time.Second)
		diff(t, "batches", []int{2, 5}, slices.Sorted(slices.Values(w.sizes())))
		diff(t, "left", 0, w.jobs.left(t))
	})
	bothModes(t, "6 MB are full without a window too", func(t *testing.T, json bool) {
		w := start(t, setting{}, json, handle(succeed))
		for range 7 {
			w.send(strings.Repeat(`"`, 1<<20)) // 2 MB each as JSON
		}
		time.Sleep(30 * time.Second)
		diff(t, "records", 7, len(w.receives()))
		for _, size := range w.sizes() {
			if size > 2 {
				t.Errorf("a batch of %d, which is over 6 MB", size)
			}
		}
		diff(t, "left", 0, w.jobs.left(t))
	})
}

func TestVisibilityWithWindow(t *testing.T) {
	for window, want := range map[time.Duration]time.Duration{
		0:                0,
		25 * time.Second: 0,
		26 * time.Second: 26*time.Second + 5*time.Second + 30*time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &source{}
			run(t, eventsource.Config{
				Mapping: template.Mapping{Enabled: true, BatchSize: 10, Window: window}, Source: s, Invoker: payloads(""),
				Queue: template.Queue{VisibilityTimeout: 30 * time.Second}, Function: template.Function{Timeout: 5 * time.Second},
			})
			diff(t, "visibility of a receive", want, s.asked[0].Visibility)
		})
	}
}

func TestStop(t *testing.T) {
	bothModes(t, "an invocation ends before Run returns", func(t *testing.T, json bool) {
		w := start(t, setting{}, json, handle(func(ctx context.Context, _ *world, _ event) (response, error) {
			time.Sleep(4 * time.Second)
			return response{}, ctx.Err()
		}))
		w.send("a")
		time.Sleep(time.Second)
		begin := time.Now()
		w.stop()
		diff(t, "it took", 3005*time.Millisecond, time.Since(begin))
		diff(t, "left", 0, w.jobs.left(t))
	})
	bothModes(t, "a function that does not end has its timeout", func(t *testing.T, json bool) {
		w := start(t, setting{}, json, handle(func(context.Context, *world, event) (response, error) {
			time.Sleep(time.Minute)
			return response{}, nil
		}))
		w.send("a")
		time.Sleep(time.Second)
		begin := time.Now()
		w.stop()
		diff(t, "it took", 4005*time.Millisecond, time.Since(begin))
		diff(t, "left", 1, w.jobs.left(t))
		time.Sleep(time.Minute) // until the handler that was left behind ends
	})
	bothModes(t, "what was gathered is handed on", func(t *testing.T, json bool) {
		w := start(t, setting{mapping: "BatchSize: 100, MaximumBatchingWindowInSeconds: 300"}, json, handle(succeed))
		w.send(numbered(3)...)
		time.Sleep(time.Second)
		w.stop()
		diff(t, "batches", []int{3}, w.sizes())
		diff(t, "left", 0, w.jobs.left(t))
	})
	bothModes(t, "nothing is received after it", func(t *testing.T, json bool) {
		w := start(t, setting{}, json, handle(succeed))
		w.stop()
		w.send("a")
		time.Sleep(time.Minute)
		diff(t, "invocations", 0, len(w.invocations()))
	})
}

func TestThrottle(t *testing.T) {
	bothModes(t, "a batch waits for the function", func(t *testing.T, json bool) {
		w := start(t, setting{mapping: "BatchSize: 1", function: "Timeout: 5\n      ReservedConcurrentExecutions: 1"}, json,
			handle(func(context.Context, *world, event) (response, error) {
				time.Sleep(4 * time.Second)
				return response{}, nil
			}))
		w.send("a", "b", "c")
		time.Sleep(25 * time.Second)
		diff(t, "batches", []int{1, 1, 1}, w.sizes())
		for _, i := range w.invocations() {
			diff(t, "receive count", "1", i.records[0].Attributes["ApproximateReceiveCount"])
		}
		diff(t, "left", 0, w.jobs.left(t))
	})
	bothModes(t, "a function that may never run makes receive counts grow", func(t *testing.T, json bool) {
		w := start(t, setting{queue: redrive2, function: "Timeout: 5\n      ReservedConcurrentExecutions: 0"}, json, handle(succeed))
		w.send("a")
		time.Sleep(5 * time.Minute)
		diff(t, "invocations", 0, len(w.invocations()))
		diff(t, "in the dead-letter queue", 1, w.dead.left(t))
	})
}

// throttled is an invoker whose function may not run before a time. It records the tries.
type throttled struct {
	until time.Time

	mu    sync.Mutex
	tries []time.Time
}

func (f *throttled) Invoke(context.Context, emulator.Invocation) (emulator.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries = append(f.tries, time.Now())
	if time.Now().Before(f.until) {
		return emulator.Result{}, emulator.ErrThrottled
	}
	return emulator.PayloadResult(nil), nil
}

// TestThrottled: a batch is tried for as long as its records are hidden, and not once others may have
// them; and that it was throttled does not slow the mapping down.
func TestThrottled(t *testing.T) {
	const visibility = 30 * time.Second
	synctest.Test(t, func(t *testing.T) {
		begin, s := time.Now(), &source{records: records(1)}
		f := &throttled{until: begin.Add(time.Hour)}
		run(t, eventsource.Config{
			Mapping: template.Mapping{Enabled: true, BatchSize: 1}, Source: s, Invoker: f,
			Queue: template.Queue{VisibilityTimeout: visibility},
		})
		if last := f.tries[len(f.tries)-1].Sub(begin); last >= visibility || last < visibility-10*time.Second || len(f.tries) > 20 {
			t.Errorf("%d tries, the last after %v", len(f.tries), last)
		}
		diff(t, "deleted", 0, len(s.deleted))
	})
	synctest.Test(t, func(t *testing.T) {
		const at = 4 // batches at a time
		s := &source{records: records(2 * at)}
		f := &throttled{until: time.Now().Add(visibility - 10*time.Millisecond)}
		run(t, eventsource.Config{
			Mapping: template.Mapping{Enabled: true, BatchSize: 1, MaxConcurrency: at}, Source: s, Invoker: f, Receivers: at,
			Queue: template.Queue{VisibilityTimeout: visibility},
		})
		// The first batches are given up when their records come back; the others follow at once.
		diff(t, "deleted", at, len(s.deleted))
		first, last := s.askedAt[at], s.askedAt[2*at-1]
		diff(t, "between the receives that follow", time.Duration(0), last.Sub(first))
	})
}

// concurrency counts how many of its handlers run.
type concurrency struct{ now, most atomic.Int64 }

func (c *concurrency) handle(d time.Duration) handle {
	return func(context.Context, *world, event) (response, error) {
		c.most.Store(max(c.most.Load(), c.now.Add(1)))
		time.Sleep(d)
		c.now.Add(-1)
		return response{}, nil
	}
}

func TestScaling(t *testing.T) {
	bothModes(t, "from 5 by 300 a minute", func(t *testing.T, json bool) {
		var c concurrency
		w := start(t, setting{mapping: "BatchSize: 1"}, json, c.handle(4*time.Second))
		w.send(numbered(300)...)
		time.Sleep(100 * time.Millisecond)
		diff(t, "at once", int64(5), c.most.Load())
		time.Sleep(2 * time.Second)
		diff(t, "after 2 s", int64(15), c.most.Load())
		time.Sleep(8 * time.Second)
		diff(t, "after 10 s", int64(55), c.most.Load())
		time.Sleep(2 * time.Minute) // idle
		c.most.Store(0)
		w.send(numbered(100)...)
		time.Sleep(100 * time.Millisecond)
		diff(t, "after a quiet minute", int64(5), c.most.Load())
	})
	bothModes(t, "errors halve it", func(t *testing.T, json bool) {
		var c concurrency
		var fail atomic.Bool
		fail.Store(true)
		slow := c.handle(time.Second)
		w := start(t, setting{mapping: "BatchSize: 1, ScalingConfig: {MaximumConcurrency: 16}"}, json,
			handle(func(ctx context.Context, w *world, e event) (response, error) {
				r, err := slow(ctx, w, e)
				if fail.Load() {
					err = errors.New("boom")
				}
				return r, err
			}))
		w.send(numbered(1000)...)
		time.Sleep(500 * time.Millisecond)
		diff(t, "at first", int64(16), c.now.Load())
		time.Sleep(600 * time.Millisecond)
		diff(t, "after the first errors", int64(8), c.now.Load())
		time.Sleep(10 * time.Second)
		if now := c.now.Load(); now > 6 {
			t.Errorf("after many errors %d are under way", now)
		}
		fail.Store(false)
		time.Sleep(12 * time.Second)
		diff(t, "when all is well again", int64(16), c.now.Load())
	})
	bothModes(t, "single records that fail do not", func(t *testing.T, json bool) {
		var c concurrency
		slow := c.handle(time.Second)
		w := start(t, setting{mapping: "BatchSize: 1, ScalingConfig: {MaximumConcurrency: 4}, " + reporting}, json,
			handle(func(ctx context.Context, w *world, e event) (response, error) {
				_, err := slow(ctx, w, e)
				return response{BatchItemFailures: []failure{{ItemIdentifier: e.Records[0].MessageId}}}, err
			}))
		w.send(numbered(40)...)
		time.Sleep(9500 * time.Millisecond)
		diff(t, "under way", int64(4), c.now.Load())
	})
	bothModes(t, "several receivers share it", func(t *testing.T, _ bool) {
		var c concurrency
		run(t, eventsource.Config{
			Mapping: template.Mapping{Enabled: true, BatchSize: 1, MaxConcurrency: 3}, Source: &source{records: records(60)}, Receivers: 5,
			Queue: template.Queue{VisibilityTimeout: time.Minute},
			Invoker: inProcess(t, func(context.Context, event) (response, error) {
				return c.handle(time.Second)(t.Context(), nil, event{})
			}, emulator.Config{}),
		})
		diff(t, "most at a time", int64(3), c.most.Load())
	})
}

// Over a slow network several receivers do concurrently what one does in turn, also when
// many batches end at one moment.
func TestReceivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var last atomic.Int64
		run(t, eventsource.Config{
			Mapping: template.Mapping{Enabled: true, BatchSize: 1, MaxConcurrency: 3}, Receivers: 3,
			Source: &source{records: records(30), latency: time.Second}, Queue: template.Queue{VisibilityTimeout: time.Minute},
			Invoker: inProcess(t, func(context.Context, event) (response, error) {
				time.Sleep(time.Second)
				last.Store(int64(time.Since(begin)))
				return response{}, nil
			}, emulator.Config{}),
		})
		diff(t, "the last of 30 ended after", 20*time.Second, time.Duration(last.Load()))
	})
}

func TestReceiveErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{records: records(3), failures: 9}
		begin := time.Now()
		run(t, eventsource.Config{
			Mapping: template.Mapping{Enabled: true, BatchSize: 10}, Source: s, Invoker: payloads(""),
		})
		var waits []time.Duration
		for i := range 9 {
			waits = append(waits, s.askedAt[i+1].Sub(s.askedAt[i])/time.Millisecond)
		}
		diff(t, "pauses in ms", []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000}, waits)
		diff(t, "deleted", 3, len(s.deleted))
		diff(t, "it took", 90*time.Second, time.Since(begin))
	})
}

// A record that could not be deleted comes again, and the log says why.
func TestDeleteErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := &source{records: records(3), outcomes: []error{nil, queue.ErrReceiptHandle, nil}}
		run(t, eventsource.Config{
			Mapping: template.Mapping{Enabled: true, BatchSize: 10}, Source: s, Invoker: payloads(""),
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, queue.ErrReceiptHandle.Error()) {
			t.Errorf("the log is %q", got)
		}
	})
}

func TestNotEnabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, setting{mapping: "Enabled: false"}, false, handle(succeed))
		w.send("a")
		time.Sleep(time.Minute)
		diff(t, "invocations", 0, len(w.invocations()))
	})
}

func TestNewRefusesFilters(t *testing.T) {
	_, err := eventsource.New(eventsource.Config{Mapping: template.Mapping{LogicalID: "M", Filters: []string{"{"}}})
	if err == nil || !strings.Contains(err.Error(), "mapping M: invalid filter pattern definition") {
		t.Errorf("the error is %v", err)
	}
}

// One receiver keeps up with thousands of messages a second. A round is 1,000 of them.
func BenchmarkPoller(b *testing.B) {
	const round = 1000
	messages := records(round)
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithCancel(context.Background())
		var handled atomic.Int64
		f := inProcess(b, func(_ context.Context, e event) (response, error) {
			if handled.Add(int64(len(e.Records))) == round {
				cancel()
			}
			return response{}, nil
		}, emulator.Config{})
		poller, err := eventsource.New(eventsource.Config{
			Mapping: template.Mapping{Enabled: true, BatchSize: 10, MaxConcurrency: 50, ReportBatchItemFailures: true},
			Source:  &source{records: messages}, Invoker: f,
		})
		if err != nil {
			b.Fatal(err)
		}
		poller.Run(ctx)
	}
	b.ReportMetric(float64(round*b.N)/b.Elapsed().Seconds(), "messages/s")
}

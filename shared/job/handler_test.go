package job_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/job"
)

// scripted is a worker with a verdict for each body; it panics for others.
type scripted map[string]job.Verdict

func (s scripted) Handle(_ context.Context, d job.Delivery) job.Verdict {
	v, ok := s[d.Body]
	if !ok {
		panic("no verdict on " + d.Body)
	}
	return v
}

// visibility records what was asked of the queue.
type visibility struct {
	mu    sync.Mutex
	asked map[string]time.Duration
	err   error
}

func (v *visibility) ChangeVisibility(_ context.Context, handle string, timeout time.Duration) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked[handle] = timeout
	return v.err
}

func message(id string) events.SQSMessage {
	return events.SQSMessage{MessageId: id, ReceiptHandle: "handle-" + id, Body: id, Attributes: map[string]string{
		"SentTimestamp": "1783711145123", "ApproximateReceiveCount": "3",
	}}
}

func TestBatch(t *testing.T) {
	queue := &visibility{asked: map[string]time.Duration{}}
	var log strings.Builder
	var failed atomic.Int32
	h := job.Handler(job.Config{
		Worker: scripted{
			"done":    {Next: job.Done, Result: "paid", Attrs: []slog.Attr{slog.String("order_id", "o-1")}},
			"soon":    {Next: job.Again, After: 1500 * time.Millisecond, Result: "unavailable"},
			"at once": {Next: job.Again, Result: job.ResultPoison, Err: errors.New("no order")},
			"later":   {Next: job.Later, Result: job.ResultError, Err: errors.New("no store")},
		},
		Queue: queue, Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Failed: func(context.Context) { failed.Add(1) },
	})
	response, err := h(t.Context(), events.SQSEvent{Records: []events.SQSMessage{
		message("done"), message("soon"), message("panics"), message("at once"), message("later"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{
		{ItemIdentifier: "soon"}, {ItemIdentifier: "panics"}, {ItemIdentifier: "at once"}, {ItemIdentifier: "later"},
	}}
	if diff := cmp.Diff(want, response); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	// Whole seconds, rounded up; a verdict of Later leaves the visibility timeout alone.
	if diff := cmp.Diff(map[string]time.Duration{"handle-soon": 2 * time.Second, "handle-at once": 0}, queue.asked); diff != "" {
		t.Errorf("visibility (-want +got):\n%s", diff)
	}
	if n := strings.Count(log.String(), "\n"); n != 5 {
		t.Errorf("%d log lines for 5 records:\n%s", n, &log)
	}
	if !strings.Contains(log.String(), "result=paid order_id=o-1 message_id=done receive_count=3\n") {
		t.Errorf("the line of a message does not say what became of it:\n%s", &log)
	}
	// By a fault on this side: the error and the panic.
	if n := failed.Load(); n != 2 {
		t.Errorf("%d messages failed, want 2", n)
	}
}

// TestVisibilityFails: the message comes back all the same.
func TestVisibilityFails(t *testing.T) {
	queue := &visibility{asked: map[string]time.Duration{}, err: errors.New("throttled")}
	h := job.Handler(job.Config{
		Worker: scripted{"soon": {Next: job.Again, After: time.Second}}, Queue: queue, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	response, err := h(t.Context(), events.SQSEvent{Records: []events.SQSMessage{message("soon")}})
	if err != nil || len(response.BatchItemFailures) != 1 {
		t.Errorf("%+v, %v", response, err)
	}
}

// TestNothing: an empty batch is a success, and looks like one on the wire.
func TestNothing(t *testing.T) {
	h := job.Handler(job.Config{Worker: scripted{}, Queue: &visibility{}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	response, err := h(t.Context(), events.SQSEvent{})
	if err != nil || response.BatchItemFailures == nil || len(response.BatchItemFailures) != 0 {
		t.Errorf("%+v, %v", response, err)
	}
}

type workerFunc func(context.Context, job.Delivery) job.Verdict

func (f workerFunc) Handle(ctx context.Context, d job.Delivery) job.Verdict {
	return f(ctx, d)
}

// TestSideBySide: ten records of a second each take a second.
func TestSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := job.Handler(job.Config{
			Worker: workerFunc(func(context.Context, job.Delivery) job.Verdict {
				time.Sleep(time.Second)
				return job.Verdict{Next: job.Done}
			}),
			Queue: &visibility{}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		})
		start := time.Now()
		if _, err := h(t.Context(), events.SQSEvent{Records: make([]events.SQSMessage, 10)}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestDelivery(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name       string
		attributes map[string]string
		want       job.Delivery
	}{
		{"as SQS sends it", map[string]string{"SentTimestamp": "1783711145123", "ApproximateReceiveCount": "3"},
			job.Delivery{Body: "b", SentAt: time.UnixMilli(1783711145123), ReceiveCount: 3}},
		{"written by hand", nil, job.Delivery{Body: "b", SentAt: now, ReceiveCount: 1}},
		{"nonsense", map[string]string{"SentTimestamp": "x", "ApproximateReceiveCount": ""}, job.Delivery{Body: "b", SentAt: now, ReceiveCount: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got job.Delivery
			h := job.Handler(job.Config{
				Worker: workerFunc(func(_ context.Context, d job.Delivery) job.Verdict {
					got = d
					return job.Verdict{Next: job.Done}
				}),
				Queue: &visibility{}, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
			})
			if _, err := h(t.Context(), events.SQSEvent{Records: []events.SQSMessage{{Body: "b", Attributes: tt.attributes}}}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

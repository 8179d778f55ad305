package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
)

// restAfterError keeps a connection from failing as fast as it can, which would only
// measure the failing.
const restAfterError = 10 * time.Millisecond

// load is a run of POST /orders against one target: each connection sends its next
// request when the last was answered.
type load struct {
	target      *target
	connections int
	duration    time.Duration
	body        []byte
	keyPrefix   string // of the Idempotency-Keys; empty for none
	now         func() time.Time
	show        *progress
	name        string // for the progress line
}

// loaded is what a load did.
type loaded struct {
	elapsed time.Duration // from the first request to the last answer
	ids     []uuid.UUID   // of the accepted orders, 16 bytes each
	latency *hdrhistogram.Histogram
	errors  failures
	// oldest and newest are the ends of the accepted orders' createdAt, which is the
	// server's time.
	oldest, newest time.Time
}

// perSecond is the rate of accepted requests.
func (l loaded) perSecond() float64 { return perSecond(len(l.ids), l.elapsed) }

// run sends requests until the duration is over or stop is closed; those under way
// then are still answered. Ending ctx breaks them off.
func (l *load) run(ctx context.Context, stop <-chan struct{}) loaded {
	var accepted, failed atomic.Int64
	workers := make([]worker, l.connections)
	for i := range workers {
		workers[i] = worker{
			load: l, number: i, accepted: &accepted, failed: &failed,
			loaded: loaded{latency: newHistogram(), errors: failures{}},
		}
	}
	start := l.now()
	defer l.show.every(func() string {
		elapsed := l.now().Sub(start)
		return fmt.Sprintf("%s %4.1f s of %s: %d accepted (%.0f/s), %d failed", l.name, elapsed.Seconds(),
			l.duration, accepted.Load(), perSecond(int(accepted.Load()), elapsed), failed.Load())
	})()
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { workers[i].run(ctx, stop, start.Add(l.duration)) })
	}
	wg.Wait()
	total := loaded{elapsed: l.now().Sub(start), latency: newHistogram(), errors: failures{}}
	for i := range workers {
		total.add(&workers[i].loaded)
	}
	return total
}

// newHistogram holds microseconds to three digits, up to past the longest request.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (2 * requestTimeout).Microseconds(), 3)
}

// add counts in what another part of the same load did.
func (l *loaded) add(part *loaded) {
	l.ids = append(l.ids, part.ids...)
	l.latency.Merge(part.latency)
	l.errors.merge(part.errors)
	if len(part.ids) == 0 {
		return
	}
	if l.oldest.IsZero() || part.oldest.Before(l.oldest) {
		l.oldest = part.oldest
	}
	if part.newest.After(l.newest) {
		l.newest = part.newest
	}
}

// worker is one connection of a load.
type worker struct {
	*load
	number           int
	accepted, failed *atomic.Int64 // of all workers, for the progress line
	loaded
	// answer is the body of the newest accepted request; spare is read into next.
	answer, spare bytes.Buffer
}

func (w *worker) run(ctx context.Context, stop <-chan struct{}, end time.Time) {
	for n := 0; ; n++ {
		start := w.now()
		if isClosed(stop) || ctx.Err() != nil || !start.Before(end) {
			break
		}
		id, err := w.post(ctx, n)
		if err != nil {
			w.errors.add(err)
			w.failed.Add(1)
			rest(ctx, stop)
			continue
		}
		took := min(w.now().Sub(start).Microseconds(), w.latency.HighestTrackableValue())
		_ = w.latency.RecordValue(took) // fails only out of range
		w.ids = append(w.ids, id)
		w.accepted.Add(1)
	}
	if len(w.ids) > 0 {
		var err error
		if w.newest, err = createdAt(w.answer.Bytes()); err != nil {
			w.errors.add(err)
		}
	}
}

// post sends one order and names it. The body is read in full, so that the connection
// is used again, but only the first and the last are decoded: on one machine, that time
// would be the target's.
func (w *worker) post(ctx context.Context, n int) (uuid.UUID, error) {
	var header http.Header
	if w.keyPrefix != "" {
		key := w.keyPrefix + "-" + strconv.Itoa(w.number) + "-" + strconv.Itoa(n)
		header = http.Header{"Idempotency-Key": {key}}
	}
	resp, err := w.target.do(ctx, http.MethodPost, "/orders", header, w.body)
	if err != nil {
		return uuid.Nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	w.spare.Reset()
	if _, err := w.spare.ReadFrom(resp.Body); err != nil {
		return uuid.Nil, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusCreated {
		return uuid.Nil, &statusError{status: resp.StatusCode, body: w.spare.String()}
	}
	id, err := uuid.Parse(path.Base(resp.Header.Get("Location")))
	if err != nil {
		return uuid.Nil, &answerError{fmt.Sprintf("Location is %q", resp.Header.Get("Location"))}
	}
	if len(w.ids) == 0 {
		if w.oldest, err = createdAt(w.spare.Bytes()); err != nil {
			return uuid.Nil, err
		}
	}
	w.answer, w.spare = w.spare, w.answer
	return id, nil
}

// createdAt reads an order's time of creation.
func createdAt(body []byte) (time.Time, error) {
	var o orderView
	if err := json.Unmarshal(body, &o); err != nil || o.CreatedAt.IsZero() {
		return time.Time{}, &answerError{"the body is no order"}
	}
	return o.CreatedAt, nil
}

func isClosed(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

func rest(ctx context.Context, stop <-chan struct{}) {
	select {
	case <-time.After(restAfterError):
	case <-stop:
	case <-ctx.Done():
	}
}

// perSecond is a rate; 0 where there was no time.
func perSecond(n int, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return float64(n) / elapsed.Seconds()
}

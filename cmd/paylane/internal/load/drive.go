package load

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

	"paylane/cmd/paylane/internal/apiclient"
)

// restAfterError keeps a connection from failing as fast as it can, which would measure
// nothing but failures.
const restAfterError = 10 * time.Millisecond

// load is a run of POST /orders against one target. Each connection sends its next request
// when the last one was answered.
type load struct {
	target      *apiclient.Client
	connections int
	duration    time.Duration
	body        []byte
	keyPrefix   string // of the Idempotency-Keys; empty for none
	now         func() time.Time
	show        *progress
	name        string // for the progress line
}

// loaded is the result of a load.
type loaded struct {
	elapsed time.Duration // from the first request to the last answer
	ids     []uuid.UUID   // of the accepted orders, 16 bytes each
	latency *hdrhistogram.Histogram
	errors  failures
	// oldest and newest bound the accepted orders' createdAt, which is the server's time.
	oldest, newest time.Time
}

// perSecond returns the rate of accepted requests.
func (l loaded) perSecond() float64 { return perSecond(len(l.ids), l.elapsed) }

// run sends requests until the duration is over or stop is closed. Requests in flight are
// still answered then; ending ctx cancels them.
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

// newHistogram returns a histogram of microseconds, to three digits, that the longest
// request fits in.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (2 * apiclient.Timeout).Microseconds(), 3)
}

// add adds the result of another part of the same load.
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
	// answer is the body of the newest accepted request; the next is read into spare.
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
			sleep(ctx, restAfterError)
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

// post sends one order and returns its id. The body is read in full, so that the connection
// is used again, but only the first and the last are decoded: on one machine, decoding takes
// time from the target.
func (w *worker) post(ctx context.Context, n int) (uuid.UUID, error) {
	var header http.Header
	if w.keyPrefix != "" {
		key := w.keyPrefix + "-" + strconv.Itoa(w.number) + "-" + strconv.Itoa(n)
		header = http.Header{"Idempotency-Key": {key}}
	}
	resp, err := w.target.Do(ctx, http.MethodPost, "/orders", header, w.body)
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

// createdAt returns the time at which an order was created.
func createdAt(body []byte) (time.Time, error) {
	var o orderView
	if err := json.Unmarshal(body, &o); err != nil || o.CreatedAt.IsZero() {
		return time.Time{}, &answerError{"the body is not an order"}
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

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// perSecond returns a rate; 0 if no time has passed.
func perSecond(n int, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return float64(n) / elapsed.Seconds()
}

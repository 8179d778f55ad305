package asyncinvoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/template"
)

// MaxPayloadBytes is the limit of an event, as JSON: 1 MiB ("Lambda quotas").
const MaxPayloadBytes = 1 << 20

// Send puts a record into a destination's queue. It may be called concurrently.
type Send func(ctx context.Context, body string) error

// Config is a function with what its asynchronous invocations need.
type Config struct {
	// Function is one of [template.Read]: its ARN, ReservedConcurrency and Async count.
	Function template.Function
	// Invoker runs it.
	Invoker emulator.Invoker
	// OnSuccess and OnFailure send to the queues that Function.Async names; nil for
	// none.
	OnSuccess, OnFailure Send
	// Now is the clock; nil is time.Now. Only one that keeps pace with the time
	// package's timers makes sense.
	Now func() time.Time
	// Random is the source of ids; nil is crypto/rand. It must not fail, and must be
	// safe for concurrent use.
	Random io.Reader
	// Logger gets a line for each event that fails in the end, and for each try that did
	// not come to run the function; nil is none.
	Logger *slog.Logger
}

// Invoker invokes a function asynchronously.
type Invoker struct {
	config Config
	// ctx ends what is under way, once Close can't wait for it any more.
	ctx    context.Context //nolint:containedctx // an event outlives the call that brings it
	cancel context.CancelFunc

	mu      sync.Mutex // guards closed, so that no event is taken after it is set
	closed  bool
	closing chan struct{} // closed when there are no more tries
	events  sync.WaitGroup
	givenUp atomic.Int64
}

// New makes an invoker. It must be closed.
func New(c Config) *Invoker {
	c.Now = aws.DefaultNow(c.Now)
	c.Random = aws.DefaultRandom(c.Random)
	c.Logger = aws.DefaultLogger(c.Logger)
	i := &Invoker{config: c, closing: make(chan struct{})}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	return i
}

// pending is an event on its way.
type pending struct {
	emulator.Invocation
	payload []byte // the event as JSON
	taken   time.Time
	backoff time.Duration // before the next try, if this one can't run the function
	// invokes is how often the function ran, and response what came of it last.
	invokes  int
	response *response
}

// Invoke takes an event and returns at once, with the id of the request. The error says
// why it was not taken: it is no JSON, it exceeds [MaxPayloadBytes], or the invoker is
// closed. It may be called concurrently.
func (i *Invoker) Invoke(event emulator.Event) (requestID string, err error) {
	payload, err := event.JSON()
	switch {
	case err != nil:
		return "", fmt.Errorf("encode the event: %w", err)
	case len(payload) > MaxPayloadBytes:
		return "", fmt.Errorf("the event has %d bytes, and an asynchronous invocation takes %d", len(payload), MaxPayloadBytes)
	case !json.Valid(payload):
		return "", errors.New("the event is not JSON")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return "", errors.New("no events are taken any more")
	}
	now := i.config.Now()
	e := &pending{payload: payload, taken: now, backoff: time.Second}
	e.RequestID, e.TraceID, e.Event = aws.UUID(i.config.Random), aws.TraceID(i.config.Random, now), event
	i.events.Go(func() { i.deliver(e) })
	return e.RequestID, nil
}

// deliver tries until the event has come to an end.
func (i *Invoker) deliver(e *pending) {
	for {
		wait, again := i.try(e)
		if !again {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-i.closing:
			timer.Stop()
			i.giveUp(e)
			return
		}
	}
}

// try runs the function once. It says how long to wait for the next try, if there is to
// be one.
func (i *Invoker) try(e *pending) (wait time.Duration, again bool) {
	const longestBackoff = 5 * time.Minute
	if reserved := i.config.Function.ReservedConcurrency; reserved != nil && *reserved == 0 {
		i.finish(e, zeroConcurrency)
		return 0, false
	}
	result, err := i.config.Invoker.Invoke(i.ctx, e.Invocation)
	left := e.taken.Add(i.config.Function.Async.MaxAge).Sub(i.config.Now())
	var failed *emulator.FunctionError
	switch {
	case err == nil:
		e.invokes++
		e.response = i.success(result)
		i.finish(e, success)
		return 0, false
	case i.ctx.Err() != nil: // nobody knows what became of it
		i.giveUp(e)
		return 0, false
	case errors.As(err, &failed):
		e.invokes++
		e.response = failure(failed)
		if e.invokes > i.config.Function.Async.MaxRetries {
			i.finish(e, retriesExhausted)
			return 0, false
		}
		wait = time.Duration(e.invokes) * time.Minute
	default:
		i.config.Logger.WarnContext(i.ctx, "an asynchronous invocation could not be made", "function",
			i.config.Function.LogicalID, "requestId", e.RequestID, "error", err)
		wait = min(e.backoff, left)
		e.backoff = min(2*e.backoff, longestBackoff)
	}
	if wait > left || left <= 0 {
		i.finish(e, ageExceeded)
		return 0, false
	}
	return wait, true
}

// finish sends the record of an event that came to its end.
func (i *Invoker) finish(e *pending, condition string) {
	send := i.config.OnSuccess
	if condition != success {
		send = i.config.OnFailure
		i.config.Logger.WarnContext(i.ctx, "an asynchronous invocation failed", "function", i.config.Function.LogicalID,
			"requestId", e.RequestID, "condition", condition, "invokes", e.invokes)
	}
	if send == nil {
		return
	}
	if err := send(i.ctx, i.record(e, condition)); err != nil {
		i.config.Logger.ErrorContext(i.ctx, "a record could not be sent to its destination", "function", i.config.Function.LogicalID,
			"requestId", e.RequestID, "condition", condition, "error", err)
	}
}

func (i *Invoker) giveUp(e *pending) {
	i.givenUp.Add(1)
	i.config.Logger.WarnContext(i.ctx, "an asynchronous invocation was given up: the runner stops", "function",
		i.config.Function.LogicalID, "requestId", e.RequestID, "invokes", e.invokes)
}

// Close takes no more events, and gives up those that wait for another try. It waits for
// the invocations under way, and gives them up too when ctx ends: the function may run
// on, but nobody will know. It returns how many events were given up.
func (i *Invoker) Close(ctx context.Context) (givenUp int) {
	i.mu.Lock()
	if !i.closed {
		i.closed = true
		close(i.closing)
	}
	i.mu.Unlock()
	defer i.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.events.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		i.cancel()
		<-done
	}
	return int(i.givenUp.Load())
}

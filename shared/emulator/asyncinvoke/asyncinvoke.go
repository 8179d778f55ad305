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
	"paylane/shared/internal/pause"
)

// MaxPayloadBytes is the limit of an event, as JSON: 1 MiB ("Lambda quotas").
const MaxPayloadBytes = 1 << 20

// Send puts a record into a destination's queue. It may be called concurrently.
type Send func(ctx context.Context, body string) error

// Config is a function and what its asynchronous invocations need.
type Config struct {
	// Function comes from [template.Read]. Its ARN, ReservedConcurrency and Async are
	// used.
	Function template.Function
	// Invoker runs the function.
	Invoker emulator.Invoker
	// OnSuccess and OnFailure send to the queues that Function.Async names; nil if it
	// names none.
	OnSuccess, OnFailure Send
	// Now is the clock; nil is time.Now. It must keep pace with the time package's
	// timers.
	Now func() time.Time
	// Random is the source of ids; nil is crypto/rand. It must not fail, and must be
	// safe for concurrent use.
	Random io.Reader
	// Logger records each event that finally fails, and each attempt that could not run
	// the function; nil discards it.
	Logger *slog.Logger
}

// Invoker invokes a function asynchronously.
type Invoker struct {
	config Config
	// ctx ends the invocations in progress, once Close can't wait for them.
	ctx    context.Context //nolint:containedctx // an event outlives the call that brings it
	cancel context.CancelFunc

	mu      sync.Mutex      // no event is accepted after waiting has ended
	waiting context.Context //nolint:containedctx // ends the waits for further attempts
	close   context.CancelFunc
	events  sync.WaitGroup
	givenUp atomic.Int64
}

// New returns an invoker. It must be closed.
func New(c Config) *Invoker {
	c.Now = aws.DefaultNow(c.Now)
	c.Random = aws.DefaultRandom(c.Random)
	c.Logger = aws.DefaultLogger(c.Logger)
	i := &Invoker{config: c}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	i.waiting, i.close = context.WithCancel(i.ctx)
	return i
}

// pending is an event whose outcome is open.
type pending struct {
	emulator.Invocation
	payload []byte // the event as JSON
	taken   time.Time
	backoff time.Duration // before the next attempt, if this one can't run the function
	// invokes is how often the function ran, and response its latest outcome.
	invokes  int
	response *response
}

// Invoke accepts an event and returns the request's id at once. The error says why the
// event was not accepted: it is not JSON, it exceeds [MaxPayloadBytes], or the invoker is
// closed. It may be called concurrently.
func (i *Invoker) Invoke(event emulator.Event) (requestID string, err error) {
	payload, err := event.JSON()
	switch {
	case err != nil:
		return "", fmt.Errorf("encode the event: %w", err)
	case len(payload) > MaxPayloadBytes:
		return "", fmt.Errorf("the event has %d bytes; an asynchronous invocation accepts at most %d", len(payload), MaxPayloadBytes)
	case !json.Valid(payload):
		return "", errors.New("the event is not JSON")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.waiting.Err() != nil {
		return "", errors.New("the invoker is closed")
	}
	now := i.config.Now()
	e := &pending{payload: payload, taken: now, backoff: time.Second}
	e.RequestID, e.TraceID, e.Event = aws.UUID(i.config.Random), aws.TraceID(i.config.Random, now), event
	i.events.Go(func() { i.deliver(e) })
	return e.RequestID, nil
}

// deliver attempts the event until it succeeds, fails for good or is given up.
func (i *Invoker) deliver(e *pending) {
	for {
		wait, again := i.try(e)
		if !again {
			return
		}
		if pause.For(i.waiting, wait) != nil {
			i.giveUp(e)
			return
		}
	}
}

// try runs the function once. If another attempt is due it returns how long to wait for
// it.
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
	case i.ctx.Err() != nil: // its outcome is unknown
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
		i.config.Logger.WarnContext(i.ctx, "asynchronous invocation not started", "function",
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

// finish sends the record of an event whose outcome is final.
func (i *Invoker) finish(e *pending, condition string) {
	send := i.config.OnSuccess
	if condition != success {
		send = i.config.OnFailure
		i.config.Logger.WarnContext(i.ctx, "asynchronous invocation failed", "function", i.config.Function.LogicalID,
			"requestId", e.RequestID, "condition", condition, "invokes", e.invokes)
	}
	if send == nil {
		return
	}
	if err := send(i.ctx, i.record(e, condition)); err != nil {
		i.config.Logger.ErrorContext(i.ctx, "record not sent to its destination", "function", i.config.Function.LogicalID,
			"requestId", e.RequestID, "condition", condition, "error", err)
	}
}

func (i *Invoker) giveUp(e *pending) {
	i.givenUp.Add(1)
	i.config.Logger.WarnContext(i.ctx, "asynchronous invocation given up: the runner is stopping", "function",
		i.config.Function.LogicalID, "requestId", e.RequestID, "invokes", e.invokes)
}

// Close accepts no more events and gives up those that wait for another attempt. It waits
// for the invocations in progress, and gives them up too when ctx ends: their functions
// may run on, but their outcome is lost. It returns how many events were given up.
func (i *Invoker) Close(ctx context.Context) (givenUp int) {
	i.mu.Lock()
	i.close()
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

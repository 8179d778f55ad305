package emulator

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/internal/pipe"
	"paylane/shared/emulator/internal/platformlog"
)

// Config is what an [InProcess] invoker knows about its function.
type Config struct {
	// ARN is the one that the function is invoked by.
	ARN string
	// Timeout is how long an invocation may take; 0 is Lambda's 3 s.
	Timeout time.Duration
	// ReservedConcurrency limits the concurrent invocations; nil means no limit.
	ReservedConcurrency *int
	// Logger records each invocation that fails; nil discards it.
	Logger *slog.Logger
	// Log receives Lambda's own lines of each invocation, START, END and REPORT, as
	// "<Name> | <line>\n": whole lines in each Write. It must be safe for concurrent use. A
	// Write that blocks holds up the invocation. Nil is none. MemoryMB is for the REPORT.
	Log      io.Writer
	Name     string
	MemoryMB int
	// Now is the clock; nil is time.Now. It must keep pace with the time package's
	// timers, on which timeouts run.
	Now func() time.Time
	// Random is the source of ids and must not fail; nil is crypto/rand.
	Random io.Reader
	// JSON passes events and results as JSON even if types would do.
	JSON bool
}

// InProcess runs a function's handler in this process, each invocation in its own
// goroutine. The package documentation says what differs from Lambda.
type InProcess struct {
	config   Config
	call     call
	inUse    atomic.Int64
	underWay sync.WaitGroup
	// idle is where goroutines that have run an invocation wait for the next. Their stacks
	// have already grown, which in a new one costs as much as the rest of the invocation
	// (BenchmarkInvokeDeep).
	idle chan invocation
	// open is the parent of the contexts of streaming invocations. Close ends it, and with
	// it the idle goroutines.
	open  context.Context //nolint:containedctx // it lives as long as this
	close context.CancelFunc
}

// invocation is what a goroutine runs, and how it reports the outcome.
type invocation struct {
	Invocation
	ctx    context.Context //nolint:containedctx // it is passed on at once
	stream *pipe.Pipe      // nil for a result that is not streamed
	done   func(outcome)
}

// idleFor is how long a goroutine waits for another invocation.
const idleFor = 10 * time.Second

// NewInProcess returns an invoker of a handler: any function that lambda.Start accepts, or
// a custom lambda.Handler (one made by lambda.NewHandler is not safe for concurrent use).
// Any other fails on each invocation, as on Lambda.
func NewInProcess(handler any, c Config) *InProcess {
	c.Timeout = cmp.Or(c.Timeout, 3*time.Second)
	c.Logger = aws.DefaultLogger(c.Logger)
	c.Now = aws.DefaultNow(c.Now)
	c.Random = aws.DefaultRandom(c.Random)
	f := &InProcess{config: c, call: callOf(handler, c.JSON), idle: make(chan invocation)}
	f.open, f.close = context.WithCancel(context.Background())
	return f
}

// outcome is how an invocation ended.
type outcome struct {
	result Result
	err    *FunctionError
	// byPlatform is set if the error is not one that the function's process would post on
	// Lambda.
	byPlatform bool
}

// Invoke implements [Invoker].
//
//nolint:contextcheck // a handler sees nothing of its caller's context, and outlives it
func (f *InProcess) Invoke(ctx context.Context, i Invocation) (Result, error) {
	a, err := f.begin(context.Background(), i)
	if err != nil {
		return Result{}, err
	}
	done := make(chan outcome, 1)
	f.start(invocation{Invocation: a.Invocation, ctx: a.ctx, done: func(out outcome) { done <- out }})
	select {
	case out := <-done:
		return f.finish(a, out)
	case <-a.ctx.Done():
		return f.finish(a, outcome{})
	case <-ctx.Done():
		go func() { // the caller has left, but the function may use its time
			select {
			case out := <-done:
				_, _ = f.finish(a, out)
			case <-a.ctx.Done():
				_, _ = f.finish(a, outcome{})
			}
		}()
		return Result{}, ctx.Err()
	}
}

// InvokeStream implements [Streamer]. A handler from lambdaurl.Wrap is streamed; the result
// of any other arrives in one piece.
//
//nolint:contextcheck // as Invoke
func (f *InProcess) InvokeStream(ctx context.Context, i Invocation) (*Stream, error) {
	a, err := f.begin(f.open, i)
	if err != nil {
		return nil, err
	}
	s, over := pipe.New(), make(chan struct{})
	var once sync.Once
	var failure error
	end := func(out outcome) {
		once.Do(func() {
			_, failure = f.finish(a, out)
			s.End(failure)
			close(over)
		})
	}
	// Not the end of the context, which Close ends too: a handler may use its time then.
	timeout := time.AfterFunc(f.config.Timeout, func() {
		end(outcome{err: TimeoutError(a.RequestID, f.config.Timeout), byPlatform: true})
	})
	f.start(invocation{Invocation: a.Invocation, ctx: a.ctx, stream: s, done: func(out outcome) {
		timeout.Stop()
		end(out)
	}})
	contentType, body, err := s.Await(ctx, over, func() error { return failure })
	if err != nil {
		a.cancel() // the caller may have left before there was a body to close
		return nil, err
	}
	return &Stream{ContentType: contentType, Body: &abandonable{body, a.cancel}}, nil
}

// abandonable is a stream's body that ends the handler's context when it is closed.
// Handlers share one process without a limit: otherwise those whose clients have left
// would pile up until their timeouts.
type abandonable struct {
	io.ReadCloser
	abandon context.CancelFunc
}

// Close implements [io.Closer].
func (a *abandonable) Close() error {
	a.abandon()
	return a.ReadCloser.Close()
}

// admitted is an invocation from begin to finish.
type admitted struct {
	Invocation
	ctx    context.Context //nolint:containedctx // the handler's
	cancel context.CancelFunc
	began  time.Time
}

// begin admits an invocation, completes its ids and makes the context for its handler.
func (f *InProcess) begin(parent context.Context, i Invocation) (admitted, error) {
	if f.inUse.Add(1) > limit(f.config.ReservedConcurrency) {
		f.inUse.Add(-1)
		return admitted{}, ErrThrottled
	}
	f.underWay.Add(1)
	i.RequestID = cmp.Or(i.RequestID, aws.UUID(f.config.Random))
	now := f.config.Now()
	if i.TraceID == "" {
		i.TraceID = aws.TraceID(f.config.Random, now)
	}
	if i.Caller != nil {
		parent = context.WithValue(parent, callerKey{}, i.Caller)
	}
	if f.config.Log != nil {
		f.log(platformlog.Start(i.RequestID))
	}
	run, cancel := f.context(parent, i, now)
	return admitted{Invocation: i, ctx: run, cancel: cancel, began: now}, nil
}

// log writes lines to the log, in one Write.
func (f *InProcess) log(lines ...string) {
	prefix := f.config.Name + platformlog.Separator
	_, _ = io.WriteString(f.config.Log, prefix+strings.Join(lines, "\n"+prefix)+"\n") // a log that can't be written stops nothing
}

type callerKey struct{}

// Caller returns a context that ends when the invocation with this context ends, or its
// caller has left, as [Invocation.Caller] says. A handler that waits for something has no
// reason to do so after that. On Lambda it can't know.
func Caller(invocation context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(invocation)
	caller, ok := invocation.Value(callerKey{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	stop := context.AfterFunc(caller, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

func limit(reserved *int) int64 {
	const unlimited = 1 << 62
	if reserved == nil {
		return unlimited
	}
	return int64(*reserved)
}

// context returns the context for a handler. Lambda counts deadlines in milliseconds.
func (f *InProcess) context(parent context.Context, i Invocation, now time.Time) (context.Context, context.CancelFunc) {
	deadline := now.Add(f.config.Timeout)
	if part := time.Duration(deadline.Nanosecond()) % time.Millisecond; part > 0 {
		deadline = deadline.Add(time.Millisecond - part)
	}
	ctx, cancel := context.WithDeadline(parent, deadline)
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{
		AwsRequestID: i.RequestID, InvokedFunctionArn: f.config.ARN,
	})
	// aws-lambda-go's own key, which the X-Ray SDK reads.
	return context.WithValue(ctx, "x-amzn-trace-id", i.TraceID), cancel //nolint:staticcheck // not ours to choose
}

// start runs an invocation in an idle goroutine, or in a new one.
func (f *InProcess) start(i invocation) {
	select {
	case f.idle <- i:
	default:
		go f.work(i)
	}
}

// work runs invocations one after the other, until it has been idle for a while.
func (f *InProcess) work(i invocation) {
	patience := time.NewTimer(idleFor)
	defer patience.Stop()
	for {
		f.run(i)
		patience.Reset(idleFor)
		select {
		case i = <-f.idle:
		case <-patience.C:
			return
		case <-f.open.Done():
			return
		}
	}
}

// run calls the handler and reports the outcome. Nothing but an exit of the process
// escapes from here.
func (f *InProcess) run(i invocation) {
	var out outcome
	returned := false
	defer func() {
		if value := recover(); value != nil {
			out.err = panicError(value)
		} else if !returned { // runtime.Goexit
			out = outcome{err: ExitError(i.RequestID, ""), byPlatform: true}
		}
		i.done(out)
	}()
	result, err := f.call(i.ctx, i.Event)
	large := false
	switch {
	case err != nil:
	case i.stream != nil:
		err = result.stream(i.stream)
	default:
		result, large, err = result.buffered()
	}
	switch {
	case err != nil:
		out.err = returnedError(err)
	case large:
		out.err = SizeError()
	default:
		out.result = result
	}
	returned = true
}

// finish ends an invocation: its context, and its share of the concurrency. A result at
// the deadline or after it is too late: on Lambda the process would be gone.
func (f *InProcess) finish(a admitted, out outcome) (Result, error) {
	if errors.Is(a.ctx.Err(), context.DeadlineExceeded) {
		out = outcome{err: TimeoutError(a.RequestID, f.config.Timeout), byPlatform: true}
	}
	a.cancel()
	if f.config.Log != nil {
		f.report(a, out)
	}
	f.inUse.Add(-1)
	f.underWay.Done()
	if out.err == nil {
		return out.result, nil
	}
	f.config.Logger.ErrorContext(a.ctx, "function failed", "function", f.config.ARN, "requestId", a.RequestID,
		"errorType", out.err.Type, "payload", string(out.err.Payload))
	return Result{}, out.err
}

// report writes the lines at the end of an invocation. The memory used is that of all functions,
// which says nothing about one.
func (f *InProcess) report(a admitted, out outcome) {
	report := platformlog.Report{
		RequestID: a.RequestID, Took: min(f.config.Now().Sub(a.began), f.config.Timeout), MemoryMB: f.config.MemoryMB,
	}
	if !out.byPlatform {
		f.log(platformlog.End(a.RequestID), report.String())
		return
	}
	report.Failure = out.err.Type
	f.log(platformlog.End(a.RequestID), report.String(), out.err.Message)
}

// Close returns when no invocation is in progress, each having ended or timed out. It ends
// the contexts of those that stream: their clients can reconnect. It is for shutting down,
// once nothing invokes the function.
func (f *InProcess) Close() {
	f.close()
	f.underWay.Wait()
}

var (
	_ Invoker  = (*InProcess)(nil)
	_ Streamer = (*InProcess)(nil)
)

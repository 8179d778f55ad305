package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"paylane/shared/emulator"
	"paylane/shared/emulator/template"
)

// environment is an execution environment of a function ("Understanding the Lambda execution
// environment lifecycle"): a process that handles one invocation at a time, and may die or be
// frozen between any two of its steps.
type environment struct {
	name   string
	handle handle
	busy   bool
	// crashed is asked by what a timer woke, too, which no turn puts after the crash.
	crashed atomic.Bool
	frozen  time.Time
	// build is 1 of the new build, during and after a deployment.
	build int
	// skew is how far its clock is ahead.
	skew time.Duration
	// died is closed when it crashes.
	died chan struct{}
}

func (e *environment) crash() {
	if e.crashed.CompareAndSwap(false, true) {
		close(e.died)
	}
}

// function is the platform's side of a function: it is an [emulator.Invoker] on many environments.
type function struct {
	*world
	template.Function
	// start starts an environment.
	start        func() (handle, error)
	environments []*environment
	invocations  int
	// inflight is how many invocations its mapping makes now, and limit how many it may; 0 is any
	// number.
	inflight, limit int
}

var errExit = errors.New("the environment is gone")

// Invoke implements [emulator.Invoker].
func (f *function) Invoke(ctx context.Context, i emulator.Invocation) (emulator.Result, error) {
	t := f.await(ctx, "invoke "+f.LogicalID, invokeTakes)
	if f.faults.hits(t.rng, throttledInvocation) {
		f.tell(ctx, "invoke %s: throttled", f.LogicalID)
		return emulator.Result{}, emulator.ErrThrottled
	}
	env, err := f.environment()
	if err != nil {
		return emulator.Result{}, err
	}
	f.invocations++
	if strings.HasPrefix(identity(ctx), "mapping ") {
		f.inflight++
		defer func() { f.inflight-- }()
	}
	if f.limit > 0 && f.inflight > f.limit {
		f.checks.fail("concurrency", "%d invocations of %s at once, the limit is %d", f.inflight, f.LogicalID, f.limit)
	}
	env.busy = true
	run := named(context.Background(), fmt.Sprintf("%s#%d", env.name, f.invocations))
	//nolint:staticcheck // aws-lambda-go's own key
	run = context.WithValue(run, "x-amzn-trace-id", fmt.Sprintf("Root=1-%08x-%024x", 1, f.invocations))
	run, cancel := context.WithTimeout(context.WithValue(run, environmentKey{}, env), f.Timeout)
	f.tell(run, "starts, for %s", strings.TrimSpace(identity(ctx)))
	type outcome struct {
		result emulator.Result
		err    error
	}
	done := make(chan outcome, 1)
	f.running.Go(func() {
		out := outcome{err: errExit}
		defer func() {
			if p := recover(); p != nil {
				out.err = fmt.Errorf("panic: %v", p)
				env.crash()
			}
			env.busy = false
			done <- out
			cancel()
		}()
		result, err := env.handle(run, i.Event)
		// The result is an answer on its way, too.
		if t := f.await(run, "result", invokeTakes); t.err != nil {
			err = t.err
		}
		out = outcome{result, err}
	})
	select {
	case <-env.died:
	case <-run.Done():
	}
	// Its end came by the clock, or by another's turn.
	f.await(context.WithoutCancel(ctx), "outcome of "+identity(run), invokeTakes)
	// More than one of these may hold: the order of the questions decides, not that of goroutines.
	switch {
	case env.crashed.Load():
		f.tell(run, "dies")
		return emulator.Result{}, emulator.ExitError("", "")
	case errors.Is(run.Err(), context.DeadlineExceeded):
		f.tell(run, "times out")
		f.timedOut(env)
		return emulator.Result{}, emulator.TimeoutError("", f.Timeout)
	}
	out := <-done
	if out.err != nil {
		f.tell(run, "fails: %v", out.err)
		return emulator.Result{}, &emulator.FunctionError{Type: "Error", Message: out.err.Error()}
	}
	return f.garble(run, out.result), nil
}

// timedOut decides what becomes of an environment whose invocation has run out of time: it is
// killed, or goes on minutes later, which is as bad as it can be.
func (f *function) timedOut(e *environment) {
	if d := f.dice(); d.IntN(2) == 0 {
		e.crash()
	} else {
		e.frozen = time.Now().Add(time.Duration(1+d.IntN(300)) * time.Second)
	}
}

// environment returns one that is idle, or a new one. During a deployment it is of either build.
func (f *function) environment() (*environment, error) {
	build := f.build
	if build > 0 && !f.faults.off.Load() {
		build = f.dice().IntN(2)
	}
	for _, e := range f.environments {
		if e.build == build && !e.busy && !e.crashed.Load() && !e.frozen.After(time.Now()) {
			return e, nil
		}
	}
	handle, err := f.start()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", f.LogicalID, err)
	}
	e := &environment{name: fmt.Sprintf("%s/%d", f.LogicalID, len(f.environments)+1), handle: handle, build: build, died: make(chan struct{})}
	// Not those of the api function, whose answers would show the times that only it sees.
	if d := f.dice(); f.faults.of[skewed] > 0 && f.LogicalID != "Api" && d.IntN(2) == 0 {
		e.skew = (time.Duration(d.Int64N(int64(2*maxSkew))) - maxSkew).Truncate(time.Millisecond)
	}
	f.environments = append(f.environments, e)
	return e, nil
}

// recordOf returns which message a context's call is about: the queue of this package gives each
// receive of each message a trace of its own.
func recordOf(ctx context.Context) string {
	c := trace.SpanContextFromContext(ctx)
	if !c.HasTraceID() {
		return ""
	}
	id := c.TraceID().String()
	return strings.TrimLeft(id[8:20], "0") + "." + strings.TrimLeft(id[20:], "0")
}

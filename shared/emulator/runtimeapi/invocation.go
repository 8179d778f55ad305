package runtimeapi

import (
	"errors"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/pipe"
)

// invocation is an invocation in progress.
type invocation struct {
	id, trace string
	event     []byte
	stream    *pipe.Pipe // nil for a buffered result
	deadline  time.Time  // to the millisecond; set before the environment sees it
	timer     *time.Timer
	began     time.Time

	// What the function posted; environment.mu guards it until called is closed.
	payload []byte
	err     error
	// called is closed by the function's next call of "next": it is done.
	called chan struct{}
	// over is closed at the end: payload and err are what the invoker returns.
	over chan struct{}
}

// run takes an invocation through an environment.
func (f *Function) run(inv *invocation) {
	defer f.underWay.Done()
	e, err := f.ready(inv)
	usable := false
	if e != nil {
		f.startClock(inv)
		e.begin(inv)
		if err == nil {
			usable, err = e.invoke(inv)
		}
		e.report(inv, err)
	}
	if err != nil && f.ctx.Err() != nil {
		err = ErrClosed
	}
	kept := f.release(e, usable)
	f.finish(inv, err)
	if e != nil && !kept {
		e.discard()
	}
}

// ready returns an environment waiting for an event. On error the environment is the one
// that failed to start, or nil.
func (f *Function) ready(inv *invocation) (*environment, error) {
	if e := f.take(); e != nil {
		e.signal(thaw)
		return e, nil
	}
	e, err := f.start(inv.id)
	if err != nil {
		return nil, err
	}
	limit := time.NewTimer(f.initLimit)
	defer limit.Stop()
	err = e.init(inv, limit.C)
	if !errors.Is(err, errInitLimit) {
		return e, err
	}
	// Lambda starts another one, this time on the function's own timeout ("Lambda runtime
	// environment").
	e.discard()
	f.startClock(inv)
	if e, err = f.start(inv.id); err != nil {
		return nil, err
	}
	if err = e.init(inv, inv.timer.C); errors.Is(err, errInitLimit) {
		e.end()
		err = emulator.TimeoutError(inv.id, f.config.Timeout)
	}
	e.initTook = 0 // it is part of the invocation
	return e, err
}

// startClock starts the function's timeout, unless it has started. Lambda counts deadlines
// in milliseconds.
func (f *Function) startClock(inv *invocation) {
	if inv.timer != nil {
		return
	}
	inv.began = f.config.Now()
	inv.timer = time.NewTimer(f.config.Timeout)
	inv.deadline = inv.began.Add(f.config.Timeout + time.Millisecond - 1).Truncate(time.Millisecond)
}

// invoke hands an invocation to the environment, and waits until the environment has
// finished with it. What the function posted counts, even if it exits or times out before
// it asks for the next invocation.
func (e *environment) invoke(inv *invocation) (usable bool, err error) {
	e.work <- inv
	timedOut := false
	select {
	case <-inv.called:
	case <-inv.timer.C:
		timedOut = true
	case <-e.exited:
		select {
		case <-e.posts(): // what it sent last may still be arriving
		case <-inv.timer.C:
		case <-e.function.ctx.Done():
		}
	}
	posted, usable := e.conclude(inv)
	if !usable {
		e.end()
	}
	switch {
	case posted:
		return usable, inv.err
	case timedOut:
		return false, emulator.TimeoutError(inv.id, e.function.config.Timeout)
	}
	return false, e.exitError(inv.id)
}

// finish passes the outcome on to the invoker.
func (f *Function) finish(inv *invocation, err error) {
	var failure *emulator.FunctionError
	if errors.As(err, &failure) {
		f.config.Logger.ErrorContext(f.ctx, "function failed", "function", f.config.ARN, "requestId", inv.id,
			"errorType", failure.Type, "payload", string(failure.Payload))
	}
	if inv.timer != nil {
		inv.timer.Stop()
	}
	inv.err = err
	if inv.stream != nil {
		inv.stream.End(err)
	}
	close(inv.over)
}

package runtimeapi

import (
	"errors"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/pipe"
)

// invocation is one on its way through an environment.
type invocation struct {
	id, trace string
	event     []byte
	stream    *pipe.Pipe // nil for a buffered result
	deadline  time.Time  // set before the environment gets it, to the millisecond
	timer     *time.Timer
	began     time.Time

	// What the function posted, which environment.mu guards until called is closed.
	payload []byte
	err     error
	// called is closed by the function's next call of "next": it is done.
	called chan struct{}
	// over is closed when all is done: payload and err are what the invoker returns.
	over chan struct{}
}

// run takes an invocation through an environment.
func (f *Function) run(inv *invocation) {
	defer f.underWay.Done()
	e, err := f.ready(inv)
	usable := false
	if e != nil {
		f.startClock(inv)
		e.journal.start(inv.id)
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

// ready gives an environment that waits for an event; with an error, it is one that
// failed to, or nil.
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
	// Lambda starts anew, this time on the function's own timeout ("Lambda runtime
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

// startClock begins the function's timeout, unless it has begun. Lambda counts
// deadlines in milliseconds.
func (f *Function) startClock(inv *invocation) {
	if inv.timer != nil {
		return
	}
	inv.began = f.config.Now()
	inv.timer = time.NewTimer(f.config.Timeout)
	inv.deadline = inv.began.Add(f.config.Timeout + time.Millisecond - 1).Truncate(time.Millisecond)
}

// invoke hands an invocation to the environment, and waits until it is done with it.
// What the function posted counts, even if it exits or times out before it asks for
// the next invocation.
func (e *environment) invoke(inv *invocation) (usable bool, err error) {
	e.work <- inv
	timedOut := false
	select {
	case <-inv.called:
	case <-inv.timer.C:
		timedOut = true
	case <-e.exited:
		select {
		case <-e.posts(): // what it sent last may still be on its way
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

// finish tells the invoker.
func (f *Function) finish(inv *invocation, err error) {
	var failure *emulator.FunctionError
	if errors.As(err, &failure) {
		f.config.Logger.ErrorContext(f.ctx, "the function failed", "function", f.config.ARN, "requestId", inv.id,
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

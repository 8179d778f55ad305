package runtimeapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/internal/pipe"
)

// ErrClosed is the error of an invocation if the function was closed before it or during
// it.
var ErrClosed = errors.New("the function is closed")

// Function is a Lambda function: an [emulator.Invoker] that starts and ends environments
// as its invocations need them.
//
// An environment has one owner, which alone may invoke it or end it: the list of idle
// ones, or the goroutine that took it from there or started it.
type Function struct {
	config    Config
	initLimit time.Duration
	ctx       context.Context // Close ends it, and all processes with it
	cancel    context.CancelFunc

	mu     sync.Mutex
	build  build
	idle   []*environment // the most recently used comes last
	inUse  int            // invocations in progress
	closed bool

	underWay     sync.WaitGroup // invocations
	environments sync.WaitGroup
}

// build is a built program; its number distinguishes it from another at the same path.
type build struct {
	number int
	binary string
}

// New returns a function. Nothing is started before the first invocation.
func New(c Config) (*Function, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	f := &Function{config: c, initLimit: 10 * time.Second, build: build{binary: c.Binary}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f, nil
}

// Invoke implements [emulator.Invoker]. Besides the errors listed there it may return
// [ErrClosed], or an error of this machine, such as too many open files.
func (f *Function) Invoke(ctx context.Context, i emulator.Invocation) (emulator.Result, error) {
	inv, err := f.begin(i, nil)
	if err != nil {
		return emulator.Result{}, err
	}
	select {
	case <-inv.over:
		if inv.err != nil {
			return emulator.Result{}, inv.err
		}
		return emulator.PayloadResult(inv.payload), nil
	case <-ctx.Done():
		return emulator.Result{}, ctx.Err()
	}
}

// begin admits an invocation and runs it in a goroutine, since it does not end with its
// caller.
func (f *Function) begin(i emulator.Invocation, s *pipe.Pipe) (*invocation, error) {
	event, err := i.Event.JSON()
	if err != nil {
		return nil, fmt.Errorf("encode the event for %s: %w", f.config.Name, err)
	}
	inv := &invocation{
		id:     cmp.Or(i.RequestID, aws.UUID(f.config.Random)),
		trace:  i.TraceID,
		event:  event,
		stream: s,
		called: make(chan struct{}),
		over:   make(chan struct{}),
	}
	if inv.trace == "" {
		inv.trace = aws.TraceID(f.config.Random, f.config.Now())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, ErrClosed
	case f.inUse >= *f.config.ReservedConcurrency:
		return nil, emulator.ErrThrottled
	}
	f.inUse++
	f.underWay.Add(1)
	go f.run(inv)
	return inv, nil
}

// take returns an idle environment, or nil. It prefers the most recently used, so that
// surplus ones stay idle until they are ended.
func (f *Function) take() *environment {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.idle) - 1
	if last < 0 {
		return nil
	}
	e := f.idle[last]
	f.idle = f.idle[:last]
	e.reaper.Stop()
	return e
}

// release gives back an invocation's share of the concurrency. If its environment can
// handle another one it becomes idle; otherwise the caller must discard it.
func (f *Function) release(e *environment, usable bool) (kept bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inUse--
	if !usable || f.closed || e.build != f.build {
		return false
	}
	select {
	case <-e.exited: // it ended right after its invocation
		return false
	default:
	}
	f.idle = append(f.idle, e)
	e.signal(freeze)
	e.reaper = time.AfterFunc(f.config.IdleTimeout, func() { f.drop(e) })
	return true
}

// drop discards an environment if it is idle, because it has been for long or because its
// process ended.
func (f *Function) drop(e *environment) {
	f.mu.Lock()
	i := slices.Index(f.idle, e)
	if i >= 0 {
		f.idle = slices.Delete(f.idle, i, i+1)
		e.reaper.Stop()
	}
	f.mu.Unlock()
	if i >= 0 {
		e.discard()
	}
}

// Replace makes new invocations run another build of the function. Invocations in
// progress finish on the build that they began with; then its environments are ended. It
// fails if there is no such program, and the old build stays.
//
// Each build needs its own file, as the old one may be started until Replace returns.
func (f *Function) Replace(binary string) error {
	path, err := executable(binary)
	if err != nil {
		return fmt.Errorf("function %s: %w", f.config.Name, err)
	}
	f.mu.Lock()
	f.build = build{number: f.build.number + 1, binary: path}
	old := f.idle
	f.idle = nil
	f.mu.Unlock()
	for _, e := range old {
		e.reaper.Stop()
		go e.discard()
	}
	return nil
}

// ColdStart starts a separate environment, ends it again, and returns the time from the
// start of its process to its first call of "next". It is for measuring a build; no
// invocation uses the environment, and it does not count as one.
func (f *Function) ColdStart(ctx context.Context) (time.Duration, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return 0, ErrClosed
	}
	f.underWay.Add(1)
	f.mu.Unlock()
	defer f.underWay.Done()
	requestID := aws.UUID(f.config.Random) // for the error's text
	e, err := f.start(requestID)
	if err != nil {
		return 0, err
	}
	defer e.discard()
	select {
	case <-e.asked:
		return e.initTook, nil
	case <-e.exited:
		return 0, e.exitError(requestID)
	case <-f.ctx.Done():
		return 0, ErrClosed
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Close shuts the function down: it refuses new invocations with [ErrClosed], waits for
// those in progress, and ends all environments. If ctx ends first, it cuts off the
// invocations in progress, which fail with ErrClosed, and its error wraps the context's.
// It returns when all processes are gone, which takes half a second if they registered an
// extension.
func (f *Function) Close(ctx context.Context) error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	done := make(chan struct{})
	go func() {
		f.underWay.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		f.mu.Lock()
		if f.inUse > 0 {
			err = fmt.Errorf("%d invocations of %s were cut off: %w", f.inUse, f.config.Name, ctx.Err())
		}
		f.mu.Unlock()
	}
	f.cancel()
	<-done
	f.environments.Wait()
	return err
}

var _ emulator.Invoker = (*Function)(nil)

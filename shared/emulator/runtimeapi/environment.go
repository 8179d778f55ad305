package runtimeapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"paylane/shared/emulator"
)

// environment is a process of the function, with the Runtime API that it calls.
type environment struct {
	function *Function
	build    build
	server   *http.Server
	journal  *journal
	cmd      *exec.Cmd

	asked  chan struct{} // closed at the first "next": the init is over
	exited chan struct{} // closed when the process is gone
	// work passes an invocation to "next". It has room for one: the owner never waits.
	work   chan *invocation
	ending sync.Once
	reaper *time.Timer // while it is idle; guarded by the function's lock

	// The owner's, once asked is closed.
	initTook time.Duration // until it has been reported
	memoryMB int           // the highest value seen

	mu          sync.Mutex
	started     time.Time // when the process was started
	state       state
	current     *invocation
	posting     chan struct{} // closed when the current post is over; nil before the first
	extension   string        // the identifier of the registered extension
	initFailure error         // what was posted to "init/error"
}

// start starts an environment of the newest build. Its process begins its init.
func (f *Function) start(requestID string) (*environment, error) {
	f.mu.Lock()
	b := f.build
	f.mu.Unlock()
	e := &environment{
		function: f, build: b, state: started,
		asked: make(chan struct{}), exited: make(chan struct{}),
		work: make(chan *invocation, 1),
	}
	listen := net.ListenConfig{}
	listener, err := listen.Listen(f.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a Runtime API for %s: %w", f.config.Name, err)
	}
	if e.journal, err = newJournal(f.config.Log, f.config.Name); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("open a log for %s: %w", f.config.Name, err)
	}
	e.server = &http.Server{
		Handler: e.routes(), ReadHeaderTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(f.config.Logger.Handler(), slog.LevelWarn),
	}
	go func() { _ = e.server.Serve(listener) }() // until discard closes it
	e.cmd = exec.CommandContext(f.ctx, b.binary) //nolint:gosec // running it is the purpose
	e.cmd.Dir = filepath.Dir(b.binary)
	e.cmd.Env = f.config.variables(listener.Addr().String(), b.binary)
	e.cmd.SysProcAttr = attributes()
	e.cmd.Cancel = func() error { e.end(); return nil } // Close
	e.journal.attach(e.cmd)
	f.environments.Add(1)
	if err := e.spawn(); err != nil {
		close(e.exited)
		e.discard()
		return nil, entrypointError(requestID, err)
	}
	return e, nil
}

// spawn starts the process, and a goroutine that waits for its end. That goroutine keeps
// its thread: to the kernel the process is the child of the thread that started it, and
// would be killed when the thread ends.
func (e *environment) spawn() error {
	spawned := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		e.mu.Lock()
		e.started = e.function.config.Now()
		e.mu.Unlock()
		err := e.cmd.Start()
		spawned <- err
		if err != nil {
			return
		}
		_ = e.cmd.Wait()          // ProcessState has the outcome
		e.signal(syscall.SIGKILL) // what is left of its group
		close(e.exited)
		e.function.drop(e)
	}()
	return <-spawned
}

var errInitLimit = errors.New("the init takes too long")

// init waits until the process has asked for its first invocation. Its error is
// errInitLimit, or the one that the first invocation fails with.
func (e *environment) init(inv *invocation, limit <-chan time.Time) (err error) {
	select {
	case <-e.asked:
		return nil
	case <-e.exited:
		err = e.exitError(inv.id)
	case <-limit:
		err = errInitLimit
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.initFailure != nil {
		inv.err = e.initFailure // which was posted
		return inv.err
	}
	return err
}

// conclude ends the environment's part in an invocation: what the function posts from now
// on comes too late. It reports whether the function has posted its outcome, and whether
// it has also asked for the next invocation, so that it may have one.
func (e *environment) conclude(inv *invocation) (posted, usable bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-inv.called:
		return true, true
	default:
	}
	posted = e.current == inv && e.state == sent
	e.current = nil
	return posted, false
}

// posts returns a channel that is closed when no post is in progress.
func (e *environment) posts() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.posting != nil {
		return e.posting
	}
	none := make(chan struct{})
	close(none)
	return none
}

func (e *environment) exitError(requestID string) *emulator.FunctionError {
	status := ""
	if !e.cmd.ProcessState.Success() {
		status = e.cmd.ProcessState.String()
	}
	return emulator.ExitError(requestID, status)
}

// grace is how long a process with an internal extension, as Go's is, has to end on Lambda
// ("graceful-shutdown-with-aws-lambda" of aws-samples).
const grace = 500 * time.Millisecond

// end makes the process end, without waiting for it.
func (e *environment) end() {
	e.mu.Lock()
	extension := e.extension
	e.mu.Unlock()
	e.ending.Do(func() {
		if extension == "" {
			e.signal(syscall.SIGKILL)
			return
		}
		_ = e.cmd.Process.Signal(syscall.SIGTERM)
		e.signal(thaw)
		time.AfterFunc(grace, func() { e.signal(syscall.SIGKILL) })
	})
}

// signal sends a signal to the process and to those that it started.
func (e *environment) signal(signal syscall.Signal) {
	select {
	case <-e.exited: // another process may have its id by now
	default:
		signalGroup(e.cmd.Process, signal)
	}
}

// discard ends the environment, and returns when nothing of it is left.
func (e *environment) discard() {
	e.end()
	<-e.exited
	_ = e.server.Close()
	e.journal.close()
	e.function.environments.Done()
}

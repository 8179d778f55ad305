package runtimeapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator"
	"paylane/shared/emulator/runtimeapi"
	"paylane/shared/emulator/template"
)

// program is the path of the function that the tests run: testdata/function, built
// once for all of them.
var program string

func TestMain(m *testing.M) {
	if address := os.Getenv("RUNNER_MEETS_AT"); address != "" {
		runUntilKilled(os.Getenv("RUNNER_RUNS"), address)
	}
	folder, err := os.MkdirTemp("", "runtimeapi")
	if err != nil {
		panic(err)
	}
	// The function will see a path without symbolic links.
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		panic(err)
	}
	status := 1
	if program, err = build(filepath.Join(folder, "function"), "./testdata/function"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		status = m.Run()
	}
	_ = os.RemoveAll(folder)
	os.Exit(status)
}

// build builds a function into a folder, as it would be for AWS.
func build(folder, source string) (binary string, err error) {
	binary = filepath.Join(folder, "bootstrap")
	command := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-tags=lambda.norpc", "-o", binary, source)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", source, err, said)
	}
	return binary, nil
}

// patience is how long a test waits for an event that must happen.
const patience = 20 * time.Second

const arn = "arn:aws:lambda:eu-central-1:123456789012:function:f"

// described is the template's part of a configuration, with a long timeout.
func described() template.Function {
	return template.Function{
		Name: "f", ARN: arn, Handler: "bootstrap", Timeout: patience, MemoryMB: 128,
		Environment: map[string]string{}, Logging: template.Logging{Group: "/aws/lambda/f"},
	}
}

// function is the function under test, with its log.
type function struct {
	*runtimeapi.Function
	t   *testing.T
	log *log
}

func start(t *testing.T, changes ...func(*runtimeapi.Config)) function {
	t.Helper()
	l := &log{wrote: make(chan struct{}, 1)}
	c := runtimeapi.Config{Function: described(), Binary: program, Log: l, Verbose: true, Region: "eu-central-1"}
	for _, change := range changes {
		if change != nil {
			change(&c)
		}
	}
	f, err := runtimeapi.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.Close(ended())
		if t.Failed() {
			t.Logf("the function's log:\n%s", l)
		}
	})
	return function{f, t, l}
}

// ended is a context that has ended: a Close with it waits for no invocation.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func mode(name, address string) func(*runtimeapi.Config) {
	return func(c *runtimeapi.Config) { c.Environment = map[string]string{"MODE": name, "ADDRESS": address} }
}

func timeout(d time.Duration) func(*runtimeapi.Config) {
	return func(c *runtimeapi.Config) { c.Timeout = d }
}

func reserved(n int) func(*runtimeapi.Config) {
	return func(c *runtimeapi.Config) { c.ReservedConcurrency = &n }
}

// do is an event for the tests' function.
type do struct {
	Do, Text, Address string
	Size              int
}

func (d do) JSON() ([]byte, error) { return json.Marshal(d) }
func (d do) Typed() any            { return nil }

const requestID = "0f0e0d0c-0b0a-4908-8706-050403020100"

func (f function) invoke(event emulator.Event) ([]byte, error) {
	result, err := f.Invoke(f.t.Context(), emulator.Invocation{RequestID: requestID, Event: event})
	if err != nil {
		return nil, err
	}
	return result.Payload()
}

// must returns the result of an invocation that succeeds.
func (f function) must(event emulator.Event) string {
	f.t.Helper()
	payload, err := f.invoke(event)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(payload)
}

// fails returns the payload of an invocation that fails.
func (f function) fails(event emulator.Event) string {
	f.t.Helper()
	payload, err := f.invoke(event)
	if err == nil {
		f.t.Fatalf("the invocation returned %s", payload)
	}
	return f.payloadOf(err)
}

// close closes a function that has no invocation in progress.
func (f function) close() {
	f.t.Helper()
	if err := f.Close(f.t.Context()); err != nil {
		f.t.Error(err)
	}
}

func (f function) payloadOf(err error) string {
	f.t.Helper()
	var failed *emulator.FunctionError
	if !errors.As(err, &failed) {
		f.t.Fatalf("the error is %T: %v", err, err)
	}
	return string(failed.Payload)
}

// answer is the function's default answer.
type answer struct {
	PID, Invocations int
	Text             string
}

func (f function) answer() answer {
	f.t.Helper()
	return decode[answer](f.t, f.must(do{}))
}

// later invokes concurrently with the test.
func (f function) later(event emulator.Event) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := f.invoke(event)
		done <- err
	}()
	return done
}

func decode[T any](t *testing.T, payload string) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(payload), &value); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return value
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
		panic("not reached")
	}
}

// log keeps what a function logs.
type log struct {
	mu    sync.Mutex
	lines []string
	wrote chan struct{}
}

func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	l.lines = append(l.lines, string(line))
	l.mu.Unlock()
	select {
	case l.wrote <- struct{}{}:
	default:
	}
	return len(line), nil
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// wait waits for a text in the log, and returns the whole log.
func (l *log) wait(t *testing.T, text string) string {
	t.Helper()
	for {
		if all := l.String(); strings.Contains(all, text) {
			return all
		}
		receive(t, fmt.Sprintf("%q in the log:\n%s", text, l), l.wrote)
	}
}

// meeting is where processes of a function call, so that a test can wait for them to
// live, talk to them, and see them die.
type meeting struct {
	t        *testing.T
	listener net.Listener
}

func meet(t *testing.T) meeting {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return meeting{t, listener}
}

func (m meeting) address() string { return m.listener.Addr().String() }

func (m meeting) next() process {
	m.t.Helper()
	if err := m.listener.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	connection, err := m.listener.Accept()
	if err != nil {
		m.t.Fatalf("no process came: %v", err)
	}
	m.t.Cleanup(func() { _ = connection.Close() })
	return process{m.t, connection}
}

// process is a process that has met the test.
type process struct {
	t *testing.T
	net.Conn
}

func (p process) say(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p process) hear() string {
	p.t.Helper()
	if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	word := make([]byte, 4096)
	n, err := p.Read(word)
	if err != nil {
		p.t.Fatalf("the process says nothing: %v", err)
	}
	return string(word[:n])
}

// dies waits for the end of the process.
func (p process) dies() {
	p.t.Helper()
	if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	var timedOut net.Error
	if _, err := io.Copy(io.Discard, p); errors.As(err, &timedOut) && timedOut.Timeout() {
		p.t.Fatal("the process lives")
	}
}

// runUntilKilled is another process, a runner with one function at work and one idle.
func runUntilKilled(binary, address string) {
	c := runtimeapi.Config{Function: described(), Binary: binary}
	c.Timeout = time.Hour
	f, err := runtimeapi.New(c)
	if err != nil {
		panic(err)
	}
	for _, what := range []string{"meet", "sleep"} {
		go func() {
			event, _ := do{Do: what, Address: address}.JSON()
			_, err := f.Invoke(context.Background(), emulator.Invocation{Event: emulator.RawEvent(bytes.Clone(event))})
			fmt.Println(what, err) // only "meet" gets here
		}()
	}
	select {}
}

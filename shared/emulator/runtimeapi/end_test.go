package runtimeapi_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"paylane/shared/emulator/runtimeapi"
)

// A timeout also ends what the function started.
func TestGrandchildrenDie(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		end  func(f function)
	}{
		{"timeout", func(f function) { f.fails(do{Do: "sleep"}) }},
		{"exit", func(f function) { f.fails(do{Do: "exit"}) }},
		{"close", func(f function) { f.close() }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f, m := start(t, timeout(500*time.Millisecond)), meet(t)
			started := f.later(do{Do: "start a program", Address: m.address()})
			one, two := m.next(), m.next() // the program, and the handler
			one.say("go on")
			two.say("go on")
			if err := receive(t, "an invocation's end", started); err != nil {
				t.Fatal(err)
			}
			row.end(f)
			one.dies()
			two.dies()
		})
	}
}

// A program that left the process group is not ended, and keeps the log's pipe open, which
// holds up nothing.
func TestGrandchildLeaves(t *testing.T) {
	t.Parallel()
	f, m := start(t), meet(t)
	started := f.later(do{Do: "start a program", Text: "that leaves the group", Address: m.address()})
	one, two := m.next(), m.next()
	one.say("go on")
	two.say("go on")
	if err := receive(t, "the invocation's end", started); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- f.Close(t.Context()) }()
	if err := receive(t, "Close", closed); err != nil {
		t.Error(err)
	}
}

// Close lets invocations in progress finish, and no other begin.
func TestClose(t *testing.T) {
	f, m := start(t), meet(t)
	busy := f.later(do{Do: "meet", Address: m.address()})
	p := m.next()
	closed := make(chan error, 1)
	go func() { closed <- f.Close(t.Context()) }()
	for _, err := f.invoke(do{}); err == nil; _, err = f.invoke(do{}) { // until Close has begun
	}
	if _, err := f.invoke(do{}); !errors.Is(err, runtimeapi.ErrClosed) {
		t.Errorf("the error of a later invocation is %v", err)
	}
	if _, err := f.ColdStart(t.Context()); !errors.Is(err, runtimeapi.ErrClosed) {
		t.Errorf("the error of a later start is %v", err)
	}
	if len(closed) > 0 {
		t.Error("Close did not wait")
	}
	p.say("done")
	if err := receive(t, "the invocation in progress", busy); err != nil {
		t.Error(err)
	}
	if err := receive(t, "Close", closed); err != nil {
		t.Error(err)
	}
	p.dies()
	f.close() // a second Close does nothing
}

// Close cuts off invocations in progress when its context ends.
func TestCloseCutsOff(t *testing.T) {
	f, m := start(t), meet(t)
	busy := f.later(do{Do: "sleep", Address: m.address()})
	atWork := m.next()
	idle := f.later(do{Do: "meet", Address: m.address()})
	p := m.next()
	p.say("done")
	if err := receive(t, "an invocation's end", idle); err != nil {
		t.Fatal(err)
	}
	err := f.Close(ended())
	diff(t, "error", "1 invocations of f were cut off: context canceled", fmt.Sprint(err))
	atWork.dies()
	p.dies()
	if err := receive(t, "the invocation in progress", busy); !errors.Is(err, runtimeapi.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
}

// After Close nothing is left: no goroutine, no file or socket, no child.
func TestCloseLeavesNothing(t *testing.T) {
	files := func() int {
		open, err := os.ReadDir("/dev/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(open)
	}
	// The first round opens what the tests themselves leave open.
	var goroutines, open int
	for round := range 2 {
		f, m := start(t, timeout(600*time.Millisecond), mode("sigterm", "")), meet(t)
		for _, what := range []string{"fail", "panic", "exit", "broken reader", "sleep"} {
			f.fails(do{Do: what, Address: ""})
		}
		f.must(do{Text: "idle"})
		busy := f.later(do{Do: "meet", Address: m.address()})
		p := m.next()
		if err := f.Replace(copyProgram(t)); err != nil {
			t.Fatal(err)
		}
		_, _ = f.Close(ended()), p.Close()
		if err := receive(t, "the invocation in progress", busy); err == nil {
			t.Error("it was not cut off")
		}
		_ = m.listener.Close()
		if round == 0 {
			goroutines, open = runtime.NumGoroutine(), files()
		}
	}
	for begin := time.Now(); runtime.NumGoroutine() > goroutines || files() > open; runtime.Gosched() {
		if time.Since(begin) > patience {
			all := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, then %d; %d files, then %d\n%s", goroutines, runtime.NumGoroutine(), open, files(),
				all[:runtime.Stack(all, true)])
		}
	}
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("a child is left: %d, %v", pid, err)
	}
}

// No process outlives the runner, even a runner that has no time to end them.
func TestRunnerIsKilled(t *testing.T) {
	m := meet(t)
	runner := exec.Command(os.Args[0])
	runner.Env = append(os.Environ(), "RUNNER_MEETS_AT="+m.address(), "RUNNER_RUNS="+program)
	said, err := runner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	runner.Stderr = os.Stderr
	if err := runner.Start(); err != nil {
		t.Fatal(err)
	}
	one, two := m.next(), m.next()
	one.say("done") // ends what "meet" did, and makes no difference to "sleep", which goes on
	two.say("done")
	if line := make([]byte, 100); func() error { _, err := said.Read(line); return err }() != nil {
		t.Fatal("no function became idle")
	}
	if err := runner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	one.dies()
	two.dies()
	_ = runner.Wait()
}

package runtimeapi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/runtimeapi"
)

// Successive invocations share one process; events and results of concurrent ones do not
// mix, and no process has two at a time.
func TestEnvironmentsGrowAndAreReused(t *testing.T) {
	const callers, each = 4, 25
	f := start(t, reserved(callers))
	var (
		group     sync.WaitGroup
		mu        sync.Mutex
		processes = make(map[int][]int)
	)
	for caller := range callers {
		group.Go(func() {
			for i := range each {
				text := fmt.Sprintf("%d/%d", caller, i)
				payload, err := f.invoke(do{Text: text})
				if err != nil {
					t.Error(err)
					return
				}
				got := decode[answer](t, string(payload))
				if got.Text != text {
					t.Errorf("the answer to %q is for %q", text, got.Text)
				}
				mu.Lock()
				processes[got.PID] = append(processes[got.PID], got.Invocations)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(processes) > callers {
		t.Errorf("%d processes", len(processes))
	}
	for pid, counts := range processes {
		seen := make(map[int]bool)
		for _, count := range counts {
			seen[count] = true
		}
		if len(seen) != len(counts) || !seen[1] || !seen[len(counts)] {
			t.Errorf("process %d counted %v", pid, counts)
		}
	}
}

func TestThrottling(t *testing.T) {
	throttled := func(t *testing.T, f function) {
		t.Helper()
		if _, err := f.invoke(do{}); !errors.Is(err, emulator.ErrThrottled) {
			t.Errorf("the error is %v", err)
		}
	}
	t.Run("one at a time", func(t *testing.T) {
		f, m := start(t, reserved(1)), meet(t)
		first := f.later(do{Do: "meet", Address: m.address()})
		p := m.next()
		throttled(t, f)
		p.say("done")
		if err := receive(t, "the first invocation's end", first); err != nil {
			t.Fatal(err)
		}
		for range 20 { // its concurrency is free as soon as its result has arrived
			f.answer()
		}
		f.fails(do{Do: "exit"})
		f.answer()
	})
	t.Run("none at all", func(t *testing.T) { throttled(t, start(t, reserved(0))) })
}

// The caller's context ends only the waiting, not the function.
func TestCallerLeaves(t *testing.T) {
	f, m := start(t), meet(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := f.Invoke(ctx, emulator.Invocation{Event: do{Do: "meet", Address: m.address()}})
		done <- err
	}()
	p := m.next()
	cancel()
	if err := receive(t, "the caller", done); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	p.say("done") // it still listens
	f.Wait()
	diff(t, "invocations", 2, f.answer().Invocations)
}

// A goroutine that a handler left behind stops with its invocation, and continues with the
// next.
func TestIdleIsFrozen(t *testing.T) {
	f, m := start(t), meet(t)
	f.must(do{Do: "leave an echo", Address: m.address()})
	p := m.next()
	begin := time.Now()
	for word := make([]byte, 10); ; {
		p.say("hello")
		if err := p.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Read(word); errors.Is(err, os.ErrDeadlineExceeded) {
			break // it stopped
		} else if err != nil || time.Since(begin) > patience {
			t.Fatalf("the idle process runs on (%v)", err)
		}
	}
	next := f.later(do{Do: "meet", Address: m.address()})
	diff(t, "echo", "hello", p.hear())
	m.next().say("done")
	if err := receive(t, "the invocation's end", next); err != nil {
		t.Error(err)
	}
}

func TestIdleEnvironmentEnds(t *testing.T) {
	f, m := start(t, func(c *runtimeapi.Config) { c.IdleTimeout = 10 * time.Millisecond }), meet(t)
	done := f.later(do{Do: "meet", Address: m.address()})
	p := m.next()
	p.say("done")
	if err := receive(t, "the invocation's end", done); err != nil {
		t.Fatal(err)
	}
	p.dies()
	diff(t, "invocations of the next process", 1, f.answer().Invocations)
}

// A process that is killed while it is idle fails no invocation.
func TestIdleProcessEnds(t *testing.T) {
	f := start(t)
	before := f.answer()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); f.Idle() > 0; runtime.Gosched() {
		if time.Since(begin) > patience {
			t.Fatal("the dead process still counts as idle")
		}
	}
	diff(t, "invocations of the next process", 1, f.answer().Invocations)
}

// copyProgram returns another build of the function, in another folder.
func copyProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.Link(program, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReplace(t *testing.T) {
	f, m := start(t), meet(t)
	folder := func() string {
		return decode[struct{ Folder string }](t, f.must(do{Do: "describe"})).Folder
	}
	diff(t, "folder", filepath.Dir(program), folder())
	busy := f.later(do{Do: "meet", Address: m.address()})
	old := m.next()
	idle := f.later(do{Do: "meet", Address: m.address()})
	oldIdle := m.next()
	oldIdle.say("done")
	if err := receive(t, "an invocation's end", idle); err != nil {
		t.Fatal(err)
	}

	replacement := copyProgram(t)
	if err := f.Replace(replacement); err != nil {
		t.Fatal(err)
	}
	oldIdle.dies()
	diff(t, "folder of the new build", filepath.Dir(replacement), folder())
	old.say("done") // it was not disturbed
	if err := receive(t, "the old build's invocation", busy); err != nil {
		t.Error(err)
	}
	old.dies()
	diff(t, "folder of the new build", filepath.Dir(replacement), folder())

	t.Run("in place", func(t *testing.T) {
		before := f.answer()
		if err := f.Replace(replacement); err != nil {
			t.Fatal(err)
		}
		if after := f.answer(); after.PID == before.PID {
			t.Error("the old build runs on")
		}
	})
	t.Run("by nothing", func(t *testing.T) {
		if err := f.Replace(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the error is %v", err)
		}
		f.answer()
	})
}

func TestColdStart(t *testing.T) {
	f := start(t)
	begin := time.Now()
	took, err := f.ColdStart(t.Context())
	if all := time.Since(begin); err != nil || took <= 0 || took > all {
		t.Errorf("%s of %s, %v", took, all, err)
	}
	diff(t, "invocations of another process", 1, f.answer().Invocations)

	f = start(t, mode("exit in init", ""))
	if _, err := f.ColdStart(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("the error is %v", err)
	}
	m := meet(t)
	f = start(t, mode("hold", m.address()))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := f.ColdStart(ctx)
		done <- err
	}()
	p := m.next()
	p.say("go on")
	cancel()
	if err := receive(t, "the start", done); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	p.dies()
}

func TestConfigIsChecked(t *testing.T) {
	notExecutable := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(notExecutable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name   string
		change func(*runtimeapi.Config)
		want   string
	}{
		{"no binary", func(c *runtimeapi.Config) { c.Binary = "/absent" },
			`function f: find the function's program: exec: "/absent": stat /absent: no such file or directory`},
		{"no program", func(c *runtimeapi.Config) { c.Binary = notExecutable },
			`function f: find the function's program: exec: "` + notExecutable + `": permission denied`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := runtimeapi.Config{Function: described(), Binary: program}
			row.change(&c)
			_, err := runtimeapi.New(c)
			diff(t, "error", row.want, fmt.Sprint(err))
		})
	}
}

// A path that is relative to the runner works, though the function starts in another
// folder.
func TestRelativePath(t *testing.T) {
	t.Chdir(filepath.Dir(program))
	f := start(t, func(c *runtimeapi.Config) { c.Binary = "bootstrap" })
	diff(t, "invocations", 1, f.answer().Invocations)
}

package runtimeapi_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"paylane/shared/emulator/runtimeapi"
)

// Each invocation tries the init again.
func TestExitInInit(t *testing.T) {
	f := start(t, mode("exit in init", ""))
	for range 2 {
		diff(t, "payload", `{"errorMessage":"RequestId: `+requestID+` Error: Runtime exited with error: exit status 3","errorType":"Runtime.ExitError"}`,
			f.fails(do{}))
	}
}

func TestErrorInInit(t *testing.T) {
	m := meet(t)
	f := start(t, mode("raw", m.address()))
	done := f.later(do{})
	p := m.next()
	diff(t, "answer", `202 {"status":"OK"}`, p.call("POST", "/2018-06-01/runtime/init/error", "", `{"errorMessage":"no table","errorType":"Config"}`))
	diff(t, "next after an init error", `403 {"errorMessage":"State transition from InitError to Ready failed for runtime. Error: State transition is not allowed","errorType":"InvalidStateTransition"}`,
		p.call("GET", nextPath, "", ""))
	_ = p.Close() // it exits
	diff(t, "payload", `{"errorMessage":"no table","errorType":"Config"}`, f.payloadOf(receive(t, "the invocation's end", done)))
}

// An init that takes too long is tried once more, on the function's own timeout.
func TestInitLimit(t *testing.T) {
	t.Parallel()
	m := meet(t)
	f := start(t, mode("slow first init", m.address()))
	f.SetInitLimit(600 * time.Millisecond)
	done := f.later(do{})
	first := m.next()
	first.say("wait")
	first.dies()
	m.next().say("go on")
	if err := receive(t, "the invocation's end", done); err != nil {
		t.Fatal(err)
	}
	diff(t, "invocations", 2, f.answer().Invocations)
}

func TestInitNeverEnds(t *testing.T) {
	t.Parallel()
	m := meet(t)
	f := start(t, mode("slow first init", m.address()), timeout(600*time.Millisecond))
	f.SetInitLimit(600 * time.Millisecond)
	done := f.later(do{})
	for range 2 {
		p := m.next()
		p.say("wait")
		p.dies()
	}
	diff(t, "payload", `{"errorMessage":"RequestId: `+requestID+` Error: Task timed out after 0.60 seconds","errorType":"Sandbox.Timedout"}`,
		f.payloadOf(receive(t, "the invocation's end", done)))
}

func TestNoProgramAfterAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.WriteFile(path, []byte("no program"), 0o700); err != nil {
		t.Fatal(err)
	}
	f := start(t, func(c *runtimeapi.Config) { c.Binary = path })
	diff(t, "payload", `{"errorMessage":"RequestId: `+requestID+` Error: fork/exec `+path+`: exec format error","errorType":"Runtime.InvalidEntrypoint"}`,
		f.fails(do{}))
	if err := f.Replace(program); err != nil {
		t.Fatal(err)
	}
	diff(t, "invocations", 1, f.answer().Invocations)
}

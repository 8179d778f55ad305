package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
)

// TestMain lets the test binary be the floor server, as the real one is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == floorArg {
		os.Exit(floorMain(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	stranger := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	// A port that nobody serves. (That of a server which was closed may be given to
	// another test's server.)
	const gone = "http://127.0.0.1:1"
	for _, tt := range []struct {
		name string
		args string
		code int
		text string
	}{
		{"help", "-help", exitOK, "-payment-token"},
		{"an unknown flag", "-nope", exitUsage, "not defined: -nope"},
		{"an argument", "http://127.0.0.1", exitUsage, "unexpected argument"},
		{"no connection", "-c 0", exitUsage, "-c must be at least 1"},
		{"no time", "-d 0s", exitUsage, "-d must be more than 0"},
		{"time that runs backwards", "-drain -1s", exitUsage, "-drain can't be less than 0"},
		{"another machine", "-url https://example.com", exitUsage, "example.com is not this machine; to drive it all the same, say -allow-remote"},
		{"another machine, dressed up", "-url http://127.0.0.1@example.com", exitUsage, "must be like"},
		{"no scheme", "-url localhost:3000", exitUsage, "must be like"},
		{"another scheme", "-url ftp://localhost", exitUsage, "must be like"},
		{"a query", "-url http://localhost?x=1", exitUsage, "must be like"},
		{"not a URL", "-url http://[", exitUsage, "read -url"},
		{"nobody there", "-url " + gone, exitFailed, "nothing answers at " + gone},
		{"somebody else there", "-url " + stranger.URL, exitFailed, "is it a paylane API?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if code := run(strings.Fields(tt.args), &stdout, &stderr, false); code != tt.code {
				t.Errorf("the exit code is %d, want %d", code, tt.code)
			}
			if !strings.Contains(stderr.String(), tt.text) {
				t.Errorf("it says %q, want %q in it", &stderr, tt.text)
			}
			if stdout.Len() > 0 {
				t.Errorf("standard output is for the report, but has %q", &stdout)
			}
		})
	}
}

func TestAllowRemote(t *testing.T) {
	t.Parallel()
	target, err := newTarget("https://example.com/stage/", "", 1, true)
	if err != nil {
		t.Fatal(err)
	}
	if target.base != "https://example.com/stage" {
		t.Errorf("the base is %s", target.base)
	}
}

// Ctrl-C ends the load and not the report. (Not parallel: the signal is for the whole
// process.)
func TestInterrupt(t *testing.T) {
	for _, tt := range []struct {
		name     string
		api      *fakeAPI
		terminal bool
		code     int
	}{
		{name: "well", api: &fakeAPI{stopAt: 100}, code: exitOK},
		{name: "on a terminal", api: &fakeAPI{stopAt: 100}, terminal: true, code: exitOK},
		{name: "with a lost order", api: &fakeAPI{stopAt: 100, lost: every(60)}, code: exitFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.api.stop = func() { interrupt(t) }
			api := tt.api.start(t)
			var stdout, stderr bytes.Buffer
			code := run([]string{"-url", api.url, "-c", "3", "-d", "1h", "-json"}, &stdout, &stderr, tt.terminal)
			if code != tt.code {
				t.Errorf("the exit code is %d, want %d", code, tt.code)
			}
			var r report
			if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
				t.Fatalf("decode %q: %v", &stdout, err)
			}
			if !r.Interrupted || r.Accepted < 100 || r.Accepted != api.posts || r.OK != (tt.code == exitOK) {
				t.Errorf("of %d orders the report says %+v", api.posts, r)
			}
			shown := stderr.String()
			if !tt.terminal && shown != "" {
				t.Errorf("where there is no terminal, it says %q", shown)
			}
			if tt.terminal && (!strings.Contains(shown, "orders at their ends") || !strings.HasSuffix(shown, "\r\x1b[K")) {
				t.Errorf("on a terminal, it says %q", shown)
			}
		})
	}
}

// A second Ctrl-C ends the following; what was not seen is said to be unread.
func TestSecondInterrupt(t *testing.T) {
	once := sync.OnceFunc(func() { interrupt(t) })
	api := &fakeAPI{stopAt: 10, stop: func() { interrupt(t) }, listFails: 1 << 30, onList: once}
	api.start(t)
	var stdout, stderr bytes.Buffer
	code := run([]string{"-url", api.url, "-c", "1", "-d", "1h", "-json"}, &stdout, &stderr, false)
	var r report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("decode %q: %v", &stdout, err)
	}
	if code != exitFailed || r.Accepted != api.posts || r.Unread != api.posts || r.Missing != 0 || r.FollowError != "interrupted" {
		t.Errorf("exit code %d, report %+v", code, r)
	}
}

func interrupt(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(os.Interrupt)
	}
	if err != nil {
		t.Error(err)
	}
}

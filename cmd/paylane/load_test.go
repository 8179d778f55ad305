package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"paylane/cmd/paylane/internal/fakeapi"
	"paylane/cmd/paylane/internal/load"
)

func TestLoadCommandLine(t *testing.T) {
	stranger := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	// A port that nobody serves. (The port of a server that was closed may be given to
	// another test's server.)
	const gone = "http://127.0.0.1:1"
	for _, tt := range []struct {
		name string
		args string
		code int
		text string
	}{
		{"an unknown flag", "--nope", exitUsage, "unknown flag: --nope"},
		{"an argument", "http://127.0.0.1", exitUsage, "unexpected argument"},
		{"no connection", "-c 0", exitUsage, "--connections must be at least 1"},
		{"no time", "-d 0s", exitUsage, "--duration must be more than 0"},
		{"time that runs backwards", "--drain -1s", exitUsage, "--drain must not be negative"},
		{"another machine", "--url https://example.com", exitUsage, "example.com is not this machine; to use it all the same, add --allow-remote"},
		{"another machine, dressed up", "--url http://127.0.0.1@example.com", exitUsage, "must be like"},
		{"no scheme", "--url localhost:3000", exitUsage, "must be like"},
		{"another scheme", "--url ftp://localhost", exitUsage, "must be like"},
		{"a query", "--url http://localhost?x=1", exitUsage, "must be like"},
		{"not a URL", "--url http://[", exitUsage, "read --url"},
		{"nobody there", "--url " + gone, exitFailed, "nothing answers at " + gone},
		{"somebody else there", "--url " + stranger.URL, exitFailed, "is it a paylane API?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := execute(t, append([]string{"load"}, strings.Fields(tt.args)...)...)
			if got.status != tt.code {
				t.Errorf("the exit status is %d, want %d", got.status, tt.code)
			}
			if !strings.HasPrefix(got.err, "paylane load: ") || !strings.Contains(got.err, tt.text) {
				t.Errorf("it says %q, want %q in it", got.err, tt.text)
			}
			if got.out != "" {
				t.Errorf("standard output is for the report, but has %q", got.out)
			}
		})
	}
}

// TestInterrupt: Ctrl-C ends the load, but not the report.
func TestInterrupt(t *testing.T) {
	for _, tt := range []struct {
		name     string
		api      *fakeapi.API
		terminal bool
		code     int
	}{
		{name: "well", api: &fakeapi.API{StopAt: 100}, code: exitOK},
		{name: "on a terminal", api: &fakeapi.API{StopAt: 100}, terminal: true, code: exitOK},
		{name: "with a lost order", api: &fakeapi.API{StopAt: 100, Lost: fakeapi.Every(60)}, code: exitFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.api.Stop = func() { interrupt(t) }
			api := tt.api.Start(t)
			got := executeOn(t, tt.terminal, "load", "--url", api.URL, "-c", "3", "-d", "1h", "--json")
			if got.status != tt.code {
				t.Errorf("the exit status is %d, want %d", got.status, tt.code)
			}
			var r load.Report
			if err := json.Unmarshal([]byte(got.out), &r); err != nil {
				t.Fatalf("decode %q: %v", got.out, err)
			}
			if !r.Interrupted || r.Accepted < 100 || r.Accepted != api.Posts || r.OK != (tt.code == exitOK) {
				t.Errorf("of %d orders the report says %+v", api.Posts, r)
			}
			shown := got.err
			if !tt.terminal && shown != "" {
				t.Errorf("without a terminal, it says %q", shown)
			}
			if tt.terminal && (!strings.Contains(shown, "orders at their ends") || !strings.HasSuffix(shown, "\r\x1b[K")) {
				t.Errorf("on a terminal, it says %q", shown)
			}
		})
	}
}

// TestSecondInterrupt: a second Ctrl-C ends the following; orders not seen are unread.
func TestSecondInterrupt(t *testing.T) {
	once := sync.OnceFunc(func() { interrupt(t) })
	api := &fakeapi.API{StopAt: 10, Stop: func() { interrupt(t) }, ListFails: 1 << 30, OnList: once}
	api.Start(t)
	got := execute(t, "load", "--url", api.URL, "-c", "1", "-d", "1h", "--json")
	var r load.Report
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatalf("decode %q: %v", got.out, err)
	}
	if got.status != exitFailed || r.Accepted != api.Posts || r.Unread != api.Posts || r.Missing != 0 || r.FollowError != "interrupted" {
		t.Errorf("exit status %d, report %+v", got.status, r)
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

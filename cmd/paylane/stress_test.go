package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// openOrder is the body of an order that stays open for ten minutes.
const openOrder = `{"amount": 1200, "currency": "EUR", "paymentToken": "tok_unknown_600"}`

// TestCallersThatHangUp: thousands of callers that wait for an order or listen to one, and
// leave, hold nothing: another's POST is answered at once, and all that served them ends.
func TestCallersThatHangUp(t *testing.T) {
	const rounds, callers = 5, 1000
	url := startRunner(t, testConfig(t))
	id := target{url: url}.create(t, "", openOrder)
	http.DefaultClient.CloseIdleConnections()
	before := runtime.NumGoroutine()
	reach := func(enough func(goroutines int) bool) {
		t.Helper()
		deadline := time.After(10 * time.Second) // callers wait for 20
		for look := time.Tick(time.Millisecond); !enough(runtime.NumGoroutine()); {
			select {
			case <-look:
			case <-deadline:
				t.Fatalf("there are %d goroutines; there were %d", runtime.NumGoroutine(), before)
			}
		}
	}
	for range rounds {
		var connections []net.Conn
		for i := range callers {
			connection, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			connections = append(connections, connection)
			request := "GET /orders/" + id + " HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=20\r\n\r\n"
			if i%10 == 0 {
				request = "GET /orders/" + id + "/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
			}
			if _, err := io.WriteString(connection, request); err != nil {
				t.Fatal(err)
			}
		}
		reach(func(n int) bool { return n > before+2*callers }) // they wait
		for _, connection := range connections {
			_ = connection.Close()
		}
		// Of three goroutines for each caller, one is kept for the next for a while.
		reach(func(n int) bool { return n < before+callers*3/2 })
	}
	began := time.Now()
	target{url: url}.create(t, "", openOrder)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("another caller's POST took %v", took)
	}
}

// TestHalfClosedCaller: one who ends only its own side is answered, and need not wait.
func TestHalfClosedCaller(t *testing.T) {
	url := startRunner(t, testConfig(t))
	id := target{url: url}.create(t, "", openOrder)
	connection, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	_, err = fmt.Fprintf(connection, "GET /orders/%s HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=20\r\nConnection: close\r\n\r\n", id)
	if err == nil {
		err = connection.(*net.TCPConn).CloseWrite()
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	answer, err := io.ReadAll(connection)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) || !bytes.Contains(answer, []byte(id)) {
		t.Errorf("the answer is %q, %v", answer, err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestTheDiskFills: a write without space is a 503, and the runner ends with the reason,
// which is logged once.
func TestTheDiskFills(t *testing.T) {
	disk := errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite {
			return &fs.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	})}
	c := testConfig(t)
	c.FS = errorfs.Wrap(vfs.NewMem(), &disk)
	var log lines
	c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	page, out := io.Pipe()
	c.Out = out
	ended := make(chan error, 1)
	go func() { ended <- run(t.Context(), c) }()
	url := address(t, page)
	if _, err := place(http.DefaultClient, url, "before", `{"amount": 5}`); err != nil {
		t.Fatal(err)
	}
	disk.On()
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			got, err := http.Post(url+"/orders", "application/json", strings.NewReader(`{"amount":1,"currency":"EUR","paymentToken":"tok_ok"}`))
			if err != nil {
				return // it came too late
			}
			_ = got.Body.Close()
			if got.StatusCode == http.StatusCreated {
				t.Error("an order was acknowledged that is not on disk")
			}
		})
	}
	group.Wait()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("run: the error is %v, want one about space", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the runner does not end")
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "no space left on device") {
		t.Errorf("the log is not one line about space:\n%s", text)
	}
}

// TestPrivateData: only the owner can read what a runner keeps: the folder, orders, and the
// issuer's key.
func TestPrivateData(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	c := testConfig(t)
	c.Data = filepath.Join(c.Data, "new", "data")
	c.Access = access{Tokens: true}
	url, stop := runRunner(t, c)
	issuer, err := openIssuer(c.Data, strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := issuer.token("a", everything, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	target{url: url}.create(t, "Bearer "+token, openOrder)
	walk := func() {
		files := 0
		err := filepath.WalkDir(c.Data, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			want := fs.FileMode(0o600)
			if entry.IsDir() {
				want = os.ModeDir | 0o700
			} else {
				files++
			}
			if info.Mode() != want {
				t.Errorf("%s has the mode %v, want %v", path, info.Mode(), want)
			}
			return nil
		})
		if err != nil || files < 5 {
			t.Errorf("%d files, %v", files, err)
		}
	}
	walk()
	stop()
	walk()
}

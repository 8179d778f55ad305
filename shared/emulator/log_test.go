package emulator_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/emulator"
)

// TestLog: an invocation has Lambda's lines around it, with the time that it took, and with a
// status only if it did not end by itself.
func TestLog(t *testing.T) {
	const took = "Duration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 256 MB\t"
	rows := []struct {
		name    string
		handler any
		want    string // after "REPORT RequestId: ID\t"
	}{
		{"succeeds", func() { time.Sleep(12340 * time.Microsecond) }, took},
		{"takes whole milliseconds", func() { time.Sleep(12 * time.Millisecond) }, "Duration: 12.00 ms\tBilled Duration: 12 ms\tMemory Size: 256 MB\t"},
		{"returns an error", func() error { time.Sleep(12340 * time.Microsecond); return errors.New("no") }, took},
		{"panics", func() { time.Sleep(12340 * time.Microsecond); panic("oh") }, took},
		{"exits", func() { time.Sleep(12340 * time.Microsecond); runtime.Goexit() },
			took + "Status: error\tError Type: Runtime.ExitError\nf | RequestId: ID Error: Runtime exited without providing a reason"},
		{"times out", func() { time.Sleep(time.Minute) },
			"Duration: 2000.00 ms\tBilled Duration: 2000 ms\tMemory Size: 256 MB\tStatus: timeout\nf | RequestId: ID Error: Task timed out after 2.00 seconds"},
		{"streams", streams(func(context.Context, *urlRequest) io.Reader {
			return readerFunc(func() error { time.Sleep(12340 * time.Microsecond); return io.EOF })
		}), took},
		{"times out while it streams", streams(func(context.Context, *urlRequest) io.Reader { return &late{} }),
			"Duration: 2000.00 ms\tBilled Duration: 2000 ms\tMemory Size: 256 MB\tStatus: timeout\nf | RequestId: ID Error: Task timed out after 2.00 seconds"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(100 * time.Microsecond) // deadlines are in whole milliseconds
				var log bytes.Buffer
				f := emulator.NewInProcess(row.handler, emulator.Config{Log: &log, Name: "f", MemoryMB: 256, Timeout: 2 * time.Second})
				i := emulator.Invocation{RequestID: "ID", Event: urlEvent.Event}
				if strings.Contains(row.name, "stream") {
					if s, err := f.InvokeStream(t.Context(), i); err == nil {
						_, _ = io.ReadAll(s.Body)
					}
				} else {
					_, _ = f.Invoke(t.Context(), i)
				}
				diff(t, "log", "f | START RequestId: ID Version: $LATEST\nf | END RequestId: ID\nf | REPORT RequestId: ID\t"+row.want+"\n", log.String())
				f.Close()
				time.Sleep(time.Hour) // until the abandoned handler ends
			})
		})
	}
}

// TestLogOfThrottled: what did not run has no lines.
func TestLogOfThrottled(t *testing.T) {
	var log bytes.Buffer
	f := inProcess(t, func() {}, emulator.Config{Log: &log, ReservedConcurrency: new(int)})
	if _, err := f.Invoke(t.Context(), emulator.Invocation{Event: event{}}); !errors.Is(err, emulator.ErrThrottled) {
		t.Errorf("the error is %v", err)
	}
	diff(t, "log", "", log.String())
}

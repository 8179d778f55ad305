// Package defaults stands in for what a configuration leaves out.
package defaults

import (
	"crypto/rand"
	"io"
	"log/slog"
	"time"
)

// Now gives the clock, or else the system's.
func Now(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now //nolint:forbidigo // the default of a clock that can be passed in
	}
	return now
}

// Random gives the source of ids, or else crypto/rand.
func Random(random io.Reader) io.Reader {
	if random == nil {
		return rand.Reader
	}
	return random
}

// Logger gives the logger, or else one that writes nothing.
func Logger(logger *slog.Logger) *slog.Logger {
	if logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return logger
}

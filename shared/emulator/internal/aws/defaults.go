package aws

import (
	"cmp"
	"crypto/rand"
	"io"
	"log/slog"
	"time"
)

// DefaultNow returns now, or the system's clock if it is nil.
func DefaultNow(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now //nolint:forbidigo // the default of a clock that can be passed in
	}
	return now
}

// DefaultRandom returns random, or crypto/rand's source if it is nil.
func DefaultRandom(random io.Reader) io.Reader { return cmp.Or(random, rand.Reader) }

// DefaultLogger returns logger, or one that discards everything if it is nil.
func DefaultLogger(logger *slog.Logger) *slog.Logger {
	return cmp.Or(logger, slog.New(slog.DiscardHandler))
}

// Version is every function's version here: nothing is published.
const Version = "$LATEST"

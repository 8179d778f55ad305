package pebblestore

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
)

// logTo sends pebble's messages to a logger: events at level debug, errors above.
func logTo(o *pebble.Options, logger *slog.Logger, fail func(error) error) {
	l := pebbleLogger{logger: logger, fail: fail}
	o.Logger = l
	o.EventListener = &pebble.EventListener{
		BackgroundError: func(err error) {
			logger.Error("pebble can't flush or compact, and will try again", "error", err)
		},
		// The default ends the process. The read that met the damage returns it as an
		// error, and everything else can still be served.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			logger.Error("the database is damaged", "path", info.Path, "error", info.Details)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			logger.Warn("writes wait for pebble to catch up", "reason", info.Reason)
		},
	}
}

// pebbleLogger implements pebble.Logger.
type pebbleLogger struct {
	logger *slog.Logger
	fail   func(error) error
}

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.logger.Enabled(context.Background(), slog.LevelDebug) {
		l.logger.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.logger.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf is called when pebble can't go on, such as after a failed write of its manifest.
// Pebble relies on its not returning.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	_ = l.fail(fmt.Errorf(format, args...))
	select {}
}

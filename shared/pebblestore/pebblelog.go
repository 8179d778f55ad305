package pebblestore

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
)

// logTo sends pebble's messages to the logger: events at level debug, errors above. What
// follows from a failure of the database is not logged.
func (d *DB) logTo(o *pebble.Options) {
	o.Logger = pebbleLogger{d}
	o.EventListener = &pebble.EventListener{
		BackgroundError: func(err error) {
			if d.failedWith() == nil {
				d.logger.Error("pebble can't flush or compact, and will try again", "error", err.Error())
			}
		},
		// The default ends the process. The read that met the damage returns it as an
		// error, and everything else can still be served.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			d.logger.Error("the database is damaged", "path", info.Path, "error", info.Details)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			d.logger.Warn("writes wait for pebble to catch up", "reason", info.Reason)
		},
	}
}

// pebbleLogger implements pebble.Logger.
type pebbleLogger struct{ db *DB }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.db.logger.Enabled(context.Background(), slog.LevelDebug) {
		l.db.logger.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	if l.db.failedWith() == nil {
		l.db.logger.Error("pebble: " + fmt.Sprintf(format, args...))
	}
}

// Fatalf is called when pebble can't go on, such as after a failed write of its manifest.
// Pebble relies on its not returning.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	_ = l.db.fail(fmt.Errorf(format, args...))
	select {}
}

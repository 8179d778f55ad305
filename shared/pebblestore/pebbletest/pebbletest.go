// Package pebbletest opens a store and a queue for tests of what uses them.
package pebbletest

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

// Open opens a store and a queue in memory, until the test ends.
func Open(tb testing.TB, visibility time.Duration) (*pebblestore.Store, *pebblestore.Queue) {
	tb.Helper()
	db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: vfs.NewMem()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	queue, err := db.Queue(pebblestore.QueueConfig{
		Name: "q", ARN: "arn", VisibilityTimeout: visibility, Retention: 4 * 24 * time.Hour, MaxMessageBytes: queue.MaxBodyBytes,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return db.Store(), queue
}

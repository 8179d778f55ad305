package main

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/contract"
	"paylane/shared/dynamostore"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
)

// TestEmbeddedStream: the embedded database's stream is one.
func TestEmbeddedStream(t *testing.T) {
	contract.RunFeed(t, func(t *testing.T) contract.FeedWorld {
		db, err := pebblestore.Open(pebblestore.Options{
			Dir: "data", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler),
			Feed: func(string, order.Status, order.Status) bool { return true },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return contract.FeedWorld{Stream: embeddedStream{db.Feed()}, Store: db.Store(), Order: dynamostore.FromImage}
	})
}

package pebblestore_test

import (
	"cmp"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/contract"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

// quiet drops logs below errors, which no test expects.
func quiet(tb testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
}

// silent drops all logs.
func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(tb testing.TB, o pebblestore.Options) *pebblestore.DB {
	tb.Helper()
	if o.Logger == nil {
		o.Logger = quiet(tb)
	}
	db, err := pebblestore.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

// places returns where the suites run.
func places(tb testing.TB) map[string]pebblestore.Options {
	return map[string]pebblestore.Options{
		"disk":   {Dir: tb.TempDir()},
		"memory": {Dir: "data", FS: vfs.NewMem()},
	}
}

// TestEarlierOrders: this build writes them as the earlier one did; see TestEarlierRecords.
func TestEarlierOrders(t *testing.T) {
	contract.RunEarlier(t, func(t *testing.T, _ string, o order.Order) order.Store {
		s := open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()}).Store()
		if err := s.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestStore(t *testing.T) {
	for name := range places(t) {
		t.Run(name, func(t *testing.T) {
			contract.RunStore(t, func(t *testing.T) order.Store { return open(t, places(t)[name]).Store() })
		})
	}
}

func TestWatcher(t *testing.T) {
	for name := range places(t) {
		t.Run(name, func(t *testing.T) {
			contract.RunWatcher(t, func(t *testing.T) (order.Store, order.Watcher) {
				s := open(t, places(t)[name]).Store()
				return s, s
			})
		})
	}
}

// queueConfig returns SQS's default settings.
func queueConfig(name string) pebblestore.QueueConfig {
	return pebblestore.QueueConfig{
		Name: name, ARN: "arn:aws:sqs:us-east-1:000000000000:" + name,
		VisibilityTimeout: 30 * time.Second, Retention: 4 * 24 * time.Hour, MaxMessageBytes: queue.MaxBodyBytes,
	}
}

func openQueue(tb testing.TB, db *pebblestore.DB, c pebblestore.QueueConfig) *pebblestore.Queue {
	tb.Helper()
	q, err := db.Queue(c)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

func openContractQueue(t *testing.T, o pebblestore.Options, c contract.QueueConfig) contract.OpenQueue {
	db := open(t, o)
	config := queueConfig("queue")
	config.VisibilityTimeout = cmp.Or(c.VisibilityTimeout, config.VisibilityTimeout)
	config.Retention = cmp.Or(c.Retention, config.Retention)
	config.MaxMessageBytes = cmp.Or(c.MaxMessageBytes, config.MaxMessageBytes)
	config.Delay = c.Delay
	opened := contract.OpenQueue{ARN: config.ARN}
	if c.MaxReceiveCount > 0 {
		config.DeadLetterQueue, config.MaxReceiveCount = "dead", c.MaxReceiveCount
		opened.DeadLetter = openQueue(t, db, queueConfig("dead"))
	}
	opened.Queue = openQueue(t, db, config)
	return opened
}

func TestQueue(t *testing.T) {
	t.Run("memory, in virtual time", func(t *testing.T) {
		contract.RunQueue(t, func(t *testing.T, c contract.QueueConfig) contract.OpenQueue {
			return openContractQueue(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()}, c)
		}, contract.QueueOptions{Run: synctest.Test})
	})
	t.Run("disk, in virtual time", func(t *testing.T) {
		contract.RunQueue(t, func(t *testing.T, c contract.QueueConfig) contract.OpenQueue {
			return openContractQueue(t, pebblestore.Options{Dir: t.TempDir()}, c)
		}, contract.QueueOptions{Run: synctest.Test})
	})
}

func TestDocuments(t *testing.T) {
	for name := range places(t) {
		t.Run(name, func(t *testing.T) {
			contract.RunDocuments(t, func(t *testing.T) contract.Documents { return open(t, places(t)[name]).Store() })
		})
	}
}

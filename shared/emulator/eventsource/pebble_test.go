package eventsource_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"paylane/shared/emulator/template"
	"paylane/shared/pebblestore"
)

// onPebble is the embedded queue, in memory and virtual time.
func onPebble() backend {
	return backend{
		open: openPebble, run: synctest.Test,
		modes:   map[string]bool{" typed": false, " json": true},
		timeout: 5 * time.Second, visibility: 30 * time.Second,
		late: 10 * time.Millisecond, // a message is delivered once it is durable, 5 ms later
		idle: time.Minute,
	}
}

type pebbleQueue struct{ *pebblestore.Queue }

func (q pebbleQueue) left(*testing.T) int {
	s := q.Stats()
	return s.Visible + s.InFlight + s.Delayed
}

func (q pebbleQueue) startMoveTask(ctx context.Context) error {
	_, err := q.StartMoveTask(ctx)
	return err
}

func openPebble(t *testing.T, source string) (parsed *template.Template, jobs, dead testQueue) {
	t.Helper()
	parsed, err := template.Read("template.yaml", []byte(source), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	opened := func(id string) testQueue {
		q, _ := parsed.Queue(id)
		dead, _ := parsed.Queue(q.DeadLetterQueue)
		opened, err := db.Queue(pebblestore.QueueConfig{
			Name: q.Name, ARN: q.ARN, VisibilityTimeout: q.VisibilityTimeout, Retention: q.Retention, Delay: q.Delay,
			MaxMessageBytes: q.MaxMessageBytes, DeadLetterQueue: dead.Name, MaxReceiveCount: q.MaxReceiveCount,
		})
		if err != nil {
			t.Fatal(err)
		}
		return pebbleQueue{opened}
	}
	dead = opened("Dead")
	return parsed, opened("Jobs"), dead
}

// TestConformance runs the suite on the embedded queue. B03 and B04 are about templates
// alone.
func TestConformance(t *testing.T) {
	conformance(t, onPebble())
	for name, test := range map[string]struct {
		setting setting
		refusal string
	}{
		"B03 batch size 11 without a window": {
			setting{mapping: "BatchSize: 11"},
			"Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
		},
		"B04 visibility below the function's timeout": {
			setting{queue: "VisibilityTimeout: 30", function: "Timeout: 60"},
			"Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := template.Read("template.yaml", []byte(test.setting.source(onPebble())), template.Options{})
			if err == nil || !strings.Contains(err.Error(), test.refusal) {
				t.Errorf("want a refusal with %q, got %v", test.refusal, err)
			}
		})
	}
}

// bothModes runs a test on the embedded queue, with typed events and through JSON.
func bothModes(t *testing.T, name string, test func(t *testing.T, json bool)) {
	inModes(t, onPebble(), name, test)
}

// start makes the queues and starts the poller.
func start(t *testing.T, s setting, json bool, handler any) *world {
	t.Helper()
	w := open(t, onPebble(), s, json)
	w.poll(handler)
	return w
}

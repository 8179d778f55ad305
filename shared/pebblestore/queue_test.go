package pebblestore_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

// traceHeader comes with each message that send sends.
const traceHeader = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

func send(t *testing.T, q *pebblestore.Queue, body string, delay time.Duration) string {
	t.Helper()
	id, err := q.Send(queue.WithTraceHeader(t.Context(), traceHeader), body, delay)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// receive waits for one message, in virtual time.
func receive(t *testing.T, q *pebblestore.Queue, wait time.Duration) queue.Message {
	t.Helper()
	got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 1, Wait: wait})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Fatalf("no message came within %v", wait)
	}
	return got[0]
}

func wantNone(t *testing.T, q *pebblestore.Queue, wait time.Duration) {
	t.Helper()
	got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 10, Wait: wait})
	if err != nil || len(got) > 0 {
		t.Errorf("receive: %v, %v, want none", got, err)
	}
}

func deleteMessage(t *testing.T, q *pebblestore.Queue, handle string) {
	t.Helper()
	outcomes, err := q.Delete(t.Context(), []string{handle})
	if err := errors.Join(append(outcomes, err)...); err != nil {
		t.Fatal(err)
	}
}

func changeVisibility(t *testing.T, q *pebblestore.Queue, handle string, timeout time.Duration) {
	t.Helper()
	if err := q.ChangeVisibility(t.Context(), handle, timeout); err != nil {
		t.Fatal(err)
	}
}

// with returns the message with other values of some attributes.
func with(m queue.Message, attributes map[string]string) queue.Message {
	m.Attributes = maps.Clone(m.Attributes)
	maps.Copy(m.Attributes, attributes)
	return m
}

// restarting is a database, with a payments queue and its dead-letter queue, that is closed
// or killed, and opened again.
type restarting struct {
	fs          *vfs.MemFS
	db          *pebblestore.DB
	queue, dead *pebblestore.Queue
}

func (r *restarting) restart(t *testing.T, kill bool) {
	t.Helper()
	if r.fs == nil {
		r.fs = vfs.NewCrashableMem()
	} else {
		time.Sleep(10 * time.Millisecond) // until everything is durable
		if kill {
			r.fs = copied(r.fs)
		}
		if err := r.db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r.db = openFor(t, r.fs)
	r.queue, r.dead = openBoth(t, r.db)
}

// inRestarts runs a test in virtual time, with restarts of both sorts.
func inRestarts(t *testing.T, test func(t *testing.T, r *restarting, restart func())) {
	for name, kill := range map[string]bool{"closed": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r restarting
				r.restart(t, false)
				test(t, &r, func() { r.restart(t, kill) })
			})
		})
	}
}

func TestDeadlinesSurviveARestart(t *testing.T) {
	inRestarts(t, func(t *testing.T, r *restarting, restart func()) {
		start := time.Now()
		send(t, r.queue, "hidden", 0)
		receive(t, r.queue, time.Second) // for 30 s
		send(t, r.queue, "longer", 0)
		changeVisibility(t, r.queue, receive(t, r.queue, time.Second).ReceiptHandle, 40*time.Second)
		send(t, r.queue, "delayed", 35*time.Second)
		restart()
		wantNone(t, r.queue, 20*time.Second)
		restart()
		for _, want := range []struct {
			body  string
			at    time.Duration
			count int
		}{{"hidden", 30 * time.Second, 2}, {"delayed", 35 * time.Second, 1}, {"longer", 40 * time.Second, 2}} {
			d := receive(t, r.queue, 20*time.Second)
			if d.Body != want.body || d.ReceiveCount() != want.count {
				t.Errorf("the message %q came with count %d, want %q with %d", d.Body, d.ReceiveCount(), want.body, want.count)
			}
			// Waiting for durability before adds a few milliseconds.
			if at := time.Since(start); at < want.at || at > want.at+50*time.Millisecond {
				t.Errorf("the message %q came at %v, want %v", d.Body, at, want.at)
			}
		}
	})
}

func TestHandlesSurviveARestart(t *testing.T) {
	inRestarts(t, func(t *testing.T, r *restarting, restart func()) {
		ids := []string{send(t, r.queue, "a", 0), send(t, r.queue, "b", 0), send(t, r.queue, "c", 0)}
		var before []queue.Message
		for range ids {
			before = append(before, receive(t, r.queue, time.Second))
		}
		restart()
		deleteMessage(t, r.queue, before[0].ReceiptHandle)
		changeVisibility(t, r.queue, before[1].ReceiptHandle, 0)
		again := receive(t, r.queue, 0)
		want := with(before[1], map[string]string{queue.ReceiveCountAttribute: "2", queue.TraceHeaderAttribute: traceHeader})
		want.ReceiptHandle = again.ReceiptHandle
		if diff := cmp.Diff(want, again); diff != "" {
			t.Errorf("the second receive (-want +got):\n%s", diff)
		}
		restart()
		// The handle of the first receive is still an old one.
		deleteMessage(t, r.queue, before[1].ReceiptHandle)
		deleteMessage(t, r.queue, before[2].ReceiptHandle)
		send(t, r.queue, "d", 0)
		for _, want := range []string{"d", "b"} {
			if d := receive(t, r.queue, 20*time.Second); d.Body != want {
				// A new message never has the handle of one before the restart.
				t.Errorf("the message %q came, want %q", d.Body, want)
			}
			restart()
			deleteMessage(t, r.queue, before[0].ReceiptHandle)
			time.Sleep(10 * time.Second)
		}
	})
}

// TestHandleOfADeletedMessage: it fits no message that is sent after a restart, also if the deleted
// one was the queue's newest.
func TestHandleOfADeletedMessage(t *testing.T) {
	inRestarts(t, func(t *testing.T, r *restarting, restart func()) {
		send(t, r.queue, "deleted", 0)
		gone := receive(t, r.queue, time.Second).ReceiptHandle
		deleteMessage(t, r.queue, gone)
		restart()
		send(t, r.queue, "new", 0)
		receive(t, r.queue, time.Second)
		deleteMessage(t, r.queue, gone) // by a caller who did not hear that it was done
		restart()
		time.Sleep(20 * time.Second) // of the 30 that it is hidden
		if d := receive(t, r.queue, queue.MaxReceiveWait); d.Body != "new" || d.ReceiveCount() != 2 {
			t.Errorf("the message %q came with count %d", d.Body, d.ReceiveCount())
		}
	})
}

func TestDeletesAndRedriveSurviveARestart(t *testing.T) {
	inRestarts(t, func(t *testing.T, r *restarting, restart func()) {
		send(t, r.queue, "deleted", 0)
		deleteMessage(t, r.queue, receive(t, r.queue, time.Second).ReceiptHandle)
		send(t, r.queue, "poison", 0)
		var last queue.Message
		for range 3 {
			last = receive(t, r.queue, time.Second)
			changeVisibility(t, r.queue, last.ReceiptHandle, 0)
			restart()
		}
		wantNone(t, r.queue, 0) // now it is moved
		restart()
		d := receive(t, r.dead, time.Second)
		want := with(last, map[string]string{
			queue.ReceiveCountAttribute: "4", queue.DeadLetterSourceAttribute: queueConfig("payments").ARN,
			queue.TraceHeaderAttribute: traceHeader,
		})
		want.ReceiptHandle = d.ReceiptHandle
		if diff := cmp.Diff(want, d); diff != "" {
			t.Errorf("the dead letter (-want +got):\n%s", diff)
		}
		restart()
		changeVisibility(t, r.dead, d.ReceiptHandle, 0)
		if d := receive(t, r.dead, time.Second); d.ReceiveCount() != 5 || !d.FirstReceivedAt().Equal(want.FirstReceivedAt()) {
			t.Errorf("the dead letter came as %+v", d)
		}
		wantNone(t, r.queue, 20*time.Second)
		time.Sleep(time.Hour)
		wantNone(t, r.queue, 0)
	})
}

// A message past its retention is gone even if it is not received, or is hidden.
func TestSweepRemovesOldMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()})
		c := queueConfig("payments")
		c.Retention = time.Hour
		q := openQueue(t, db, c)
		begun := time.Now()
		for i := range 2500 {
			send(t, q, fmt.Sprint("old ", i), 0)
		}
		got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 10, Wait: time.Second, Visibility: queue.MaxVisibility})
		if err != nil || len(got) != 10 {
			t.Fatalf("receive: %d, %v", len(got), err)
		}
		time.Sleep(30 * time.Minute)
		young := time.Now().UTC()
		send(t, q, "young", 0)
		time.Sleep(10 * time.Millisecond)
		if diff := cmp.Diff(pebblestore.Stats{Visible: 2491, InFlight: 10, Oldest: begun.UTC()}, q.Stats()); diff != "" {
			t.Errorf("before (-want +got):\n%s", diff)
		}
		time.Sleep(32 * time.Minute)
		if diff := cmp.Diff(pebblestore.Stats{Visible: 1, Oldest: young}, q.Stats()); diff != "" {
			t.Errorf("after (-want +got):\n%s", diff)
		}
		if d := receive(t, q, 0); d.Body != "young" {
			t.Errorf("the message %q is left", d.Body)
		}
		changeVisibility(t, q, got[0].ReceiptHandle, 0) // it is gone, which is not an error
		wantNone(t, q, time.Second)
	})
}

// A message that will be past its retention by the next sweep is still there.
func TestSweepLeavesMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := queueConfig("payments")
		c.Retention = time.Hour
		q := openQueue(t, open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()}), c)
		for range 60 {
			send(t, q, "x", 0)
			time.Sleep(time.Second)
		}
		time.Sleep(58 * time.Minute) // and a sweep is due each minute
		for left := 60; left > 0; left-- {
			time.Sleep(time.Second)
			synctest.Wait()
			receive(t, q, 0)
		}
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openQueue(t, open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()}), queueConfig("payments"))
		want := func(step string, want pebblestore.Stats) {
			t.Helper()
			time.Sleep(10 * time.Millisecond)
			if diff := cmp.Diff(want, q.Stats()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", step, diff)
			}
		}
		want("nothing", pebblestore.Stats{})
		first := time.Now().UTC()
		send(t, q, "a", 0)
		time.Sleep(time.Second)
		second := time.Now().UTC()
		send(t, q, "b", 0)
		send(t, q, "c", 5*time.Second)
		want("sent", pebblestore.Stats{Visible: 2, Delayed: 1, Oldest: first})
		d := receive(t, q, 0)
		want("received", pebblestore.Stats{Visible: 1, InFlight: 1, Delayed: 1, Oldest: first})
		changeVisibility(t, q, d.ReceiptHandle, 0)
		want("shown", pebblestore.Stats{Visible: 2, Delayed: 1, Oldest: first})
		changeVisibility(t, q, d.ReceiptHandle, time.Minute)
		want("hidden", pebblestore.Stats{Visible: 1, InFlight: 1, Delayed: 1, Oldest: first})
		time.Sleep(5 * time.Second)
		want("the delay is over", pebblestore.Stats{Visible: 2, InFlight: 1, Oldest: first})
		deleteMessage(t, q, d.ReceiptHandle)
		want("deleted", pebblestore.Stats{Visible: 2, Oldest: second})
	})
}

// The 12 hours of a visibility timeout run from the receive.
func TestVisibilityLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openQueue(t, open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()}), queueConfig("payments"))
		send(t, q, "x", 0)
		d := receive(t, q, time.Second)
		changeVisibility(t, q, d.ReceiptHandle, queue.MaxVisibility)
		time.Sleep(time.Hour)
		err := q.ChangeVisibility(t.Context(), d.ReceiptHandle, queue.MaxVisibility)
		refusal := new(queue.RequestError)
		if !errors.As(err, &refusal) || refusal.Code != "InvalidParameterValue" || !strings.Contains(refusal.Message, "Total VisibilityTimeout") {
			t.Errorf("13 hours after the receive: the error is %v", err)
		}
		changeVisibility(t, q, d.ReceiptHandle, 10*time.Hour)
		time.Sleep(time.Hour)
		// Nor do they run from the change before.
		if err := q.ChangeVisibility(t.Context(), d.ReceiptHandle, 11*time.Hour); !errors.As(err, &refusal) {
			t.Errorf("13 hours after the receive, from a change on: the error is %v", err)
		}
		changeVisibility(t, q, d.ReceiptHandle, 10*time.Hour)
		time.Sleep(10*time.Hour - time.Second)
		wantNone(t, q, 0)
		d = receive(t, q, 2*time.Second)
		changeVisibility(t, q, d.ReceiptHandle, queue.MaxVisibility) // from this receive, not the first
	})
}

// The handle of another queue is not valid.
func TestHandleOfAnotherQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()})
		a, b := openQueue(t, db, queueConfig("a")), openQueue(t, db, queueConfig("b"))
		send(t, a, "x", 0)
		send(t, b, "x", 0)
		d := receive(t, a, time.Second)
		outcomes, err := b.Delete(t.Context(), []string{d.ReceiptHandle})
		if err != nil || !errors.Is(outcomes[0], queue.ErrReceiptHandle) {
			t.Errorf("delete: %v, %v, want queue.ErrReceiptHandle", outcomes, err)
		}
	})
}

func TestQueueConfig(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*pebblestore.QueueConfig)
		want   string
	}{
		"no name":                       {func(c *pebblestore.QueueConfig) { c.Name = "" }, "name"},
		"opened twice":                  {func(c *pebblestore.QueueConfig) { c.Name = "open" }, "already"},
		"no retention":                  {func(c *pebblestore.QueueConfig) { c.Retention = 0 }, "Retention"},
		"too long a retention":          {func(c *pebblestore.QueueConfig) { c.Retention = 15 * 24 * time.Hour }, "Retention"},
		"too long a visibility timeout": {func(c *pebblestore.QueueConfig) { c.VisibilityTimeout = 13 * time.Hour }, "VisibilityTimeout"},
		"too long a delay":              {func(c *pebblestore.QueueConfig) { c.Delay = time.Hour }, "Delay"},
		"too small messages":            {func(c *pebblestore.QueueConfig) { c.MaxMessageBytes = 10 }, "MaxMessageBytes"},
		"a receive count alone":         {func(c *pebblestore.QueueConfig) { c.MaxReceiveCount = 5 }, "DeadLetterQueue"},
		"a dead-letter queue alone":     {func(c *pebblestore.QueueConfig) { c.DeadLetterQueue = "open" }, "MaxReceiveCount"},
		"too many receives": {func(c *pebblestore.QueueConfig) {
			c.DeadLetterQueue, c.MaxReceiveCount = "open", 1001
		}, "MaxReceiveCount"},
		"an unknown dead-letter queue": {func(c *pebblestore.QueueConfig) {
			c.DeadLetterQueue, c.MaxReceiveCount = "later", 5
		}, "later"},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()})
			openQueue(t, db, queueConfig("open"))
			c := queueConfig("queue")
			test.change(&c)
			if _, err := db.Queue(c); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one about %s", err, test.want)
			}
		})
	}
}

func TestReceiveRefusals(t *testing.T) {
	q := openQueue(t, open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()}), queueConfig("payments"))
	for name, r := range map[string]queue.ReceiveRequest{
		"none": {}, "eleven": {Max: 11}, "too long a wait": {Max: 1, Wait: 21 * time.Second},
		"too long a visibility": {Max: 1, Visibility: 13 * time.Hour}, "part of a second": {Max: 1, Visibility: time.Millisecond},
	} {
		refusal := new(queue.RequestError)
		if _, err := q.Receive(t.Context(), r); !errors.As(err, &refusal) || refusal.Code != "InvalidParameterValue" {
			t.Errorf("%s: the error is %v, want a refusal", name, err)
		}
	}
}

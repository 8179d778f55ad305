package pebblestore_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

func inMemory(t *testing.T) *pebblestore.DB {
	return open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()})
}

// killMessage sends a message and receives it until it is a dead letter.
func killMessage(t *testing.T, q *pebblestore.Queue, body string) queue.Message {
	t.Helper()
	send(t, q, body, 0)
	var last queue.Message
	for range 3 {
		last = receive(t, q, time.Second)
		changeVisibility(t, q, last.ReceiptHandle, 0)
	}
	wantNone(t, q, 0)
	return last
}

func startMove(t *testing.T, q *pebblestore.Queue) pebblestore.MoveTask {
	t.Helper()
	task, err := q.StartMoveTask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func TestMoveTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		payments, dead := openBoth(t, inMemory(t))
		if _, ok := dead.MoveTask(); ok {
			t.Error("there is a task before any was started")
		}
		old := killMessage(t, payments, "poison")
		time.Sleep(time.Hour)
		moved := time.Now()
		if task := startMove(t, dead); task.Status != pebblestore.MoveRunning || task.ToMove != 1 || !task.StartedAt.Equal(moved) {
			t.Errorf("the task begins as %+v", task)
		}
		d := receive(t, payments, time.Second)
		want := queue.Message{
			MessageID: d.MessageID, ReceiptHandle: d.ReceiptHandle, Body: "poison",
			Attributes: map[string]string{
				"ApproximateReceiveCount": "1", "SentTimestamp": fmt.Sprint(moved.UnixMilli()), "SenderId": "AIDALOCALLOCALLOCALXX",
				"ApproximateFirstReceiveTimestamp": d.Attributes["ApproximateFirstReceiveTimestamp"],
				"AWSTraceHeader":                   traceHeader,
			},
		}
		if diff := cmp.Diff(want, d); diff != "" {
			t.Errorf("the moved message (-want +got):\n%s", diff)
		}
		if d.MessageID == old.MessageID {
			t.Error("the moved message has its old id")
		}
		synctest.Wait()
		task, _ := dead.MoveTask()
		if diff := cmp.Diff(pebblestore.MoveTask{
			Status: pebblestore.MoveCompleted, StartedAt: moved, ToMove: 1, Moved: 1,
		}, task); diff != "" {
			t.Errorf("the task (-want +got):\n%s", diff)
		}
		if s := dead.Stats(); s != (pebblestore.Stats{}) {
			t.Errorf("the dead-letter queue still has %+v", s)
		}
		// It can be done again.
		startMove(t, dead)
	})
}

func TestMoveTaskRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		payments, dead := openBoth(t, inMemory(t))
		wantMoveRefusal := func(q *pebblestore.Queue, message string) {
			t.Helper()
			_, err := q.StartMoveTask(t.Context())
			refusal := new(queue.RequestError)
			if !errors.As(err, &refusal) || refusal.Code != "InvalidParameterValue" || refusal.Message != message {
				t.Errorf("the error is %v, want %s", err, message)
			}
		}
		wantMoveRefusal(payments, "Source queue must be configured as a Dead Letter Queue.")
		for i := range 60 { // more than one step moves
			send(t, dead, fmt.Sprint(i), 0)
		}
		time.Sleep(10 * time.Millisecond)
		startMove(t, dead)
		wantMoveRefusal(dead, "There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
		time.Sleep(time.Second)
		startMove(t, dead)
	})
}

// A task moves at most 500 messages a second, and none that came after it began.
func TestMoveTaskRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1200
		payments, dead := openBoth(t, inMemory(t))
		for i := range n {
			send(t, dead, fmt.Sprint(i), 0) // without a source, so it goes to the only queue
		}
		time.Sleep(10 * time.Millisecond)
		startMove(t, dead)
		send(t, dead, "after", 0)
		time.Sleep(time.Second)
		if moved := payments.Stats().Visible; moved < 400 || moved > 550 {
			t.Errorf("%d messages were moved in the first second", moved)
		}
		time.Sleep(2 * time.Second)
		task, _ := dead.MoveTask()
		if task.Status != pebblestore.MoveCompleted || task.Moved != n {
			t.Errorf("the task is %+v", task)
		}
		if left := dead.Stats().Visible; left != 1 {
			t.Errorf("%d messages are left, want the one that came later", left)
		}
	})
}

// Each message goes back to where it came from. If that is unknown, the message stays and
// the task fails.
func TestMoveTaskSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := inMemory(t)
		first, dead := openBoth(t, db)
		c := queueConfig("refunds")
		c.DeadLetterQueue, c.MaxReceiveCount = "dead", 3
		second := openQueue(t, db, c)
		killMessage(t, first, "1")
		killMessage(t, second, "2")
		time.Sleep(10 * time.Millisecond)
		startMove(t, dead)
		time.Sleep(time.Second)
		if d := receive(t, first, 0); d.Body != "1" {
			t.Errorf("the message %q is back in the first queue", d.Body)
		}
		if d := receive(t, second, 0); d.Body != "2" {
			t.Errorf("the message %q is back in the second queue", d.Body)
		}
		send(t, dead, "from nowhere", 0)
		time.Sleep(10 * time.Millisecond)
		startMove(t, dead)
		time.Sleep(time.Second)
		if task, _ := dead.MoveTask(); task.Status != pebblestore.MoveFailed || task.Failure == "" {
			t.Errorf("the task is %+v, want it failed", task)
		}
		if s := dead.Stats(); s.Visible != 1 {
			t.Errorf("the dead-letter queue has %+v, want the message in it", s)
		}
	})
}

func TestClosingEndsAMoveTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, dead := openBoth(t, inMemory(t))
		for i := range 1000 {
			send(t, dead, fmt.Sprint(i), 0)
		}
		startMove(t, dead)
		// The cleanup closes the database, which hangs if the task does not end.
	})
}

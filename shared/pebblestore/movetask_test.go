package pebblestore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
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

func wantMoveMessageRefusal(t *testing.T, q *pebblestore.Queue, number uint64, message string) {
	t.Helper()
	err := q.MoveMessage(t.Context(), number)
	refusal := new(queue.RequestError)
	if !errors.As(err, &refusal) || refusal.Code != "InvalidParameterValue" || refusal.Message != message {
		t.Errorf("the error is %v, want %s", err, message)
	}
}

// One message moves as by a task, and the others stay.
func TestMoveMessage(t *testing.T) {
	inRestarts(t, func(t *testing.T, r *restarting, restart func()) {
		for _, body := range []string{"1", "2", "3"} {
			killMessage(t, r.queue, body)
		}
		time.Sleep(time.Hour)
		old := peek(t, r.dead, 0, 3)[1]
		moved := time.Now().UTC().Truncate(time.Millisecond)
		if err := r.dead.MoveMessage(t.Context(), old.Number); err != nil {
			t.Fatal(err)
		}
		wantMoveMessageRefusal(t, r.dead, old.Number, "The message is no longer in the queue.")
		restart()
		wantMoveMessageRefusal(t, r.dead, old.Number, "The message is no longer in the queue.")
		if diff := cmp.Diff([]string{"1", "3"}, bodies(peek(t, r.dead, 0, 10))); diff != "" {
			t.Errorf("the dead-letter queue (-want +got):\n%s", diff)
		}
		got := peek(t, r.queue, 0, 10)
		if len(got) != 1 {
			t.Fatalf("the queue has %d messages", len(got))
		}
		if diff := cmp.Diff(pebblestore.PeekedMessage{
			Number: got[0].Number, MessageID: got[0].MessageID, Body: "2", SentAt: moved,
		}, got[0]); diff != "" {
			t.Errorf("the moved message (-want +got):\n%s", diff)
		}
		if got[0].MessageID == old.MessageID {
			t.Error("the moved message has its old id")
		}
		if m := receive(t, r.queue, time.Second); m.ReceiveCount() != 1 || m.Attributes[queue.TraceHeaderAttribute] != traceHeader {
			t.Errorf("it is received with %v", m.Attributes)
		}
		if _, ok := r.dead.MoveTask(); ok {
			t.Error("moving one message is a task")
		}
	})
}

func TestMoveMessageRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := inMemory(t)
		payments, dead := openBothFor(t, db, 90*time.Second)
		begun := time.Now().UTC()
		put := func(q *pebblestore.Queue, body string, delay time.Duration) (number uint64) {
			t.Helper()
			send(t, q, body, delay)
			time.Sleep(10 * time.Millisecond)
			all := peek(t, q, 0, -1)
			return all[len(all)-1].Number
		}
		wantMoveMessageRefusal(t, payments, put(payments, "alive", 0), "Source queue must be configured as a Dead Letter Queue.")
		wantMoveMessageRefusal(t, dead, 1, "The message is no longer in the queue.")

		number := put(dead, "received", 0)
		received := receive(t, dead, 0)
		wantMoveMessageRefusal(t, dead, number, "The message is in flight: whoever received it has until "+
			begun.Add(30*time.Second).Format(time.RFC3339)+" to finish it.")
		deleteMessage(t, dead, received.ReceiptHandle)
		wantMoveMessageRefusal(t, dead, number, "The message is no longer in the queue.")

		number = put(dead, "delayed", time.Minute)
		wantMoveMessageRefusal(t, dead, number, "The message is delayed until "+begun.Add(time.Minute).Format(time.RFC3339)+".")

		if s := dead.Stats(); s.Visible != 0 || s.InFlight != 0 || s.Delayed != 1 {
			t.Errorf("after what was refused the queue has %+v", s)
		}
		// What is visible again can be moved.
		time.Sleep(time.Minute)
		if err := dead.MoveMessage(t.Context(), number); err != nil {
			t.Errorf("after its delay: %v", err)
		}

		number = put(dead, "old", 0)
		time.Sleep(91 * time.Second)
		wantMoveMessageRefusal(t, dead, number, "The message is no longer in the queue.")

		c := queueConfig("refunds")
		c.DeadLetterQueue, c.MaxReceiveCount = "dead", 3
		openQueue(t, db, c)
		number = put(dead, "from nowhere", 0)
		id := peek(t, dead, number-1, 1)[0].MessageID
		wantMoveMessageRefusal(t, dead, number, "The queue that message "+id+" came from is unknown.")
		if m := receive(t, dead, 0); m.Body != "from nowhere" {
			t.Errorf("%q stayed", m.Body)
		}

		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := dead.MoveMessage(t.Context(), number); !errors.Is(err, order.ErrUnavailable) {
			t.Errorf("once the database is closed: %v", err)
		}
	})
}

// A message is moved once, however many move it, and not while somebody has received it.
func TestMoveMessageBesideOthers(t *testing.T) {
	const n = 200
	db := inMemory(t)
	payments, dead := openBoth(t, db)
	for i := range n {
		send(t, dead, fmt.Sprint(i), 0)
	}
	sentAreDurable(t, db, "sent")
	messages := peek(t, dead, 0, -1)
	var moved, deleted atomic.Int64
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for _, m := range messages {
				refusal := new(queue.RequestError)
				switch err := dead.MoveMessage(t.Context(), m.Number); {
				case err == nil:
					moved.Add(1)
				case !errors.As(err, &refusal):
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for range n / 4 {
			got, err := dead.Receive(t.Context(), queue.ReceiveRequest{Max: 1})
			if err != nil {
				t.Error(err)
			}
			for _, m := range got {
				if _, err := dead.Delete(t.Context(), []string{m.ReceiptHandle}); err != nil {
					t.Error(err)
				}
				deleted.Add(1)
			}
		}
	})
	all.Wait()
	back := map[string]bool{}
	sentAreDurable(t, db, "moved")
	for _, m := range peek(t, payments, 0, -1) {
		if back[m.Body] {
			t.Errorf("the message %s is there twice", m.Body)
		}
		back[m.Body] = true
	}
	if len(back) != int(moved.Load()) {
		t.Errorf("%d messages came back of %d that were moved", len(back), moved.Load())
	}
	if left := len(peek(t, dead, 0, -1)); int64(left)+moved.Load()+deleted.Load() != n {
		t.Errorf("of %d messages %d were moved, %d deleted, and %d are left", n, moved.Load(), deleted.Load(), left)
	}
}

// sentAreDurable returns once what was sent before is durable: a write is, and shares the log.
func sentAreDurable(t *testing.T, db *pebblestore.DB, id string) {
	t.Helper()
	if err := db.Store().Create(t.Context(), newOrder("t", id)); err != nil {
		t.Fatal(err)
	}
}

// When the power is cut at any moment of a move, the message is in one of the two queues.
func TestMoveMessageIsWhole(t *testing.T) {
	outcomes := map[bool]int{}
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			db := openFor(t, fs)
			payments, dead := openBoth(t, db)
			killMessage(t, payments, "poison")
			time.Sleep(10 * time.Millisecond)
			if err := dead.MoveMessage(t.Context(), peek(t, dead, 0, 1)[0].Number); err != nil {
				t.Fatal(err)
			}
			if seed%2 == 0 {
				time.Sleep(10 * time.Millisecond) // until it is durable
			}
			left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed) * 5 % 101, RNG: rand.New(rand.NewPCG(seed, 1))})
			payments, dead = openBoth(t, openFor(t, left))
			back, stayed := len(peek(t, payments, 0, -1)), len(peek(t, dead, 0, -1))
			if back+stayed != 1 {
				t.Fatalf("seed %d: the message is %d times in the queue, %d times in the dead-letter queue", seed, back, stayed)
			}
			if seed%2 == 0 && back == 0 {
				t.Errorf("seed %d: a move that was durable is lost", seed)
			}
			outcomes[back == 1]++
		})
	}
	if len(outcomes) != 2 {
		t.Errorf("no cut came before the move, or none after it: %v", outcomes)
	}
}

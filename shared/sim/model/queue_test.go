package model_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/queue"
	"paylane/shared/sim/model"
)

func send(t *testing.T, q *model.Queue, body string, delay time.Duration) (id string) {
	t.Helper()
	id, err := q.Send(t.Context(), body, delay)
	ok(t, err)
	return id
}

func receiveOne(t *testing.T, q *model.Queue) queue.Message {
	t.Helper()
	got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 1})
	if err != nil || len(got) != 1 {
		t.Fatalf("received %+v, %v", got, err)
	}
	return got[0]
}

// TestTurns: of receives that wait, the one that waits longest gets what comes, and one that gives
// up leaves its turn to the next, also while it alone knows when a message becomes visible.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := model.NewQueue(config("queue"))
		ctx, giveUp := context.WithCancel(t.Context())
		got := make([]string, 5)
		began := time.Now()
		for i := range got {
			go func() {
				of := t.Context()
				if i == 0 {
					of = ctx
				}
				received, err := q.Receive(of, queue.ReceiveRequest{Max: 1, Wait: 20 * time.Second})
				what := "nothing"
				switch {
				case errors.Is(err, context.Canceled):
					what = "gave up"
				case err != nil:
					t.Error(err)
				case len(received) > 0:
					what = received[0].Body
				}
				got[i] = what + " after " + time.Since(began).String()
			}()
			time.Sleep(time.Second)
			synctest.Wait()
		}
		send(t, q, "delayed", 3*time.Second)
		synctest.Wait()
		time.Sleep(time.Second)
		giveUp()
		synctest.Wait()
		time.Sleep(4 * time.Second)
		send(t, q, "first", 0)
		synctest.Wait()
		_, err := q.SendBatch(t.Context(), []queue.SendEntry{{ID: "a", Body: "second"}, {ID: "b", Body: "third"}})
		ok(t, err)
		synctest.Wait()
		want := []string{"gave up after 6s", "delayed after 8s", "first after 10s", "second after 10s", "third after 10s"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the receives (-want +got):\n%s", diff)
		}
	})
}

// TestPick: the caller says which message comes next, the first being the oldest.
func TestPick(t *testing.T) {
	c := config("queue")
	var asked []int
	c.Pick = func(n int) int {
		asked = append(asked, n)
		return n / 2
	}
	q := model.NewQueue(c)
	for _, body := range []string{"a", "b", "c", "d"} {
		send(t, q, body, 0)
	}
	send(t, q, "delayed", time.Minute)
	var got []string
	for range 4 {
		got = append(got, receiveOne(t, q).Body)
	}
	if diff := cmp.Diff([]string{"c", "b", "d", "a"}, got); diff != "" || !slices.Equal(asked, []int{4, 3, 2, 1}) {
		t.Errorf("it was asked for %v of %v (-want +got):\n%s", got, asked, diff)
	}
}

// TestVisibilityLimit: a receive hides a message for 12 hours at most, in total.
func TestVisibilityLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := model.NewQueue(config("queue"))
		send(t, q, "x", 0)
		m := receiveOne(t, q)
		ok(t, q.ChangeVisibility(t.Context(), m.ReceiptHandle, queue.MaxVisibility))
		time.Sleep(time.Second)
		refusal := new(queue.RequestError)
		if err := q.ChangeVisibility(t.Context(), m.ReceiptHandle, queue.MaxVisibility); !errors.As(err, &refusal) {
			t.Errorf("13 hours in total: %v", err)
		}
		ok(t, q.ChangeVisibility(t.Context(), m.ReceiptHandle, queue.MaxVisibility-time.Second))
	})
}

// TestNeverEarly: what was not received is not received again: its delay holds.
func TestNeverEarly(t *testing.T) {
	q := model.NewQueue(config("queue"))
	id := send(t, q, "x", time.Minute)
	q.Redeliver(id)
	if got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 1}); err != nil || len(got) > 0 {
		t.Errorf("received %+v, %v before its delay was over", got, err)
	}
}

// TestHeld: what is in a queue is shown with all that decides when it comes, and nothing that is
// past its retention.
func TestHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config("queue")
		c.Retention = time.Minute
		q := model.NewQueue(c)
		began := time.Now()
		first := send(t, q, "first", 0)
		time.Sleep(time.Second)
		second := send(t, q, "second", 5*time.Second)
		receiveOne(t, q)
		want := []model.Held{
			{MessageID: first, Body: "first", SentAt: began, Receives: 1, Visible: began.Add(31 * time.Second)},
			{MessageID: second, Body: "second", SentAt: began.Add(time.Second), Visible: began.Add(6 * time.Second)},
		}
		if diff := cmp.Diff(want, q.Messages()); diff != "" {
			t.Errorf("the messages (-want +got):\n%s", diff)
		}
		time.Sleep(59 * time.Second)
		if diff := cmp.Diff(want[1:], q.Messages()); diff != "" {
			t.Errorf("the messages a minute later (-want +got):\n%s", diff)
		}
	})
}

// TestBury: messages end in the dead-letter queue as if they had been received too often, and come
// back at once, with their trace, whatever the queue's delay.
func TestBury(t *testing.T) {
	dead := model.NewQueue(config("dead"))
	c := config("queue")
	c.DeadLetters, c.MaxReceives = dead, 3
	q := model.NewQueue(c)
	ctx := queue.WithTraceHeader(t.Context(), "Root=1")
	_, err := q.Send(ctx, "delayed", time.Minute)
	ok(t, err)
	id, err := q.Send(ctx, "x", 0)
	ok(t, err)
	q.Bury()
	held := dead.Messages()
	if len(held) != 1 || held[0].MessageID != id || held[0].Receives != 3 {
		t.Fatalf("the dead letters are %+v", held)
	}
	c.Delay = time.Minute
	to := model.NewQueue(c)
	if n := dead.Redrive(t.Context(), to); n != 1 || len(dead.Messages()) != 0 {
		t.Errorf("%d messages were sent back, and %v are left", n, dead.Messages())
	}
	m := receiveOne(t, to)
	if m.Attributes[queue.TraceHeaderAttribute] != "Root=1" || m.ReceiveCount() != 1 || m.DeadLetterSourceARN() != "" {
		t.Errorf("it came back as %+v", m)
	}
}

// TestHandOver: a receive that waits has what made it return, and not what whoever sent that sends
// next, in whatever order goroutines run; one that was given up before has nothing.
func TestHandOver(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			q := model.NewQueue(config("queue"))
			ctx, giveUp := context.WithCancel(t.Context())
			got := make([][]queue.Message, 2)
			for i, of := range []context.Context{ctx, t.Context()} {
				go func() { got[i], _ = q.Receive(of, queue.ReceiveRequest{Max: 10, Wait: 20 * time.Second}) }()
				synctest.Wait()
			}
			giveUp()
			first := send(t, q, "first", 0)
			send(t, q, "second", 0)
			synctest.Wait()
			if len(got[0]) > 0 || len(got[1]) != 1 || got[1][0].MessageID != first {
				t.Fatalf("the receives have %+v", got)
			}
			if held := q.Messages(); len(held) != 2 || held[1].Receives != 0 {
				t.Fatalf("the queue has %+v", held)
			}
		})
	}
}

package pebblestore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

// peek returns the messages after a number, at most limit.
func peek(t *testing.T, q *pebblestore.Queue, after uint64, limit int) (all []pebblestore.PeekedMessage) {
	t.Helper()
	for m, err := range q.Peek(t.Context(), after) {
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, m); len(all) == limit {
			break
		}
	}
	return all
}

func bodies(all []pebblestore.PeekedMessage) (bodies []string) {
	for _, m := range all {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

func TestPeek(t *testing.T) {
	inRestarts(t, func(t *testing.T, r *restarting, restart func()) {
		begun := time.Now().UTC().Truncate(time.Millisecond)
		ready, flying, delayed := send(t, r.queue, "ready", 0), send(t, r.queue, "in flight", 0), send(t, r.queue, "delayed", time.Minute)
		restart()
		received := time.Now().UTC().Truncate(time.Millisecond)
		first, second := receive(t, r.queue, time.Second), receive(t, r.queue, 0)
		changeVisibility(t, r.queue, first.ReceiptHandle, 0)
		restart()
		before := r.queue.Stats()
		got := peek(t, r.queue, 0, 10)
		want := []pebblestore.PeekedMessage{
			{MessageID: ready, Body: "ready", SentAt: begun, FirstReceivedAt: received, ReceiveCount: 1},
			{MessageID: flying, Body: "in flight", SentAt: begun, FirstReceivedAt: received, ReceiveCount: 1, HiddenUntil: received.Add(30 * time.Second)},
			{MessageID: delayed, Body: "delayed", SentAt: begun, HiddenUntil: begun.Add(time.Minute)},
		}
		last := uint64(0)
		for i, m := range got {
			if m.Number <= last {
				t.Errorf("the number %d comes after %d", m.Number, last)
			}
			last = m.Number
			if i < len(want) {
				want[i].Number = m.Number
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the messages (-want +got):\n%s", diff)
		}
		if after := r.queue.Stats(); after != before {
			t.Errorf("a look changed the queue from %+v to %+v", before, after)
		}
		restart()
		if diff := cmp.Diff(got, peek(t, r.queue, 0, 10)); diff != "" {
			t.Errorf("a second look, after a restart (-first +second):\n%s", diff)
		}
		if m := receive(t, r.queue, 0); m.MessageID != ready || m.ReceiveCount() != 2 {
			t.Errorf("after two looks %s is received for the %dth time", m.MessageID, m.ReceiveCount())
		}
		deleteMessage(t, r.queue, second.ReceiptHandle)
		if diff := cmp.Diff([]string{"ready", "delayed"}, bodies(peek(t, r.queue, 0, 10))); diff != "" {
			t.Errorf("after a delete (-want +got):\n%s", diff)
		}
	})
}

// A dead letter keeps its id, its age and its receives, and tells where it came from.
func TestPeekAtDeadLetters(t *testing.T) {
	inRestarts(t, func(t *testing.T, r *restarting, restart func()) {
		begun := time.Now().UTC().Truncate(time.Millisecond)
		dead := killMessage(t, r.queue, "poison")
		restart()
		got := peek(t, r.dead, 0, 10)
		if len(got) != 1 {
			t.Fatalf("there are %d dead letters", len(got))
		}
		if diff := cmp.Diff(pebblestore.PeekedMessage{
			Number: got[0].Number, MessageID: dead.MessageID, Body: "poison", SentAt: begun, FirstReceivedAt: dead.FirstReceivedAt(), ReceiveCount: 3,
			DeadLetterSourceARN: queueConfig("payments").ARN,
		}, got[0]); diff != "" {
			t.Errorf("the dead letter (-want +got):\n%s", diff)
		}
		if left := peek(t, r.queue, 0, 10); len(left) > 0 {
			t.Errorf("the queue that it came from has %+v", left)
		}
	})
}

// Pages that begin after one another have each message once.
func TestPeekInPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, other := openBoth(t, inMemory(t))
		var want []string
		for i := range 25 {
			send(t, other, "of another queue", 0)
			send(t, q, fmt.Sprint(i), 0)
			want = append(want, fmt.Sprint(i))
		}
		time.Sleep(10 * time.Millisecond)
		var got []string
		after := uint64(0)
		for page := peek(t, q, after, 10); len(page) > 0; page = peek(t, q, after, 10) {
			got = append(got, bodies(page)...)
			after = page[len(page)-1].Number
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the pages (-want +got):\n%s", diff)
		}
		if beyond := peek(t, q, 1<<64-1, 10); len(beyond) > 0 {
			t.Errorf("after the greatest number there are %v", bodies(beyond))
		}
	})
}

func TestPeekSkipsWhatHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, _ := openBoth(t, inMemory(t))
		for _, body := range []string{"first", "second", "third"} {
			send(t, q, body, 0)
		}
		time.Sleep(10 * time.Millisecond)
		receive(t, q, 0)
		second := receive(t, q, 0)
		var seen []string
		for m, err := range q.Peek(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if seen = append(seen, m.Body); len(seen) == 1 {
				deleteMessage(t, q, second.ReceiptHandle)
			}
		}
		if diff := cmp.Diff([]string{"first", "third"}, seen); diff != "" {
			t.Errorf("a walk during which the second is deleted (-want +got):\n%s", diff)
		}
	})
}

func TestPeekLeavesOutWhatIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, _ := openBothFor(t, inMemory(t), 90*time.Second)
		send(t, q, "old", 0)
		time.Sleep(50 * time.Second)
		send(t, q, "new", 0)
		time.Sleep(45 * time.Second) // and the sweep is not due yet
		if diff := cmp.Diff([]string{"new"}, bodies(peek(t, q, 0, 10))); diff != "" {
			t.Errorf("the messages (-want +got):\n%s", diff)
		}
	})
}

// What is seen is durable.
func TestPeekSeesWhatIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStalled(t)
		send(t, s.queue, "durable", 0)
		time.Sleep(10 * time.Millisecond)
		s.stall()
		send(t, s.queue, "on its way", 0)
		time.Sleep(10 * time.Millisecond)
		if diff := cmp.Diff([]string{"durable"}, bodies(peek(t, s.queue, 0, 10))); diff != "" {
			t.Errorf("while the disk stalls (-want +got):\n%s", diff)
		}
		s.release()
		time.Sleep(10 * time.Millisecond)
		if diff := cmp.Diff([]string{"durable", "on its way"}, bodies(peek(t, s.queue, 0, 10))); diff != "" {
			t.Errorf("then (-want +got):\n%s", diff)
		}
	})
}

func TestPeekFails(t *testing.T) {
	db := inMemory(t)
	q := openQueue(t, db, queueConfig("payments"))
	failure := func(ctx context.Context) (failure error) {
		for m, err := range q.Peek(ctx, 0) {
			if failure = err; err == nil {
				t.Errorf("%q is seen", m.Body)
			}
		}
		return failure
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := failure(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := failure(t.Context()); !errors.Is(err, order.ErrUnavailable) {
		t.Errorf("once the database is closed: %v", err)
	}
}

// A caller that gives up in the middle of a walk learns of it.
func TestPeekEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, _ := openBoth(t, inMemory(t))
		send(t, q, "first", 0)
		send(t, q, "second", 0)
		time.Sleep(10 * time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var seen []string
		var failure error
		for m, err := range q.Peek(ctx, 0) {
			cancel()
			if failure = err; err == nil {
				seen = append(seen, m.Body)
			}
		}
		if diff := cmp.Diff([]string{"first"}, seen); diff != "" || !errors.Is(failure, context.Canceled) {
			t.Errorf("it ends with %v after %v", failure, seen)
		}
	})
}

// While others send, receive, delete and move, a walk has each message that stays exactly once.
func TestPeekBesideOthers(t *testing.T) {
	db := open(t, pebblestore.Options{Dir: "data", FS: vfs.NewMem()})
	q, _ := openBoth(t, db)
	const stay = 50
	for i := range stay {
		send(t, q, fmt.Sprint("stays ", i), 15*time.Minute)
		send(t, q, "comes and goes", 0)
	}
	sentAreDurable(t, db, "order")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for ctx.Err() == nil {
				_, errSend := q.Send(ctx, "comes and goes", 0)
				got, errReceive := q.Receive(ctx, queue.ReceiveRequest{Max: 5})
				for _, m := range got {
					_, errDelete := q.Delete(ctx, []string{m.ReceiptHandle})
					errReceive = errors.Join(errReceive, errDelete)
				}
				if err := errors.Join(errSend, errReceive); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 100 {
		last := uint64(0)
		staying := map[string]int{}
		for _, m := range peek(t, q, 0, -1) {
			if m.Number <= last {
				t.Fatalf("the number %d comes after %d", m.Number, last)
			}
			last = m.Number
			if strings.HasPrefix(m.Body, "stays") {
				staying[m.Body]++
			}
		}
		for body, n := range staying {
			if n != 1 {
				t.Fatalf("a walk has %q %d times", body, n)
			}
		}
		if len(staying) != stay {
			t.Fatalf("a walk has %d of the %d messages that stay", len(staying), stay)
		}
	}
	stop()
	others.Wait()
}

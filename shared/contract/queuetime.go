package contract

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/queue"
)

func testDelay(t *testing.T, q queueCase) {
	id := must[string](t)(q.Send(t.Context(), "later", 2*time.Second))
	now := q.send(t, "now")[0]
	if d := q.receive(t, 0); d.MessageID != now {
		t.Errorf("the first message is %q, want the one without a delay", d.Body)
	}
	if d := q.receiveOnTime(t, 2*time.Second); d.MessageID != id || d.ReceiveCount() != 1 {
		t.Errorf("the message is %+v, want the first of the delayed message", d)
	}
}

func testQueueDelay(t *testing.T, q queueCase) {
	own := must[string](t)(q.Send(t.Context(), "own", time.Second))
	queues := q.send(t, "the queue's")[0]
	if d := q.receiveOnTime(t, time.Second); d.MessageID != own {
		t.Errorf("the first message is %q, want the one with a delay of its own", d.Body)
	}
	if d := q.receiveOnTime(t, 2*time.Second); d.MessageID != queues {
		t.Errorf("the second message is %q", d.Body)
	}
}

func testVisibility(t *testing.T, q queueCase) {
	q.send(t, "x")
	first := q.receive(t, 0)
	again := q.receiveOnTime(t, 2*time.Second)
	if again.MessageID != first.MessageID {
		t.Errorf("message %s came, want %s again", again.MessageID, first.MessageID)
	}
	q.receiveOnTime(t, 2*time.Second)
}

func testOwnVisibility(t *testing.T, q queueCase) {
	q.send(t, "x")
	r := queue.ReceiveRequest{Max: 1, Visibility: 2 * time.Second}
	if got := receiveAll(t, q.Queue, 1, q.late+slack, r); len(got) != 1 {
		t.Fatal("no message came")
	}
	q.receiveOnTime(t, 2*time.Second) // now with the queue's, an hour
	q.none(t, 4*time.Second)
}

func testHandles(t *testing.T, q queueCase) {
	q.send(t, "x")
	first := q.receive(t, 0)
	seen := map[string]bool{first.ReceiptHandle: true}
	for count := 2; count <= 4; count++ {
		d := q.receive(t, time.Second)
		if d.ReceiveCount() != count {
			t.Errorf("receive %d has the count %d", count, d.ReceiveCount())
		}
		if seen[d.ReceiptHandle] {
			t.Errorf("receive %d has the handle of a former one", count)
		}
		seen[d.ReceiptHandle] = true
		d = with(d, map[string]string{queue.ReceiveCountAttribute: "1"})
		d.ReceiptHandle = first.ReceiptHandle
		if diff := cmp.Diff(first, d); diff != "" {
			t.Errorf("receive %d differs in more than handle and count (-first +this):\n%s", count, diff)
		}
	}
}

func (q queueCase) changeVisibility(t *testing.T, handle string, timeout time.Duration) {
	t.Helper()
	if err := q.ChangeVisibility(t.Context(), handle, timeout); err != nil {
		t.Fatalf("change the visibility: %v", err)
	}
}

func testShowAtOnce(t *testing.T, q queueCase) {
	q.send(t, "x")
	for count := 1; count <= 3; count++ {
		d := q.receiveOnTime(t, 0)
		if d.ReceiveCount() != count {
			t.Errorf("the receive count is %d, want %d", d.ReceiveCount(), count)
		}
		q.changeVisibility(t, d.ReceiptHandle, 0)
	}
}

func testHideLonger(t *testing.T, q queueCase) {
	q.send(t, "x")
	d := q.receive(t, 0)
	pass(t, 2*time.Second)
	q.changeVisibility(t, d.ReceiptHandle, 5*time.Second)
	d = q.receiveOnTime(t, 5*time.Second)
	// A shorter one works, too, and each is for its receive only.
	q.changeVisibility(t, d.ReceiptHandle, time.Second)
	q.receiveOnTime(t, time.Second)
	q.receiveOnTime(t, 4*time.Second)
}

func testOldHandleHides(t *testing.T, q queueCase) {
	q.send(t, "x")
	old := q.receive(t, 0)
	q.receive(t, time.Second)
	if !q.differs(t, RuleNewestHandle) {
		q.changeVisibility(t, old.ReceiptHandle, time.Hour)
	}
	again := q.receiveOnTime(t, time.Second)
	if !q.differs(t, RuleExpiredHandle) {
		pass(t, time.Second+q.late)
		q.changeVisibility(t, again.ReceiptHandle, 3*time.Second)
		q.receiveOnTime(t, 3*time.Second)
	}
	q.remove(t, old.ReceiptHandle)
	q.changeVisibility(t, old.ReceiptHandle, 0)
}

func testVisibilityRange(t *testing.T, q queueCase) {
	q.send(t, "x")
	d := q.receive(t, 0)
	var refused []time.Duration
	if !q.differs(t, RuleRange) {
		refused = []time.Duration{-time.Second, queue.MaxVisibility + time.Second}
	}
	for _, timeout := range refused {
		err := q.ChangeVisibility(t.Context(), d.ReceiptHandle, timeout)
		wantRefusal(t, timeout.String(), err, "InvalidParameterValue", "")
	}
	q.none(t, time.Second)
	q.changeVisibility(t, d.ReceiptHandle, queue.MaxVisibility/2)
}

func testGarbageHandles(t *testing.T, q queueCase) {
	q.send(t, "x")
	d := q.receive(t, 0)
	for _, garbage := range []string{"garbage", "", d.ReceiptHandle[1:], "AAAAAAAAAAAAAAAAAAAAAAA"} {
		if err := q.ChangeVisibility(t.Context(), garbage, 0); !errors.Is(err, queue.ErrReceiptHandle) {
			t.Errorf("change the visibility by %q: the error is %v, want queue.ErrReceiptHandle", garbage, err)
		}
		outcomes, err := q.Delete(t.Context(), []string{garbage})
		if err != nil || len(outcomes) != 1 || !errors.Is(outcomes[0], queue.ErrReceiptHandle) {
			t.Errorf("delete by %q: %v, %v; want queue.ErrReceiptHandle as its outcome", garbage, outcomes, err)
		}
	}
	q.none(t, time.Second)
}

func testExpiredHandleDeletes(t *testing.T, q queueCase) {
	q.send(t, "x")
	d := q.receive(t, 0)
	pass(t, 2*time.Second)
	q.remove(t, d.ReceiptHandle)
	q.none(t, 2*time.Second)
}

func testOldHandleDeletes(t *testing.T, q queueCase) {
	q.send(t, "x")
	old := q.receive(t, 0)
	again := q.receive(t, time.Second)
	q.remove(t, old.ReceiptHandle)
	if q.differs(t, RuleNewestHandle) {
		q.none(t, 2*time.Second)
		return
	}
	d := q.receiveOnTime(t, time.Second)
	if d.MessageID != again.MessageID || d.ReceiveCount() != 3 {
		t.Errorf("the message is %+v, want the third", d)
	}
	q.remove(t, d.ReceiptHandle)
	q.none(t, 2*time.Second)
}

func testDeleteOutcomes(t *testing.T, q queueCase) {
	var handles []string
	for range queue.MaxBatch {
		q.send(t, "x")
	}
	for _, d := range receiveAll(t, q.Queue, queue.MaxBatch, q.late+time.Second, queue.ReceiveRequest{Max: 10}) {
		handles = append(handles, d.ReceiptHandle)
	}
	if len(handles) != queue.MaxBatch {
		t.Fatalf("%d messages came, want %d", len(handles), queue.MaxBatch)
	}
	_, err := q.Delete(t.Context(), append(slices.Clone(handles), "one more"))
	wantRefusal(t, "a delete of eleven", err, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "")
	handles[3] = "garbage"
	outcomes, err := q.Delete(t.Context(), handles)
	if err != nil || len(outcomes) != len(handles) {
		t.Fatalf("delete returned %d outcomes for %d handles, %v", len(outcomes), len(handles), err)
	}
	for i, outcome := range outcomes {
		if garbage := i == 3; garbage != errors.Is(outcome, queue.ErrReceiptHandle) || !garbage && outcome != nil {
			t.Errorf("outcome %d is %v", i, outcome)
		}
	}
	if outcomes, err := q.Delete(t.Context(), nil); len(outcomes) != 0 || err != nil {
		t.Errorf("delete of nothing: %v, %v", outcomes, err)
	}
	pass(t, 30*time.Second) // the visibility timeout
	if got := receiveAll(t, q.Queue, 2, q.late+slack, queue.ReceiveRequest{Max: 10}); len(got) != 1 {
		t.Errorf("%d messages are left, want 1", len(got))
	}
}

func testRetention(t *testing.T, q queueCase) {
	if q.differs(t, RuleRetention) {
		return
	}
	q.send(t, "ready", "received")
	pass(t, time.Second)
	if got := receiveAll(t, q.Queue, 2, q.late+slack, queue.ReceiveRequest{Max: 10, Visibility: time.Second}); len(got) != 2 {
		t.Fatalf("%d messages came, want 2", len(got))
	}
	must[string](t)(q.Send(t.Context(), "delayed", 40*time.Second))
	pass(t, 69*time.Second+q.late)
	if d := q.receive(t, 0); d.Body != "delayed" {
		t.Errorf("the message %q came, want only the one that is not 70 s old", d.Body)
	}
	q.none(t, time.Second)
}

func testWakeOnSend(t *testing.T, q queueCase) {
	sent := make(chan error, 1)
	go func() {
		timer := time.NewTimer(2 * time.Second)
		defer timer.Stop()
		<-timer.C
		_, err := q.Send(t.Context(), "x", 0)
		sent <- err
	}()
	q.receiveOnTime(t, 2*time.Second)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// testWakeOnDeadline polls across a delay that is set after the poll began, and across a
// visibility timeout.
func testWakeOnDeadline(t *testing.T, q queueCase) {
	sent := make(chan error, 1)
	go func() {
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		<-timer.C
		_, err := q.Send(t.Context(), "x", 2*time.Second)
		sent <- err
	}()
	q.receiveOnTime(t, 3*time.Second)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	q.receiveOnTime(t, 3*time.Second)
}

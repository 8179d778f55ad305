package contract

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/queue"
)

// with returns the message with other values of some attributes.
func with(m queue.Message, attributes map[string]string) queue.Message {
	m.Attributes = maps.Clone(m.Attributes)
	maps.Copy(m.Attributes, attributes)
	return m
}

func testRedrive(t *testing.T, q queueCase) {
	id := q.send(t, "poison")[0]
	var last queue.Message
	for count := 1; count <= 2; count++ {
		last = q.receive(t, 0)
		if last.ReceiveCount() != count {
			t.Errorf("the receive count is %d, want %d", last.ReceiveCount(), count)
		}
		q.changeVisibility(t, last.ReceiptHandle, 0)
	}
	// Nothing moves by time alone, only by the next receive.
	dead := queueCase{OpenQueue: OpenQueue{Queue: q.DeadLetter}, late: q.late}
	dead.none(t, time.Second)
	q.none(t, time.Second)
	got := dead.receiveOnTime(t, 0)
	want := with(last, map[string]string{queue.ReceiveCountAttribute: "3", queue.DeadLetterSourceAttribute: q.ARN})
	want.ReceiptHandle = got.ReceiptHandle
	// No source says which first receive it is.
	want = with(want, map[string]string{queue.FirstReceivedAttribute: got.Attributes[queue.FirstReceivedAttribute]})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("message %s from the dead-letter queue (-want +got):\n%s", id, diff)
	}
	q.none(t, time.Second)
	// The handle of the former queue has no message.
	q.remove(t, last.ReceiptHandle)
	dead.changeVisibility(t, got.ReceiptHandle, 0)
	if again := dead.receive(t, 0); again.ReceiveCount() != 4 {
		t.Errorf("the receive count is %d, want 4", again.ReceiveCount())
	}
}

// testTraceHeader: what is sent as part of a trace says so, also in the dead-letter queue.
func testTraceHeader(t *testing.T, q queueCase) {
	const header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:2d1f6f85:0"
	ctx := queue.WithTraceHeader(t.Context(), header)
	traced := must[string](t)(q.Send(ctx, "traced", 0))
	batch := must[queue.SendBatchResult](t)(q.SendBatch(ctx, []queue.SendEntry{{ID: "a", Body: "in a batch"}}))
	plain := q.send(t, "plain")[0]
	want := map[string][]string{traced: {header, header}, batch.MessageIDs["a"]: {header, header}, plain: {"", ""}}
	got := make(map[string][]string)
	received := receiveAll(t, q.Queue, len(want), q.late+time.Second, queue.ReceiveRequest{Max: 10})
	for _, m := range received {
		q.changeVisibility(t, m.ReceiptHandle, 0)
	}
	q.none(t, time.Second) // this moves them
	received = append(received, receiveAll(t, q.DeadLetter, len(want), q.late+5*time.Second, queue.ReceiveRequest{Max: 10})...)
	for _, m := range received {
		got[m.MessageID] = append(got[m.MessageID], m.Attributes[queue.TraceHeaderAttribute])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the trace headers (-want +got):\n%s", diff)
	}
}

// testRedriveMany has messages that are used up in front of fresh ones.
func testRedriveMany(t *testing.T, q queueCase) {
	const spent, fresh = 25, 5
	for range spent {
		q.send(t, "spent")
	}
	for _, d := range receiveAll(t, q.Queue, spent, q.late+time.Second, queue.ReceiveRequest{Max: 10}) {
		q.changeVisibility(t, d.ReceiptHandle, 0)
	}
	for range fresh {
		q.send(t, "fresh")
	}
	for _, d := range receiveAll(t, q.Queue, fresh, 5*time.Second+q.late, queue.ReceiveRequest{Max: 10}) {
		if d.Body != "fresh" {
			t.Errorf("a message came a second time: %+v", d)
		}
	}
	// A service may have stopped before it reached the last of them.
	q.none(t, time.Second)
	dead := receiveAll(t, q.DeadLetter, spent, 5*time.Second+q.late, queue.ReceiveRequest{Max: 10})
	ids := map[string]bool{}
	for _, d := range dead {
		ids[d.MessageID] = true
	}
	if len(ids) != spent {
		t.Errorf("%d messages are in the dead-letter queue, want %d", len(ids), spent)
	}
}

func testSendBatch(t *testing.T, q queueCase) {
	entries := []queue.SendEntry{
		{ID: "first", Body: "1"},
		{ID: "too_large", Body: text(2048)},
		{ID: "second-" + text(73), Body: text(1024)},
		{ID: "late", Body: "late", Delay: 2 * time.Second},
	}
	refused := []string{"too_large"}
	if !q.differs(t, RuleRange) {
		entries = append(entries, queue.SendEntry{ID: "never", Body: "never", Delay: queue.MaxDelay + time.Second})
		refused = []string{"never", "too_large"}
	}
	result, err := q.SendBatch(t.Context(), entries)
	if err != nil {
		t.Fatalf("send a batch: %v", err)
	}
	sent := slices.Sorted(maps.Keys(result.MessageIDs))
	if diff := cmp.Diff([]string{"first", "late", "second-" + text(73)}, sent); diff != "" {
		t.Errorf("the entries sent (-want +got):\n%s", diff)
	}
	if failed := slices.Sorted(maps.Keys(result.Failed)); !slices.Equal(failed, refused) {
		t.Fatalf("the entries refused are %v", failed)
	}
	if !q.differs(t, RuleEntryErrors) {
		wantRefusal(t, "an entry that is too large", result.Failed["too_large"], "InvalidParameterValue",
			"One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.")
	}
	if never, ok := result.Failed["never"]; ok {
		wantRefusal(t, "an entry whose delay is too long", never, "InvalidParameterValue", "")
	}

	got := map[string]string{}
	for _, d := range receiveAll(t, q.Queue, 2, q.late+slack, queue.ReceiveRequest{Max: 10}) {
		got[d.MessageID] = d.Body
	}
	want := map[string]string{result.MessageIDs["first"]: "1", result.MessageIDs["second-"+text(73)]: text(1024)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the messages (-want +got):\n%s", diff)
	}
	if d := q.receiveOnTime(t, 2*time.Second); d.Body != "late" {
		t.Errorf("the message %.20q came, want the delayed one", d.Body)
	}
	q.none(t, time.Second)
}

func testBatchRefusals(t *testing.T, q queueCase) {
	const sqs = "AWS.SimpleQueueService."
	entries := func(n int, body string) (all []queue.SendEntry) {
		for i := range n {
			all = append(all, queue.SendEntry{ID: strconv.Itoa(i), Body: body})
		}
		return all
	}
	with := func(ids ...string) (all []queue.SendEntry) {
		for _, id := range ids {
			all = append(all, queue.SendEntry{ID: id, Body: "x"})
		}
		return all
	}
	for _, test := range []struct {
		name          string
		entries       []queue.SendEntry
		code, message string
	}{
		{"nothing", nil, sqs + "EmptyBatchRequest", ""},
		{
			"eleven", entries(11, "x"), sqs + "TooManyEntriesInBatchRequest",
			"Maximum number of entries per request are 10. You have sent 11.",
		},
		{
			"too large together", entries(5, text(queue.MaxBodyBytes/4)), sqs + "BatchRequestTooLong",
			fmt.Sprintf("Batch requests cannot be longer than 1048576 bytes. You have sent %d bytes.", queue.MaxBodyBytes/4*5),
		},
		{"a repeated id", with("a", "b", "a"), sqs + "BatchEntryIdsNotDistinct", ""},
		{"an id with a space", with("a", "b c"), sqs + "InvalidBatchEntryId", ""},
		{"an empty id", with("a", ""), sqs + "InvalidBatchEntryId", ""},
		{"a long id", with("a", text(81)), sqs + "InvalidBatchEntryId", ""},
	} {
		_, err := q.SendBatch(t.Context(), test.entries)
		wantRefusal(t, test.name, err, test.code, test.message)
	}
	q.none(t, time.Second)
}

func testSendRefusals(t *testing.T, q queueCase) {
	type refusal struct {
		name, body    string
		delay         time.Duration
		code, message string
	}
	refusals := []refusal{
		{"nothing", "", 0, "MissingParameter", "The request must contain the parameter MessageBody."},
		{
			"too large", text(queue.MaxBodyBytes + 1), 0, "InvalidParameterValue",
			"One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
		},
		{"a character that XML can't carry", "a\x00b", 0, "InvalidMessageContents", ""},
	}
	if !q.differs(t, RuleRange) {
		refusals = append(refusals,
			refusal{"too long a delay", "x", queue.MaxDelay + time.Second, "InvalidParameterValue", ""},
			refusal{"a negative delay", "x", -time.Second, "InvalidParameterValue", ""})
	}
	for _, test := range refusals {
		_, err := q.Send(t.Context(), test.body, test.delay)
		wantRefusal(t, test.name, err, test.code, test.message)
	}
	q.none(t, time.Second)
}

func testSizes(t *testing.T, q queueCase) {
	large := text(queue.MaxBodyBytes)
	odd := "a\tb\r\nc é漢字🙂 \ud7ff\ue000\ufffd \"<>&'"
	for _, body := range []string{large, odd, "x"} {
		id := q.send(t, body)[0]
		if d := q.receive(t, 0); d.MessageID != id || d.Body != body {
			t.Errorf("a body of %d bytes came back as one of %d", len(body), len(d.Body))
		} else {
			q.remove(t, d.ReceiptHandle)
		}
	}
	result, err := q.SendBatch(t.Context(), []queue.SendEntry{
		{ID: "a", Body: large[:len(large)/2]}, {ID: "b", Body: large[len(large)/2:]},
	})
	if err != nil || len(result.MessageIDs) != 2 {
		t.Errorf("a batch of exactly the limit: %v, %v", result.Failed, err)
	}
}

func testConcurrentReceivers(t *testing.T, q queueCase) {
	const messages, receivers = 60, 6
	var mu sync.Mutex
	seen := map[string]int{}
	var calls sync.WaitGroup
	for range receivers {
		calls.Go(func() {
			for range 3 * messages {
				got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 3, Wait: time.Second})
				if err != nil {
					t.Errorf("receive: %v", err)
					return
				}
				mu.Lock()
				for _, d := range got {
					seen[d.MessageID]++
				}
				done := len(seen) == messages
				mu.Unlock()
				if done {
					return
				}
			}
		})
	}
	for i := range messages {
		q.send(t, strconv.Itoa(i))
	}
	calls.Wait()
	if len(seen) != messages {
		t.Errorf("%d messages came, want %d", len(seen), messages)
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("message %s came %d times within its visibility timeout", id, n)
		}
	}
}

// testConcurrentCalls deletes, hides and receives the same few messages concurrently, with
// handles in every order. Afterwards all are gone.
func testConcurrentCalls(t *testing.T, q queueCase) {
	const messages = queue.MaxBatch / 2 // so that a delete may have each handle twice
	q.send(t, strings.Fields("a b c d e")...)
	received := receiveAll(t, q.Queue, messages, q.late+time.Second, queue.ReceiveRequest{Max: 10})
	var handles []string
	for _, d := range received {
		handles = append(handles, d.ReceiptHandle)
	}
	backwards := slices.Clone(handles)
	slices.Reverse(backwards)
	var calls sync.WaitGroup
	for i := range messages {
		calls.Go(func() {
			if err := q.ChangeVisibility(t.Context(), handles[i], 0); err != nil {
				t.Errorf("change the visibility: %v", err)
			}
			if _, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 2}); err != nil {
				t.Errorf("receive: %v", err)
			}
		})
		calls.Go(func() {
			all := [][]string{handles, backwards}[i%2]
			if _, err := q.Delete(t.Context(), slices.Concat(all, all)); err != nil {
				t.Errorf("delete: %v", err)
			}
		})
	}
	calls.Wait()
	for _, d := range receiveAll(t, q.Queue, messages, 3*time.Second+q.late, queue.ReceiveRequest{Max: 10, Visibility: time.Minute}) {
		q.remove(t, d.ReceiptHandle)
	}
	q.none(t, 2*time.Second)
}

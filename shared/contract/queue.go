package contract

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/queue"
)

// QueueConfig holds the settings of a case's queue. Zero fields take SQS's defaults: a
// visibility timeout of 30 s, no delay, 4 days of retention, 1 MiB, no dead-letter queue.
type QueueConfig struct {
	VisibilityTimeout time.Duration
	Delay             time.Duration
	Retention         time.Duration
	MaxMessageBytes   int
	// MaxReceiveCount, unless 0, also asks for a dead-letter queue with SQS's defaults.
	MaxReceiveCount int
}

// OpenQueue is a new queue for a case.
type OpenQueue struct {
	queue.Queue
	ARN string
	// DeadLetter is the dead-letter queue if one was asked for.
	DeadLetter queue.Queue
}

// QueueOptions configures how the cases run.
type QueueOptions struct {
	// Run runs a case; testing/synctest's Test gives it virtual time. Nil runs it in real
	// time.
	Run func(t *testing.T, test func(t *testing.T))
	// Late is how much later than due a message may appear. If it is 0, every case also
	// checks that the long poll returns on time.
	Late time.Duration
	// Differs has the rules that the queue is known to break, each with the reason.
	Differs map[QueueRule]string
}

// RunQueue checks a queue. It calls open once for each case, within Run, which closes what
// it opens with t.Cleanup. The cases run in parallel.
func RunQueue(t *testing.T, open func(t *testing.T, c QueueConfig) OpenQueue, o QueueOptions) {
	if o.Run == nil {
		o.Run = func(t *testing.T, test func(t *testing.T)) { test(t) }
	}
	for name, test := range map[string]struct {
		config QueueConfig
		run    func(*testing.T, queueCase)
	}{
		"send, receive, delete":                       {QueueConfig{}, testSendReceiveDelete},
		"a receive takes at most Max":                 {QueueConfig{}, testReceiveMax},
		"a quiet queue returns nothing":               {QueueConfig{}, testQuiet},
		"a delay hides a new message":                 {QueueConfig{}, testDelay},
		"the queue's delay is the default":            {QueueConfig{Delay: 3 * time.Second}, testQueueDelay},
		"a receive hides for the visibility timeout":  {QueueConfig{VisibilityTimeout: 2 * time.Second}, testVisibility},
		"a receive may have a timeout of its own":     {QueueConfig{VisibilityTimeout: time.Hour}, testOwnVisibility},
		"each receive has a handle and a count":       {QueueConfig{VisibilityTimeout: time.Second}, testHandles},
		"visibility 0 shows at once":                  {QueueConfig{}, testShowAtOnce},
		"a longer visibility counts from the call":    {QueueConfig{VisibilityTimeout: 4 * time.Second}, testHideLonger},
		"an old handle hides nothing":                 {QueueConfig{VisibilityTimeout: time.Second}, testOldHandleHides},
		"a visibility out of range is refused":        {QueueConfig{}, testVisibilityRange},
		"garbage is not a handle":                     {QueueConfig{}, testGarbageHandles},
		"an expired handle deletes":                   {QueueConfig{VisibilityTimeout: time.Second}, testExpiredHandleDeletes},
		"an old handle deletes nothing":               {QueueConfig{VisibilityTimeout: time.Second}, testOldHandleDeletes},
		"a delete has an outcome for each handle":     {QueueConfig{}, testDeleteOutcomes},
		"the next receive redrives":                   {QueueConfig{MaxReceiveCount: 2}, testRedrive},
		"a trace header comes with each receive":      {QueueConfig{MaxReceiveCount: 1}, testTraceHeader},
		"redrive does not hold up others":             {QueueConfig{MaxReceiveCount: 1}, testRedriveMany},
		"a message past its retention is gone":        {QueueConfig{Retention: 70 * time.Second}, testRetention},
		"a batch adds each entry on its own":          {QueueConfig{MaxMessageBytes: 1024}, testSendBatch},
		"a batch is refused as a whole":               {QueueConfig{}, testBatchRefusals},
		"a message is refused":                        {QueueConfig{}, testSendRefusals},
		"sizes up to the limit pass":                  {QueueConfig{}, testSizes},
		"a long poll wakes for a send":                {QueueConfig{}, testWakeOnSend},
		"a long poll wakes for a deadline":            {QueueConfig{VisibilityTimeout: 3 * time.Second}, testWakeOnDeadline},
		"a cancelled context ends a call":             {QueueConfig{}, testQueueCancelled},
		"concurrent receivers share no message":       {QueueConfig{}, testConcurrentReceivers},
		"concurrent calls about a message all answer": {QueueConfig{VisibilityTimeout: time.Second}, testConcurrentCalls},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Run(t, func(t *testing.T) {
				test.run(t, queueCase{OpenQueue: open(t, test.config), late: o.Late, known: o.Differs})
			})
		})
	}
}

// queueCase is a queue, and what the cases do repeatedly.
type queueCase struct {
	OpenQueue
	late  time.Duration
	known map[QueueRule]string
}

func (q queueCase) send(t *testing.T, bodies ...string) (ids []string) {
	t.Helper()
	for _, body := range bodies {
		ids = append(ids, must[string](t)(q.Send(t.Context(), body, 0)))
	}
	return ids
}

// receive waits for one message that is due in some time. It polls repeatedly, since long
// polls may return early and empty.
func (q queueCase) receive(t *testing.T, due time.Duration) queue.Message {
	t.Helper()
	got := receiveAll(t, q.Queue, 1, due+q.late+slack, queue.ReceiveRequest{Max: 1})
	if len(got) != 1 {
		t.Fatalf("no message within %v, want one after %v", due+q.late+slack, due)
	}
	return got[0]
}

// receiveOnTime is like receive, and checks when the message came. The time that a service
// takes to answer is allowed for by late and early.
func (q queueCase) receiveOnTime(t *testing.T, due time.Duration) queue.Message {
	t.Helper()
	start := time.Now()
	d := q.receive(t, due)
	took := time.Since(start)
	switch {
	case took < due-q.early():
		t.Errorf("the message came after %v, want %v", took, due)
	case q.late == 0 && took > due+slack:
		t.Errorf("the message came after %v, want %v at the latest", took, due+slack)
	}
	return d
}

// slack covers the time that a message takes to become durable.
const slack = 20 * time.Millisecond

// early is how much sooner than due a message may appear, since earlier calls took time.
func (q queueCase) early() time.Duration {
	if q.late == 0 {
		return slack
	}
	return time.Second
}

// none checks that no message comes within some time.
func (q queueCase) none(t *testing.T, wait time.Duration) {
	t.Helper()
	if got := receiveAll(t, q.Queue, 1, wait, queue.ReceiveRequest{Max: 1}); len(got) > 0 {
		t.Fatalf("a message came that should not: %+v", got[0])
	}
}

// receiveAll receives until there are n messages, or the time has passed.
func receiveAll(t *testing.T, q queue.Queue, n int, within time.Duration, r queue.ReceiveRequest) (all []queue.Message) {
	t.Helper()
	end := time.Now().Add(within)
	for first := true; len(all) < n; first = false {
		left := time.Until(end)
		if left <= 0 && !first {
			break
		}
		// Services count in whole seconds, so this may end late.
		r.Wait = min((max(left, 0) + time.Second - 1).Truncate(time.Second), queue.MaxReceiveWait)
		got, err := q.Receive(t.Context(), r)
		if err != nil {
			t.Fatalf("receive: %v", err)
		}
		all = append(all, got...)
	}
	return all
}

func (q queueCase) remove(t *testing.T, handles ...string) {
	t.Helper()
	outcomes, err := q.Delete(t.Context(), handles)
	if err != nil {
		t.Fatalf("delete: %v", err)
	}
	if diff := cmp.Diff(make([]error, len(handles)), outcomes); diff != "" {
		t.Fatalf("the outcomes of the delete (-want +got):\n%s", diff)
	}
}

// pass lets time pass that a case is about.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// wantRefusal checks for a *queue.RequestError. An empty message matches any.
func wantRefusal(t *testing.T, what string, err error, code, message string) {
	t.Helper()
	refusal := new(queue.RequestError)
	switch {
	case !errors.As(err, &refusal):
		t.Errorf("%s: the error is %v, want a *queue.RequestError", what, err)
	case refusal.Code != code:
		t.Errorf("%s: the code is %q, want %q", what, refusal.Code, code)
	case message != "" && refusal.Message != message:
		t.Errorf("%s: the message is %q, want %q", what, refusal.Message, message)
	}
}

func testSendReceiveDelete(t *testing.T, q queueCase) {
	before := time.Now().Add(-q.early())
	id := q.send(t, `{"n": 1}`)[0]
	d := q.receiveOnTime(t, 0)
	if d.MessageID != id || d.Body != `{"n": 1}` || d.ReceiveCount() != 1 || d.ReceiptHandle == "" || d.DeadLetterSourceARN() != "" {
		t.Errorf("the message is %+v, want the first receive of %s", d, id)
	}
	if d.Attributes[queue.SenderAttribute] == "" {
		t.Errorf("the attributes are %v, want a sender among them", d.Attributes)
	}
	after := time.Now().Add(q.early())
	for name, at := range map[string]time.Time{"SentAt": d.SentAt(), "FirstReceivedAt": d.FirstReceivedAt()} {
		if at.Before(before.Truncate(time.Millisecond)) || at.After(after) {
			t.Errorf("%s is %v, want it between %v and %v", name, at, before, after)
		}
	}
	q.none(t, time.Second)
	q.remove(t, d.ReceiptHandle)
	pass(t, 30*time.Second) // past the visibility timeout
	q.none(t, 0)
	q.remove(t, d.ReceiptHandle) // again, which is not an error
}

func testReceiveMax(t *testing.T, q queueCase) {
	const n = 25
	var sent []string
	for i := range n {
		sent = append(sent, q.send(t, strconv.Itoa(i))...)
	}
	// A service may return fewer than there are, but never more than asked for.
	var received []string
	for _, limit := range []int{1, 2, 3, 9, 10} {
		got := receiveAll(t, q.Queue, 1, q.late+slack, queue.ReceiveRequest{Max: limit})
		if len(got) < 1 || len(got) > limit {
			t.Fatalf("a receive of up to %d returned %d", limit, len(got))
		}
		for _, d := range got {
			received = append(received, d.MessageID)
		}
	}
	for _, d := range receiveAll(t, q.Queue, n-len(received), q.late+slack, queue.ReceiveRequest{Max: 10}) {
		received = append(received, d.MessageID)
	}
	slices.Sort(sent)
	slices.Sort(received)
	if diff := cmp.Diff(sent, received); diff != "" {
		t.Errorf("the messages received (-sent +received):\n%s", diff)
	}
}

func testQuiet(t *testing.T, q queueCase) {
	for _, wait := range []time.Duration{0, 2 * time.Second} {
		start := time.Now()
		got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 10, Wait: wait})
		if len(got) != 0 || err != nil {
			t.Errorf("a quiet queue returned %v, %v", got, err)
		}
		if took := time.Since(start); q.late == 0 && took != wait {
			t.Errorf("a poll of %v took %v", wait, took)
		}
	}
}

func testQueueCancelled(t *testing.T, q queueCase) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := q.Receive(ctx, queue.ReceiveRequest{Max: 1, Wait: 20 * time.Second}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a long poll with a deadline: the error is %v, want the context's", err)
	}
	for name, call := range map[string]func() error{
		"send":      func() error { _, err := q.Send(ctx, "x", 0); return err },
		"sendBatch": func() error { _, err := q.SendBatch(ctx, []queue.SendEntry{{ID: "a", Body: "x"}}); return err },
		"receive":   func() error { _, err := q.Receive(ctx, queue.ReceiveRequest{Max: 1}); return err },
	} {
		if err := call(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s after the deadline: the error is %v, want the context's", name, err)
		}
	}
	q.none(t, time.Second)
}

// text is a body of n bytes.
func text(n int) string { return strings.Repeat("x", n) }

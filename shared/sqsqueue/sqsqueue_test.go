package sqsqueue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/order"
	"paylane/shared/queue"
	"paylane/shared/sqsqueue"
)

// TestRequests shows what each call puts on the wire.
func TestRequests(t *testing.T) {
	one := func(operation string, body map[string]any) []awstest.Request {
		body["QueueUrl"] = queueURL
		return []awstest.Request{{Operation: operation, Body: body}}
	}
	received := func(body map[string]any) []awstest.Request {
		body["MessageSystemAttributeNames"], body["MessageAttributeNames"] = []any{"All"}, []any{"All"}
		return one("ReceiveMessage", body)
	}
	const root = "Root=1-5759e988-bd862e3fe1be46a994272793"
	header := map[string]any{"AWSTraceHeader": map[string]any{"DataType": "String", "StringValue": root}}
	traced := queue.WithTraceHeader(t.Context(), root)
	for _, test := range []struct {
		name string
		call func(*sqsqueue.Queue) error
		want []awstest.Request
	}{
		{
			"send", func(q *sqsqueue.Queue) error { _, err := q.Send(t.Context(), "x", 0); return err },
			one("SendMessage", map[string]any{"MessageBody": "x"}),
		},
		{
			"send with a delay", func(q *sqsqueue.Queue) error { _, err := q.Send(t.Context(), "x", time.Minute); return err },
			one("SendMessage", map[string]any{"MessageBody": "x", "DelaySeconds": 60.}),
		},
		{
			"send as part of a trace", func(q *sqsqueue.Queue) error { _, err := q.Send(traced, "x", 0); return err },
			one("SendMessage", map[string]any{"MessageBody": "x", "MessageSystemAttributes": header}),
		},
		{"send a batch as part of a trace", func(q *sqsqueue.Queue) error {
			_, err := q.SendBatch(traced, []queue.SendEntry{{ID: "a", Body: "x"}})
			return err
		}, one("SendMessageBatch", map[string]any{"Entries": []any{
			map[string]any{"Id": "a", "MessageBody": "x", "MessageSystemAttributes": header},
		}})},
		{"send a batch", func(q *sqsqueue.Queue) error {
			_, err := q.SendBatch(t.Context(), []queue.SendEntry{{ID: "a", Body: "x"}, {ID: "b", Body: "y", Delay: time.Second}})
			return err
		}, one("SendMessageBatch", map[string]any{"Entries": []any{
			map[string]any{"Id": "a", "MessageBody": "x"}, map[string]any{"Id": "b", "MessageBody": "y", "DelaySeconds": 1.},
		}})},
		{"receive", func(q *sqsqueue.Queue) error {
			_, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 7, Wait: 20 * time.Second, Visibility: time.Minute})
			return err
		}, received(map[string]any{"MaxNumberOfMessages": 7., "WaitTimeSeconds": 20., "VisibilityTimeout": 60.})},
		{"receive with parts of seconds", func(q *sqsqueue.Queue) error {
			_, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 7, Wait: 1, Visibility: 1001 * time.Millisecond})
			return err
		}, received(map[string]any{"MaxNumberOfMessages": 7., "WaitTimeSeconds": 1., "VisibilityTimeout": 2.})},
		{"receive with the queue's timeout", func(q *sqsqueue.Queue) error {
			_, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 1})
			return err
		}, received(map[string]any{"MaxNumberOfMessages": 1.})},
		{
			"show at once", func(q *sqsqueue.Queue) error { return q.ChangeVisibility(t.Context(), "handle", 0) },
			one("ChangeMessageVisibility", map[string]any{"ReceiptHandle": "handle", "VisibilityTimeout": 0.}),
		},
		{
			"a duration no 32 bits hold", func(q *sqsqueue.Queue) error { return q.ChangeVisibility(t.Context(), "handle", 1<<62) },
			one("ChangeMessageVisibility", map[string]any{"ReceiptHandle": "handle", "VisibilityTimeout": 2147483647.}),
		},
		{
			"delete", func(q *sqsqueue.Queue) error { _, err := q.Delete(t.Context(), []string{"a", "", "b"}); return err },
			one("DeleteMessageBatch", map[string]any{"Entries": []any{
				map[string]any{"Id": "0", "ReceiptHandle": "a"}, map[string]any{"Id": "2", "ReceiptHandle": "b"},
			}}),
		},
		{"delete nothing", func(q *sqsqueue.Queue) error { _, err := q.Delete(t.Context(), []string{""}); return err }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			q, f := open(t, awstest.OK(struct{}{}))
			if err := test.call(q); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, f.Requests()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// calls has all calls of a queue that reach SQS.
var calls = map[string]func(context.Context, *sqsqueue.Queue) error{
	"send": func(ctx context.Context, q *sqsqueue.Queue) error { _, err := q.Send(ctx, "x", 0); return err },
	"send a batch": func(ctx context.Context, q *sqsqueue.Queue) error {
		_, err := q.SendBatch(ctx, []queue.SendEntry{{ID: "a", Body: "x"}})
		return err
	},
	"receive": func(ctx context.Context, q *sqsqueue.Queue) error {
		_, err := q.Receive(ctx, queue.ReceiveRequest{Max: 1})
		return err
	},
	"delete": func(ctx context.Context, q *sqsqueue.Queue) error {
		_, err := q.Delete(ctx, []string{"handle"})
		return err
	},
	"change the visibility": func(ctx context.Context, q *sqsqueue.Queue) error {
		return q.ChangeVisibility(ctx, "handle", time.Minute)
	},
}

// bodyless reports whether the answer to a call is its status alone.
func bodyless(call string) bool { return call == "change the visibility" }

var transient = map[string]awstest.Answer{
	"throttled":               refuses(http.StatusBadRequest, "RequestThrottled"),
	"throttled by the front":  refuses(http.StatusBadRequest, "ThrottlingException"),
	"too many in flight":      refuses(http.StatusBadRequest, "OverLimit"),
	"its key is throttled":    refuses(http.StatusBadRequest, "KmsThrottled"),
	"too many requests":       awstest.Says(http.StatusTooManyRequests, struct{}{}),
	"a fault of the service":  refuses(http.StatusInternalServerError, "InternalError"),
	"the service is gone":     awstest.Says(http.StatusServiceUnavailable, "<html>"),
	"the connection breaks":   awstest.Breaks,
	"the answer is truncated": awstest.Truncated,
}

// TestUnavailable: after a transient error a call is retried a few times, with pauses, and
// then fails with ErrUnavailable; a caller does not see two faults in a row.
func TestUnavailable(t *testing.T) {
	for fault, answer := range transient {
		for name, call := range calls {
			if bodyless(name) && fault == "the answer is truncated" {
				continue
			}
			t.Run(fault+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q, f := open(t, answer)
					start := time.Now()
					if err := call(t.Context(), q); !errors.Is(err, order.ErrUnavailable) {
						t.Errorf("the error is %v, want order.ErrUnavailable", err)
					}
					if n := len(f.Requests()); n != 3 {
						t.Errorf("%d requests, want 3", n)
					}
					if took := time.Since(start).Round(time.Millisecond); took != 150*time.Millisecond {
						t.Errorf("it took %v, want pauses of up to 150 ms together", took)
					}
					q, _ = open(t, answer, answer, awstest.OK(struct{}{}))
					if err := call(t.Context(), q); err != nil {
						t.Errorf("after two faults: %v", err)
					}
				})
			})
		}
	}
}

// TestRefused: a refusal is not retried, and has SQS's code.
func TestRefused(t *testing.T) {
	for _, code := range []string{"AccessDeniedException", "QueueDoesNotExist", "InvalidMessageContents"} {
		for name, call := range calls {
			q, f := open(t, refuses(http.StatusBadRequest, code))
			err := call(t.Context(), q)
			refusal := new(queue.RequestError)
			if !errors.As(err, &refusal) || errors.Is(err, order.ErrUnavailable) || len(f.Requests()) != 1 {
				t.Errorf("%s, %s: %v after %d requests, want a *queue.RequestError after one", code, name, err, len(f.Requests()))
			}
		}
	}
}

// TestStalled: a call over a silent connection is retried over another after 2 s. A poller's
// call has 30 s and is not retried: messages that are on their way would be lost.
func TestStalled(t *testing.T) {
	for fault, answer := range map[string]awstest.Answer{"no answer": awstest.Stalls, "no body": awstest.StallsMidway} {
		for name, call := range calls {
			if bodyless(name) && fault == "no body" {
				continue
			}
			tries, most := 3, 6500*time.Millisecond
			least := 6 * time.Second
			if name == "receive" || name == "delete" {
				tries, least, most = 1, patience, patience
			}
			t.Run(fault+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q, f := open(t, answer)
					start := time.Now()
					if err := call(t.Context(), q); !errors.Is(err, order.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the error is %v, want order.ErrUnavailable and not a context's", err)
					}
					if took := time.Since(start); took < least || took > most || len(f.Requests()) != tries {
						t.Errorf("it took %v and %d tries, want at least %v and %d", took, len(f.Requests()), least, tries)
					}
				})
			})
		}
	}
}

const patience = 30 * time.Second

// TestLongPoll: a poll may take its wait and 30 s more.
func TestLongPoll(t *testing.T) {
	const wait = 20 * time.Second
	poll := func(t *testing.T, ctx context.Context, answerAfter time.Duration) (took time.Duration, err error) {
		q, f := open(t, func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(answerAfter):
				return awstest.OK(struct{}{})(r)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		start := time.Now()
		_, err = q.Receive(ctx, queue.ReceiveRequest{Max: 1, Wait: wait})
		if n := len(f.Requests()); n != 1 {
			t.Errorf("%d requests, want one", n)
		}
		return time.Since(start), err
	}
	for name, test := range map[string]struct {
		answer, leave time.Duration
		want          error
		after         time.Duration
	}{
		"ends with its wait":          {wait, time.Hour, nil, wait},
		"may be late":                 {wait + 29*time.Second, time.Hour, nil, wait + 29*time.Second},
		"ends if the queue is silent": {time.Hour, time.Hour, order.ErrUnavailable, wait + patience},
		"ends with its context":       {time.Hour, 5 * time.Second, context.Canceled, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				defer time.AfterFunc(test.leave, cancel).Stop()
				took, err := poll(t, ctx, test.answer)
				if !errors.Is(err, test.want) || took != test.after {
					t.Errorf("%v after %v, want %v after %v", err, took, test.want, test.after)
				}
			})
		})
	}
}

// TestDeadline: the caller's deadline ends a try at once, and there is no pause before a try
// that would come too late.
func TestDeadline(t *testing.T) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				q, _ := open(t, transient["throttled"])
				start := time.Now()
				if err := call(ctx, q); !errors.Is(err, order.ErrUnavailable) || time.Since(start) != 0 {
					t.Errorf("throttled: %v after %v, want order.ErrUnavailable at once", err, time.Since(start))
				}
				q, _ = open(t, awstest.Stalls)
				err := call(ctx, q)
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, order.ErrUnavailable) {
					t.Errorf("stalled: the error is %v, want the context's alone", err)
				}
				if took := time.Since(start); took != 100*time.Millisecond {
					t.Errorf("stalled: it took %v, want what the caller had", took)
				}
			})
		})
	}
}

func entry(id string) map[string]any { return map[string]any{"Id": id, "MessageId": "message-" + id} }

func failure(id, code string, sender bool) map[string]any {
	return map[string]any{"Id": id, "Code": code, "Message": "no", "SenderFault": sender}
}

// batch is the answer to a batch.
func batch(successful []any, failed ...any) awstest.Answer {
	return awstest.OK(map[string]any{"Successful": successful, "Failed": failed})
}

// TestSendBatchPartly: only those entries of a batch are sent again that failed through a
// fault of SQS, and not of the sender.
func TestSendBatchPartly(t *testing.T) {
	entries := []queue.SendEntry{{ID: "a", Body: "x"}, {ID: "b", Body: "y"}, {ID: "c", Body: "z"}}
	refused := &queue.RequestError{Code: "InvalidParameterValue", Message: "no"}
	internal := &queue.RequestError{Code: "InternalError", Message: "no"}
	begun := batch([]any{entry("a")}, failure("b", "InvalidParameterValue", true), failure("c", "InternalError", false))
	for _, test := range []struct {
		name   string
		answer []awstest.Answer
		sent   map[string]string
		failed map[string]*queue.RequestError
		asked  []int
	}{
		{
			"then it works", []awstest.Answer{begun, batch([]any{entry("c")})},
			map[string]string{"a": "message-a", "c": "message-c"}, map[string]*queue.RequestError{"b": refused}, []int{3, 1},
		},
		{
			"it never works", []awstest.Answer{begun, batch(nil, failure("c", "InternalError", false))},
			map[string]string{"a": "message-a"}, map[string]*queue.RequestError{"b": refused, "c": internal}, []int{3, 1, 1},
		},
		{
			"then nothing works", []awstest.Answer{begun, transient["throttled"]},
			map[string]string{"a": "message-a"}, map[string]*queue.RequestError{"b": refused, "c": internal}, []int{3, 1, 1, 1},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, f := open(t, test.answer...)
				got := must[queue.SendBatchResult](t)(q.SendBatch(t.Context(), entries))
				if diff := cmp.Diff(queue.SendBatchResult{MessageIDs: test.sent, Failed: test.failed}, got); diff != "" {
					t.Errorf("the result (-want +got):\n%s", diff)
				}
				var asked []int
				for _, r := range f.Requests() {
					asked = append(asked, len(r.Body["Entries"].([]any)))
				}
				if diff := cmp.Diff(test.asked, asked); diff != "" {
					t.Errorf("entries sent (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestDeletePartly: outcomes are in the order asked, whatever the order of SQS's answer.
func TestDeletePartly(t *testing.T) {
	handles := make([]string, 10)
	for i := range handles {
		handles[i] = fmt.Sprintf("handle-%d", i)
	}
	handles[5] = ""
	q, f := open(t, batch(nil, failure("9", "InternalError", false), failure("3", "ReceiptHandleIsInvalid", true),
		failure("7", "InvalidParameterValue", true)))
	outcomes := must[[]error](t)(q.Delete(t.Context(), handles))
	if len(f.Requests()) != 1 {
		t.Errorf("%d requests, want 1", len(f.Requests()))
	}
	refusal := new(queue.RequestError)
	for i, outcome := range outcomes {
		switch i {
		case 3, 5:
			if !errors.Is(outcome, queue.ErrReceiptHandle) {
				t.Errorf("outcome %d is %v, want queue.ErrReceiptHandle", i, outcome)
			}
		case 9:
			if !errors.Is(outcome, order.ErrUnavailable) || !strings.Contains(outcome.Error(), "InternalError: no") {
				t.Errorf("outcome %d is %v, want order.ErrUnavailable with SQS's code and text", i, outcome)
			}
		case 7:
			if !errors.As(outcome, &refusal) {
				t.Errorf("outcome %d is %v, want a *queue.RequestError", i, outcome)
			}
		default:
			if outcome != nil {
				t.Errorf("outcome %d is %v", i, outcome)
			}
		}
	}
}

// TestChangeVisibilityLate: SQS has two answers for a receive that is over, and documents
// only one of them.
func TestChangeVisibilityLate(t *testing.T) {
	gone := sqsErrors.Refuses(http.StatusBadRequest, "InvalidParameterValue", map[string]any{
		"message": "Value AQEB for parameter ReceiptHandle is invalid. " +
			"Reason: Message does not exist or is not available for visibility timeout change.",
	})
	beyond := sqsErrors.Refuses(http.StatusBadRequest, "InvalidParameterValue", map[string]any{
		"message": "Total VisibilityTimeout for the message is beyond the limit",
	})
	refusal := new(queue.RequestError)
	for name, test := range map[string]struct {
		answer awstest.Answer
		right  func(error) bool
	}{
		"not in flight": {refuses(http.StatusBadRequest, "MessageNotInflight"), func(err error) bool { return err == nil }},
		"gone":          {gone, func(err error) bool { return err == nil }},
		"beyond 12 h":   {beyond, func(err error) bool { return errors.As(err, &refusal) }},
		"garbage": {
			refuses(http.StatusBadRequest, "ReceiptHandleIsInvalid"),
			func(err error) bool { return errors.Is(err, queue.ErrReceiptHandle) },
		},
	} {
		q, _ := open(t, test.answer)
		if err := q.ChangeVisibility(t.Context(), "handle", time.Minute); !test.right(err) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	q, f := open(t, awstest.OK(struct{}{}))
	if err := q.ChangeVisibility(t.Context(), "", 0); !errors.Is(err, queue.ErrReceiptHandle) || len(f.Requests()) > 0 {
		t.Errorf("without a handle: %v after %d requests", err, len(f.Requests()))
	}
}

// TestReceive: a message has all that SQS says about it.
func TestReceive(t *testing.T) {
	q, _ := open(t, awstest.OK(json.RawMessage(`{"Messages":[
		{"MessageId":"m1","ReceiptHandle":"r1","Body":"a","MD5OfBody":"0cc175b9c0f1b6a831c399e269772661",
		 "Attributes":{"ApproximateReceiveCount":"3","SentTimestamp":"1773480413589",
			"ApproximateFirstReceiveTimestamp":"1773480413600","DeadLetterQueueSourceArn":"arn:aws:sqs:us-east-1:1:payments"},
		 "MessageAttributes":{"kind":{"DataType":"String.x","StringValue":"order"},"blob":{"DataType":"Binary","BinaryValue":"AAH/"}}},
		{"MessageId":"m2","ReceiptHandle":"r2","Body":"a","MD5OfBody":"0cc175b9c0f1b6a831c399e269772661"}]}`)))
	got := must[[]queue.Message](t)(q.Receive(t.Context(), queue.ReceiveRequest{Max: 10}))
	want := []queue.Message{
		{
			MessageID: "m1", ReceiptHandle: "r1", Body: "a",
			Attributes: map[string]string{
				"ApproximateReceiveCount": "3", "SentTimestamp": "1773480413589",
				"ApproximateFirstReceiveTimestamp": "1773480413600", "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:1:payments",
			},
			MessageAttributes: map[string]queue.Attribute{
				"kind": {DataType: "String.x", String: "order"}, "blob": {DataType: "Binary", Binary: []byte{0, 1, 255}},
			},
		},
		{MessageID: "m2", ReceiptHandle: "r2", Body: "a"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the messages (-want +got):\n%s", diff)
	}
}

package sqsqueue_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/order"
	"paylane/shared/sqsqueue"
)

// TestRequests shows what each call puts on the wire.
func TestRequests(t *testing.T) {
	attributes := []any{"SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "DeadLetterQueueSourceArn"}
	one := func(operation string, body map[string]any) []awstest.Request {
		body["QueueUrl"] = queueURL
		return []awstest.Request{{Operation: operation, Body: body}}
	}
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
		{"send a batch", func(q *sqsqueue.Queue) error {
			_, err := q.SendBatch(t.Context(), []order.SendEntry{{ID: "a", Body: "x"}, {ID: "b", Body: "y", Delay: time.Second}})
			return err
		}, one("SendMessageBatch", map[string]any{"Entries": []any{
			map[string]any{"Id": "a", "MessageBody": "x"}, map[string]any{"Id": "b", "MessageBody": "y", "DelaySeconds": 1.},
		}})},
		{"receive", func(q *sqsqueue.Queue) error {
			_, err := q.Receive(t.Context(), order.ReceiveRequest{Max: 7, Wait: 20 * time.Second, Visibility: time.Minute})
			return err
		}, one("ReceiveMessage", map[string]any{
			"MaxNumberOfMessages": 7., "WaitTimeSeconds": 20., "VisibilityTimeout": 60., "MessageSystemAttributeNames": attributes,
		})},
		{"receive with the queue's timeout", func(q *sqsqueue.Queue) error {
			_, err := q.Receive(t.Context(), order.ReceiveRequest{Max: 1})
			return err
		}, one("ReceiveMessage", map[string]any{"MaxNumberOfMessages": 1., "MessageSystemAttributeNames": attributes})},
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
			queue, f := open(t, awstest.OK(struct{}{}))
			if err := test.call(queue); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, f.Requests()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// calls are all calls of a queue that reach SQS.
var calls = map[string]func(context.Context, *sqsqueue.Queue) error{
	"send": func(ctx context.Context, q *sqsqueue.Queue) error { _, err := q.Send(ctx, "x", 0); return err },
	"send a batch": func(ctx context.Context, q *sqsqueue.Queue) error {
		_, err := q.SendBatch(ctx, []order.SendEntry{{ID: "a", Body: "x"}})
		return err
	},
	"receive": func(ctx context.Context, q *sqsqueue.Queue) error {
		_, err := q.Receive(ctx, order.ReceiveRequest{Max: 1})
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

// bodyless tells of a call whose answer is its status alone.
func bodyless(call string) bool { return call == "change the visibility" }

var passing = map[string]awstest.Answer{
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

// TestUnavailable: whatever may pass is tried a few times, with pauses, and is
// ErrUnavailable then; two faults in a row are nothing that a caller sees.
func TestUnavailable(t *testing.T) {
	for fault, answer := range passing {
		for name, call := range calls {
			if bodyless(name) && (fault == "the answer is truncated" || fault == "no body") {
				continue
			}
			t.Run(fault+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					queue, f := open(t, answer)
					start := time.Now()
					if err := call(t.Context(), queue); !errors.Is(err, order.ErrUnavailable) {
						t.Errorf("the error is %v, want order.ErrUnavailable", err)
					}
					if n := len(f.Requests()); n != 3 {
						t.Errorf("%d requests, want 3", n)
					}
					if took := time.Since(start); took == 0 || took > 150*time.Millisecond {
						t.Errorf("it took %v, want pauses of up to 150 ms together", took)
					}
					queue, _ = open(t, answer, answer, awstest.OK(struct{}{}))
					if err := call(t.Context(), queue); err != nil {
						t.Errorf("after two faults: %v", err)
					}
				})
			})
		}
	}
}

// TestRefused: what would be refused again is not tried again, and has SQS's code.
func TestRefused(t *testing.T) {
	for _, code := range []string{"AccessDeniedException", "QueueDoesNotExist", "InvalidMessageContents"} {
		for name, call := range calls {
			queue, f := open(t, refuses(http.StatusBadRequest, code))
			err := call(t.Context(), queue)
			refusal := new(order.RequestError)
			if !errors.As(err, &refusal) || errors.Is(err, order.ErrUnavailable) || len(f.Requests()) != 1 {
				t.Errorf("%s, %s: %v after %d requests, want a *order.RequestError after one", code, name, err, len(f.Requests()))
			}
		}
	}
}

// TestStalled: a connection over which nothing comes is left for another after 2 s; a
// long poll is given its wait on top.
func TestStalled(t *testing.T) {
	for fault, answer := range map[string]awstest.Answer{"no answer": awstest.Stalls, "no body": awstest.StallsMidway} {
		for name, call := range calls {
			if bodyless(name) && (fault == "the answer is truncated" || fault == "no body") {
				continue
			}
			t.Run(fault+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					queue, _ := open(t, answer)
					start := time.Now()
					if err := call(t.Context(), queue); !errors.Is(err, order.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the error is %v, want order.ErrUnavailable and not a context's", err)
					}
					if took := time.Since(start); took < 6*time.Second || took > 6500*time.Millisecond {
						t.Errorf("it took %v, want three tries of 2 s", took)
					}
				})
			})
		}
	}
	t.Run("a long poll", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			queue, f := open(t, func(r *http.Request) (*http.Response, error) {
				select {
				case <-time.After(20 * time.Second):
					return awstest.OK(struct{}{})(r)
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			})
			_, err := queue.Receive(t.Context(), order.ReceiveRequest{Max: 1, Wait: 20 * time.Second})
			if err != nil || len(f.Requests()) != 1 {
				t.Errorf("%v after %d requests, want nothing after one", err, len(f.Requests()))
			}
		})
	})
}

// TestDeadline: the caller's deadline ends a try at once, and there is no waiting for a
// try that could not be made any more.
func TestDeadline(t *testing.T) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				queue, _ := open(t, passing["throttled"])
				start := time.Now()
				if err := call(ctx, queue); !errors.Is(err, order.ErrUnavailable) || time.Since(start) != 0 {
					t.Errorf("throttled: %v after %v, want order.ErrUnavailable at once", err, time.Since(start))
				}
				queue, _ = open(t, awstest.Stalls)
				err := call(ctx, queue)
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

// TestSendBatchPartly: of a batch, what failed by SQS's fault is sent again, and only
// that; what the sender got wrong is not.
func TestSendBatchPartly(t *testing.T) {
	entries := []order.SendEntry{{ID: "a", Body: "x"}, {ID: "b", Body: "y"}, {ID: "c", Body: "z"}}
	refused := &order.RequestError{Code: "InvalidParameterValue", Message: "no"}
	internal := &order.RequestError{Code: "InternalError", Message: "no"}
	begun := batch([]any{entry("a")}, failure("b", "InvalidParameterValue", true), failure("c", "InternalError", false))
	for _, test := range []struct {
		name   string
		answer []awstest.Answer
		sent   map[string]string
		failed map[string]*order.RequestError
		asked  []int
	}{
		{
			"then it works", []awstest.Answer{begun, batch([]any{entry("c")})},
			map[string]string{"a": "message-a", "c": "message-c"}, map[string]*order.RequestError{"b": refused}, []int{3, 1},
		},
		{
			"it never works", []awstest.Answer{begun, batch(nil, failure("c", "InternalError", false))},
			map[string]string{"a": "message-a"}, map[string]*order.RequestError{"b": refused, "c": internal}, []int{3, 1, 1},
		},
		{
			"then nothing works", []awstest.Answer{begun, passing["throttled"]},
			map[string]string{"a": "message-a"}, map[string]*order.RequestError{"b": refused, "c": internal}, []int{3, 1, 1, 1},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue, f := open(t, test.answer...)
				got := must[order.SendBatchResult](t)(queue.SendBatch(t.Context(), entries))
				if diff := cmp.Diff(order.SendBatchResult{MessageIDs: test.sent, Failed: test.failed}, got); diff != "" {
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

// TestDeletePartly: outcomes are in the order asked, across batches, whatever the order
// of SQS's answer.
func TestDeletePartly(t *testing.T) {
	handles := make([]string, 12)
	for i := range handles {
		handles[i] = fmt.Sprintf("handle-%d", i)
	}
	handles[5] = ""
	queue, f := open(t,
		batch(nil, failure("9", "InternalError", false), failure("3", "ReceiptHandleIsInvalid", true)),
		batch(nil, failure("11", "InvalidParameterValue", true)),
	)
	outcomes := must[[]error](t)(queue.Delete(t.Context(), handles))
	if len(f.Requests()) != 2 {
		t.Errorf("%d requests, want 2", len(f.Requests()))
	}
	refusal := new(order.RequestError)
	for i, outcome := range outcomes {
		switch i {
		case 3, 5:
			if !errors.Is(outcome, order.ErrReceiptHandle) {
				t.Errorf("outcome %d is %v, want order.ErrReceiptHandle", i, outcome)
			}
		case 9:
			if !errors.Is(outcome, order.ErrUnavailable) {
				t.Errorf("outcome %d is %v, want order.ErrUnavailable", i, outcome)
			}
		case 11:
			if !errors.As(outcome, &refusal) {
				t.Errorf("outcome %d is %v, want a *order.RequestError", i, outcome)
			}
		default:
			if outcome != nil {
				t.Errorf("outcome %d is %v", i, outcome)
			}
		}
	}
}

// TestChangeVisibilityLate: SQS has two ways to say that the receive is over, and only
// one of them is documented.
func TestChangeVisibilityLate(t *testing.T) {
	gone := sqsErrors.Refuses(http.StatusBadRequest, "InvalidParameterValue", map[string]any{
		"message": "Value AQEB for parameter ReceiptHandle is invalid. " +
			"Reason: Message does not exist or is not available for visibility timeout change.",
	})
	beyond := sqsErrors.Refuses(http.StatusBadRequest, "InvalidParameterValue", map[string]any{
		"message": "Total VisibilityTimeout for the message is beyond the limit",
	})
	refusal := new(order.RequestError)
	for name, test := range map[string]struct {
		answer awstest.Answer
		right  func(error) bool
	}{
		"not in flight": {refuses(http.StatusBadRequest, "MessageNotInflight"), func(err error) bool { return err == nil }},
		"gone":          {gone, func(err error) bool { return err == nil }},
		"beyond 12 h":   {beyond, func(err error) bool { return errors.As(err, &refusal) }},
		"garbage": {
			refuses(http.StatusBadRequest, "ReceiptHandleIsInvalid"),
			func(err error) bool { return errors.Is(err, order.ErrReceiptHandle) },
		},
	} {
		queue, _ := open(t, test.answer)
		if err := queue.ChangeVisibility(t.Context(), "handle", time.Minute); !test.right(err) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	queue, f := open(t, awstest.OK(struct{}{}))
	if err := queue.ChangeVisibility(t.Context(), "", 0); !errors.Is(err, order.ErrReceiptHandle) || len(f.Requests()) > 0 {
		t.Errorf("without a handle: %v after %d requests", err, len(f.Requests()))
	}
}

// TestDelivery: what a received message says of itself.
func TestDelivery(t *testing.T) {
	attributes := map[string]any{
		"SentTimestamp": "1773480413589", "ApproximateReceiveCount": "3",
		"ApproximateFirstReceiveTimestamp": "1773480413600", "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:1:payments",
	}
	message := func(attributes map[string]any) awstest.Answer {
		return awstest.OK(map[string]any{"Messages": []any{map[string]any{
			"MessageId": "m", "ReceiptHandle": "h", "Body": "x", "Attributes": attributes,
		}}})
	}
	queue, _ := open(t, message(attributes))
	got := must[[]order.Delivery](t)(queue.Receive(t.Context(), order.ReceiveRequest{Max: 1}))
	want := []order.Delivery{{
		MessageID: "m", ReceiptHandle: "h", Body: "x", ReceiveCount: 3,
		SentAt: time.UnixMilli(1773480413589).UTC(), FirstReceivedAt: time.UnixMilli(1773480413600).UTC(),
		DeadLetterSourceARN: "arn:aws:sqs:us-east-1:1:payments",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the delivery (-want +got):\n%s", diff)
	}
	for _, name := range []string{"SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"} {
		less := maps.Clone(attributes)
		delete(less, name)
		queue, _ := open(t, message(less))
		if _, err := queue.Receive(t.Context(), order.ReceiveRequest{Max: 1}); !errors.Is(err, order.ErrUnavailable) {
			t.Errorf("without %s: the error is %v, want order.ErrUnavailable", name, err)
		}
	}
}

// Package sqsqueue is an order.Queue on Amazon SQS: one standard queue, by its URL.
// The semantics are SQS's own; this package only translates words and errors.
package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"paylane/shared/order"
)

// Queue is an [order.Queue].
type Queue struct {
	client *sqs.Client
	url    string
}

// New makes a queue on an existing SQS queue.
func New(client *sqs.Client, url string) *Queue {
	return &Queue{client: client, url: url}
}

// Send implements [order.Queue]. SQS has stored the message on several servers when
// it answers.
func (q *Queue) Send(ctx context.Context, body string, delay time.Duration) (string, error) {
	out, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.url, MessageBody: &body, DelaySeconds: seconds(delay),
	})
	if err != nil {
		return "", fmt.Errorf("send a message: %w", translate(err))
	}
	return aws.ToString(out.MessageId), nil
}

// SendBatch implements [order.Queue].
func (q *Queue) SendBatch(ctx context.Context, entries []order.SendEntry) (order.SendBatchResult, error) {
	request := make([]types.SendMessageBatchRequestEntry, len(entries))
	for i, e := range entries {
		request[i] = types.SendMessageBatchRequestEntry{
			Id: aws.String(e.ID), MessageBody: aws.String(e.Body), DelaySeconds: seconds(e.Delay),
		}
	}
	out, err := q.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: request})
	if err != nil {
		return order.SendBatchResult{}, fmt.Errorf("send a batch: %w", translate(err))
	}
	// The call succeeds even where every entry failed.
	result := order.SendBatchResult{MessageIDs: make(map[string]string), Failed: make(map[string]*order.RequestError)}
	for _, e := range out.Successful {
		result.MessageIDs[aws.ToString(e.Id)] = aws.ToString(e.MessageId)
	}
	for _, e := range out.Failed {
		result.Failed[aws.ToString(e.Id)] = &order.RequestError{Code: aws.ToString(e.Code), Message: aws.ToString(e.Message)}
	}
	return result, nil
}

// Receive implements [order.Queue].
func (q *Queue) Receive(ctx context.Context, r order.ReceiveRequest) ([]order.Delivery, error) {
	in := &sqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: int32(r.Max), WaitTimeSeconds: seconds(r.Wait),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameSentTimestamp,
			types.MessageSystemAttributeNameApproximateReceiveCount,
			types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp,
			types.MessageSystemAttributeNameDeadLetterQueueSourceArn,
		},
	}
	if r.Visibility > 0 {
		in.VisibilityTimeout = seconds(r.Visibility)
	}
	out, err := q.client.ReceiveMessage(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("receive messages: %w", translate(err))
	}
	deliveries := make([]order.Delivery, len(out.Messages))
	for i, m := range out.Messages {
		count, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
		if err != nil {
			return nil, fmt.Errorf("receive messages: read the receive count: %w", err)
		}
		deliveries[i] = order.Delivery{
			MessageID: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
			ReceiveCount:        count,
			SentAt:              timestamp(m, types.MessageSystemAttributeNameSentTimestamp),
			FirstReceivedAt:     timestamp(m, types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp),
			DeadLetterSourceARN: m.Attributes[string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)],
		}
	}
	return deliveries, nil
}

// Delete implements [order.Queue]. More handles than a batch takes go in several.
func (q *Queue) Delete(ctx context.Context, receiptHandles []string) ([]error, error) {
	outcomes := make([]error, len(receiptHandles))
	for start := 0; start < len(receiptHandles); start += order.MaxBatch {
		batch := receiptHandles[start:min(start+order.MaxBatch, len(receiptHandles))]
		entries := make([]types.DeleteMessageBatchRequestEntry, len(batch))
		for i := range batch {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &batch[i]}
		}
		out, err := q.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q.url, Entries: entries})
		if err != nil {
			return nil, fmt.Errorf("delete messages: %w", translate(err))
		}
		for _, e := range out.Failed {
			i, err := strconv.Atoi(aws.ToString(e.Id))
			if err != nil {
				return nil, fmt.Errorf("delete messages: read the id of a failed entry: %w", err)
			}
			outcomes[start+i] = entryError(e)
		}
	}
	return outcomes, nil
}

// ChangeVisibility implements [order.Queue].
func (q *Queue) ChangeVisibility(ctx context.Context, receiptHandle string, timeout time.Duration) error {
	_, err := q.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &q.url, ReceiptHandle: &receiptHandle, VisibilityTimeout: seconds(timeout),
	})
	var notInflight *types.MessageNotInflight
	if errors.As(err, &notInflight) {
		return nil // the receive is over: an older handle does nothing
	}
	if err != nil {
		return fmt.Errorf("change a visibility timeout: %w", translate(err))
	}
	return nil
}

func seconds(d time.Duration) int32 { return int32(d / time.Second) }

func timestamp(m types.Message, name types.MessageSystemAttributeName) time.Time {
	ms, err := strconv.ParseInt(m.Attributes[string(name)], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// entryError translates what SQS says of one entry of a batch.
func entryError(e types.BatchResultErrorEntry) error {
	code := aws.ToString(e.Code)
	switch {
	case code == "ReceiptHandleIsInvalid":
		return order.ErrReceiptHandle
	case e.SenderFault:
		return &order.RequestError{Code: code, Message: aws.ToString(e.Message)}
	default:
		return fmt.Errorf("%s: %w", code, order.ErrUnavailable)
	}
}

// translate puts SQS's errors into the port's words. What passes by itself, a
// throttle, a fault of the service, a broken connection, is [order.ErrUnavailable].
func translate(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var api smithy.APIError
	var response *smithyhttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &response) || response.HTTPStatusCode() >= http.StatusInternalServerError {
		return fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	}
	var invalidHandle *types.ReceiptHandleIsInvalid
	switch {
	case errors.As(err, &invalidHandle):
		return fmt.Errorf("%w: %w", order.ErrReceiptHandle, err)
	case api.ErrorCode() == "RequestThrottled", api.ErrorCode() == "ThrottlingException", api.ErrorCode() == "OverLimit":
		return fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	default:
		return fmt.Errorf("%w: %w", &order.RequestError{Code: api.ErrorCode(), Message: api.ErrorMessage()}, err)
	}
}

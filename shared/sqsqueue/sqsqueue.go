package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"paylane/shared/awscall"
	"paylane/shared/order"
)

// Queue is an [order.Queue].
type Queue struct {
	client  *sqs.Client
	url     string
	retryer aws.Retryer
}

// New makes a queue on an existing SQS queue. How calls are retried is the queue's,
// not the client's.
func New(client *sqs.Client, url string) *Queue {
	return &Queue{client: client, url: url, retryer: awscall.NewRetryer(passes)}
}

// Send implements [order.Queue]. SQS has stored the message on several servers when
// it answers.
func (q *Queue) Send(ctx context.Context, body string, delay time.Duration) (string, error) {
	out, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.url, MessageBody: &body, DelaySeconds: seconds(delay),
	}, q.calls(0))
	if err != nil {
		return "", fmt.Errorf("send a message: %w", translate(ctx, err))
	}
	return aws.ToString(out.MessageId), nil
}

// SendBatch implements [order.Queue]. Entries that failed by SQS's own fault are sent
// again; what still fails then has its code, as "InternalError".
func (q *Queue) SendBatch(ctx context.Context, entries []order.SendEntry) (order.SendBatchResult, error) {
	request := make([]types.SendMessageBatchRequestEntry, len(entries))
	for i, e := range entries {
		request[i] = types.SendMessageBatchRequestEntry{
			Id: aws.String(e.ID), MessageBody: aws.String(e.Body), DelaySeconds: seconds(e.Delay),
		}
	}
	result := order.SendBatchResult{MessageIDs: make(map[string]string), Failed: make(map[string]*order.RequestError)}
	for try := 1; ; try++ {
		out, err := q.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: request}, q.calls(0))
		if err != nil && try > 1 {
			return result, nil // the entries' own errors say it
		}
		if err != nil {
			return order.SendBatchResult{}, fmt.Errorf("send a batch: %w", translate(ctx, err))
		}
		again := record(&result, out)
		if len(again) == 0 || try == awscall.MaxTries || !awscall.Sleep(ctx, awscall.Pause(try)) {
			return result, nil
		}
		request = slices.DeleteFunc(request, func(e types.SendMessageBatchRequestEntry) bool { return !again[*e.Id] })
	}
}

// record notes what became of each entry, and says which failed by SQS's own fault.
// The call succeeds even where every entry failed.
func record(result *order.SendBatchResult, out *sqs.SendMessageBatchOutput) (again map[string]bool) {
	again = make(map[string]bool)
	for _, e := range out.Successful {
		id := aws.ToString(e.Id)
		result.MessageIDs[id] = aws.ToString(e.MessageId)
		delete(result.Failed, id)
	}
	for _, e := range out.Failed {
		id := aws.ToString(e.Id)
		result.Failed[id] = &order.RequestError{Code: aws.ToString(e.Code), Message: aws.ToString(e.Message)}
		if !e.SenderFault {
			again[id] = true
		}
	}
	return again
}

// Receive implements [order.Queue].
func (q *Queue) Receive(ctx context.Context, r order.ReceiveRequest) ([]order.Delivery, error) {
	out, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: int32(r.Max),
		WaitTimeSeconds: seconds(r.Wait), VisibilityTimeout: seconds(r.Visibility),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameSentTimestamp,
			types.MessageSystemAttributeNameApproximateReceiveCount,
			types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp,
			types.MessageSystemAttributeNameDeadLetterQueueSourceArn,
		},
	}, q.calls(r.Wait))
	if err != nil {
		return nil, fmt.Errorf("receive messages: %w", translate(ctx, err))
	}
	deliveries := make([]order.Delivery, len(out.Messages))
	for i, m := range out.Messages {
		if deliveries[i], err = delivery(m); err != nil {
			return nil, fmt.Errorf("receive messages: %w", err)
		}
	}
	return deliveries, nil
}

// delivery translates a message. The error is [order.ErrUnavailable]: a later receive
// of the message may have the numbers that this one lacks.
func delivery(m types.Message) (order.Delivery, error) {
	number := func(name types.MessageSystemAttributeName) (n int64, err error) {
		if n, err = strconv.ParseInt(m.Attributes[string(name)], 10, 64); err != nil {
			err = fmt.Errorf("%w: read %s: %w", order.ErrUnavailable, name, err)
		}
		return n, err
	}
	count, errCount := number(types.MessageSystemAttributeNameApproximateReceiveCount)
	sent, errSent := number(types.MessageSystemAttributeNameSentTimestamp)
	first, errFirst := number(types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp)
	return order.Delivery{
		MessageID: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
		ReceiveCount: int(count), SentAt: time.UnixMilli(sent).UTC(), FirstReceivedAt: time.UnixMilli(first).UTC(),
		DeadLetterSourceARN: m.Attributes[string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)],
	}, errors.Join(errCount, errSent, errFirst)
}

// Delete implements [order.Queue]. More handles than a batch takes go in several.
func (q *Queue) Delete(ctx context.Context, receiptHandles []string) ([]error, error) {
	outcomes := make([]error, len(receiptHandles))
	var entries []types.DeleteMessageBatchRequestEntry
	for i := range receiptHandles {
		if receiptHandles[i] == "" { // SQS refuses the whole batch for it
			outcomes[i] = order.ErrReceiptHandle
			continue
		}
		entries = append(entries, types.DeleteMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &receiptHandles[i],
		})
	}
	for batch := range slices.Chunk(entries, order.MaxBatch) {
		out, err := q.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q.url, Entries: batch}, q.calls(0))
		if err != nil {
			return nil, fmt.Errorf("delete messages: %w", translate(ctx, err))
		}
		failed := make(map[string]error)
		for _, e := range out.Failed {
			failed[aws.ToString(e.Id)] = entryError(e)
		}
		for _, e := range batch {
			i, _ := strconv.Atoi(*e.Id) // it was made from a number above
			outcomes[i] = failed[*e.Id]
		}
	}
	return outcomes, nil
}

// ChangeVisibility implements [order.Queue].
func (q *Queue) ChangeVisibility(ctx context.Context, receiptHandle string, timeout time.Duration) error {
	if receiptHandle == "" { // SQS has another code for a handle that is missing
		return fmt.Errorf("change a visibility timeout: %w", order.ErrReceiptHandle)
	}
	_, err := q.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &q.url, ReceiptHandle: &receiptHandle, VisibilityTimeout: seconds(timeout),
	}, q.calls(0))
	if err != nil && !receiveIsOver(err) {
		return fmt.Errorf("change a visibility timeout: %w", translate(ctx, err))
	}
	return nil
}

// seconds keeps a duration that is far out of range out of range, for SQS to refuse.
func seconds(d time.Duration) int32 {
	return int32(max(math.MinInt32, min(d/time.Second, math.MaxInt32)))
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
		return fmt.Errorf("%w: %s: %s", order.ErrUnavailable, code, aws.ToString(e.Message))
	}
}

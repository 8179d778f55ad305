package sqsqueue

import (
	"context"
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
	"paylane/shared/queue"
)

// Queue implements [queue.Queue].
type Queue struct {
	client  *sqs.Client
	url     string
	retryer *awscall.Retryer
}

var _ queue.Queue = (*Queue)(nil)

// New returns the SQS queue with this URL. Its calls are retried whatever the client's
// settings. Jitter returns a number from 0 to n-1.
func New(client *sqs.Client, url string, jitter func(n int) int) *Queue {
	return &Queue{client: client, url: url, retryer: awscall.NewRetryer(transient, jitter)}
}

// Send implements [queue.Queue]. SQS has stored the message on several servers when it
// answers.
func (q *Queue) Send(ctx context.Context, body string, delay time.Duration) (string, error) {
	out, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.url, MessageBody: &body, DelaySeconds: seconds(delay), MessageSystemAttributes: traced(ctx),
	}, q.promptly)
	if err != nil {
		return "", fmt.Errorf("send a message: %w", translate(ctx, err))
	}
	return aws.ToString(out.MessageId), nil
}

// SendBatch implements [queue.Queue]. Entries that failed through a fault of SQS are sent
// again; those that still fail are reported with its code, such as "InternalError".
func (q *Queue) SendBatch(ctx context.Context, entries []queue.SendEntry) (queue.SendBatchResult, error) {
	request := make([]types.SendMessageBatchRequestEntry, len(entries))
	for i, e := range entries {
		request[i] = types.SendMessageBatchRequestEntry{
			Id: aws.String(e.ID), MessageBody: aws.String(e.Body), DelaySeconds: seconds(e.Delay),
			MessageSystemAttributes: traced(ctx),
		}
	}
	result := queue.SendBatchResult{MessageIDs: make(map[string]string), Failed: make(map[string]*queue.RequestError)}
	for try := 1; ; try++ {
		out, err := q.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: request}, q.promptly)
		if err != nil && try > 1 {
			return result, nil // the entries have errors of their own
		}
		if err != nil {
			return queue.SendBatchResult{}, fmt.Errorf("send a batch: %w", translate(ctx, err))
		}
		again := record(&result, out)
		if len(again) == 0 || try == awscall.MaxTries || !q.retryer.Pause(ctx, try) {
			return result, nil
		}
		request = slices.DeleteFunc(request, func(e types.SendMessageBatchRequestEntry) bool { return !again[*e.Id] })
	}
}

// traced returns the trace header of what is sent. It does not count towards a message's size, and
// has precedence over the one that the SDK sends by itself in a Lambda function ("Amazon SQS
// and AWS X-Ray").
func traced(ctx context.Context) map[string]types.MessageSystemAttributeValue {
	header := queue.TraceHeader(ctx)
	if header == "" {
		return nil
	}
	return map[string]types.MessageSystemAttributeValue{
		queue.TraceHeaderAttribute: {DataType: aws.String("String"), StringValue: &header},
	}
}

// record adds the outcome of each entry to the result, and returns the entries that
// failed through a fault of SQS. The call succeeds even if every entry failed.
func record(result *queue.SendBatchResult, out *sqs.SendMessageBatchOutput) (again map[string]bool) {
	again = make(map[string]bool)
	for _, e := range out.Successful {
		id := aws.ToString(e.Id)
		result.MessageIDs[id] = aws.ToString(e.MessageId)
		delete(result.Failed, id)
	}
	for _, e := range out.Failed {
		id := aws.ToString(e.Id)
		result.Failed[id] = &queue.RequestError{Code: aws.ToString(e.Code), Message: aws.ToString(e.Message)}
		if !e.SenderFault {
			again[id] = true
		}
	}
	return again
}

// Receive implements [queue.Queue]. It asks for all attributes, as Lambda's pollers do.
// Messages that SQS is handing over when ctx ends are lost on the way; they come again
// after their visibility timeout.
func (q *Queue) Receive(ctx context.Context, r queue.ReceiveRequest) ([]queue.Message, error) {
	out, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: int32(r.Max),
		WaitTimeSeconds: seconds(r.Wait), VisibilityTimeout: seconds(r.Visibility), // the SDK leaves out 0
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	}, q.patiently(r.Wait))
	if err != nil {
		return nil, fmt.Errorf("receive messages: %w", translate(ctx, err))
	}
	messages := make([]queue.Message, len(out.Messages))
	for i, m := range out.Messages {
		messages[i] = queue.Message{
			MessageID: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle),
			Body: aws.ToString(m.Body), Attributes: m.Attributes, MessageAttributes: attributes(m.MessageAttributes),
		}
	}
	return messages, nil
}

func attributes(sent map[string]types.MessageAttributeValue) map[string]queue.Attribute {
	if len(sent) == 0 {
		return nil
	}
	made := make(map[string]queue.Attribute, len(sent))
	for name, a := range sent {
		made[name] = queue.Attribute{
			DataType: aws.ToString(a.DataType), String: aws.ToString(a.StringValue), Binary: a.BinaryValue,
		}
	}
	return made
}

// Delete implements [queue.Queue].
func (q *Queue) Delete(ctx context.Context, receiptHandles []string) ([]error, error) {
	outcomes := make([]error, len(receiptHandles))
	var entries []types.DeleteMessageBatchRequestEntry
	for i := range receiptHandles {
		if receiptHandles[i] == "" { // SQS would refuse the whole batch for it
			outcomes[i] = queue.ErrReceiptHandle
			continue
		}
		entries = append(entries, types.DeleteMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &receiptHandles[i],
		})
	}
	if len(entries) == 0 {
		return outcomes, nil
	}
	out, err := q.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q.url, Entries: entries}, q.patiently(0))
	if err != nil {
		return nil, fmt.Errorf("delete messages: %w", translate(ctx, err))
	}
	for _, e := range out.Failed {
		if i, err := strconv.Atoi(aws.ToString(e.Id)); err == nil && i >= 0 && i < len(outcomes) {
			outcomes[i] = entryError(e)
		}
	}
	return outcomes, nil
}

// ChangeVisibility implements [queue.Queue].
func (q *Queue) ChangeVisibility(ctx context.Context, receiptHandle string, timeout time.Duration) error {
	if receiptHandle == "" { // SQS has another code for a handle that is missing
		return fmt.Errorf("change a visibility timeout: %w", queue.ErrReceiptHandle)
	}
	_, err := q.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &q.url, ReceiptHandle: &receiptHandle, VisibilityTimeout: seconds(timeout),
	}, q.promptly)
	if err != nil && !receiveIsOver(err) {
		return fmt.Errorf("change a visibility timeout: %w", translate(ctx, err))
	}
	return nil
}

// seconds rounds up to the protocol's unit. A duration that is far out of range stays out
// of range, for SQS to refuse.
func seconds(d time.Duration) int32 {
	n := d / time.Second
	if d%time.Second > 0 {
		n++
	}
	return int32(max(math.MinInt32, min(n, math.MaxInt32)))
}

// entryError translates the error of one entry of a batch.
func entryError(e types.BatchResultErrorEntry) error {
	code := aws.ToString(e.Code)
	switch {
	case code == "ReceiptHandleIsInvalid":
		return queue.ErrReceiptHandle
	case e.SenderFault:
		return &queue.RequestError{Code: code, Message: aws.ToString(e.Message)}
	default:
		return fmt.Errorf("%w: %s: %s", order.ErrUnavailable, code, aws.ToString(e.Message))
	}
}

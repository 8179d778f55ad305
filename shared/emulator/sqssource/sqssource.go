// Package sqssource lets a queue behind SQS's own protocol be the event source of a
// mapping: on AWS, or on an emulator of it.
package sqssource

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"paylane/shared/emulator/eventsource"
)

// Source is a queue of SQS.
type Source struct {
	client *sqs.Client
	url    string
}

var _ eventsource.Source = Source{}

// New makes a source of the queue with this URL.
func New(client *sqs.Client, url string) Source { return Source{client: client, url: url} }

// patience is how much longer than its wait a receive may take. A connection that went
// silent must not hold a receiver for ever.
const patience = 30 * time.Second

// Receive implements [eventsource.Source]. It asks for all attributes, as Lambda's
// pollers do. SQS counts in seconds: the wait and the visibility timeout are rounded
// up. What SQS was just giving when ctx ended is lost on the way; it comes again after
// its visibility timeout.
func (s Source) Receive(ctx context.Context, r eventsource.ReceiveRequest) ([]eventsource.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Wait+patience)
	defer cancel()
	out, err := s.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &s.url,
		MaxNumberOfMessages:         int32(r.Max),
		WaitTimeSeconds:             seconds(r.Wait),
		VisibilityTimeout:           seconds(r.Visibility), // the SDK leaves out 0
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", s.url, err)
	}
	records := make([]eventsource.Record, len(out.Messages))
	for i, m := range out.Messages {
		records[i] = eventsource.Record{
			MessageID: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle),
			Body: aws.ToString(m.Body), Attributes: m.Attributes, MessageAttributes: attributes(m.MessageAttributes),
		}
	}
	return records, nil
}

// seconds rounds up to what the protocol counts in.
func seconds(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }

func attributes(sent map[string]types.MessageAttributeValue) map[string]eventsource.Attribute {
	if len(sent) == 0 {
		return nil
	}
	made := make(map[string]eventsource.Attribute, len(sent))
	for name, a := range sent {
		made[name] = eventsource.Attribute{
			DataType: aws.ToString(a.DataType), String: aws.ToString(a.StringValue), Binary: a.BinaryValue,
		}
	}
	return made
}

// Delete implements [eventsource.Source]. The error has each record that SQS did not
// delete; the others are.
func (s Source) Delete(ctx context.Context, receiptHandles []string) error {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(receiptHandles))
	for i, handle := range receiptHandles {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(handle)}
	}
	out, err := s.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &s.url, Entries: entries})
	if err != nil {
		return fmt.Errorf("delete from %s: %w", s.url, err)
	}
	var failed []error
	for _, f := range out.Failed {
		failed = append(failed, fmt.Errorf("delete from %s: record %s of %d: %s: %s",
			s.url, aws.ToString(f.Id), len(entries), aws.ToString(f.Code), aws.ToString(f.Message)))
	}
	return errors.Join(failed...)
}

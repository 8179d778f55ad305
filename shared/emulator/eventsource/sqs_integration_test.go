//go:build integration

package eventsource_test

import (
	"context"
	"flag"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"paylane/shared/awscall/awstest"
	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/template"
	"paylane/shared/sqsqueue"
)

// TestMain runs several tests in parallel, since they mostly wait. The command line still
// overrides it.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// onSQS is a queue at AWS_ENDPOINT_URL, in real time.
func onSQS() backend {
	return backend{
		open: openSQS, run: func(t *testing.T, test func(t *testing.T)) { test(t) },
		modes: map[string]bool{"": true}, receivers: 2,
		timeout: time.Second, visibility: 2 * time.Second,
		late: 10 * time.Second,
		differs: map[string]string{
			"B12 code of a message that is too long": "LocalStack 4.14 calls it InvalidParameterValueException",
			"B12 its message":                        "LocalStack 4.14 says that parameters are invalid, not that they can't be validated",
			"B13 the moved message has a new id":     "LocalStack 4.14 moves the message as it is, with its id",
			"B13 its receive count is 1":             "LocalStack 4.14 keeps the receive count of a moved message, and continues it",
		},
	}
}

type sqsQueue struct {
	*sqsqueue.Queue
	client *sqs.Client
	queue  template.Queue
}

func (q sqsQueue) left(t *testing.T) int {
	t.Helper()
	got, err := q.client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &q.queue.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, name := range []string{"", "NotVisible", "Delayed"} {
		n, err := strconv.Atoi(got.Attributes["ApproximateNumberOfMessages"+name])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

func (q sqsQueue) startMoveTask(ctx context.Context) error {
	_, err := q.client.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: &q.queue.ARN})
	return err
}

// openSQS makes the queues in an account that no other test has.
func openSQS(t *testing.T, source string) (parsed *template.Template, jobs, dead testQueue) {
	t.Helper()
	c, account := awstest.Config(t)
	parsed, err := template.Read("template.yaml", []byte(source), template.Options{SQSEndpoint: *c.BaseEndpoint, AccountID: account})
	if err != nil {
		t.Fatal(err)
	}
	client := sqs.NewFromConfig(c)
	if err := provision.Make(t.Context(), provision.Clients{SQS: client}, parsed, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	opened := func(id string) testQueue {
		q, _ := parsed.Queue(id)
		return sqsQueue{sqsqueue.New(client, q.URL, rand.IntN), client, q}
	}
	return parsed, opened("Jobs"), opened("Dead")
}

func TestConformanceOnSQS(t *testing.T) {
	conformance(t, onSQS())
	t.Run("B02 attributes", b02Attributes)
}

// b02Attributes compares the hash that the poller makes with SQS's own. Only SQS's
// protocol can send attributes.
func b02Attributes(t *testing.T) {
	t.Parallel()
	w := open(t, onSQS(), setting{}, true)
	w.poll(handle(succeed))
	jobs := w.jobs.(sqsQueue)
	sent, err := jobs.client.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: &jobs.queue.URL, MessageBody: aws.String("a"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"kind":  {DataType: aws.String("String"), StringValue: aws.String("örder")},
			"count": {DataType: aws.String("Number.int"), StringValue: aws.String("7")},
			"blob":  {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 255}},
		},
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-5759e988-bd862e3fe1be46a994272793")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.untilReceives(1)
	r := w.invocations()[0].records[0]
	diff(t, "md5OfMessageAttributes", *sent.MD5OfMessageAttributes, r.Md5OfMessageAttributes)
	diff(t, "AWSTraceHeader", "Root=1-5759e988-bd862e3fe1be46a994272793", r.Attributes["AWSTraceHeader"])
	got := r.MessageAttributes
	diff(t, "attributes", []any{"String", "örder", "Number.int", "7", "Binary", []byte{0, 1, 255}}, []any{
		got["kind"].DataType, *got["kind"].StringValue, got["count"].DataType, *got["count"].StringValue,
		got["blob"].DataType, got["blob"].BinaryValue,
	})
}

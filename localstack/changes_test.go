//go:build integration

package localstack_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	emulator "paylane/shared/emulator/runner"
)

// TestTableStream: a function sees the changes of a table, those from before the start too,
// but for what its filter leaves out. What it fails on is given up after the retries, with a
// record of where in the stream that is, and it goes on behind.
func TestTableStream(t *testing.T) {
	s := newStack(t)
	table := dynamodb.NewFromConfig(s.config)
	put := func(id, count string) {
		t.Helper()
		if _, err := table.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("local-Items"), Item: map[string]types.AttributeValue{
			"id": &types.AttributeValueMemberS{Value: id}, "count": &types.AttributeValueMemberN{Value: count},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	start := func() *emulator.Runner {
		t.Helper()
		out := &output{}
		r, err := emulator.Start(t.Context(), emulator.Config{
			Template: "testdata/stock/template.yaml", Endpoint: s.endpoint, Output: out,
			Credentials: emulator.Credentials{AccessKeyID: s.account},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("the runner's output:\n%s", out)
			}
		})
		return r
	}

	r := start()
	stream := r.Template().Tables[0].StreamARN
	put("pen", "1")
	put("hidden", "1")
	put("pen", "2")
	put("broken", "1")
	if _, err := table.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String("local-Items"), Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "pen"}},
	}); err != nil {
		t.Fatal(err)
	}
	s.takes(t, "local-Seen", "INSERT pen, from none to 1", "MODIFY pen, from 1 to 2", "REMOVE pen, from 2 to none")
	given := parsed[struct {
		RequestContext struct{ Condition string }
		Batch          struct {
			Size      int `json:"batchSize"`
			StreamARN string
		} `json:"DDBStreamBatchInfo"`
	}](t, s.take(t, "local-GivenUp"))
	if given.RequestContext.Condition != "RetryAttemptsExhausted" || given.Batch.StreamARN != stream || given.Batch.Size != 1 {
		t.Errorf("given up: %+v, want one record of %s", given, stream)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}

	put("cup", "5")
	again := start()
	if got := again.Template().Tables[0].StreamARN; got != stream {
		t.Errorf("the second time the stream is %s, not %s", got, stream)
	}
	// Where the mapping was is not kept, so it begins at the beginning.
	s.takes(t, "local-Seen", "INSERT pen, from none to 1", "MODIFY pen, from 1 to 2", "REMOVE pen, from 2 to none", "INSERT cup, from none to 5")
}

// takes takes messages as they arrive, in any order.
func (s *stack) takes(t *testing.T, queue string, want ...string) {
	t.Helper()
	var got []string
	for range want {
		got = append(got, s.take(t, queue))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s has (-want +got):\n%s", queue, diff)
	}
}

// take waits for a message, and takes it.
func (s *stack) take(t *testing.T, queue string) (body string) {
	t.Helper()
	eventually(t, time.Minute, func() string {
		got, err := s.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(s.queueURL(queue)), WaitTimeSeconds: 1})
		if err != nil || len(got.Messages) == 0 {
			return fmt.Sprintf("%s has no message, %v", queue, err)
		}
		if _, err := s.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{
			QueueUrl: aws.String(s.queueURL(queue)), ReceiptHandle: got.Messages[0].ReceiptHandle,
		}); err != nil {
			t.Fatal(err)
		}
		body = *got.Messages[0].Body
		return ""
	})
	return body
}

package sqssource_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/sqssource"
)

const queueURL = "http://sqs.test/1/jobs"

// source is one of a service that always gives an answer.
func source(t *testing.T, answer awstest.Answer) (sqssource.Source, *awstest.Fake) {
	t.Helper()
	f := awstest.NewFake(t, awstest.InTurn(answer))
	return sqssource.New(sqs.NewFromConfig(f.Config()), queueURL), f
}

// says answers with JSON.
func says(text string) awstest.Answer { return awstest.OK(json.RawMessage(text)) }

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestReceiveAsks(t *testing.T) {
	rows := []struct {
		name             string
		wait, visibility time.Duration
		want             map[string]any
	}{
		{"as the queue says", 0, 0, map[string]any{}},
		{"whole seconds", 20 * time.Second, 40 * time.Second, map[string]any{"WaitTimeSeconds": 20.0, "VisibilityTimeout": 40.0}},
		{"rounded up", 1, 1001 * time.Millisecond, map[string]any{"WaitTimeSeconds": 1.0, "VisibilityTimeout": 2.0}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, f := source(t, says(`{}`))
			records, err := s.Receive(t.Context(), eventsource.ReceiveRequest{Max: 7, Wait: row.wait, Visibility: row.visibility})
			if err != nil || len(records) != 0 {
				t.Fatal(records, err)
			}
			row.want["QueueUrl"], row.want["MaxNumberOfMessages"] = queueURL, 7.0
			row.want["MessageSystemAttributeNames"], row.want["MessageAttributeNames"] = []any{"All"}, []any{"All"}
			diff(t, "requests", []awstest.Request{{Operation: "ReceiveMessage", Body: row.want}}, f.Requests())
		})
	}
}

func TestReceiveGives(t *testing.T) {
	s, _ := source(t, says(`{"Messages":[
		{"MessageId":"m1","ReceiptHandle":"r1","Body":"a","MD5OfBody":"0cc175b9c0f1b6a831c399e269772661",
		 "Attributes":{"ApproximateReceiveCount":"2","SentTimestamp":"1783711145123"},
		 "MessageAttributes":{"kind":{"DataType":"String.x","StringValue":"order"},"blob":{"DataType":"Binary","BinaryValue":"AAH/"}}},
		{"MessageId":"m2","ReceiptHandle":"r2","Body":"a","MD5OfBody":"0cc175b9c0f1b6a831c399e269772661"}]}`))
	got, err := s.Receive(t.Context(), eventsource.ReceiveRequest{Max: 10})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "records", []eventsource.Record{
		{
			MessageID: "m1", ReceiptHandle: "r1", Body: "a",
			Attributes: map[string]string{"ApproximateReceiveCount": "2", "SentTimestamp": "1783711145123"},
			MessageAttributes: map[string]eventsource.Attribute{
				"kind": {DataType: "String.x", String: "order"}, "blob": {DataType: "Binary", Binary: []byte{0, 1, 255}},
			},
		},
		{MessageID: "m2", ReceiptHandle: "r2", Body: "a"},
	}, got)
}

func TestReceiveEnds(t *testing.T) {
	s, _ := source(t, awstest.Stalls)
	rows := []struct {
		name  string
		leave time.Duration
		want  error
		after time.Duration
	}{
		{"with its context", 5 * time.Second, context.Canceled, 5 * time.Second},
		{"when the queue says nothing", time.Hour, context.DeadlineExceeded, 50 * time.Second},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				defer time.AfterFunc(row.leave, cancel).Stop()
				began := time.Now()
				_, err := s.Receive(ctx, eventsource.ReceiveRequest{Max: 1, Wait: 20 * time.Second})
				if !errors.Is(err, row.want) || !strings.Contains(err.Error(), "receive from "+queueURL) {
					t.Errorf("got %v", err)
				}
				diff(t, "took", row.after, time.Since(began))
			})
		})
	}
}

func TestDelete(t *testing.T) {
	s, f := source(t, says(`{"Successful":[{"Id":"0"}],"Failed":[
		{"Id":"1","Code":"ReceiptHandleIsInvalid","Message":"no such handle","SenderFault":true},
		{"Id":"2","Code":"InternalError","SenderFault":false}]}`))
	err := s.Delete(t.Context(), []string{"a", "b", "c"})
	diff(t, "requests", []awstest.Request{{Operation: "DeleteMessageBatch", Body: map[string]any{"QueueUrl": queueURL, "Entries": []any{
		map[string]any{"Id": "0", "ReceiptHandle": "a"},
		map[string]any{"Id": "1", "ReceiptHandle": "b"},
		map[string]any{"Id": "2", "ReceiptHandle": "c"},
	}}}}, f.Requests())
	for _, part := range []string{"record 1 of 3: ReceiptHandleIsInvalid: no such handle", "record 2 of 3: InternalError"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error has no %q: %v", part, err)
		}
	}
	s, _ = source(t, says(`{"Successful":[{"Id":"0"}]}`))
	if err := s.Delete(t.Context(), []string{"a"}); err != nil {
		t.Errorf("all are deleted, but: %v", err)
	}
}

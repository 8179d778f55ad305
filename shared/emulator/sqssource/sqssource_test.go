package sqssource_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/sqssource"
)

// newClient is one for an account that has the access key as its number.
func newClient(endpoint, account string, do aws.HTTPClient) *sqs.Client {
	return sqs.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: &endpoint, HTTPClient: do,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: account, SecretAccessKey: "test"}, nil
		}),
	})
}

// doFunc is the network.
type doFunc func(*http.Request) (*http.Response, error)

func (f doFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// source is one of a service that always gives an answer. The request's body is kept.
func source(answer string, request *map[string]any) sqssource.Source {
	return sqssource.New(newClient("http://sqs.test", "000000000001", doFunc(func(r *http.Request) (*http.Response, error) {
		if err := json.NewDecoder(r.Body).Decode(request); err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}, nil
	})), "http://sqs.test/1/jobs")
}

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
			var asked map[string]any
			s := source(`{}`, &asked)
			records, err := s.Receive(t.Context(), eventsource.ReceiveRequest{Max: 7, Wait: row.wait, Visibility: row.visibility})
			if err != nil || len(records) != 0 {
				t.Fatal(records, err)
			}
			row.want["QueueUrl"], row.want["MaxNumberOfMessages"] = "http://sqs.test/1/jobs", 7.0
			row.want["MessageSystemAttributeNames"], row.want["MessageAttributeNames"] = []any{"All"}, []any{"All"}
			diff(t, "request", row.want, asked)
		})
	}
}

func TestReceiveGives(t *testing.T) {
	var asked map[string]any
	s := source(`{"Messages":[
		{"MessageId":"m1","ReceiptHandle":"r1","Body":"a","MD5OfBody":"0cc175b9c0f1b6a831c399e269772661",
		 "Attributes":{"ApproximateReceiveCount":"2","SentTimestamp":"1783711145123"},
		 "MessageAttributes":{"kind":{"DataType":"String.x","StringValue":"order"},"blob":{"DataType":"Binary","BinaryValue":"AAH/"}}},
		{"MessageId":"m2","ReceiptHandle":"r2","Body":"a","MD5OfBody":"0cc175b9c0f1b6a831c399e269772661"}]}`, &asked)
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
	silent := doFunc(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, fmt.Errorf("the connection: %w", r.Context().Err())
	})
	s := sqssource.New(newClient("http://sqs.test", "000000000001", silent), "http://sqs.test/1/jobs")
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
				if !errors.Is(err, row.want) || !strings.Contains(err.Error(), "receive from http://sqs.test/1/jobs") {
					t.Errorf("got %v", err)
				}
				diff(t, "took", row.after, time.Since(began))
			})
		})
	}
}

func TestDelete(t *testing.T) {
	var asked map[string]any
	s := source(`{"Successful":[{"Id":"0"}],"Failed":[
		{"Id":"1","Code":"ReceiptHandleIsInvalid","Message":"no such handle","SenderFault":true},
		{"Id":"2","Code":"InternalError","SenderFault":false}]}`, &asked)
	err := s.Delete(t.Context(), []string{"a", "b", "c"})
	diff(t, "request", map[string]any{"QueueUrl": "http://sqs.test/1/jobs", "Entries": []any{
		map[string]any{"Id": "0", "ReceiptHandle": "a"},
		map[string]any{"Id": "1", "ReceiptHandle": "b"},
		map[string]any{"Id": "2", "ReceiptHandle": "c"},
	}}, asked)
	for _, part := range []string{"record 1 of 3: ReceiptHandleIsInvalid: no such handle", "record 2 of 3: InternalError"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error has no %q: %v", part, err)
		}
	}
	if err := source(`{"Successful":[{"Id":"0"}]}`, &asked).Delete(t.Context(), []string{"a"}); err != nil {
		t.Errorf("all are deleted, but: %v", err)
	}
}

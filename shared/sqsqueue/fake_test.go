package sqsqueue_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"paylane/shared/sqsqueue"
)

// fake is SQS's end of the wire, for what a real one does only now and then.
type fake struct {
	t      *testing.T
	answer func(n int, r request) answer // n counts requests from 0

	mu       sync.Mutex
	requests []request
}

// request is one that reached the fake.
type request struct {
	Operation string
	Body      map[string]any
}

// answer is a response, or the error that the connection breaks with.
type answer func(*http.Request) (*http.Response, error)

const queueURL = "https://sqs.us-east-1.amazonaws.com/123456789012/payments"

// open makes a queue on the fake.
func open(t *testing.T, answer func(n int, r request) answer) (*sqsqueue.Queue, *fake) {
	t.Helper()
	f := &fake{t: t, answer: answer}
	client := sqs.New(sqs.Options{
		Region: "us-east-1", HTTPClient: f,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
		}),
	})
	return sqsqueue.New(client, queueURL), f
}

// Do implements the SDK's HTTP client.
func (f *fake) Do(r *http.Request) (*http.Response, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Errorf("read the request: %v", err)
	}
	var got request
	if err := json.Unmarshal(data, &got.Body); err != nil {
		f.t.Errorf("the request is no JSON: %v", err)
	}
	_, got.Operation, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	f.mu.Lock()
	n := len(f.requests)
	f.requests = append(f.requests, got)
	f.mu.Unlock()
	return f.answer(n, got)(r)
}

// all answers every request the same.
func all(a answer) func(int, request) answer {
	return func(int, request) answer { return a }
}

// first answers the first requests so, and further ones like the last.
func first(answers ...answer) func(int, request) answer {
	return func(n int, _ request) answer { return answers[min(n, len(answers)-1)] }
}

// says answers with a status and a body in SQS's JSON.
func says(status int, body any) answer {
	return func(*http.Request) (*http.Response, error) {
		data, err := json.Marshal(body)
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
			ContentLength: int64(len(data)), Body: io.NopCloser(strings.NewReader(string(data))),
		}, err
	}
}

func ok(body any) answer { return says(http.StatusOK, body) }

// refuses answers with an error of SQS's.
func refuses(status int, code string) answer {
	return says(status, map[string]any{"__type": "com.amazonaws.sqs#" + code, "message": "no"})
}

// breaks is a connection that ends before the answer.
func breaks(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection reset by peer")
}

// truncated is an answer that ends early.
func truncated(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, ContentLength: 100,
		Body: io.NopCloser(io.MultiReader(strings.NewReader(`{"Messages":[`), brokenReader{})),
	}, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// stalls never answers.
func stalls(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// stallsMidway sends headers and never the body.
func stallsMidway(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, ContentLength: 100, Body: io.NopCloser(stalledReader{r.Context()}),
	}, nil
}

type stalledReader struct{ ctx context.Context }

func (s stalledReader) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// must unwraps what the test needs to succeed.
func must[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

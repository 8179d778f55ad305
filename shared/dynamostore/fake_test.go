package dynamostore_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"paylane/shared/dynamostore"
	"paylane/shared/order"
)

// fake is DynamoDB's end of the wire, for what a real one does only now and then.
type fake struct {
	t      *testing.T
	answer func(n int, r request) answer // n counts requests from 0

	mu       sync.Mutex
	requests []request
}

// request is one that reached the fake.
type request struct {
	Operation string
	body      map[string]any
}

// answer is a response, or the error that the connection breaks with.
type answer func(*http.Request) (*http.Response, error)

// open makes a store on the fake.
func open(t *testing.T, answer func(n int, r request) answer) (*dynamostore.Store, *fake) {
	t.Helper()
	f := &fake{t: t, answer: answer}
	client := dynamodb.New(dynamodb.Options{
		Region: "us-east-1", HTTPClient: f,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
		}),
	})
	return dynamostore.New(client, "orders"), f
}

// Do implements the SDK's HTTP client.
func (f *fake) Do(r *http.Request) (*http.Response, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Errorf("read the request: %v", err)
	}
	var got request
	if err := json.Unmarshal(data, &got.body); err != nil {
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

// says answers with a status and a body in DynamoDB's JSON.
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

// refuses answers with an error of DynamoDB's.
func refuses(status int, code string) answer {
	return says(status, map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": "no"})
}

// conflicts answers that the condition failed, and what stands there.
func conflicts(item any) answer {
	return says(http.StatusBadRequest, map[string]any{
		"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "The conditional request failed",
		"Item": item,
	})
}

// breaks is a connection that ends before the answer.
func breaks(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection reset by peer")
}

// truncated is an answer that ends early.
func truncated(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, ContentLength: 100,
		Body: io.NopCloser(io.MultiReader(strings.NewReader(`{"Item":{"pk":`), brokenReader{})),
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

// at is some seconds after a fixed time.
func at(seconds int) time.Time {
	return time.Date(2026, 3, 14, 9, 26, 53, 589e6, time.UTC).Add(time.Duration(seconds) * time.Second)
}

func pending() order.Order {
	return order.New(order.Ref{Tenant: "tenant", ID: "01a204cb-dd3f-7a1f-8ee4-487272d016b5"},
		order.Request{Amount: 12_000, Currency: "KRW", PaymentToken: "tok_ok"}, "", at(0))
}

func claim(kind order.Kind) order.Claim {
	return order.Claim{Kind: kind, Round: 1, Now: at(1), Until: at(11)}
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

// itemOf is the item that the store makes of an order, without the creation's token.
func itemOf(t *testing.T, o order.Order) map[string]any {
	t.Helper()
	store, f := open(t, all(ok(struct{}{})))
	if err := store.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	item := f.requests[0].body["Item"].(map[string]any)
	delete(item, "w0")
	return item
}

// with is the item with some attributes changed.
func with(item map[string]any, attributes map[string]any) map[string]any {
	item = maps.Clone(item)
	maps.Copy(item, attributes)
	return item
}

// operations counts the requests by operation.
func (f *fake) operations() map[string]int {
	counts := make(map[string]int)
	for _, r := range f.requests {
		counts[r.Operation]++
	}
	return counts
}

// lines shows the requests as sorted text, since some are sent side by side.
func (f *fake) lines() (lines []string) {
	for _, r := range f.requests {
		lines = append(lines, r.String())
	}
	slices.Sort(lines)
	return lines
}

package awstest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Fake is a fake of a service that speaks JSON and names the operation in a header, as
// DynamoDB and SQS do. It is safe for concurrent use.
type Fake struct {
	tb     testing.TB
	answer func(n int, r Request) Answer

	mu       sync.Mutex
	requests []Request
}

// Request is one that reached a [Fake].
type Request struct {
	Operation string
	Body      map[string]any
}

// NewFake returns a service that answers with what answer returns; n counts requests from
// 0.
func NewFake(tb testing.TB, answer func(n int, r Request) Answer) *Fake {
	return &Fake{tb: tb, answer: answer}
}

// InTurn returns the first answer for the first request, and so on, and the last answer for
// all further ones.
func InTurn(answers ...Answer) func(n int, r Request) Answer {
	return func(n int, _ Request) Answer { return answers[min(n, len(answers)-1)] }
}

// Config returns a configuration for clients of the service.
func (f *Fake) Config() aws.Config {
	c := ConfigAt("http://service.test", "000000000001")
	c.HTTPClient = f
	return c
}

// Requests returns the requests so far, in the order in which they came.
func (f *Fake) Requests() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// Do implements the SDK's HTTP client.
func (f *Fake) Do(r *http.Request) (*http.Response, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		f.tb.Errorf("read the request: %v", err)
	}
	var got Request
	if err := json.Unmarshal(data, &got.Body); err != nil {
		f.tb.Errorf("the request is not JSON: %v", err)
	}
	_, got.Operation, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	f.mu.Lock()
	n := len(f.requests)
	f.requests = append(f.requests, got)
	f.mu.Unlock()
	return f.answer(n, got)(r)
}

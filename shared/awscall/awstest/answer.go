package awstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
)

// Answer is a response, or the error that the connection breaks with.
type Answer func(*http.Request) (*http.Response, error)

// Says answers with a status and a body, which becomes JSON.
func Says(status int, body any) Answer {
	return func(*http.Request) (*http.Response, error) {
		data, err := json.Marshal(body)
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
			ContentLength: int64(len(data)), Body: io.NopCloser(bytes.NewReader(data)),
		}, err
	}
}

// OK answers with status 200 and a body.
func OK(body any) Answer { return Says(http.StatusOK, body) }

// Namespace is the prefix of the names of a service's errors, such as "com.amazonaws.sqs".
type Namespace string

// Refuses answers with an error of the service, and with more fields in its body.
func (n Namespace) Refuses(status int, code string, more map[string]any) Answer {
	body := map[string]any{"__type": string(n) + "#" + code, "message": "no"}
	maps.Copy(body, more)
	return Says(status, body)
}

// Breaks is a connection that ends before the answer.
func Breaks(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection reset by peer")
}

// Truncated is an answer that ends early.
func Truncated(*http.Request) (*http.Response, error) {
	return begun(io.MultiReader(strings.NewReader(`{"Items":[`), readerFunc(func() error { return io.ErrUnexpectedEOF }))), nil
}

// Stalls never answers.
func Stalls(r *http.Request) (*http.Response, error) { return nil, end(r.Context()) }

// StallsMidway sends headers and never the body.
func StallsMidway(r *http.Request) (*http.Response, error) {
	return begun(readerFunc(func() error { return end(r.Context()) })), nil
}

// begun is an answer that promises 100 bytes.
func begun(body io.Reader) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, ContentLength: 100, Body: io.NopCloser(body)}
}

// end waits for the end of a context.
func end(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// readerFunc is a reader that only returns errors.
type readerFunc func() error

func (f readerFunc) Read([]byte) (int, error) { return 0, f() }

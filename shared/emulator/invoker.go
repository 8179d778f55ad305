package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"

	"paylane/shared/emulator/internal/aws"
)

// MaxPayloadBytes is the limit of an event and of a result, as JSON: 6 MiB and 100
// bytes ("Lambda quotas", and the runtime interface emulator's source).
const MaxPayloadBytes = 6*1024*1024 + 100

// ErrThrottled says that the function was not invoked: as many invocations as it may
// have are under way.
var ErrThrottled = errors.New("throttled: ReservedFunctionConcurrentInvocationLimitExceeded")

// Invoker runs one function.
type Invoker interface {
	// Invoke runs the function once with an event, and waits for its result. It may
	// be called concurrently.
	//
	// The error is a [*FunctionError] when the function ran and failed: it returned
	// an error, panicked, exited or exceeded its timeout. It is [ErrThrottled] when
	// it did not run for want of concurrency. When ctx ends first it is the
	// context's; that ends the waiting only, and the function runs on to its own
	// timeout, as on AWS when the caller of a synchronous invocation leaves.
	Invoke(ctx context.Context, i Invocation) (Result, error)
}

// Streamer is what an [Invoker] may also be: it passes a result on while the function
// sends it, as a Function URL with the invoke mode RESPONSE_STREAM does.
type Streamer interface {
	// InvokeStream is [Invoker.Invoke], but returns as soon as the function begins to
	// send. The error says that it failed before. [MaxPayloadBytes] does not hold. The
	// end of ctx ends the reading of the body too, but not the function.
	InvokeStream(ctx context.Context, i Invocation) (*Stream, error)
}

// Stream is a result that comes bit by bit.
type Stream struct {
	// ContentType is what the function says the body is: of a handler of lambdaurl
	// [IntegrationResponse], of one that returns no reader "application/json".
	ContentType string
	// Body gives what the function sent as soon as it was sent. It must be closed.
	// Unless it is read or closed, the function waits for that until it times out. It
	// ends with io.EOF when the invocation is over; a [*FunctionError] in its place says
	// that the body is cut off: the function failed to read it, exited or timed out.
	// Closing it does not end the function; [InProcess] ends its context.
	Body io.ReadCloser
}

// IntegrationResponse is the content type of a stream that is an HTTP response: JSON with
// statusCode, headers and cookies, eight NUL bytes, and the response's body.
const IntegrationResponse = "application/vnd.awslambda.http-integration-response"

// Invocation is one call of a function.
type Invocation struct {
	// RequestID is a UUID; empty lets the invoker make one. A retry of an
	// asynchronous invocation has the id of the first try.
	RequestID string
	// TraceID is the value of the X-Amzn-Trace-Id header; empty lets the invoker
	// make one.
	TraceID string
	Event   Event
}

// Event is what a function is invoked with.
type Event interface {
	// JSON is the event as AWS sends it, byte for byte: what AWS leaves out is
	// absent, not null.
	JSON() ([]byte, error)
	// Typed is a pointer to the same event as aws-lambda-go's type, or nil if there
	// is none. Decoding JSON into that type gives exactly this.
	Typed() any
}

// RawEvent is an event that is JSON already.
type RawEvent []byte

// JSON returns the event.
func (e RawEvent) JSON() ([]byte, error) { return e, nil }

// Typed returns nil.
func (e RawEvent) Typed() any { return nil }

// Result is what a function returned.
type Result struct {
	// Value is a pointer to the result as aws-lambda-go's type, or nil where there
	// is only JSON.
	Value any
	// payload is the result as JSON, unless there is a Value.
	payload []byte
}

// PayloadResult is a result that is JSON. What a function sends need not be valid.
func PayloadResult(payload []byte) Result { return Result{payload: payload} }

// Payload is the result as JSON, as the function would send it.
func (r Result) Payload() ([]byte, error) {
	if r.Value == nil {
		return r.payload, nil
	}
	payload, err := aws.JSON(r.Value)
	if err != nil {
		return nil, fmt.Errorf("encode the function's result: %w", err)
	}
	return payload, nil
}

// FunctionError is the failure of a function that was invoked, as Lambda reports it:
// "X-Amz-Function-Error: Unhandled" and a payload.
type FunctionError struct {
	// Type and Message are the payload's errorType and errorMessage.
	Type, Message string
	// Payload is the whole of it, as JSON.
	Payload []byte
}

func (e *FunctionError) Error() string {
	return fmt.Sprintf("function error %s: %s", e.Type, e.Message)
}

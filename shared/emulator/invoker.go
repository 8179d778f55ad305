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

// ErrThrottled is the error of a function that was not invoked because its concurrency
// limit is reached.
var ErrThrottled = errors.New("throttled: ReservedFunctionConcurrentInvocationLimitExceeded")

// Invoker runs one function.
type Invoker interface {
	// Invoke runs the function once with an event, and waits for its result. It may
	// be called concurrently.
	//
	// The error is a [*FunctionError] if the function ran and failed: it returned an
	// error, panicked, exited or exceeded its timeout. It is [ErrThrottled] if the
	// function did not run for want of concurrency. If ctx ends first it is the
	// context's; that ends only the waiting, and the function runs on to its own timeout,
	// as on AWS when the caller of a synchronous invocation leaves.
	Invoke(ctx context.Context, i Invocation) (Result, error)
}

// Streamer is implemented by invokers that can pass a result on while the function sends
// it, as a Function URL with the invoke mode RESPONSE_STREAM does.
type Streamer interface {
	// InvokeStream is like [Invoker.Invoke], but returns as soon as the function begins
	// to send. An error means that it failed before. [MaxPayloadBytes] does not apply. The
	// end of ctx also ends the body, but not the function.
	InvokeStream(ctx context.Context, i Invocation) (*Stream, error)
}

// Stream is a result that arrives piece by piece.
type Stream struct {
	// ContentType is what the function declares the body to be: [IntegrationResponse] for
	// a handler of lambdaurl, "application/json" for one that does not return a reader.
	ContentType string
	// Body returns data as soon as the function has sent it. It must be closed. Until it
	// is read or closed, the function waits, at most to its timeout. It ends with io.EOF
	// when the invocation is over; a [*FunctionError] instead means that it is cut off:
	// the function failed, exited or timed out. Closing it does not end the function;
	// [InProcess] ends its context.
	Body io.ReadCloser
}

// IntegrationResponse is the content type of a stream that is an HTTP response: JSON with
// statusCode, headers and cookies, eight NUL bytes, and the response's body.
const IntegrationResponse = "application/vnd.awslambda.http-integration-response"

// Invocation is one call of a function.
type Invocation struct {
	// RequestID is a UUID; if it is empty the invoker generates one. A retry of an
	// asynchronous invocation has the id of the first attempt.
	RequestID string
	// TraceID is the value of the X-Amzn-Trace-Id header; if it is empty the invoker
	// generates one.
	TraceID string
	Event   Event
	// Caller ends when whoever asked for the invocation has left; nil is not known. The
	// invocation goes on all the same, as on AWS, but in [InProcess] the handler can tell,
	// see [Caller].
	Caller context.Context //nolint:containedctx // it is passed on at once
}

// Event is what a function is invoked with.
type Event interface {
	// JSON returns the event as AWS sends it, byte for byte: what AWS omits is absent, not
	// null.
	JSON() ([]byte, error)
	// Typed returns a pointer to the same event as aws-lambda-go's type, or nil if there
	// is none. Decoding JSON into that type yields exactly this.
	Typed() any
}

// RawEvent is an event that is already JSON.
type RawEvent []byte

// JSON returns the event.
func (e RawEvent) JSON() ([]byte, error) { return e, nil }

// Typed returns nil.
func (e RawEvent) Typed() any { return nil }

// Result is what a function returned.
type Result struct {
	// Value is a pointer to the result as aws-lambda-go's type, or nil if there is only
	// JSON.
	Value any
	// payload is the result as JSON, unless there is a Value.
	payload []byte
}

// PayloadResult returns a result that is JSON. What a function sends need not be valid.
func PayloadResult(payload []byte) Result { return Result{payload: payload} }

// Payload returns the result as JSON, as the function would send it.
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

package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"sync"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"paylane/shared/emulator/internal/pipe"
)

// call runs a handler with an event. If the result's value is an io.Reader, the result is
// what that reads.
type call func(ctx context.Context, e Event) (Result, error)

// callOf returns a call that passes typed events to handlers of the common types, unless
// viaJSON is set. Any other handler that [lambda.Start] accepts is called with JSON, which
// is always correct, only slower.
func callOf(handler any, viaJSON bool) call {
	if h, ok := handler.(streamingHandler); ok {
		return streaming(h, viaJSON)
	}
	if viaJSON {
		return callJSON(handler)
	}
	switch h := handler.(type) {
	case func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error):
		return typed(h)
	case func(context.Context, events.SQSEvent) (events.SQSEventResponse, error):
		return typed(h)
	case func(context.Context, events.DynamoDBEvent) (events.DynamoDBEventResponse, error):
		return typed(h)
	}
	return callJSON(handler)
}

// streamingHandler is the type that lambdaurl.Wrap returns. A handler of another type that
// returns a reader is not streamed.
type streamingHandler = func(context.Context, *events.LambdaFunctionURLRequest) (*events.LambdaFunctionURLStreamingResponse, error)

func streaming(handler streamingHandler, viaJSON bool) call {
	return func(ctx context.Context, e Event) (Result, error) {
		in, ok := e.Typed().(*events.LambdaFunctionURLRequest)
		if !ok || viaJSON {
			event, err := e.JSON()
			if err != nil {
				return Result{}, err
			}
			in = new(events.LambdaFunctionURLRequest)
			if err := json.Unmarshal(event, in); err != nil {
				return Result{}, err
			}
		}
		out, err := handler(ctx, in)
		switch {
		case err != nil:
			return Result{}, err
		case out == nil:
			return PayloadResult([]byte("null")), nil
		}
		return Result{Value: out}, nil
	}
}

func typed[In, Out any](handler func(context.Context, In) (Out, error)) call {
	other := callJSON(handler)
	return func(ctx context.Context, e Event) (Result, error) {
		in, ok := e.Typed().(*In)
		if !ok { // an event of another kind, which may fit as JSON
			return other(ctx, e)
		}
		out, err := handler(ctx, *in)
		if err != nil {
			return Result{}, err
		}
		return Result{Value: &out}, nil
	}
}

func callJSON(handler any) call {
	// aws-lambda-go's handler returns a buffer that it has already put back into its pool:
	// the next invocation may be writing to it. So each handler is used by one invocation
	// at a time, as in Lambda.
	handlers := sync.Pool{New: func() any { return lambda.NewHandler(handler) }}
	return func(ctx context.Context, e Event) (Result, error) {
		event, err := e.JSON()
		if err != nil {
			return Result{}, err
		}
		h := handlers.Get().(lambda.Handler)
		payload, err := h.Invoke(ctx, event)
		payload = bytes.Clone(payload)
		handlers.Put(h)
		if err != nil {
			return Result{}, err
		}
		return PayloadResult(payload), nil
	}
}

// stream passes a result on as it arrives. The error is one of reading it.
func (r Result) stream(to *pipe.Pipe) error {
	reader, ok := r.Value.(io.Reader)
	if !ok {
		payload, err := r.Payload()
		if err != nil {
			return err
		}
		to.Begin("application/json")
		_, err = to.Write(payload)
		return err
	}
	if closer, ok := reader.(io.Closer); ok { // as aws-lambda-go does
		defer func() { _ = closer.Close() }()
	}
	to.Begin(IntegrationResponse)
	const chunk = 4 << 10 // allocated for the life of the stream
	_, err := io.CopyBuffer(to, reader, make([]byte, chunk))
	return err
}

// buffered returns the complete result, and reports whether it is too large.
func (r Result) buffered() (_ Result, large bool, err error) {
	if reader, ok := r.Value.(io.Reader); ok {
		payload, err := io.ReadAll(reader)
		if err != nil {
			return r, false, err
		}
		r = PayloadResult(payload)
	}
	large, err = r.tooLarge()
	return r, large, err
}

// tooLarge reports whether a result exceeds Lambda's limit. The size of typed results is
// estimated first: encoding each only to measure it would cost more than the rest of the
// invocation.
func (r Result) tooLarge() (bool, error) {
	const widest = 6 // a character becomes at most \u00xx
	switch v := r.Value.(type) {
	case *events.APIGatewayV2HTTPResponse:
		size := 200 + len(v.Body)
		for name, value := range v.Headers {
			size += len(name) + len(value) + 6
		}
		for _, cookie := range v.Cookies {
			size += len(cookie) + 3
		}
		if len(v.MultiValueHeaders) == 0 && size*widest <= MaxPayloadBytes {
			return false, nil
		}
	case *events.SQSEventResponse:
		if len(v.BatchItemFailures) < 1000 {
			return false, nil
		}
	case *events.DynamoDBEventResponse:
		if len(v.BatchItemFailures) < 1000 {
			return false, nil
		}
	}
	payload, err := r.Payload()
	return len(payload) > MaxPayloadBytes, err
}

package emulator

import (
	"bytes"
	"context"
	"sync"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

// call runs a handler with an event.
type call func(ctx context.Context, e Event) (Result, error)

// callTyped calls handlers of the common types directly. Any other handler that
// [lambda.Start] takes is called with JSON, which is always right, only slower.
func callTyped(handler any) call {
	switch h := handler.(type) {
	case func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error):
		return typed(h)
	case func(context.Context, events.SQSEvent) (events.SQSEventResponse, error):
		return typed(h)
	}
	return callJSON(handler)
}

func typed[In, Out any](handler func(context.Context, In) (Out, error)) call {
	other := callJSON(handler)
	return func(ctx context.Context, e Event) (Result, error) {
		in, ok := e.Typed().(*In)
		if !ok { // an event of another kind: JSON decides what fits
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
	// What aws-lambda-go's handler returns lies in a buffer that it has put back
	// into its pool already: the next invocation may be writing to it. So each
	// handler is used by one invocation at a time, as in Lambda.
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

// tooLarge says whether a result exceeds Lambda's limit. The size of typed results
// is estimated first: encoding each only to measure it would cost more than the rest
// of the invocation.
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
	}
	payload, err := r.Payload()
	return len(payload) > MaxPayloadBytes, err
}

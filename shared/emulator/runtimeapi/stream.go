package runtimeapi

import (
	"context"
	"io"
	"sync"

	"paylane/shared/emulator"
)

// Stream is a result that comes bit by bit, as a Function URL with the invoke mode
// RESPONSE_STREAM passes it on.
type Stream struct {
	// ContentType is what the function says the body is. A handler of lambdaurl says
	// "application/vnd.awslambda.http-integration-response": JSON with statusCode,
	// headers and cookies, eight NUL bytes, and the response's body. A handler that
	// returns no reader says "application/json".
	ContentType string
	// Body gives what the function sent as soon as it was sent: what it wrote at once
	// is not split, unless it is larger than 32 KiB or than the space to read into.
	// It must be closed. Unless it is read or closed, the function waits for that
	// until it times out. It ends with io.EOF when the invocation is over; an
	// [*emulator.FunctionError] in its place says that the body is cut off: the
	// function failed to read it, exited or timed out. Closing it does not end the
	// function.
	Body io.ReadCloser
}

// InvokeStream is [Function.Invoke] for a function that streams its result: it returns
// as soon as the function begins to send. The error says that the function failed
// before. The limit of a result's size does not hold. The end of ctx ends the reading
// of the body too, but not the function.
func (f *Function) InvokeStream(ctx context.Context, i emulator.Invocation) (*Stream, error) {
	s := &stream{begun: make(chan struct{})}
	s.reader, s.writer = io.Pipe()
	inv, err := f.begin(i, s)
	if err != nil {
		return nil, err
	}
	// A pipe keeps the first error, and takes writes after it without blocking.
	stop := context.AfterFunc(ctx, func() { s.writer.CloseWithError(ctx.Err()) })
	select {
	case <-s.begun:
	case <-inv.over:
		select {
		case <-s.begun: // both
		default:
			stop()
			return nil, inv.err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return &Stream{ContentType: s.contentType, Body: &streamBody{s.reader, stop}}, nil
}

// stream is the invocation's end of a Stream.
type stream struct {
	once        sync.Once
	begun       chan struct{} // closed when the function begins to send
	contentType string        // set before
	reader      *io.PipeReader
	writer      *io.PipeWriter
}

func (s *stream) begin(contentType string) {
	s.once.Do(func() {
		s.contentType = contentType
		close(s.begun)
	})
}

// Write never fails: the function runs on when its client has left.
func (s *stream) Write(p []byte) (int, error) {
	_, _ = s.writer.Write(p)
	return len(p), nil
}

type streamBody struct {
	*io.PipeReader
	stop func() bool
}

func (b *streamBody) Close() error {
	b.stop()
	return b.PipeReader.Close()
}

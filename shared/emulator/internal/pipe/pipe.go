// Package pipe carries a streamed result from a function to its reader.
package pipe

import (
	"context"
	"io"
	"sync"
)

// Pipe is one streamed result. The function's side calls Begin, Write and End; the other
// side calls Await and reads.
type Pipe struct {
	once        sync.Once
	begun       chan struct{}
	contentType string // set before begun is closed
	reader      *io.PipeReader
	writer      *io.PipeWriter
}

// New returns a pipe.
func New() *Pipe {
	p := &Pipe{begun: make(chan struct{})}
	p.reader, p.writer = io.Pipe()
	return p
}

// Begin announces a body of this type.
func (p *Pipe) Begin(contentType string) {
	p.once.Do(func() {
		p.contentType = contentType
		close(p.begun)
	})
}

// Begun is closed by Begin.
func (p *Pipe) Begun() <-chan struct{} { return p.begun }

// Write passes b on, and returns once it has been read. It never fails: the function runs
// on after its client has left.
func (p *Pipe) Write(b []byte) (int, error) {
	_, _ = p.writer.Write(b)
	return len(b), nil
}

// End ends the body with an error; nil is [io.EOF]. Only the first end counts.
func (p *Pipe) End(err error) { p.writer.CloseWithError(err) }

// Await returns once the body begins. It returns an error if the result is over, or ctx
// ends, before that. The function's side closes over after the last Begin; failure is
// called then. The end of ctx also ends the body.
func (p *Pipe) Await(ctx context.Context, over <-chan struct{}, failure func() error) (contentType string, body io.ReadCloser, err error) {
	// A pipe keeps the first error, and accepts writes after it without blocking.
	stop := context.AfterFunc(ctx, func() { p.End(ctx.Err()) })
	select {
	case <-p.begun:
	case <-over:
		select {
		case <-p.begun: // both
		default:
			stop()
			return "", nil, failure()
		}
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
	return p.contentType, &closer{p.reader, stop}, nil
}

type closer struct {
	*io.PipeReader
	stop func() bool
}

func (c *closer) Close() error {
	c.stop()
	return c.PipeReader.Close()
}

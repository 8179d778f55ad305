package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"paylane/shared/order"
	"paylane/shared/wire"
)

// heartbeat is how often a client gets a comment, whatever else it gets.
const heartbeat = 15 * time.Second

// retryHint has a client wait a second before it reconnects.
const retryHint = "retry: 1000\n\n"

// eventWriter writes Server-Sent Events ("Server-sent events" in the HTML standard), each
// in one Write: behind a Function URL, that is what leaves at once. A writer that can be
// flushed is.
type eventWriter struct {
	w     http.ResponseWriter
	flush func() error

	mu     sync.Mutex // guards what follows, and is held during a write
	closed bool
	beat   *time.Timer
}

// newEventWriter returns a writer that writes a comment every heartbeat until it is closed.
// It calls gone when one can't be written: the client has gone.
func newEventWriter(w http.ResponseWriter, gone func()) *eventWriter {
	e := &eventWriter{w: w, flush: http.NewResponseController(w).Flush}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.beat = time.AfterFunc(heartbeat, func() {
		if e.write(": \n\n") != nil {
			gone()
		} else {
			e.beat.Reset(heartbeat)
		}
	})
	return e
}

// close returns once nothing is written any longer.
func (e *eventWriter) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.beat.Stop()
}

// order writes an order as an event.
func (e *eventWriter) order(o order.Order) error {
	var body bytes.Buffer
	if err := writeJSON(&body, wire.NewOrderBody(o)); err != nil {
		return err
	}
	return e.write(fmt.Sprintf("event: order\nid: %d\ndata: %s\n", o.Version, &body)) // the body ends in a line break of its own
}

var errClosed = errors.New("the stream has ended")

func (e *eventWriter) write(text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	if err := e.flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

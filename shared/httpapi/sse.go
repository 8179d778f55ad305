package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"paylane/shared/order"
)

// heartbeat is how often a client gets a comment, whatever else it gets.
const heartbeat = 15 * time.Second

// retryHint has a client wait a second before it reconnects.
const retryHint = "retry: 1000\n\n"

// eventWriter writes Server-Sent Events ("Server-sent events" in the HTML standard), each
// in one Write: behind a Function URL, that is what leaves at once. A writer that can be
// flushed is.
type eventWriter struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	flush func() error
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	return &eventWriter{w: w, flush: http.NewResponseController(w).Flush}
}

// order writes an order as an event.
func (e *eventWriter) order(o order.Order) error {
	var body bytes.Buffer
	if err := writeJSON(&body, newOrderBody(o)); err != nil {
		return err
	}
	return e.write(fmt.Sprintf("event: order\nid: %d\ndata: %s\n", o.Version, &body)) // the body ends in a line break of its own
}

// beat writes a comment every heartbeat until ctx is done. It calls gone when one can't be
// written: the client has gone.
func (e *eventWriter) beat(ctx context.Context, gone func()) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if e.write(": \n\n") != nil {
				gone()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (e *eventWriter) write(text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	if err := e.flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

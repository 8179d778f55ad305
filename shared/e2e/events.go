package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Event is one server-sent event.
type Event struct {
	ID   int64
	Name string
	Data string
}

// ReadEvents reads events as an EventSource does ("Interpreting an event stream" in the
// HTML standard), and calls take with each complete one, until the stream ends.
func ReadEvents(stream io.Reader, take func(Event)) error {
	var e Event
	var err error
	lines := bufio.NewReader(stream)
	for {
		line, readErr := lines.ReadString('\n')
		if readErr != nil { // an incomplete event is dropped
			return readErr
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "\n":
			if e.Data != "" {
				take(e)
			}
			e = Event{ID: e.ID}
		case name == "id":
			if e.ID, err = strconv.ParseInt(value, 10, 64); err != nil {
				return err
			}
		case name == "event":
			e.Name = value
		case name == "data":
			e.Data += value
		}
	}
}

// follower is a client that follows one order, over any number of connections.
type follower struct {
	target Target
	id     string
	last   int64
	data   string // of the newest event
	err    error  // the last broken rule
}

func (f *follower) take(e Event) {
	var o order
	if err := json.Unmarshal([]byte(e.Data), &o); err != nil {
		f.err = fmt.Errorf("order %s: event %+v: %w", f.id, e, err)
	} else if e.Name != "order" || o.ID != f.id || o.Version != e.ID {
		f.err = fmt.Errorf("order %s: event %+v", f.id, e)
	}
	if e.ID <= f.last {
		f.err = fmt.Errorf("order %s: version %d comes after %d", f.id, e.ID, f.last)
	}
	f.last, f.data = e.ID, e.Data
}

// connect follows the order until the stream or the context ends, or so many bytes were
// read. It returns over if there is nothing left to reconnect for.
func (f *follower) connect(ctx context.Context, bytes int64) (over bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.target.URL+"/orders/"+f.id+"/events", nil)
	if err != nil {
		return false, err
	}
	if f.last > 0 {
		request.Header.Set("Last-Event-ID", strconv.FormatInt(f.last, 10))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case response.StatusCode == http.StatusNoContent:
		return true, nil
	case response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream":
		f.err = fmt.Errorf("order %s: status %d, type %s", f.id, response.StatusCode, response.Header.Get("Content-Type"))
		return true, nil
	}
	return false, ReadEvents(io.LimitReader(response.Body, bytes), f.take)
}

// testEvents follows orders through their lives with clients that are cut off at random,
// in the middle of an event or before its first byte, and resume where they were. They must
// see no version twice, none out of order, and always the end.
func testEvents(t *testing.T, g Target) {
	const unlimited = 1 << 62
	var all atomic.Int64
	var wg sync.WaitGroup
	orders, cuts := g.Environment.limits().streams, 6
	for range orders {
		f := &follower{target: g, id: g.create(t, paidWith("tok_flaky_2")).ID}
		wg.Go(func() {
			over := false
			for range cuts {
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(200*time.Millisecond))
				over, _ = f.connect(ctx, rand.Int64N(1200))
				cancel()
				if over {
					break
				}
				all.Add(1)
			}
			patience, cancel := context.WithTimeout(t.Context(), g.Environment.limits().patience)
			defer cancel()
			for !over && f.err == nil && patience.Err() == nil {
				over, _ = f.connect(patience, unlimited)
			}
			got, err := g.send(t.Context(), http.MethodGet, "/orders/"+f.id, "")
			switch {
			case f.err != nil:
				t.Error(f.err)
			case err != nil || !bytes.Equal(bytes.TrimSpace(got.body), []byte(f.data)):
				t.Errorf("order %s ended as %s; GET returned %s, %v", f.id, f.data, got.body, err)
			case !strings.Contains(f.data, `"status":"PAID"`):
				t.Errorf("order %s ended as %s", f.id, f.data)
			}
		})
	}
	wg.Wait()
	if least := int64(orders * cuts * 2 / 3); all.Load() < least {
		t.Errorf("only %d cuts, want at least %d", all.Load(), least)
	}
}

// testEventsRefused asks for the events of an unknown order.
func testEventsRefused(t *testing.T, g Target) {
	a := g.do(t, http.MethodGet, "/orders/00000000-0000-4000-8000-000000000000/events", "")
	if a.status != http.StatusNotFound || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("events of an unknown order: %d %s", a.status, a.body)
	}
}

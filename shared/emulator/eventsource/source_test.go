package eventsource_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/queue"
)

// source is a queue that hands out a list of messages, and records what is asked of it.
type source struct {
	queue.Queue // nil: a poller only receives and deletes

	mu       sync.Mutex
	records  []queue.Message
	failures int // of receives, before one succeeds
	latency  time.Duration
	asked    []queue.ReceiveRequest
	askedAt  []time.Time
	deleted  []string
	outcomes []error // of a delete
}

func (s *source) Receive(ctx context.Context, r queue.ReceiveRequest) ([]queue.Message, error) {
	time.Sleep(s.latency)
	s.mu.Lock()
	s.asked, s.askedAt = append(s.asked, r), append(s.askedAt, time.Now())
	if s.failures > 0 {
		s.failures--
		s.mu.Unlock()
		return nil, errors.New("out of reach")
	}
	n := min(len(s.records), r.Max)
	got := s.records[:n]
	s.records = s.records[n:]
	s.mu.Unlock()
	if n > 0 {
		return got, nil
	}
	select {
	case <-time.After(r.Wait):
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *source) Delete(_ context.Context, handles []string) ([]error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deleted = append(s.deleted, handles...)
	return s.outcomes, nil
}

func records(n int) []queue.Message {
	var list []queue.Message
	for i := range n {
		id := fmt.Sprint("id-", i)
		list = append(list, queue.Message{MessageID: id, ReceiptHandle: "handle-" + id, Body: fmt.Sprint("body ", i)})
	}
	return list
}

// payloads is an invoker whose function sends any bytes, as a child process can.
type payloads string

func (p payloads) Invoke(context.Context, emulator.Invocation) (emulator.Result, error) {
	return emulator.PayloadResult([]byte(p)), nil
}

// run polls for a minute and a half.
func run(t *testing.T, c eventsource.Config) {
	t.Helper()
	poller, err := eventsource.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	poller.Run(ctx)
}

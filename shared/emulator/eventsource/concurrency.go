package eventsource

import (
	"context"
	"sync"
	"time"
)

// How a mapping without a cap scales ("Scaling behavior" of SQS event source
// mappings): from 5 batches at a time by 300 a minute up to 1,250.
const (
	startConcurrency = 5
	mostConcurrency  = 1250
	growEvery        = time.Minute / 300
	idleAfter        = time.Minute // to fall back
)

// slots limits a mapping's concurrency. A receiver acquires a slot, and lends it to the
// batch that it gathers. The limit grows by one each growEvery while a receiver waits for
// it, is halved when functions fail, and is back at its start after a quiet minute.
type slots struct {
	start, most int
	now         func() time.Time

	mu      sync.Mutex
	limit   int
	taken   int
	running int // of those taken, the ones with a batch
	// pacedAt is what the next growth counts from: the last change of the limit, or
	// when all slots were first taken.
	pacedAt time.Time
	full    bool          // all slots are taken, and have been since a receive returned nothing
	ranAt   time.Time     // when the last batch ended
	failed  time.Time     // when the limit was last halved
	freed   chan struct{} // closed when there may be a slot; nil if no receiver waits
}

func newSlots(maxConcurrency int, now func() time.Time) *slots {
	s := &slots{start: startConcurrency, most: mostConcurrency, now: now}
	if maxConcurrency > 0 {
		s.start, s.most = maxConcurrency, maxConcurrency
	}
	return s
}

// acquire waits for a slot and takes it. It returns false if ctx ended first.
func (s *slots) acquire(ctx context.Context) bool {
	for ctx.Err() == nil {
		freed, wait := s.try()
		if freed == nil {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-freed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return false
}

// try takes a slot if there is one. Otherwise it returns a channel that is closed when one
// is given back, and how long until there may be one even so.
func (s *slots) try() (freed <-chan struct{}, wait time.Duration) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == 0 && now.Sub(s.ranAt) >= idleAfter {
		s.limit = s.start
	}
	if s.taken >= s.limit && !s.full {
		s.full, s.pacedAt = true, now
	}
	if s.taken >= s.limit && s.limit < s.most && now.Sub(s.pacedAt) >= growEvery {
		s.limit++
		s.pacedAt = now
	}
	if s.taken < s.limit {
		s.taken++
		return nil, 0
	}
	if s.freed == nil {
		s.freed = make(chan struct{})
	}
	if s.limit >= s.most {
		return s.freed, time.Hour
	}
	return s.freed, growEvery - now.Sub(s.pacedAt)
}

// begin records that a slot that was taken now has a batch.
func (s *slots) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running++
}

// end gives back a slot whose batch is done. If it failed, the limit is halved, down to
// one; failures at about the same moment count once.
func (s *slots) end(failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if failed && now.Sub(s.failed) >= growEvery {
		s.limit = max(1, min(s.limit, s.taken)/2)
		s.failed, s.pacedAt = now, now
	}
	s.taken--
	s.running--
	s.ranAt = now
	s.wake()
}

// giveBack gives back a slot without a batch: the queue is quiet.
func (s *slots) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	s.full = false
	s.wake()
}

// wake has every waiting receiver look again.
func (s *slots) wake() {
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
}

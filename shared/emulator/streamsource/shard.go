package streamsource

import (
	"context"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
	"paylane/shared/feed"
	"paylane/shared/internal/pause"
)

const (
	// batchBytes is what the records of a batch may weigh. The event is a little more.
	batchBytes = emulator.MaxPayloadBytes - 1024
	// readWait is how long one read waits for records.
	readWait = 20 * time.Second
	// patience is for calls that the end of polling must not interrupt.
	patience = 30 * time.Second
)

// shard reads a shard and hands what it reads to its lanes.
type shard struct {
	*Poller
	id string

	mu      sync.Mutex
	lanes   [][]*item     // what was read for each and is not in a batch yet
	open    []*item       // what was read and is not done, and all that was read after it
	weight  int           // of those of them that are not done
	upTo    string        // the last sequence number before open
	ended   bool          // there is no more to read
	changed chan struct{} // closed at the next change; nil if nobody waits for it

	saving sync.Mutex
	saved  string // the last checkpoint
}

func newShard(p *Poller, id string) *shard {
	return &shard{Poller: p, id: id, lanes: make([][]*item, p.mapping.Parallelization)}
}

// run polls the shard from a position on. It reports whether all of it is done; otherwise
// ctx ended first.
func (s *shard) run(ctx context.Context, from feed.Position) bool {
	var lanes sync.WaitGroup
	for lane := range s.lanes {
		lanes.Go(func() { s.process(ctx, lane) })
	}
	s.read(ctx, from)
	lanes.Wait()
	for failures := 0; !s.save(ctx) && s.again(ctx, failures); failures++ {
	}
	return s.ended && len(s.open) == 0
}

// read reads until the shard or ctx ends.
func (s *shard) read(ctx context.Context, from feed.Position) {
	limit := min(s.mapping.BatchSize, feed.MaxRead)
	var reader feed.Reader
	for failures := 0; s.await(ctx, nil, s.hasRoom); {
		var records []feed.Record
		var ended bool
		var err error
		if reader == nil {
			reader, err = s.stream.Open(ctx, s.id, from)
		}
		if err == nil {
			records, ended, err = reader.Read(ctx, limit, readWait)
		}
		if err == nil {
			failures = 0
			s.accept(records, ended)
			s.save(ctx) // what no filter matches, or an earlier checkpoint that failed
			if ended {
				return
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		s.logger.WarnContext(ctx, "can't read the stream", "table", s.table.Name, "shard", s.id, "error", err)
		if !s.again(ctx, failures) {
			s.accept(nil, ctx.Err() == nil)
			return
		}
		failures++
	}
}

// again waits after a call to the stream that failed. It returns false if there is no use in
// calling again: ctx ended, or the stream has forgotten the shard.
func (s *shard) again(ctx context.Context, failures int) bool {
	if pause.For(ctx, backoff(failures)) != nil {
		return false
	}
	shards, err := s.stream.Shards(ctx)
	return err != nil || slices.ContainsFunc(shards, func(there feed.Shard) bool { return there.ID == s.id })
}

// hasRoom reports whether to read on: no more is read than each lane can use for a batch
// while it processes another.
func (s *shard) hasRoom() bool {
	batches := len(s.lanes) + 1
	return len(s.open) < batches*s.mapping.BatchSize && s.weight < batches*batchBytes
}

// accept hands records to the lanes.
func (s *shard) accept(records []feed.Record, ended bool) {
	items := make([]*item, len(records))
	for i, r := range records {
		items[i] = s.newItem(r)
	}
	s.change(func() {
		s.ended = ended
		for _, it := range items {
			if it.done {
				s.pass(it)
				continue
			}
			s.open = append(s.open, it)
			s.weight += len(it.wire)
			lane := s.lane(it)
			s.lanes[lane] = append(s.lanes[lane], it)
		}
		s.settle()
	})
}

// pass keeps an item only for the checkpoint: of those that follow each other, the last.
func (s *shard) pass(it *item) {
	last := len(s.open) - 1
	switch {
	case last < 0 || !s.open[last].done:
		s.open = append(s.open, it)
	case follows(it.Change.SequenceNumber, s.open[last].Change.SequenceNumber):
		s.open[last] = it
	}
}

// lane returns the lane of an item's changes.
func (s *shard) lane(it *item) int {
	if len(s.lanes) == 1 {
		return 0
	}
	h := fnv.New32a()
	keys, _ := aws.JSON(plainMap(it.Change.Keys)) // strings always encode
	_, _ = h.Write(keys)                          // never fails
	return int(h.Sum32() % uint32(len(s.lanes)))
}

// process runs a lane until the shard or ctx ends.
func (s *shard) process(ctx context.Context, lane int) {
	for {
		items := s.gather(ctx, lane)
		if len(items) == 0 || !s.handle(ctx, batch{items: items}) {
			return
		}
	}
}

// gather returns a lane's next batch. It is empty if the shard or ctx ended, and nothing waits.
func (s *shard) gather(ctx context.Context, lane int) []*item {
	s.await(ctx, nil, func() bool { return len(s.lanes[lane]) > 0 || s.ended })
	if s.mapping.Window > 0 {
		timer := time.NewTimer(s.mapping.Window)
		defer timer.Stop()
		s.await(ctx, timer.C, func() bool {
			n := s.fit(s.lanes[lane])
			return n == s.mapping.BatchSize || n < len(s.lanes[lane]) || s.ended
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.fit(s.lanes[lane])
	items := s.lanes[lane][:n:n]
	s.lanes[lane] = s.lanes[lane][n:]
	return items
}

// fit returns how many of the first items one batch can have. An item that is too heavy by
// itself goes alone.
func (s *shard) fit(items []*item) int {
	weight := 0
	for i, it := range items {
		weight += len(it.wire) + len(",")
		if i == s.mapping.BatchSize || i > 0 && weight > batchBytes {
			return i
		}
	}
	return len(items)
}

// done records that items need not be handed on again, and makes a checkpoint if it can.
func (s *shard) done(ctx context.Context, items []*item) {
	s.change(func() {
		for _, it := range items {
			it.done = true
			s.weight -= len(it.wire)
		}
		s.settle()
	})
	s.save(ctx)
}

// settle moves the checkpoint up to the first item that is not done. Records that the
// stream repeats don't move it back.
func (s *shard) settle() {
	for len(s.open) > 0 && s.open[0].done {
		if number := s.open[0].Change.SequenceNumber; follows(number, s.upTo) {
			s.upTo = number
		}
		s.open = s.open[1:]
	}
}

// follows reports whether a sequence number, which is a decimal number of up to 40 digits,
// is greater than another.
func follows(a, b string) bool {
	return len(a) > len(b) || len(a) == len(b) && a > b
}

// save makes a checkpoint if there is something new to it, and reports whether the stream
// has it then. The end of ctx does not interrupt it, or what was done would come again.
func (s *shard) save(ctx context.Context) bool {
	s.saving.Lock() // so that no older one follows
	defer s.saving.Unlock()
	s.mu.Lock()
	upTo := s.upTo
	s.mu.Unlock()
	if upTo == s.saved {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := s.stream.Checkpoint(ctx, s.id, upTo); err != nil {
		s.logger.WarnContext(ctx, "a checkpoint failed; without another, records will come again",
			"table", s.table.Name, "shard", s.id, "sequenceNumber", upTo, "error", err)
		return false
	}
	s.saved = upTo
	return true
}

// change changes what mu guards, and has everybody who awaits something look again.
func (s *shard) change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// await waits until ready returns true; it is called with mu held. It returns false if ctx
// ended, or the timer fired, first.
func (s *shard) await(ctx context.Context, timer <-chan time.Time, ready func() bool) bool {
	for {
		s.mu.Lock()
		if ready() {
			s.mu.Unlock()
			return true
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-timer:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

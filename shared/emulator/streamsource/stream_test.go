package streamsource_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/feed"
)

var errAway = errors.New("the stream is out of reach")

// stream is a table's stream in memory. It forgets what is before a checkpoint, and keeps
// what else is asked of it.
type stream struct {
	mu     sync.Mutex
	shards []*streamShard
	number int // the last sequence number
	// away makes that many of the next calls fail; those to Checkpoint have their own.
	away, awayCheckpoints int
	dead                  bool // all calls fail
	checkpoints           []string
	opened                []string
	read                  int // records
	changed               chan struct{}
}

type streamShard struct {
	feed.Shard
	records []feed.Record
	forgot  int // how many of them
	closed  bool
	gone    bool
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

// do changes the stream, and wakes its readers.
func (s *stream) do(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// split closes a shard, if it is named, and opens children of it.
func (s *stream) split(parent string, children ...string) {
	s.do(func() {
		if parent != "" {
			s.find(parent).closed = true
		}
		for _, id := range children {
			s.shards = append(s.shards, &streamShard{Shard: feed.Shard{ID: id, ParentID: parent}})
		}
	})
}

// write writes changes of an item to a shard, one for each value, and returns their
// sequence numbers.
func (s *stream) write(shard, key string, values ...string) []string {
	var numbers []string
	s.do(func() {
		sh := s.find(shard)
		for _, value := range values {
			s.number++
			number := fmt.Sprint(s.number)
			sh.records = append(sh.records, record(number, key, value))
			numbers = append(numbers, number)
		}
	})
	return numbers
}

// add adds records to the shard s.
func (s *stream) add(records ...feed.Record) {
	s.do(func() {
		sh := s.find("s")
		sh.records = append(sh.records, records...)
	})
}

// record is the insertion of an item.
func record(number, key, value string) feed.Record {
	return feed.Record{
		EventID: "event-" + number, EventName: feed.Insert,
		Change: events.DynamoDBStreamRecord{
			ApproximateCreationDateTime: events.SecondsEpochTime{Time: time.Now()},
			Keys:                        map[string]events.DynamoDBAttributeValue{"id": events.NewStringAttribute(key)},
			NewImage: map[string]events.DynamoDBAttributeValue{
				"id": events.NewStringAttribute(key), "value": events.NewStringAttribute(value),
			},
			SequenceNumber: number, SizeBytes: 10, StreamViewType: "NEW_AND_OLD_IMAGES",
		},
	}
}

func (s *stream) find(id string) *streamShard {
	for _, sh := range s.shards {
		if sh.ID == id {
			return sh
		}
	}
	panic("there is no shard " + id)
}

// fails reports whether a call fails. It is called with mu held.
func (s *stream) fails() bool {
	if s.away > 0 {
		s.away--
		return true
	}
	return s.dead
}

func (s *stream) Shards(context.Context) ([]feed.Shard, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails() {
		return nil, errAway
	}
	var list []feed.Shard
	for _, sh := range s.shards {
		if !sh.gone {
			list = append(list, sh.Shard)
		}
	}
	return list, nil
}

func (s *stream) Open(_ context.Context, id string, from feed.Position) (feed.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails() {
		return nil, errAway
	}
	sh := s.find(id)
	if sh.gone {
		return nil, errors.New("there is no such shard")
	}
	s.opened = append(s.opened, id)
	if from == feed.Latest {
		return &reader{s, sh, len(sh.records)}, nil
	}
	return &reader{s, sh, sh.forgot}, nil
}

func (s *stream) Checkpoint(ctx context.Context, id, number string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.awayCheckpoints > 0 {
		s.awayCheckpoints--
		return errAway
	}
	if s.dead {
		return errAway
	}
	s.checkpoints = append(s.checkpoints, id+":"+number)
	sh := s.find(id)
	for i, r := range sh.records {
		if r.Change.SequenceNumber == number {
			sh.forgot = max(sh.forgot, i+1)
		}
	}
	return nil
}

// reads returns how many records were read.
func (s *stream) reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read
}

// opens returns the shards that were opened, in order.
func (s *stream) opens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.opened)
}

// left returns how many records of a shard the stream has not forgotten.
func (s *stream) left(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.find(id)
	return len(sh.records) - sh.forgot
}

type reader struct {
	*stream
	shard *streamShard
	next  int
}

func (r *reader) Read(ctx context.Context, limit int, wait time.Duration) (records []feed.Record, ended bool, err error) {
	late := time.After(wait)
	for {
		r.mu.Lock()
		if r.fails() || r.shard.gone {
			r.mu.Unlock()
			return nil, false, errAway
		}
		n := min(limit, len(r.shard.records)-r.next)
		records = r.shard.records[r.next : r.next+n]
		r.next += n
		r.read += n
		ended = r.shard.closed && r.next == len(r.shard.records)
		changed := r.changed
		r.mu.Unlock()
		if len(records) > 0 || ended {
			return records, ended, nil
		}
		select {
		case <-changed:
		case <-late:
			return nil, false, nil
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

package model

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/dynamostore"
	"paylane/shared/feed"
	"paylane/shared/order"
)

// shardID is the only shard of a table's stream.
const shardID = "shardId-00000000000000000000-00000001"

// changes are a table's changes of orders, as its stream has them.
type changes struct {
	mu      sync.Mutex
	on      bool
	records []feed.Record
	// added is closed at the next one.
	added chan struct{}
}

// add adds a change, unless nobody has asked for the stream.
func (c *changes) add(now time.Time, before *order.Order, after order.Order) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return
	}
	image := dynamostore.Image(after)
	number := fmt.Sprintf("%021d", len(c.records)+1)
	r := feed.Record{
		EventID: fmt.Sprintf("%032x", len(c.records)+1), EventName: feed.Insert,
		Change: events.DynamoDBStreamRecord{
			ApproximateCreationDateTime: events.SecondsEpochTime{Time: now.UTC().Truncate(time.Second)},
			Keys:                        map[string]events.DynamoDBAttributeValue{"pk": image["pk"]},
			NewImage:                    image, SequenceNumber: number,
			StreamViewType: string(events.DynamoDBStreamViewTypeNewAndOldImages),
		},
	}
	if before != nil {
		r.EventName, r.Change.OldImage = feed.Modify, dynamostore.Image(*before)
	}
	c.records = append(c.records, r)
	close(c.added)
	c.added = make(chan struct{})
}

// Stream returns the stream of the table's orders, which begins now. It has one shard, which never
// ends, and keeps everything.
func (t *Table) Stream() feed.Stream {
	t.changes.mu.Lock()
	defer t.changes.mu.Unlock()
	t.changes.on = true
	return stream{t.changes}
}

type stream struct{ *changes }

// Shards implements [feed.Stream].
func (stream) Shards(context.Context) ([]feed.Shard, error) {
	return []feed.Shard{{ID: shardID}}, nil
}

// Open implements [feed.Stream].
func (s stream) Open(_ context.Context, id string, from feed.Position) (feed.Reader, error) {
	if id != shardID {
		return nil, fmt.Errorf("open the shard %s: there is only %s", id, shardID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch from {
	case feed.Horizon:
		return &reader{changes: s.changes}, nil
	case feed.Latest:
		return &reader{changes: s.changes, next: len(s.records)}, nil
	}
	n, err := s.number(string(from))
	return &reader{changes: s.changes, next: n}, err
}

// Checkpoint implements [feed.Stream].
func (s stream) Checkpoint(_ context.Context, _, sequenceNumber string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.number(sequenceNumber)
	return err
}

func (c *changes) number(sequenceNumber string) (int, error) {
	n, err := strconv.Atoi(sequenceNumber)
	if err != nil || n < 1 || n > len(c.records) || len(sequenceNumber) != 21 {
		return 0, errors.New("there is no record with the sequence number " + strconv.Quote(sequenceNumber))
	}
	return n, nil
}

type reader struct {
	*changes
	next int
}

// Read implements [feed.Reader].
func (r *reader) Read(ctx context.Context, limit int, wait time.Duration) ([]feed.Record, bool, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		r.mu.Lock()
		to := min(len(r.records), r.next+limit)
		records, added := r.records[r.next:to:to], r.added
		r.next = to
		r.mu.Unlock()
		if len(records) > 0 || wait <= 0 {
			return records, false, nil
		}
		select {
		case <-added:
		case <-timer.C:
			wait = 0
		case <-ctx.Done():
		}
	}
}

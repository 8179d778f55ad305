package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/document"
	"paylane/shared/dynamostore"
	"paylane/shared/feed"
	"paylane/shared/order"
)

// KeptRecords is how long a stream keeps a record ("Change data capture for DynamoDB Streams").
const KeptRecords = 24 * time.Hour

// shardID is the only shard, which never ends.
const shardID = "shardId-00000000000000000000-00000001"

// stream is the changes of a table, which guards it with its lock.
type stream struct {
	changes []change // oldest first
	last    uint64   // the number of the newest change, from 1
	// advanced is closed at the next change; nil if nobody waits for one.
	advanced chan struct{}
}

// change is a change of one item. Its images become a record when it is read.
type change struct {
	number        uint64
	at            time.Time
	before, after image
	expired       bool
}

// image is an order, a document, or nothing.
type image struct {
	order    *order.Order
	document *document.Document
}

// add adds a change, and forgets those that are too old.
func (s *stream) add(c change) {
	s.last++
	c.number = s.last
	old := 0
	for old < len(s.changes) && c.at.Sub(s.changes[old].at) > KeptRecords {
		old++
	}
	s.changes = append(s.changes[old:], c)
	if s.advanced != nil {
		close(s.advanced)
		s.advanced = nil
	}
}

// Stream returns the table's stream: one shard, with a record for every change of an item.
func (t *Table) Stream() feed.Stream { return tableStream{t} }

type tableStream struct{ table *Table }

// Shards implements [feed.Stream].
func (s tableStream) Shards(ctx context.Context) ([]feed.Shard, error) {
	return []feed.Shard{{ID: shardID}}, ctx.Err()
}

// Open implements [feed.Stream].
func (s tableStream) Open(ctx context.Context, shard string, from feed.Position) (feed.Reader, error) {
	if shard != shardID {
		return nil, fmt.Errorf("open the shard %s: there is only %s", shard, shardID)
	}
	r := &reader{table: s.table}
	err := s.table.step(ctx, func() error {
		newest := s.table.stream.last
		switch from {
		case feed.Horizon:
		case feed.Latest:
			r.after = newest
		default:
			number, err := strconv.ParseUint(string(from), 10, 64)
			if err != nil || number > newest {
				return errors.New("it has no record with the sequence number " + strconv.Quote(string(from)))
			}
			r.after = number
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open the shard %s: %w", shard, err)
	}
	return r, nil
}

// Checkpoint implements [feed.Stream]: a stream forgets by time.
func (s tableStream) Checkpoint(ctx context.Context, _, _ string) error { return ctx.Err() }

// reader is a [feed.Reader].
type reader struct {
	table *Table
	after uint64
}

// Read implements [feed.Reader].
func (r *reader) Read(ctx context.Context, limit int, wait time.Duration) ([]feed.Record, bool, error) {
	end := r.table.now().Add(wait)
	for {
		var changes []change
		var advanced <-chan struct{}
		err := r.table.step(ctx, func() error {
			changes, advanced = r.table.stream.read(r.after, limit)
			return nil
		})
		if err != nil {
			return nil, false, err
		}
		left := end.Sub(r.table.now())
		if len(changes) > 0 || left <= 0 {
			records := make([]feed.Record, len(changes))
			for i, c := range changes {
				records[i], r.after = c.record(), c.number
			}
			return records, false, nil
		}
		pause(ctx, left, advanced)
	}
}

// pause waits for what is closed or received from, for some time.
func pause(ctx context.Context, d time.Duration, woken <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-woken:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// read returns the changes after a number, and what is closed once there are more.
func (s *stream) read(after uint64, limit int) (changes []change, advanced <-chan struct{}) {
	first, _ := slices.BinarySearchFunc(s.changes, after+1, func(c change, number uint64) int {
		return int(int64(c.number) - int64(number))
	})
	changes = slices.Clone(s.changes[first:min(first+limit, len(s.changes))])
	if s.advanced == nil {
		s.advanced = make(chan struct{})
	}
	return changes, s.advanced
}

// record returns the change as an event has it.
func (c change) record() feed.Record {
	before, after := c.before.attributes(), c.after.attributes()
	record := feed.Record{
		EventID: fmt.Sprintf("%032x", c.number), EventName: feed.Modify,
		Change: events.DynamoDBStreamRecord{
			ApproximateCreationDateTime: events.SecondsEpochTime{Time: c.at.Truncate(time.Second)},
			OldImage:                    before, NewImage: after,
			// At least 21 digits (StreamRecord in the DynamoDB API reference).
			SequenceNumber: fmt.Sprintf("%021d", c.number),
			StreamViewType: string(events.DynamoDBStreamViewTypeNewAndOldImages),
		},
	}
	of := after
	switch {
	case before == nil:
		record.EventName = feed.Insert
	case after == nil:
		record.EventName, of = feed.Remove, before
	}
	record.Change.Keys = map[string]events.DynamoDBAttributeValue{"pk": of["pk"]}
	if c.expired { // "DynamoDB Streams and Time to Live"
		record.UserIdentity = &events.DynamoDBUserIdentity{Type: "Service", PrincipalID: "dynamodb.amazonaws.com"}
	}
	return record
}

// attributes returns nil for nothing.
func (i image) attributes() map[string]events.DynamoDBAttributeValue {
	switch {
	case i.order != nil:
		return dynamostore.Image(*i.order)
	case i.document != nil:
		return dynamostore.DocumentImage(*i.document)
	}
	return nil
}

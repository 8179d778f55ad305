package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/dynamostore"
	"paylane/shared/feed"
	"paylane/shared/pebblestore"
)

// embeddedShard is the only shard of an [embeddedStream].
const embeddedShard = "shardId-00000000000000000000-00000001"

// embeddedStream is the stream that the orders' table would have, of the embedded database.
// Tombstones are not in it: an order that takes the place of one is an INSERT.
type embeddedStream struct{ feed *pebblestore.Feed }

var _ feed.Stream = embeddedStream{}

// Shards implements [feed.Stream].
func (s embeddedStream) Shards(context.Context) ([]feed.Shard, error) {
	return []feed.Shard{{ID: embeddedShard}}, nil
}

// Open implements [feed.Stream].
func (s embeddedStream) Open(_ context.Context, shardID string, from feed.Position) (feed.Reader, error) {
	if shardID != embeddedShard {
		return nil, fmt.Errorf("open the shard %s: there is only %s", shardID, embeddedShard)
	}
	r := &embeddedReader{feed: s.feed}
	switch from {
	case feed.Horizon:
	case feed.Latest:
		r.after = s.feed.Newest()
	default:
		var err error
		if r.after, err = changeNumber(string(from)); err != nil {
			return nil, fmt.Errorf("open the shard %s: %w", shardID, err)
		}
	}
	return r, nil
}

// Checkpoint implements [feed.Stream].
func (s embeddedStream) Checkpoint(ctx context.Context, _, sequenceNumber string) error {
	number, err := changeNumber(sequenceNumber)
	if err != nil {
		return fmt.Errorf("forget the stream's records: %w", err)
	}
	return s.feed.Forget(ctx, number)
}

// embeddedReader is a [feed.Reader].
type embeddedReader struct {
	feed  *pebblestore.Feed
	after uint64
}

// Read implements [feed.Reader]. The shard never ends.
func (r *embeddedReader) Read(ctx context.Context, limit int, wait time.Duration) ([]feed.Record, bool, error) {
	changes, err := r.feed.Read(ctx, r.after, limit, wait)
	if err != nil {
		return nil, false, err
	}
	records := make([]feed.Record, len(changes))
	for i, c := range changes {
		records[i] = streamRecord(c)
		r.after = c.Number
	}
	return records, false, nil
}

func streamRecord(c pebblestore.Change) feed.Record {
	image := dynamostore.Image(*c.After)
	record := feed.Record{
		EventID: fmt.Sprintf("%032x", c.Number), EventName: feed.Insert,
		Change: events.DynamoDBStreamRecord{
			ApproximateCreationDateTime: events.SecondsEpochTime{Time: c.At},
			Keys:                        map[string]events.DynamoDBAttributeValue{"pk": image["pk"]},
			NewImage:                    image,
			SequenceNumber:              sequenceNumber(c.Number),
			StreamViewType:              string(events.DynamoDBStreamViewTypeNewAndOldImages),
		},
	}
	if c.Before != nil {
		record.EventName, record.Change.OldImage = feed.Modify, dynamostore.Image(*c.Before)
	}
	return record
}

// sequenceNumber returns the sequence number of a change: at least 21 digits (StreamRecord in
// the DynamoDB API reference).
func sequenceNumber(change uint64) string { return fmt.Sprintf("%021d", change) }

// changeNumber is the inverse of sequenceNumber.
func changeNumber(sequenceNumber string) (uint64, error) {
	number, err := strconv.ParseUint(sequenceNumber, 10, 64)
	if err != nil {
		return 0, errors.New("it has no record with the sequence number " + strconv.Quote(sequenceNumber))
	}
	return number, nil
}

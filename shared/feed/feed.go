// Package feed is the port to the stream of a table's changes, as DynamoDB Streams has it
// ("Change data capture for DynamoDB Streams" in the DynamoDB developer guide).
//
// A stream consists of shards. The changes of one item are all in one shard at a time, in the
// order in which they happened. A shard ends, and its children go on: what is in a child happened
// after everything in its parent.
package feed

import (
	"context"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// Record is one change of one item, as an event has it. A stream fills in EventID, EventName,
// UserIdentity and Change.
type Record = events.DynamoDBEventRecord

// The names of changes.
const (
	Insert = "INSERT"
	Modify = "MODIFY"
	Remove = "REMOVE"
)

// MaxRead is how many records a read returns at most (GetRecords in the DynamoDB API
// reference).
const MaxRead = 1000

// Stream is a table's stream. Its methods may be called concurrently. An error is
// [paylane/shared/order.ErrUnavailable] (wrapped) or the context's, unless calling again can't
// help.
type Stream interface {
	// Shards returns the shards that have records, or may still get some.
	Shards(ctx context.Context) ([]Shard, error)
	// Open begins to read a shard at a position. The error is of its own if there is no such
	// shard or position.
	Open(ctx context.Context, shardID string, from Position) (Reader, error)
	// Checkpoint says that everything in the shard up to a sequence number, and that included,
	// is done with, so that the stream may forget it. A stream that keeps what it has for a fixed
	// time does nothing.
	Checkpoint(ctx context.Context, shardID, sequenceNumber string) error
}

// Shard is a part of a stream.
type Shard struct {
	ID string
	// ParentID is the shard that this one follows; empty if there is none. It may be the id of
	// one that is gone.
	ParentID string
}

// Position is a place in a shard: one of [Horizon] and [Latest], or the sequence number of a
// record, which means right after that. If what comes next there is gone, reading goes on with
// the oldest record that there still is.
type Position string

// The positions that are not a record's.
const (
	Horizon Position = "TRIM_HORIZON" // before the oldest record that there still is
	Latest  Position = "LATEST"       // after the newest, when the reader is opened
)

// Reader reads a shard once, from its position on. It must not be used concurrently.
type Reader interface {
	// Read returns the next records, oldest first: at least one, and at most limit, which is 1
	// to [MaxRead]. If there is none, it waits for one, up to wait, and then returns none; without
	// a wait it may return none although there are some, since a service may have to be asked
	// more than once. Ended reports that the shard has ended and no record follows these. After
	// an error the same call may be made again; no record is passed over.
	//
	// A record is returned only once it is durable.
	Read(ctx context.Context, limit int, wait time.Duration) (records []Record, ended bool, err error)
}

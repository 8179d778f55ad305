// Package dynamostream reads the stream of a DynamoDB table (API version 2012-08-10 of Amazon
// DynamoDB Streams). Start with [New].
//
// Calls are retried as those of the other adapters are. A stream keeps its records for 24
// hours: a reader that comes later goes on with the oldest record there is, and logs that.
package dynamostream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"paylane/shared/awscall"
	"paylane/shared/feed"
	"paylane/shared/order"
)

// pollEvery is how often a shard that has nothing new is asked: four times a second, as Lambda
// does ("Using AWS Lambda with Amazon DynamoDB"). More than five are throttled.
const pollEvery = 250 * time.Millisecond

// Stream implements [feed.Stream].
type Stream struct {
	client  *dynamodbstreams.Client
	arn     string
	retryer *awscall.Retryer
	log     *slog.Logger
}

var _ feed.Stream = (*Stream)(nil)

// New returns the stream with an ARN, which is a table's LatestStreamArn. Its calls are retried
// whatever the client's settings. Jitter returns a number from 0 to n-1.
func New(client *dynamodbstreams.Client, arn string, jitter func(n int) int, log *slog.Logger) *Stream {
	return &Stream{client: client, arn: arn, retryer: awscall.NewRetryer(transient, jitter), log: log}
}

// calls sets how every call is retried, whatever the client's settings.
func (s *Stream) calls(o *dynamodbstreams.Options) {
	o.Retryer = s.retryer
	o.APIOptions = append(o.APIOptions, awscall.LimitTries(awscall.TryFor))
}

func transient(err error) bool { return awscall.Transient(err) }

// failed wraps the error of a call: [order.ErrUnavailable] around one that is [transient], and
// the context's once that has ended.
func failed(ctx context.Context, doing string, err error) error {
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	case transient(err), isExpired(err), isTrimmed(err):
		err = fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func isExpired(err error) bool { return errors.As(err, new(*types.ExpiredIteratorException)) }

func isTrimmed(err error) bool { return errors.As(err, new(*types.TrimmedDataAccessException)) }

// Shards implements [feed.Stream].
func (s *Stream) Shards(ctx context.Context) ([]feed.Shard, error) {
	var shards []feed.Shard
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: &s.arn}
	for {
		out, err := s.client.DescribeStream(ctx, in, s.calls)
		if err != nil {
			return nil, failed(ctx, "describe the stream", err)
		}
		for _, shard := range out.StreamDescription.Shards {
			shards = append(shards, feed.Shard{ID: aws.ToString(shard.ShardId), ParentID: aws.ToString(shard.ParentShardId)})
		}
		in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId
		if in.ExclusiveStartShardId == nil {
			return shards, nil
		}
	}
}

// Open implements [feed.Stream].
func (s *Stream) Open(ctx context.Context, shardID string, from feed.Position) (feed.Reader, error) {
	r := &reader{stream: s, shardID: shardID, from: from}
	return r, r.seek(ctx)
}

// Checkpoint implements [feed.Stream]: a stream forgets by itself.
func (s *Stream) Checkpoint(context.Context, string, string) error { return nil }

// reader implements [feed.Reader].
type reader struct {
	stream  *Stream
	shardID string
	// from is right after what was read. While that is the newest, nothing was, and an
	// iterator that expires, which is not used for 15 minutes, loses what came meanwhile.
	from     feed.Position
	iterator *string // nil once the shard has ended
}

// seek gets an iterator at where the reader is.
func (r *reader) seek(ctx context.Context) error {
	in := &dynamodbstreams.GetShardIteratorInput{StreamArn: &r.stream.arn, ShardId: &r.shardID}
	switch r.from {
	case feed.Horizon, feed.Latest:
		in.ShardIteratorType = types.ShardIteratorType(r.from)
	default:
		in.ShardIteratorType = types.ShardIteratorTypeAfterSequenceNumber
		in.SequenceNumber = aws.String(string(r.from))
	}
	out, err := r.stream.client.GetShardIterator(ctx, in, r.stream.calls)
	switch {
	case isTrimmed(err) && r.from != feed.Horizon:
		return r.fallBack(ctx)
	case err != nil:
		return failed(ctx, "get an iterator of the shard "+r.shardID, err)
	}
	r.iterator = out.ShardIterator
	return nil
}

// fallBack goes to the oldest record there is: what was to be read is gone.
func (r *reader) fallBack(ctx context.Context) error {
	r.stream.log.WarnContext(ctx, "the stream no longer has the records that come next; reading goes on with its oldest",
		"stream", r.stream.arn, "shard", r.shardID, "after", string(r.from))
	r.from = feed.Horizon
	return r.seek(ctx)
}

// Read implements [feed.Reader].
func (r *reader) Read(ctx context.Context, limit int, wait time.Duration) (records []feed.Record, ended bool, err error) {
	timeout, again := time.NewTimer(wait), time.NewTicker(pollEvery)
	defer timeout.Stop()
	defer again.Stop()
	for r.iterator != nil {
		records, err := r.next(ctx, limit)
		if err != nil || len(records) > 0 {
			return records, err == nil && r.iterator == nil, err
		}
		// An open shard answers with a page of nothing, and so does one with more to come.
		select {
		case <-timeout.C:
			return nil, r.iterator == nil, nil
		case <-again.C:
		case <-ctx.Done():
			return nil, false, fmt.Errorf("read the shard %s: %w", r.shardID, ctx.Err())
		}
	}
	return nil, true, nil
}

// next reads a page, which may have no records.
func (r *reader) next(ctx context.Context, limit int) ([]feed.Record, error) {
	out, err := r.page(ctx, limit)
	if isExpired(err) || isTrimmed(err) {
		renew := r.seek
		if isTrimmed(err) {
			renew = r.fallBack
		}
		if err := renew(ctx); err != nil {
			return nil, err
		}
		out, err = r.page(ctx, limit)
	}
	if err != nil {
		return nil, failed(ctx, "read the shard "+r.shardID, err)
	}
	records := make([]feed.Record, len(out.Records))
	for i, record := range out.Records {
		records[i] = converted(record)
		r.from = feed.Position(records[i].Change.SequenceNumber)
	}
	r.iterator = out.NextShardIterator
	return records, nil
}

func (r *reader) page(ctx context.Context, limit int) (*dynamodbstreams.GetRecordsOutput, error) {
	return r.stream.client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{
		ShardIterator: r.iterator, Limit: aws.Int32(int32(limit)),
	}, r.stream.calls)
}

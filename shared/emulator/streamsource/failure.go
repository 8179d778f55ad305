package streamsource

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/http"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
	"paylane/shared/internal/pause"
)

// The conditions under which records are given up.
const (
	retryAttemptsExhausted = "RetryAttemptsExhausted"
	recordAgeExceeded      = "RecordAgeExceeded"
)

// failureRecord is what a destination receives ("Retain discarded records for a DynamoDB
// event source in Lambda"). The response is absent if the function never ran.
type failureRecord struct {
	RequestContext  requestContext   `json:"requestContext"`
	ResponseContext *responseContext `json:"responseContext,omitempty"`
	Version         string           `json:"version"`
	Timestamp       string           `json:"timestamp"`
	Batch           batchInfo        `json:"DDBStreamBatchInfo"`
}

type requestContext struct {
	RequestID   string `json:"requestId"`
	FunctionARN string `json:"functionArn"`
	Condition   string `json:"condition"`
	Invokes     int    `json:"approximateInvokeCount"`
}

type responseContext struct {
	StatusCode    int    `json:"statusCode"`
	Version       string `json:"executedVersion"`
	FunctionError string `json:"functionError,omitempty"`
}

// batchInfo is where the records are in the stream; they themselves are not in it.
type batchInfo struct {
	ShardID      string `json:"shardId"`
	Start        string `json:"startSequenceNumber"`
	End          string `json:"endSequenceNumber"`
	FirstArrival string `json:"approximateArrivalOfFirstRecord"`
	LastArrival  string `json:"approximateArrivalOfLastRecord"`
	Size         int    `json:"batchSize"`
	StreamARN    string `json:"streamArn"`
}

// newResponseContext returns what an invocation returned, or the error with which it
// failed.
func newResponseContext(failed *emulator.FunctionError) *responseContext {
	made := &responseContext{StatusCode: http.StatusOK, Version: "$LATEST"} // nothing is published here
	if failed != nil {
		made.FunctionError = "Unhandled"
	}
	return made
}

// giveUp gives up the first n records of a batch. They are done once the destination has
// the record; it returns false if ctx ended first.
func (s *shard) giveUp(ctx context.Context, b batch, n int, condition string) bool {
	items := b.items[:n]
	s.logger.WarnContext(ctx, "records were given up", "table", s.table.Name, "shard", s.id, "function", s.mapping.Function,
		"records", n, "condition", condition, "invokes", b.invokes)
	if s.onFailure != nil {
		body := s.failureRecord(b, items, condition)
		for failures := 0; !s.send(ctx, body); failures++ {
			if pause.For(ctx, backoff(failures)) != nil {
				return false
			}
		}
	}
	s.done(ctx, items)
	return true
}

// send sends a record to the destination, and reports whether it has it. The end of ctx
// does not interrupt it.
func (s *shard) send(ctx context.Context, body string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := s.onFailure(ctx, body); err != nil {
		s.logger.ErrorContext(ctx, "record not sent to its destination", "table", s.table.Name, "shard", s.id,
			"function", s.mapping.Function, "error", err)
		return false
	}
	return true
}

func (s *shard) failureRecord(b batch, items []*item, condition string) string {
	const seconds, milliseconds = "2006-01-02T15:04:05Z", "2006-01-02T15:04:05.000Z"
	arrival := func(it *item) string { return it.created.UTC().Format(seconds) }
	first, last := items[0], items[len(items)-1]
	body, err := aws.JSON(failureRecord{
		RequestContext: requestContext{
			cmp.Or(b.requestID, aws.UUID(rand.Reader)), s.function.ARN, condition, b.invokes,
		},
		ResponseContext: b.response,
		Version:         "1.0",
		Timestamp:       s.now().UTC().Format(milliseconds),
		Batch: batchInfo{
			ShardID: s.id, Start: first.Change.SequenceNumber, End: last.Change.SequenceNumber,
			FirstArrival: arrival(first), LastArrival: arrival(last), Size: len(items), StreamARN: s.table.StreamARN,
		},
	})
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return string(body)
}

package streamsource

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/internal/partial"
	"paylane/shared/internal/pause"
)

var (
	// errNotRun is the error of a function that could not be invoked.
	errNotRun = errors.New("the function did not run")
	// errReported is the error of a batch in which the function reports a record.
	errReported = errors.New("the function reports a record as failed")
)

// batch is what is handed to the function together, and what became of it so far.
type batch struct {
	items   []*item
	retries int // used up
	// invokes is how often the function ran with these items, requestID is that of the last
	// invocation, and response what it returned; nil if it never did.
	invokes   int
	requestID string
	response  *responseContext
}

// handle invokes the function with a batch until each record has succeeded or was given
// up. It returns false if ctx ended first.
func (s *shard) handle(ctx context.Context, b batch) bool {
	for failures := 0; ctx.Err() == nil; failures++ {
		if old := s.expired(b.items); old > 0 {
			if !s.giveUp(ctx, b, old, recordAgeExceeded) {
				return false
			}
			b.items = b.items[old:]
		}
		if len(b.items) == 0 {
			return true
		}
		succeeded, err := s.invoke(ctx, &b)
		if succeeded > 0 {
			s.done(ctx, b.items[:succeeded])
			b.items, failures = b.items[succeeded:], 0
		}
		if err == nil {
			return true
		}
		s.logger.WarnContext(ctx, "a batch failed", "table", s.table.Name, "shard", s.id, "function", s.mapping.Function,
			"records", len(b.items), "error", err)
		halve := s.mapping.Bisect && len(b.items) > 1 && !errors.Is(err, errNotRun) && !errors.Is(err, errReported)
		switch {
		case halve, errors.Is(err, errNotRun), s.mapping.Bisect && succeeded > 0: // neither uses up a retry
		case s.mapping.MaxRetries >= 0 && b.retries >= s.mapping.MaxRetries:
			return s.giveUp(ctx, b, len(b.items), retryAttemptsExhausted)
		default:
			b.retries++
		}
		if pause.For(ctx, backoff(failures)) != nil {
			return false
		}
		if halve {
			first, second := b, b
			middle := (len(b.items) + 1) / 2
			first.items, second.items = b.items[:middle], b.items[middle:]
			return s.handle(ctx, first) && s.handle(ctx, second)
		}
	}
	return false
}

// expired returns how many of the first items are too old to be handed on.
func (s *shard) expired(items []*item) int {
	if s.mapping.MaxRecordAge == 0 {
		return 0
	}
	now := s.now()
	young := slices.IndexFunc(items, func(it *item) bool {
		return it.created.IsZero() || now.Sub(it.created) <= s.mapping.MaxRecordAge
	})
	if young < 0 {
		return len(items)
	}
	return young
}

// invoke runs the function once, and returns how many of the first records succeeded.
// Unless all did, the error says why.
func (s *shard) invoke(ctx context.Context, b *batch) (succeeded int, err error) {
	b.requestID = aws.UUID(rand.Reader)
	result, err := s.invoker.Invoke(context.WithoutCancel(ctx), emulator.Invocation{RequestID: b.requestID, Event: newEvent(b.items)})
	var failed *emulator.FunctionError
	if err != nil && !errors.As(err, &failed) {
		return 0, fmt.Errorf("%w: %w", errNotRun, err)
	}
	b.invokes++
	b.response = newResponseContext(failed)
	switch {
	case err != nil:
		return 0, err
	case !s.mapping.ReportBatchItemFailures:
		return len(b.items), nil
	}
	return firstFailed(result, b.items)
}

// firstFailed returns the index of the first record that the function reports as failed,
// or how many there are ("Configuring partial batch response with DynamoDB and Lambda").
func firstFailed(result emulator.Result, items []*item) (int, error) {
	reported, err := partial.Reported(result)
	if err != nil {
		return 0, err
	}
	index := make(map[string]int, len(items))
	for i, it := range slices.Backward(items) { // of one that is repeated, the first
		index[it.Change.SequenceNumber] = i
	}
	first := len(items)
	for _, id := range reported {
		i, ok := index[id]
		if !ok {
			return 0, fmt.Errorf("%w: it reports %q, which is not in the batch", partial.ErrBatch, id)
		}
		first = min(first, i)
	}
	if first < len(items) {
		err = fmt.Errorf("%w: %s", errReported, items[first].Change.SequenceNumber)
	}
	return first, err
}

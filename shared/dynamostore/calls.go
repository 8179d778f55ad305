package dynamostore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"paylane/shared/order"
)

// How long a call may take: three tries of 2 s, so even the two or three calls of a
// request that finds DynamoDB stalled are answered before API Gateway gives up.
const (
	maxTries  = 3
	tryFor    = 2 * time.Second
	basePause = 25 * time.Millisecond
	maxPause  = time.Second
)

// callOptions gives every call of a store the same retries, whatever the client's.
func callOptions() func(*dynamodb.Options) {
	retryer := retryer{retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxTries
		o.Backoff = retry.BackoffDelayerFunc(func(try int, _ error) (time.Duration, error) { return pause(try), nil })
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			return aws.BoolTernary(passes(err))
		}))
	})}
	return func(o *dynamodb.Options) {
		o.Retryer = retryer
		o.APIOptions = append(o.APIOptions, limitTries)
	}
}

// retryer gives up rather than wait beyond the caller's deadline: there is still time
// then to say what is wrong.
type retryer struct{ *retry.Standard }

func (r retryer) GetRetryToken(ctx context.Context, err error) (func(error) error, error) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < basePause<<maxTries {
		return nil, errors.New("no time left to try again")
	}
	return r.Standard.GetRetryToken(ctx, err)
}

// pause is how long to wait after a try, counted from 1: exponential, with full
// jitter, so that callers that were throttled together do not come back together.
func pause(try int) time.Duration {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	return time.Duration(binary.LittleEndian.Uint64(random[:]) % uint64(min(basePause<<try, maxPause)))
}

// limitTries ends a try that gets no answer in time, so that the next one goes over
// another connection. Its error is not the context's, which would end the retries.
func limitTries(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("LimitTries", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		try, cancel := context.WithTimeout(ctx, tryFor)
		defer cancel()
		out, metadata, err := next.HandleFinalize(try, in)
		if err != nil && try.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("no answer within %v", tryFor)
		}
		return out, metadata, err
	}), "Retry", middleware.After)
}

// passes tells whether an error may be over when the call is made again: a throttle,
// a fault of the service, a broken connection or answer. Any other answer of the
// service is its refusal ("Error handling with DynamoDB").
func passes(err error) bool {
	var api smithy.APIError
	var response *smithyhttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &response) {
		return true
	}
	switch status := response.HTTPStatusCode(); {
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return true
	case api.ErrorCode() == "ReplicatedWriteConflictException" || api.ErrorCode() == "TransactionConflictException":
		return true
	}
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}

// translate makes [order.ErrUnavailable] of whatever [passes]. Once the caller's
// context is over, that is the error.
func translate(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	case passes(err):
		return fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	}
	return err
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

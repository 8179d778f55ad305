// Package awscall decides how often, and for how long, a call of an AWS service is tried:
// the same for all services, and whatever the client was told.
//
// A call gets three tries of 2 s, with pauses of full jitter between them, and never a
// pause beyond the caller's deadline: there must be time left to say what is wrong.
package awscall

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// MaxTries of one call.
	MaxTries = 3
	// TryFor is how long one may take. So even the two or three calls of a request that
	// finds a service stalled are answered before API Gateway gives up.
	TryFor = 2 * time.Second

	basePause = 25 * time.Millisecond
	maxPause  = time.Second
)

// Passing tells whether an error may be over when the call is made again: a throttle, a
// fault of the service, a broken connection or answer. Any other answer of the service
// is its refusal, but for the error codes given.
func Passing(err error, codes ...string) bool {
	var api smithy.APIError
	var response *smithyhttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &response) {
		return true
	}
	status := response.HTTPStatusCode()
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError ||
		slices.Contains(codes, api.ErrorCode()) ||
		retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}

// NewRetryer makes a client's retryer: it tries again what is passing.
func NewRetryer(passing func(error) bool) aws.Retryer {
	return retryer{retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = MaxTries
		o.Backoff = retry.BackoffDelayerFunc(func(try int, _ error) (time.Duration, error) { return Pause(try), nil })
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			return aws.BoolTernary(passing(err))
		}))
	})}
}

// retryer gives up rather than wait beyond the caller's deadline.
type retryer struct{ *retry.Standard }

func (r retryer) GetRetryToken(ctx context.Context, err error) (func(error) error, error) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < basePause<<MaxTries {
		return nil, errors.New("no time left to try again")
	}
	return r.Standard.GetRetryToken(ctx, err)
}

// Pause is how long to wait after a try, counted from 1: exponential, with full jitter,
// so that callers that were throttled together do not come back together.
func Pause(try int) time.Duration {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	return time.Duration(binary.LittleEndian.Uint64(random[:]) % uint64(min(basePause<<try, maxPause)))
}

// Sleep waits. It is false at once if that would take longer than the caller has, and
// when the context ends.
func Sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// LimitTries ends a try that gets no answer in time, so that the next one goes over
// another connection. It is for a client's APIOptions. Its error is not the context's,
// which would end the retries.
func LimitTries(limit time.Duration) func(*middleware.Stack) error {
	return insertLimit("LimitTries", limit, middleware.After)
}

// LimitCall ends a call, with all its tries, that gets no answer in time. It is for a
// client's APIOptions. Its error is not the context's, which has not ended.
func LimitCall(limit time.Duration) func(*middleware.Stack) error {
	return insertLimit("LimitCall", limit, middleware.Before)
}

// insertLimit puts a limit on all that follows a place before or after the retries.
func insertLimit(id string, limit time.Duration, where middleware.RelativePosition) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc(id, func(
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			limited, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			out, metadata, err := next.HandleFinalize(limited, in)
			if err != nil && limited.Err() != nil && ctx.Err() == nil {
				err = fmt.Errorf("no answer within %v", limit)
			}
			return out, metadata, err
		}), "Retry", where)
	}
}

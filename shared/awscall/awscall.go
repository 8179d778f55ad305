// Package awscall decides how often, and for how long, a call of an AWS service is tried:
// the same for all services, whatever the settings of the client.
//
// A call gets three tries of 2 s, with pauses of full jitter between them, and never a
// pause beyond the caller's deadline: there must be time left to report what is wrong.
package awscall

import (
	"context"
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

	"paylane/shared/internal/pause"
)

const (
	// MaxTries is how often a call is tried.
	MaxTries = 3
	// TryFor is how long a try may take. Even the two or three calls of a request that
	// finds a service stalled are then answered before API Gateway gives up.
	TryFor = 2 * time.Second

	basePause = 25 * time.Millisecond
	maxPause  = time.Second
)

// Transient reports whether a later call may not meet the error: a throttle, a fault of
// the service, a broken connection or answer. Any other answer of the service is a
// refusal, except those with one of the codes.
func Transient(err error, codes ...string) bool {
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

// Retryer is a client's retryer.
type Retryer struct {
	*retry.Standard
	jitter func(n int) int
}

// NewRetryer returns a retryer that retries after a transient error. Jitter returns a
// number from 0 to n-1.
func NewRetryer(transient func(error) bool, jitter func(n int) int) *Retryer {
	r := &Retryer{jitter: jitter}
	r.Standard = retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = MaxTries
		o.Backoff = retry.BackoffDelayerFunc(func(try int, _ error) (time.Duration, error) { return r.pauseAfter(try), nil })
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			return aws.BoolTernary(transient(err))
		}))
	})
	return r
}

// GetRetryToken implements [aws.Retryer]. It refuses to wait beyond the caller's deadline.
func (r *Retryer) GetRetryToken(ctx context.Context, err error) (func(error) error, error) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < basePause<<MaxTries {
		return nil, errors.New("no time left to try again")
	}
	return r.Standard.GetRetryToken(ctx, err)
}

// Pause waits after a try, counted from 1, of something that succeeded in part. It returns
// false if the wait would outlast the caller's deadline, or the context ended.
func (r *Retryer) Pause(ctx context.Context, try int) bool {
	d := r.pauseAfter(try)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return false
	}
	return pause.For(ctx, d) == nil
}

// pauseAfter returns how long to wait after a try: exponential, with full jitter, so that
// callers that were throttled together do not come back together.
func (r *Retryer) pauseAfter(try int) time.Duration {
	return time.Duration(r.jitter(int(min(basePause<<try, maxPause))))
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

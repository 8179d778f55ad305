package sqsqueue

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"paylane/shared/order"
)

// How long a call may take: three tries of 2 s, and of a long poll its wait on top.
const (
	maxTries  = 3
	tryFor    = 2 * time.Second
	basePause = 25 * time.Millisecond
)

// newRetryer makes what decides on the retries of all calls of a queue, whatever the
// client's would.
func newRetryer() aws.Retryer {
	return retryer{retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxTries
		o.Backoff = retry.BackoffDelayerFunc(func(try int, _ error) (time.Duration, error) { return pause(try), nil })
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			return aws.BoolTernary(passes(err))
		}))
	})}
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
	return time.Duration(binary.LittleEndian.Uint64(random[:]) % uint64(basePause<<try))
}

// calls is what every call is made with; wait is how long SQS may hold it.
func (q *Queue) calls(wait time.Duration) func(*sqs.Options) {
	return func(o *sqs.Options) {
		o.Retryer = q.retryer
		o.APIOptions = append(o.APIOptions, limitTries(tryFor+wait))
	}
}

// limitTries ends a try that gets no answer in time, so that the next one goes over
// another connection. Its error is not the context's, which would end the retries.
func limitTries(limit time.Duration) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("LimitTries", func(
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			try, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			out, metadata, err := next.HandleFinalize(try, in)
			if err != nil && try.Err() != nil && ctx.Err() == nil {
				err = fmt.Errorf("no answer within %v", limit)
			}
			return out, metadata, err
		}), "Retry", middleware.After)
	}
}

// passes tells whether an error may be over when the call is made again: a throttle,
// a fault of the service, a broken connection or answer. Any other answer of the
// service is its refusal.
func passes(err error) bool {
	var api smithy.APIError
	var response *smithyhttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &response) {
		return true
	}
	var overLimit *types.OverLimit // too many messages in flight
	var kms *types.KmsThrottled
	switch status := response.HTTPStatusCode(); {
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return true
	case errors.As(err, &overLimit), errors.As(err, &kms):
		return true
	}
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}

// translate puts SQS's errors into the port's words: what [passes] is
// [order.ErrUnavailable], a refusal an [*order.RequestError] or
// [order.ErrReceiptHandle]. Once the caller's context is over, that is the error.
func translate(ctx context.Context, err error) error {
	var api smithy.APIError
	var invalidHandle *types.ReceiptHandleIsInvalid
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	case passes(err):
		return fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	case errors.As(err, &invalidHandle):
		return fmt.Errorf("%w: %w", order.ErrReceiptHandle, err)
	case errors.As(err, &api):
		return fmt.Errorf("%w: %w", &order.RequestError{Code: api.ErrorCode(), Message: api.ErrorMessage()}, err)
	}
	return err
}

// receiveIsOver tells whether a visibility timeout was not changed because that
// receive is not the message's current one any more. AWS documents MessageNotInflight
// for that; what it answers for a message that is gone is InvalidParameterValue.
func receiveIsOver(err error) bool {
	var notInflight *types.MessageNotInflight
	var api smithy.APIError
	return errors.As(err, &notInflight) || errors.As(err, &api) && api.ErrorCode() == "InvalidParameterValue" &&
		strings.Contains(api.ErrorMessage(), "not available for visibility timeout change")
}

package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"paylane/shared/awscall"
	"paylane/shared/order"
	"paylane/shared/queue"
)

// patience is how long a poller's call may take, besides its wait: a connection that went
// silent must not hold a receiver forever.
const patience = 30 * time.Second

// promptly is how a call is made on behalf of a caller who waits.
func (q *Queue) promptly(o *sqs.Options) {
	o.Retryer = q.retryer
	o.APIOptions = append(o.APIOptions, awscall.LimitTries(awscall.TryFor))
}

// patiently is how a poller's call is made; wait is how long SQS may hold it.
func (q *Queue) patiently(wait time.Duration) func(*sqs.Options) {
	return func(o *sqs.Options) {
		o.Retryer = q.retryer
		o.APIOptions = append(o.APIOptions, awscall.LimitCall(wait+patience))
	}
}

// transient reports whether a later call may not meet the error. OverLimit means that too
// many messages are in flight; the two others are names of one error.
func transient(err error) bool {
	return awscall.Transient(err, "OverLimit", "KmsThrottled", "KMS.ThrottlingException")
}

// translate puts SQS's errors into the port's words: one that is [transient] wraps
// [order.ErrUnavailable], a refusal is a [*queue.RequestError] or
// [queue.ErrReceiptHandle]. Once the caller's context has ended, its error is returned.
func translate(ctx context.Context, err error) error {
	var api smithy.APIError
	var invalidHandle *types.ReceiptHandleIsInvalid
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	case transient(err):
		return fmt.Errorf("%w: %w", order.ErrUnavailable, err)
	case errors.As(err, &invalidHandle):
		return fmt.Errorf("%w: %w", queue.ErrReceiptHandle, err)
	case errors.As(err, &api):
		return fmt.Errorf("%w: %w", &queue.RequestError{Code: api.ErrorCode(), Message: api.ErrorMessage()}, err)
	}
	return err
}

// receiveIsOver reports whether a visibility timeout was not changed because the receive
// is no longer the message's current one. AWS documents MessageNotInflight for that; for
// a message that is gone it answers InvalidParameterValue.
func receiveIsOver(err error) bool {
	var notInflight *types.MessageNotInflight
	var api smithy.APIError
	return errors.As(err, &notInflight) || errors.As(err, &api) && api.ErrorCode() == "InvalidParameterValue" &&
		strings.Contains(api.ErrorMessage(), "not available for visibility timeout change")
}

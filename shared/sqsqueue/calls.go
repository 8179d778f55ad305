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
)

// calls is what every call is made with; wait is how long SQS may hold it.
func (q *Queue) calls(wait time.Duration) func(*sqs.Options) {
	return func(o *sqs.Options) {
		o.Retryer = q.retryer
		o.APIOptions = append(o.APIOptions, awscall.LimitTries(awscall.TryFor+wait))
	}
}

// passes tells whether an error may be over when the call is made again. OverLimit says
// that too many messages are in flight; the two others are names of one error.
func passes(err error) bool {
	return awscall.Passing(err, "OverLimit", "KmsThrottled", "KMS.ThrottlingException")
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

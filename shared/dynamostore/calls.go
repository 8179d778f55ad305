package dynamostore

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"paylane/shared/awscall"
	"paylane/shared/order"
)

// calls sets how every call of a store is retried, whatever the client's settings.
func (s *Store) calls(o *dynamodb.Options) {
	o.Retryer = s.retryer
	o.APIOptions = append(o.APIOptions, awscall.LimitTries(awscall.TryFor))
}

// transient reports whether a later call may not meet the error ("Error handling with
// DynamoDB").
func transient(err error) bool {
	return awscall.Transient(err, "ReplicatedWriteConflictException", "TransactionConflictException")
}

// translate wraps [order.ErrUnavailable] around an error that is [transient]. Once the
// caller's context has ended, its error is returned.
func translate(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	case transient(err):
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

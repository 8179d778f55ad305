package dynamostore

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"paylane/shared/awscall"
	"paylane/shared/order"
)

// callOptions gives every call of a store the same retries, whatever the client's.
func callOptions() func(*dynamodb.Options) {
	retryer := awscall.NewRetryer(passes)
	limit := awscall.LimitTries(awscall.TryFor)
	return func(o *dynamodb.Options) {
		o.Retryer = retryer
		o.APIOptions = append(o.APIOptions, limit)
	}
}

// passes tells whether an error may be over when the call is made again ("Error
// handling with DynamoDB").
func passes(err error) bool {
	return awscall.Passing(err, "ReplicatedWriteConflictException", "TransactionConflictException")
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

package dynamostore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"paylane/shared/order"
)

// Store is an [order.Store] on a DynamoDB table.
type Store struct {
	client *dynamodb.Client
	table  string
}

// New makes a store on an existing table; template.yaml has its definition.
func New(client *dynamodb.Client, table string) *Store {
	return &Store{client: client, table: table}
}

// Create implements [order.Store].
func (s *Store) Create(ctx context.Context, o order.Order) error {
	it, token := encode(o), writeToken()
	it[attrWrite] = token
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table, Item: it,
		ConditionExpression:                 aws.String("attribute_not_exists(#pk)"),
		ExpressionAttributeNames:            map[string]string{"#pk": attrKey},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	_, err = outcome(err, token)
	return wrap("put the order", err)
}

// Update implements [order.Store]. Attributes that this build does not know stay.
func (s *Store) Update(ctx context.Context, next order.Order) error {
	e, token := newExpression(), writeToken()
	e.set(attrWrite, token)
	it := encode(next)
	for _, name := range names() {
		if value, ok := it[name]; ok {
			e.set(name, value)
		} else {
			e.remove(name)
		}
	}
	_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: keyOf(next.Ref),
		UpdateExpression:                    e.update(),
		ConditionExpression:                 aws.String(e.name(attrVersion) + " = " + e.value(number(next.Version-1))),
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	_, err = outcome(err, token)
	return wrap("update the order", err)
}

// Claim implements [order.Store]: order.Order.Claimed as one conditional write.
func (s *Store) Claim(ctx context.Context, ref order.Ref, c order.Claim) (order.Order, error) {
	e := newExpression()
	leg, from, to := chargeAttrs, []order.Status{order.Pending, order.Processing}, order.Processing
	if c.Kind == order.KindRefund {
		leg, from, to = refundAttrs, []order.Status{order.Refunding}, order.Refunding
	}
	begun := order.Order{Status: order.Pending, Round: 1}
	if claimed, err := begun.Claimed(order.Claim{Kind: order.KindCharge, Round: 1, Now: c.Now, Until: c.Until}); err == nil {
		begun = claimed // for the times as orders keep them
	}
	token := writeToken()
	one := e.value(number(1))
	e.set(attrStatus, text(string(to)))
	e.set(attrLease, millis(begun.LeaseUntil))
	e.set(attrUpdated, millis(begun.UpdatedAt))
	e.set(attrWrite, token)
	e.setTo(attrVersion, e.name(attrVersion)+" + "+one)
	e.setTo(leg.keySeq, fmt.Sprintf("if_not_exists(%s, %s)", e.name(leg.keySeq), one))
	e.setTo(leg.tries, fmt.Sprintf("if_not_exists(%s, %s) + %s", e.name(leg.tries), e.value(number(0)), one))
	e.setTo(leg.attempts, fmt.Sprintf("list_append(if_not_exists(%s, %s), %s)", e.name(leg.attempts),
		e.value(&types.AttributeValueMemberL{}),
		e.value(&types.AttributeValueMemberL{Value: []types.AttributeValue{encodeAttempt(begun.Charge.Attempts[0])}})))

	statuses := make([]string, len(from))
	for i, status := range from {
		statuses[i] = e.value(text(string(status)))
	}
	condition := fmt.Sprintf("%s = %s AND %s IN (%s) AND (attribute_not_exists(%s) OR %s <= %s)",
		e.name(attrRound), e.value(number(int64(c.Round))),
		e.name(attrStatus), strings.Join(statuses, ", "),
		e.name(attrLease), e.name(attrLease), e.value(number(c.Now.UnixMilli())))
	if c.Kind != order.KindRefund {
		condition += fmt.Sprintf(" AND (attribute_not_exists(%s) OR %s < %s)",
			e.name(leg.tries), e.name(leg.tries), e.value(number(order.MaxAttempts)))
	}
	out, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: keyOf(ref),
		UpdateExpression:                    e.update(),
		ConditionExpression:                 &condition,
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err != nil {
		mine, err := outcome(err, token)
		return mine, wrap("claim the order", err)
	}
	o, err := decode(out.Attributes)
	return o, wrap("claim the order", err)
}

// Get implements [order.Store].
func (s *Store) Get(ctx context.Context, ref order.Ref) (order.Order, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: keyOf(ref), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return order.Order{}, wrap("get the order", translate(err))
	}
	if len(out.Item) == 0 {
		return order.Order{}, order.ErrNotFound
	}
	o, err := decode(out.Item)
	return o, wrap("get the order", err)
}

// outcome translates the error of a conditional write. Where the condition failed
// only because an earlier try of the same call had succeeded, there is no error, and
// the order is as that try left it.
func outcome(err error, token types.AttributeValue) (order.Order, error) {
	var failed *types.ConditionalCheckFailedException
	if !errors.As(err, &failed) {
		return order.Order{}, translate(err)
	}
	if len(failed.Item) == 0 {
		return order.Order{}, order.ErrNotFound
	}
	current, err := decode(failed.Item)
	if err != nil {
		return order.Order{}, err
	}
	wrote, ok := failed.Item[attrWrite].(*types.AttributeValueMemberS)
	if ok && wrote.Value == token.(*types.AttributeValueMemberS).Value {
		return current, nil
	}
	return order.Order{}, &order.ConflictError{Current: current}
}

// translate makes [order.ErrUnavailable] of whatever may be over when the caller
// tries again: throttling, faults of the service, a broken connection.
func translate(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var api smithy.APIError
	var response *smithyhttp.ResponseError
	if errors.As(err, &api) && errors.As(err, &response) &&
		response.HTTPStatusCode() < http.StatusInternalServerError && !throttled(api.ErrorCode()) {
		return err
	}
	return fmt.Errorf("%w: %w", order.ErrUnavailable, err)
}

// throttled knows the client faults that pass ("Error handling with DynamoDB").
func throttled(code string) bool {
	switch code {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded",
		"LimitExceededException", "ReplicatedWriteConflictException", "TransactionInProgressException":
		return true
	}
	return false
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// writeToken is unique to one call; the SDK's retries of the call share it.
func writeToken() types.AttributeValue { return text(rand.Text()[:16]) }

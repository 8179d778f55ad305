package dynamostore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"paylane/shared/awscall"
	"paylane/shared/order"
)

// Store implements [order.Store] and [order.Scanner] on a DynamoDB table.
type Store struct {
	client  *dynamodb.Client
	table   string
	retryer *awscall.Retryer
	// retention is how long an order is kept after it has ended; 0 is without end.
	retention time.Duration
}

// New returns a store on an existing table, which template.yaml defines. Its calls are
// retried whatever the client's settings. Jitter returns a number from 0 to n-1.
func New(client *dynamodb.Client, table string, jitter func(n int) int) *Store {
	return &Store{client: client, table: table, retryer: awscall.NewRetryer(transient, jitter)}
}

// Retaining returns a store that has DynamoDB delete each order that has ended and then not
// changed for so long, which it does within a few days of that ("Using time to live (TTL) in
// DynamoDB"). With 0, as New returns it, orders are kept. What was written with another
// retention gets this one when it is changed, or once a [Store.Scan] has read it.
func (s *Store) Retaining(retention time.Duration) *Store {
	retaining := *s
	retaining.retention = retention
	return &retaining
}

// Create implements [order.Store].
func (s *Store) Create(ctx context.Context, o order.Order) error {
	it, token := s.encode(o), newToken()
	it[attrCreation] = text(token)
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table, Item: it,
		ConditionExpression:                 aws.String("attribute_not_exists(#pk)"),
		ExpressionAttributeNames:            map[string]string{"#pk": attrKey},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, s.calls)
	_, err = outcome(ctx, err, token)
	return wrap("put the order", err)
}

// Update implements [order.Store]. Attributes that this build does not know stay.
func (s *Store) Update(ctx context.Context, next order.Order) error {
	e, token := newExpression(), newToken()
	e.set(attrWrite, text(token))
	if next.Version == next.FirstVersion {
		e.set(attrCreation, text(token)) // an order in a tombstone's place
	}
	it := s.encode(next)
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
	}, s.calls)
	_, err = outcome(ctx, err, token)
	return wrap("update the order", err)
}

// Claim implements [order.Store]: order.Order.Claimed as one conditional write.
func (s *Store) Claim(ctx context.Context, ref order.Ref, c order.Claim) (order.Order, error) {
	token := newToken()
	in := claimInput(c, token)
	in.TableName, in.Key = &s.table, keyOf(ref)
	out, err := s.client.UpdateItem(ctx, in, s.calls)
	var o order.Order
	if err == nil {
		o, err = decode(out.Attributes)
	} else {
		o, err = outcome(ctx, err, token)
	}
	return o, wrap("claim the order", err)
}

// claimInput expresses order.Order.Claimed as an update. It sets no schema version, since
// it knows only a part of the item, and so refuses the items of newer builds.
func claimInput(c order.Claim, token string) *dynamodb.UpdateItemInput {
	e := newExpression()
	leg, from, to := chargeAttrs, []order.Status{order.Pending, order.Processing}, order.Processing
	if c.Kind == order.KindRefund {
		leg, from, to = refundAttrs, []order.Status{order.Refunding}, order.Refunding
	}
	attempt := encodeAttempt(order.Attempt{StartedAt: c.Now, Outcome: order.OutcomePending})
	none, one := e.value(number(0)), e.value(number(1))
	e.set(attrStatus, text(string(to)))
	e.set(attrLease, millis(c.Until))
	e.remove(attrRetry)
	e.set(attrUpdated, millis(c.Now))
	e.set(attrWrite, text(token))
	e.setTo(attrVersion, e.name(attrVersion)+" + "+one)
	e.setTo(leg.keySeq, fmt.Sprintf("if_not_exists(%s, %s)", e.name(leg.keySeq), one))
	e.setTo(leg.tries, fmt.Sprintf("if_not_exists(%s, %s) + %s", e.name(leg.tries), none, one))
	e.setTo(leg.since, fmt.Sprintf("if_not_exists(%s, %s)", e.name(leg.since), e.value(millis(c.Now))))
	e.setTo(leg.attempts, fmt.Sprintf("list_append(if_not_exists(%s, %s), %s)", e.name(leg.attempts),
		e.value(&types.AttributeValueMemberL{}),
		e.value(&types.AttributeValueMemberL{Value: []types.AttributeValue{attempt}})))

	statuses := make([]string, len(from))
	for i, status := range from {
		statuses[i] = e.value(text(string(status)))
	}
	condition := fmt.Sprintf("%s <= %s AND %s = %s AND %s IN (%s) AND (attribute_not_exists(%s) OR %s <= %s)",
		e.name(attrSchema), e.value(number(schemaRefunds)),
		e.name(attrRound), e.value(number(int64(c.Round))),
		e.name(attrStatus), strings.Join(statuses, ", "),
		e.name(attrLease), e.name(attrLease), e.value(millis(c.Now)))
	if c.Kind != order.KindRefund {
		left := fmt.Sprintf("attribute_not_exists(%s) OR %s < %s",
			e.name(leg.tries), e.name(leg.tries), e.value(number(int64(c.Limits.Attempts))))
		if since, never := c.BegunAfter(); !never {
			left += fmt.Sprintf(" OR %s > %s", e.name(leg.since), e.value(millis(since)))
		}
		condition += " AND (" + left + ")"
	}
	return &dynamodb.UpdateItemInput{
		UpdateExpression:                    e.update(),
		ConditionExpression:                 &condition,
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
}

// Get implements [order.Store].
func (s *Store) Get(ctx context.Context, ref order.Ref) (order.Order, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: keyOf(ref), ConsistentRead: aws.Bool(true),
	}, s.calls)
	if err != nil {
		return order.Order{}, wrap("get the order", translate(ctx, err))
	}
	if len(out.Item) == 0 {
		return order.Order{}, order.ErrNotFound
	}
	o, err := decode(out.Item)
	return o, wrap("get the order", err)
}

// newToken returns a token for one call, which all of the SDK's tries share.
func newToken() string { return rand.Text()[:16] }

// outcome translates the error of a conditional write. If the condition failed only because
// an earlier try of the same call had succeeded, it returns the order as it is now, and no
// error.
func outcome(ctx context.Context, err error, token string) (order.Order, error) {
	var failed *types.ConditionalCheckFailedException
	if !errors.As(err, &failed) {
		return order.Order{}, translate(ctx, err)
	}
	if len(failed.Item) == 0 {
		return order.Order{}, order.ErrNotFound
	}
	current, err := decode(failed.Item)
	if err != nil {
		return order.Order{}, err
	}
	for _, name := range []string{attrWrite, attrCreation} {
		if wrote, ok := failed.Item[name].(*types.AttributeValueMemberS); ok && wrote.Value == token {
			return current, nil
		}
	}
	return order.Order{}, &order.ConflictError{Current: current}
}

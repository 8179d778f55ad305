package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"paylane/shared/order"
)

var _ order.Scanner = (*Store)(nil)

// Scan implements [order.Scanner] with DynamoDB's parallel scan ("Scanning tables in
// DynamoDB"). Its reads are eventually consistent, at half the price: half a read unit
// for each 4 KB that a page reads. If an item can't be decoded, the error names it: none
// is left out silently. An order that names a customer and is not in byCustomer, since an
// older build wrote it, is entered there; one that was written with another retention gets
// the expiry that this store's asks for.
func (s *Store) Scan(ctx context.Context, q order.ScanQuery) (order.ScanPage, error) {
	page, err := s.scan(ctx, q)
	return page, wrap("scan the orders", err)
}

func (s *Store) scan(ctx context.Context, q order.ScanQuery) (order.ScanPage, error) {
	after, err := q.Start()
	if err != nil {
		return order.ScanPage{}, err
	}
	var start item
	if after != nil {
		start = item{attrKey: text(string(after))}
	}
	out, err := s.client.Scan(ctx, &dynamodb.ScanInput{
		TableName: &s.table, ExclusiveStartKey: start, Limit: aws.Int32(int32(q.Limit)),
		Segment: aws.Int32(int32(q.Segment)), TotalSegments: aws.Int32(int32(q.Segments)),
	}, s.calls)
	if err != nil {
		return order.ScanPage{}, translate(ctx, err)
	}
	var page order.ScanPage
	for _, it := range out.Items {
		o, err := decode(it)
		if err != nil {
			key := reader{item: it}
			return order.ScanPage{}, fmt.Errorf("the item %q: %w", key.text(attrKey), err)
		}
		if o.Status == order.Void {
			continue
		}
		if err := s.complete(ctx, o, it); err != nil {
			return order.ScanPage{}, fmt.Errorf("complete the item of the order %s: %w", o.ID, err)
		}
		page.Orders = append(page.Orders, o)
	}
	if len(out.LastEvaluatedKey) > 0 {
		r := reader{item: out.LastEvaluatedKey}
		page.Next = q.After([]byte(r.text(attrKey)))
		err = r.err
	}
	return page, err
}

// complete writes what an item would have besides its order if it were written now: the entry
// in byCustomer, and the expiry. The order itself does not change, nor does its version.
func (s *Store) complete(ctx context.Context, o order.Order, it item) error {
	e, now := newExpression(), s.encode(o)
	for _, name := range []string{attrByCustomer, attrExpires} {
		switch {
		case reflect.DeepEqual(now[name], it[name]):
		case now[name] == nil:
			e.remove(name)
		default:
			e.set(name, now[name])
		}
	}
	if len(e.names) == 0 {
		return nil
	}
	_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: keyOf(o.Ref), UpdateExpression: e.update(),
		// Otherwise the order was written or removed meanwhile.
		ConditionExpression:      aws.String(e.name(attrVersion) + " = " + e.value(number(o.Version))),
		ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values,
	}, s.calls)
	if failed := new(types.ConditionalCheckFailedException); errors.As(err, &failed) {
		return nil
	}
	return translate(ctx, err)
}

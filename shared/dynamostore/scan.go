package dynamostore

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"paylane/shared/order"
)

var _ order.Scanner = (*Store)(nil)

// Scan implements [order.Scanner] with DynamoDB's parallel scan ("Scanning tables in
// DynamoDB"). Its reads are eventually consistent, at half the price: half a read unit
// for each 4 KB that a page reads. If an item can't be decoded, the error names it: none
// is left out silently.
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
		if o.Status != order.Void {
			page.Orders = append(page.Orders, o)
		}
	}
	if len(out.LastEvaluatedKey) > 0 {
		r := reader{item: out.LastEvaluatedKey}
		page.Next = q.After([]byte(r.text(attrKey)))
		err = r.err
	}
	return page, err
}

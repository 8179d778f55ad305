package dynamostore

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"paylane/shared/order"
)

// maxSegments is how many segments a scan may have.
const maxSegments = 64

var _ order.Scanner = (*Store)(nil)

// Scan implements [order.Scanner] by DynamoDB's parallel scan ("Scanning tables in
// DynamoDB"). Its reads are eventually consistent, at half the price: half a read unit
// for each 4 KB that a part reads. An item that can't be read is an error that names
// it: nothing is left out unseen.
func (s *Store) Scan(ctx context.Context, q order.ScanQuery) (order.ScanPage, error) {
	page, err := s.scan(ctx, q)
	return page, wrap("scan the orders", err)
}

func (s *Store) scan(ctx context.Context, q order.ScanQuery) (order.ScanPage, error) {
	start, err := scanFrom(q)
	if err != nil {
		return order.ScanPage{}, err
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
		page.Next, err = scanCursor(q, out.LastEvaluatedKey)
	}
	return page, err
}

// scanCursor is the place right after a key in a segment.
func scanCursor(q order.ScanQuery, last item) (string, error) {
	r := reader{item: last}
	key := r.text(attrKey)
	return fmt.Sprintf("%d.%d.%s", q.Segment, q.Segments, base64.RawURLEncoding.EncodeToString([]byte(key))), r.err
}

// scanFrom gives the key after which a scan reads on; nil is the beginning.
func scanFrom(q order.ScanQuery) (item, error) {
	if q.Segments < 1 || q.Segments > maxSegments || q.Segment < 0 || q.Segment >= q.Segments || q.Limit < 1 {
		return nil, fmt.Errorf("there is no segment %d of %d to read %d orders of", q.Segment, q.Segments, q.Limit)
	}
	if q.Cursor == "" {
		return nil, nil
	}
	var segment, segments int
	var encoded string
	_, err := fmt.Sscanf(q.Cursor, "%d.%d.%s", &segment, &segments, &encoded)
	key, bad := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || bad != nil || len(key) == 0 || segment != q.Segment || segments != q.Segments {
		return nil, fmt.Errorf("the cursor is none of segment %d of %d", q.Segment, q.Segments)
	}
	return item{attrKey: text(string(key))}, nil
}

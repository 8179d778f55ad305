package dynamostore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"paylane/shared/order"
)

const (
	// maxScanned bounds how many orders one page of a filtered list reads.
	maxScanned = 1000
	// maxBatchGet is BatchGetItem's limit.
	maxBatchGet = 100
	// retryPause is the first pause before unprocessed keys are asked for again.
	retryPause = 20 * time.Millisecond
)

// List implements [order.Store].
func (s *Store) List(ctx context.Context, q order.Query) (order.Page, error) {
	page, err := s.list(ctx, q)
	return page, wrap("list the orders", err)
}

func (s *Store) list(ctx context.Context, q order.Query) (order.Page, error) {
	index, partition := indexByTenant, func(shard int) string { return tenantPartition(q.Tenant, shard) }
	if inOutcomeIndex(q.Status) {
		index, partition = indexByOutcome, func(shard int) string { return outcomePartition(q.Tenant, q.Status, shard) }
	}
	var page order.Page
	for after, scanned := q.After, 0; ; {
		entries, more, err := s.newest(ctx, index, partition, after, min(q.Limit, maxBatchGet))
		if err != nil {
			return order.Page{}, err
		}
		orders, err := s.fetch(ctx, entries)
		if err != nil {
			return order.Page{}, err
		}
		for i, o := range orders {
			if o != nil && (q.Status == "" || o.Status == q.Status) {
				page.Orders = append(page.Orders, *o)
			}
			after = &entries[i].position
			if len(page.Orders) == q.Limit {
				more = more || i < len(orders)-1
				break
			}
		}
		scanned += len(entries)
		if !more {
			return page, nil
		}
		if len(page.Orders) == q.Limit || scanned >= maxScanned {
			page.Next = after
			return page, nil
		}
	}
}

// entry is what an index knows of an order.
type entry struct {
	key      string // of the table
	sort     string
	position order.Position
}

// newest reads all shards of an index side by side and merges their newest entries,
// up to limit; more says that others follow.
func (s *Store) newest(
	ctx context.Context, index string, partition func(shard int) string, after *order.Position, limit int,
) (entries []entry, more bool, err error) {
	perShard := make([][]entry, shards)
	g, ctx := errgroup.WithContext(ctx)
	for shard := range shards {
		g.Go(func() (err error) {
			perShard[shard], err = s.queryShard(ctx, index, partition(shard), after, limit+1)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, false, err
	}
	all := slices.Concat(perShard...)
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(b.sort, a.sort) })
	return all[:min(limit, len(all))], len(all) > limit, nil
}

func (s *Store) queryShard(ctx context.Context, index, partition string, after *order.Position, limit int) ([]entry, error) {
	e := newExpression()
	attr := attrByTenant
	if index == indexByOutcome {
		attr = attrByOutcome
	}
	condition := e.name(attr) + " = " + e.value(text(partition))
	if after != nil {
		condition += " AND " + e.name(attrSort) + " < " + e.value(text(sortKey(*after)))
	}
	pages := dynamodb.NewQueryPaginator(s.client, &dynamodb.QueryInput{
		TableName: &s.table, IndexName: &index,
		KeyConditionExpression:    &condition,
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
		ScanIndexForward:          aws.Bool(false),
		Limit:                     aws.Int32(int32(limit)),
	})
	var entries []entry
	for len(entries) < limit && pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err)
		}
		for _, it := range out.Items {
			r := reader{item: it}
			found := entry{key: r.text(attrKey), sort: r.text(attrSort)}
			if r.err != nil {
				return nil, fmt.Errorf("read the index %s: %w", index, r.err)
			}
			if found.position, err = parseSortKey(found.sort); err != nil {
				return nil, err
			}
			entries = append(entries, found)
		}
	}
	return entries, nil
}

// fetch reads the orders of index entries; nil where there is none any more.
func (s *Store) fetch(ctx context.Context, entries []entry) ([]*order.Order, error) {
	orders := make([]*order.Order, len(entries))
	if len(entries) == 0 {
		return orders, nil
	}
	at := make(map[string]int, len(entries))
	keys := make([]map[string]types.AttributeValue, len(entries))
	for i, e := range entries {
		at[e.key] = i
		keys[i] = item{attrKey: text(e.key)}
	}
	want := map[string]types.KeysAndAttributes{s.table: {Keys: keys, ConsistentRead: aws.Bool(true)}}
	for pause := retryPause; len(want) > 0; pause *= 2 {
		out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: want})
		if err != nil {
			return nil, translate(err)
		}
		for _, it := range out.Responses[s.table] {
			o, err := decode(it)
			if err != nil {
				return nil, err
			}
			if i, ok := at[partitionKey(o.Ref)]; ok && o.Status != order.Void {
				orders[i] = &o
			}
		}
		if want = out.UnprocessedKeys; len(want) == 0 {
			break
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
	return orders, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

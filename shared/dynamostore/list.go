package dynamostore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"paylane/shared/order"
)

const (
	// maxBatchGet is BatchGetItem's limit.
	maxBatchGet = 100
	// maxFollowUps bounds how often unprocessed keys are requested again.
	maxFollowUps = 5
)

// List implements [order.Store].
func (s *Store) List(ctx context.Context, q order.Query) (order.Page, error) {
	page, err := s.list(ctx, q)
	return page, wrap("list the orders", err)
}

// list reads the newest entries of an index, a batch at a time, until the page is full.
// If a filter rejects most entries, each batch is as large as all before it together.
func (s *Store) list(ctx context.Context, q order.Query) (order.Page, error) {
	index := indexFor(q)
	var page order.Page
	for after, scanned := q.After, 0; ; {
		batch := min(max(q.Limit-len(page.Orders), scanned), maxBatchGet)
		if q.Status != "" {
			batch = min(batch, order.MaxFiltered-scanned)
		}
		entries, more, err := s.newest(ctx, index, after, batch)
		if err != nil {
			return order.Page{}, err
		}
		orders, err := s.fetch(ctx, entries)
		if err != nil {
			return order.Page{}, err
		}
		scanned += len(entries)
		for i, o := range orders {
			if len(page.Orders) == q.Limit {
				more = true
				break
			}
			after = &entries[i].position
			if o != nil && matches(q, o) {
				page.Orders = append(page.Orders, *o)
			}
		}
		switch {
		case !more:
			return page, nil
		case len(page.Orders) == q.Limit, q.Status != "" && scanned >= order.MaxFiltered:
			page.Next = after
			return page, nil
		}
	}
}

// matches reports whether a list has an order. An entry of an index may be older than the
// order.
func matches(q order.Query, o *order.Order) bool {
	return (q.Status == "" || o.Status == q.Status) && (q.CustomerID == "" || o.CustomerID == q.CustomerID)
}

// entry is an order's entry in an index.
type entry struct {
	key      string // of the table
	sort     string
	position order.Position
}

// newest reads the list's partitions of an index concurrently and merges their newest entries,
// up to limit; more reports whether others follow.
func (s *Store) newest(
	ctx context.Context, index index, after *order.Position, limit int,
) (entries []entry, more bool, err error) {
	found := make([][]entry, len(index.partitions))
	g, ctx := errgroup.WithContext(ctx)
	for i, partition := range index.partitions {
		g.Go(func() (err error) {
			found[i], err = s.queryPartition(ctx, index, partition, after, limit+1)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, false, err
	}
	all := slices.Concat(found...)
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(b.sort, a.sort) })
	return all[:min(limit, len(all))], len(all) > limit, nil
}

func (s *Store) queryPartition(
	ctx context.Context, index index, partition string, after *order.Position, limit int,
) (entries []entry, err error) {
	e := newExpression()
	condition := e.name(index.key) + " = " + e.value(text(partition))
	if after != nil {
		condition += " AND " + e.name(attrSort) + " < " + e.value(text(sortKey(*after)))
	}
	pages := dynamodb.NewQueryPaginator(s.client, &dynamodb.QueryInput{
		TableName: &s.table, IndexName: &index.name,
		KeyConditionExpression:    &condition,
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
		ScanIndexForward:          aws.Bool(false),
		Limit:                     aws.Int32(int32(limit)),
	})
	for len(entries) < limit && pages.HasMorePages() {
		out, err := pages.NextPage(ctx, s.calls)
		if err != nil {
			return nil, translate(ctx, err)
		}
		for _, it := range out.Items {
			r := reader{item: it}
			found := entry{key: r.text(attrKey), sort: r.text(attrSort)}
			if r.err != nil {
				return nil, fmt.Errorf("read the index %s: %w", index.name, r.err)
			}
			if found.position, err = parseSortKey(found.sort); err != nil {
				return nil, err
			}
			entries = append(entries, found)
		}
	}
	return entries, nil
}

// fetch reads the orders of index entries, with nil for an order that no longer exists.
// Reads are consistent: an order must not be missing from a list because a replica is
// behind its own index.
func (s *Store) fetch(ctx context.Context, entries []entry) ([]*order.Order, error) {
	orders := make([]*order.Order, len(entries))
	at := make(map[string]int, len(entries))
	keys := make([]map[string]types.AttributeValue, len(entries))
	for i, e := range entries {
		at[e.key] = i
		keys[i] = item{attrKey: text(e.key)}
	}
	want := types.KeysAndAttributes{Keys: keys, ConsistentRead: aws.Bool(true)}
	for try := 1; len(want.Keys) > 0; try++ {
		out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{s.table: want},
		}, s.calls)
		if err != nil {
			return nil, translate(ctx, err)
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
		// Some keys may be left: DynamoDB throttled the request, or had 16 MB together.
		want.Keys = out.UnprocessedKeys[s.table].Keys
		switch {
		case len(want.Keys) == 0:
		case try > maxFollowUps:
			return nil, fmt.Errorf("%d keys are still unprocessed after %d tries: %w", len(want.Keys), try, order.ErrUnavailable)
		default:
			if !s.retryer.Pause(ctx, try) {
				return nil, translate(ctx, fmt.Errorf("%d keys are still unprocessed and no time is left", len(want.Keys)))
			}
		}
	}
	return orders, nil
}

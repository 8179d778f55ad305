package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/cockroachdb/pebble/v2"

	"paylane/shared/order"
)

var _ order.Scanner = (*Store)(nil)

// Scan implements [order.Scanner]. An order's segment is a hash of its key, so a scan of a
// segment passes over the keys of all, and reads its own: the database is on one machine.
func (s *Store) Scan(ctx context.Context, q order.ScanQuery) (order.ScanPage, error) {
	const doing = "scan orders"
	lower, err := scanFrom(q)
	if err != nil {
		return order.ScanPage{}, fmt.Errorf("%s: %w", doing, err)
	}
	return readPage(ctx, s.db, doing, func() (order.ScanPage, []*commit, error) { return s.scan(ctx, q, lower) })
}

// scan also returns the writes that are not yet durable of the orders that it read.
func (s *Store) scan(ctx context.Context, q order.ScanQuery, lower []byte) (page order.ScanPage, inflight []*commit, err error) {
	iter, err := s.db.pebble.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: lower, UpperBound: prefixEnd([]byte{kindOrder}),
	})
	if err != nil {
		return order.ScanPage{}, nil, err
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	read := 0
	var last []byte
	for ok := iter.First(); ok && ctx.Err() == nil; ok = iter.Next() {
		if segmentOf(iter.Key(), q.Segments) != q.Segment {
			continue
		}
		if read == q.Limit {
			page.Next = q.After(last)
			break
		}
		read++
		last = append(last[:0], iter.Key()...)
		o, err := scanned(iter)
		if err != nil {
			return order.ScanPage{}, nil, err
		}
		if c := s.stripe(o.Ref).pending(o.Ref); c != nil {
			inflight = append(inflight, c)
		}
		if o.Status != order.Void {
			page.Orders = append(page.Orders, o)
		}
	}
	return page, inflight, iter.Error()
}

// scanned reads the order that an iterator is at.
func scanned(iter *pebble.Iterator) (order.Order, error) {
	tenant, id, ok := cutText(iter.Key()[1:])
	if !ok {
		return order.Order{}, fmt.Errorf("%w: the key of an order is garbled: %x", ErrDamaged, iter.Key())
	}
	record, err := iter.ValueAndErr()
	if err != nil {
		return order.Order{}, err
	}
	return stored{ref: order.Ref{Tenant: tenant, ID: string(id)}, record: record}.order()
}

// segmentOf must never change: a cursor may be used by a later process.
func segmentOf(key []byte, segments int) int {
	h := fnv.New32a()
	_, _ = h.Write(key)
	return int(h.Sum32() % uint32(segments))
}

// scanFrom returns the first key that a scan may read.
func scanFrom(q order.ScanQuery) ([]byte, error) {
	after, err := q.Start()
	switch {
	case err != nil:
		return nil, err
	case after == nil:
		return []byte{kindOrder}, nil
	case after[0] != kindOrder:
		return nil, fmt.Errorf("the cursor is not of segment %d of %d", q.Segment, q.Segments)
	}
	return append(after, 0), nil
}

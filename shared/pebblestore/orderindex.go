package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"paylane/shared/order"
)

// putOrder adds an order's record to a batch, and replaces the index entries of the record
// before.
func (s *Store) putOrder(b *pebble.Batch, key []byte, before stored, o *order.Order) error {
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	record, err := appendOrder((*buf)[:0], o)
	if err != nil {
		return err
	}
	*buf = record
	after, err := readHeader(record)
	if err != nil {
		return err
	}
	customer, err := before.customer()
	if err == nil {
		err = b.Set(key, record, nil)
	}
	for index := range numIndexes {
		// The batch has copied the record, so its buffer can hold the keys now.
		was := indexKey((*buf)[:0], index, before.header, customer, o.Ref)
		is := indexKey(was[len(was):], index, after, o.CustomerID, o.Ref)
		if bytes.Equal(was, is) {
			continue
		}
		if len(was) > 0 {
			err = errors.Join(err, b.Delete(was, nil))
		}
		if len(is) > 0 {
			err = errors.Join(err, b.Set(is, nil, nil))
		}
	}
	return err
}

// The indexes of orders.
const (
	indexList = iota
	indexOutcome
	indexCustomer
	indexVoid
	numIndexes
)

// indexKey appends an order's key in an index, or nothing if it is not in that index.
func indexKey(key []byte, index int, h header, customer string, ref order.Ref) []byte {
	listed := h.status != "" && h.status != order.Void
	switch {
	case index == indexList && listed:
		return placeKey(listPrefix(key, ref.Tenant, ""), h.created, ref.ID)
	case index == indexOutcome && h.status.Sparse():
		return placeKey(listPrefix(key, ref.Tenant, h.status), h.created, ref.ID)
	case index == indexCustomer && listed && customer != "":
		return placeKey(customerPrefix(key, ref.Tenant, customer), h.created, ref.ID)
	case index == indexVoid && h.status == order.Void && h.expires != 0:
		return voidKey(key, h.expires, ref)
	}
	return key
}

// List implements [order.Store].
func (s *Store) List(ctx context.Context, q order.Query) (order.Page, error) {
	return readPage(ctx, s.db, "list orders", func() (order.Page, []*commit, error) { return s.list(ctx, q) })
}

// readPage reads a page of orders, and waits until everything that it rests on is durable:
// read also returns the writes that are not yet.
func readPage[P any](ctx context.Context, db *DB, doing string, read func() (P, []*commit, error)) (page P, err error) {
	var none P
	if err := db.begin(ctx); err != nil {
		return none, fmt.Errorf("%s: %w", doing, err)
	}
	defer db.ops.Done()
	page, inflight, err := read()
	switch {
	case ctx.Err() != nil:
		return none, fmt.Errorf("%s: %w", doing, ctx.Err())
	case err != nil:
		return none, unavailable(doing, err)
	}
	for _, c := range inflight {
		if err := c.wait(ctx); err != nil {
			return none, fmt.Errorf("%s: %w", doing, err)
		}
	}
	return page, nil
}

// list also returns the writes that are not yet durable of all orders that it read: the
// page rests on those that it left out, too.
func (s *Store) list(ctx context.Context, q order.Query) (page order.Page, inflight []*commit, err error) {
	limit, prefix, filter := max(q.Limit, 1), listPrefix(nil, q.Tenant, ""), q.Status
	switch {
	case q.CustomerID != "":
		prefix = customerPrefix(nil, q.Tenant, q.CustomerID)
	case q.Status.Sparse():
		prefix, filter = listPrefix(nil, q.Tenant, q.Status), ""
	}
	// With one snapshot for the index and the orders, the page shows one moment, and no
	// writer waits for it.
	snapshot := s.db.pebble.NewSnapshot()
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	upper := prefixEnd(prefix)
	if q.After != nil {
		upper = placeKey(slices.Clone(prefix), stampOf(q.After.CreatedAt), q.After.ID)
	}
	iter, err := snapshot.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: prefix, UpperBound: upper})
	if err != nil {
		return order.Page{}, nil, err
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	var last order.Position
	read := 0
	for ok := iter.Last(); ok && ctx.Err() == nil; ok = iter.Prev() {
		if len(page.Orders) == limit || (filter != "" && read == order.MaxFiltered) {
			page.Next = &last
			break
		}
		created, id := parsePlaceKey(iter.Key(), prefix)
		ref := order.Ref{Tenant: q.Tenant, ID: id}
		o, ok, err := readListed(snapshot, ref, filter)
		if err != nil {
			return order.Page{}, nil, err
		}
		if c := s.stripe(ref).pending(ref); c != nil {
			inflight = append(inflight, c)
		}
		if ok {
			page.Orders = append(page.Orders, o)
		}
		last = order.Position{CreatedAt: created.time(), ID: id}
		read++
	}
	return page, inflight, iter.Error()
}

// readListed reads an order that an index names; ok is false if the filter leaves it out.
func readListed(r pebble.Reader, ref order.Ref, filter order.Status) (o order.Order, ok bool, err error) {
	record, closer, err := r.Get(orderKey(nil, ref))
	if errors.Is(err, pebble.ErrNotFound) {
		return order.Order{}, false, fmt.Errorf("%w: order %s is in a list, but does not exist", ErrDamaged, ref.ID)
	}
	if err != nil {
		return order.Order{}, false, err
	}
	defer func() { _ = closer.Close() }()
	h, err := readHeader(record)
	if err == nil && filter != "" && h.status != filter {
		return order.Order{}, false, nil
	}
	if err == nil {
		o, err = decodeOrder(ref, record)
	}
	if err != nil {
		return order.Order{}, false, fmt.Errorf("%w: order %s: %w", ErrDamaged, ref.ID, err)
	}
	return o, true, nil
}

// sweep removes the tombstones that have expired.
func (s *Store) sweep() error {
	expired, err := s.expiredRefs(kindVoid)
	if err != nil {
		return fmt.Errorf("find expired tombstones: %w", err)
	}
	for _, ref := range expired {
		if err := s.forget(ref); err != nil {
			return fmt.Errorf("remove an expired tombstone: %w", err)
		}
	}
	return nil
}

// expiredRefs reads, from the keys of a kind that lists what expires, what has expired.
func (s *Store) expiredRefs(kind byte) ([]order.Ref, error) {
	now := stampOf(s.db.now())
	iter, err := s.db.pebble.NewIter(&pebble.IterOptions{
		LowerBound: []byte{kind}, UpperBound: binary.BigEndian.AppendUint64([]byte{kind}, uint64(now+1)),
	})
	if err != nil {
		return nil, err
	}
	var expired []order.Ref
	for ok := iter.First(); ok; ok = iter.Next() {
		if ref, ok := parseExpiryKey(iter.Key()); ok {
			expired = append(expired, ref)
		}
	}
	return expired, damaged(errors.Join(iter.Error(), iter.Close()))
}

// forget removes a tombstone if it still exists and has expired.
func (s *Store) forget(ref order.Ref) error {
	st := s.stripe(ref)
	st.writing.Lock()
	defer st.writing.Unlock()
	key := orderKey(nil, ref)
	record, closer, err := s.db.pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return damaged(err)
	}
	h, err := readHeader(record)
	_ = closer.Close()
	if err != nil || !s.expired(h) {
		return err
	}
	b := s.db.pebble.NewBatch()
	if err := errors.Join(b.Delete(key, nil), b.Delete(voidKey(nil, h.expires, ref), nil)); err != nil {
		return err
	}
	_, err = s.db.wal.writeLazily(b)
	return err
}

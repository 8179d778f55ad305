package model

import (
	"cmp"
	"context"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"paylane/shared/document"
	"paylane/shared/order"
)

// Table is a table of orders and documents: an [order.Store], an [order.Scanner] and a
// [document.Store]. Each write is one atomic step, as a conditional write of DynamoDB is.
type Table struct {
	now func() time.Time

	mu        sync.Mutex
	orders    map[order.Ref]order.Order
	places    map[string][]order.Position // of each tenant's orders, the newest first
	documents map[document.Key]document.Document
	changes   *changes
}

// NewTable returns an empty table.
func NewTable(now func() time.Time) *Table {
	return &Table{
		now: now, orders: map[order.Ref]order.Order{}, places: map[string][]order.Position{}, documents: map[document.Key]document.Document{},
		changes: &changes{added: make(chan struct{})},
	}
}

// read returns what is stored. A tombstone that has expired is gone, which is the earliest that
// DynamoDB may delete it.
func (t *Table) read(ref order.Ref) (order.Order, bool) {
	o, ok := t.orders[ref]
	if ok && !o.ExpiresAt.IsZero() && !o.ExpiresAt.After(t.now()) {
		t.move(ref.Tenant, &o, nil)
		delete(t.orders, ref)
		return order.Order{}, false
	}
	return o, ok
}

// write stores an order as a table does, which keeps times in milliseconds and nothing that is
// empty.
func (t *Table) write(o order.Order) order.Order {
	o = asStored(o)
	var before *order.Order
	if old, ok := t.orders[o.Ref]; ok {
		before = &old
	}
	t.move(o.Tenant, before, &o)
	t.orders[o.Ref] = o
	t.changes.add(t.now(), before, o)
	return o
}

// move keeps the places of a tenant's orders sorted.
func (t *Table) move(tenant string, before, after *order.Order) {
	places := t.places[tenant]
	if before != nil {
		if after != nil && before.Position() == after.Position() {
			return
		}
		i, _ := slices.BinarySearchFunc(places, before.Position(), byPlace)
		places = slices.Delete(places, i, i+1)
	}
	if after != nil {
		i, _ := slices.BinarySearchFunc(places, after.Position(), byPlace)
		places = slices.Insert(places, i, after.Position())
	}
	t.places[tenant] = places
}

func asStored(o order.Order) order.Order {
	for _, at := range []*time.Time{&o.LeaseUntil, &o.RetryAt, &o.CreatedAt, &o.UpdatedAt, &o.ExpiresAt} {
		*at = milliseconds(*at)
	}
	o.Charge, o.Refund = legAsStored(o.Charge), legAsStored(o.Refund)
	o.Items, o.Refunds, o.Fingerprint = clone(o.Items), clone(o.Refunds), clone(o.Fingerprint)
	for i := range o.Refunds {
		o.Refunds[i].RequestedAt, o.Refunds[i].EndedAt = milliseconds(o.Refunds[i].RequestedAt), milliseconds(o.Refunds[i].EndedAt)
	}
	if len(o.Metadata) == 0 {
		o.Metadata = nil
	}
	if o.Failure != nil {
		failure := *o.Failure
		o.Failure = &failure
	}
	return o
}

func legAsStored(l order.Leg) order.Leg {
	l.Since, l.Attempts = milliseconds(l.Since), clone(l.Attempts)
	for i := range l.Attempts {
		l.Attempts[i].StartedAt, l.Attempts[i].EndedAt = milliseconds(l.Attempts[i].StartedAt), milliseconds(l.Attempts[i].EndedAt)
	}
	return l
}

func milliseconds(at time.Time) time.Time {
	if at.IsZero() {
		return time.Time{}
	}
	return at.UTC().Truncate(time.Millisecond)
}

// clone copies a slice, and makes nil of an empty one.
func clone[E any](s []E) []E { return append([]E(nil), s...) }

// step runs one step on the table, unless the caller has given up.
func (t *Table) step(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return do()
}

// Create implements [order.Store].
func (t *Table) Create(ctx context.Context, o order.Order) error {
	return t.step(ctx, func() error {
		if current, ok := t.read(o.Ref); ok {
			return &order.ConflictError{Current: current}
		}
		t.write(o)
		return nil
	})
}

// Get implements [order.Store].
func (t *Table) Get(ctx context.Context, ref order.Ref) (o order.Order, err error) {
	err = t.step(ctx, func() error {
		var ok bool
		if o, ok = t.read(ref); !ok {
			return order.ErrNotFound
		}
		return nil
	})
	return o, err
}

// Claim implements [order.Store]. Its condition is written down here once more, as the expression
// of the real table is: shared/contract compares both with [order.Order.Claimed].
func (t *Table) Claim(ctx context.Context, ref order.Ref, c order.Claim) (claimed order.Order, err error) {
	err = t.step(ctx, func() error {
		current, ok := t.read(ref)
		if !ok {
			return order.ErrNotFound
		}
		next, refused := current.Claimed(c)
		if refused != nil {
			return &order.ConflictError{Current: current}
		}
		claimed = t.write(next)
		return nil
	})
	return claimed, err
}

// Update implements [order.Store].
func (t *Table) Update(ctx context.Context, next order.Order) error {
	return t.step(ctx, func() error {
		current, ok := t.read(next.Ref)
		switch {
		case !ok:
			return order.ErrNotFound
		case current.Version != next.Version-1:
			return &order.ConflictError{Current: current}
		}
		t.write(next)
		return nil
	})
}

// byPlace compares places in a list, the newest first.
func byPlace(a, b order.Position) int {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
}

// List implements [order.Store].
func (t *Table) List(ctx context.Context, q order.Query) (page order.Page, err error) {
	err = t.step(ctx, func() error {
		first := 0
		if q.After != nil {
			var at bool
			if first, at = slices.BinarySearchFunc(t.places[q.Tenant], *q.After, byPlace); at {
				first++
			}
		}
		read := 0
		var last order.Position
		for _, place := range t.places[q.Tenant][first:] {
			o := t.orders[order.Ref{Tenant: q.Tenant, ID: place.ID}]
			if o.Status == order.Void || q.CustomerID != "" && o.CustomerID != q.CustomerID {
				continue
			}
			if len(page.Orders) == q.Limit || q.Status != "" && read == order.MaxFiltered {
				page.Next = &last
				return nil
			}
			read++
			last = place
			if q.Status == "" || o.Status == q.Status {
				page.Orders = append(page.Orders, o)
			}
		}
		return nil
	})
	return page, err
}

// Scan implements [order.Scanner].
func (t *Table) Scan(ctx context.Context, q order.ScanQuery) (page order.ScanPage, err error) {
	err = t.step(ctx, func() error {
		after, err := q.Start()
		if err != nil {
			return err
		}
		read := 0
		for _, ref := range t.refs() {
			o, ok := t.read(ref)
			key := place(ref)
			if !ok || segment(key, q.Segments) != q.Segment || after != nil && key <= string(after) {
				continue
			}
			if o.Status != order.Void {
				page.Orders = append(page.Orders, o)
			}
			if read++; read == q.Limit {
				page.Next = q.After([]byte(key))
				return nil
			}
		}
		return nil
	})
	return page, err
}

func place(ref order.Ref) string { return ref.Tenant + "/" + ref.ID }

// refs returns the keys of all orders, sorted.
func (t *Table) refs() []order.Ref {
	return slices.SortedFunc(maps.Keys(t.orders), func(a, b order.Ref) int { return cmp.Compare(place(a), place(b)) })
}

func segment(key string, of int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % uint32(of)) //nolint:gosec // of is 1 to 64
}

// Document implements [document.Store].
func (t *Table) Document(ctx context.Context, k document.Key) (d document.Document, err error) {
	err = t.step(ctx, func() error {
		if err := k.Check(); err != nil {
			return err
		}
		d = t.documents[k]
		d.Key = k
		return nil
	})
	return d, err
}

// PutDocument implements [document.Store].
func (t *Table) PutDocument(ctx context.Context, d document.Document) error {
	return t.step(ctx, func() error {
		if err := d.Check(); err != nil {
			return err
		}
		if t.documents[d.Key].Version != d.Version-1 {
			return document.ErrConflict
		}
		t.documents[d.Key] = d
		return nil
	})
}

// DeleteDocument implements [document.Store].
func (t *Table) DeleteDocument(ctx context.Context, k document.Key) error {
	return t.step(ctx, func() error {
		if err := k.Check(); err != nil {
			return err
		}
		delete(t.documents, k)
		return nil
	})
}

// Orders returns all orders, tombstones included, by tenant and id.
func (t *Table) Orders() []order.Order {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]order.Order, 0, len(t.orders))
	for _, ref := range t.refs() {
		all = append(all, t.orders[ref])
	}
	return all
}

// Backup returns a copy of the table as it is now ("Point-in-time recovery").
func (t *Table) Backup() *Table {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := NewTable(t.now)
	c.orders, c.documents = maps.Clone(t.orders), maps.Clone(t.documents)
	for tenant, places := range t.places {
		c.places[tenant] = slices.Clone(places)
	}
	return c
}

// Restore has the table be what it was at a backup.
func (t *Table) Restore(from *Table) {
	c := from.Backup()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.orders, t.places, t.documents = c.orders, c.places, c.documents
}

package model

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"paylane/shared/document"
	"paylane/shared/order"
)

// Table is a table of orders and documents: an [order.Store], an [order.Scanner] and a
// [document.Store]. Each write is one atomic step, as a conditional write of DynamoDB is ("Condition
// expressions"). A tombstone is gone once it has expired, which is the earliest that DynamoDB may
// delete it ("Using time to live"); documents wait for [Table.Sweep].
type Table struct {
	now func() time.Time

	mu sync.Mutex
	// Orders and documents are never changed in place: what is replaced is still in the stream.
	orders    map[order.Ref]*order.Order
	refs      []order.Ref                 // of all orders, sorted
	places    map[string][]order.Position // of each tenant's orders, the newest first
	documents map[document.Key]*document.Document
	stream    stream
}

var (
	_ order.Store    = (*Table)(nil)
	_ order.Scanner  = (*Table)(nil)
	_ document.Store = (*Table)(nil)
)

// NewTable returns an empty table.
func NewTable(now func() time.Time) *Table {
	return &Table{
		now: now, orders: make(map[order.Ref]*order.Order), places: make(map[string][]order.Position),
		documents: make(map[document.Key]*document.Document),
	}
}

// step runs one step on the table, unless the caller has given up.
func (t *Table) step(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return do()
}

// read returns what is stored, or nil.
func (t *Table) read(ref order.Ref) *order.Order {
	o := t.orders[ref]
	if o != nil && t.expired(o.ExpiresAt) {
		t.expire(o)
		return nil
	}
	return o
}

func (t *Table) expired(at time.Time) bool { return !at.IsZero() && !at.After(t.now()) }

// write replaces an order, and returns it as it is stored.
func (t *Table) write(next order.Order) *order.Order {
	o := asStored(next)
	before := t.orders[o.Ref]
	t.place(before, &o)
	if before == nil {
		i, _ := slices.BinarySearchFunc(t.refs, o.Ref, compareRefs)
		t.refs = slices.Insert(t.refs, i, o.Ref)
	}
	t.orders[o.Ref] = &o
	t.stream.add(change{at: t.now(), before: image{order: before}, after: image{order: &o}})
	return &o
}

// Expire deletes an order whose retention is over, as DynamoDB does some time after ("Using time to
// live"). It must be there.
func (t *Table) Expire(ref order.Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(t.orders[ref])
}

func (t *Table) expire(o *order.Order) {
	t.place(o, nil)
	i, _ := slices.BinarySearchFunc(t.refs, o.Ref, compareRefs)
	t.refs = slices.Delete(t.refs, i, i+1)
	delete(t.orders, o.Ref)
	t.stream.add(change{at: t.now(), before: image{order: o}, expired: true})
}

// place keeps the places of a tenant's orders sorted; without an order, before or after is nil.
func (t *Table) place(before, after *order.Order) {
	if before != nil && after != nil && before.Position() == after.Position() {
		return
	}
	if before != nil {
		places := t.places[before.Tenant]
		i, _ := slices.BinarySearchFunc(places, before.Position(), comparePlaces)
		t.places[before.Tenant] = slices.Delete(places, i, i+1)
	}
	if after != nil {
		places := t.places[after.Tenant]
		i, _ := slices.BinarySearchFunc(places, after.Position(), comparePlaces)
		t.places[after.Tenant] = slices.Insert(places, i, after.Position())
	}
}

// comparePlaces sorts the newest first.
func comparePlaces(a, b order.Position) int {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
}

func compareRefs(a, b order.Ref) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID))
}

// Create implements [order.Store].
func (t *Table) Create(ctx context.Context, o order.Order) error {
	return t.step(ctx, func() error {
		if current := t.read(o.Ref); current != nil {
			return &order.ConflictError{Current: *current}
		}
		t.write(o)
		return nil
	})
}

// Get implements [order.Store].
func (t *Table) Get(ctx context.Context, ref order.Ref) (o order.Order, err error) {
	err = t.step(ctx, func() error {
		current := t.read(ref)
		if current == nil {
			return order.ErrNotFound
		}
		o = *current
		return nil
	})
	return o, err
}

// Claim implements [order.Store].
func (t *Table) Claim(ctx context.Context, ref order.Ref, c order.Claim) (claimed order.Order, err error) {
	err = t.step(ctx, func() error {
		current := t.read(ref)
		if current == nil {
			return order.ErrNotFound
		}
		next, refused := current.Claimed(c)
		if refused != nil {
			return &order.ConflictError{Current: *current}
		}
		claimed = *t.write(next)
		return nil
	})
	return claimed, err
}

// Update implements [order.Store].
func (t *Table) Update(ctx context.Context, next order.Order) error {
	return t.step(ctx, func() error {
		current := t.read(next.Ref)
		switch {
		case current == nil:
			return order.ErrNotFound
		case current.Version != next.Version-1:
			return &order.ConflictError{Current: *current}
		}
		t.write(next)
		return nil
	})
}

// List implements [order.Store].
func (t *Table) List(ctx context.Context, q order.Query) (page order.Page, err error) {
	err = t.step(ctx, func() error {
		places := t.places[q.Tenant]
		if q.After != nil {
			first, at := slices.BinarySearchFunc(places, *q.After, comparePlaces)
			if at {
				first++
			}
			places = places[first:]
		}
		read := 0
		var last order.Position
		for _, place := range places {
			o := t.orders[order.Ref{Tenant: q.Tenant, ID: place.ID}]
			if o.Status == order.Void || q.CustomerID != "" && o.CustomerID != q.CustomerID {
				continue // the indexes have none of these
			}
			if len(page.Orders) == q.Limit || q.Status != "" && read == order.MaxFiltered {
				page.Next = &last
				return nil
			}
			read++
			last = place
			if q.Status == "" || o.Status == q.Status {
				page.Orders = append(page.Orders, *o)
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
		rest := t.refs
		if after != nil {
			ref, err := parseScanKey(after)
			if err != nil {
				return err
			}
			first, at := slices.BinarySearchFunc(rest, ref, compareRefs)
			if at {
				first++
			}
			rest = rest[first:]
		}
		read := 0
		var last order.Ref
		for _, ref := range rest {
			if segment(ref, q.Segments) != q.Segment {
				continue
			}
			if read == q.Limit {
				page.Next = q.After(scanKey(last))
				return nil
			}
			read++
			last = ref
			if o := t.orders[ref]; o.Status != order.Void {
				page.Orders = append(page.Orders, *o)
			}
		}
		return nil
	})
	return page, err
}

// scanKey is an order's key in a cursor. No id has a zero byte.
func scanKey(ref order.Ref) []byte { return []byte(ref.Tenant + "\x00" + ref.ID) }

func parseScanKey(key []byte) (order.Ref, error) {
	i := strings.LastIndexByte(string(key), 0)
	if i < 0 {
		return order.Ref{}, errors.New("the cursor is not one of this table")
	}
	return order.Ref{Tenant: string(key[:i]), ID: string(key[i+1:])}, nil
}

func segment(ref order.Ref, of int) int {
	if of == 1 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write(scanKey(ref))
	return int(h.Sum32() % uint32(of))
}

// Document implements [document.Store].
func (t *Table) Document(ctx context.Context, k document.Key) (d document.Document, err error) {
	d.Key = k
	err = t.step(ctx, func() error {
		if err := k.Check(); err != nil {
			return err
		}
		if stored := t.documents[k]; stored != nil {
			d = *stored
		}
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
		var version int64
		before := t.documents[d.Key]
		if before != nil {
			version = before.Version
		}
		if version != d.Version-1 {
			return document.ErrConflict
		}
		t.documents[d.Key] = &d
		t.stream.add(change{at: t.now(), before: image{document: before}, after: image{document: &d}})
		return nil
	})
}

// DeleteDocument implements [document.Store].
func (t *Table) DeleteDocument(ctx context.Context, k document.Key) error {
	return t.step(ctx, func() error {
		if err := k.Check(); err != nil {
			return err
		}
		if before := t.documents[k]; before != nil {
			delete(t.documents, k)
			t.stream.add(change{at: t.now(), before: image{document: before}})
		}
		return nil
	})
}

// Sweep deletes the documents that have expired, as DynamoDB does some time later.
func (t *Table) Sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.sortedDocuments() {
		if t.expired(d.ExpiresAt) {
			delete(t.documents, d.Key)
			t.stream.add(change{at: t.now(), before: image{document: d}, expired: true})
		}
	}
}

func (t *Table) sortedDocuments() []*document.Document {
	return slices.SortedFunc(maps.Values(t.documents), func(a, b *document.Document) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name))
	})
}

// Orders returns all orders, tombstones included, by tenant and id.
func (t *Table) Orders() []order.Order {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]order.Order, len(t.refs))
	for i, ref := range t.refs {
		all[i] = *t.orders[ref]
	}
	return all
}

// Documents returns all documents, by tenant and name.
func (t *Table) Documents() []document.Document {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]document.Document, 0, len(t.documents))
	for _, d := range t.sortedDocuments() {
		all = append(all, *d)
	}
	return all
}

// Snapshot returns a copy of what is in the table now, for [Table.Restore]. Its stream is empty.
func (t *Table) Snapshot() *Table {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := NewTable(t.now)
	c.orders, c.refs, c.documents = maps.Clone(t.orders), slices.Clone(t.refs), maps.Clone(t.documents)
	for tenant, places := range t.places {
		c.places[tenant] = slices.Clone(places)
	}
	return c
}

// Restore has the table hold what it held at a snapshot ("Point-in-time recovery"). No record of
// the stream tells of that: a restored table of DynamoDB begins with a stream of its own.
func (t *Table) Restore(from *Table) {
	c := from.Snapshot()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.orders, t.refs, t.places, t.documents = c.orders, c.refs, c.places, c.documents
}

// asStored returns an order as an item keeps it: times in milliseconds, and nothing that is empty.
// An order that is so already, as almost all are, shares its slices with the copy.
func asStored(o order.Order) order.Order {
	for _, at := range []*time.Time{&o.LeaseUntil, &o.RetryAt, &o.CreatedAt, &o.UpdatedAt, &o.ExpiresAt} {
		*at = milliseconds(*at)
	}
	o.Charge, o.Refund = legAsStored(o.Charge), legAsStored(o.Refund)
	o.Items, o.Fingerprint = filled(o.Items), filled(o.Fingerprint)
	o.Refunds = each(filled(o.Refunds), func(r order.Refund) order.Refund {
		r.RequestedAt, r.EndedAt = milliseconds(r.RequestedAt), milliseconds(r.EndedAt)
		return r
	})
	if len(o.Metadata) == 0 {
		o.Metadata = nil
	}
	return o
}

func legAsStored(l order.Leg) order.Leg {
	l.Since = milliseconds(l.Since)
	l.Attempts = each(filled(l.Attempts), func(a order.Attempt) order.Attempt {
		a.StartedAt, a.EndedAt = milliseconds(a.StartedAt), milliseconds(a.EndedAt)
		return a
	})
	return l
}

// milliseconds also takes away what a time says of a zone or of the monotonic clock.
func milliseconds(at time.Time) time.Time {
	if at.IsZero() {
		return time.Time{}
	}
	return at.UTC().Truncate(time.Millisecond)
}

// filled makes nil of an empty slice.
func filled[E any](s []E) []E {
	if len(s) == 0 {
		return nil
	}
	return s
}

// each returns the slice with every element changed, and itself if none is.
func each[E comparable](s []E, change func(E) E) []E {
	var changed []E
	for i, e := range s {
		next := change(e)
		if next == e {
			continue
		}
		if changed == nil {
			changed = slices.Clone(s)
		}
		changed[i] = next
	}
	if changed == nil {
		return s
	}
	return changed
}

package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"paylane/shared/order"
)

// Store holds the orders of a database.
type Store struct {
	db   *DB
	seed maphash.Seed
	// Orders are spread over the stripes by their Ref.
	stripes [256]stripe
	buffers sync.Pool // *[]byte, for a record and its keys
}

var (
	_ order.Store   = (*Store)(nil)
	_ order.Watcher = (*Store)(nil)
)

// stripe is the state that concurrent calls on some of the orders share.
type stripe struct {
	// writing is held from when a write reads the order until its batch is applied, and
	// never across an fsync.
	writing sync.Mutex

	mu sync.Mutex
	// inflight has the newest write of each order that is applied, or about to be, and not
	// yet durable. A write is entered here before pebble's readers can see it, so a read
	// that saw something that is not durable finds it here afterwards.
	inflight map[order.Ref]*commit
	watchers map[order.Ref]map[chan struct{}]struct{}
}

func newStore(d *DB) *Store {
	s := &Store{db: d, seed: maphash.MakeSeed()}
	s.buffers.New = func() any { return new([]byte) }
	for i := range s.stripes {
		s.stripes[i].inflight = make(map[order.Ref]*commit)
		s.stripes[i].watchers = make(map[order.Ref]map[chan struct{}]struct{})
	}
	return s
}

func (s *Store) stripe(ref order.Ref) *stripe {
	return &s.stripes[maphash.Comparable(s.seed, ref)%uint64(len(s.stripes))]
}

// stored is an order as a write finds it.
type stored struct {
	ref    order.Ref
	record []byte // valid during the write only
	header
	// found is false if there is nothing, or a tombstone that has expired.
	found bool
}

func (s stored) order() (order.Order, error) {
	o, err := decodeOrder(s.ref, s.record)
	if err != nil {
		return order.Order{}, fmt.Errorf("%w: order %s: %w", ErrDamaged, s.ref.ID, err)
	}
	return o, nil
}

// customer returns the order's customer, or "" if there is no record.
func (s stored) customer() (string, error) {
	if s.record == nil {
		return "", nil
	}
	customer, err := readCustomer(s.record)
	if err != nil {
		return "", fmt.Errorf("%w: order %s: %w", ErrDamaged, s.ref.ID, err)
	}
	return customer, nil
}

// conflict returns the error that shows the order as it is.
func (s stored) conflict() error {
	current, err := s.order()
	if err != nil {
		return err
	}
	return &order.ConflictError{Current: current}
}

// Create implements [order.Store].
func (s *Store) Create(ctx context.Context, o order.Order) error {
	_, err := s.change(ctx, "create an order", o.Ref, func(current stored) (order.Order, error) {
		if current.found {
			return order.Order{}, current.conflict()
		}
		return o, nil
	})
	return err
}

// Claim implements [order.Store].
func (s *Store) Claim(ctx context.Context, ref order.Ref, c order.Claim) (order.Order, error) {
	return s.change(ctx, "claim an order", ref, func(current stored) (order.Order, error) {
		if !current.found {
			return order.Order{}, order.ErrNotFound
		}
		o, err := current.order()
		if err != nil {
			return order.Order{}, err
		}
		next, err := o.Claimed(c)
		if err != nil {
			return order.Order{}, &order.ConflictError{Current: o}
		}
		return next, nil
	})
}

// Update implements [order.Store].
func (s *Store) Update(ctx context.Context, next order.Order) error {
	_, err := s.change(ctx, "update an order", next.Ref, func(current stored) (order.Order, error) {
		switch {
		case !current.found:
			return order.Order{}, order.ErrNotFound
		case current.version != next.Version-1:
			return order.Order{}, current.conflict()
		}
		return next, nil
	})
	return err
}

// change makes every write: decide returns the next state of the order, or an error if
// there is none. What either rests on is durable when change returns.
func (s *Store) change(ctx context.Context, doing string, ref order.Ref,
	decide func(stored) (order.Order, error),
) (order.Order, error) {
	if err := s.db.begin(ctx); err != nil {
		return order.Order{}, fmt.Errorf("%s: %w", doing, err)
	}
	defer s.db.ops.Done()
	st := s.stripe(ref)
	st.writing.Lock()
	next, c, err := s.apply(st, ref, decide)
	st.writing.Unlock()
	if c != nil {
		if err := c.wait(ctx); err != nil {
			return order.Order{}, fmt.Errorf("%s: %w", doing, err)
		}
	}
	conflict := new(order.ConflictError)
	switch {
	case err == nil, errors.Is(err, order.ErrNotFound), errors.As(err, &conflict):
		return next, err
	}
	return order.Order{}, unavailable(doing, err)
}

// apply is the part of change under the order's lock. The commit is the one to wait for:
// this write's, or if there is none, the one that made what decide saw.
func (s *Store) apply(st *stripe, ref order.Ref, decide func(stored) (order.Order, error)) (order.Order, *commit, error) {
	var buf [128]byte
	key := orderKey(buf[:0], ref)
	current := stored{ref: ref}
	record, closer, err := s.db.pebble.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return order.Order{}, nil, err
	default:
		defer func() { _ = closer.Close() }()
		current.record = record
		if current.header, err = readHeader(record); err != nil {
			return order.Order{}, nil, fmt.Errorf("%w: order %s: %w", ErrDamaged, ref.ID, err)
		}
		current.found = !s.expired(current.header)
	}
	next, err := decide(current)
	if err != nil {
		return order.Order{}, st.pending(ref), err
	}
	b := s.db.pebble.NewBatch()
	if err := s.putOrder(b, key, current, &next); err != nil {
		_ = b.Close()
		return order.Order{}, nil, err
	}
	c := newCommit(b, ref, s.settle)
	c.before, c.after = current.status, next.Status
	if c.change, err = s.db.feed.add(b, current, &next); err != nil {
		_ = b.Close()
		return order.Order{}, nil, err
	}
	s.write(st, c)
	return next, c, nil
}

// write hands over a write that readers must be able to wait for.
func (s *Store) write(st *stripe, c *commit) {
	st.mu.Lock()
	st.inflight[c.ref] = c
	st.mu.Unlock()
	s.db.wal.write(c)
}

// expired reports whether a record is a tombstone that counts as absent.
func (s *Store) expired(h header) bool {
	return h.status == order.Void && h.expires != 0 && h.expires <= stampOf(s.db.now())
}

// pending returns the write of an order that is not yet durable, or nil.
func (st *stripe) pending(ref order.Ref) *commit {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.inflight[ref]
}

// settle is called for each write once it is durable or has failed.
func (s *Store) settle(c *commit) {
	if c.err == nil {
		s.db.counts.changed(c.before, c.after)
		if c.change != 0 {
			s.db.feed.settle(c.change)
		}
	}
	st := s.stripe(c.ref)
	st.mu.Lock()
	defer st.mu.Unlock()
	// A failed write stays: what it wrote will never be known to be durable.
	if st.inflight[c.ref] == c && c.err == nil {
		delete(st.inflight, c.ref)
	}
	for changed := range st.watchers[c.ref] {
		select {
		case changed <- struct{}{}:
		default: // it has a value already
		}
	}
}

// Get implements [order.Store].
func (s *Store) Get(ctx context.Context, ref order.Ref) (order.Order, error) {
	const doing = "get an order"
	if err := s.db.begin(ctx); err != nil {
		return order.Order{}, fmt.Errorf("%s: %w", doing, err)
	}
	defer s.db.ops.Done()
	var buf [128]byte
	record, closer, err := s.db.pebble.Get(orderKey(buf[:0], ref))
	if errors.Is(err, pebble.ErrNotFound) {
		return order.Order{}, order.ErrNotFound
	}
	if err != nil {
		return order.Order{}, unavailable(doing, err)
	}
	o, err := stored{ref: ref, record: record}.order()
	_ = closer.Close()
	if err != nil {
		return order.Order{}, unavailable(doing, err)
	}
	if c := s.stripe(ref).pending(ref); c != nil {
		if err := c.wait(ctx); err != nil {
			return order.Order{}, fmt.Errorf("%s: %w", doing, err)
		}
	}
	if o.Status == order.Void && !o.ExpiresAt.IsZero() && !o.ExpiresAt.After(s.db.now()) {
		return order.Order{}, order.ErrNotFound
	}
	return o, nil
}

// Watch implements [order.Watcher].
func (s *Store) Watch(ref order.Ref) (changed <-chan struct{}, stop func()) {
	st := s.stripe(ref)
	c := make(chan struct{}, 1)
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.watchers[ref] == nil {
		st.watchers[ref] = make(map[chan struct{}]struct{})
	}
	st.watchers[ref][c] = struct{}{}
	return c, func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		delete(st.watchers[ref], c)
		if len(st.watchers[ref]) == 0 {
			delete(st.watchers, ref)
		}
	}
}

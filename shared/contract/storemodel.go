package contract

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paylane/shared/order"
)

// testModel runs random operations against the store and against a map of orders that the
// pure methods of order.Order change, and compares every answer. -rapid.checks is the
// number of lists of operations to try.
func testModel(t *testing.T, s order.Store) {
	rapid.Check(t, func(r *rapid.T) {
		tenant := newTenant()
		m := &storeModel{t: t, store: s, orders: map[order.Ref]order.Order{}, now: time.Now().UTC().Truncate(time.Millisecond)}
		for i := range 2 {
			o := pendingOrder(tenant, i)
			m.refs = append(m.refs, o.Ref)
		}
		r.Repeat(map[string]func(*rapid.T){
			"":       m.check,
			"create": m.create,
			"void":   m.void,
			"claim":  m.claim,
			"update": m.update,
			"stale":  m.stale,
		})
	})
}

type storeModel struct {
	t      *testing.T
	store  order.Store
	refs   []order.Ref
	orders map[order.Ref]order.Order
	now    time.Time
}

// pick chooses an order, and lets a little time pass in which leases may end.
func (m *storeModel) pick(r *rapid.T) order.Ref {
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 1500).Draw(r, "ms")) * time.Millisecond)
	return rapid.SampledFrom(m.refs).Draw(r, "order")
}

// answer compares the store's answer with the model's: an order to be stored, or an error.
func (m *storeModel) answer(r *rapid.T, ref order.Ref, next order.Order, refused bool, err error) {
	r.Helper()
	current, exists := m.orders[ref]
	conflict := new(order.ConflictError)
	switch {
	case !refused && err != nil:
		r.Fatalf("refused with %v, want %s at version %d", err, next.Status, next.Version)
	case !refused:
		m.orders[ref] = next
	case !exists && !errors.Is(err, order.ErrNotFound):
		r.Fatalf("the error is %v, want order.ErrNotFound", err)
	case exists && !errors.As(err, &conflict):
		r.Fatalf("the error is %v, want a conflict", err)
	case exists:
		if diff := cmp.Diff(current, conflict.Current); diff != "" {
			r.Fatalf("the conflict's Current (-want +got):\n%s", diff)
		}
	}
}

func (m *storeModel) createOrder(r *rapid.T, o order.Order) {
	_, exists := m.orders[o.Ref]
	m.answer(r, o.Ref, o, exists, m.store.Create(m.t.Context(), o))
}

func (m *storeModel) create(r *rapid.T) {
	ref := m.pick(r)
	o := order.New(ref, order.Request{Amount: 3, Currency: "USD"}, "", m.now)
	if void := m.orders[ref]; void.Status == order.Void && rapid.Bool().Draw(r, "over the tombstone") {
		o = o.InPlaceOf(void)
		m.answer(r, ref, o, false, m.store.Update(m.t.Context(), o))
		return
	}
	m.createOrder(r, o)
}

func (m *storeModel) void(r *rapid.T) { m.createOrder(r, order.NewVoid(m.pick(r), m.now)) }

func (m *storeModel) drawClaim(r *rapid.T) order.Claim {
	return order.Claim{
		Kind:  rapid.SampledFrom([]order.Kind{order.KindCharge, order.KindRefund}).Draw(r, "kind"),
		Round: rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(r, "round"),
		Now:   m.now, Until: m.now.Add(time.Second),
		Limits: order.Limits{
			Attempts: rapid.IntRange(1, 3).Draw(r, "attempts"), Patience: time.Duration(rapid.SampledFrom([]int{0, 0, 1, 4}).Draw(r, "patience")) * time.Second,
		},
	}
}

func (m *storeModel) claim(r *rapid.T) {
	ref := m.pick(r)
	c := m.drawClaim(r)
	current, exists := m.orders[ref]
	next, refusal := current.Claimed(c)
	got, err := m.store.Claim(m.t.Context(), ref, c)
	m.answer(r, ref, next, !exists || refusal != nil, err)
	if err == nil {
		if diff := cmp.Diff(next, got); diff != "" {
			r.Fatalf("the claimed order (-want +got):\n%s", diff)
		}
	}
}

// update makes any change that the order allows.
func (m *storeModel) update(r *rapid.T) {
	ref := m.pick(r)
	current, exists := m.orders[ref]
	if !exists {
		current = order.New(ref, order.Request{Amount: 3, Currency: "USD"}, "", m.now)
	}
	kind := order.KindCharge
	if current.Status == order.Refunding {
		kind = order.KindRefund
	}
	changes := map[string]func() (order.Order, error){
		"take over": func() (order.Order, error) { return current.TakenOver(m.drawClaim(r)) },
		"renew":     func() (order.Order, error) { return current.Renewed(kind, m.now) },
		"release": func() (order.Order, error) {
			return current.Released(kind, order.OutcomeUnavailable, "503", m.now, time.Minute)
		},
		"pay": func() (order.Order, error) { return current.PaidWith("PAY-1", true, m.now) },
		"fail": func() (order.Order, error) {
			return current.FailedWith(order.OutcomeUnavailable, order.Failure{Code: "gateway"}, m.now)
		},
		"cancel": func() (order.Order, error) { return current.Cancel(m.now) },
		"begin refund": func() (order.Order, error) {
			return current.BeginRefund(current.NextRefundID(), order.RefundRequest{Amount: rapid.Int64Range(0, 2).Draw(r, "amount")}, m.now)
		},
		"refunded":       func() (order.Order, error) { return current.RefundedWith("REF-1", m.now) },
		"refund refused": func() (order.Order, error) { return current.RefundDeclinedWith("no", m.now) },
		"retry":          func() (order.Order, error) { return current.Retry(m.now) },
		"pay again":      func() (order.Order, error) { return current.PayWith("tok_2", m.now) },
		"fence":          func() (order.Order, error) { return current.Fenced(m.now) },
	}
	names := []string{
		"take over", "renew", "release", "pay", "fail", "cancel", "begin refund", "refunded",
		"refund refused", "retry", "pay again", "fence",
	}
	name := rapid.SampledFrom(names).Draw(r, "change")
	next, err := changes[name]()
	if err != nil {
		r.Skip("the order does not allow it")
	}
	m.answer(r, ref, next, !exists, m.store.Update(m.t.Context(), next))
}

// stale updates from a version that is not the stored one.
func (m *storeModel) stale(r *rapid.T) {
	ref := m.pick(r)
	next := order.New(ref, order.Request{Amount: 2, Currency: "USD"}, "", m.now)
	next.Version = rapid.Int64Range(0, 8).Draw(r, "version")
	if current, ok := m.orders[ref]; ok && next.Version == current.Version+1 {
		next.Version++
	}
	m.answer(r, ref, next, true, m.store.Update(m.t.Context(), next))
}

func (m *storeModel) check(r *rapid.T) {
	for _, ref := range m.refs {
		want, exists := m.orders[ref]
		got, err := m.store.Get(m.t.Context(), ref)
		if !exists {
			if !errors.Is(err, order.ErrNotFound) {
				r.Fatalf("get: the error is %v, want order.ErrNotFound", err)
			}
			continue
		}
		if err != nil {
			r.Fatalf("get: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatalf("the stored order (-want +got):\n%s", diff)
		}
	}
}

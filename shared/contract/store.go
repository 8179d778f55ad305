package contract

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
)

// RunStore checks a store. It calls open once for each case, which closes what it opens
// with t.Cleanup.
func RunStore(t *testing.T, open func(t *testing.T) order.Store) {
	for name, test := range map[string]func(*testing.T, order.Store){
		"create stores the order":                      testCreate,
		"create conflicts with an order":               testCreateConflict,
		"create conflicts with a tombstone":            testTombstone,
		"get finds no order":                           testNotFound,
		"claim applies the order's rule":               testClaim,
		"update replaces the version before":           testUpdate,
		"every field survives":                         testRoundTrip,
		"a forgotten token is gone":                    testForgottenToken,
		"empty is stored as nothing":                   testNormalized,
		"times are UTC in milliseconds":                testTimes,
		"any operations agree with the model":          testModel,
		"a cancelled context ends a call":              testCancelled,
		"tenants never meet":                           testTenants,
		"of concurrent creates one succeeds":           testConcurrentCreates,
		"of concurrent claims one succeeds":            testConcurrentClaims,
		"of concurrent updates one succeeds":           testConcurrentUpdates,
		"of cancel and claim one succeeds":             testCancelAgainstClaim,
		"list goes from the newest to the oldest":      testListOrder,
		"list pages at any limit":                      testListPages,
		"list continues from any position":             testListPositions,
		"list filters by status":                       testListStatus,
		"list follows changes of status":               testListStatusChanges,
		"list hides tombstones":                        testListTombstones,
		"list reads few orders for a page":             testListBound,
		"list visits each old order once among writes": testListAmongWrites,
		"list filters by customer":                     testListCustomer,
		"list of a customer goes on from any position": testListCustomerPositions,
		"list filters by customer and status":          testListCustomerStatus,
		"list leaves an erased order to other lists":   testListErased,
		"list of a customer among writes":              testListCustomerAmongWrites,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func testCreate(t *testing.T, s order.Store) {
	o := pendingOrder(newTenant(), 0)
	mustCreate(t, s, o)
	wantStored(t, s, o)
}

func testCreateConflict(t *testing.T, s order.Store) {
	o := pendingOrder(newTenant(), 0)
	mustCreate(t, s, o)
	other := pendingOrder(o.Tenant, 1)
	other.Ref = o.Ref
	wantConflict(t, s.Create(t.Context(), other), o)
	// The same order conflicts, too: recognizing it is up to the caller.
	wantConflict(t, s.Create(t.Context(), o), o)
	wantStored(t, s, o)

	claimed := must[order.Order](t)(s.Claim(t.Context(), o.Ref, claimAt(1)))
	wantConflict(t, s.Create(t.Context(), o), claimed)
}

func testTombstone(t *testing.T, s order.Store) {
	// A tombstone counts as absent once it has expired, so this one is of now.
	now := time.Now()
	o := pendingOrder(newTenant(), 0)
	void := order.NewVoid(o.Ref, now)
	mustCreate(t, s, void)
	wantStored(t, s, void)
	wantConflict(t, s.Create(t.Context(), o), void)
	wantConflict(t, s.Create(t.Context(), void), void)

	_, err := s.Claim(t.Context(), o.Ref, claimAt(0))
	wantConflict(t, err, void)

	// A fence raises the version, so an order prepared for the one before fails.
	prepared := o.InPlaceOf(void)
	fenced := mustUpdate(t, s)(void.Fenced(now.Add(time.Second)))
	wantConflict(t, s.Update(t.Context(), prepared), fenced)

	o = mustUpdate(t, s)(o.InPlaceOf(fenced), nil)
	wantStored(t, s, o)
	wantConflict(t, s.Create(t.Context(), void), o)
	if claimed := must[order.Order](t)(s.Claim(t.Context(), o.Ref, claimAt(1))); claimed.Version != fenced.Version+2 {
		t.Errorf("the version after create over a tombstone and claim is %d, want %d", claimed.Version, fenced.Version+2)
	}
	converges(t, func(ctx context.Context) string {
		return diffList(ctx, s, order.Query{Tenant: o.Tenant, Limit: 10}, []string{o.ID})
	})
}

func testNotFound(t *testing.T, s order.Store) {
	o := pendingOrder(newTenant(), 0)
	check := func(call string, err error) {
		t.Helper()
		if !errors.Is(err, order.ErrNotFound) {
			t.Errorf("%s without an order: the error is %v, want order.ErrNotFound", call, err)
		}
	}
	_, err := s.Get(t.Context(), o.Ref)
	check("get", err)
	_, err = s.Claim(t.Context(), o.Ref, claimAt(0))
	check("claim", err)
	o.Version = 2
	check("update", s.Update(t.Context(), o))
	// Nor does an update that expects no order create one.
	o.Version = 1
	check("update to version 1", s.Update(t.Context(), o))
	_, err = s.Get(t.Context(), o.Ref)
	check("get after the updates", err)
}

func testClaim(t *testing.T, s order.Store) {
	paid := func(o order.Order) order.Order {
		o = mustUpdate(t, s)(o.Claimed(claimAt(0)))
		return mustUpdate(t, s)(o.PaidWith("PAY-1", true, at(1)))
	}
	spent := func(o order.Order) order.Order {
		for i := range attempts {
			o = mustUpdate(t, s)(o.Claimed(claimAt(i * 20_000)))
		}
		return o
	}
	refund := claimAt(20_000)
	refund.Kind = order.KindRefund
	otherRound := claimAt(0)
	otherRound.Round = 2
	for _, test := range []struct {
		name    string
		prepare func(order.Order) order.Order
		claim   order.Claim
	}{
		{"a pending order", func(o order.Order) order.Order { return o }, claimAt(1)},
		{"another round", func(o order.Order) order.Order { return o }, otherRound},
		{"a refund that nobody asked for", paid, refund},
		{"a paid order", paid, claimAt(20_000)},
		{"a refund", func(o order.Order) order.Order {
			return mustUpdate(t, s)(paid(o).BeginRefund("r-1", order.RefundRequest{}, at(2)))
		}, refund},
		{"a leased order", func(o order.Order) order.Order {
			return mustUpdate(t, s)(o.Claimed(claimAt(0)))
		}, claimAt(9_999)},
		{"a lease that has run out", func(o order.Order) order.Order {
			return mustUpdate(t, s)(o.Claimed(claimAt(0)))
		}, claimAt(10_000)},
		{"a released order", func(o order.Order) order.Order {
			o = mustUpdate(t, s)(o.Claimed(claimAt(0)))
			return mustUpdate(t, s)(o.Released(order.KindCharge, order.OutcomeUnavailable, "503", at(1), time.Minute))
		}, claimAt(2)},
		{"no attempt left", spent, claimAt(attempts * 20_000)},
		{"no attempt left, and patience", spent, patient(claimAt(attempts*20_000), time.Hour)},
		{"twice the patience, almost", spent, patient(claimAt(119_999), time.Minute)},
		{"twice the patience", spent, patient(claimAt(120_000), time.Minute)},
		{"no attempt left, by a clock that is behind", func(o order.Order) order.Order {
			o = spent(o)
			return mustUpdate(t, s)(o.Released(order.KindCharge, order.OutcomeUnavailable, "", at(attempts*20_000), time.Minute))
		}, claimAt(-1)},
		{"the attempts of a build that did not record when the first began", func(o order.Order) order.Order {
			o = spent(o)
			o.Version, o.Charge.Since = o.Version+1, time.Time{}
			return mustUpdate(t, s)(o, nil)
		}, patient(claimAt(attempts*20_000), time.Hour)},
		{"an attempt left, by the limits of another build", spent, order.Claim{
			Kind: order.KindCharge, Round: 1, Now: at(attempts * 20_000), Until: at(attempts * 30_000),
			Limits: order.Limits{Attempts: attempts + 1},
		}},
	} {
		o := pendingOrder(newTenant(), 0)
		mustCreate(t, s, o)
		o = test.prepare(o)
		want, refusal := o.Claimed(test.claim)
		got, err := s.Claim(t.Context(), o.Ref, test.claim)
		if refusal != nil {
			t.Logf("%s: a conflict, as %v", test.name, refusal)
			wantConflict(t, err, o)
			wantStored(t, s, o)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the claimed order (-want +got):\n%s", test.name, diff)
		}
		wantStored(t, s, want)
	}
}

func testUpdate(t *testing.T, s order.Store) {
	o := pendingOrder(newTenant(), 0)
	mustCreate(t, s, o)
	canceled, err := o.Cancel(at(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []int64{0, 1, 3, 1 << 40} {
		stale := canceled
		stale.Version = version
		wantConflict(t, s.Update(t.Context(), stale), o)
	}
	wantStored(t, s, o)
	if err := s.Update(t.Context(), canceled); err != nil {
		t.Fatal(err)
	}
	wantStored(t, s, canceled)
	wantConflict(t, s.Update(t.Context(), canceled), canceled)
}

func testCancelled(t *testing.T, s order.Store) {
	o, stored := pendingOrder(newTenant(), 0), pendingOrder(newTenant(), 1)
	mustCreate(t, s, stored)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"create": func() error { return s.Create(ctx, o) },
		"get":    func() error { _, err := s.Get(ctx, stored.Ref); return err },
		"claim":  func() error { _, err := s.Claim(ctx, stored.Ref, claimAt(1)); return err },
		"update": func() error { next, _ := stored.Cancel(at(1)); return s.Update(ctx, next) },
		"list": func() error {
			_, err := s.List(ctx, order.Query{Tenant: stored.Tenant, Limit: 1})
			return err
		},
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: the error is %v, want the context's", name, err)
		}
	}
	wantStored(t, s, stored)
}

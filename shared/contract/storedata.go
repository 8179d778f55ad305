package contract

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"paylane/shared/order"
)

func testRoundTrip(t *testing.T, s order.Store) {
	tenant := newTenant()
	o := fullOrder(order.Ref{Tenant: tenant, ID: uuid.NewString()})
	mustCreate(t, s, o)
	wantStored(t, s, o)
	wantConflict(t, s.Create(t.Context(), o), o)

	// An update stores every field, too, even over an order that has none of them.
	small := order.Order{
		Ref: order.Ref{Tenant: tenant, ID: uuid.NewString()}, Status: order.Pending, Version: o.Version - 1,
		CreatedAt: o.CreatedAt,
	}
	mustCreate(t, s, small)
	wantStored(t, s, small)
	o.Ref = small.Ref
	mustUpdate(t, s)(o, nil)
	wantStored(t, s, o)

	// And back: nothing of the full order stays.
	small.Version = o.Version + 1
	mustUpdate(t, s)(small, nil)
	wantStored(t, s, small)

	page := must[order.Page](t)(s.List(t.Context(), order.Query{Tenant: newTenant(), Limit: 10}))
	if page.Orders != nil || page.Next != nil {
		t.Errorf("the list of a tenant without orders is %v", page)
	}
}

func testForgottenToken(t *testing.T, s order.Store) {
	claimed := func(o order.Order) order.Order { return must[order.Order](t)(s.Claim(t.Context(), o.Ref, claimAt(1))) }
	for name, end := range map[string]func(order.Order) (order.Order, error){
		"canceled": func(o order.Order) (order.Order, error) { return o.Cancel(at(1)) },
		"declined": func(o order.Order) (order.Order, error) {
			return claimed(o).FailedWith(order.OutcomeDeclined, order.Failure{Code: "expired_card"}, at(2))
		},
		"paid": func(o order.Order) (order.Order, error) { return claimed(o).PaidWith("PAY-1", false, at(2)) },
	} {
		o := pendingOrder(newTenant(), 0)
		mustCreate(t, s, o)
		o = mustUpdate(t, s)(end(o))
		wantStored(t, s, o)
		if o.PaymentToken != "" {
			t.Errorf("%s, the order has a token", name)
		}
		if o.Status != order.Paid {
			continue
		}
		// A claim, which writes only a part of the order, does not bring it back.
		mustUpdate(t, s)(o.BeginRefund("r-1", order.RefundRequest{}, at(3)))
		refund := claimAt(4)
		refund.Kind = order.KindRefund
		if claimed := must[order.Order](t)(s.Claim(t.Context(), o.Ref, refund)); claimed.PaymentToken != "" {
			t.Error("claimed for a refund, the order has a token")
		}
	}
}

func testNormalized(t *testing.T, s order.Store) {
	want := pendingOrder(newTenant(), 0)
	o := want
	o.Items, o.Metadata, o.Fingerprint = []order.Item{}, map[string]string{}, []byte{}
	o.Charge.Attempts, o.Refund.Attempts = []order.Attempt{}, []order.Attempt{}
	mustCreate(t, s, o)
	wantStored(t, s, want)
	// A failure without a code and message is still a failure.
	want.Version++
	want.Failure = &order.Failure{}
	mustUpdate(t, s)(want, nil)
	wantStored(t, s, want)
	// An entry without a value is still an entry.
	want.Version++
	want.Metadata = map[string]string{"k": ""}
	want.Items = []order.Item{{}}
	want.Charge.Attempts = []order.Attempt{{}}
	mustUpdate(t, s)(want, nil)
	wantStored(t, s, want)
}

func testTimes(t *testing.T, s order.Store) {
	seoul := time.FixedZone("KST", 9*3600)
	o := pendingOrder(newTenant(), 0)
	given := time.Date(2026, 5, 6, 7, 8, 9, 123_999_999, seoul)
	want := time.Date(2026, 5, 5, 22, 8, 9, 123_000_000, time.UTC)
	o.CreatedAt, o.UpdatedAt, o.LeaseUntil, o.RetryAt = given, given, given, given
	o.Charge.Attempts = []order.Attempt{{StartedAt: given, EndedAt: given, Outcome: order.OutcomeUnavailable}}
	mustCreate(t, s, o)
	got := must[order.Order](t)(s.Get(t.Context(), o.Ref))
	for name, g := range map[string]time.Time{
		"CreatedAt": got.CreatedAt, "UpdatedAt": got.UpdatedAt, "LeaseUntil": got.LeaseUntil,
		"RetryAt": got.RetryAt, "EndedAt": got.Charge.Attempts[0].EndedAt,
		"StartedAt": got.Charge.Attempts[0].StartedAt,
	} {
		if g.Format(time.RFC3339Nano) != want.Format(time.RFC3339Nano) {
			t.Errorf("%s is %v, want %v", name, g, want)
		}
	}
	if !got.ExpiresAt.IsZero() {
		t.Errorf("ExpiresAt is %v, want the zero time", got.ExpiresAt)
	}
	epoch := pendingOrder(o.Tenant, 0)
	epoch.CreatedAt = time.Unix(0, 0).UTC() // not the zero time
	mustCreate(t, s, epoch)
	wantStored(t, s, epoch)
}

// testTenants uses the same ids for tenants whose names could be confused with each other,
// and with whatever separates them from the id.
func testTenants(t *testing.T, s order.Store) {
	name := newTenant()
	tenants := []string{
		name, name + "/", name + "/b", name + "/b/c", name + "#0", name + "\x00", name + "\x00\x00",
		name + "é漢字🙂", name + "%2F", name + " ", name[:len(name)-1], "/" + name, "\x00" + name,
	}
	id := uuid.NewString()
	var orders []order.Order
	for n, tenant := range tenants {
		o := pendingOrder(tenant, n)
		o.ID = id
		orders = append(orders, o)
	}
	mustCreate(t, s, orders...)
	for _, o := range orders {
		wantStored(t, s, o)
		converges(t, func(ctx context.Context) string {
			return diffList(ctx, s, order.Query{Tenant: o.Tenant, Limit: 100}, []string{o.ID})
		})
	}
	canceled := mustUpdate(t, s)(orders[0].Cancel(at(1)))
	wantStored(t, s, canceled)
	for _, o := range orders[1:] {
		wantStored(t, s, o)
	}

	// The nameless tenant can't have a random name, so its list may have others.
	nameless := pendingOrder("", 0)
	mustCreate(t, s, nameless)
	wantStored(t, s, nameless)
	converges(t, func(ctx context.Context) string {
		ids, err := listIDs(ctx, s, order.Query{Limit: 100})
		if err != nil {
			return err.Error()
		}
		found := false
		for _, got := range ids {
			if got == id {
				return "the nameless tenant's list has another tenant's order"
			}
			found = found || got == nameless.ID
		}
		if !found {
			return "the nameless tenant's list does not have its order"
		}
		return ""
	})
}

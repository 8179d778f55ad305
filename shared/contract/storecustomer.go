package contract

import (
	"context"
	"strings"
	"testing"
	"time"

	"paylane/shared/order"
)

// testListCustomer lists customers whose names are alike, contain what keys are made of, or
// are the same in two tenants. The tenants' names, too, are beginnings of one another.
func testListCustomer(t *testing.T, s order.Store) {
	customers := []string{
		"", "a", "A", "b", "ab", "a/b", "a#b", "a#", "#", "/", "#0", "1#a", "a%2Fb", "a\x1fb", " a", "a ", "é", "e\u0301",
		"고객", "😀", strings.Repeat("x", order.MaxCustomerID), strings.Repeat("😀", order.MaxCustomerID),
	}
	tenant := newTenant()
	tenants := []string{tenant, tenant + "#a", tenant + "/a", tenant + "/a#b", tenant + "1"}
	byCustomer := map[order.Query][]order.Order{}
	for i := range 3 {
		for _, customer := range customers {
			for _, tenant := range tenants {
				o := pendingOrder(tenant, i)
				o.CustomerID = customer
				mustCreate(t, s, o)
				q := order.Query{Tenant: tenant}
				byCustomer[q] = append(byCustomer[q], o)
				if q.CustomerID = customer; customer != "" {
					byCustomer[q] = append(byCustomer[q], o)
				}
			}
		}
	}
	for q, orders := range byCustomer {
		for _, q.Limit = range []int{1, 2, 3, 100} {
			converges(t, func(ctx context.Context) string { return diffList(ctx, s, q, newestFirst(orders)) })
		}
	}
	for _, q := range []order.Query{
		{Tenant: tenant, CustomerID: "c"}, {Tenant: tenant + "2", CustomerID: "a"}, {Tenant: tenant + "#", CustomerID: "a"},
		{Tenant: tenant, CustomerID: "a" + strings.Repeat("x", order.MaxCustomerID)},
	} {
		q.Limit = 10
		if difference := diffList(t.Context(), s, q, nil); difference != "" {
			t.Error(difference)
		}
	}
}

// testListCustomerPositions continues a customer's list from positions of any order, as a
// cursor of another list has.
func testListCustomerPositions(t *testing.T, s order.Store) {
	orders := createMany(t, s, 12) // of the customers c-0 to c-3
	for i := range orders {
		o := inStatus(orders[i], order.Pending)
		o.CustomerID = []string{"even", "odd"}[i%2]
		orders[i] = mustUpdate(t, s)(o, nil)
	}
	all := newestFirst(orders)
	customer := map[string]string{}
	for _, o := range orders {
		customer[o.ID] = o.CustomerID
	}
	for _, name := range []string{"even", "odd"} {
		for _, o := range orders {
			position := o.Position()
			var want []string
			passed := false
			for _, id := range all {
				if passed && customer[id] == name {
					want = append(want, id)
				}
				passed = passed || id == o.ID
			}
			q := order.Query{Tenant: o.Tenant, CustomerID: name, Limit: 2, After: &position}
			converges(t, func(ctx context.Context) string { return diffList(ctx, s, q, want) })
		}
	}
	// Nobody is found under a former name.
	for _, former := range []string{"c-0", "c-3"} {
		q := order.Query{Tenant: orders[0].Tenant, CustomerID: former, Limit: 10}
		converges(t, func(ctx context.Context) string { return diffList(ctx, s, q, nil) })
	}
}

// testListCustomerStatus combines both filters, for orders that reach each status, and that
// were created over a tombstone.
func testListCustomerStatus(t *testing.T, s order.Store) {
	tenant := newTenant()
	byQuery := map[order.Query][]order.Order{}
	add := func(o order.Order) {
		if o.CustomerID == "" {
			return
		}
		for _, q := range []order.Query{{CustomerID: o.CustomerID}, {CustomerID: o.CustomerID, Status: o.Status}} {
			byQuery[q] = append(byQuery[q], o)
		}
	}
	for i, status := range append(order.Statuses(), order.Statuses()...) {
		for n, customer := range []string{"", "a", "b"} {
			o := pendingOrder(tenant, 3*i+n)
			o.CustomerID = customer
			mustCreate(t, s, o)
			if status != o.Status {
				o = mustUpdate(t, s)(inStatus(o, status), nil)
			}
			add(o)
		}
	}
	void := order.NewVoid(pendingOrder(tenant, 0).Ref, time.Now())
	mustCreate(t, s, void)
	brought := pendingOrder(tenant, 1000)
	brought.Ref, brought.CustomerID = void.Ref, "a"
	add(mustUpdate(t, s)(brought.InPlaceOf(void), nil))
	for q, orders := range byQuery {
		q.Tenant = tenant
		for _, q.Limit = range []int{1, 2, 100} {
			converges(t, func(ctx context.Context) string { return diffList(ctx, s, q, newestFirst(orders)) })
		}
	}
}

// testListCustomerAmongWrites follows a customer's lists while that customer and others place
// orders, newer and older, and statuses change.
func testListCustomerAmongWrites(t *testing.T, s order.Store) {
	const old = 40
	tenant := newTenant()
	var orders, failed []order.Order
	for i := range 2 * old {
		o := pendingOrder(tenant, i/3)
		o.CustomerID = []string{"a", "b"}[i%2]
		mustCreate(t, s, o)
		switch {
		case i%2 == 1:
			continue
		case i%6 == 0:
			o = mustUpdate(t, s)(inStatus(o, order.Failed), nil)
			failed = append(failed, o)
		}
		orders = append(orders, o)
	}
	all, some := order.Query{Tenant: tenant, CustomerID: "a"}, order.Query{Tenant: tenant, CustomerID: "a", Status: order.Failed}
	for _, list := range []struct {
		q    order.Query
		want []order.Order
	}{{all, orders}, {some, failed}} {
		list.q.Limit = 100
		converges(t, func(ctx context.Context) string { return diffList(ctx, s, list.q, newestFirst(list.want)) })
	}

	followAmongWrites(t, s, all, orders)
}

// testListErased: an order that has been erased is in its customer's list no longer, and in all
// others where it was.
func testListErased(t *testing.T, s order.Store) {
	o := pendingOrder(newTenant(), 0)
	o.Metadata = map[string]string{"name": "Alice"}
	mustCreate(t, s, o)
	mine := order.Query{Tenant: o.Tenant, CustomerID: o.CustomerID, Limit: 10}
	canceled := mustUpdate(t, s)(o.Cancel(at(1)))
	converges(t, func(ctx context.Context) string { return diffList(ctx, s, mine, []string{o.ID}) })
	wantStored(t, s, mustUpdate(t, s)(canceled.Erased(at(2))))
	converges(t, func(ctx context.Context) string { return diffList(ctx, s, mine, nil) })
	for _, q := range []order.Query{{Tenant: o.Tenant, Limit: 10}, {Tenant: o.Tenant, Status: order.Canceled, Limit: 10}} {
		converges(t, func(ctx context.Context) string { return diffList(ctx, s, q, []string{o.ID}) })
	}
}

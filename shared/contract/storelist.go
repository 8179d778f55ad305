package contract

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"paylane/shared/order"
)

// listIDs follows a list from q.After to its end.
func listIDs(ctx context.Context, s order.Store, q order.Query) (ids []string, err error) {
	for {
		page, err := s.List(ctx, q)
		switch {
		case err != nil:
			return nil, fmt.Errorf("list: %w", err)
		case len(page.Orders) > q.Limit:
			return nil, fmt.Errorf("a page has %d orders, its limit is %d", len(page.Orders), q.Limit)
		case q.Status == "" && len(page.Orders) < q.Limit && page.Next != nil:
			return nil, fmt.Errorf("a page without a filter has %d orders of %d, and a next page", len(page.Orders), q.Limit)
		}
		for _, o := range page.Orders {
			switch {
			case o.Tenant != q.Tenant:
				return nil, fmt.Errorf("the list of %q has an order of %q", q.Tenant, o.Tenant)
			case q.CustomerID != "" && o.CustomerID != q.CustomerID:
				return nil, fmt.Errorf("the list of the customer %q has an order of %q", q.CustomerID, o.CustomerID)
			case q.Status != "" && o.Status != q.Status:
				return nil, fmt.Errorf("the list of %s has an order that is %s", q.Status, o.Status)
			}
			ids = append(ids, o.ID)
		}
		if page.Next == nil {
			return ids, nil
		}
		q.After = page.Next
	}
}

// diffList compares a list, from q.After to its end, with the ids it should have.
func diffList(ctx context.Context, s order.Store, q order.Query, want []string) string {
	got, err := listIDs(ctx, s, q)
	if err != nil {
		return err.Error()
	}
	if len(want) == 0 && len(got) == 0 {
		return ""
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		return fmt.Sprintf("the list by %+v (-want +got):\n%s", q, diff)
	}
	return ""
}

// newestFirst returns the ids in the order of a list.
func newestFirst(orders []order.Order) []string {
	orders = slices.Clone(orders)
	slices.SortFunc(orders, func(a, b order.Order) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	var ids []string
	for _, o := range orders {
		ids = append(ids, o.ID)
	}
	return ids
}

// createMany creates n orders of a new tenant, three in each millisecond.
func createMany(t *testing.T, s order.Store, n int) []order.Order {
	t.Helper()
	tenant := newTenant()
	var orders []order.Order
	for i := range n {
		orders = append(orders, pendingOrder(tenant, i/3))
	}
	mustCreate(t, s, orders...)
	return orders
}

func testListOrder(t *testing.T, s order.Store) {
	orders := createMany(t, s, 10)
	tenant := orders[0].Tenant
	converges(t, func(ctx context.Context) string {
		return diffList(ctx, s, order.Query{Tenant: tenant, Limit: 100}, newestFirst(orders))
	})
	page := must[order.Page](t)(s.List(t.Context(), order.Query{Tenant: tenant, Limit: 100}))
	for _, o := range page.Orders {
		wantStored(t, s, o)
	}
}

func testListPages(t *testing.T, s order.Store) {
	orders := createMany(t, s, 13)
	for _, limit := range []int{1, 2, 3, 12, 13, 14, 100} {
		converges(t, func(ctx context.Context) string {
			return diffList(ctx, s, order.Query{Tenant: orders[0].Tenant, Limit: limit}, newestFirst(orders))
		})
	}
}

func testListPositions(t *testing.T, s order.Store) {
	orders := createMany(t, s, 9)
	all := newestFirst(orders)
	newest, oldest := at(2), at(0)
	for _, test := range []struct {
		name  string
		after order.Position
		want  []string
	}{
		{"before the newest", order.Position{CreatedAt: newest.Add(time.Hour)}, all},
		{"at the newest, past any id", order.Position{CreatedAt: newest, ID: "~"}, all},
		{"at the newest, before any id", order.Position{CreatedAt: newest}, all[3:]},
		{"between two milliseconds' orders", order.Position{CreatedAt: at(1), ID: "~"}, all[3:]},
		{"between two ids", order.Position{CreatedAt: at(1), ID: all[4] + "0"}, all[4:]},
		{"after the oldest", order.Position{CreatedAt: oldest}, nil},
		{"long after the oldest", order.Position{CreatedAt: oldest.Add(-time.Hour), ID: "~"}, nil},
	} {
		converges(t, func(ctx context.Context) string {
			q := order.Query{Tenant: orders[0].Tenant, Limit: 2, After: &test.after}
			if difference := diffList(ctx, s, q, test.want); difference != "" {
				return test.name + ": " + difference
			}
			return ""
		})
	}
	for i, o := range must[order.Page](t)(s.List(t.Context(), order.Query{Tenant: orders[0].Tenant, Limit: 100})).Orders {
		position := o.Position()
		converges(t, func(ctx context.Context) string {
			return diffList(ctx, s, order.Query{Tenant: o.Tenant, Limit: 4, After: &position}, all[i+1:])
		})
	}
}

// inStatus returns the order in another status, as the next version.
func inStatus(o order.Order, status order.Status) order.Order {
	o.Status = status
	o.Version++
	return o
}

func testListStatus(t *testing.T, s order.Store) {
	const each = 5
	statuses := order.Statuses()
	orders := createMany(t, s, each*len(statuses))
	byStatus := map[order.Status][]order.Order{}
	for i, o := range orders {
		status := statuses[i%len(statuses)]
		if status != o.Status {
			o = mustUpdate(t, s)(inStatus(o, status), nil)
		}
		byStatus[status] = append(byStatus[status], o)
	}
	for _, status := range statuses {
		for _, limit := range []int{1, 2, each, 100} {
			converges(t, func(ctx context.Context) string {
				q := order.Query{Tenant: orders[0].Tenant, Status: status, Limit: limit}
				return diffList(ctx, s, q, newestFirst(byStatus[status]))
			})
		}
	}
}

// testListStatusChanges moves an order through every status, from each to each.
func testListStatusChanges(t *testing.T, s order.Store) {
	statuses := order.Statuses()
	orders := createMany(t, s, 3)
	o := orders[1]
	for _, from := range statuses {
		for _, to := range statuses {
			for _, status := range []order.Status{from, to} {
				o = mustUpdate(t, s)(inStatus(o, status), nil)
			}
			var want []string
			if to == order.Pending {
				want = newestFirst(orders)
			} else {
				want = []string{o.ID}
			}
			converges(t, func(ctx context.Context) string {
				if difference := diffList(ctx, s, order.Query{Tenant: o.Tenant, Status: to, Limit: 10}, want); difference != "" {
					return difference
				}
				if from == to || from == order.Pending {
					return ""
				}
				return diffList(ctx, s, order.Query{Tenant: o.Tenant, Status: from, Limit: 10}, nil)
			})
		}
	}
}

// testListBound: among orders of another status a page ends empty, and says where to go on.
func testListBound(t *testing.T, s order.Store) {
	orders := createMany(t, s, order.MaxFiltered+7)
	old := mustUpdate(t, s)(inStatus(orders[0], order.Processing), nil)
	all := newestFirst(orders)
	for _, limit := range []int{1, 20, 100} {
		q := order.Query{Tenant: old.Tenant, Status: order.Processing, Limit: limit}
		converges(t, func(ctx context.Context) string { return diffList(ctx, s, q, []string{old.ID}) })
		page := must[order.Page](t)(s.List(t.Context(), q))
		if len(page.Orders) != 0 || page.Next == nil || page.Next.ID != all[order.MaxFiltered-1] {
			t.Errorf("limit %d: the page has %d orders and goes on at %v; want none, and the %dth", limit, len(page.Orders), page.Next, order.MaxFiltered)
		}
	}
}

func testListTombstones(t *testing.T, s order.Store) {
	orders := createMany(t, s, 2)
	void := order.NewVoid(pendingOrder(orders[0].Tenant, 1).Ref, time.Now())
	mustCreate(t, s, void)
	converges(t, func(ctx context.Context) string {
		return diffList(ctx, s, order.Query{Tenant: void.Tenant, Limit: 10}, newestFirst(orders))
	})
	converges(t, func(ctx context.Context) string {
		return diffList(ctx, s, order.Query{Tenant: void.Tenant, Status: order.Void, Limit: 10}, nil)
	})
}

// testListAmongWrites follows lists while newer and older orders are created, and statuses
// change.
func testListAmongWrites(t *testing.T, s order.Store) {
	const old = 60
	orders := createMany(t, s, old)
	tenant := orders[0].Tenant
	failed := map[string]bool{}
	for i, o := range orders {
		if i%3 == 0 {
			o = mustUpdate(t, s)(inStatus(o, order.Failed), nil)
			failed[o.ID] = true
			orders[i] = o
		}
	}
	converges(t, func(ctx context.Context) string {
		return diffList(ctx, s, order.Query{Tenant: tenant, Limit: 100}, newestFirst(orders))
	})
	converges(t, func(ctx context.Context) string {
		ids, err := listIDs(ctx, s, order.Query{Tenant: tenant, Status: order.Failed, Limit: 100})
		if err != nil || len(ids) != len(failed) {
			return fmt.Sprintf("the list of FAILED has %d of %d orders (%v)", len(ids), len(failed), err)
		}
		return ""
	})

	followAmongWrites(t, s, order.Query{Tenant: tenant}, orders)
}

// followAmongWrites follows a list that has these orders, and the one of those in it that are
// FAILED, while other orders are created and those that are not FAILED change.
func followAmongWrites(t *testing.T, s order.Store, q order.Query, orders []order.Order) {
	t.Helper()
	failed := map[string]bool{}
	for _, o := range orders {
		failed[o.ID] = o.Status == order.Failed
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	var writes atomic.Int64
	for w := range 3 {
		writers.Go(func() { writeAmong(ctx, t, s, orders, w, &writes) })
	}
	limits := []int{1, 7, 25}
	for i := 0; i < len(limits) || writes.Load() < 2*int64(len(orders)) && !t.Failed(); i++ {
		q.Limit = limits[i%len(limits)]
		for _, q.Status = range []order.Status{"", order.Failed} {
			ids, err := listIDs(t.Context(), s, q)
			if err != nil {
				t.Error(err)
			}
			wantOnce(t, ids, newestFirst(orders), func(id string) bool { return q.Status == "" || failed[id] })
		}
	}
	stop()
	writers.Wait()
}

// writeAmong creates orders of three customers and changes those of the old ones that are not
// FAILED, until the context ends.
func writeAmong(ctx context.Context, t *testing.T, s order.Store, old []order.Order, writer int, writes *atomic.Int64) {
	t.Helper()
	for n := 0; ctx.Err() == nil; n++ {
		o := pendingOrder(old[0].Tenant, n-20)
		o.CustomerID = []string{"a", "b", ""}[n%3]
		err := s.Create(ctx, o)
		if err == nil {
			err = s.Update(ctx, inStatus(o, order.Statuses()[n%7]))
		}
		if target := old[(3*n+writer)%len(old)]; err == nil && target.Status != order.Failed {
			if target, err = s.Get(ctx, target.Ref); err == nil {
				err = s.Update(ctx, inStatus(target, []order.Status{order.Processing, order.Canceled}[n%2]))
			}
			if isConflict(err) {
				err = nil
			}
		}
		if err != nil && ctx.Err() == nil {
			t.Errorf("write during a list: %v", err)
			return
		}
		writes.Add(1)
	}
}

// wantOnce checks that a list has each old order that it should have exactly once,
// and in order.
func wantOnce(t *testing.T, list, old []string, should func(id string) bool) {
	t.Helper()
	known := map[string]bool{}
	var want []string
	for _, id := range old {
		known[id] = true
		if should(id) {
			want = append(want, id)
		}
	}
	got := slices.DeleteFunc(slices.Clone(list), func(id string) bool { return !known[id] })
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("the old orders of a list among writes (-want +got):\n%s", diff)
	}
	slices.Sort(list)
	if len(slices.Compact(list)) != len(list) {
		t.Error("a list among writes has an order twice")
	}
}

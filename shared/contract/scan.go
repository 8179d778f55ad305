package contract

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
)

// ScanStore is a store whose orders can be scanned.
type ScanStore interface {
	order.Store
	order.Scanner
}

// RunScanner checks the order.Scanner of a store. It calls open once for each case. The
// store should have few orders: each case reads them all.
func RunScanner(t *testing.T, open func(t *testing.T) ScanStore) {
	for name, test := range map[string]func(*testing.T, ScanStore){
		"scan visits every order, whole, at any limit": testScan,
		"scan hides tombstones":                        testScanTombstones,
		"scan visits each old order among writes":      testScanAmongWrites,
		"scan takes only its own cursors":              testScanCursors,
		"a cancelled context ends a scan":              testScanCancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// scanAll follows all segments concurrently and returns the orders of some tenants.
func scanAll(ctx context.Context, s order.Scanner, segments, limit int, tenants map[string]bool) (map[order.Ref]order.Order, error) {
	found := make(map[order.Ref]order.Order)
	errs := make([]error, segments)
	var mu sync.Mutex
	var walks sync.WaitGroup
	for segment := range segments {
		walks.Go(func() {
			q := order.ScanQuery{Segment: segment, Segments: segments, Limit: limit}
			for {
				page, err := s.Scan(ctx, q)
				if err == nil && len(page.Orders) > limit {
					err = fmt.Errorf("a page has %d orders, its limit is %d", len(page.Orders), limit)
				}
				if err == nil && page.Next != "" && page.Next == q.Cursor {
					err = errors.New("a page continues where it began")
				}
				if err != nil {
					errs[segment] = err
					return
				}
				mu.Lock()
				for _, o := range page.Orders {
					if tenants[o.Tenant] {
						found[o.Ref] = o
					}
				}
				mu.Unlock()
				if page.Next == "" {
					return
				}
				q.Cursor = page.Next
			}
		})
	}
	walks.Wait()
	return found, errors.Join(errs...)
}

// diffScan compares a whole scan with the orders it should visit.
func diffScan(ctx context.Context, s order.Scanner, segments, limit int, want map[order.Ref]order.Order) string {
	tenants := make(map[string]bool)
	for ref := range want {
		tenants[ref.Tenant] = true
	}
	got, err := scanAll(ctx, s, segments, limit, tenants)
	if err != nil {
		return err.Error()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Sprintf("a scan of %d segments by %d (-want +got):\n%s", segments, limit, diff)
	}
	return ""
}

func byRef(orders ...order.Order) map[order.Ref]order.Order {
	m := make(map[order.Ref]order.Order)
	for _, o := range orders {
		m[o.Ref] = o
	}
	return m
}

func testScan(t *testing.T, s ScanStore) {
	var orders []order.Order
	tenants := []string{newTenant(), newTenant() + "/b", newTenant() + "é#0"}
	for n := range 30 {
		orders = append(orders, pendingOrder(tenants[n%len(tenants)], n))
	}
	orders = append(orders, fullOrder(pendingOrder(tenants[0], 0).Ref))
	mustCreate(t, s, orders...)
	orders[0] = mustUpdate(t, s)(orders[0].Cancel(at(100)))
	for _, shape := range []struct{ segments, limit int }{{1, 1}, {1, 7}, {1, 1000}, {4, 3}, {64, 1}, {64, 100}} {
		converges(t, func(ctx context.Context) string {
			return diffScan(ctx, s, shape.segments, shape.limit, byRef(orders...))
		})
	}
}

func testScanTombstones(t *testing.T, s ScanStore) {
	o, gone := pendingOrder(newTenant(), 0), pendingOrder(newTenant(), 0)
	gone.Tenant = o.Tenant
	mustCreate(t, s, o, order.NewVoid(gone.Ref, time.Now()))
	for _, limit := range []int{1, 10} {
		converges(t, func(ctx context.Context) string { return diffScan(ctx, s, 2, limit, byRef(o)) })
	}
}

// testScanAmongWrites scans while orders are created and changed.
func testScanAmongWrites(t *testing.T, s ScanStore) {
	tenant := newTenant()
	var old []order.Order
	for n := range 20 {
		old = append(old, pendingOrder(tenant, n))
	}
	mustCreate(t, s, old...)
	converges(t, func(ctx context.Context) string { return diffScan(ctx, s, 1, 100, byRef(old...)) })

	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			next := old[n%len(old)]
			next.Version++
			next.PaymentRef = "PAY-" + strconv.Itoa(n)
			err := errors.Join(s.Update(t.Context(), next), s.Create(t.Context(), pendingOrder(tenant, n)))
			if err != nil {
				t.Errorf("write during a scan: %v", err)
				return
			}
			old[n%len(old)] = next
		}
	})
	var visits []map[order.Ref]order.Order
	for range 5 {
		found, err := scanAll(t.Context(), s, 4, 3, map[string]bool{tenant: true})
		if err != nil {
			t.Error(err)
		}
		visits = append(visits, found)
	}
	close(stop)
	writer.Wait()
	for _, found := range visits {
		for _, o := range old {
			if _, ok := found[o.Ref]; !ok {
				t.Errorf("the order %s, older than the scan, was not visited", o.ID)
			}
		}
	}
}

func testScanCursors(t *testing.T, s ScanStore) {
	for n := range 10 {
		mustCreate(t, s, pendingOrder(newTenant(), n))
	}
	var cursor string
	converges(t, func(ctx context.Context) string {
		page, err := s.Scan(ctx, order.ScanQuery{Segments: 1, Limit: 1})
		cursor = page.Next
		if err != nil || cursor == "" {
			return fmt.Sprintf("the first page continues at %q, %v", page.Next, err)
		}
		return ""
	})
	for _, b := range []byte(cursor) {
		if b < '!' || b > '~' {
			t.Errorf("the cursor is not printable: %q", cursor)
		}
	}
	for name, q := range map[string]order.ScanQuery{
		"another segment":          {Segment: 1, Segments: 2, Cursor: cursor, Limit: 1},
		"other segments":           {Segment: 0, Segments: 2, Cursor: cursor, Limit: 1},
		"a garbled cursor":         {Segments: 1, Cursor: "0.1.%", Limit: 1},
		"a cursor without a place": {Segments: 1, Cursor: "0.1.", Limit: 1},
		"not a cursor":             {Segments: 1, Cursor: "x", Limit: 1},
		"no segments":              {Limit: 1},
		"a segment past the last":  {Segment: 2, Segments: 2, Limit: 1},
		"a negative segment":       {Segment: -1, Segments: 2, Limit: 1},
		"too many segments":        {Segments: 65, Limit: 1},
		"a limit of nothing":       {Segments: 1},
	} {
		if page, err := s.Scan(t.Context(), q); err == nil {
			t.Errorf("%s: the page has %d orders, want an error", name, len(page.Orders))
		}
	}
}

func testScanCancelled(t *testing.T, s ScanStore) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Scan(ctx, order.ScanQuery{Segments: 1, Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want the context's", err)
	}
}

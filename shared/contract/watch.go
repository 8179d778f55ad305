package contract

import (
	"context"
	"testing"

	"paylane/shared/order"
)

// RunWatcher checks the order.Watcher of a store.
func RunWatcher(t *testing.T, open func(t *testing.T) (order.Store, order.Watcher)) {
	for name, test := range map[string]func(*testing.T, order.Store, order.Watcher){
		"a change is seen, and can be read":   testWatch,
		"no change right after Watch is lost": testWatchRace,
		"only the order's changes are seen":   testWatchOthers,
		"a stopped watcher sees nothing more": testWatchStop,
		"thousands watch, one order and many": testWatchMany,
	} {
		t.Run(name, func(t *testing.T) {
			s, w := open(t)
			test(t, s, w)
		})
	}
}

func testWatch(t *testing.T, s order.Store, w order.Watcher) {
	o := pendingOrder(newTenant(), 0)
	changed, stop := w.Watch(o.Ref)
	defer stop()
	mustCreate(t, s, o)
	<-changed
	wantStored(t, s, o)

	// Any number of changes is at least one signal, and the last is never missed.
	for range 10 {
		o = mustUpdate(t, s)(inStatus(o, order.Pending), nil)
	}
	<-changed
	wantStored(t, s, o)

	claimed := must[order.Order](t)(s.Claim(t.Context(), o.Ref, claimAt(20)))
	<-changed
	wantStored(t, s, claimed)
}

// testWatchRace follows an order as a caller does: watch, read, and wait only if there is
// nothing new. A lost signal shows as a test that never ends.
func testWatchRace(t *testing.T, s order.Store, w order.Watcher) {
	const versions = 200
	o := pendingOrder(newTenant(), 0)
	mustCreate(t, s, o)
	done := make(chan error, 1)
	go func() {
		var err error
		for next := inStatus(o, order.Pending); err == nil && next.Version <= versions; next = inStatus(next, order.Pending) {
			err = s.Update(t.Context(), next)
		}
		done <- err
	}()
	for seen := int64(0); seen < versions; {
		changed, stop := w.Watch(o.Ref)
		got := must[order.Order](t)(s.Get(t.Context(), o.Ref))
		for got.Version == seen {
			select {
			case <-changed:
				got = must[order.Order](t)(s.Get(t.Context(), o.Ref))
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				done = nil // the last change has been signaled
			}
		}
		stop()
		seen = got.Version
	}
}

func testWatchOthers(t *testing.T, s order.Store, w order.Watcher) {
	o, other := pendingOrder(newTenant(), 0), pendingOrder(newTenant(), 0)
	sameID := pendingOrder(newTenant(), 0)
	sameID.ID = o.ID
	mustCreate(t, s, o)
	changed, stop := w.Watch(o.Ref)
	defer stop()
	mustCreate(t, s, other, sameID)
	_, err := s.Claim(t.Context(), o.Ref, order.Claim{Kind: order.KindCharge, Round: 2, Now: at(0), Until: at(1)})
	wantConflict(t, err, o)
	select {
	case <-changed:
		t.Error("a signal without a change")
	default:
	}
}

func testWatchStop(t *testing.T, s order.Store, w order.Watcher) {
	o := pendingOrder(newTenant(), 0)
	changed, stop := w.Watch(o.Ref)
	still, stopStill := w.Watch(o.Ref)
	defer stopStill()
	stop()
	stop()
	mustCreate(t, s, o)
	<-still
	select {
	case <-changed:
		t.Error("a signal after stop")
	default:
	}
}

func testWatchMany(t *testing.T, s order.Store, w order.Watcher) {
	const each = 1000
	orders := []order.Order{pendingOrder(newTenant(), 0)}
	for range each {
		orders = append(orders, pendingOrder(orders[0].Tenant, 0))
	}
	var all []<-chan struct{}
	for i := range each {
		for _, o := range []order.Order{orders[0], orders[i+1]} {
			changed, stop := w.Watch(o.Ref)
			defer stop()
			all = append(all, changed)
		}
	}
	errs := atOnce(len(orders), func(i int) error { return s.Create(context.WithoutCancel(t.Context()), orders[i]) })
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, changed := range all {
		<-changed
	}
}

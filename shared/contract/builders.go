package contract

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"paylane/shared/order"
)

// newTenant returns the name of a tenant that no test has used.
func newTenant() string { return "tenant-" + rand.Text() }

// pendingOrder returns a new order of a tenant, created at(n).
func pendingOrder(tenant string, n int) order.Order {
	request := order.Request{Amount: 12_000, Currency: "KRW", PaymentToken: "tok_ok", CustomerID: "c-" + strconv.Itoa(n)}
	return order.New(order.Ref{Tenant: tenant, ID: uuid.NewString()}, request, "", at(n))
}

// at returns a fixed time plus n milliseconds: what the suites store does not depend on the
// day.
func at(n int) time.Time {
	return time.Date(2026, 3, 14, 9, 26, 53, 589e6, time.UTC).Add(time.Duration(n) * time.Millisecond)
}

// attempts is how many a round has, by the claims of claimAt.
const attempts = 3

// claimAt returns a claim for a charge in round 1, by a worker whose lease is 10 s.
func claimAt(n int) order.Claim {
	return order.Claim{
		Kind: order.KindCharge, Round: 1, Now: at(n), Until: at(n).Add(10 * time.Second),
		Limits: order.Limits{Attempts: attempts},
	}
}

// patient returns a claim with limits that last for a time, too.
func patient(c order.Claim, patience time.Duration) order.Claim {
	c.Limits.Patience = patience
	return c
}

// fullOrder returns an order with every field set, to different values, by reflection: a
// field that is added later and not stored fails the round trip.
func fullOrder(ref order.Ref) order.Order {
	var o order.Order
	n := 0
	fill(reflect.ValueOf(&o).Elem(), &n)
	o.Ref, o.Status, o.Version = ref, order.Paid, 7
	o.ExpiresAt = time.Time{} // only a tombstone has one
	return o
}

func fill(v reflect.Value, n *int) {
	*n++
	switch value := v.Addr().Interface().(type) {
	case *time.Time:
		*value = at(*n)
		return
	case *order.Currency:
		*value = "USD"
		return
	case *order.Outcome:
		*value = order.OutcomeUnavailable
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, n)
			fill(value, n)
			v.SetMapIndex(key, value)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.String:
		v.SetString("text-" + strconv.Itoa(*n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	default:
		panic("the suite can't fill a field of type " + v.Type().String() + " yet")
	}
}

// must returns a function that returns v, and fails the test on an error: for calls that a
// case is not about.
func must[T any](tb testing.TB) func(v T, err error) T {
	tb.Helper()
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func mustCreate(tb testing.TB, s order.Store, orders ...order.Order) {
	tb.Helper()
	for _, o := range orders {
		if err := s.Create(tb.Context(), o); err != nil {
			tb.Fatalf("create an order: %v", err)
		}
	}
}

// mustUpdate stores what a method of order.Order returned.
func mustUpdate(tb testing.TB, s order.Store) func(next order.Order, err error) order.Order {
	tb.Helper()
	return func(next order.Order, err error) order.Order {
		tb.Helper()
		if err == nil {
			err = s.Update(tb.Context(), next)
		}
		if err != nil {
			tb.Fatalf("update the order: %v", err)
		}
		return next
	}
}

// wantStored fails unless the store has exactly this order.
func wantStored(tb testing.TB, s order.Store, want order.Order) {
	tb.Helper()
	got, err := s.Get(tb.Context(), want.Ref)
	if err != nil {
		tb.Fatalf("get the order: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("the stored order (-want +got):\n%s", diff)
	}
}

// wantConflict fails unless the error is a conflict that shows exactly this order.
func wantConflict(tb testing.TB, err error, current order.Order) {
	tb.Helper()
	conflict := new(order.ConflictError)
	if !errors.As(err, &conflict) {
		tb.Errorf("the error is %v, want a *order.ConflictError", err)
		return
	}
	if diff := cmp.Diff(current, conflict.Current); diff != "" {
		tb.Errorf("the conflict's Current (-want +got):\n%s", diff)
	}
}

// lag is how long a list may lag behind writes.
const lag = 10 * time.Second

// converges calls look until there is no difference left, or fails after the lag. A store
// whose lists don't lag passes at the first call.
func converges(tb testing.TB, look func(ctx context.Context) (difference string)) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), lag)
	defer cancel()
	again := time.NewTicker(lag / 50)
	defer again.Stop()
	for {
		difference := look(ctx)
		if difference == "" {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			tb.Fatal(difference)
		}
	}
}

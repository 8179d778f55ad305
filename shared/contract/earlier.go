package contract

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
)

//go:embed testdata/orders-5dfb359.json
var earlierOrders []byte

// EarlierOrders returns orders of every status and shape, by name, as the build of commit
// 5dfb359 made them. The adapters' testdata has what that build stored for each, which is what
// this build finds during a canary, and after it.
func EarlierOrders(tb testing.TB) map[string]order.Order {
	tb.Helper()
	var orders map[string]order.Order
	decoder := json.NewDecoder(bytes.NewReader(earlierOrders))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&orders); err != nil {
		tb.Fatalf("read the orders of an earlier build: %v", err)
	}
	return orders
}

// changedAt is after everything that happened to the earlier orders, and their leases.
func changedAt(seconds int) time.Time {
	return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds) * time.Second)
}

// laterClaim is a claim of an order as it is, by the message of its round.
func laterClaim(o order.Order) order.Claim {
	c := order.Claim{
		Kind: order.KindCharge, Round: o.Round, Now: changedAt(0), Until: changedAt(10),
		Limits: order.Limits{Attempts: attempts, Patience: 24 * time.Hour},
	}
	if o.Status == order.Refunding {
		c.Kind = order.KindRefund
	}
	return c
}

// Changes returns what this build makes of an order, by name: each change that it allows, and
// each that it allows once a worker has claimed it.
func Changes(o order.Order) map[string]order.Order {
	changes := changesOf(o)
	if claimed, err := o.Claimed(laterClaim(o)); err == nil {
		changes["claimed"] = claimed
		for name, next := range changesOf(claimed) {
			changes["claimed, "+name] = next
		}
	}
	return changes
}

func changesOf(o order.Order) map[string]order.Order {
	now, c := changedAt(1), laterClaim(o)
	later := c
	later.Now, later.Until = changedAt(20), changedAt(30)
	failure := order.Failure{Code: "code", Message: "message"}
	changes := make(map[string]order.Order)
	for name, change := range map[string]func() (order.Order, error){
		"taken over":     func() (order.Order, error) { return o.TakenOver(later) },
		"renewed":        func() (order.Order, error) { return o.Renewed(c.Kind, now) },
		"released":       func() (order.Order, error) { return o.Released(c.Kind, order.OutcomeUnknown, "", now, time.Minute) },
		"given back":     func() (order.Order, error) { return o.Returned(c.Kind, order.OutcomeUnavailable, now, time.Minute) },
		"paid":           func() (order.Order, error) { return o.PaidWith("PAY-1", false, now) },
		"paid, reusable": func() (order.Order, error) { return o.PaidWith("PAY-1", true, now) },
		"declined":       func() (order.Order, error) { return o.FailedWith(order.OutcomeDeclined, failure, now) },
		"given up":       func() (order.Order, error) { return o.FailedWith(order.OutcomeUnavailable, failure, now) },
		"canceled":       func() (order.Order, error) { return o.Cancel(now) },
		"retried":        func() (order.Order, error) { return o.Retry(now) },
		"paid again":     func() (order.Order, error) { return o.PayWith("tok_2", now) },
		"refund of a part": func() (order.Order, error) {
			return o.BeginRefund("r-9", order.RefundRequest{Amount: 1, Reason: "reason"}, now)
		},
		"refund of all":   func() (order.Order, error) { return o.BeginRefund("r-9", order.RefundRequest{}, now) },
		"refunded":        func() (order.Order, error) { return o.RefundedWith("REF-1", now) },
		"refund declined": func() (order.Order, error) { return o.RefundDeclinedWith("code", now) },
		"erased":          func() (order.Order, error) { return o.Erased(now) },
		"fenced":          func() (order.Order, error) { return o.Fenced(now) },
	} {
		if next, err := change(); err == nil {
			changes[name] = next
		}
	}
	return changes
}

// RunEarlier checks that work on the orders of an earlier build goes on. Put returns a store in
// which the named order is as that build stored it, whatever was there before.
func RunEarlier(t *testing.T, put func(t *testing.T, name string, o order.Order) order.Store) {
	for name, o := range EarlierOrders(t) {
		if o.Status == order.Void {
			continue // it has expired, and a store may have no tombstone that has
		}
		t.Run(name, func(t *testing.T) {
			s := put(t, name, o)
			wantStored(t, s, o)
			if claimed, refused := o.Claimed(laterClaim(o)); refused == nil {
				got := must[order.Order](t)(s.Claim(t.Context(), o.Ref, laterClaim(o)))
				if diff := cmp.Diff(claimed, got); diff != "" {
					t.Errorf("the claimed order (-want +got):\n%s", diff)
				}
				wantStored(t, s, claimed)
			}
			for _, next := range Changes(o) {
				s := put(t, name, o)
				next.Version = o.Version + 1 // some follow on a claim
				mustUpdate(t, s)(next, nil)
				wantStored(t, s, next)
			}
		})
	}
}

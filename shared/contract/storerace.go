package contract

import (
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
)

func isConflict(err error) bool {
	conflict := new(order.ConflictError)
	return errors.As(err, &conflict)
}

// atOnce runs n calls at the same time and returns their errors.
func atOnce(n int, call func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			<-start
			errs[i] = call(i)
		})
	}
	close(start)
	calls.Wait()
	return errs
}

// wantOneWinner checks that one call succeeded, and that all others conflict with
// what the store has now.
func wantOneWinner(t *testing.T, s order.Store, ref order.Ref, errs []error) (winner int) {
	t.Helper()
	stored := must[order.Order](t)(s.Get(t.Context(), ref))
	winner = -1
	for i, err := range errs {
		switch {
		case err != nil:
			wantConflict(t, err, stored)
		case winner >= 0:
			t.Fatalf("calls %d and %d both succeeded", winner, i)
		default:
			winner = i
		}
	}
	if winner < 0 {
		t.Fatal("no call succeeded")
	}
	return winner
}

const (
	raceRounds = 5
	racers     = 24
)

func testConcurrentCreates(t *testing.T, s order.Store) {
	for range raceRounds {
		ref := pendingOrder(newTenant(), 0).Ref
		candidates := make([]order.Order, racers)
		for i := range candidates {
			candidates[i] = pendingOrder(ref.Tenant, i)
			candidates[i].Ref = ref
		}
		winner := wantOneWinner(t, s, ref, atOnce(racers, func(i int) error {
			return s.Create(t.Context(), candidates[i])
		}))
		wantStored(t, s, candidates[winner])
	}
}

func testConcurrentClaims(t *testing.T, s order.Store) {
	for range raceRounds {
		o := pendingOrder(newTenant(), 0)
		mustCreate(t, s, o)
		claimed := make([]order.Order, racers)
		winner := wantOneWinner(t, s, o.Ref, atOnce(racers, func(i int) (err error) {
			claimed[i], err = s.Claim(t.Context(), o.Ref, claimAt(i))
			return err
		}))
		wantStored(t, s, claimed[winner])
		want, err := o.Claimed(claimAt(winner))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, claimed[winner]); diff != "" {
			t.Errorf("the claimed order (-want +got):\n%s", diff)
		}
	}
}

func testConcurrentUpdates(t *testing.T, s order.Store) {
	for range raceRounds {
		o := pendingOrder(newTenant(), 0)
		mustCreate(t, s, o)
		next := make([]order.Order, racers)
		winner := wantOneWinner(t, s, o.Ref, atOnce(racers, func(i int) error {
			next[i] = inStatus(o, order.Paid)
			next[i].PaymentRef = "PAY-" + strconv.Itoa(i)
			return s.Update(t.Context(), next[i])
		}))
		wantStored(t, s, next[winner])
	}
}

func testCancelAgainstClaim(t *testing.T, s order.Store) {
	for range 10 * raceRounds {
		o := pendingOrder(newTenant(), 0)
		mustCreate(t, s, o)
		canceled, err := o.Cancel(at(1))
		if err != nil {
			t.Fatal(err)
		}
		winner := wantOneWinner(t, s, o.Ref, atOnce(2, func(i int) error {
			if i == 0 {
				return s.Update(t.Context(), canceled)
			}
			_, err := s.Claim(t.Context(), o.Ref, claimAt(1))
			return err
		}))
		want := []order.Status{order.Canceled, order.Processing}[winner]
		if got := must[order.Order](t)(s.Get(t.Context(), o.Ref)); got.Status != want {
			t.Errorf("the order is %s, want %s", got.Status, want)
		}
	}
}

package order_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
)

var start = time.Date(2026, 7, 10, 19, 19, 5, 123_456_789, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func claim(kind order.Kind, round, now int) order.Claim {
	return order.Claim{Kind: kind, Round: round, Now: at(now), Until: at(now + 10), Limits: order.Limits{Attempts: attempts}}
}

func pending(t *testing.T) order.Order {
	t.Helper()
	r, err := order.Request{Amount: 12000}.Normalize("tok_ok")
	if err != nil {
		t.Fatal(err)
	}
	return order.New(order.Ref{Tenant: "t", ID: order.KeyedID("t", "k")}, r, "k", start)
}

// must unwraps a change that the test needs to succeed.
func must(t *testing.T) func(order.Order, error) order.Order {
	t.Helper()
	return func(o order.Order, err error) order.Order {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
}

// attempts is how many a round has, by the claims of claim.
const attempts = 3

func outcomes(l order.Leg) []order.Outcome {
	var out []order.Outcome
	for _, a := range l.Attempts {
		out = append(out, a.Outcome)
	}
	return out
}

func TestClaimedRefusals(t *testing.T) {
	ok := must(t)
	fresh := pending(t)
	claimed := ok(fresh.Claimed(claim(order.KindCharge, 1, 0)))
	spent := fresh
	for i := range attempts {
		spent = ok(spent.Claimed(claim(order.KindCharge, 1, 20*i)))
		spent = ok(spent.Released(order.KindCharge, order.OutcomeUnknown, "", at(20*i), time.Second))
	}
	paid := ok(claimed.PaidWith("PAY-1", true, at(1)))
	refunding := ok(paid.BeginRefund("r-1", order.RefundRequest{}, at(2)))

	for _, tt := range []struct {
		name string
		from order.Order
		c    order.Claim
		want error // nil: a TransitionError
	}{
		{"another round", fresh, claim(order.KindCharge, 2, 0), order.ErrRound},
		{"a live lease", claimed, claim(order.KindCharge, 1, 9), order.ErrLeased},
		{"no attempt left", spent, claim(order.KindCharge, 1, 100), order.ErrNoAttemptLeft},
		{"a charge of a paid order", paid, claim(order.KindCharge, 1, 100), nil},
		{"a refund of a pending order", fresh, claim(order.KindRefund, 1, 0), nil},
		{"a refund that was not requested", paid, claim(order.KindRefund, 1, 0), nil},
		{"a charge of an order being refunded", refunding, claim(order.KindCharge, 1, 100), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.from.Claimed(tt.c)
			var refused *order.TransitionError
			if tt.want == nil && !errors.As(err, &refused) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("a lease that ends now is over", func(*testing.T) {
		c := claim(order.KindCharge, 1, 10)
		c.Now = claimed.LeaseUntil // at(10) has a fraction of a millisecond, which no lease keeps
		ok(claimed.Claimed(c))
	})
	t.Run("a lease that ends in a millisecond is not", func(t *testing.T) {
		c := claim(order.KindCharge, 1, 10)
		c.Now = claimed.LeaseUntil.Add(-time.Millisecond)
		if _, err := claimed.Claimed(c); !errors.Is(err, order.ErrLeased) {
			t.Errorf("claimed: %v", err)
		}
	})
	t.Run("taking over needs no attempt", func(t *testing.T) {
		got := ok(spent.TakenOver(claim(order.KindCharge, 1, 100)))
		if n := len(got.Charge.Attempts); n != attempts {
			t.Errorf("%d attempts after a takeover, want %d", n, attempts)
		}
	})
}

// TestLife takes an order through a whole life and checks what a caller would see.
func TestLife(t *testing.T) {
	ok := must(t)
	created := pending(t)
	o := ok(created.Claimed(claim(order.KindCharge, 1, 0)))
	if want := at(10).Truncate(time.Millisecond); !o.LeaseUntil.Equal(want) {
		t.Errorf("lease until %v, want %v", o.LeaseUntil, want)
	}
	o = ok(o.Claimed(claim(order.KindCharge, 1, 10))) // the first worker died
	o = ok(o.Renewed(order.KindCharge, at(11)))
	if got := o.GatewayKey(order.KindCharge); got != o.ID+".2" {
		t.Errorf("gateway key %s, want the second", got)
	}
	o = ok(o.Released(order.KindCharge, order.OutcomeUnavailable, "", at(12), time.Second))
	if !o.LeaseUntil.IsZero() {
		t.Error("a released order is still leased")
	}
	o = ok(o.Claimed(claim(order.KindCharge, 1, 13)))
	o = ok(o.FailedWith(order.OutcomeUnavailable, order.Failure{Code: "gateway_unavailable"}, at(14)))
	o = ok(o.Retry(at(20)))
	if o.Status != order.Pending || o.Round != 2 || o.Charge.Tries != 0 || o.Failure != nil || o.GatewayKey(order.KindCharge) != o.ID+".3" {
		t.Errorf("after a retry: %+v", o)
	}
	o = ok(o.Claimed(claim(order.KindCharge, 2, 21)))
	o = ok(o.PaidWith("PAY-00000001", true, at(22)))
	want := []order.Outcome{order.OutcomeUnknown, order.OutcomeUnavailable, order.OutcomeUnavailable, order.OutcomeApproved}
	if diff := cmp.Diff(want, outcomes(o.Charge)); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	o = ok(o.BeginRefund("r-1", order.RefundRequest{}, at(30)))
	if got := o.GatewayKey(order.KindRefund); got != o.ID+".refund" {
		t.Errorf("refund key %s", got)
	}
	o = ok(o.Claimed(claim(order.KindRefund, 2, 31)))
	o = ok(o.Renewed(order.KindRefund, at(31)))
	if got := o.GatewayKey(order.KindRefund); got != o.ID+".refund.2" {
		t.Errorf("second refund key %s", got)
	}
	o = ok(o.RefundedWith("REF-00000001", at(32)))
	if o.Status != order.Refunded || o.PaymentRef != "PAY-00000001" || o.LastRefund().Ref != "REF-00000001" {
		t.Errorf("at the end: %+v", o)
	}
	if o.Version != 14 {
		t.Errorf("version %d after 13 changes, want 14", o.Version)
	}
	if diff := cmp.Diff(created, o.AsCreated()); diff != "" {
		t.Errorf("AsCreated (-created +got):\n%s", diff)
	}
}

// TestChangesLeaveTheirSourceAlone: an order is a snapshot, which later changes never alter.
func TestChangesLeaveTheirSourceAlone(t *testing.T) {
	ok := must(t)
	first := ok(pending(t).Claimed(claim(order.KindCharge, 1, 0)))
	before := outcomes(first.Charge)
	for range 3 {
		ok(ok(first.Claimed(claim(order.KindCharge, 1, 10))).Released(order.KindCharge, order.OutcomeUnknown, "", at(11), time.Second))
		ok(first.PaidWith("PAY-1", true, at(1)))
	}
	if diff := cmp.Diff(before, outcomes(first.Charge)); diff != "" {
		t.Errorf("the source changed (-before +after):\n%s", diff)
	}
}

func TestDeclinedIsNotRetried(t *testing.T) {
	ok := must(t)
	o := ok(pending(t).Claimed(claim(order.KindCharge, 1, 0)))
	o = ok(o.FailedWith(order.OutcomeDeclined, order.Failure{Code: "expired_card"}, at(1)))
	var refused *order.TransitionError
	if _, err := o.Retry(at(2)); !errors.As(err, &refused) {
		t.Errorf("retry of a declined order: %v, want a TransitionError", err)
	}
}

// TestFences: a fence must move the version, or it fences nothing; and a tombstone's
// successor must come after it.
func TestFences(t *testing.T) {
	ok := must(t)
	void := order.NewVoid(order.Ref{Tenant: "t", ID: "i"}, start)
	if want := start.Add(order.VoidFor).Truncate(time.Second); !void.ExpiresAt.Equal(want) {
		t.Errorf("a tombstone expires %v, want %v", void.ExpiresAt, want)
	}
	again := ok(void.Fenced(at(5)))
	if again.Version != void.Version+1 || !again.ExpiresAt.After(void.ExpiresAt) {
		t.Errorf("second fence: %+v", again)
	}
	o := pending(t).InPlaceOf(again)
	if o.Version != again.Version+1 || o.AsCreated().Version != o.Version {
		t.Errorf("in place of version %d: version %d, as created %d", again.Version, o.Version, o.AsCreated().Version)
	}
}

// TestPatience: a round goes on until there were that many attempts and that much time has
// passed since its first; then an attempt known not to have charged is its last. One that
// comes late may still begin, within twice the time.
func TestPatience(t *testing.T) {
	ok := must(t)
	for _, tt := range []struct {
		limits      order.Limits
		over, spent int // second by which a fourth attempt ends the round, and from which none may begin
	}{
		{order.Limits{Attempts: 3}, 0, 0},
		{order.Limits{Attempts: 3, Patience: 100 * time.Second}, 100, 200},
		{order.Limits{Attempts: 5, Patience: 100 * time.Second}, never, never},
	} {
		o := pending(t)
		for i := range 3 { // at 0, 20 and 40 s
			o = ok(o.Claimed(order.Claim{Kind: order.KindCharge, Round: 1, Now: at(20 * i), Until: at(20 * i), Limits: tt.limits}))
		}
		for _, second := range []int{40, 99, 100, 101, 199, 200, 5000} {
			if got := tt.limits.Over(o.Charge, at(second)); got != (second >= tt.over) {
				t.Errorf("%+v: over after %d s: %v", tt.limits, second, got)
			}
			_, err := o.Claimed(order.Claim{Kind: order.KindCharge, Round: 1, Now: at(second), Until: at(second), Limits: tt.limits})
			if errors.Is(err, order.ErrNoAttemptLeft) != (second >= tt.spent) {
				t.Errorf("%+v: another attempt after %d s: %v", tt.limits, second, err)
			}
		}
		// A new round begins anew.
		o = ok(ok(o.FailedWith(order.OutcomeUnavailable, order.Failure{}, at(5000))).Retry(at(6000)))
		o = ok(o.Claimed(order.Claim{Kind: order.KindCharge, Round: 2, Now: at(7000), Until: at(7000), Limits: tt.limits}))
		if tt.limits.Over(o.Charge, at(7099)) || !o.Charge.Since.Equal(at(7000).Truncate(time.Millisecond)) {
			t.Errorf("%+v: a new round began %v", tt.limits, o.Charge.Since)
		}
	}
}

const never = 1 << 30

// TestHistory: of many attempts the first and the latest are kept, and their numbers tell
// which are left out.
func TestHistory(t *testing.T) {
	ok := must(t)
	o := pending(t)
	limits := order.Limits{Attempts: 1, Patience: 24 * time.Hour}
	const tries = 100
	for i := range tries {
		o = ok(o.Claimed(order.Claim{Kind: order.KindCharge, Round: 1, Now: at(60 * i), Until: at(60 * i), Limits: limits}))
		o = ok(o.Released(order.KindCharge, order.OutcomeUnavailable, "", at(60*i), time.Second))
		if o.Charge.Count() != i+1 || len(o.Charge.Attempts) > 10 {
			t.Fatalf("after %d attempts %d are counted and %d kept", i+1, o.Charge.Count(), len(o.Charge.Attempts))
		}
		for n, a := range o.Charge.Attempts {
			if began := at(60 * (o.Charge.Number(n) - 1)).Truncate(time.Millisecond); !a.StartedAt.Equal(began) {
				t.Fatalf("attempt %d began %v, want %v", o.Charge.Number(n), a.StartedAt, began)
			}
		}
	}
	if first, last := o.Charge.Number(0), o.Charge.Number(len(o.Charge.Attempts)-1); first != 1 || last != tries {
		t.Errorf("the attempts kept are %d to %d, want 1 to %d", first, last, tries)
	}
}

// TestRefundHistory: a refund is never given up, so its history must not grow forever.
func TestRefundHistory(t *testing.T) {
	ok := must(t)
	o := ok(ok(pending(t).Claimed(claim(order.KindCharge, 1, 0))).PaidWith("PAY-1", true, at(1)))
	o = ok(o.BeginRefund("r-1", order.RefundRequest{}, at(2)))
	const tries = 100
	for i := range tries {
		o = ok(o.Claimed(claim(order.KindRefund, 1, 10*i)))
		o = ok(o.Released(order.KindRefund, order.OutcomeUnavailable, "", at(10*i), time.Second))
	}
	if o.Refund.Tries != tries || len(o.Refund.Attempts) > 10 {
		t.Errorf("%d tries counted, %d kept; want %d, and at most 10", o.Refund.Tries, len(o.Refund.Attempts), tries)
	}
}

// TestErased: the customer, the metadata, the reasons and a token to no use go, nothing else, and
// the order before is not touched.
func TestErased(t *testing.T) {
	now := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	o := order.New(order.Ref{Tenant: "t", ID: "id"}, order.Request{
		Amount: 200, Currency: "KRW", CustomerID: "alice", PaymentToken: "tok_ok", Metadata: map[string]string{"name": "Alice"},
		Items: []order.Item{{SKU: "TEA-1", Quantity: 1, UnitPrice: 200}},
	}, "key", now)
	o.Status, o.PaymentRef = order.Paid, "PAY-1"
	o.Refunds = []order.Refund{{ID: "r-1", Amount: 100, Reason: "hers", Status: order.RefundDone, Ref: "REF-1"}}
	later := now.Add(time.Hour)
	want := o
	want.CustomerID, want.Metadata, want.Version, want.UpdatedAt = "", nil, 2, later
	want.Refunds = []order.Refund{{ID: "r-1", Amount: 100, Status: order.RefundDone, Ref: "REF-1"}}
	got, err := o.Erased(later)
	if diff := cmp.Diff(want, got); diff != "" || err != nil || o.Refunds[0].Reason != "hers" {
		t.Errorf("%v, before %v (-want +got):\n%s", err, o.Refunds, diff)
	}
	if again, err := got.Erased(later.Add(time.Hour)); err != nil || !cmp.Equal(got, again) {
		t.Errorf("erased again: %+v, %v", again, err)
	}
	for name, personal := range map[string]func(*order.Order){
		"customer": func(o *order.Order) { o.CustomerID = "alice" },
		"metadata": func(o *order.Order) { o.Metadata = map[string]string{"name": "Alice"} },
		"reason":   func(o *order.Order) { o.Refunds = []order.Refund{{Reason: "hers"}} },
	} {
		o := got
		personal(&o)
		if erased, err := o.Erased(later); err != nil || erased.Version != o.Version+1 {
			t.Errorf("with a %s alone: %+v, %v", name, erased, err)
		}
	}
	canceled := got
	canceled.Status, canceled.PaymentToken = order.Canceled, "tok_ok" // by an earlier build
	if erased, err := canceled.Erased(later); err != nil || erased.PaymentToken != "" || erased.Version != canceled.Version+1 {
		t.Errorf("with a token to no use: %+v, %v", erased, err)
	}
	o.Status = order.Refunding
	if _, err := o.Erased(later); err == nil {
		t.Error("an order that is being refunded was erased")
	}
}

// TestTimes: an attempt ends once, when its outcome is first recorded, and what is learned of it
// later changes nothing of that. When the next is due is known from a release to the claim that
// follows, whatever becomes of the order.
func TestTimes(t *testing.T) {
	ok := must(t)
	ms := func(seconds int) time.Time { return at(seconds).Truncate(time.Millisecond) }
	check := func(o order.Order, ends []time.Time, next time.Time) {
		t.Helper()
		var got []time.Time
		for _, a := range o.Charge.Attempts {
			got = append(got, a.EndedAt)
		}
		if diff := cmp.Diff(ends, got); diff != "" {
			t.Errorf("the attempts' ends (-want +got):\n%s", diff)
		}
		if got, due := o.NextAttempt(); due == next.IsZero() || due && !got.Equal(next) {
			t.Errorf("the next attempt is due %v (%t), want %v", got, due, next)
		}
	}
	var none time.Time
	o := ok(pending(t).Claimed(claim(order.KindCharge, 1, 0)))
	check(o, []time.Time{none}, none)
	o = ok(o.Claimed(claim(order.KindCharge, 1, 10))) // the first worker died
	o = ok(o.Released(order.KindCharge, order.OutcomeUnknown, "", at(12), 5*time.Second))
	check(o, []time.Time{none, ms(12)}, ms(17))
	o = ok(o.TakenOver(claim(order.KindCharge, 1, 20)))
	check(o, []time.Time{none, ms(12)}, none)
	o = ok(o.Released(order.KindCharge, order.OutcomeUnknown, "", at(21), 9*time.Second))
	check(o, []time.Time{none, ms(12)}, ms(30))
	o = ok(o.Claimed(claim(order.KindCharge, 1, 30)))
	check(o, []time.Time{none, ms(12), none}, none)
	given := ok(o.Returned(order.KindCharge, order.OutcomeUnknown, at(31), time.Minute))
	check(given, []time.Time{none, ms(12), ms(31)}, ms(91))
	// A build that knows no RetryAt claims and releases the order, and leaves it.
	given.UpdatedAt = ms(100)
	check(given, []time.Time{none, ms(12), ms(31)}, none)

	failed := ok(o.FailedWith(order.OutcomeUnavailable, order.Failure{}, at(32)))
	check(failed, []time.Time{none, ms(12), ms(32)}, none)
	check(ok(failed.Retry(at(33))), []time.Time{none, ms(12), ms(32)}, none)
	paid := ok(o.PaidWith("PAY-1", true, at(32)))
	check(paid, []time.Time{none, ms(12), ms(32)}, none)
	refunding := ok(ok(paid.BeginRefund("r-1", order.RefundRequest{}, at(40))).Claimed(claim(order.KindRefund, 1, 41)))
	waiting := ok(refunding.Released(order.KindRefund, order.OutcomeUnavailable, "", at(42), time.Second))
	check(waiting, []time.Time{none, ms(12), ms(32)}, ms(43))
	if last, _ := waiting.Refund.Last(); !last.EndedAt.Equal(ms(42)) {
		t.Errorf("the refund's attempt ended %v, want %v", last.EndedAt, ms(42))
	}
	check(ok(refunding.RefundedWith("REF-1", at(42))), []time.Time{none, ms(12), ms(32)}, none)
	if created := waiting.AsCreated(); !created.RetryAt.IsZero() {
		t.Errorf("as created, its next attempt is due %v", created.RetryAt)
	}
	for name, o := range map[string]order.Order{"held": o, "failed": failed, "paid": paid} {
		if !o.RetryAt.IsZero() {
			t.Errorf("%s, it has kept when its next attempt was due: %v", name, o.RetryAt)
		}
	}
}

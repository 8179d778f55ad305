package order_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"paylane/shared/order"
)

// paid returns a PAID order of 12,000.
func paid(t *testing.T) order.Order {
	t.Helper()
	ok := must(t)
	return ok(ok(pending(t).Claimed(claim(order.KindCharge, 1, 0))).PaidWith("PAY-1", true, at(1)))
}

// refunded makes one refund of a PAID order, or has it declined.
func refunded(t *testing.T, o order.Order, id string, amount int64, done bool) order.Order {
	t.Helper()
	ok := must(t)
	o = ok(o.BeginRefund(id, order.RefundRequest{Amount: amount}, at(10)))
	c := claim(order.KindRefund, 1, 20)
	c.Now = at(20)
	o = ok(o.Claimed(c))
	if !done {
		return ok(o.RefundDeclinedWith("no", at(21)))
	}
	return ok(o.RefundedWith("REF-"+id, at(21)))
}

// TestRefundsOfParts: what is left to refund is the total without what was returned. A refund that
// was declined returned nothing.
func TestRefundsOfParts(t *testing.T) {
	ok := must(t)
	o := refunded(t, paid(t), "1", 5000, true)
	if o.Status != order.Paid || o.RefundedAmount() != 5000 {
		t.Fatalf("after a part: %s, %d returned", o.Status, o.RefundedAmount())
	}
	o = refunded(t, o, "2", 7000, false)
	if last := o.LastRefund(); o.Status != order.Paid || o.RefundedAmount() != 5000 || last.Status != order.RefundDeclined || last.Code != "no" {
		t.Fatalf("after a decline: %s, %d returned, %+v", o.Status, o.RefundedAmount(), last)
	}
	var invalid *order.InvalidError
	for _, amount := range []int64{-1, 7001} {
		if _, err := o.BeginRefund("3", order.RefundRequest{Amount: amount}, at(30)); !errors.As(err, &invalid) || invalid.Fields[0].Location != "amount" {
			t.Errorf("a refund of %d: %v", amount, err)
		}
	}
	rest := ok(o.BeginRefund("3", order.RefundRequest{}, at(30)))
	if last := rest.LastRefund(); last.Amount != 7000 || !last.All || last.Status != order.RefundPending {
		t.Errorf("the rest: %+v", last)
	}
	if o = refunded(t, o, "3", 7000, true); o.Status != order.Refunded || o.RefundedAmount() != 12000 {
		t.Errorf("at the end: %s, %d returned", o.Status, o.RefundedAmount())
	}
}

// TestRefundKeys: no two refunds of an order use one gateway key, also after one that moved on.
func TestRefundKeys(t *testing.T) {
	ok := must(t)
	o := ok(paid(t).BeginRefund("1", order.RefundRequest{Amount: 1}, at(10)))
	seen := map[string]bool{o.GatewayKey(order.KindRefund): true}
	for i := range 3 {
		o = ok(o.Claimed(claim(order.KindRefund, 1, 20+100*i)))
		o = ok(o.Renewed(order.KindRefund, at(21+100*i)))
		seen[o.GatewayKey(order.KindRefund)] = true
		o = ok(o.RefundedWith("REF", at(22+100*i)))
		o = ok(o.BeginRefund(fmt.Sprint(i), order.RefundRequest{Amount: 1}, at(23+100*i)))
		seen[o.GatewayKey(order.KindRefund)] = true
		if o.Refund.Tries != 0 || len(o.Refund.Attempts) != 0 {
			t.Errorf("refund %d begins with %+v", i+2, o.Refund)
		}
	}
	if len(seen) != 7 {
		t.Errorf("keys %v, want 7", seen)
	}
}

func TestRefundLimits(t *testing.T) {
	ok := must(t)
	var invalid *order.InvalidError
	if _, err := paid(t).BeginRefund("1", order.RefundRequest{Reason: strings.Repeat("é", order.MaxReason)}, at(10)); err != nil {
		t.Errorf("the longest reason: %v", err)
	}
	if _, err := paid(t).BeginRefund("1", order.RefundRequest{Reason: strings.Repeat("e", order.MaxReason+1)}, at(10)); !errors.As(err, &invalid) || invalid.Fields[0].Location != "reason" {
		t.Errorf("a longer reason: %v", err)
	}
	o := paid(t)
	for i := range order.MaxRefunds {
		o = refunded(t, o, fmt.Sprint(i), 1, true)
	}
	if _, err := o.BeginRefund("more", order.RefundRequest{Amount: 1}, at(30)); !errors.As(err, &invalid) {
		t.Errorf("refund %d: %v", order.MaxRefunds+1, err)
	}
	o.Refunds = o.Refunds[1:]
	ok(o.BeginRefund("more", order.RefundRequest{Amount: 1}, at(30)))
}

// TestRefundAsked: a key that comes again is another request if anything of it differs.
func TestRefundAsked(t *testing.T) {
	part, all := order.RefundRequest{Amount: 5, Reason: "late"}, order.RefundRequest{Reason: "late"}
	for _, tt := range []struct {
		made order.Refund
		by   order.RefundRequest
		want bool
	}{
		{order.Refund{Amount: 5, Reason: "late"}, part, true},
		{order.Refund{Amount: 6, Reason: "late"}, part, false},
		{order.Refund{Amount: 5, Reason: "broken"}, part, false},
		{order.Refund{Amount: 5, Reason: "late", All: true}, part, false},
		{order.Refund{Amount: 5, Reason: "late", All: true}, all, true},
		{order.Refund{Amount: 5, Reason: "broken", All: true}, all, false},
		{order.Refund{Amount: 5, Reason: "late"}, all, false},
	} {
		if got := tt.made.Asked(tt.by); got != tt.want {
			t.Errorf("%+v, asked for by %+v: %t", tt.made, tt.by, got)
		}
	}
}

// TestRefundIDs: an id is of one order and one key, or of one order and one place among its refunds.
func TestRefundIDs(t *testing.T) {
	a, b := order.Order{Ref: order.Ref{Tenant: "t", ID: "a"}}, order.Order{Ref: order.Ref{Tenant: "t", ID: "b"}}
	second := a
	second.Refunds = make([]order.Refund, 1)
	ids := map[string]bool{
		order.KeyedRefundID("a", "k"): true, order.KeyedRefundID("b", "k"): true, order.KeyedRefundID("a", "k2"): true,
		a.NextRefundID(): true, b.NextRefundID(): true, second.NextRefundID(): true,
	}
	if len(ids) != 6 {
		t.Errorf("ids %v, want 6", ids)
	}
	if !ids[order.KeyedRefundID("a", "k")] || !ids[a.NextRefundID()] {
		t.Error("an id is not the same again")
	}
}

// TestReturned: an attempt that could not be made is not counted, and the patience begins again; a
// round of none has not begun.
func TestReturned(t *testing.T) {
	ok := must(t)
	o := ok(pending(t).Claimed(claim(order.KindCharge, 1, 0)))
	first := ok(o.Returned(order.KindCharge, order.OutcomeUnavailable, at(5), time.Minute))
	if first.Charge.Tries != 0 || !first.Charge.Since.IsZero() || !first.Refused() {
		t.Errorf("after the first: %+v, refused %t", first.Charge, first.Refused())
	}
	o = ok(o.Released(order.KindCharge, order.OutcomeUnknown, "", at(5), time.Second))
	if o.Refused() {
		t.Error("an attempt that was made counts as refused")
	}
	o = ok(o.Claimed(claim(order.KindCharge, 1, 10)))
	o = ok(o.Returned(order.KindCharge, order.OutcomeUnknown, at(15), time.Minute))
	if want := at(15).Truncate(time.Millisecond); o.Charge.Tries != 1 || !o.Charge.Since.Equal(want) || !o.Refused() {
		t.Errorf("after the second: %+v, refused %t; want since %v", o.Charge, o.Refused(), want)
	}
	if held := ok(o.TakenOver(claim(order.KindCharge, 1, 100))); held.Refused() {
		t.Error("an order that is held counts as refused")
	}
}

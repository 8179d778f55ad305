package pipeline_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"paylane/shared/gateway"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// reconcileRules lists orders, and what reconciling must make of each.
var reconcileRules = []struct {
	name    string
	prepare func(f *office) order.Order
	rest    time.Duration // time before the walk; 0 means 2 h
	want    string        // the report of a walk that changes orders
	dry     string        // the report of a dry run, if it differs
	status  order.Status
	asked   string // the gateway calls, each with the end of its key
}{
	{
		name: "PAID and charged", prepare: func(f *office) order.Order { return f.paid("tok_ok") },
		want: "scanned, checked", status: order.Paid, asked: "resolve .1",
	},
	{
		name: "PAID at the second attempt", prepare: func(f *office) order.Order { return f.paid("tok_flaky_1") },
		want: "scanned, checked", status: order.Paid, asked: "resolve .1",
	},
	{
		name: "PAID under the second key", prepare: func(f *office) order.Order { return f.paid("tok_timeout_not_charged") },
		want: "scanned, checked", status: order.Paid, asked: "resolve .2",
	},
	{
		name: "PAID and not charged",
		prepare: func(f *office) order.Order {
			o := f.paid("tok_ok")
			delete(f.bank.done, o.GatewayKey(order.KindCharge))
			return o
		},
		want: "scanned, checked, charge_missing", status: order.Paid, asked: "resolve .1",
	},
	{
		name: "PAID with another reference", prepare: func(f *office) order.Order { return f.charge(f.paid("tok_ok")) },
		want: "scanned, checked, charge_reference", status: order.Paid, asked: "resolve .1",
	},
	{
		name: "PAID just now", prepare: func(f *office) order.Order { return f.paid("tok_ok") }, rest: time.Nanosecond,
		want: "scanned, checked", status: order.Paid, asked: "resolve .1",
	},
	{
		name: "FAILED and not charged", prepare: func(f *office) order.Order { return f.paid("tok_declined") },
		want: "scanned, checked", status: order.Failed, asked: "resolve .1",
	},
	{
		name: "FAILED and charged", prepare: func(f *office) order.Order { return f.charge(f.paid("tok_outage")) },
		want: "scanned, checked, charge_unexpected", status: order.Failed, asked: "resolve .1",
	},
	{
		name: "CANCELED and not charged", prepare: func(f *office) order.Order { return f.canceled() },
		want: "scanned, checked", status: order.Canceled, asked: "resolve .1",
	},
	{
		name: "CANCELED and charged", prepare: func(f *office) order.Order { return f.charge(f.canceled()) },
		want: "scanned, checked, charge_unexpected", status: order.Canceled, asked: "resolve .1",
	},
	{
		name: "REFUNDED and refunded", prepare: func(f *office) order.Order { return f.refunded() },
		want: "scanned, checked", status: order.Refunded, asked: "resolve .refund",
	},
	{
		name: "REFUNDED and not refunded",
		prepare: func(f *office) order.Order {
			o := f.refunded()
			delete(f.bank.done, o.GatewayKey(order.KindRefund))
			return o
		},
		want: "scanned, checked, refund_missing", status: order.Refunded, asked: "resolve .refund",
	},
	{
		name: "REFUNDED with another reference",
		prepare: func(f *office) order.Order {
			o := f.refunded()
			f.bank.done[o.GatewayKey(order.KindRefund)] = "REF-OTHER"
			return o
		},
		want: "scanned, checked, refund_reference", status: order.Refunded, asked: "resolve .refund",
	},
	{
		name: "PENDING, charged after the backup", prepare: func(f *office) order.Order { return f.charge(f.create("tok_ok")) },
		want: "scanned, checked, settled paid", dry: "scanned, stuck", status: order.Paid, asked: "resolve .1",
	},
	{
		name: "PENDING, never charged", prepare: func(f *office) order.Order { return f.create("tok_ok") },
		want: "scanned, checked, settled failed", dry: "scanned, stuck", status: order.Failed, asked: "resolve .1",
	},
	{
		name: "PENDING for an hour", prepare: func(f *office) order.Order { return f.create("tok_ok") }, rest: time.Hour,
		want: "scanned, checked, settled failed", dry: "scanned, stuck", status: order.Failed, asked: "resolve .1",
	},
	{
		name: "PENDING for less than an hour", prepare: func(f *office) order.Order { return f.create("tok_ok") }, rest: time.Hour - time.Second,
		want: "scanned", status: order.Pending,
	},
	{
		name: "PENDING again after a retry",
		prepare: func(f *office) order.Order {
			o := f.paid("tok_outage")
			time.Sleep(3 * time.Hour)
			if _, err := f.checkout.Retry(f.t.Context(), o.Ref); err != nil {
				f.t.Fatal(err)
			}
			return o
		},
		rest: time.Minute, want: "scanned", status: order.Pending,
	},
	{
		name:    "PROCESSING, its worker died after the charge",
		prepare: func(f *office) order.Order { return f.charge(f.claimed(timeout)) },
		want:    "scanned, checked, settled paid", dry: "scanned, stuck", status: order.Paid, asked: "resolve .1",
	},
	{
		name:    "PROCESSING, its worker died before the charge",
		prepare: func(f *office) order.Order { return f.claimed(timeout) },
		want:    "scanned, checked, settled failed", dry: "scanned, stuck", status: order.Failed, asked: "resolve .1",
	},
	{
		name: "PROCESSING and leased", prepare: func(f *office) order.Order { return f.claimed(3 * time.Hour) },
		want: "scanned", status: order.Processing,
	},
	{
		name: "PROCESSING, and the gateway can't say",
		prepare: func(f *office) order.Order {
			f.bank.unsure = true
			return f.charge(f.claimed(timeout))
		},
		want: "scanned, checked, unknown", dry: "scanned, stuck", status: order.Processing, asked: "resolve .1",
	},
	{
		name: "PAID, and the gateway can't say",
		prepare: func(f *office) order.Order {
			o := f.paid("tok_ok")
			f.bank.unsure = true
			return o
		},
		want: "scanned, checked, unknown", status: order.Paid, asked: "resolve .1",
	},
	{
		name: "REFUNDING, not refunded", prepare: func(f *office) order.Order { return f.refunding() },
		want: "scanned, checked, settled refunded", dry: "scanned, stuck", status: order.Refunded, asked: "refund .refund",
	},
	{
		name: "REFUNDING, refunded after the backup",
		prepare: func(f *office) order.Order {
			o := f.refunding()
			f.bank.done[o.GatewayKey(order.KindRefund)] = "REF-SECRETLY"
			return o
		},
		want: "scanned, checked, settled refunded", dry: "scanned, stuck", status: order.Refunded, asked: "refund .refund",
	},
	{
		name: "REFUNDING, outcome unknown",
		prepare: func(f *office) order.Order {
			o := f.refunding()
			now := time.Now()
			o, err := f.store.Claim(f.t.Context(), o.Ref,
				order.Claim{Kind: order.KindRefund, Round: 1, Now: now, Until: now.Add(timeout)})
			if err != nil {
				f.t.Fatal(err)
			}
			return o
		},
		want: "scanned, checked, settled refunded", dry: "scanned, stuck", status: order.Refunded,
		asked: "resolve .refund, refund .refund.2",
	},
	{
		name: "REFUNDING, declined",
		prepare: func(f *office) order.Order {
			o := f.refunding()
			f.gateway.before = func(call string, _ gateway.Request) error {
				if call == "refund" {
					return &gateway.DeclinedError{Code: "account_closed"}
				}
				return nil
			}
			return o
		},
		want: "scanned, checked, settled refund_declined", dry: "scanned, stuck", status: order.Paid, asked: "refund .refund",
	},
	{
		name: "no order, but its message was dropped",
		prepare: func(f *office) order.Order {
			void := order.NewVoid(order.Ref{Tenant: tenant, ID: order.KeyedID("ids", "void")}, time.Now())
			if err := f.store.Create(f.t.Context(), void); err != nil {
				f.t.Fatal(err)
			}
			return void
		},
		want: "", status: order.Void,
	},
}

// callsSince returns the gateway calls from index since on, without the order's id.
func (f *office) callsSince(o order.Order, since int) string {
	return strings.ReplaceAll(strings.Join(f.gateway.calls()[since:], ", "), o.ID, "")
}

// TestReconcileRules checks that each order ends up as it should, and that the gateway is
// asked only about keys under which nobody will charge again.
func TestReconcileRules(t *testing.T) {
	for _, rule := range reconcileRules {
		t.Run(rule.name, func(t *testing.T) {
			inOffice(t, func(t *testing.T, f *office) {
				o := rule.prepare(f)
				time.Sleep(cmp.Or(rule.rest, 2*time.Hour))
				before, calls := f.stored(o.Ref), len(f.gateway.calls())
				if got := short(f.reconcile(true)); got != rule.want {
					t.Errorf("the report is %q, want %q", got, rule.want)
				}
				after := f.stored(o.Ref)
				if after.Status != rule.status {
					t.Errorf("the order is %s, want %s", after.Status, rule.status)
				}
				if got := f.callsSince(o, calls); got != rule.asked {
					t.Errorf("the gateway was asked %q, want %q", got, rule.asked)
				}
				if before.Status.End() {
					if diff := gocmp.Diff(before, after); diff != "" {
						t.Errorf("an order that had ended was changed (-before +after):\n%s", diff)
					}
				}
				f.wantBooks(after, rule.want)
			})
		})
	}
}

// stored returns an order as it is in the store.
func (f *office) stored(ref order.Ref) order.Order {
	f.t.Helper()
	o, err := f.store.Get(f.t.Context(), ref)
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

// wantBooks compares an order with the bank's books, unless a difference was reported.
func (f *office) wantBooks(o order.Order, report string) {
	f.t.Helper()
	if strings.Contains(report, "_") || !o.Status.End() {
		return
	}
	refs := make(map[string]string) // by key, without the order's id
	for key, ref := range f.bank.done {
		if rest, ok := strings.CutPrefix(key, o.ID); ok {
			refs[rest] = ref
		}
	}
	want := make(map[string]string)
	if o.Status == order.Paid || o.Status == order.Refunded {
		want[strings.TrimPrefix(o.GatewayKey(order.KindCharge), o.ID)] = o.PaymentRef
	}
	if o.Status == order.Refunded {
		want[strings.TrimPrefix(o.GatewayKey(order.KindRefund), o.ID)] = o.LastRefund().Ref
	}
	if diff := gocmp.Diff(want, refs); diff != "" {
		f.t.Errorf("the bank's books on a %s order (-order +bank):\n%s", o.Status, diff)
	}
}

// TestReconcileDry checks that a dry run writes nothing, asks nothing about an order that
// could still be charged, and reports nevertheless.
func TestReconcileDry(t *testing.T) {
	for _, rule := range reconcileRules {
		t.Run(rule.name, func(t *testing.T) {
			inOffice(t, func(t *testing.T, f *office) {
				o := rule.prepare(f)
				time.Sleep(cmp.Or(rule.rest, 2*time.Hour))
				before, calls := f.stored(o.Ref), len(f.gateway.calls())
				want, asked := rule.want, rule.asked
				if rule.dry != "" {
					want, asked = rule.dry, ""
				}
				if got := short(f.reconcile(false)); got != want {
					t.Errorf("the report is %q, want %q", got, want)
				}
				if got := f.callsSince(o, calls); got != asked {
					t.Errorf("the gateway was asked %q, want %q", got, asked)
				}
				if diff := gocmp.Diff(before, f.stored(o.Ref)); diff != "" {
					t.Errorf("the order was changed (-before +after):\n%s", diff)
				}
			})
		})
	}
}

// TestReconcileFindings checks that what was found is reported for each order.
func TestReconcileFindings(t *testing.T) {
	inOffice(t, func(t *testing.T, f *office) {
		missing, fine := f.paid("tok_ok"), f.paid("tok_ok")
		stuck := f.charge(f.create("tok_ok")) // its message is never handled
		delete(f.bank.done, missing.GatewayKey(order.KindCharge))
		time.Sleep(2 * time.Hour)
		f.reconcile(true)
		got := make(map[string]pipeline.Finding)
		for _, found := range f.found {
			got[found.Order.ID] = found
		}
		want := map[string]pipeline.Finding{
			missing.ID: {Kind: pipeline.ChargeMissing, Order: f.stored(missing.Ref)},
			stuck.ID:   {Kind: pipeline.FindingSettled, Settled: "paid", Order: stuck},
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("findings, none of them about %s (-want +got):\n%s", fine.ID, diff)
		}
	})
}

// TestReconcileSpan checks that orders are selected by the time of their creation, from
// the start of the span, inclusive, to its end, exclusive.
func TestReconcileSpan(t *testing.T) {
	inOffice(t, func(t *testing.T, f *office) {
		var created []time.Time
		for range 4 {
			created = append(created, f.paid("tok_ok").CreatedAt)
			time.Sleep(time.Hour)
		}
		for _, test := range []struct {
			name     string
			from, to time.Time
			want     int64
		}{
			{"everything", time.Time{}, time.Time{}, 4},
			{"from", created[1], time.Time{}, 3},
			{"to", time.Time{}, created[1], 1},
			{"both", created[1], created[3], 2},
			{"nothing", created[3].Add(time.Millisecond), created[3].Add(time.Hour), 0},
		} {
			s, _, err := f.reconciler().Run(t.Context(), pipeline.NewReconcileState(test.from, test.to, true, 1000))
			if err != nil || s.Report.Scanned != test.want || s.Report.Checked != test.want {
				t.Errorf("%s: %s, %v; want %d", test.name, short(s.Report), err, test.want)
			}
		}
	})
}

// TestReconcileUnknownLater checks that an outcome the gateway could not determine during
// one walk is settled by a later one.
func TestReconcileUnknownLater(t *testing.T) {
	inOffice(t, func(t *testing.T, f *office) {
		o := f.charge(f.claimed(timeout))
		f.bank.unsure = true
		time.Sleep(2 * time.Hour)
		if got := short(f.reconcile(true)); got != "scanned, checked, unknown" {
			t.Errorf("the first walk: %s", got)
		}
		f.bank.unsure = false
		if got := short(f.reconcile(true)); got != "scanned" {
			t.Errorf("a walk right after it, which must leave the order alone: %s", got)
		}
		time.Sleep(24 * time.Hour)
		if got := short(f.reconcile(true)); got != "scanned, checked, settled paid" {
			t.Errorf("the second walk: %s", got)
		}
		f.wantBooks(f.stored(o.Ref), "")
	})
}

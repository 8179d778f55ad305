package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/gateway"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// listing is a gateway that lists what it did, an entry a page.
type listing struct {
	gateway.Gateway
	entries []gateway.Entry
	queries []gateway.EntryQuery
	err     error
}

func (l *listing) Entries(_ context.Context, q gateway.EntryQuery) (gateway.EntryPage, error) {
	l.queries = append(l.queries, q)
	if l.err != nil {
		return gateway.EntryPage{}, l.err
	}
	at := 0
	if q.Cursor != "" {
		var err error
		if at, err = strconv.Atoi(q.Cursor); err != nil {
			return gateway.EntryPage{}, err
		}
	}
	page := gateway.EntryPage{Entries: l.entries[at:min(at+1, len(l.entries))]}
	if at+1 < len(l.entries) {
		page.Next = strconv.Itoa(at + 1)
	}
	return page, nil
}

func (f *office) listing(err error, entries ...gateway.Entry) (*listing, *pipeline.Reconciler) {
	l := &listing{Gateway: f.gateway, entries: entries, err: err}
	return l, pipeline.NewReconciler(pipeline.ReconcilerConfig{
		Store: f.store, Gateway: l, Now: time.Now,
		Found: func(_ context.Context, found pipeline.Finding) {
			if found.GatewayRef != "" { // one of the books', not of a stuck order
				f.found = append(f.found, found)
			}
		},
	})
}

// TestReconcileBooks: what the gateway lists and no order knows of is a difference.
func TestReconcileBooks(t *testing.T) {
	charge := func(o order.Order, ref string) gateway.Entry {
		return gateway.Entry{Ref: ref, Order: o.Ref, Money: o.Total, Done: true}
	}
	refund := func(o order.Order, ref string, done bool) gateway.Entry {
		return gateway.Entry{Refund: true, Ref: ref, Order: o.Ref, Money: o.Total, Done: done}
	}
	stranger := order.Order{Ref: order.Ref{Tenant: tenant, ID: "0199a6c5-1f6e-7c1a-9d0b-3f6e8a2b4c5d"}}
	for _, tt := range []struct {
		name  string
		entry func(f *office) gateway.Entry
		want  pipeline.FindingKind
	}{
		{"the charge of a PAID order", func(f *office) gateway.Entry { o := f.paid("tok_ok"); return charge(o, o.PaymentRef) }, ""},
		{"a second charge", func(f *office) gateway.Entry { return charge(f.paid("tok_ok"), "PAY-TWICE") }, pipeline.ChargeUnexpected},
		{"a charge of a FAILED order", func(f *office) gateway.Entry { return charge(f.paid("tok_declined"), "PAY-1") }, pipeline.ChargeUnexpected},
		{"a charge of a CANCELED order", func(f *office) gateway.Entry { return charge(f.canceled(), "PAY-1") }, pipeline.ChargeUnexpected},
		{"a charge of a PENDING order", func(f *office) gateway.Entry { return charge(f.create("tok_ok"), "PAY-1") }, ""},
		{"a charge of a PROCESSING order", func(f *office) gateway.Entry { return charge(f.claimed(time.Hour), "PAY-1") }, ""},
		{"the charge of a REFUNDING order", func(f *office) gateway.Entry { o := f.refunding(); return charge(o, o.PaymentRef) }, ""},
		{"the charge of a REFUNDED order", func(f *office) gateway.Entry { o := f.refunded(); return charge(o, o.PaymentRef) }, ""},
		{"a second charge of a REFUNDED order", func(f *office) gateway.Entry { return charge(f.refunded(), "PAY-TWICE") }, pipeline.ChargeUnexpected},
		{"a charge without an order", func(*office) gateway.Entry { return charge(stranger, "PAY-1") }, pipeline.OrderMissing},
		{"a refund without an order", func(*office) gateway.Entry { return refund(stranger, "REF-1", true) }, pipeline.OrderMissing},
		{"a failed refund without an order", func(*office) gateway.Entry { return refund(stranger, "REF-1", false) }, ""},
		{"a charge of a FAILED order that was given back", func(f *office) gateway.Entry {
			return gateway.Entry{Ref: "PAY-1", Order: f.paid("tok_declined").Ref}
		}, ""},
		{"somebody else's charge", func(*office) gateway.Entry { return gateway.Entry{Ref: "PAY-1", Done: true} }, ""},
		{"a charge with a malformed order", func(*office) gateway.Entry {
			return gateway.Entry{Ref: "PAY-1", Order: order.Ref{Tenant: tenant, ID: "1"}, Done: true}
		}, ""},
		{"the refund of a REFUNDED order", func(f *office) gateway.Entry { o := f.refunded(); return refund(o, o.LastRefund().Ref, true) }, ""},
		{"one that failed later", func(f *office) gateway.Entry { o := f.refunded(); return refund(o, o.LastRefund().Ref, false) }, pipeline.RefundMissing},
		{"a second refund", func(f *office) gateway.Entry { return refund(f.refunded(), "REF-TWICE", true) }, pipeline.RefundUnexpected},
		{"a second refund, which failed", func(f *office) gateway.Entry { return refund(f.refunded(), "REF-TWICE", false) }, ""},
		{"a refund of a PAID order", func(f *office) gateway.Entry { return refund(f.paid("tok_ok"), "REF-1", true) }, pipeline.RefundUnexpected},
		{"a refund of a REFUNDING order", func(f *office) gateway.Entry { return refund(f.refunding(), "REF-1", true) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inOffice(t, func(t *testing.T, f *office) {
				e := tt.entry(f)
				_, r := f.listing(nil, e)
				s, done, err := r.Run(t.Context(), pipeline.NewReconcileState(time.Time{}, time.Time{}, false, 1000))
				if err != nil || !done || s.Report.Listed != 1 {
					t.Fatalf("done %v, %d listed, %v", done, s.Report.Listed, err)
				}
				found := slices.DeleteFunc(f.found, func(found pipeline.Finding) bool { return found.GatewayRef != e.Ref })
				var got pipeline.FindingKind
				if len(found) > 0 {
					got = found[0].Kind
				}
				if len(found) > 1 || got != tt.want || s.Report.Differences[got] != int64(len(found)) {
					t.Errorf("found %+v, counted %v, want %q", found, s.Report.Differences, tt.want)
				}
				if len(found) == 1 && found[0].Order.Ref != e.Order {
					t.Errorf("it is about %v", found[0].Order.Ref)
				}
			})
		})
	}
}

// TestReconcileBooksLast: a charge under a key that the order no longer knows, as after a restore, is a
// difference once the walk has settled the order.
func TestReconcileBooksLast(t *testing.T) {
	inOffice(t, func(t *testing.T, f *office) {
		o := f.create("tok_ok")
		_, r := f.listing(nil, gateway.Entry{Ref: "PAY-2", Order: o.Ref, Money: o.Total, Done: true})
		time.Sleep(2 * time.Hour)
		_, _, err := r.Run(t.Context(), pipeline.NewReconcileState(time.Time{}, time.Time{}, true, 1000))
		if got := f.get(o.Ref); err != nil || got.Status != order.Failed {
			t.Fatalf("the order is %s, %v", got.Status, err)
		}
		if len(f.found) != 1 || f.found[0].Kind != pipeline.ChargeUnexpected {
			t.Errorf("found %+v", f.found)
		}
	})
}

// TestReconcileBooksResume: the books are read in the walk's window at its rate, and go on
// where they were after a time that was too short, and after an error.
func TestReconcileBooksResume(t *testing.T) {
	inOffice(t, func(t *testing.T, f *office) {
		l, r := f.listing(nil, make([]gateway.Entry, 5)...)
		from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		s := pipeline.NewReconcileState(from, to, false, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 32500*time.Millisecond) // two and a half seconds to begin something
		defer cancel()
		s, done, err := r.Run(ctx, s)
		if err != nil || done || s.Report.Listed != 2 {
			t.Fatalf("done %v, %d listed, %v", done, s.Report.Listed, err)
		}
		if s, err = pipeline.ParseReconcileState(s.Encode()); err != nil {
			t.Fatal(err)
		}
		l.err = errors.New("the books are closed")
		if s, done, err = r.Run(t.Context(), s); !errors.Is(err, l.err) || done || s.Report.Listed != 2 {
			t.Errorf("done %v, %d listed, %v", done, s.Report.Listed, err)
		}
		l.err = nil
		if s, done, err = r.Run(t.Context(), s); err != nil || !done || s.Report.Listed != 5 {
			t.Errorf("done %v, %d listed, %v", done, s.Report.Listed, err)
		}
		var want []gateway.EntryQuery
		for _, cursor := range []string{"", "1", "2", "2", "3", "4"} {
			want = append(want, gateway.EntryQuery{From: from, To: to, Cursor: cursor})
		}
		if diff := cmp.Diff(want, l.queries, cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Errorf("queries (-want +got):\n%s", diff)
		}
	})
}

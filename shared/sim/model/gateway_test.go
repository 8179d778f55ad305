package model_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/gateway"
	"paylane/shared/gateway/stripe"
	"paylane/shared/gateway/stripe/stripetest"
	"paylane/shared/order"
	"paylane/shared/sim/model"
)

// side is a gateway that the rules are tried on.
type side struct {
	gateway.Provider
	// fail has the next calls come out so.
	fail              func(model.Effect)
	approved, decline order.Token
	count             func() (charges, refunds int)
	violations        func() int
}

const orderID = "0198a5b2-0000-7000-8000-000000000001"

// modelSide is the model.
func modelSide(now func() time.Time) side {
	g := model.NewGateway(now)
	effect := model.ByToken
	g.Decide = func(gateway.Request, model.Call, int) model.Effect { return effect }
	return side{
		Provider: g, fail: func(e model.Effect) { effect = e }, approved: "tok_ok", decline: "tok_declined",
		count: func() (charges, refunds int) {
			for _, e := range g.Books() {
				if e.Refund {
					refunds++
				} else {
					charges++
				}
			}
			return charges, refunds
		},
		violations: func() int { return len(g.Violations()) },
	}
}

// stripeSide is the adapter to Stripe with Stripe's stand-in.
func stripeSide(t *testing.T, now func() time.Time) side {
	const key = "sk_test_1234567890"
	server := stripetest.New(t, key)
	server.Now = now
	var fault atomic.Int64
	server.Fault = func(c stripetest.Call) stripetest.Fault {
		if c.Name == "POST /v1/payment_intents/{id}/confirm" || c.Name == "POST /v1/refunds" {
			return stripetest.Fault(fault.Load())
		}
		return stripetest.None
	}
	faults := map[model.Effect]stripetest.Fault{
		model.Unavailable: stripetest.RateLimited, model.NoAnswerActed: stripetest.ResetAfter, model.NoAnswer: stripetest.ResetBefore,
		model.StoredErrorActed: stripetest.StoredAfter, model.StoredError: stripetest.StoredBefore,
	}
	return side{
		Provider: stripe.New(stripe.Config{URL: server.URL, Now: now, Secret: func(context.Context, bool) (string, error) { return key, nil }}),
		fail:     func(e model.Effect) { fault.Store(int64(faults[e])) },
		approved: "pm_card_visa", decline: "pm_card_chargeDeclined",
		count: func() (charges, refunds int) {
			b := server.Books()[orderID]
			return b.Charges, b.Refunds
		},
		violations: func() int { return -1 }, // Stripe keeps no list of them
	}
}

// rule is a call, how it comes out, and what it says.
type rule struct {
	call string
	as   model.Effect
	want string
}

// TestStripesRules tries the same calls on the model, and on the adapter to Stripe with Stripe's
// stand-in.
func TestStripesRules(t *testing.T) {
	for _, tt := range []struct {
		name                        string
		rules                       []rule
		charges, refunds, violation int
	}{
		{"a 429 is not stored", []rule{{"charge", model.Unavailable, "unavailable"}, {"charge", 0, "done"}, {"charge", 0, "done"}}, 1, 0, 0},
		{"what acted without an answer is told", []rule{{"charge", model.NoAnswerActed, "unknown"}, {"charge", 0, "done"}}, 1, 0, 0},
		{"what did not act may act", []rule{{"charge", model.NoAnswer, "unknown"}, {"charge", 0, "done"}}, 1, 0, 0},
		{"a decline whose answer is lost is told", []rule{{"declined", model.NoAnswerActed, "unknown"}, {"declined", 0, "declined"}}, 0, 0, 0},
		{"a decline is final", []rule{{"declined", 0, "declined"}, {"declined", 0, "declined"}, {"resolve declined", 0, "nothing"}}, 0, 0, 0},
		{"a 500 is stored", []rule{{"charge", model.StoredError, "unknown"}, {"charge", 0, "unknown"}, {"charge", 0, "unknown"}}, 0, 0, 0},
		{
			"asked about it, the gateway says that nothing happened, and then nothing can",
			[]rule{{"charge", model.StoredError, "unknown"}, {"resolve", 0, "nothing"}, {"charge", 0, "unknown"}, {"later", 0, ""}, {"charge", 0, "unknown"}}, 0, 0, 0,
		},
		{"a 500 of what acted is stored", []rule{{"charge", model.StoredErrorActed, "unknown"}, {"charge", 0, "unknown"}, {"resolve", 0, "done"}}, 1, 0, 0},
		{"a stored 500 ends with its key", []rule{{"charge", model.StoredError, "unknown"}, {"later", 0, ""}, {"charge", 0, "done"}}, 1, 0, 0},
		{"what acted is found after that", []rule{{"charge", model.StoredErrorActed, "unknown"}, {"later", 0, ""}, {"charge", 0, "done"}, {"resolve", 0, "done"}}, 1, 0, 0},
		{"by who says how old the order is; else it is charged again", []rule{{"charge", 0, "done"}, {"later", 0, ""}, {"charge of now", 0, "done"}}, 2, 0, 0},
		{"a key is not expired a moment before", []rule{{"charge", 0, "done"}, {"almost a day later", 0, ""}, {"charge of now", 0, "done"}}, 1, 0, 0},
		{"a key is for one amount", []rule{{"charge", 0, "done"}, {"charge of more", 0, "unknown"}, {"charge", 0, "done"}}, 1, 0, 1},
		{"a key is for one token", []rule{{"charge", 0, "done"}, {"declined", 0, "unknown"}, {"charge", 0, "done"}}, 1, 0, 1},
		{"resolved before it is charged", []rule{{"resolve", 0, "nothing"}, {"charge", 0, "unknown"}, {"resolve", 0, "nothing"}}, 0, 0, 0},
		{"a refund is made once", []rule{{"charge", 0, "done"}, {"refund", 0, "done"}, {"refund", 0, "done"}, {"resolve refund", 0, "done"}}, 1, 1, 0},
		{"a 429 of a refund is not stored", []rule{{"charge", 0, "done"}, {"refund", model.Unavailable, "unavailable"}, {"refund", 0, "done"}}, 1, 1, 0},
		{"a 500 of a refund is stored", []rule{{"charge", 0, "done"}, {"refund", model.StoredError, "unknown"}, {"refund", 0, "unknown"}, {"resolve refund", 0, "nothing"}}, 1, 0, 0},
		{"and also if it was made", []rule{{"charge", 0, "done"}, {"refund", model.StoredErrorActed, "unknown"}, {"refund", 0, "unknown"}, {"resolve refund", 0, "done"}}, 1, 1, 0},
		{"a refund of more than there is", []rule{{"charge", 0, "done"}, {"refund of more", 0, "declined"}}, 1, 0, 1},
		{"an old refund is found", []rule{{"charge", 0, "done"}, {"refund", 0, "done"}, {"later", 0, ""}, {"refund", 0, "done"}, {"resolve refund", 0, "done"}}, 1, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, on := range []string{"the model", "Stripe"} {
				began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
				var passed atomic.Int64 // what was lost may be answered meanwhile
				now := func() time.Time { return began.Add(time.Duration(passed.Load())) }
				s := modelSide(now)
				if on == "Stripe" {
					s = stripeSide(t, now)
				}
				world := &ruled{side: s, began: began}
				for i, rule := range tt.rules {
					passed.Add(int64(time.Minute))
					switch rule.call {
					case "later":
						passed.Add(int64(model.KeyLife))
						continue
					case "almost a day later":
						passed.Store(int64(model.KeyLife - time.Minute))
						continue
					}
					s.fail(rule.as)
					if got, err := world.do(t.Context(), rule.call, now()); got != rule.want {
						t.Errorf("%s: call %d, %s: %s (%v), want %s", on, i+1, rule.call, got, err, rule.want)
					}
				}
				charges, refunds := s.count()
				if charges != tt.charges || refunds != tt.refunds {
					t.Errorf("%s: %d charges and %d refunds, want %d and %d", on, charges, refunds, tt.charges, tt.refunds)
				}
				if n := s.violations(); n >= 0 && n != tt.violation {
					t.Errorf("%s: %d violations, want %d", on, n, tt.violation)
				}
			}
		})
	}
}

// ruled makes the calls of the rules.
type ruled struct {
	side
	began time.Time
	paid  string // the reference of the charge
}

func (w *ruled) do(ctx context.Context, call string, now time.Time) (string, error) {
	r := gateway.Request{
		Key: orderID + ".1", Order: order.Ref{Tenant: "t", ID: orderID}, Since: w.began,
		Money: order.Money{Amount: 500, Currency: "USD"}, Token: w.approved,
	}
	refund := r
	refund.Key, refund.PaymentRef, refund.Money.Amount = orderID+".refund", w.paid, 300
	charge := func() (string, error) {
		receipt, err := w.Charge(ctx, r)
		if err == nil {
			w.paid = receipt.Ref
		}
		return said(err), err
	}
	switch call {
	case "charge of now":
		r.Since = now
	case "charge of more":
		r.Money.Amount++
	case "declined":
		r.Token = w.decline
	case "resolve", "resolve declined", "resolve refund":
		switch call {
		case "resolve declined":
			r.Token = w.decline
		case "resolve refund":
			r = refund
		}
		known, err := w.Resolve(ctx, r)
		switch {
		case err != nil:
			return "unknown", err
		case known.Done:
			return "done", nil
		}
		return "nothing", nil
	case "refund", "refund of more":
		if call == "refund of more" {
			refund.Money.Amount = 501
		}
		_, err := w.Refund(ctx, refund)
		return said(err), err
	}
	return charge()
}

// said is what an error of a gateway says.
func said(err error) string {
	return map[order.Outcome]string{
		order.OutcomeApproved: "done", order.OutcomeDeclined: "declined", order.OutcomeUnavailable: "unavailable", order.OutcomeUnknown: "unknown",
	}[gateway.OutcomeOf(err)]
}

func request(token order.Token) gateway.Request {
	return gateway.Request{
		Key: orderID + ".1", Order: order.Ref{Tenant: "t", ID: orderID}, Since: time.Now(),
		Money: order.Money{Amount: 500, Currency: "USD"}, Token: token,
	}
}

// TestRace: whatever calls race under a key, and however they come out, it is charged once at most,
// and not at all once somebody was told so.
func TestRace(t *testing.T) {
	effects := []model.Effect{
		model.ByToken, model.NoAnswerActed, model.NoAnswer, model.Unavailable, model.StoredError, model.StoredErrorActed, model.Decline,
	}
	for round := range 100 {
		g := model.NewGateway(time.Now)
		g.Decide = func(_ gateway.Request, _ model.Call, n int) model.Effect { return effects[(round+n)%len(effects)] }
		var mu sync.Mutex
		receipts, nothing := map[string]bool{}, false
		var calls sync.WaitGroup
		for i := range 8 {
			calls.Go(func() {
				if i == 7 {
					known, err := g.Resolve(t.Context(), request("tok_ok"))
					ok(t, err)
					mu.Lock()
					nothing = !known.Done
					mu.Unlock()
					return
				}
				if receipt, err := g.Charge(t.Context(), request("tok_ok")); err == nil {
					mu.Lock()
					receipts[receipt.Ref] = true
					mu.Unlock()
				}
			})
		}
		calls.Wait()
		if n := len(g.Books()); n > 1 || n < len(receipts) || (n == 0) != nothing {
			t.Fatalf("round %d: %d charges, the receipts %v, and that nothing happened was said: %v", round, n, receipts, nothing)
		}
	}
}

// TestTokens: what the payment token says, if nobody decides otherwise.
func TestTokens(t *testing.T) {
	for _, tt := range []struct {
		token order.Token
		says  []string // each charge
		then  string   // of Resolve at once
		books int
	}{
		{"tok_ok", []string{"done"}, "done", 1},
		{"tok_slow_800", []string{"done"}, "done", 1},
		{"tok_expired_card", []string{"declined", "declined"}, "nothing", 0},
		{"tok_none", []string{"declined"}, "nothing", 0},
		{"tok_flaky_2", []string{"unavailable", "unavailable", "done"}, "done", 1},
		{"tok_outage", []string{"unavailable", "unavailable"}, "nothing", 0},
		{"tok_timeout_charged", []string{"unknown", "done"}, "done", 1},
		{"tok_timeout_not_charged", []string{"unknown", "unknown"}, "nothing", 0},
		{"tok_unknown_60", []string{"unknown"}, "unknown", 1},
		{"tok_unknown_0", []string{"unknown"}, "done", 1},
		{"tok_refund_declined", []string{"done"}, "done", 1},
	} {
		g := model.NewGateway(time.Now)
		r := request(tt.token)
		var says []string
		for range tt.says {
			_, err := g.Charge(t.Context(), r)
			says = append(says, said(err))
		}
		if diff := cmp.Diff(tt.says, says); diff != "" {
			t.Errorf("%s: the charges (-want +got):\n%s", string(tt.token), diff)
		}
		known, err := g.Resolve(t.Context(), r)
		then := "nothing"
		switch {
		case err != nil:
			then = "unknown"
		case known.Done:
			then = "done"
		}
		if then != tt.then || len(g.Books()) != tt.books {
			t.Errorf("%s: resolved to %s with %d charges, want %s and %d", string(tt.token), then, len(g.Books()), tt.then, tt.books)
		}
		if tt.token == "tok_refund_declined" {
			r.Key, r.PaymentRef = orderID+".refund", known.Receipt.Ref
			if _, err := g.Refund(t.Context(), r); said(err) != "declined" {
				t.Errorf("a refund that is to be declined: %v", err)
			}
		}
	}
}

// TestSteered: what is decided goes before the token, and a gateway can be silent.
func TestSteered(t *testing.T) {
	g := model.NewGateway(time.Now)
	var asked []string
	g.Decide = func(r gateway.Request, c model.Call, n int) model.Effect {
		asked = append(asked, fmt.Sprintf("%s %s %d", c, r.Key[len(orderID):], n))
		return []model.Effect{model.Unavailable, model.Approve}[min(n-1, 1)]
	}
	r := request("tok_declined")
	var says []string
	for range 3 {
		_, err := g.Charge(t.Context(), r)
		says = append(says, said(err))
	}
	g.Silent = func(of gateway.Request) bool { return of.Key == r.Key }
	if _, err := g.Resolve(t.Context(), r); err == nil {
		t.Error("a silent gateway answered")
	}
	g.Silent = nil
	known, err := g.Resolve(t.Context(), r)
	if err != nil || !known.Done {
		t.Errorf("it resolves to %+v, %v", known, err)
	}
	if diff := cmp.Diff([][]string{{"unavailable", "done", "done"}, {"charge .1 1", "charge .1 2"}}, [][]string{says, asked}); diff != "" {
		t.Errorf("the answers, and what was asked (-want +got):\n%s", diff)
	}
	g.Decide = func(gateway.Request, model.Call, int) model.Effect { return model.Decline }
	other := request("tok_ok")
	other.Key += ".2"
	if _, err := g.Charge(t.Context(), other); !errors.As(err, new(*gateway.DeclinedError)) {
		t.Errorf("a charge that is to be declined: %v", err)
	}
}

// TestBooks: what happened is listed with its time, and by that to who compares.
func TestBooks(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	g := model.NewGateway(func() time.Time { return now })
	r := request("tok_ok")
	charge, err := g.Charge(t.Context(), r)
	ok(t, err)
	refund := r
	refund.Key, refund.PaymentRef, refund.Money.Amount = orderID+".refund", charge.Ref, 200
	now = now.Add(time.Hour)
	returned, err := g.Refund(t.Context(), refund)
	ok(t, err)
	want := []model.Entry{
		{Key: r.Key, Order: r.Order, Money: r.Money, Ref: charge.Ref, At: now.Add(-time.Hour)},
		{Key: refund.Key, Order: r.Order, Refund: true, Money: refund.Money, Ref: returned.Ref, At: now},
	}
	if diff := cmp.Diff(want, g.Books()); diff != "" {
		t.Errorf("the books (-want +got):\n%s", diff)
	}
	page, err := g.Entries(t.Context(), gateway.EntryQuery{From: now, To: now.Add(1)})
	ok(t, err)
	listed := gateway.EntryPage{Entries: []gateway.Entry{{Refund: true, Ref: returned.Ref, Order: r.Order, Money: refund.Money, Done: true}}}
	if diff := cmp.Diff(listed, page); diff != "" {
		t.Errorf("the refund's moment (-want +got):\n%s", diff)
	}
	page, err = g.Entries(t.Context(), gateway.EntryQuery{From: now.Add(-time.Hour), To: now})
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Refund {
		t.Errorf("the hour before: %+v, %v", page, err)
	}
	r.KnownRef = "PAY-NONE"
	if known, err := g.Resolve(t.Context(), r); err != nil || known.Done {
		t.Errorf("a reference of nothing resolves to %+v, %v", known, err)
	}
}

package stripe_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"paylane/shared/contract"
	"paylane/shared/gateway"
	"paylane/shared/gateway/stripe"
	"paylane/shared/gateway/stripe/stripetest"
	"paylane/shared/order"
)

const testKey = "sk_test_1234567890"

// world is a gateway at a stand-in for Stripe, with a clock of their own.
type world struct {
	*stripe.Gateway
	server *stripetest.Server
	now    atomic.Int64 // after the beginning

	failing atomic.Pointer[failing]
}

var beginning = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func (w *world) time() time.Time         { return beginning.Add(time.Duration(w.now.Load())) }
func (w *world) pass(span time.Duration) { w.now.Add(int64(span)) }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{server: stripetest.New(t, testKey)}
	w.server.Now = w.time
	w.Gateway = stripe.New(stripe.Config{
		URL: w.server.URL, Now: w.time,
		Secret: func(context.Context, bool) (string, error) { return testKey, nil },
	})
	w.fail("", stripetest.None)
	w.server.Fault = func(c stripetest.Call) stripetest.Fault {
		if f := w.failing.Load(); f.name == c.Name {
			return f.fault
		}
		return stripetest.None
	}
	return w
}

// charge is a request to charge a new order.
func (w *world) charge(token order.Token) gateway.Request {
	id := uuid.NewString()
	return gateway.Request{
		Key: id + ".1", Order: order.Ref{Tenant: "shop", ID: id}, Since: w.time(), Token: token,
		Money: order.Money{Amount: 1200, Currency: "USD"},
	}
}

// charged charges a new order.
func (w *world) charged(t *testing.T) (gateway.Request, gateway.Receipt) {
	t.Helper()
	r := w.charge("pm_card_visa")
	receipt, err := w.Charge(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return r, receipt
}

// refund is a request to refund a part of what a charge brought.
func (w *world) refund(charge gateway.Request, ref string, amount int64) gateway.Request {
	r := charge
	r.Key, r.Since, r.PaymentRef, r.Money.Amount = charge.Order.ID+".refund", w.time(), ref, amount
	return r
}

// fail makes every call of a name fail, until it is told otherwise; no name is none.
func (w *world) fail(name string, fault stripetest.Fault) {
	w.failing.Store(&failing{name, fault})
}

type failing struct {
	name  string
	fault stripetest.Fault
}

const (
	create       = "POST /v1/payment_intents"
	confirm      = "POST /v1/payment_intents/{id}/confirm"
	cancel       = "POST /v1/payment_intents/{id}/cancel"
	createRefund = "POST /v1/refunds"
)

// meaning names what an error of the gateway says.
func meaning(err error) string {
	var declined *gateway.DeclinedError
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &declined):
		return "declined " + declined.Code
	case errors.Is(err, gateway.ErrMisconfigured):
		return "misconfigured"
	case errors.Is(err, gateway.ErrUnavailable):
		return "unavailable"
	}
	return "unknown"
}

func TestContract(t *testing.T) {
	w := newWorld(t)
	w.pass(time.Since(beginning)) // the suite has real times
	contract.RunGateway(t, w, "tok_ok")
}

// TestDeclines: what a payment method brings, and that no token gets into an error.
func TestDeclines(t *testing.T) {
	for token, want := range map[order.Token]string{
		"pm_card_visa":                            "done",
		"pm_card_chargeDeclined":                  "declined generic_decline",
		"pm_card_chargeDeclinedInsufficientFunds": "declined insufficient_funds",
		"pm_card_chargeDeclinedExpiredCard":       "declined expired_card",
		"pm_card_authenticationRequired":          "declined authentication_required",
		"pm_card_authenticationRequiredOnSetup":   "declined authentication_required",
		"pm_card_visa_chargeDeclinedLostCard":     "declined generic_decline",
		"pm_card_visa_chargeDeclinedStolenCard":   "declined generic_decline",
		"pm_card_chargeDeclinedFraudulent":        "declined generic_decline",
		"pm_nobodysknows":                         "declined resource_missing",
		stripetest.Processing:                     "unknown",
	} {
		w := newWorld(t)
		_, err := w.Charge(t.Context(), w.charge(token))
		if got := meaning(err); got != want {
			t.Errorf("%s: %s (%v), want %s", string(token), got, err, want)
		}
		if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, string(token)) {
			t.Errorf("the error has the token: %s", text)
		}
	}
}

// TestAnswers: what an answer to the confirmation says of the charge, by its status and its
// error; and what it says if the confirmation was sent twice, and this is of the second.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		status int
		answer string
		want   string
	}{
		{400, `"type": "invalid_request_error", "code": "parameter_unknown", "param": "off_session"`, "misconfigured"},
		{400, `"type": "invalid_request_error", "code": "payment_intent_invalid_parameter"`, "misconfigured"},
		{404, `"type": "invalid_request_error", "code": "resource_missing", "param": "intent"`, "misconfigured"},
		{400, `"type": "idempotency_error"`, "unknown"},
		{400, `"type": "api_error"`, "unknown"},
		{400, `"type": "invalid_request_error", "code": "payment_method_currency_mismatch"`, "declined payment_method_currency_mismatch"},
		{400, `"type": "invalid_request_error", "code": "payment_intent_action_required"`, "declined authentication_required"},
		{400, `"type": "invalid_request_error", "code": "payment_intent_authentication_failure"`, "declined payment_intent_authentication_failure"},
		{400, `"type": "invalid_request_error", "code": "payment_intent_incompatible_payment_method"`, "declined payment_intent_incompatible_payment_method"},
		{400, `"type": "invalid_request_error", "code": "payment_intent_payment_attempt_failed"`, "declined payment_intent_payment_attempt_failed"},
		{402, `"type": "card_error", "code": "card_declined", "decline_code": "merchant_blacklist"`, "declined generic_decline"},
		{402, `"type": "card_error", "code": "card_declined", "decline_code": "do_not_honor"`, "declined do_not_honor"},
		{402, `"type": "invalid_request_error", "code": "charge_exceeds_transaction_limit"`, "declined charge_exceeds_transaction_limit"},
		{402, `"type": "api_error"`, "declined card_declined"},
		{403, `"type": "invalid_request_error"`, "misconfigured"},
		{409, `"type": "idempotency_error", "code": "idempotency_key_in_use"`, "unknown"},
		{424, `"type": "invalid_request_error"`, "unknown"},
		{424, `"type": "invalid_request_error", "code": "payment_intent_payment_attempt_failed"`, "unknown"},
		{424, `"type": "api_error"`, "unknown"},
		{429, `"type": "invalid_request_error", "code": "lock_timeout"`, "unavailable"},
		{503, `"type": "api_error"`, "unknown"},
	} {
		for _, twice := range []bool{false, true} {
			w := newWorld(t)
			var confirmed atomic.Int64
			front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				switch {
				case !strings.HasSuffix(r.URL.Path, "/confirm"):
					w.server.ServeHTTP(rw, r)
				case confirmed.Add(1) == 1 && twice:
					panic(http.ErrAbortHandler)
				default:
					rw.WriteHeader(tt.status)
					_, _ = fmt.Fprintf(rw, `{"error": {%s, "message": "Stripe's words."}}`, tt.answer)
				}
			}))
			defer front.Close()
			g := stripe.New(stripe.Config{URL: front.URL, Now: w.time, Secret: func(context.Context, bool) (string, error) { return testKey, nil }})
			_, err := g.Charge(t.Context(), w.charge("pm_card_visa"))
			want := tt.want
			if twice && tt.status != http.StatusPaymentRequired {
				want = "unknown"
			}
			if got := meaning(err); got != want || confirmed.Load() == 2 != twice {
				t.Errorf("%d %s, twice %v: %s (%v), want %s", tt.status, tt.answer, twice, got, err, want)
			}
			var declined *gateway.DeclinedError
			if errors.As(err, &declined) && (declined.Message == "" || declined.Message == "Stripe's words." != (want == "declined do_not_honor")) {
				t.Errorf("%d %s: the text %q", tt.status, tt.answer, declined.Message)
			}
		}
	}
}

// TestRefusedCreation: an intent that Stripe refuses to create is known never to be charged.
func TestRefusedCreation(t *testing.T) {
	w := newWorld(t)
	unknown, small := w.charge("pm_nobodysknows"), w.charge("pm_card_visa")
	small.Money.Amount = 1
	for _, r := range []gateway.Request{unknown, small} {
		if known, err := w.Resolve(t.Context(), r); err != nil || known.Done {
			t.Errorf("%+v, %v", known, err)
		}
	}
}

// TestUsedMethod: a payment method without a customer is for one payment; Stripe says so with
// neither a code nor a parameter.
func TestUsedMethod(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Charge(t.Context(), w.charge("pm_once_1")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Charge(t.Context(), w.charge("pm_once_1")); meaning(err) != "declined invalid_request" {
		t.Errorf("%v, want a decline", err)
	}
}

// TestFaults: each failure of each call means what the port says, and asking afterwards tells
// the truth: by the books.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		fault   stripetest.Fault
		name    string
		charge  string // what Charge says if create or confirm fails so
		resolve string // what Resolve says if the call that it makes fails so
	}{
		{stripetest.ResetBefore, "reset before", "unknown", "unknown"},
		{stripetest.ResetAfter, "reset after", "unknown", "unknown"},
		{stripetest.CutAfter, "cut answer", "unknown", "unknown"},
		{stripetest.GarbageAfter, "no JSON", "unknown", "unknown"},
		{stripetest.StoredBefore, "stored 500, not done", "unknown", "unknown"},
		{stripetest.StoredAfter, "stored 500, done", "unknown", "unknown"},
		{stripetest.StoredLost, "stored 500, done, lost", "unknown", "unknown"},
		{stripetest.Unstored, "503", "unknown", "unknown"},
		{stripetest.InUse, "409", "unknown", "unknown"},
		{stripetest.RateLimited, "429", "unavailable", "unavailable"},
		{stripetest.Locked, "429 for a lock", "unavailable", "unavailable"},
		{stripetest.HangBefore, "no answer, not done", "unknown", "unknown"},
		{stripetest.HangAfter, "no answer, done", "unknown", "unknown"},
		{stripetest.NotPermitted, "403", "misconfigured", "misconfigured"},
		{stripetest.InvalidOther, "another 400", "misconfigured", "misconfigured"},
	} {
		for _, call := range []string{create, confirm} {
			t.Run(tt.name+" at "+call, func(t *testing.T) {
				w := newWorld(t)
				r := w.charge("pm_card_visa")
				w.fail(call, tt.fault)
				_, err := w.Charge(short(t), r)
				if got := meaning(err); got != tt.charge {
					t.Fatalf("%s (%v), want %s", got, err, tt.charge)
				}
				w.fail("", stripetest.None)
				known, err := w.Resolve(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				b := w.server.Books()[r.Order.ID]
				if known.Done != (b.Charges == 1) || b.Charges > 1 {
					t.Errorf("done %v, but the books have %+v", known.Done, b)
				}
				// From now on the key is closed.
				receipt, err := w.Charge(t.Context(), r)
				if after := w.server.Books()[r.Order.ID]; after.Charges != b.Charges || err == nil && receipt != known.Receipt {
					t.Errorf("charged again: %v, %v; the books have %+v", receipt, err, after)
				}
			})
		}
		for _, call := range []string{create, cancel} {
			t.Run("resolve: "+tt.name+" at "+call, func(t *testing.T) {
				w := newWorld(t)
				r := w.charge("pm_card_visa")
				w.fail(call, tt.fault)
				_, err := w.Resolve(short(t), r)
				if got := meaning(err); got != tt.resolve && (tt.fault != stripetest.StoredBefore && tt.fault != stripetest.StoredAfter || call != create) {
					t.Errorf("%s (%v), want %s", got, err, tt.resolve)
				}
				if n := w.server.Books()[r.Order.ID].Charges; n > 0 {
					t.Errorf("asking charged %d times", n)
				}
			})
		}
		t.Run("refund: "+tt.name, func(t *testing.T) {
			w := newWorld(t)
			charge, charged := w.charged(t)
			r := w.refund(charge, charged.Ref, 200)
			w.fail(createRefund, tt.fault)
			_, err := w.Refund(short(t), r)
			if got := meaning(err); got != tt.charge {
				t.Fatalf("%s (%v), want %s", got, err, tt.charge)
			}
			w.fail("", stripetest.None)
			known, err := w.Resolve(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if !known.Done { // under a stored failure it can't be made any more: a new key
				r.Key += ".2"
				if _, err := w.Refund(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			if b := w.server.Books()[charge.Order.ID]; b.Refunds != 1 || b.Refunded != 200 {
				t.Errorf("the books have %+v", b)
			}
		})
	}
}

// TestSentTwice: net/http sends a request again if a connection that was open breaks. What
// refuses the second says nothing of the first.
func TestSentTwice(t *testing.T) {
	for _, second := range []stripetest.Fault{stripetest.RateLimited, stripetest.NotPermitted, stripetest.InvalidOther} {
		for _, name := range []string{confirm, createRefund} {
			w := newWorld(t)
			charge := w.charge("pm_card_visa")
			if name == createRefund {
				if _, err := w.Charge(t.Context(), charge); err != nil {
					t.Fatal(err)
				}
			}
			w.server.Fault = func(c stripetest.Call) stripetest.Fault {
				switch {
				case c.Name != name:
					return stripetest.None
				case c.Count == 1:
					return stripetest.ResetAfter
				}
				return second
			}
			var err error
			if name == confirm {
				_, err = w.Charge(t.Context(), charge)
			} else {
				_, err = w.Refund(t.Context(), w.refund(charge, w.server.Intents()[0], 200))
			}
			if w.server.Calls(name) != 2 {
				t.Fatalf("%s was called %d times", name, w.server.Calls(name))
			}
			if meaning(err) != "unknown" {
				t.Errorf("%s: %v, want it unknown", name, err)
			}
		}
	}
}

// TestFailureSentTwice: a refund is made, but Stripe's answer is a failure that it stores, and is
// lost. net/http repeats the request, and what it gets is the failure: that it was stored
// before says nothing here, since the list of refunds was read before both.
func TestFailureSentTwice(t *testing.T) {
	w := newWorld(t)
	charge, receipt := w.charged(t)
	w.server.Fault = func(c stripetest.Call) stripetest.Fault {
		if c.Name == createRefund && c.Count == 1 {
			return stripetest.StoredLost
		}
		return stripetest.None
	}
	r := w.refund(charge, receipt.Ref, 200)
	if _, err := w.Resolve(t.Context(), r); meaning(err) != "unknown" || w.server.Calls(createRefund) != 2 {
		t.Fatalf("%v after %d calls, want it unknown after two", err, w.server.Calls(createRefund))
	}
	if known, err := w.Resolve(t.Context(), r); err != nil || !known.Done {
		t.Errorf("%+v, %v", known, err)
	}
	if b := w.server.Books()[charge.Order.ID]; b.Refunds != 1 {
		t.Errorf("the books have %+v", b)
	}
}

// short is a context that ends soon, for calls that hang.
func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// TestStoredFailure: Stripe replays its own failure under a key for as long as the key lives.
// Nobody has learned of the intent, so the key is given up.
func TestStoredFailure(t *testing.T) {
	for _, fault := range []stripetest.Fault{stripetest.StoredBefore, stripetest.StoredAfter} {
		w := newWorld(t)
		r := w.charge("pm_card_visa")
		w.fail(create, fault)
		for range 3 {
			_, err := w.Charge(t.Context(), r)
			w.fail("", stripetest.None)
			if meaning(err) != "unknown" {
				t.Fatalf("%v, want it unknown", err)
			}
		}
		if known, err := w.Resolve(t.Context(), r); err != nil || known.Done {
			t.Fatalf("%+v, %v", known, err)
		}
		r.Key = r.Order.ID + ".2"
		if _, err := w.Charge(t.Context(), r); err != nil {
			t.Error(err)
		}
		if b := w.server.Books()[r.Order.ID]; b.Charges != 1 {
			t.Errorf("the books have %+v", b)
		}
	}
}

// TestOldKey: a key that Stripe has forgotten charges and refunds nothing twice, and what was
// done under it is still found.
func TestOldKey(t *testing.T) {
	for _, age := range []time.Duration{time.Hour, 23*time.Hour + 30*time.Minute, 30 * time.Hour, 40 * 24 * time.Hour} {
		t.Run(age.String(), func(t *testing.T) {
			w := newWorld(t)
			charged, lost, unconfirmed := w.charge("pm_card_visa"), w.charge("pm_card_visa"), w.charge("pm_card_visa")
			receipt, err := w.Charge(t.Context(), charged)
			if err != nil {
				t.Fatal(err)
			}
			w.fail(confirm, stripetest.ResetBefore)
			if _, err := w.Charge(t.Context(), unconfirmed); err == nil {
				t.Fatal("the fault did not happen")
			}
			w.fail(confirm, stripetest.ResetAfter)
			if _, err := w.Charge(t.Context(), lost); err == nil {
				t.Fatal("the fault did not happen")
			}
			w.fail("", stripetest.None)
			w.pass(age)
			if again, err := w.Charge(t.Context(), charged); err != nil || again != receipt {
				t.Errorf("charged again: %v, %v", again, err)
			}
			if known, err := w.Resolve(t.Context(), lost); err != nil || !known.Done {
				t.Errorf("a lost charge: %+v, %v", known, err)
			}
			if known, err := w.Resolve(t.Context(), unconfirmed); err != nil || known.Done {
				t.Errorf("an intent that was not confirmed: %+v, %v", known, err)
			}
			r := w.refund(charged, receipt.Ref, 200)
			made, err := w.Refund(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			w.pass(age)
			if again, err := w.Refund(t.Context(), r); err != nil || again != made {
				t.Errorf("refunded again: %v, %v", again, err)
			}
			books := w.server.Books()
			for _, r := range []gateway.Request{charged, lost, unconfirmed} {
				b := books[r.Order.ID]
				want := 1
				if r.Order == unconfirmed.Order {
					want = 0
				}
				if b.Charges != want || b.Open > 0 {
					t.Errorf("the books have %+v, want %d charges", b, want)
				}
			}
			if b := books[charged.Order.ID]; b.Refunds != 1 || b.Refunded != 200 {
				t.Errorf("the books have %+v", b)
			}
		})
	}
}

// TestForgottenToken: an order that ended is looked for, not asked about under its key: that
// would make an intent for nothing. Nothing is said before the search is sure to find it.
func TestForgottenToken(t *testing.T) {
	w := newWorld(t)
	w.server.SearchLag = time.Hour // as long as Stripe's outages may make it
	charged, _ := w.charged(t)
	declined := w.charge("pm_card_chargeDeclined")
	if _, err := w.Charge(t.Context(), declined); err == nil {
		t.Fatal("it is not declined")
	}
	canceled := w.charge("")
	charged.Token, declined.Token = "", ""
	for range 2 {
		for _, r := range []gateway.Request{charged, declined, canceled} {
			if _, err := w.Resolve(t.Context(), r); meaning(err) != "unknown" {
				t.Errorf("before the search can know: %v", err)
			}
		}
		w.pass(59 * time.Minute)
	}
	for _, r := range []gateway.Request{charged, declined, canceled} {
		if known, err := w.Resolve(t.Context(), r); err != nil || known.Done != (r.Key == charged.Key) {
			t.Errorf("%+v, %v", known, err)
		}
	}
	if n := len(w.server.Intents()); n != 2 {
		t.Errorf("there are %d intents", n)
	}
}

// TestKnown: what this side knows of is looked up, and neither made nor canceled.
func TestKnown(t *testing.T) {
	w := newWorld(t)
	charge, receipt := w.charged(t)
	refund := w.refund(charge, receipt.Ref, 1200)
	made, err := w.Refund(t.Context(), refund)
	if err != nil {
		t.Fatal(err)
	}
	charge.KnownRef, refund.KnownRef = receipt.Ref, made.Ref
	for _, r := range []gateway.Request{charge, refund} {
		if known, err := w.Resolve(t.Context(), r); err != nil || known.Receipt.Ref != r.KnownRef {
			t.Errorf("%+v, %v", known, err)
		}
	}
	w.server.FailRefund(made.Ref)
	if known, err := w.Resolve(t.Context(), refund); err != nil || known.Done {
		t.Errorf("a refund that failed later: %+v, %v", known, err)
	}
	charge.KnownRef, refund.KnownRef = "pi_nothing", "re_nothing"
	for _, r := range []gateway.Request{charge, refund} {
		if known, err := w.Resolve(t.Context(), r); err != nil || known.Done {
			t.Errorf("what there is not: %+v, %v", known, err)
		}
	}
	if n := len(w.server.Intents()); n != 1 {
		t.Errorf("there are %d intents", n)
	}
	if b := w.server.Books()[charge.Order.ID]; b.Refunds != 0 {
		t.Errorf("asking made a refund: %+v", b)
	}
}

func TestRefunds(t *testing.T) {
	w := newWorld(t)
	charge, receipt := w.charged(t)
	part := func(n int, amount int64) gateway.Request {
		r := w.refund(charge, receipt.Ref, amount)
		r.Key += fmt.Sprint(".", n)
		return r
	}
	for n, tt := range []struct {
		amount int64
		want   string
	}{{500, "done"}, {800, "declined invalid_request"}, {700, "done"}, {100, "done"}} { // the last: all is back already
		if _, err := w.Refund(t.Context(), part(n, tt.amount)); meaning(err) != tt.want {
			t.Errorf("%d: %v, want %s", tt.amount, err, tt.want)
		}
	}
	if b := w.server.Books()[charge.Order.ID]; b.Refunded != 1200 || b.Refunds != 2 {
		t.Errorf("the books have %+v", b)
	}
	disputed, receipt := w.charged(t)
	w.server.Dispute(receipt.Ref)
	r := w.refund(disputed, receipt.Ref, 1200)
	if _, err := w.Refund(t.Context(), r); meaning(err) != "declined charge_disputed" {
		t.Errorf("a disputed charge: %v", err)
	}
	if known, err := w.Resolve(t.Context(), r); err != nil || known.Done {
		t.Errorf("a disputed charge: %+v, %v", known, err)
	}
}

// TestProcessing: while Stripe has not decided, nothing is known; a canceled intent can't be
// charged any more.
func TestProcessing(t *testing.T) {
	for _, charged := range []bool{true, false} {
		w := newWorld(t)
		r := w.charge(stripetest.Processing)
		for range 2 {
			if _, err := w.Charge(t.Context(), r); meaning(err) != "unknown" {
				t.Fatal(err)
			}
			if _, err := w.Resolve(t.Context(), r); meaning(err) != "unknown" {
				t.Fatal(err)
			}
		}
		w.server.Settle(w.server.Intents()[0], charged)
		if known, err := w.Resolve(t.Context(), r); err != nil || known.Done != charged {
			t.Errorf("%+v, %v, want %v", known, err, charged)
		}
	}
}

// TestAction: an intent that wants somebody to act is canceled, so that nobody can later.
func TestAction(t *testing.T) {
	w := newWorld(t)
	r := w.charge(stripetest.Action)
	w.fail(cancel, stripetest.Unstored)
	if _, err := w.Charge(t.Context(), r); meaning(err) != "unknown" {
		t.Errorf("while it can't be canceled: %v", err)
	}
	w.fail("", stripetest.None)
	if _, err := w.Charge(t.Context(), r); meaning(err) != "declined authentication_required" {
		t.Errorf("%v, want a decline", err)
	}
	if b := w.server.Books()[r.Order.ID]; b.Open != 0 || b.Charges != 0 {
		t.Errorf("the books have %+v", b)
	}
}

// TestKeys: an API key that was rolled is read anew and the request made with it; one that
// stays wrong, or is of the other mode, fails no payment.
func TestKeys(t *testing.T) {
	key := testKey
	w := newWorld(t)
	var anew int
	open := func(live bool) *stripe.Gateway {
		return stripe.New(stripe.Config{URL: w.server.URL, Now: w.time, Livemode: live, Secret: func(_ context.Context, again bool) (string, error) {
			if again {
				anew++
			}
			if key == "" {
				return "", errors.New("the vault is closed")
			}
			return key, nil
		}})
	}
	g := open(false)
	if _, err := g.Charge(t.Context(), w.charge("pm_card_visa")); err != nil {
		t.Fatal(err)
	}
	w.server.SetKey("rk_test_rolled")
	if _, err := g.Charge(t.Context(), w.charge("pm_card_visa")); meaning(err) != "misconfigured" || anew != 1 {
		t.Errorf("a key that was rolled: %v, read anew %d times", err, anew)
	}
	key = "rk_test_rolled"
	if _, err := g.Charge(t.Context(), w.charge("pm_card_visa")); err != nil {
		t.Errorf("the new key: %v", err)
	}
	for _, bad := range []string{"sk_live_1", "pk_test_1", "", "sk_test"} {
		key = bad
		_, err := open(false).Charge(t.Context(), w.charge("pm_card_visa"))
		if meaning(err) != "misconfigured" {
			t.Errorf("the key %q: %v", bad, err)
		}
		if bad != "" && strings.Contains(err.Error(), bad+" ") {
			t.Errorf("the error has the key: %v", err)
		}
	}
	key = testKey
	w.server.SetKey(testKey)
	if _, err := open(true).Charge(t.Context(), w.charge("pm_card_visa")); meaning(err) != "misconfigured" {
		t.Errorf("a test key in live mode: %v", err)
	}
	w.server.SetKey("sk_live_1")
	key = "sk_live_1"
	live := open(true)
	if _, err := live.Charge(t.Context(), w.charge(live.Describe().Declined)); meaning(err) != "declined resource_missing" {
		t.Errorf("in live mode, the declined example: %v", err)
	}
	if live.Describe().Approved != "" || !live.Livemode() {
		t.Error("in live mode there is an example that is approved")
	}
}

// TestUnreachable: what was never sent is known to have done nothing.
func TestUnreachable(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	w := newWorld(t)
	for _, url := range []string{closed.URL, "http://nowhere.invalid"} {
		g := stripe.New(stripe.Config{URL: url, Now: w.time, Secret: func(context.Context, bool) (string, error) { return testKey, nil }})
		if _, err := g.Charge(t.Context(), w.charge("pm_card_visa")); meaning(err) != "unavailable" {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := g.Resolve(t.Context(), w.charge("pm_card_visa")); err == nil {
			t.Errorf("%s: it says what became of a charge", url)
		}
	}
}

// TestMoney: amounts in Stripe's units.
func TestMoney(t *testing.T) {
	for _, tt := range []struct {
		amount   int64
		currency order.Currency
		want     int64 // 0 is a refusal
	}{
		{1234, "USD", 1234}, {1234, "JPY", 1234}, {12000, "KRW", 12000}, {5, "ISK", 500}, {5, "UGX", 500},
		{1200, "MGA", 12}, {1234, "MGA", 0}, {5120, "KWD", 5120}, {5124, "KWD", 0}, {1230, "BHD", 1230},
		{1230, "TND", 1230}, {1231, "JOD", 0}, {1231, "OMR", 0}, {1230, "IQD", 0}, {1230, "LYD", 0}, {1234, "HUF", 1234},
		{1234, "KPW", 0}, {49, "USD", 0},
	} {
		w := newWorld(t)
		r := w.charge("pm_card_visa")
		r.Money = order.Money{Amount: tt.amount, Currency: tt.currency}
		_, err := w.Charge(t.Context(), r)
		got := w.server.Books()[r.Order.ID].Charged
		if got != tt.want || (err == nil) != (tt.want > 0) || err != nil && !strings.HasPrefix(meaning(err), "declined ") {
			t.Errorf("%d %s: charged %d (%v), want %d", tt.amount, tt.currency, got, err, tt.want)
		}
		// What it can know by itself, it says beforehand.
		if checked := w.CheckMoney(r.Money); checked != nil && tt.want > 0 {
			t.Errorf("%d %s: %v", tt.amount, tt.currency, checked)
		}
		if err == nil {
			page, err := w.Entries(t.Context(), gateway.EntryQuery{From: beginning, To: beginning.Add(time.Hour)})
			if err != nil || len(page.Entries) != 1 || page.Entries[0].Money != r.Money {
				t.Errorf("%d %s: listed as %+v, %v", tt.amount, tt.currency, page.Entries, err)
			}
		}
	}
}

// TestEntries: the books are read to their end, page by page, and hold what moved money.
func TestEntries(t *testing.T) {
	w := newWorld(t)
	want := map[gateway.Entry]bool{}
	for i := range 230 {
		token := order.Token("pm_card_visa")
		if i%10 == 0 {
			token = "pm_card_chargeDeclined"
		}
		r := w.charge(token)
		receipt, err := w.Charge(t.Context(), r)
		if err != nil {
			continue
		}
		want[gateway.Entry{Ref: receipt.Ref, Order: r.Order, Money: r.Money, Done: true}] = true
		refund := w.refund(r, receipt.Ref, 200)
		made, err := w.Refund(t.Context(), refund)
		if err != nil {
			t.Fatal(err)
		}
		failed := i%4 == 0
		if failed {
			w.server.FailRefund(made.Ref)
		}
		want[gateway.Entry{Refund: true, Ref: made.Ref, Order: r.Order, Money: refund.Money, Done: !failed}] = true
	}
	w.pass(time.Hour)
	if _, err := w.Charge(t.Context(), w.charge("pm_card_visa")); err != nil { // after the window
		t.Fatal(err)
	}
	q := gateway.EntryQuery{From: beginning, To: beginning.Add(time.Hour)}
	pages := 0
	for {
		page, err := w.Entries(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if !want[e] {
				t.Errorf("unexpected, or listed twice: %+v", e)
			}
			delete(want, e)
		}
		pages++
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if len(want) > 0 || pages != 6 {
		t.Errorf("after %d pages, %d are missing", pages, len(want))
	}
	if _, err := w.Entries(t.Context(), gateway.EntryQuery{From: beginning, To: beginning, Cursor: "nonsense"}); err == nil {
		t.Error("a cursor of nothing is accepted")
	}
}

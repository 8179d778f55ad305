package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
)

// refunds returns what an order's refunds are, without what differs at each run.
func refunds(o orderBody) (all []refundBody) {
	for _, r := range o.Refunds {
		r.ID, r.RequestedAt, r.EndedAt = "", "", ""
		all = append(all, r)
	}
	return all
}

func refunded(o order.Order) (order.Order, error) { return o.RefundedWith("REF-1", time.Now()) }

// TestPartialRefunds: parts of a paid order are refunded one after the other, each under its
// key, until nothing is left; a repeated request moves nothing.
func TestPartialRefunds(t *testing.T) {
	a := newAPI(t)
	o := decode[orderBody](t, a.do(t, request{method: http.MethodPost, path: "/orders", body: `{"amount": 1200}`}))
	a.settle(t, o.ID, claimed, paid)
	refund := func(key, body string, status int) orderBody {
		t.Helper()
		r := request{method: http.MethodPost, path: "/orders/" + o.ID + "/refund", body: body}
		if key != "" {
			r.header = map[string]string{"Idempotency-Key": key}
		}
		response := a.do(t, r)
		if response.StatusCode != status {
			t.Fatalf("%s under the key %q: %d %s, want %d", body, key, response.StatusCode, read(t, response), status)
		}
		if replayed := response.Header.Get("Idempotency-Replayed") == "true"; replayed != (status == http.StatusOK && key != "") {
			t.Errorf("%s under the key %q: replayed is %v", body, key, replayed)
		}
		if status >= 300 {
			return orderBody{}
		}
		return decode[orderBody](t, response)
	}
	const broken = `{"amount": 200, "reason": "one cup was broken"}`
	o = refund("k1", broken, http.StatusAccepted)
	if o.Status != "REFUNDING" || o.Refunded != 0 {
		t.Errorf("the order is %s, with %d refunded", o.Status, o.Refunded)
	}
	refund("k1", broken, http.StatusOK)
	refund("k1", `{"amount": 201, "reason": "one cup was broken"}`, http.StatusUnprocessableEntity)
	refund("k2", `{"amount": 100}`, http.StatusConflict) // one at a time
	refund("", "", http.StatusConflict)
	a.settle(t, o.ID, refunded)
	o = refund("k1", broken, http.StatusOK)
	if o.Status != "PAID" || o.Refunded != 200 {
		t.Errorf("after a part the order is %s, with %d refunded", o.Status, o.Refunded)
	}
	refund("k2", `{"amount": 1001}`, http.StatusUnprocessableEntity) // more than is left
	refund("k2", `{"amount": 300}`, http.StatusAccepted)
	a.settle(t, o.ID, func(o order.Order) (order.Order, error) { return o.RefundDeclinedWith("refund_declined", time.Now()) })
	refund("k3", "", http.StatusAccepted) // all that is left
	a.settle(t, o.ID, refunded)
	for key, body := range map[string]string{"": "{}", "k3": "", "k1": broken} {
		o = refund(key, body, http.StatusOK)
	}
	refund("k4", `{"amount": 1}`, http.StatusConflict)
	want := []refundBody{
		{Amount: 200, Status: "DONE", Reason: "one cup was broken", Ref: "REF-1"},
		{Amount: 300, Status: "DECLINED", Code: "refund_declined"},
		{Amount: 1000, Status: "DONE", Ref: "REF-1"},
	}
	if diff := cmp.Diff(want, refunds(o)); o.Status != "REFUNDED" || o.Refunded != 1200 || diff != "" {
		t.Errorf("the order is %s, with %d refunded (-want +got):\n%s", o.Status, o.Refunded, diff)
	}
	for _, r := range o.Refunds {
		if r.ID == "" || r.RequestedAt == "" || r.EndedAt == "" {
			t.Errorf("a refund lacks its id or times: %+v", r)
		}
	}
}

// TestRefundBody: a body that isn't understood moves nothing.
func TestRefundBody(t *testing.T) {
	a := newAPI(t)
	o := decode[orderBody](t, a.do(t, request{method: http.MethodPost, path: "/orders", body: `{"amount": 1200}`}))
	a.settle(t, o.ID, claimed, paid)
	for body, status := range map[string]int{
		`{"amount": 200}`:   http.StatusBadRequest, // without a key
		`{"amunt": 200}`:    http.StatusUnprocessableEntity,
		`{"Amount": 200}`:   http.StatusUnprocessableEntity,
		`{"amount": "200"}`: http.StatusUnprocessableEntity,
		`{"amount": 0}`:     http.StatusUnprocessableEntity,
		`{"amount": -1}`:    http.StatusUnprocessableEntity,
		`{"amount": 1.5}`:   http.StatusUnprocessableEntity,
		`{"reason": 5}`:     http.StatusUnprocessableEntity,
		`{"reason": "` + strings.Repeat("é", 256) + `"}`: http.StatusUnprocessableEntity,
		`[]`:   http.StatusUnprocessableEntity,
		`null`: http.StatusUnprocessableEntity,
		`200`:  http.StatusUnprocessableEntity,
		`{`:    http.StatusBadRequest,
		`x`:    http.StatusBadRequest,
	} {
		r := a.do(t, request{method: http.MethodPost, path: "/orders/" + o.ID + "/refund", body: body})
		if r.StatusCode != status {
			t.Errorf("%s: %d %s, want %d", body, r.StatusCode, read(t, r), status)
		}
	}
	got := decode[orderBody](t, a.do(t, request{path: "/orders/" + o.ID}))
	if got.Status != "PAID" || len(got.Refunds) != 0 {
		t.Errorf("the order is %s with the refunds %v", got.Status, got.Refunds)
	}
}

// TestPayAgain: an order that was declined is paid with another token.
func TestPayAgain(t *testing.T) {
	a := newAPI(t)
	o := decode[orderBody](t, a.do(t, request{method: http.MethodPost, path: "/orders", body: `{"amount": 1200, "paymentToken": "tok_declined"}`}))
	pay := func(token string, status int) orderBody {
		t.Helper()
		r := a.do(t, request{method: http.MethodPost, path: "/orders/" + o.ID + "/pay", body: `{"paymentToken": "` + token + `"}`})
		if r.StatusCode != status {
			t.Fatalf("%s: %d %s, want %d", token, r.StatusCode, read(t, r), status)
		}
		if status >= 300 {
			return orderBody{}
		}
		return decode[orderBody](t, r)
	}
	pay("tok_ok", http.StatusConflict) // it is PENDING with another token
	a.settle(t, o.ID, claimed, insufficient)
	pay("tok_nonsense", http.StatusUnprocessableEntity)
	if o = pay("tok_ok", http.StatusAccepted); o.Status != "PENDING" || o.Failure != nil || len(o.Attempts) != 1 {
		t.Errorf("paid again: %+v", o)
	}
	pay("tok_ok", http.StatusOK)
	pay("tok_outage", http.StatusConflict)
	stored, err := a.store.Get(t.Context(), order.Ref{Tenant: "t", ID: o.ID})
	if err != nil || stored.PaymentToken != "tok_ok" || stored.Round != 2 || stored.GatewayKey(order.KindCharge) != o.ID+".2" {
		t.Errorf("the order has the token %q, round %d, key %s, %v", string(stored.PaymentToken), stored.Round, stored.GatewayKey(order.KindCharge), err)
	}
	for _, body := range []string{"", "{}", `{"paymentToken": ""}`, `{"paymentToken": null}`, `{"token": "tok_ok"}`, `[]`} {
		if r := a.do(t, request{method: http.MethodPost, path: "/orders/" + o.ID + "/pay", body: body}); r.StatusCode != http.StatusUnprocessableEntity && r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", body, r.StatusCode)
		}
	}
}

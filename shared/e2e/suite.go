package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Run runs the whole suite, which is the same in every environment. Other orders may exist
// already; the suite leaves its own behind.
func Run(t *testing.T, g Target) {
	tests := map[string]func(*testing.T, Target){
		"an order is PENDING at once":           testPending,
		"a negative amount is refused":          testNegative,
		"a missing field is refused":            testMissing,
		"an order can be read by its id":        testGet,
		"an unknown id is a 404":                testUnknown,
		"an order is PAID in the end":           testPaid,
		"orders are listed, newest first":       testList,
		"every payment token ends as it should": testTokens,
		"one key makes one order":               testOneKey,
		"a canceled order is never charged":     testCancel,
		"a paid order can be refunded":          testRefund,
		"a paid order is refunded in parts":     testRefundParts,
		"a refund can be declined":              testRefundDeclined,
		"a declined order is paid again":        testPayAgain,
		"a failed order can be retried":         testRetry,
		"an order that ended can be erased":     testErase,
		"errors are problems":                   testProblems,
	}
	if g.Environment.limits().streams > 0 {
		tests["an order's changes come as events"] = testEvents
		tests["an unknown order has no events"] = testEventsRefused
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, g)
		})
	}
}

func testPending(t *testing.T, g Target) {
	o := g.create(t, `{"amount": 12000, "currency": "KRW", "items": [{"sku": "TEA-1", "quantity": 2, "unitPrice": 6000}],
		"customerId": "c-42", "paymentToken": "tok_ok", "metadata": {"cart": "77"}}`)
	if o.Amount != 12000 || o.Currency != "KRW" || len(o.Attempts) != 0 {
		t.Errorf("%+v", o)
	}
}

func refused(t *testing.T, g Target, body, location string) {
	t.Helper()
	a := g.do(t, http.MethodPost, "/orders", body)
	if a.status != http.StatusUnprocessableEntity {
		t.Fatalf("%s: %d %s", body, a.status, a.body)
	}
	p := decode[struct{ Errors []struct{ Location string } }](t, a)
	if !slices.ContainsFunc(p.Errors, func(e struct{ Location string }) bool { return e.Location == location }) {
		t.Errorf("%s: no error at %s: %s", body, location, a.body)
	}
}

func testNegative(t *testing.T, g Target) { refused(t, g, `{"amount": -100}`, "body.amount") }

func testMissing(t *testing.T, g Target) { refused(t, g, `{"currency": "KRW"}`, "body.amount") }

func testGet(t *testing.T, g Target) {
	o := g.create(t, paidWith("tok_ok"))
	a := g.do(t, http.MethodGet, "/orders/"+o.ID, "")
	got := decode[order](t, a)
	if a.status != http.StatusOK || got.ID != o.ID || got.Amount != 1200 || a.header.Get("ETag") != fmt.Sprintf(`"%d"`, got.Version) {
		t.Errorf("%d %s", a.status, a.body)
	}
	end := g.end(t, o.ID)
	if a := g.do(t, http.MethodGet, "/orders/"+o.ID, "", "If-None-Match", fmt.Sprintf(`"%d"`, end.Version)); a.status != http.StatusNotModified {
		t.Errorf("with its own ETag: %d", a.status)
	}
}

func testUnknown(t *testing.T, g Target) {
	for _, id := range []string{"00000000-0000-4000-8000-000000000000", "nonsense"} {
		if a := g.do(t, http.MethodGet, "/orders/"+id, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", id, a.status, a.body)
		}
	}
}

func testPaid(t *testing.T, g Target) {
	o := g.end(t, g.create(t, paidWith("tok_ok")).ID)
	if o.Status != "PAID" || !regexp.MustCompile(`^PAY-[0-9A-F]{8}$`).MatchString(o.PaymentRef) || o.Version != 3 {
		t.Errorf("%+v", o)
	}
}

func testList(t *testing.T, g Target) {
	customer := rand.Text()
	var want []string
	for range 5 {
		want = append(want, g.create(t, `{"amount": 1200, "customerId": "`+customer+`", "paymentToken": "tok_insufficient_funds"}`).ID)
	}
	for _, id := range want {
		g.end(t, id)
	}
	for _, query := range []string{"limit=2", "limit=2&status=FAILED", "limit=2&customerId=" + customer, "limit=1&status=FAILED&customerId=" + customer} {
		seen := map[string]int{}
		var last string
		for path, pages := "/orders?"+query, 0; path != ""; pages++ {
			if pages > 10_000 {
				t.Fatal("the list has no end")
			}
			page := decode[struct {
				Orders []order
				Next   string
			}](t, g.do(t, http.MethodGet, path, ""))
			for _, o := range page.Orders {
				key := fmt.Sprintf("%020d#%s", o.CreatedAt.UnixMilli(), o.ID)
				if last != "" && key >= last {
					t.Errorf("%s: %s comes after %s", query, key, last)
				}
				last = key
				seen[o.ID]++
			}
			path = ""
			if missing(want, seen) && page.Next != "" {
				path = "/orders?" + query + "&cursor=" + url.QueryEscape(page.Next)
			}
		}
		for _, id := range want {
			if seen[id] != 1 {
				t.Errorf("%s: order %s is listed %d times", query, id, seen[id])
			}
		}
	}
}

func missing(want []string, seen map[string]int) bool {
	return slices.ContainsFunc(want, func(id string) bool { return seen[id] == 0 })
}

func testTokens(t *testing.T, g Target) {
	for token, want := range map[string]struct {
		status   string
		code     string
		outcomes []string
	}{
		"tok_ok":                  {"PAID", "", []string{"approved"}},
		"tok_declined":            {"FAILED", "declined", []string{"declined"}},
		"tok_insufficient_funds":  {"FAILED", "insufficient_funds", []string{"declined"}},
		"tok_expired_card":        {"FAILED", "expired_card", []string{"declined"}},
		"tok_flaky_1":             {"PAID", "", []string{"unavailable", "approved"}},
		"tok_flaky_2":             {"PAID", "", []string{"unavailable", "unavailable", "approved"}},
		"tok_outage":              {"FAILED", "gateway_unavailable", []string{"unavailable", "unavailable", "unavailable"}},
		"tok_timeout_charged":     {"PAID", "", []string{"unknown", "approved"}},
		"tok_timeout_not_charged": {"PAID", "", []string{"unknown", "approved"}},
		"tok_unknown_0":           {"PAID", "", []string{"unknown", "approved"}},
		"tok_slow_1000":           {"PAID", "", []string{"approved"}},
		"tok_slow_6000":           {"PAID", "", []string{"unknown", "approved"}},
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			o := g.end(t, g.create(t, paidWith(token)).ID)
			code := ""
			if o.Failure != nil {
				code = o.Failure.Code
			}
			if o.Status != want.status || code != want.code || !slices.Equal(o.outcomes(), want.outcomes) {
				t.Errorf("%s, failure %q, attempts %v; want %+v", o.Status, code, o.outcomes(), want)
			}
		})
	}
}

func testOneKey(t *testing.T, g Target) {
	requests := g.Environment.limits().concurrent
	key := "e2e-" + g.create(t, paidWith("tok_ok")).ID // as unique as an id
	answers := make([]answer, requests)
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			var err error
			if answers[i], err = g.send(t.Context(), http.MethodPost, "/orders", paidWith("tok_ok"), "Idempotency-Key", key); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	first := 0
	for _, a := range answers {
		if a.status != http.StatusCreated || !bytes.Equal(a.body, answers[0].body) {
			t.Fatalf("%d %s; another: %s", a.status, a.body, answers[0].body)
		}
		switch replayed := a.header.Get("Idempotency-Replayed"); replayed {
		case "":
			first++
		case "true":
		default:
			t.Errorf("Idempotency-Replayed is %q", replayed)
		}
	}
	if first != 1 {
		t.Errorf("%d of %d answers are not marked as replayed, want 1", first, requests)
	}
	if a := g.do(t, http.MethodPost, "/orders", paidWith("tok_declined"), "Idempotency-Key", key); a.status != http.StatusUnprocessableEntity {
		t.Errorf("the same key with another body: %d %s", a.status, a.body)
	}
	if o := g.end(t, decode[order](t, answers[0]).ID); o.Status != "PAID" || len(o.Attempts) != 1 {
		t.Errorf("%+v", o)
	}
}

func testCancel(t *testing.T, g Target) {
	for range 20 {
		o := g.create(t, paidWith("tok_ok"))
		a := g.do(t, http.MethodPost, "/orders/"+o.ID+"/cancel", "")
		end := g.end(t, o.ID)
		switch {
		case a.status == http.StatusOK && end.Status == "CANCELED" && end.PaymentRef == "" && len(end.Attempts) == 0:
			if again := g.do(t, http.MethodPost, "/orders/"+o.ID+"/cancel", ""); again.status != http.StatusOK {
				t.Errorf("again: %d", again.status)
			}
		case a.status == http.StatusConflict && end.Status == "PAID":
		default:
			t.Errorf("cancel: %d, the order ended %s", a.status, end.Status)
		}
	}
}

func testRefund(t *testing.T, g Target) {
	declined := g.end(t, g.create(t, paidWith("tok_declined")).ID)
	if a := g.do(t, http.MethodPost, "/orders/"+declined.ID+"/refund", ""); a.status != http.StatusConflict {
		t.Errorf("refund of an unpaid order: %d", a.status)
	}
	o := g.end(t, g.create(t, paidWith("tok_ok")).ID)
	if a := g.do(t, http.MethodPost, "/orders/"+o.ID+"/refund", ""); a.status != http.StatusAccepted || decode[order](t, a).Status != "REFUNDING" {
		t.Fatalf("refund: %d %s", a.status, a.body)
	}
	g.until(t, o.ID, "REFUNDED")
	if a := g.do(t, http.MethodPost, "/orders/"+o.ID+"/refund", ""); a.status != http.StatusOK || decode[order](t, a).Status != "REFUNDED" {
		t.Errorf("again: %d %s", a.status, a.body)
	}
}

func testRefundParts(t *testing.T, g Target) {
	o := g.end(t, g.create(t, paidWith("tok_timeout_charged")).ID)
	path := "/orders/" + o.ID + "/refund"
	if a := g.do(t, http.MethodPost, path, `{"amount": 200}`); a.status != http.StatusBadRequest {
		t.Errorf("a part without a key: %d %s", a.status, a.body)
	}
	if a := g.do(t, http.MethodPost, path, `{"amount": 1201}`, "Idempotency-Key", "too much"); a.status != http.StatusBadRequest {
		t.Errorf("a key with a blank: %d %s", a.status, a.body)
	}
	if a := g.do(t, http.MethodPost, path, `{"amount": 1201}`, "Idempotency-Key", "too-much"); a.status != http.StatusUnprocessableEntity {
		t.Errorf("more than was paid: %d %s", a.status, a.body)
	}
	for range 2 { // the second is a repeat
		a := g.do(t, http.MethodPost, path, `{"amount": 200, "reason": "a cup"}`, "Idempotency-Key", "cup")
		if a.status != http.StatusAccepted && a.status != http.StatusOK {
			t.Fatalf("a part: %d %s", a.status, a.body)
		}
	}
	if o = g.until(t, o.ID, "PAID"); o.RefundedAmount != 200 || len(o.Refunds) != 1 || o.Refunds[0].Reason != "a cup" || o.Refunds[0].Ref == "" {
		t.Errorf("after a part: %+v", o)
	}
	if a := g.do(t, http.MethodPost, path, "{}"); a.status != http.StatusAccepted {
		t.Fatalf("the rest: %d %s", a.status, a.body)
	}
	if o = g.until(t, o.ID, "REFUNDED"); o.RefundedAmount != 1200 || len(o.Refunds) != 2 || o.Refunds[1].Amount != 1000 {
		t.Errorf("after the rest: %+v", o)
	}
}

func testRefundDeclined(t *testing.T, g Target) {
	o := g.end(t, g.create(t, paidWith("tok_refund_declined")).ID)
	if a := g.do(t, http.MethodPost, "/orders/"+o.ID+"/refund", ""); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if o = g.until(t, o.ID, "PAID"); len(o.Refunds) != 1 || o.Refunds[0].Status != "DECLINED" || o.RefundedAmount != 0 {
		t.Errorf("%+v", o)
	}
}

func testPayAgain(t *testing.T, g Target) {
	o := g.end(t, g.create(t, paidWith("tok_declined")).ID)
	for _, want := range []int{http.StatusAccepted, http.StatusOK} {
		if a := g.do(t, http.MethodPost, "/orders/"+o.ID+"/pay", `{"paymentToken": "tok_flaky_2"}`); a.status != want {
			t.Fatalf("%d %s, want %d", a.status, a.body, want)
		}
	}
	if o = g.end(t, o.ID); o.Status != "PAID" || len(o.Attempts) != 3 {
		t.Errorf("%+v", o)
	}
	if a := g.do(t, http.MethodPost, "/orders/"+o.ID+"/pay", `{"paymentToken": "tok_ok"}`); a.status != http.StatusConflict {
		t.Errorf("of a paid order: %d", a.status)
	}
}

func testRetry(t *testing.T, g Target) {
	o := g.end(t, g.create(t, paidWith("tok_flaky_3")).ID)
	if o.Status != "FAILED" {
		t.Fatalf("%+v", o)
	}
	if a := g.do(t, http.MethodPost, "/orders/"+o.ID+"/retry", ""); a.status != http.StatusAccepted || decode[order](t, a).Status != "PENDING" {
		t.Fatalf("retry: %d %s", a.status, a.body)
	}
	if o = g.end(t, o.ID); o.Status != "PAID" || len(o.Attempts) != 4 {
		t.Errorf("%+v", o)
	}
	declined := g.end(t, g.create(t, paidWith("tok_declined")).ID)
	if a := g.do(t, http.MethodPost, "/orders/"+declined.ID+"/retry", ""); a.status != http.StatusConflict {
		t.Errorf("retry of a declined order: %d", a.status)
	}
}

func testErase(t *testing.T, g Target) {
	o := g.end(t, g.create(t, `{"amount": 1200, "customerId": "c-42", "metadata": {"name": "Alice"}, "paymentToken": "tok_ok"}`).ID)
	a := g.do(t, http.MethodPost, "/orders/"+o.ID+"/erase", "")
	if text := string(a.body); a.status != http.StatusOK || strings.Contains(text, "c-42") || strings.Contains(text, "Alice") {
		t.Fatalf("%d %s", a.status, text)
	}
	if got := g.end(t, o.ID); got.Status != "PAID" || got.PaymentRef != o.PaymentRef {
		t.Errorf("%+v, before %+v", got, o)
	}
}

func testProblems(t *testing.T, g Target) {
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodGet, "/nothing/here", "", http.StatusNotFound},
		{http.MethodDelete, "/orders", "", http.StatusMethodNotAllowed},
		{http.MethodPost, "/orders", `{"amount": `, http.StatusBadRequest},
		{http.MethodPost, "/orders", `{"amount": 1, "extra": 1}`, http.StatusUnprocessableEntity},
		{http.MethodPost, "/orders", `{"amount": 1, "customerId": "4111 1111 1111 1111"}`, http.StatusUnprocessableEntity},
		{http.MethodGet, "/orders?cursor=x", "", http.StatusBadRequest},
	} {
		a := g.do(t, tt.method, tt.path, tt.body)
		p := decode[struct {
			Type, Title string
			Status      int
		}](t, a)
		if a.status != tt.status || p.Status != tt.status || p.Type == "" || p.Title == "" ||
			a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s %s: %d %s", tt.method, tt.path, tt.body, a.status, a.body)
		}
	}
}

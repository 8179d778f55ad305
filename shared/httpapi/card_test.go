package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// testCards are numbers that networks and gateways publish for tests, in the groups in which
// they are printed.
var testCards = []string{
	// Visa
	"4111 1111 1111 1111", "4242 4242 4242 4242", "4012 8888 8888 1881", "4000 0566 5566 5556", "4000 0000 0000 0002", "4988 4388 4388 4305",
	// Mastercard
	"5555 5555 5555 4444", "5105 1051 0510 5100", "5200 8282 8282 8210", "2223 0031 2200 3222", "2222 4000 7000 0005", "5454 5454 5454 5454",
	// American Express
	"3782 822463 10005", "3714 496353 98431", "3787 344936 71000", "3400 000000 00009",
	// Discover
	"6011 1111 1111 1117", "6011 0009 9013 9424", "6011 9811 1111 1113", "6445 6445 6445 6445",
	// Diners Club
	"3056 930902 5904", "3852 000002 3237", "3622 720627 1667", "3600 666633 3344", "3056 9300 0902 0004",
	// JCB
	"3530 1113 3330 0000", "3566 0020 2036 0505", "3569 9900 1009 5841",
	// UnionPay
	"6200 0000 0000 0005", "6250 9410 0652 8599", "6205 5000 0000 0000 004", "8171 9999 2766 0000",
	// Maestro
	"6759 6498 2643 8453", "6304 0000 0000 0000", "6771 7980 2100 0008", "6799 9901 0000 0000 019",
}

// cardFields are all places of a request that hold a text or a number, as the location that
// the problem names and the request with the card number in it.
func cardFields(card string) map[string][]request {
	quoted := func(format string) request {
		return request{method: http.MethodPost, path: "/orders", body: strings.ReplaceAll(format, "CARD", card)}
	}
	fields := map[string][]request{
		"body.customerId":        {quoted(`{"amount": 1, "customerId": "CARD"}`)},
		"body.paymentToken":      {quoted(`{"amount": 1, "paymentToken": "CARD"}`)},
		"body.currency":          {quoted(`{"amount": 1, "currency": "CARD"}`)},
		"body.items[1].sku":      {quoted(`{"items": [{"sku": "a", "quantity": 1, "unitPrice": 1}, {"sku": "CARD", "quantity": 1, "unitPrice": 1}]}`)},
		"body.metadata.note":     {quoted(`{"amount": 1, "metadata": {"a": "b", "note": "CARD"}}`), quoted(`{"amount": 1, "metadata": {"note": "card CARD, exp 12/27 123"}}`)},
		"body.metadata":          {quoted(`{"amount": 1, "metadata": {"CARD": "a"}}`), quoted(`{"amount": 1, "metadata": {"CARD": "CARD"}}`)},
		"body.items[0]":          {quoted(`{"items": [{"sku": "a", "quantity": 1, "unitPrice": 1, "CARD": 1}]}`)},
		"body.card.number":       {quoted(`{"amount": 1, "card": {"number": "CARD"}}`)},
		"body.cards[0][1]":       {quoted(`{"amount": 1, "cards": [["a", "CARD"]]}`)},
		"body":                   {quoted(`{"amount": 1, "CARD": 1}`), quoted(`{"amount": 1, "CARD": {"CARD": "CARD"}}`), quoted(`"CARD"`), quoted(`{"amount": 1, "customerId": "CARD`)},
		"header.Idempotency-Key": {{method: http.MethodPost, path: "/orders", body: tea, header: map[string]string{"Idempotency-Key": strings.ReplaceAll(card, " ", "-")}}},
		"query.cursor":           {{path: "/orders?cursor=" + url.QueryEscape(card)}},
		"query":                  {{path: "/orders?" + url.QueryEscape(card) + "=1"}},
	}
	if digits := strings.Trim(card, "0123456789"); digits == "" {
		fields["body.amount"] = []request{quoted(`{"amount": CARD}`)}
		fields["body.items[0].unitPrice"] = []request{quoted(`{"items": [{"sku": "a", "quantity": 1, "unitPrice": CARD}]}`)}
		fields["body.items[0].quantity"] = []request{quoted(`{"items": [{"sku": "a", "quantity": CARD, "unitPrice": 1}]}`)}
	}
	return fields
}

// TestCardNumbers: every network's test numbers are refused wherever they are, however they
// are written. The answer names the field, and neither it nor the log repeats the number.
func TestCardNumbers(t *testing.T) {
	a := newAPI(t)
	for _, card := range testCards {
		digits := strings.ReplaceAll(card, " ", "")
		for _, form := range []string{digits, card, strings.ReplaceAll(card, " ", "-")} {
			for at, requests := range cardFields(form) {
				for _, r := range requests {
					wantCard(t, a, r, at, digits)
				}
			}
		}
	}
	if a.log.Len() > 0 {
		t.Errorf("the log is:\n%s", a.log)
	}
}

func wantCard(t *testing.T, a *api, r request, at, digits string) {
	t.Helper()
	answer := a.do(t, r)
	text := read(t, answer)
	var p problem
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusUnprocessableEntity || p.Type != "/docs#card-number" || !strings.Contains(p.Detail, "SKU-1234") ||
		!slices.ContainsFunc(p.Errors, func(e struct{ Location, Message string }) bool { return e.Location == at && e.Message != "" }) {
		t.Errorf("%s %s %v: want a card number at %s: %s", r.path, r.body, r.header, at, text)
	}
	for i := range len(digits) - 3 {
		if strings.Contains(text, digits[i:i+4]) && digits[i:i+4] != "1234" {
			t.Errorf("%s: the answer repeats a part of it: %s", r.body, text)
		}
	}
}

// TestCardForms: what is a card number among other characters, and what is not.
func TestCardForms(t *testing.T) {
	a := newAPI(t)
	note := func(text string) request {
		return body(t, map[string]any{"amount": 1, "metadata": map[string]string{"note": text}})
	}
	for _, text := range []string{
		"4111111111111111", "card 4111 1111 1111 1111 exp 12/27", "4111111111111111 12/27 123", "4111 1111 1111 1111 12/27", "4111-1111-1111-1111 123",
		"12 4111 1111 1111 1111", "3782 822463 10005 1234", "4111111111111111 5555555555554444", "(4111111111111111)", "4111111111111111.", "4111111111111111,",
		"card:4111111111111111", "card=4111111111111111;", "#4111111111111111", "/4111111111111111/", "\"4111111111111111\"", "+4111111111111111", "-4111111111111111",
		"4111 1111-1111 1111", "41111111 11111111", "411111 1111111111", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "4111 1111 1111 1111\n", "No.4111111111111111",
		"４１１１１１１１１１１１１１１１", "４１１１　１１１１　１１１１　１１１１", "٤١١١١١١١١١١١١١١١", "4111\u00a01111\u00a01111\u00a01111", "4111\u20091111\u20091111\u20091111",
		"4111–1111–1111–1111", "4111‑1111‑1111‑1111", "4111−1111−1111−1111", "4111\u200b1111\u200b1111\u200b1111", "4111\u00ad111111111111",
		"카드4111111111111111입니다", "卡号4111111111111111", "カード4111-1111-1111-1111です", "GB29 4111 1111 1111 1111", "SW1A 4111 1111 1111 1111", "DE88 4111111111111111", "2026-01-31 4111111111111111",
		"4000000000000000006", // Visa, 19 digits
	} {
		wantCard(t, a, note(text), "body.metadata.note", "4111111111111111")
	}
	for _, text := range []string{`\u0034111111111111111`, `4111\u00201111\u00201111\u00201111`, `\u0034\u0031\u0031\u0031\u0031\u0031\u0031\u0031\u0031\u0031\u0031\u0031\u0031\u0031\u0031\u0031`} {
		wantCard(t, a, request{method: http.MethodPost, path: "/orders", body: `{"amount": 1, "customerId": "` + text + `"}`}, "body.customerId", "4111")
		wantCard(t, a, request{method: http.MethodPost, path: "/orders", body: `{"amount": 1, "` + text + `": 1}`}, "body", "4111")
	}
	for _, text := range []string{
		"4111111111111112", "411111111111116", "41111111111111113", "41111111111111111115", "4222222222222", // by check and length
		"1111111111111117", "9999999999999995", "2721000000000004", // by prefix
		"SKU-4111111111111111", "SKU4111111111111111", "4111111111111111A", "ORD-4111-1111-1111-1111", "4111-1111-1111-1111-X", "4111-1111-1111-1111-7", "ord_4111111111111111",
		"é4111111111111111", "Ж4111111111111111", "4111.1111.1111.1111", "4111  1111  1111  1111", "4111 - 1111 - 1111 - 1111", "4111/1111/1111/1111",
		"4111 1111 1111 1111 1115", "0.4111111111111111", "DE89 3704 0044 0532 0130 00", "GB82 WEST 1234 5698 7654 32", "302-0000000-0000005", "41111111-1111-1111-1111-111111111111",
		"6f2f3e1f-41d4-a716-4466-554400000000", "4006381333931", "1767225600000",
	} {
		if r := a.do(t, note(text)); r.StatusCode != http.StatusCreated {
			t.Errorf("%q is refused: %s", text, read(t, r))
		}
	}
	if r := a.do(t, request{method: http.MethodPost, path: "/orders", body: `{"amount": 41111111, "customerId": "11111111"}`}); r.StatusCode != http.StatusCreated {
		t.Errorf("a number that is split between fields is refused: %s", read(t, r))
	}
}

// TestProblemsAreBounded: a body of card numbers, or of numbers that are none, is not
// answered with a body many times as long.
func TestProblemsAreBounded(t *testing.T) {
	a := newAPI(t)
	long := strings.Repeat("n", 20_000)
	for _, part := range []string{`"4111111111111111",`, `1.5,`} {
		for _, text := range []string{
			`{"` + long[:200] + `": [` + strings.TrimSuffix(strings.Repeat(part, 2_000), ",") + `]}`,
			`{"` + long + `": [` + strings.TrimSuffix(strings.Repeat(part, 2_000), ",") + `]}`,
			strings.Repeat(`{"`+long[:3_000]+`": [`+part, 8) + "1" + strings.Repeat("]}", 8),
		} {
			r := a.do(t, request{method: http.MethodPost, path: "/orders", body: text})
			if answer := read(t, r); r.StatusCode != http.StatusUnprocessableEntity || len(answer) > 64<<10 {
				t.Errorf("%s…: %d with %d bytes", text[:20], r.StatusCode, len(answer))
			}
		}
	}
}

package httpapi_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"paylane/shared/order"
)

// TestStrictJSON: what two readers of JSON could understand differently is refused, and the
// answer says where it is.
func TestStrictJSON(t *testing.T) {
	a := newAPI(t)
	type place struct {
		at           string
		line, column int
	}
	for name, tt := range map[string]struct {
		body   string
		status int
		place
	}{
		"a member twice":                   {`{"amount": 1, "amount": 2}`, 400, place{"body.amount", 1, 15}},
		"a member twice, the same":         {"{\"amount\": 1,\n  \"amount\": 1}", 400, place{"body.amount", 2, 3}},
		"a member twice, once escaped":     {`{"amount": 1, "\u0061mount": 2}`, 400, place{"body.amount", 1, 15}},
		"an unknown member twice":          {`{"amount": 1, "a": 1, "a": 2}`, 400, place{"body.a", 1, 23}},
		"a member of metadata twice":       {`{"amount": 1, "metadata": {"a": "1", "b": "2", "a": "3"}}`, 400, place{"body.metadata.a", 1, 48}},
		"a member of an item twice":        {`{"items": [{"sku": "a", "quantity": 1, "unitPrice": 1}, {"sku": "a", "sku": "a"}]}`, 400, place{"body.items[1].sku", 1, 70}},
		"a high surrogate":                 {`{"amount": 1, "customerId": "ab\ud800c"}`, 400, place{"body.customerId", 1, 32}},
		"a low surrogate":                  {`{"amount": 1, "customerId": "\uDC00"}`, 400, place{"body.customerId", 1, 30}},
		"surrogates in the wrong order":    {`{"amount": 1, "customerId": "\udc00\ud800"}`, 400, place{"body.customerId", 1, 30}},
		"a surrogate in a name":            {`{"amount": 1, "metadata": {"\ud800": "a"}}`, 400, place{"body.metadata", 1, 29}},
		"U+0000":                           {`{"amount": 1, "customerId": "a\u0000"}`, 400, place{"body.customerId", 1, 31}},
		"U+0000 after a backslash":         {`{"amount": 1, "customerId": "\\u0000\u0000"}`, 400, place{"body.customerId", 1, 37}},
		"U+0000 in a name":                 {`{"amount": 1, "metadata": {"a\u0000": ""}}`, 400, place{"body.metadata.a\x00", 1, 30}},
		"U+0000 as it is":                  {"{\"amount\": 1, \"customerId\": \"a\x00\"}", 400, place{"body.customerId", 1, 31}},
		"another control character":        {"{\"amount\": 1, \"customerId\": \"a\n\"}", 400, place{"body.customerId", 1, 31}},
		"not UTF-8":                        {"{\"amount\": 1,\r\n\"customerId\": \"ä€\xff\"}", 400, place{"body.customerId", 2, 18}},
		"an overlong form":                 {"{\"amount\": 1, \"customerId\": \"\xc0\xaf\"}", 400, place{"body.customerId", 1, 30}},
		"a surrogate in UTF-8":             {"{\"amount\": 1, \"customerId\": \"\xed\xa0\x80\"}", 400, place{"body.customerId", 1, 30}},
		"a cut character":                  {"{\"amount\": 1, \"customerId\": \"\xe2\x82\"}", 400, place{"body.customerId", 1, 30}},
		"not UTF-8 in a name":              {"{\"amount\": 1, \"metadata\": {\"\xff\": \"\"}}", 400, place{"body.metadata", 1, 29}},
		"not UTF-8 between tokens":         {"{\"amount\": 1 \xff}", 400, place{"body.amount", 1, 14}},
		"UTF-16":                           {"\xfe\xff\x00{\x00}", 400, place{"body", 1, 1}},
		"a byte order mark":                {"\xef\xbb\xbf{\"amount\": 1}", 400, place{"body", 1, 1}},
		"another value after it":           {"{\"amount\": 1}\n\n{\"amount\": 2}", 400, place{"body", 3, 1}},
		"a bracket after it":               {`{"amount": 1}}`, 400, place{"body", 1, 14}},
		"U+0000 after it":                  {"{\"amount\": 1}\x00", 400, place{"body", 1, 14}},
		"a comma at the end":               {`{"amount": 1,}`, 400, place{"body.amount", 1, 13}},
		"a comma missing":                  {`{"amount": 1 "currency": "KRW"}`, 400, place{"body.amount", 1, 14}},
		"an element missing":               {`{"items": [{"sku": "a", "quantity": 1, "unitPrice": 1},]}`, 400, place{"body.items", 1, 55}},
		"single quotes":                    {`{'amount': 1}`, 400, place{"body", 1, 2}},
		"a comment":                        {`{"amount": 1 /* won */}`, 400, place{"body.amount", 1, 14}},
		"a zero before a number":           {`{"amount": 01}`, 400, place{"body.amount", 1, 13}},
		"a plus before a number":           {`{"amount": +1}`, 400, place{"body.amount", 1, 12}},
		"hexadecimal":                      {`{"amount": 0x10}`, 400, place{"body.amount", 1, 13}},
		"NaN":                              {`{"amount": NaN}`, 400, place{"body.amount", 1, 12}},
		"TRUE":                             {`{"amount": TRUE}`, 400, place{"body.amount", 1, 12}},
		"an escape that is not JSON's":     {`{"amount": 1, "customerId": "\x41"}`, 400, place{"body.customerId", 1, 30}},
		"half an escape":                   {`{"amount": 1, "customerId": "\u00"}`, 400, place{"body.customerId", 1, 30}},
		"a name without quotes":            {`{amount: 1}`, 400, place{"body", 1, 2}},
		"a name that is not a text":        {`{1: 1}`, 400, place{"body", 1, 2}},
		"an end too early":                 {`{"amount": 1`, 400, place{"body", 1, 13}},
		"a text without an end":            {"{\"amount\": 1,\n\"customerId\": \"a", 400, place{"body", 2, 17}},
		"nothing but blanks":               {" \n ", 400, place{"body", 2, 2}},
		"too deep, in objects":             {`{"a":` + strings.Repeat(`{"a": `, 9_000), 400, place{"body" + strings.Repeat(".a", 16), 1, 94}},
		"too deep":                         {strings.Repeat("[", 60_000), 400, place{"body" + strings.Repeat("[0]", 15), 1, 17}},
		"other case":                       {`{"Amount": 1}`, 422, place{at: "body.Amount"}},
		"other case beside the right one":  {`{"amount": 1, "AMOUNT": 2}`, 422, place{at: "body.AMOUNT"}},
		"other case in an item":            {`{"items": [{"SKU": "a", "sku": "b", "quantity": 1, "unitPrice": 1}]}`, 422, place{at: "body.items[0].SKU"}},
		"letters that fold to those of it": {`{"amount": 1, "ſku": 1}`, 422, place{at: "body.ſku"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := a.do(t, request{method: http.MethodPost, path: "/orders", body: tt.body})
			p := decode[problem](t, r)
			if r.StatusCode != tt.status || p.Status != tt.status {
				t.Fatalf("status %d, want %d: %+v", r.StatusCode, tt.status, p)
			}
			if !slices.ContainsFunc(p.Errors, func(e struct{ Location, Message string }) bool { return e.Location == tt.at }) {
				t.Errorf("no error is at %s: %+v", tt.at, p)
			}
			if where := fmt.Sprintf("at line %d, column %d", tt.line, tt.column); tt.line > 0 && (!strings.Contains(p.Detail, where+".") || !strings.Contains(p.Errors[0].Message, where)) {
				t.Errorf("want %q: %+v", where, p)
			}
		})
	}
	if a.log.Len() > 0 {
		t.Errorf("refusals were logged:\n%s", a.log)
	}
}

// TestStrictJSONSays: the answer says what is wrong.
func TestStrictJSONSays(t *testing.T) {
	a := newAPI(t)
	for body, want := range map[string]string{
		`{"amount": 1, "amount": 1}`:                "The body has a member for the second time at ",
		`{"amount": 1, "customerId": "\ud800"}`:     "The body has half of a surrogate pair at ",
		`{"amount": 1, "customerId": "\u0000"}`:     "The body has the character U+0000 at ",
		"{\"amount\": 1, \"customerId\": \"\xff\"}": "The body is not UTF-8 at ",
		`{"amount": 1} x`:                           "The body goes on after the JSON at ",
		`{"amount": `:                               "The body ends too early at ",
		`{"amount": x}`:                             "The body is not JSON at ",
		strings.Repeat(`[`, 17):                     "The body is nested too deeply at ",
	} {
		if p := decode[problem](t, a.do(t, request{method: http.MethodPost, path: "/orders", body: body})); !strings.HasPrefix(p.Detail, want) {
			t.Errorf("%s: %s", body, p.Detail)
		}
	}
}

// TestStrictJSONAccepts: what strict JSON is stays accepted, unchanged.
func TestStrictJSONAccepts(t *testing.T) {
	a := newAPI(t)
	for body, want := range map[string]string{
		`{"amount": 1, "metadata": {"a": "\ud83d\ude00 \u00e9 \/ \\ \" \\u0000 \ufffd"}}`: "😀 é / \\ \" \\u0000 \ufffd",
		"\t{\r\n\"amount\" : 1, \"metadata\":{ \"a\" :\"€ \u2028 \x7f\"} } \n":            "€ \u2028 \x7f",
		`{"amount": 1, "metadata": {"a": "", "A": "b"}}`:                                  "",
	} {
		r := a.do(t, request{method: http.MethodPost, path: "/orders", body: body})
		if r.StatusCode != http.StatusCreated {
			t.Errorf("%s: %s", body, read(t, r))
		} else if got := decode[orderBody](t, r).Metadata["a"]; got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// TestWholeNumbers: an amount is written as an integer, of at most 2^53 − 1.
func TestWholeNumbers(t *testing.T) {
	a := newAPI(t)
	fields := map[string]string{
		"body.amount":             `{"amount": %s}`,
		"body.items[1].unitPrice": `{"items": [{"sku": "a", "quantity": 1, "unitPrice": 1}, {"sku": "b", "quantity": 1, "unitPrice": %s}]}`,
		"body.items[0].quantity":  `{"items": [{"sku": "a", "quantity": %s, "unitPrice": 1}]}`,
	}
	for at, format := range fields {
		for _, number := range []string{
			"12000.0", "1.2e4", "1E0", "1e+1", "10e-1", "0.5", "9007199254740992", "9223372036854775807", "9223372036854775808",
			"18446744073709551617", "-9007199254740992", "1e999", strings.Repeat("9", 400), "1." + strings.Repeat("0", 400),
		} {
			r := a.do(t, request{method: http.MethodPost, path: "/orders", body: fmt.Sprintf(format, number)})
			if p := decode[problem](t, r); p.Status != http.StatusUnprocessableEntity || len(p.Errors) != 1 || p.Errors[0].Location != at || !strings.Contains(p.Errors[0].Message, "whole number") {
				t.Errorf("%s: %.30s: %+v", at, number, p)
			}
		}
		if r := a.do(t, request{method: http.MethodPost, path: "/orders", body: fmt.Sprintf(format, "1")}); r.StatusCode != http.StatusCreated {
			t.Errorf("%s: 1: %s", at, read(t, r))
		}
	}
	for _, at := range []string{"body.amount", "body.items[1].unitPrice"} {
		r := a.do(t, request{method: http.MethodPost, path: "/orders", body: fmt.Sprintf(strings.Replace(fields[at], `"unitPrice": 1}`, `"unitPrice": 0}`, 1), "9007199254740991")})
		if text := read(t, r); r.StatusCode != http.StatusCreated || !strings.Contains(text, `"amount":9007199254740991,`) {
			t.Errorf("%s: %s", at, text)
		}
	}
	for body, at := range map[string]string{
		`{"items": [{"sku": "a", "quantity": 2, "unitPrice": 4503599627370496}]}`:                                              "body.items[0].unitPrice",
		`{"items": [{"sku": "a", "quantity": 1, "unitPrice": 9007199254740991}, {"sku": "a", "quantity": 1, "unitPrice": 1}]}`: "body.items[1].unitPrice",
		// Each is named once, and one that isn't a number's place is named for that.
		`{"amount": 1.5, "currency": 1.5, "discount": 1.5}`: "body.amount",
		`{"amount": 1, "currency": 1.5}`:                    "body.currency",
		`{"amount": 1, "discount": 1.5}`:                    "body.discount",
	} {
		p := decode[problem](t, a.do(t, request{method: http.MethodPost, path: "/orders", body: body}))
		seen := map[string]int{}
		for _, e := range p.Errors {
			seen[e.Location]++
		}
		if p.Status != http.StatusUnprocessableEntity || seen[at] != 1 {
			t.Errorf("%s: %+v", body, p)
		}
	}
}

// TestLargeAmountsOfBefore: an order above today's limit, from before there was one, reads.
func TestLargeAmountsOfBefore(t *testing.T) {
	a := newAPI(t)
	id := uuid.NewString()
	o := order.New(order.Ref{Tenant: "t", ID: id}, order.Request{
		Amount: math.MaxInt64, Currency: "KRW", Items: []order.Item{{SKU: "a", Quantity: 1, UnitPrice: math.MaxInt64}}, PaymentToken: "tok_ok",
	}, "", time.Now())
	if err := a.store.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/orders/" + id, "/orders"} {
		text := read(t, a.do(t, request{path: path}))
		if !json.Valid([]byte(text)) || !strings.Contains(text, `"amount":9223372036854775807,`) || !strings.Contains(text, `"unitPrice":9223372036854775807}`) {
			t.Errorf("%s: %s", path, text)
		}
	}
}

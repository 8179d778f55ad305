package httpapi_test

import (
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// repeat returns a text of n characters of two bytes each.
func repeat(n int64) string { return strings.Repeat("ü", int(n)) }

func body(t *testing.T, fields map[string]any) request {
	t.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return request{method: http.MethodPost, path: "/orders", body: string(text)}
}

// TestLimits tries every limit that the document has for requests, and one past it.
func TestLimits(t *testing.T) {
	a := newAPI(t)
	doc := document(t, a)
	field := func(name string, value any) request { return body(t, map[string]any{"amount": 1, name: value}) }
	item := func(name string, value any) request {
		one := map[string]any{"sku": "a", "quantity": 1, "unitPrice": 1}
		one[name] = value
		return body(t, map[string]any{"items": []any{one, map[string]any{"sku": "b", "quantity": 1, "unitPrice": 0}}})
	}
	types := []string{"order.paid", "order.failed", "order.canceled", "order.refunded"}
	hookTo := func(rest string, events ...string) request {
		fields := map[string]any{"url": strings.TrimSuffix("https://"+rest, "https://"), "events": slices.Clone(events)}
		if events == nil {
			delete(fields, "events")
		}
		r := body(t, fields)
		r.path = "/webhooks"
		return r
	}
	number := func(n *big.Int) json.Number { return json.Number(n.String()) }
	rows := map[string]func(n *big.Int) request{
		"CreateRequest amount minimum": func(n *big.Int) request { return field("amount", number(n)) },
		"CreateRequest amount maximum": func(n *big.Int) request { return field("amount", number(n)) },
		"CreateRequest items maxItems": func(n *big.Int) request {
			return body(t, map[string]any{"items": slices.Repeat([]any{map[string]any{"sku": "a", "quantity": 1, "unitPrice": 1}}, int(n.Int64()))})
		},
		"CreateRequest customerId maxLength": func(n *big.Int) request { return field("customerId", repeat(n.Int64())) },
		"CreateRequest metadata maxProperties": func(n *big.Int) request {
			entries := map[string]string{}
			for i := range n.Int64() {
				entries[repeat(i+1)] = ""
			}
			return field("metadata", entries)
		},
		"CreateRequest metadata propertyNames minLength":        func(n *big.Int) request { return field("metadata", map[string]string{repeat(n.Int64()): ""}) },
		"CreateRequest metadata propertyNames maxLength":        func(n *big.Int) request { return field("metadata", map[string]string{repeat(n.Int64()): ""}) },
		"CreateRequest metadata additionalProperties maxLength": func(n *big.Int) request { return field("metadata", map[string]string{"a": repeat(n.Int64())}) },
		"CreateItem sku minLength":                              func(n *big.Int) request { return item("sku", repeat(n.Int64())) },
		"CreateItem sku maxLength":                              func(n *big.Int) request { return item("sku", repeat(n.Int64())) },
		"CreateItem quantity minimum":                           func(n *big.Int) request { return item("quantity", number(n)) },
		"CreateItem quantity maximum":                           func(n *big.Int) request { return item("quantity", number(n)) },
		"CreateItem unitPrice maximum":                          func(n *big.Int) request { return item("unitPrice", number(n)) },
		"CreateItem unitPrice minimum": func(n *big.Int) request {
			r := item("unitPrice", number(n))
			r.body = strings.Replace(r.body, `"unitPrice":0`, `"unitPrice":1`, 1)
			return r
		},
		"Idempotency-Key minLength": func(n *big.Int) request {
			return request{method: http.MethodPost, path: "/orders", body: tea, header: map[string]string{"Idempotency-Key": strings.Repeat("k", int(n.Int64()))}}
		},
		"Idempotency-Key maxLength": func(n *big.Int) request {
			return request{method: http.MethodPost, path: "/orders", body: tea, header: map[string]string{"Idempotency-Key": strings.Repeat("k", int(n.Int64()))}}
		},
		"customerId minLength":                 func(n *big.Int) request { return request{path: "/orders?customerId=" + repeat(n.Int64())} },
		"customerId maxLength":                 func(n *big.Int) request { return request{path: "/orders?customerId=" + repeat(n.Int64())} },
		"limit minimum":                        func(n *big.Int) request { return request{path: "/orders?limit=" + n.String()} },
		"limit maximum":                        func(n *big.Int) request { return request{path: "/orders?limit=" + n.String()} },
		"CreateWebhookRequest events minItems": func(n *big.Int) request { return hookTo("x", types[:n.Int64()]...) },
		"CreateWebhookRequest events maxItems": func(n *big.Int) request {
			return hookTo("x", append(types[:min(n.Int64(), 4)], types[:max(n.Int64()-4, 0)]...)...)
		},
		// The pattern and the list of codes are stricter; see TestPatterns.
		"CreateRequest currency minLength":     nil,
		"CreateRequest currency maxLength":     nil,
		"CreateRequest paymentToken minLength": nil,
		"CreateRequest paymentToken maxLength": nil,
	}
	for name, limit := range limits(t, doc) {
		t.Run(name, func(t *testing.T) {
			past := new(big.Int).Add(limit, big.NewInt(1))
			if strings.Contains(name, " min") {
				past.Sub(limit, big.NewInt(1))
			}
			row, ok := rows[name]
			switch {
			case !ok:
				t.Fatal("the document has a limit that is not tried")
			case row == nil:
				return
			}
			if r := a.do(t, row(limit)); r.StatusCode >= 300 {
				t.Errorf("%v is refused: %d %s", limit, r.StatusCode, read(t, r))
			}
			if past.Sign() < 0 && strings.Contains(name, "Length") {
				return
			}
			if r := a.do(t, row(past)); r.StatusCode < 400 || r.StatusCode > 499 {
				t.Errorf("%v is accepted: %d %s", past, r.StatusCode, read(t, r))
			}
		})
		delete(rows, name)
	}
	for name := range rows {
		t.Errorf("the document lacks %s", name)
	}
}

// limits returns the document's limits of requests, by where they are.
func limits(t *testing.T, doc map[string]any) map[string]*big.Int {
	t.Helper()
	found := make(map[string]*big.Int)
	var walk func(name string, schema map[string]any)
	walk = func(name string, schema map[string]any) {
		for key, value := range schema {
			switch value := value.(type) {
			case json.Number:
				if n, ok := new(big.Int).SetString(value.String(), 10); ok && (strings.HasPrefix(key, "min") || strings.HasPrefix(key, "max")) {
					found[name+" "+key] = n
				}
			case map[string]any:
				if key == "propertyNames" || key == "additionalProperties" {
					walk(name+" "+key, value)
				}
			}
		}
	}
	for _, schema := range []string{"CreateRequest", "CreateItem", "CreateWebhookRequest"} {
		for name, property := range at(t, doc, "components", "schemas", schema, "properties") {
			walk(schema+" "+name, property.(map[string]any))
		}
	}
	for _, method := range []string{"get", "post"} {
		for _, p := range at(t, doc, "paths", "/orders", method)["parameters"].([]any) {
			if p := p.(map[string]any); p["name"] != nil {
				walk(p["name"].(string), at(t, p, "schema"))
			}
		}
	}
	return found
}

// TestPatterns: what matches a pattern or a list in the document is accepted, and nothing
// else is.
func TestPatterns(t *testing.T) {
	a := newAPI(t)
	doc := document(t, a)
	create := at(t, doc, "components", "schemas", "CreateRequest", "properties")
	pattern := func(schema map[string]any) func(string) bool {
		return regexp.MustCompile(schema["pattern"].(string)).MatchString
	}
	parameter := func(path, method, name string) map[string]any {
		for _, p := range at(t, doc, "paths", path, method)["parameters"].([]any) {
			if p.(map[string]any)["name"] == name {
				return at(t, p.(map[string]any), "schema")
			}
		}
		t.Fatalf("%s %s lacks the parameter %s", method, path, name)
		return nil
	}
	next := ""
	for range 2 {
		a.create(t)
		next, _ = decode[map[string]any](t, a.do(t, request{path: "/orders?limit=1"}))["next"].(string)
	}
	for _, tt := range []struct {
		name    string
		matches func(string) bool
		send    func(string) request
		texts   []string
	}{
		{"token", pattern(at(t, create, "paymentToken")), func(s string) request {
			return body(t, map[string]any{"amount": 1, "paymentToken": s})
		}, []string{"", "tok_ok", "tok_okay", "TOK_OK", "tok_declined", "tok_insufficient_funds", "tok_expired_card", "tok_outage", "tok_timeout_charged",
			"tok_timeout_not_charged", "tok_flaky_0", "tok_flaky_1", "tok_flaky_9", "tok_flaky_10", "tok_flaky_", "tok_flaky_01",
			"tok_unknown_0", "tok_unknown_00", "tok_unknown_99", "tok_unknown_600", "tok_unknown_601", "tok_unknown_1000", "tok_unknown_-1",
			"tok_slow_0", "tok_slow_10", "tok_slow_999", "tok_slow_7999", "tok_slow_8000", "tok_slow_8001", "tok_slow_9000", "tok_slow_10000"}},
		{"currency", func(s string) bool { return slices.Contains(at(t, create, "currency")["enum"].([]any), any(s)) }, func(s string) request {
			return body(t, map[string]any{"amount": 1, "currency": s})
		}, []string{"KRW", "USD", "krw", "ABC", "XXX", "XTS", "XAU", "HRK", "ZWG", "US", "USDX", ""}},
		{"key", pattern(parameter("/orders", "post", "Idempotency-Key")), func(s string) request {
			return request{method: http.MethodPost, path: "/orders", body: tea, header: map[string]string{"Idempotency-Key": s}}
		}, []string{"k", "!", "~", "+", "-", ".", ",", "a,b", "a b", "a\t", "ä", "\x7f", ""}},
		{"text", pattern(at(t, create, "customerId")), func(s string) request {
			return body(t, map[string]any{"amount": 1, "customerId": s, "metadata": map[string]string{"k" + s: s}})
		}, []string{"", "\x01", "a\n", "😀", "\x00", "a\x00b"}},
		{"cursor", pattern(parameter("/orders", "get", "cursor")), func(s string) request {
			return request{path: "/orders?cursor=" + url.QueryEscape(s)}
		}, []string{next, next + "A", next[1:], next[:33] + "=", next[:33] + "\n", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, text := range tt.texts {
				r := a.do(t, tt.send(text))
				if taken := r.StatusCode < 300; taken != tt.matches(text) {
					t.Errorf("%q: status %d, but the document says %v", text, r.StatusCode, tt.matches(text))
				}
			}
		})
	}
	if id := pattern(at(t, doc, "components", "schemas", "Order", "properties", "id")); !id(a.create(t).ID) || id(strings.ToUpper(uuid.NewString())) {
		t.Error("the pattern of ids does not fit ids")
	}
}

// TestTexts: no text of a body can have U+0000, and the document says so of each.
func TestTexts(t *testing.T) {
	schemas := at(t, document(t, newAPI(t)), "components", "schemas")
	for _, name := range []string{"CreateRequest", "CreateItem", "PayRequest", "RefundRequest", "CreateWebhookRequest"} {
		for field, schema := range at(t, schemas, name, "properties") {
			schema := schema.(map[string]any)
			types, _ := json.Marshal(schema["type"])
			if schema["enum"] != nil || !strings.Contains(string(types), `"string"`) {
				continue
			}
			pattern, _ := schema["pattern"].(string)
			if pattern == "" || regexp.MustCompile(pattern).MatchString("a\x00b") {
				t.Errorf("%s of %s has the pattern %q", field, name, pattern)
			}
		}
	}
}

// TestNull: where the document allows null, it is the same as absent; elsewhere it is refused.
func TestNull(t *testing.T) {
	a := newAPI(t)
	for field := range at(t, document(t, a), "components", "schemas", "CreateRequest", "properties") {
		want := http.StatusCreated
		if field == "amount" {
			want = http.StatusUnprocessableEntity // without items it is required
		}
		if r := a.do(t, body(t, map[string]any{"amount": 1, field: nil})); r.StatusCode != want {
			t.Errorf("%s: %d %s", field, r.StatusCode, read(t, r))
		}
	}
	for _, text := range []string{
		`{"items": [{"sku": null, "quantity": 1, "unitPrice": 1}]}`, `{"items": [null]}`, `{"amount": 1, "metadata": {"a": null}}`,
	} {
		if r := a.do(t, request{method: http.MethodPost, path: "/orders", body: text}); r.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", text, r.StatusCode)
		}
	}
}

package httpapi_test

import (
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"paylane/shared/order"
)

// document is /openapi.json as a caller sees it.
func document(t *testing.T, a *api) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(a.do(t, request{path: "/openapi.json", tenant: "-"}).Body)
	decoder.UseNumber()
	var doc map[string]any
	if err := decoder.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// at finds a part of the document, and follows the references on the way.
func at(t *testing.T, doc map[string]any, keys ...string) map[string]any {
	t.Helper()
	part := doc
	for _, key := range keys {
		next, ok := part[key].(map[string]any)
		if !ok {
			t.Fatalf("the document has no %s", strings.Join(keys, " > "))
		}
		if ref, ok := next["$ref"].(string); ok {
			next = at(t, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
		part = next
	}
	return part
}

// plain is a value as JSON has it, to be compared.
func plain(t *testing.T, v any) (out any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRequestExamples sends the document's requests, and gets the answers of the same name.
func TestRequestExamples(t *testing.T) {
	a := newAPI(t)
	doc := document(t, a)
	requests := at(t, doc, "paths", "/orders", "post", "requestBody", "content", "application/json", "examples")
	created := at(t, doc, "paths", "/orders", "post", "responses", "201")
	answers := at(t, created, "content", "application/json", "examples")
	if diff := cmp.Diff(slices.Sorted(maps.Keys(requests)), slices.Sorted(maps.Keys(answers))); diff != "" {
		t.Errorf("examples (-of requests +of answers):\n%s", diff)
	}
	for name := range requests {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(at(t, requests, name)["value"])
			if err != nil {
				t.Fatal(err)
			}
			r := a.do(t, request{method: http.MethodPost, path: "/orders", body: string(body), header: map[string]string{"Idempotency-Key": name}})
			want := plain(t, at(t, answers, name)["value"]).(map[string]any)
			got := decode[map[string]any](t, r)
			for _, own := range []string{"id", "createdAt", "updatedAt"} {
				if got[own] == nil {
					t.Errorf("no %s", own)
				}
				want[own] = got[own]
			}
			if diff := cmp.Diff(want, got); diff != "" || r.StatusCode != http.StatusCreated {
				t.Errorf("status %d (-documented +answered):\n%s", r.StatusCode, diff)
			}
			for header := range at(t, created, "headers") {
				h := at(t, doc, "paths", "/orders", "post", "responses", "201", "headers", header)
				if value := r.Header.Get(header); h["required"] == true && value == "" {
					t.Errorf("no %s, which the document promises", header)
				}
			}
		})
	}
}

func insufficient(o order.Order) (order.Order, error) {
	return o.FailedWith(order.OutcomeDeclined, order.Failure{Code: "insufficient_funds", Message: "The card has insufficient funds."}, time.Now())
}

func refunding(o order.Order) (order.Order, error) { return o.BeginRefund(time.Now()) }

func released(o order.Order) (order.Order, error) {
	return o.Released(order.KindCharge, order.OutcomeUnavailable, "", time.Now())
}

// TestOrderExamples brings an order to each state that the document shows one in.
func TestOrderExamples(t *testing.T) {
	type steps = []func(o order.Order) (order.Order, error)
	for _, tt := range []struct {
		operation, status, example string
		before                     steps
	}{
		{"get", "200", "paid", steps{claimed, paid}},
		{"get", "200", "declined", steps{claimed, insufficient}},
		{"cancel", "200", "order", nil},
		{"refund", "202", "order", steps{claimed, paid}},
		{"refund", "200", "order", steps{claimed, paid, refunding}},
		{"retry", "202", "order", steps{claimed, released, claimed, released, claimed, unavailable}},
	} {
		t.Run(tt.operation+" "+tt.status+" "+tt.example, func(t *testing.T) {
			a := newAPI(t)
			id := decode[orderBody](t, a.do(t, request{method: http.MethodPost, path: "/orders", body: tea})).ID
			a.settle(t, id, tt.before...)
			path, method := "/orders/{id}", "get"
			if tt.operation != "get" {
				path, method = path+"/"+tt.operation, "post"
			}
			example := at(t, document(t, a), "paths", path, method, "responses", tt.status, "content", "application/json", "examples", tt.example)
			want := plain(t, example["value"]).(map[string]any)
			r := a.do(t, request{method: strings.ToUpper(method), path: strings.Replace(path, "{id}", id, 1)})
			got := decode[map[string]any](t, r)
			for _, o := range []map[string]any{want, got} {
				for _, own := range []string{"id", "createdAt", "updatedAt", "paymentRef"} {
					if o[own] != nil {
						o[own] = "its own"
					}
				}
				for _, attempt := range o["attempts"].([]any) {
					attempt.(map[string]any)["startedAt"] = "its own"
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("status %d (-documented +answered):\n%s", r.StatusCode, diff)
			}
		})
	}
}

// TestProblemExamples provokes every problem that the document shows.
func TestProblemExamples(t *testing.T) {
	a := newAPI(t)
	doc := document(t, a)
	missing := "/orders/" + uuid.NewString()
	in := func(steps ...func(order.Order) (order.Order, error)) string {
		id := a.create(t).ID
		a.settle(t, id, steps...)
		return "/orders/" + id
	}
	post := func(path, body string) request { return request{method: http.MethodPost, path: path, body: body} }
	keyed := func(key, body string) request {
		return request{method: http.MethodPost, path: "/orders", body: body, header: map[string]string{"Idempotency-Key": key}}
	}
	a.do(t, keyed("used", `{"amount": 1}`))
	form := post("/orders", "amount=1")
	form.header = map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	of := func(r request, tenant string, operator bool) request {
		r.tenant, r.operator = tenant, operator
		return r
	}
	rows := map[string]request{
		"post /orders 400 bad-request":                post("/orders", "{"),
		"post /orders 400 idempotency-key-malformed":  keyed("a b", tea),
		"post /orders 400 tenant-unnamed":             of(post("/orders", tea), "*", true),
		"post /orders 413 request-entity-too-large":   post("/orders", strings.Repeat(" ", 64<<10+1)),
		"post /orders 415 unsupported-media-type":     form,
		"post /orders 422 invalid-request":            post("/orders", strings.Replace(tea, "12000", "12001", 1)),
		"post /orders 422 card-number":                post("/orders", `{"amount": 4111111111111111}`),
		"post /orders 422 idempotency-key-reused":     keyed("used", tea),
		"get /orders 400 bad-cursor":                  {path: "/orders?cursor=abc"},
		"get /orders 422 invalid-request":             {path: "/orders?limit=101"},
		"post /orders/{id}/cancel 409 wrong-state":    post(in(claimed, paid)+"/cancel", ""),
		"post /orders/{id}/refund 409 wrong-state":    post(in()+"/refund", ""),
		"post /orders/{id}/retry 409 wrong-state":     post(in(claimed, paid)+"/retry", ""),
		"post /orders/{id}/retry 409 wrong-state-2":   post(in(claimed, insufficient)+"/retry", ""),
		"get /orders 400 tenant-unnamed":              of(request{path: "/orders"}, "*", true),
		"get /orders/{id} 400 tenant-unnamed":         of(request{path: missing}, "*", true),
		"post /orders/{id}/cancel 400 tenant-unnamed": of(post(missing+"/cancel", ""), "*", true),
		"post /orders/{id}/refund 400 tenant-unnamed": of(post(missing+"/refund", ""), "*", true),
		"post /orders/{id}/retry 400 tenant-unnamed":  of(post(missing+"/retry", ""), "*", true),
		"NotFound order-not-found":                    {path: missing},
		"Forbidden no-tenant":                         {path: "/orders", tenant: "-"},
		"Forbidden no-tenant-2":                       {path: "/orders", tenant: "*"},
		"ServiceUnavailable unavailable":              {}, // TestStoreErrors
		"InternalServerError internal-server-error":   {},
		"get /orders/{id}/events 400 tenant-unnamed":  {}, // another function's
	}
	check := func(t *testing.T, where string, response map[string]any) {
		content, _ := response["content"].(map[string]any)
		if content["application/problem+json"] == nil {
			return
		}
		for name := range at(t, content, "application/problem+json", "examples") {
			row, ok := rows[where+" "+name]
			if !ok {
				t.Errorf("no request provokes %s %s", where, name)
				continue
			}
			delete(rows, where+" "+name)
			if row.path == "" {
				continue
			}
			want := at(t, content, "application/problem+json", "examples", name)["value"]
			if diff := cmp.Diff(plain(t, want), decode[any](t, a.do(t, row))); diff != "" {
				t.Errorf("%s %s (-documented +answered):\n%s", where, name, diff)
			}
		}
	}
	for path, item := range at(t, doc, "paths") {
		for method, operation := range item.(map[string]any) {
			for status, response := range at(t, operation.(map[string]any), "responses") {
				check(t, method+" "+path+" "+status, response.(map[string]any))
			}
		}
	}
	for name, response := range at(t, doc, "components", "responses") {
		check(t, name, response.(map[string]any))
	}
	for row := range rows {
		t.Errorf("the document has no %s", row)
	}
}

// repeat is a text of n characters that take two bytes each.
func repeat(n int64) string { return strings.Repeat("ü", int(n)) }

func body(t *testing.T, fields map[string]any) request {
	t.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return request{method: http.MethodPost, path: "/orders", body: string(text)}
}

// TestLimits goes to every limit that the document has for requests, and one past it.
func TestLimits(t *testing.T) {
	a := newAPI(t)
	doc := document(t, a)
	field := func(name string, value any) request { return body(t, map[string]any{"amount": 1, name: value}) }
	item := func(name string, value any) request {
		one := map[string]any{"sku": "a", "quantity": 1, "unitPrice": 1}
		one[name] = value
		return body(t, map[string]any{"items": []any{one, map[string]any{"sku": "b", "quantity": 1, "unitPrice": 0}}})
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
		"limit minimum": func(n *big.Int) request { return request{path: "/orders?limit=" + n.String()} },
		"limit maximum": func(n *big.Int) request { return request{path: "/orders?limit=" + n.String()} },
		// The pattern and the list of codes say more; TestPatterns has them.
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
				t.Fatal("the document has a limit that nobody tries")
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
				t.Errorf("%v is taken: %d %s", past, r.StatusCode, read(t, r))
			}
		})
		delete(rows, name)
	}
	for name := range rows {
		t.Errorf("the document has no %s", name)
	}
}

// limits finds the limits of what may be sent.
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
	for _, schema := range []string{"CreateRequest", "CreateItem"} {
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

// TestPatterns: what a pattern or list of the document lets through is taken, and
// nothing else is.
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
		t.Fatalf("%s %s has no parameter %s", method, path, name)
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
		}, []string{"k", "!", "~", "a b", "a\t", "ä", "\x7f", ""}},
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
		t.Error("the pattern of ids is not that of ids")
	}
}

// TestNull: null is the same as absent, as the document says, and no more than that.
func TestNull(t *testing.T) {
	a := newAPI(t)
	for field := range at(t, document(t, a), "components", "schemas", "CreateRequest", "properties") {
		want := http.StatusCreated
		if field == "amount" {
			want = http.StatusUnprocessableEntity // there are no items to give it
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

// TestScopes: the document names the scopes that API Gateway asks for, and the open
// routes are open.
func TestScopes(t *testing.T) {
	template, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"get /orders/{id}/events": "orders/read", "get /healthz": "", "get /openapi.json": "", "get /docs": "",
	}
	route := regexp.MustCompile(`Method: (\w+), Path: "?(/orders[^",]*)"?, Auth: \{AuthorizationScopes: \[([^\]]+)\]`)
	for _, found := range route.FindAllSubmatch(template, -1) {
		want[strings.ToLower(string(found[1]))+" "+string(found[2])] = string(found[3])
	}
	got := make(map[string]string)
	ids := make(map[string]bool)
	for path, item := range at(t, document(t, newAPI(t)), "paths") {
		for method, operation := range item.(map[string]any) {
			o := operation.(map[string]any)
			scope := ""
			if security, ok := o["security"].([]any); ok {
				scope = security[0].(map[string]any)["jwt"].([]any)[0].(string)
			}
			got[method+" "+path] = scope
			if id := o["operationId"].(string); ids[id] || len(o["tags"].([]any)) != 1 {
				t.Errorf("%s %s: operation %s, tags %v", method, path, id, o["tags"])
			} else {
				ids[id] = true
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("scopes (-template +document):\n%s", diff)
	}
}

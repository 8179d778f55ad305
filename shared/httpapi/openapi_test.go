package httpapi_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/webhook"
)

// document returns /openapi.json as a caller sees it.
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

// at finds a part of the document, following references on the way.
func at(t *testing.T, doc map[string]any, keys ...string) map[string]any {
	t.Helper()
	part := doc
	for _, key := range keys {
		next, ok := part[key].(map[string]any)
		if !ok {
			t.Fatalf("the document lacks %s", strings.Join(keys, " > "))
		}
		if ref, ok := next["$ref"].(string); ok {
			next = at(t, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
		part = next
	}
	return part
}

// plain returns a value as decoded from JSON, for comparison.
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

// TestRequestExamples sends the document's requests, and gets the answers of the same
// name, whichever gateway is in use.
func TestRequestExamples(t *testing.T) {
	t.Run("simulator", func(t *testing.T) { sendExamples(t, newAPI(t)) })
	t.Run("another gateway", func(t *testing.T) {
		sendExamples(t, newAPI(t, func(c *pipeline.CheckoutConfig) { c.Tokens = vault{} }))
	})
}

func sendExamples(t *testing.T, a *api) {
	t.Helper()
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
					t.Errorf("%s is missing, which the document promises", header)
				}
			}
		})
	}
}

func insufficient(o order.Order) (order.Order, error) {
	return o.FailedWith(order.OutcomeDeclined, order.Failure{Code: "insufficient_funds", Message: "The card has insufficient funds."}, time.Now())
}

func refunding(o order.Order) (order.Order, error) {
	return o.BeginRefund(o.NextRefundID(), order.RefundRequest{}, time.Now())
}

func paidAgain(o order.Order) (order.Order, error) { return o.PayWith("tok_ok", time.Now()) }

func refundingPart(o order.Order) (order.Order, error) {
	return o.BeginRefund("r", order.RefundRequest{Amount: 1}, time.Now())
}

func released(o order.Order) (order.Order, error) {
	return o.Released(order.KindCharge, order.OutcomeUnavailable, "", time.Now(), time.Minute)
}

// TestOrderExamples brings an order into each state that the document has an example of.
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
		{"pay", "202", "order", steps{claimed, released, claimed, released, claimed, unavailable}},
		{"pay", "200", "order", steps{claimed, released, claimed, released, claimed, unavailable, paidAgain}},
		{"erase", "200", "order", steps{claimed, paid}},
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
			var body string
			if tt.operation == "pay" {
				body = `{"paymentToken": "tok_ok"}`
			}
			r := a.do(t, request{method: strings.ToUpper(method), path: strings.Replace(path, "{id}", id, 1), body: body})
			got := decode[map[string]any](t, r)
			for _, o := range []map[string]any{want, got} {
				for _, own := range []string{"id", "createdAt", "updatedAt", "paymentRef"} {
					if o[own] != nil {
						o[own] = "its own"
					}
				}
				if refunds, ok := o["refunds"].([]any); ok {
					refund := refunds[0].(map[string]any)
					refund["id"], refund["requestedAt"] = "its own", "its own"
				}
				for _, attempt := range o["attempts"].([]any) {
					attempt := attempt.(map[string]any)
					if attempt["startedAt"] = "its own"; attempt["endedAt"] != nil {
						attempt["endedAt"] = "its own"
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("status %d (-documented +answered):\n%s", r.StatusCode, diff)
			}
		})
	}
}

// TestProblemExamples provokes every problem that the document has an example of.
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
	form := func(path string) request {
		r := post(path, "amount=1")
		r.header = map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
		return r
	}
	one := in(claimed, paid)
	refund := func(key, body string) request {
		r := post(one+"/refund", body)
		if key != "" {
			r.header = map[string]string{"Idempotency-Key": key}
		}
		return r
	}
	used := in(claimed, paid)
	usedRefund := request{
		method: http.MethodPost, path: used + "/refund", body: `{"amount": 1}`, header: map[string]string{"Idempotency-Key": "used"},
	}
	a.do(t, usedRefund)
	usedRefund.body = `{"amount": 2}`
	zipped := func(path, body string) request {
		r := post(path, body)
		r.header = map[string]string{"Content-Encoding": "gzip"}
		return r
	}
	of := func(r request, tenant string, operator bool) request {
		r.tenant, r.operator = tenant, operator
		return r
	}
	const hook, hooks, noHook = `{"url": "https://shop.example/hook"}`, "/webhooks", "/webhooks/0199a6c7-5d2e-7b4f-8c3a-6e1f0d9b7a54"
	for range webhook.MaxEndpoints {
		a.do(t, of(post(hooks, hook), "full", false))
	}
	registered := "/webhooks/" + register(t, a, request{}).ID
	resend := func(path, order string) request {
		return post(path+"/resend", `{"orderId": "`+strings.TrimPrefix(order, "/orders/")+`", "eventId": "evt_1"}`)
	}
	rows := map[string]request{
		"post /webhooks/{id}/resend 400 bad-request":              post(noHook+"/resend", "{"),
		"post /webhooks/{id}/resend 400 tenant-unnamed":           of(resend(noHook, in()), "*", true),
		"post /webhooks/{id}/resend 404 webhook-not-found":        resend(noHook, in()),
		"post /webhooks/{id}/resend 409 event-gone":               resend(registered, in()),
		"post /webhooks/{id}/resend 413 request-entity-too-large": post(noHook+"/resend", strings.Repeat(" ", 64<<10+1)),
		"post /webhooks/{id}/resend 415 unsupported-media-type":   form(noHook + "/resend"),
		"post /webhooks/{id}/resend 415 unsupported-media-type-2": zipped(noHook+"/resend", "{}"),
		"post /webhooks 400 bad-request":                          post(hooks, "{"),
		"post /webhooks 400 tenant-unnamed":                       of(post(hooks, hook), "*", true),
		"post /webhooks 409 too-many-webhooks":                    of(post(hooks, hook), "full", false),
		"post /webhooks 413 request-entity-too-large":             post(hooks, strings.Repeat(" ", 64<<10+1)),
		"post /webhooks 415 unsupported-media-type":               form(hooks),
		"post /webhooks 415 unsupported-media-type-2":             zipped(hooks, hook),
		"post /webhooks 422 invalid-request":                      post(hooks, `{"url": "http://shop.example/hook"}`),
		"get /webhooks 400 tenant-unnamed":                        of(request{path: hooks}, "*", true),
		"get /webhooks/{id} 400 tenant-unnamed":                   of(request{path: noHook}, "*", true),
		"get /webhooks/{id} 404 webhook-not-found":                {path: noHook},
		"delete /webhooks/{id} 400 tenant-unnamed":                of(request{method: http.MethodDelete, path: noHook}, "*", true),
		"delete /webhooks/{id} 404 webhook-not-found":             {method: http.MethodDelete, path: noHook},
		"post /webhooks/{id}/rotate 400 tenant-unnamed":           of(post(noHook+"/rotate", ""), "*", true),
		"post /webhooks/{id}/rotate 404 webhook-not-found":        post(noHook+"/rotate", ""),
		"post /webhooks/{id}/test 400 tenant-unnamed":             of(post(noHook+"/test", ""), "*", true),
		"post /webhooks/{id}/test 404 webhook-not-found":          post(noHook+"/test", ""),
		"post /webhooks/{id}/resend 404 order-not-found":          post(noHook+"/resend", `{"orderId": "0199a6c5-1f6e-7c1a-9d0b-3f6e8a2b4c5d", "eventId": "evt_1"}`),
		"post /orders 400 bad-request":                            post("/orders", "{\"amount\": 12000,\n \"amount\": 12000}"),
		"post /orders 400 idempotency-key-malformed":              keyed("a b", tea),
		"post /orders 400 tenant-unnamed":                         of(post("/orders", tea), "*", true),
		"post /orders 413 request-entity-too-large":               post("/orders", strings.Repeat(" ", 64<<10+1)),
		"post /orders 415 unsupported-media-type":                 form("/orders"),
		"post /orders 422 invalid-request":                        post("/orders", strings.Replace(tea, "12000", "12001", 1)),
		"post /orders 422 card-number":                            post("/orders", `{"amount": 1, "metadata": {"note": "4111 1111 1111 1111"}}`),
		"post /orders 422 idempotency-key-reused":                 keyed("used", tea),
		"get /orders 400 bad-cursor":                              {path: "/orders?cursor=abc"},
		"get /orders 422 invalid-request":                         {path: "/orders?limit=101"},
		"post /orders/{id}/cancel 409 wrong-state":                post(in(claimed, paid)+"/cancel", ""),
		"post /orders/{id}/refund 409 wrong-state":                post(in()+"/refund", ""),
		"post /orders/{id}/refund 409 wrong-state-2":              post(in(claimed, paid, refundingPart)+"/refund", ""),
		"post /orders/{id}/refund 400 bad-request":                refund("", "{"),
		"post /orders/{id}/refund 400 idempotency-key-malformed":  refund("a b", ""),
		"post /orders/{id}/refund 400 idempotency-key-required":   refund("", `{"amount": 200}`),
		"post /orders/{id}/refund 413 request-entity-too-large":   refund("", strings.Repeat(" ", 64<<10+1)),
		"post /orders/{id}/refund 415 unsupported-media-type":     form(one + "/refund"),
		"post /orders/{id}/refund 422 invalid-request":            refund("k", `{"amount": 2}`),
		"post /orders/{id}/refund 422 card-number":                refund("k", `{"reason": "4111111111111111"}`),
		"post /orders/{id}/refund 422 idempotency-key-reused":     usedRefund,
		"post /orders/{id}/pay 400 bad-request":                   post(one+"/pay", "{"),
		"post /orders/{id}/pay 400 tenant-unnamed":                of(post(missing+"/pay", `{"paymentToken": "tok_ok"}`), "*", true),
		"post /orders/{id}/pay 409 wrong-state":                   post(one+"/pay", `{"paymentToken": "tok_ok"}`),
		"post /orders/{id}/pay 413 request-entity-too-large":      post(one+"/pay", strings.Repeat(" ", 64<<10+1)),
		"post /orders/{id}/pay 415 unsupported-media-type":        form(one + "/pay"),
		"post /orders/{id}/pay 422 invalid-request":               post(one+"/pay", `{}`),
		"post /orders/{id}/pay 422 card-number":                   post(one+"/pay", `{"paymentToken": "4111111111111111"}`),
		"post /orders/{id}/retry 409 wrong-state":                 post(in(claimed, paid)+"/retry", ""),
		"post /orders/{id}/retry 409 wrong-state-2":               post(in(claimed, insufficient)+"/retry", ""),
		"post /orders/{id}/erase 409 wrong-state":                 post(in()+"/erase", ""),
		"post /orders/{id}/erase 400 tenant-unnamed":              of(post(missing+"/erase", ""), "*", true),
		"get /orders 400 tenant-unnamed":                          of(request{path: "/orders"}, "*", true),
		"get /orders/{id} 400 tenant-unnamed":                     of(request{path: missing}, "*", true),
		"post /orders/{id}/cancel 400 tenant-unnamed":             of(post(missing+"/cancel", ""), "*", true),
		"post /orders/{id}/refund 400 tenant-unnamed":             of(post(missing+"/refund", ""), "*", true),
		"post /orders/{id}/retry 400 tenant-unnamed":              of(post(missing+"/retry", ""), "*", true),
		"NotFound order-not-found":                                {path: missing},
		"Forbidden no-tenant":                                     {path: "/orders", tenant: "-"},
		"Forbidden no-tenant-2":                                   {path: "/orders", tenant: "*"},
		"ServiceUnavailable unavailable":                          {path: missing},
		"InternalServerError internal-server-error":               {path: missing},
		"get /orders/{id}/events 400 tenant-unnamed":              {}, // answered by the other handler
		"get /orders/{id}/events 401 unauthorized":                {},
		"get /orders 422 invalid-request-2":                       {path: "/orders?limit=1&limit=1"},
		"post /orders 415 unsupported-media-type-2":               zipped("/orders", tea),
		"post /orders/{id}/refund 415 unsupported-media-type-2":   zipped(one+"/refund", ""),
		"post /orders/{id}/pay 415 unsupported-media-type-2":      zipped(one+"/pay", "{}"),
		"TooManyRequests too-many-open":                           {}, // TestOpenAtOnce
		"UnsupportedMediaType unsupported-media-type":             zipped(missing+"/cancel", ""),
		"UnprocessableContent invalid-request":                    {path: "/healthz?limit=1"},
		"PreconditionFailed precondition-failed":                  {path: in(), header: map[string]string{"If-Match": `"2"`}},
	}
	broken := func(err error) *api {
		return newAPI(t, func(c *pipeline.CheckoutConfig) { c.Store = failing{c.Store, err} })
	}
	servers := map[string]*api{
		"ServiceUnavailable": broken(order.ErrUnavailable), "InternalServerError": broken(io.ErrUnexpectedEOF),
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
			server := a
			if servers[where] != nil {
				server = servers[where]
			}
			want := at(t, content, "application/problem+json", "examples", name)["value"]
			if diff := cmp.Diff(plain(t, want), decode[any](t, server.do(t, row))); diff != "" {
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
		t.Errorf("the document lacks %s", row)
	}
}

// TestScopes: the document has the scopes that API Gateway requires, and open routes have
// none.
func TestScopes(t *testing.T) {
	template, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"get /orders/{id}/events": "orders/read", "get /healthz": "", "get /openapi.json": "", "get /docs": "",
	}
	route := regexp.MustCompile(`Method: (\w+), Path: "?(/(?:orders|webhooks)[^",]*)"?, Auth: \{AuthorizationScopes: \[([^\]]+)\]`)
	heads := make(map[string]string) // which the document has in words
	for _, found := range route.FindAllSubmatch(template, -1) {
		method, path, scope := strings.ToLower(string(found[1])), string(found[2]), string(found[3])
		if method == "head" {
			heads["get "+path] = scope
		} else {
			want[method+" "+path] = scope
		}
	}
	if len(heads) == 0 {
		t.Error("the template has no routes for HEAD")
	}
	for get, scope := range heads {
		if want[get] != scope {
			t.Errorf("HEAD needs %s, %s needs %s", scope, get, want[get])
		}
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

package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/httpapi"
	"paylane/shared/order"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/pipeline"
	"paylane/shared/webhook"
)

// api is the API on a real store in memory. Nothing works on its queue: orders stay PENDING
// unless a test changes them in the store.
type api struct {
	handler http.Handler
	store   order.Store
	tokens  gateway.TokenDescription
	log     *strings.Builder
}

type (
	tenantKey   struct{}
	operatorKey struct{}
)

func newAPI(tb testing.TB, change ...func(*pipeline.CheckoutConfig)) *api {
	tb.Helper()
	store, queue := pebbletest.Open(tb, time.Minute)
	c := pipeline.CheckoutConfig{
		Store: store, Queue: queue, Tokens: simulator.New(time.Now), Now: time.Now,
		NewID: func() (string, error) { return uuid.NewString(), nil },
	}
	for _, f := range change {
		f(&c)
	}
	a := &api{store: c.Store, tokens: c.Tokens.Describe(), log: &strings.Builder{}}
	a.handler = httpapi.New(httpapi.Config{
		Checkout: pipeline.NewCheckout(c), Tokens: a.tokens,
		Webhooks: webhook.NewEndpoints(webhook.EndpointsConfig{
			Documents: store, Queue: queue, CheckURL: checkURL, Now: time.Now, NewID: c.NewID,
		}),
		Tenant: func(ctx context.Context) (string, bool) {
			tenant, ok := ctx.Value(tenantKey{}).(string)
			return tenant, ok
		},
		Operator: func(ctx context.Context) bool { return ctx.Value(operatorKey{}) != nil },
		Log:      slog.New(slog.NewTextHandler(a.log, nil)),
	})
	return a
}

// checkURL takes https only.
func checkURL(url string) error {
	if !strings.HasPrefix(url, "https://") {
		return errors.New("must be an absolute URL that begins with https://")
	}
	return nil
}

// request is a request; the zero value is a GET by tenant "t".
type request struct {
	method, path, body string
	header             map[string]string
	tenant             string // "-" for none
	operator           bool
}

func (a *api) do(tb testing.TB, r request) *http.Response {
	tb.Helper()
	if r.method == "" {
		r.method = http.MethodGet
	}
	if r.tenant == "" {
		r.tenant = "t"
	}
	ctx := tb.Context()
	if r.tenant != "-" {
		ctx = context.WithValue(ctx, tenantKey{}, r.tenant)
	}
	if r.operator {
		ctx = context.WithValue(ctx, operatorKey{}, true)
	}
	req := httptest.NewRequestWithContext(ctx, r.method, r.path, strings.NewReader(r.body))
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, req)
	return w.Result()
}

func read(tb testing.TB, r *http.Response) string {
	tb.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(body)
}

func decode[T any](tb testing.TB, r *http.Response) (v T) {
	tb.Helper()
	body := read(tb, r)
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		tb.Fatalf("status %d, body %s: %v", r.StatusCode, body, err)
	}
	return v
}

// orderBody has the fields that the tests read.
type refundBody struct {
	ID, Status, Reason, Ref, Code, RequestedAt, EndedAt string
	Amount                                              int64
}

type orderBody struct {
	Refunded   int64 `json:"refundedAmount"`
	Refunds    []refundBody
	Failure    any
	Attempts   []any
	ID         string            `json:"id"`
	Status     string            `json:"status"`
	Amount     int64             `json:"amount"`
	Currency   string            `json:"currency"`
	PaymentRef string            `json:"paymentRef"`
	Metadata   map[string]string `json:"metadata"`
	Version    int64             `json:"version"`
}

func (a *api) create(t *testing.T) orderBody {
	t.Helper()
	r := a.do(t, request{method: http.MethodPost, path: "/orders", body: `{"amount": 1}`})
	if r.StatusCode != http.StatusCreated {
		t.Fatalf("create: %d %s", r.StatusCode, read(t, r))
	}
	return decode[orderBody](t, r)
}

// settle changes an order in the store, as a worker would.
func (a *api) settle(t *testing.T, id string, steps ...func(order.Order) (order.Order, error)) {
	t.Helper()
	o, err := a.store.Get(t.Context(), order.Ref{Tenant: "t", ID: id})
	for _, step := range steps {
		if err == nil {
			o, err = step(o)
		}
		if err == nil {
			err = a.store.Update(t.Context(), o)
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func claimed(o order.Order) (order.Order, error) {
	now := time.Now()
	return o.Claimed(order.Claim{Kind: order.KindCharge, Round: o.Round, Now: now, Until: now.Add(time.Second), Limits: order.Limits{Attempts: 3}})
}

func paid(o order.Order) (order.Order, error) { return o.PaidWith("PAY-0000ABCD", true, time.Now()) }

func unavailable(o order.Order) (order.Order, error) {
	return o.FailedWith(order.OutcomeUnavailable, order.Failure{Code: "gateway_unavailable", Message: "m"}, time.Now())
}

func declined(o order.Order) (order.Order, error) {
	return o.FailedWith(order.OutcomeDeclined, order.Failure{Code: "expired_card", Message: "The card has expired."}, time.Now())
}

const tea = `{"amount": 12000, "currency": "KRW", "items": [{"sku": "TEA-1", "quantity": 2, "unitPrice": 6000}],
	"customerId": "c-42", "paymentToken": "tok_ok", "metadata": {"cart": "77"}}`

// TestLivemode: an order says for which kind of gateway it was placed, whatever is in use
// since; and its attempts have the numbers that they had among all.
func TestLivemode(t *testing.T) {
	for _, live := range []bool{true, false} {
		a := newAPI(t, func(c *pipeline.CheckoutConfig) { c.Livemode = live })
		later := newAPI(t, func(c *pipeline.CheckoutConfig) { c.Store, c.Livemode = a.store, !live })
		type body struct {
			ID       string
			Livemode *bool
			Attempts []struct{ Number int }
		}
		ask := func(a *api, r request) (answer body) {
			t.Helper()
			if err := json.Unmarshal([]byte(read(t, a.do(t, r))), &answer); err != nil {
				t.Fatal(err)
			}
			return answer
		}
		placed := ask(a, request{method: http.MethodPost, path: "/orders", body: tea})
		for range 20 {
			a.settle(t, placed.ID, func(o order.Order) (order.Order, error) {
				return o.Claimed(order.Claim{Kind: order.KindCharge, Round: 1, Limits: order.Limits{Attempts: 20}})
			}, func(o order.Order) (order.Order, error) {
				return o.Released(order.KindCharge, order.OutcomeUnavailable, "", time.Now(), time.Minute)
			})
		}
		o := ask(later, request{path: "/orders/" + placed.ID})
		if placed.Livemode == nil || *placed.Livemode != live || o.Livemode == nil || *o.Livemode != live {
			t.Errorf("livemode is %v when placed, and %v later, want %v", placed.Livemode, o.Livemode, live)
		}
		if n := len(o.Attempts); n != 10 || o.Attempts[0].Number != 1 || o.Attempts[1].Number != 12 || o.Attempts[n-1].Number != 20 {
			t.Errorf("of 20 attempts these are shown: %+v", o.Attempts)
		}
	}
}

// TestOrderBody: the exact wire form of an order.
func TestOrderBody(t *testing.T) {
	a := newAPI(t)
	created := a.do(t, request{method: http.MethodPost, path: "/orders", body: tea})
	var first map[string]any
	body := read(t, created)
	if err := json.Unmarshal([]byte(body), &first); err != nil {
		t.Fatal(err)
	}
	id := first["id"].(string)
	if got := created.Header.Get("Location"); got != "/orders/"+id {
		t.Errorf("Location %q", got)
	}
	for _, name := range []string{"createdAt", "updatedAt"} {
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", first[name].(string)); err != nil {
			t.Error(err)
		}
		delete(first, name)
	}
	want := map[string]any{
		"id": id, "status": "PENDING", "amount": 12000.0, "currency": "KRW", "customerId": "c-42", "version": 1.0,
		"items":    []any{map[string]any{"sku": "TEA-1", "quantity": 2.0, "unitPrice": 6000.0}},
		"metadata": map[string]any{"cart": "77"}, "attempts": []any{}, "livemode": false,
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}

	a.settle(t, id, claimed, declined)
	var end map[string]any
	if err := json.Unmarshal([]byte(read(t, a.do(t, request{path: "/orders/" + id}))), &end); err != nil {
		t.Fatal(err)
	}
	attempt := end["attempts"].([]any)[0].(map[string]any)
	for _, name := range []string{"startedAt", "endedAt"} {
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", attempt[name].(string)); err != nil {
			t.Error(err)
		}
		delete(attempt, name)
	}
	delete(end, "createdAt")
	delete(end, "updatedAt")
	want["status"], want["version"] = "FAILED", 3.0
	want["failure"] = map[string]any{"code": "expired_card", "message": "The card has expired."}
	want["attempts"] = []any{map[string]any{"number": 1.0, "outcome": "declined", "code": "expired_card"}}
	if diff := cmp.Diff(want, end); diff != "" {
		t.Errorf("at its end (-want +got):\n%s", diff)
	}
	if strings.Contains(body, "tok_ok") {
		t.Error("the payment token is visible")
	}
}

// TestNextAttemptAt: an order says when its next attempt is due only while it waits for one,
// whatever it is of, and a running attempt has no end.
func TestNextAttemptAt(t *testing.T) {
	a := newAPI(t)
	id := a.create(t).ID
	due := time.Now().Add(time.Minute)
	release := func(kind order.Kind) func(order.Order) (order.Order, error) {
		return func(o order.Order) (order.Order, error) {
			now := time.Now()
			return o.Released(kind, order.OutcomeUnavailable, "", now, due.Sub(now))
		}
	}
	claimedRefund := func(o order.Order) (order.Order, error) {
		return o.Claimed(order.Claim{Kind: order.KindRefund, Round: o.Round, Now: time.Now(), Until: time.Now().Add(time.Second)})
	}
	for _, step := range []struct {
		name  string
		to    func(order.Order) (order.Order, error)
		waits bool
		ended int // of its attempts to charge it
	}{
		{"claimed", claimed, false, 0},
		{"released", release(order.KindCharge), true, 1},
		{"claimed again", claimed, false, 1},
		{"paid", paid, false, 2},
		{"refunding", refunding, false, 2},
		{"claimed for its refund", claimedRefund, false, 2},
		{"its refund released", release(order.KindRefund), true, 2},
	} {
		a.settle(t, id, step.to)
		o := decode[struct {
			NextAttemptAt string
			Attempts      []struct{ EndedAt string }
		}](t, a.do(t, request{path: "/orders/" + id}))
		want := ""
		if step.waits {
			want = due.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		ended := 0
		for _, attempt := range o.Attempts {
			if attempt.EndedAt != "" {
				ended++
			}
		}
		if o.NextAttemptAt != want || ended != step.ended {
			t.Errorf("%s: the next attempt is due %q, want %q; %d attempts ended, want %d", step.name, o.NextAttemptAt, want, ended, step.ended)
		}
	}
}

// problem has the fields that every error must have.
type problem struct {
	Type, Title, Detail string
	Status              int
	Errors              []struct{ Location, Message string }
}

// TestRefusals is the table of bad requests.
func TestRefusals(t *testing.T) {
	a := newAPI(t)
	pending := a.create(t).ID
	failed := a.create(t).ID
	a.settle(t, failed, claimed, declined)
	post := func(body string) request { return request{method: http.MethodPost, path: "/orders", body: body} }
	with := func(r request, name, value string) request {
		r.header = map[string]string{name: value}
		return r
	}
	items := func(n int) string {
		return `{"items": [` + strings.TrimSuffix(strings.Repeat(`{"sku":"a","quantity":1,"unitPrice":1},`, n), ",") + `]}`
	}
	for _, tt := range []struct {
		name   string
		r      request
		status int
		typ    string
		at     string // a location in errors
	}{
		{"negative amount", post(`{"amount": -5}`), 422, "invalid-request", "body.amount"},
		{"amount 0", post(`{"amount": 0}`), 422, "invalid-request", "body.amount"},
		{"amount missing", post(`{"currency": "KRW"}`), 422, "invalid-request", "body.amount"},
		{"amount a text", post(`{"amount": "5"}`), 422, "invalid-request", "body.amount"},
		{"amount a fraction", post(`{"amount": 5.5}`), 422, "invalid-request", "body.amount"},
		{"amount null", post(`{"amount": null}`), 422, "invalid-request", "body.amount"},
		{"amount and items disagree", post(strings.Replace(tea, "12000", "12001", 1)), 422, "invalid-request", "body.amount"},
		{"sum overflows", post(`{"items": [{"sku": "a", "quantity": 2, "unitPrice": 9223372036854775807}]}`), 422, "invalid-request", "body.items[0].unitPrice"},
		{"sku missing", post(`{"items": [{"quantity": 1, "unitPrice": 1}]}`), 422, "invalid-request", "body.items[0]"},
		{"quantity 0", post(`{"items": [{"sku": "a", "quantity": 0, "unitPrice": 1}]}`), 422, "invalid-request", "body.items[0].quantity"},
		{"101 items", post(items(101)), 422, "invalid-request", "body.items"},
		{"unknown field", post(`{"amount": 1, "discount": 1}`), 422, "invalid-request", "body.discount"},
		{"unknown field in other case", post(`{"Amount": 1}`), 422, "invalid-request", "body.Amount"},
		{"unknown field in an item", post(`{"items": [{"sku": "a", "quantity": 1, "unitPrice": 1, "color": "red"}]}`), 422, "invalid-request", "body.items[0].color"},
		{"unknown token", post(`{"amount": 1, "paymentToken": "tok_free"}`), 422, "invalid-request", "body.paymentToken"},
		{"unknown currency", post(`{"amount": 1, "currency": "ABC"}`), 422, "invalid-request", "body.currency"},
		{"long customer id", post(`{"amount": 1, "customerId": "` + strings.Repeat("c", 65) + `"}`), 422, "invalid-request", "body.customerId"},
		{"metadata not text", post(`{"amount": 1, "metadata": {"a": 1}}`), 422, "invalid-request", "body.metadata.a"},
		{"long metadata", post(`{"amount": 1, "metadata": {"a": "` + strings.Repeat("v", 501) + `"}}`), 422, "invalid-request", "body.metadata"},
		{"a list", post(`[]`), 422, "invalid-request", "body"},
		{"null", post(`null`), 422, "invalid-request", "body"},
		{"not JSON", post(`{"amount": `), 400, "", "body"},
		{"something after the JSON", post(`{"amount": 1} x`), 400, "", "body"},
		{"empty body", request{method: http.MethodPost, path: "/orders"}, 400, "", ""},
		{"form", with(post(`amount=1`), "Content-Type", "application/x-www-form-urlencoded"), 415, "", ""},
		{"JSON of another kind", with(post(`{"amount": 1}`), "Content-Type", "application/vnd.api+json"), 415, "", ""},
		{"malformed media type", with(post(`{"amount": 1}`), "Content-Type", "json;;"), 415, "", ""},
		{"over 64 KiB", post(`{"amount": 1, "customerId": "` + strings.Repeat(" ", 64<<10) + `"}`), 413, "", ""},
		{"empty key", with(post(`{"amount": 1}`), "Idempotency-Key", ""), 400, "idempotency-key-malformed", ""},
		{"key with a space", with(post(`{"amount": 1}`), "Idempotency-Key", "a b"), 400, "idempotency-key-malformed", ""},
		{"key not ASCII", with(post(`{"amount": 1}`), "Idempotency-Key", "ä"), 400, "idempotency-key-malformed", ""},
		{"key with a comma", with(post(`{"amount": 1}`), "Idempotency-Key", "a,b"), 400, "idempotency-key-malformed", ""},
		{"long key", with(post(`{"amount": 1}`), "Idempotency-Key", strings.Repeat("k", 256)), 400, "idempotency-key-malformed", ""},
		{"no such order", request{path: "/orders/" + uuid.NewString()}, 404, "order-not-found", ""},
		{"an id in another form", request{path: "/orders/1"}, 404, "order-not-found", ""},
		{"another tenant's order", request{path: "/orders/" + pending, tenant: "u"}, 404, "order-not-found", ""},
		{"another tenant's cancel", request{method: http.MethodPost, path: "/orders/" + pending + "/cancel", tenant: "u"}, 404, "order-not-found", ""},
		{"another tenant's refund", request{method: http.MethodPost, path: "/orders/" + pending + "/refund", tenant: "u"}, 404, "order-not-found", ""},
		{"another tenant's retry", request{method: http.MethodPost, path: "/orders/" + pending + "/retry", tenant: "u"}, 404, "order-not-found", ""},
		{"another tenant's erasure", request{method: http.MethodPost, path: "/orders/" + pending + "/erase", tenant: "u"}, 404, "order-not-found", ""},
		{"erasure of an open order", request{method: http.MethodPost, path: "/orders/" + pending + "/erase"}, 409, "wrong-state", ""},
		{"cancel too late", request{method: http.MethodPost, path: "/orders/" + failed + "/cancel"}, 409, "wrong-state", ""},
		{"refund of an unpaid order", request{method: http.MethodPost, path: "/orders/" + pending + "/refund"}, 409, "wrong-state", ""},
		{"retry of a pending order", request{method: http.MethodPost, path: "/orders/" + pending + "/retry"}, 409, "wrong-state", ""},
		{"retry of a declined order", request{method: http.MethodPost, path: "/orders/" + failed + "/retry"}, 409, "wrong-state", ""},
		{"bad cursor", request{path: "/orders?cursor=abc"}, 400, "bad-cursor", ""},
		{"limit 0", request{path: "/orders?limit=0"}, 422, "invalid-request", "query.limit"},
		{"limit 101", request{path: "/orders?limit=101"}, 422, "invalid-request", "query.limit"},
		{"limit a text", request{path: "/orders?limit=x"}, 422, "invalid-request", "query.limit"},
		{"no such status", request{path: "/orders?status=VOID"}, 422, "invalid-request", "query.status"},
		{"no such path", request{path: "/nope"}, 404, "", ""},
		{"a trailing slash", request{path: "/orders/"}, 404, "", ""},
		{"an empty segment", request{path: "//orders"}, 404, "", ""},
		{"dots", request{path: "/x/../orders"}, 404, "", ""},
		{"another method", request{method: http.MethodDelete, path: "/orders/" + pending}, 405, "", ""},
		{"another method on the list", request{method: http.MethodPatch, path: "/orders"}, 405, "", ""},
		{"a token without a tenant", request{path: "/orders", tenant: "-"}, 403, "no-tenant", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := a.do(t, tt.r)
			body := read(t, r)
			if r.StatusCode != tt.status {
				t.Fatalf("status %d, want %d: %s", r.StatusCode, tt.status, body)
			}
			if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
			var p problem
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			wantType := "about:blank"
			if tt.typ != "" {
				wantType = "/docs#" + tt.typ
			}
			if p.Type != wantType || p.Status != tt.status || p.Title == "" {
				t.Errorf("problem %s", body)
			}
			found := tt.at == ""
			for _, e := range p.Errors {
				if e.Message == "" {
					t.Errorf("an error says nothing: %s", body)
				}
				found = found || e.Location == tt.at
			}
			if !found {
				t.Errorf("no error is at %s: %s", tt.at, body)
			}
			for _, inside := range []string{"json:", "Go struct", "huma", "pebble", "createRequest", "strconv", ".go:"} {
				if strings.Contains(body, inside) {
					t.Errorf("the problem shows something internal: %s", body)
				}
			}
		})
	}
	if a.log.Len() > 0 {
		t.Errorf("refusals were logged:\n%s", a.log)
	}
}

// TestAllow: a 405 lists the methods that the path has.
func TestAllow(t *testing.T) {
	a := newAPI(t)
	for path, want := range map[string]struct{ header, detail string }{
		"/orders":          {"GET, HEAD, POST", "This path allows GET, HEAD and POST."},
		"/orders/1":        {"GET, HEAD", "This path allows GET and HEAD."},
		"/orders/1/cancel": {"POST", "This path allows POST."},
		"/docs":            {"GET, HEAD", "This path allows GET and HEAD."},
	} {
		r := a.do(t, request{method: http.MethodPut, path: path})
		if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != want.header {
			t.Errorf("%s: %d, Allow %q, want %q", path, r.StatusCode, r.Header.Get("Allow"), want.header)
		}
		if p := decode[problem](t, r); p.Detail != want.detail {
			t.Errorf("%s: %s", path, p.Detail)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	a := newAPI(t)
	send := func(key, body string) *http.Response {
		t.Helper()
		return a.do(t, request{method: http.MethodPost, path: "/orders", body: body, header: map[string]string{"Idempotency-Key": key}})
	}
	first := send("k.1", tea)
	body := read(t, first)
	if first.StatusCode != http.StatusCreated || first.Header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("%d %v", first.StatusCode, first.Header)
	}
	id := strings.TrimPrefix(first.Header.Get("Location"), "/orders/")
	a.settle(t, id, claimed, paid)
	spelt := strings.ReplaceAll(tea, " ", "\n ")
	again := send("k.1", spelt)
	if again.StatusCode != http.StatusCreated || again.Header.Get("Idempotency-Replayed") != "true" ||
		again.Header.Get("Location") != first.Header.Get("Location") {
		t.Errorf("again: %d %v", again.StatusCode, again.Header)
	}
	if diff := cmp.Diff(body, read(t, again)); diff != "" {
		t.Errorf("the replay differs:\n%s", diff)
	}
	if r := send("k.1", `{"amount": 1}`); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(read(t, r), "idempotency-key-reused") {
		t.Errorf("another body: %d", r.StatusCode)
	}
	if r := send("k.2", tea); r.StatusCode != http.StatusCreated || r.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("another key: %d %v", r.StatusCode, r.Header)
	}
}

func TestConditionalGet(t *testing.T) {
	a := newAPI(t)
	id := a.create(t).ID
	get := func(header map[string]string) *http.Response {
		t.Helper()
		return a.do(t, request{path: "/orders/" + id, header: header})
	}
	if r := get(nil); r.StatusCode != http.StatusOK || r.Header.Get("ETag") != `"1"` {
		t.Errorf("%d, ETag %q", r.StatusCode, r.Header.Get("ETag"))
	}
	for _, match := range []string{`"1"`, `W/"1"`, `"0", "1"`, `*`} {
		r := get(map[string]string{"If-None-Match": match})
		if r.StatusCode != http.StatusNotModified || read(t, r) != "" || r.Header.Get("ETag") != `"1"` {
			t.Errorf("If-None-Match %s: %d", match, r.StatusCode)
		}
	}
	for _, match := range []string{`"2"`, `1`, `""`} {
		if r := get(map[string]string{"If-None-Match": match}); r.StatusCode != http.StatusOK {
			t.Errorf("If-None-Match %s: %d", match, r.StatusCode)
		}
	}
}

func TestPreferWait(t *testing.T) {
	a := newAPI(t)
	id := a.create(t).ID
	get := func(header map[string]string) (*http.Response, time.Duration) {
		start := time.Now()
		return a.do(t, request{path: "/orders/" + id, header: header}), time.Since(start)
	}
	if r, took := get(map[string]string{"Prefer": "wait=1"}); r.StatusCode != http.StatusOK || took < time.Second ||
		r.Header.Get("Preference-Applied") != "wait=1" || decode[orderBody](t, r).Status != "PENDING" {
		t.Errorf("an open order: %d after %v, %v", r.StatusCode, took, r.Header)
	}
	if r, took := get(map[string]string{"Prefer": "wait=1", "If-None-Match": `"1"`}); r.StatusCode != http.StatusNotModified || took < time.Second {
		t.Errorf("no change: %d after %v", r.StatusCode, took)
	}
	go a.settle(t, id, claimed)
	if r, took := get(map[string]string{"Prefer": "wait=20", "If-None-Match": `"1"`}); r.StatusCode != http.StatusOK || took > 10*time.Second ||
		decode[orderBody](t, r).Version != 2 {
		t.Errorf("a change: %d after %v", r.StatusCode, took)
	}
	go a.settle(t, id, paid)
	if r, took := get(map[string]string{"Prefer": "respond-async, Wait=99; x=y"}); took > 10*time.Second ||
		decode[orderBody](t, r).Status != "PAID" || r.Header.Get("Preference-Applied") != "wait=20" {
		t.Errorf("an end: %v after %v", r.Header, took)
	}
	for _, ignored := range []string{"", "wait", "wait=", "wait=-1", "wait=x", "waiting=5"} {
		if r, took := get(map[string]string{"Prefer": ignored}); r.StatusCode != http.StatusOK || r.Header.Get("Preference-Applied") != "" || took > 10*time.Second {
			t.Errorf("Prefer %q: %d, %v", ignored, r.StatusCode, r.Header)
		}
	}
}

// orderList is a page of orders.
type orderList struct {
	Orders []orderBody `json:"orders"`
	Next   string      `json:"next"`
}

// apart sets a clock by which no two orders are of the same millisecond, whose order in a
// list is not defined.
func apart(c *pipeline.CheckoutConfig) {
	now := time.Now()
	c.Now = func() time.Time {
		now = now.Add(time.Millisecond)
		return now
	}
}

func TestList(t *testing.T) {
	a := newAPI(t, apart)
	if got := read(t, a.do(t, request{path: "/orders"})); got != `{"orders":[]}`+"\n" {
		t.Errorf("no orders: %s", got)
	}
	var want []string
	for range 5 {
		want = append(want, a.create(t).ID)
	}
	a.settle(t, want[2], claimed, declined)
	var got []string
	path := "/orders?limit=2"
	for pages := 0; path != "" && pages < 10; pages++ {
		r := a.do(t, request{path: path})
		l := decode[orderList](t, r)
		for _, o := range l.Orders {
			got = append([]string{o.ID}, got...)
		}
		path = ""
		if l.Next != "" {
			path = "/orders?limit=2&cursor=" + url.QueryEscape(l.Next)
		}
		if link := r.Header.Get("Link"); (link == "") != (l.Next == "") || l.Next != "" && !strings.Contains(link, l.Next) {
			t.Errorf("Link %q, next %q", link, l.Next)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages, oldest first (-want +got):\n%s", diff)
	}
	failed := decode[orderList](t, a.do(t, request{path: "/orders?status=FAILED"}))
	if len(failed.Orders) != 1 || failed.Orders[0].ID != want[2] {
		t.Errorf("FAILED: %+v", failed)
	}
	if l := decode[orderList](t, a.do(t, request{path: "/orders", tenant: "u"})); len(l.Orders) != 0 {
		t.Errorf("another tenant sees %+v", l)
	}
}

func TestChanges(t *testing.T) {
	a := newAPI(t)
	post := func(id, what string) *http.Response {
		t.Helper()
		return a.do(t, request{method: http.MethodPost, path: "/orders/" + id + "/" + what})
	}
	check := func(r *http.Response, status int, want string) {
		t.Helper()
		if r.StatusCode != status {
			t.Errorf("status %d, want %d: %s", r.StatusCode, status, read(t, r))
		} else if got := decode[orderBody](t, r); got.Status != want {
			t.Errorf("the order is %s, want %s", got.Status, want)
		}
	}
	canceled := a.create(t).ID
	check(post(canceled, "cancel"), http.StatusOK, "CANCELED")
	check(post(canceled, "cancel"), http.StatusOK, "CANCELED")
	refunded := a.create(t).ID
	a.settle(t, refunded, claimed, paid)
	check(post(refunded, "refund"), http.StatusAccepted, "REFUNDING")
	check(post(refunded, "refund"), http.StatusOK, "REFUNDING")
	retried := a.create(t).ID
	a.settle(t, retried, claimed, unavailable)
	check(post(retried, "retry"), http.StatusAccepted, "PENDING")
}

// TestErase: what is personal is gone from an order, its list and the answer to a repeated
// request, which is still recognized; the money's record is as it was.
func TestErase(t *testing.T) {
	a := newAPI(t)
	place := request{
		method: http.MethodPost, path: "/orders", header: map[string]string{"Idempotency-Key": "cart-77"},
		body: `{"items": [{"sku": "TEA-1", "quantity": 2, "unitPrice": 6000}], "customerId": "alice", "metadata": {"name": "Alice"}}`,
	}
	id := decode[orderBody](t, a.do(t, place)).ID
	a.settle(t, id, claimed, paid)
	refund := request{
		method: http.MethodPost, path: "/orders/" + id + "/refund", header: map[string]string{"Idempotency-Key": "r"},
		body: `{"amount": 200, "reason": "Alice broke a cup"}`,
	}
	a.do(t, refund)
	erase := request{method: http.MethodPost, path: "/orders/" + id + "/erase"}
	if r := a.do(t, erase); r.StatusCode != http.StatusConflict {
		t.Errorf("while it is refunded: %d %s", r.StatusCode, read(t, r))
	}
	a.settle(t, id, func(o order.Order) (order.Order, error) {
		now := time.Now()
		return o.Claimed(order.Claim{Kind: order.KindRefund, Round: o.Round, Now: now, Until: now.Add(time.Second)})
	},
		func(o order.Order) (order.Order, error) { return o.RefundedWith("REF-1", time.Now()) })

	before := decode[map[string]any](t, a.do(t, request{path: "/orders/" + id}))
	r := a.do(t, erase)
	etag := r.Header.Get("ETag")
	got := decode[map[string]any](t, r)
	if etag != `"7"` || got["updatedAt"] == nil {
		t.Errorf("the ETag is %s, the order %v", etag, got)
	}
	delete(before, "customerId")
	delete(before, "metadata")
	delete(before["refunds"].([]any)[0].(map[string]any), "reason")
	before["version"], before["updatedAt"] = 7.0, got["updatedAt"]
	if diff := cmp.Diff(before, got); diff != "" {
		t.Errorf("the erased order (-want +got):\n%s", diff)
	}
	if again := a.do(t, erase); again.StatusCode != http.StatusOK || again.Header.Get("ETag") != etag {
		t.Errorf("erased again: %d %s", again.StatusCode, again.Header.Get("ETag"))
	}
	if list := decode[orderList](t, a.do(t, request{path: "/orders?customerId=alice"})); len(list.Orders) != 0 {
		t.Errorf("the customer's orders are %v", list.Orders)
	}
	replay := a.do(t, place)
	if text := read(t, replay); replay.StatusCode != http.StatusCreated || replay.Header.Get("Idempotency-Replayed") != "true" ||
		strings.Contains(strings.ToLower(text), "alice") || !strings.Contains(text, id) {
		t.Errorf("the request again: %d %s", replay.StatusCode, text)
	}
	if r := a.do(t, refund); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("the refund again: %d %s", r.StatusCode, read(t, r))
	}
}

// failing is a store whose reads fail, or panic without an error.
type failing struct {
	order.Store
	err error
}

func (f failing) Get(context.Context, order.Ref) (order.Order, error) {
	if f.err == nil {
		panic("boom secret")
	}
	return order.Order{}, f.err
}

func TestStoreErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		status int
		retry  string
	}{
		{"unavailable", order.ErrUnavailable, http.StatusServiceUnavailable, "1"},
		{"unexpected", io.ErrUnexpectedEOF, http.StatusInternalServerError, ""},
		{"panic", nil, http.StatusInternalServerError, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPI(t, func(c *pipeline.CheckoutConfig) { c.Store = failing{c.Store, tt.err} })
			r := a.do(t, request{path: "/orders/" + uuid.NewString()})
			body := read(t, r)
			if r.StatusCode != tt.status || r.Header.Get("Retry-After") != tt.retry || r.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
			if strings.Contains(body, "secret") || strings.Contains(body, "EOF") {
				t.Errorf("the problem shows something internal: %s", body)
			}
			if a.log.Len() == 0 {
				t.Error("nothing was logged")
			}
		})
	}
}

func TestOpenRoutes(t *testing.T) {
	a := newAPI(t)
	for path, contentType := range map[string]string{
		"/healthz": "application/json", "/openapi.json": "application/json", "/docs": "text/html; charset=utf-8",
	} {
		r := a.do(t, request{path: path, tenant: "-"})
		if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != contentType {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.Header.Get("Content-Type"))
		}
	}
	doc := decode[struct {
		OpenAPI    string
		Paths      map[string]map[string]any
		Components struct{ Schemas map[string]any }
	}](t, a.do(t, request{path: "/openapi.json"}))
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || len(doc.Paths) != 16 || doc.Components.Schemas["Problem"] == nil || doc.Components.Schemas["ErrorModel"] != nil {
		t.Errorf("openapi %s, %d paths, schemas %v", doc.OpenAPI, len(doc.Paths), doc.Components.Schemas)
	}
	html := read(t, a.do(t, request{path: "/docs"}))
	for _, want := range []string{"/orders/{id}/refund", `id="order-not-found"`, `id="Problem"`} {
		if !strings.Contains(html, want) {
			t.Errorf("/docs lacks %s", want)
		}
	}
	if strings.Contains(html, "<script") || strings.Contains(html, `"http`) || strings.Contains(html, "url(") {
		t.Error("/docs loads something from outside")
	}
}

package console_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"paylane/shared/console"
	"paylane/shared/gateway/simulator"
	"paylane/shared/httpapi"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/pipeline"
	"paylane/shared/webhook"
)

const tenant = "shop"

// world is a console, served, on the real API with a real store. Nothing works on its queue:
// orders stay PENDING unless a test changes them in the store.
type world struct {
	*httptest.Server
	config console.Config
	store  *pebblestore.Store
	log    *strings.Builder
}

func newWorld(t *testing.T) *world {
	t.Helper()
	store, queue := pebbletest.Open(t, time.Minute)
	w := &world{store: store, log: &strings.Builder{}}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	newID := func() (string, error) { return uuid.NewString(), nil }
	tokens := simulator.New(time.Now)
	api := httpapi.New(httpapi.Config{
		Checkout: pipeline.NewCheckout(pipeline.CheckoutConfig{Store: store, Queue: queue, Tokens: tokens, Now: time.Now, NewID: newID}),
		Tokens:   tokens.Describe(), Log: log,
		Webhooks: webhook.NewEndpoints(webhook.EndpointsConfig{Documents: store, Queue: queue, CheckURL: checkURL, Now: time.Now, NewID: newID}),
		Tenant: func(ctx context.Context) (string, bool) {
			session, ok := console.SessionOf(ctx)
			return session.Tenant, ok
		},
		Operator: func(ctx context.Context) bool { session, _ := console.SessionOf(ctx); return session.Operate },
	})
	w.config = console.Config{API: api, Open: console.Session{Tenant: tenant, Read: true, Operate: true}, Now: time.Now, Log: log}
	return w.with(t, func(*console.Config) {})
}

// with returns the world with another console.
func (w *world) with(t *testing.T, change func(*console.Config)) *world {
	t.Helper()
	other := *w
	change(&other.config)
	handler, err := console.New(other.config)
	if err != nil {
		t.Fatal(err)
	}
	other.Server = httptest.NewServer(handler)
	t.Cleanup(other.Close)
	return &other
}

func checkURL(url string) error {
	if !strings.HasPrefix(url, "https://") {
		return errors.New("must be an absolute URL that begins with https://")
	}
	return nil
}

// order puts an order into the store, and then each change of it.
func (w *world) order(t *testing.T, r order.Request, changes ...func(order.Order, time.Time) (order.Order, error)) order.Order {
	t.Helper()
	if r.Currency == "" {
		r.Currency = "USD"
	}
	normalized, err := r.Normalize("tok_ok")
	if err != nil {
		t.Fatal(err)
	}
	o := order.New(order.Ref{Tenant: tenant, ID: uuid.NewString()}, normalized, "", time.Now())
	if err := w.store.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		if o, err = change(o, time.Now()); err == nil {
			err = w.store.Update(t.Context(), o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func claimed(o order.Order, now time.Time) (order.Order, error) {
	return o.Claimed(order.Claim{Kind: order.KindCharge, Round: o.Round, Now: now, Until: now.Add(time.Minute), Limits: order.Limits{Attempts: 9}})
}

func released(o order.Order, now time.Time) (order.Order, error) {
	return o.Released(order.KindCharge, order.OutcomeUnavailable, "busy", now.Add(1500*time.Millisecond), 20*time.Second)
}

func paid(o order.Order, now time.Time) (order.Order, error) {
	return o.PaidWith("PAY-0000BEEF", false, now)
}

func failed(o order.Order, now time.Time) (order.Order, error) {
	return o.FailedWith(order.OutcomeUnavailable, order.Failure{Code: "gateway_unavailable", Message: "It was away."}, now)
}

// person uses the console with a browser's cookies.
type person struct {
	*http.Client
	w *world
}

func (w *world) person(t *testing.T) person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return person{&http.Client{Jar: jar}, w}
}

// get returns a page, of the console or of where it redirects to.
func (p person) get(t *testing.T, path string) (status int, text string) {
	t.Helper()
	response, err := p.Get(p.w.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body(t, response)
}

func body(t *testing.T, response *http.Response) string {
	t.Helper()
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// submit sends the form of a page that has the given action, with some fields changed.
func (p person) submit(t *testing.T, page, action string, fields ...string) (status int, text string) {
	t.Helper()
	status, text = p.get(t, page)
	if status != http.StatusOK {
		t.Fatalf("%s: %d", page, status)
	}
	response, err := p.PostForm(p.w.URL+action, form(t, text, action, fields...))
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body(t, response)
}

// form returns the hidden fields of the form that a page has for an action, and others.
func form(t *testing.T, page, action string, fields ...string) url.Values {
	t.Helper()
	_, rest, ok := strings.Cut(page, `action="`+action+`"`)
	if !ok {
		t.Fatalf("the page has no form for %s:\n%s", action, page)
	}
	text, _, _ := strings.Cut(rest, "</form>")
	values := url.Values{}
	for _, hidden := range regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)">`).FindAllStringSubmatch(text, -1) {
		values.Set(hidden[1], hidden[2])
	}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return values
}

func has(t *testing.T, page string, wanted ...string) {
	t.Helper()
	for _, text := range wanted {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not have %q:\n%s", text, page)
		}
	}
}

// TestFiles: others' files are those that the table beside them says.
func TestFiles(t *testing.T) {
	table, err := os.ReadFile("assets/vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("assets/vendor/*.min.*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(filepath.Base(file)) + "` .* `" + hex.EncodeToString(sum[:]) + "` \\|$"); !row.Match(table) {
			t.Errorf("the table has no row with the checksum of %s", file)
		}
	}
}

// TestScripts: there is little script of our own.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("assets/*.js")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	lines := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(string(content), "\n")
	}
	if lines >= 300 {
		t.Errorf("%d lines of JavaScript in %v: fewer than 300 are wanted", lines, files)
	}
}

// TestHeaders: every answer keeps browsers from running, framing or keeping what they should not.
func TestHeaders(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/console/orders", "/console/nothing", "/console/orders/x", "/console/assets/none.js"} {
		response, err := http.Get(w.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "private, no-store",
			"Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s: %q, want %q", path, name, got, want)
			}
		}
		policy := response.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, part) || strings.Contains(policy, "unsafe") {
				t.Errorf("%s: the policy is %q", path, policy)
			}
		}
	}
}

// TestAssets: each file that a page names is there, and is kept by its content.
func TestAssets(t *testing.T) {
	w := newWorld(t)
	p := w.person(t)
	_, page := p.get(t, "/console/orders")
	files := regexp.MustCompile(`"(/console/assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(files) < 4 {
		t.Fatalf("the page names %v", files)
	}
	for _, file := range files {
		response, err := http.Get(w.URL + file[1])
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK || !strings.Contains(response.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %s, %q", file[1], response.Status, response.Header.Get("Cache-Control"))
		}
	}
}

// TestList: filters are the API's, pages follow each other, and what the API refuses is shown.
func TestList(t *testing.T) {
	w := newWorld(t)
	p := w.person(t)
	_, page := p.get(t, "/console/orders")
	has(t, page, "There are none.")
	oldest := w.order(t, order.Request{Amount: 7, CustomerID: "c-2"})
	for range 30 {
		w.order(t, order.Request{Amount: 100, CustomerID: "c-1"})
	}
	gone := w.order(t, order.Request{Amount: 7, CustomerID: "c-2"}, order.Order.Cancel)
	seen := make(map[string]bool)
	next := "/console/orders?customer=c-1"
	for pages := 0; next != ""; pages++ {
		_, page = p.get(t, next)
		if has(t, page, "1.00 USD"); strings.Contains(page, gone.ID) || strings.Contains(page, oldest.ID) || pages > 3 {
			t.Fatalf("page %d of %s:\n%s", pages, next, page)
		}
		for _, row := range regexp.MustCompile(`href="/console/orders/([0-9a-f-]{36})"`).FindAllStringSubmatch(page, -1) {
			seen[row[1]] = true
		}
		link := regexp.MustCompile(`<a href="([^"]+)" rel="next">`).FindStringSubmatch(page)
		if next = ""; link != nil {
			next = html.UnescapeString(link[1])
		}
	}
	if len(seen) != 30 {
		t.Errorf("the pages have %d orders, want 30", len(seen))
	}
	_, page = p.get(t, "/console/orders?status=CANCELED")
	if has(t, page, gone.ID, "<option selected>CANCELED"); strings.Contains(page, "1.00 USD") {
		t.Error("the filter lets others through")
	}
	status, page := p.get(t, "/console/orders?cursor=nonsense")
	if has(t, page, `role="alert"`, "cursor"); status != http.StatusBadRequest {
		t.Errorf("a bad cursor: %d", status)
	}
}

// TestSearch: by an order's id, in any case, and by the key that it was placed under.
func TestSearch(t *testing.T) {
	w := newWorld(t)
	p := w.person(t)
	o := w.order(t, order.Request{Amount: 100})
	request, err := order.Request{Amount: 5, Currency: "USD"}.Normalize("tok_ok")
	if err != nil {
		t.Fatal(err)
	}
	keyed := order.New(order.Ref{Tenant: tenant, ID: order.KeyedID(tenant, "cart-7/&x")}, request, "cart-7/&x", time.Now())
	if err := w.store.Create(t.Context(), keyed); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{o.ID: o.ID, " " + strings.ToUpper(o.ID) + " ": o.ID, "cart-7/&x": keyed.ID} {
		_, page := p.get(t, "/console/orders?q="+url.QueryEscape(text))
		has(t, page, "<h1>Order <code>"+want)
	}
	for _, text := range []string{"cart-8", uuid.NewString(), "../healthz", "é"} {
		status, page := p.get(t, "/console/orders?q="+url.QueryEscape(text))
		if has(t, page, "No order of yours", html.EscapeString(text)); status != http.StatusOK {
			t.Errorf("%q: %d", text, status)
		}
	}
}

// TestStory: an order's page says what happened to it, and what the API says.
func TestStory(t *testing.T) {
	w := newWorld(t)
	p := w.person(t)
	o := w.order(t, order.Request{Amount: 1250}, claimed, released, claimed, paid)
	_, page := p.get(t, "/console/orders/"+o.ID)
	has(t, page, "Placed", "12.50 USD", "Attempt 1", "unavailable: busy", "Attempt 2", "approved", "PAY-0000BEEF",
		"curl "+w.URL+"/orders/"+o.ID, html.EscapeString(`"status": "PAID"`), `data-dialog="act-refund"`)
	if strings.Contains(page, "hx-get") {
		t.Error("the page of an order at its end refreshes itself")
	}
	_, page = p.get(t, "/console/orders/"+w.order(t, order.Request{Amount: 1}).ID)
	has(t, page, `hx-trigger="every 1s"`, `data-dialog="act-cancel"`)
	waits := w.order(t, order.Request{Amount: 1}, claimed, released)
	_, page = p.get(t, "/console/orders/"+waits.ID)
	has(t, page, "took 1.5", "Next attempt", `data-until="`+waits.RetryAt.UTC().Format(time.RFC3339Nano))
	for path, want := range map[string]string{
		"/console/orders/" + uuid.NewString(): "No such order", "/console/orders/..%2f..%2fhealthz": "Not Found", "/console/orders/%00": "No such order", "/console/nothing": "No such page",
	} {
		status, page := p.get(t, path)
		if has(t, page, want); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// TestActions: an action is what the API makes of it, and its answer is shown.
func TestActions(t *testing.T) {
	w := newWorld(t)
	p := w.person(t)
	act := func(o order.Order, action string, fields ...string) (int, string) {
		path := "/console/orders/" + o.ID
		return p.submit(t, path, path+"/"+action, fields...)
	}
	stands := func(o order.Order, want order.Status) order.Order {
		t.Helper()
		now, err := w.store.Get(t.Context(), o.Ref)
		if err != nil || now.Status != want {
			t.Errorf("the order is %s, want %s (%v)", now.Status, want, err)
		}
		return now
	}

	pending := w.order(t, order.Request{Amount: 5})
	status, page := act(pending, "cancel")
	if has(t, page, "The API answered 200 OK", "It was never charged."); status != http.StatusOK {
		t.Errorf("cancel: %d", status)
	}
	stands(pending, order.Canceled)

	back := w.order(t, order.Request{Amount: 900}, claimed, paid)
	if status, page = act(back, "refund", "amount", "1e3"); status != http.StatusUnprocessableEntity {
		t.Errorf("a refund of 1e3: %d", status)
	}
	has(t, page, "whole number")
	if status, page = act(back, "refund", "amount", "901"); status != http.StatusUnprocessableEntity {
		t.Errorf("a refund of too much: %d", status)
	}
	has(t, page, "The API answered 422")
	stands(back, order.Paid)
	if status, page = act(back, "refund", "amount", "300", "reason", "<b>broken</b>"); status != http.StatusAccepted {
		t.Errorf("a refund: %d", status)
	}
	has(t, page, "The API answered 202 Accepted", "Refund of 3.00 USD asked for", "&lt;b&gt;broken&lt;/b&gt;")
	if refunds := stands(back, order.Refunding).Refunds; len(refunds) != 1 || refunds[0].Amount != 300 {
		t.Errorf("the refunds are %+v", refunds)
	}

	again := w.order(t, order.Request{Amount: 5}, claimed, failed)
	if status, page = act(again, "pay", "paymentToken", "tok_nonsense"); status != http.StatusUnprocessableEntity {
		t.Errorf("a token that is none: %d", status)
	}
	has(t, page, "body.paymentToken")
	stands(again, order.Failed)
	if status, _ = act(again, "pay", "paymentToken", "tok_flaky_2"); status != http.StatusAccepted {
		t.Errorf("pay: %d", status)
	}
	stands(again, order.Pending)
	retried := w.order(t, order.Request{Amount: 5}, claimed, failed)
	if status, _ = act(retried, "retry"); status != http.StatusAccepted {
		t.Errorf("retry: %d", status)
	}
	stands(retried, order.Pending)
}

// TestActionOnWhatWasSeen: an action is for the version that the page showed.
func TestActionOnWhatWasSeen(t *testing.T) {
	w := newWorld(t)
	p := w.person(t)
	o := w.order(t, order.Request{Amount: 900}, claimed, paid)
	path := "/console/orders/" + o.ID
	_, page := p.get(t, path)
	seen := form(t, page, path+"/refund", "amount", "100")
	for range 2 { // a form that is sent twice refunds once
		next, err := w.store.Get(t.Context(), o.Ref)
		if err != nil {
			t.Fatal(err)
		}
		response, err := p.PostForm(w.URL+path+"/refund", seen)
		if err != nil {
			t.Fatal(err)
		}
		_ = body(t, response)
		if next.Status == order.Refunding && response.StatusCode != http.StatusPreconditionFailed {
			t.Errorf("the second time: %s", response.Status)
		}
	}
	if now, err := w.store.Get(t.Context(), o.Ref); err != nil || len(now.Refunds) != 1 {
		t.Errorf("there are %d refunds (%v)", len(now.Refunds), err)
	}
}

// TestForgeries: an action needs a form of the same session, and a page of this site.
func TestForgeries(t *testing.T) {
	w := newWorld(t)
	victim, other := w.person(t), w.person(t)
	o := w.order(t, order.Request{Amount: 5})
	path := "/console/orders/" + o.ID
	_, mine := victim.get(t, path)
	_, theirs := other.get(t, path)
	good := form(t, mine, path+"/cancel")
	for name, tt := range map[string]struct {
		values url.Values
		header map[string]string
	}{
		"no token":                 {url.Values{"version": good["version"]}, nil},
		"an empty token":           {url.Values{"csrf": {""}}, nil},
		"another session's token":  {form(t, theirs, path+"/cancel"), nil},
		"another site, as it says": {good, map[string]string{"Sec-Fetch-Site": "cross-site"}},
		"a sister site":            {good, map[string]string{"Sec-Fetch-Site": "same-site"}},
		"another origin":           {good, map[string]string{"Origin": "https://evil.example"}},
		"an origin that is hidden": {good, map[string]string{"Origin": "null"}},
	} {
		request, err := http.NewRequest(http.MethodPost, w.URL+path+"/cancel", strings.NewReader(tt.values.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for k, v := range tt.header {
			request.Header.Set(k, v)
		}
		response, err := victim.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = body(t, response)
		if now, err := w.store.Get(t.Context(), o.Ref); response.StatusCode != http.StatusForbidden || err != nil || now.Status != order.Pending {
			t.Errorf("%s: %s, and the order is %s (%v)", name, response.Status, now.Status, err)
		}
	}
	if status, _ := victim.submit(t, path, path+"/cancel"); status != http.StatusOK {
		t.Errorf("the form itself: %d", status)
	}
}

// TestRights: reading takes the right to read, and acting that to operate.
func TestRights(t *testing.T) {
	for name, tt := range map[string]struct {
		read, operate bool
		see, act      int
	}{
		"nothing": {false, false, http.StatusForbidden, http.StatusForbidden},
		"reading": {true, false, http.StatusOK, http.StatusForbidden},
		"all":     {true, true, http.StatusOK, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := w.order(t, order.Request{Amount: 5})
			path := "/console/orders/" + o.ID
			p := w.person(t)
			_, page := p.get(t, path)
			cancel := form(t, page, path+"/cancel") // the same session, with all rights
			limited := w.with(t, func(c *console.Config) { c.Open.Read, c.Open.Operate = tt.read, tt.operate })
			if status, page := (person{p.Client, limited}).get(t, path); status != tt.see || strings.Contains(page, "act-cancel") != tt.operate {
				t.Errorf("the page: %d", status)
			}
			response, err := p.PostForm(limited.URL+path+"/cancel", cancel)
			if err != nil {
				t.Fatal(err)
			}
			_ = body(t, response)
			if response.StatusCode != tt.act {
				t.Errorf("the action: %s", response.Status)
			}
		})
	}
}

// TestHostileText: whatever callers and the gateway wrote is text.
func TestHostileText(t *testing.T) {
	const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>'`
	w := newWorld(t)
	p := w.person(t)
	o := w.order(t, order.Request{
		CustomerID: hostile[:56], Metadata: map[string]string{hostile[:40]: hostile},
		Items: []order.Item{{SKU: hostile[:56], Quantity: 1, UnitPrice: 5}},
	}, claimed, func(o order.Order, now time.Time) (order.Order, error) {
		return o.FailedWith(order.OutcomeUnavailable, order.Failure{Code: hostile, Message: hostile}, now)
	})
	for _, path := range []string{
		"/console/orders", "/console/orders/" + o.ID, "/console/orders?q=" + url.QueryEscape(hostile),
		"/console/orders?customer=" + url.QueryEscape(hostile), "/console/orders?status=" + url.QueryEscape(hostile), "/console/orders?cursor=" + url.QueryEscape(hostile),
	} {
		if _, page := p.get(t, path); strings.Contains(page, "<script>alert") || strings.Contains(page, "<img src=x") {
			t.Errorf("%s has it as HTML:\n%s", path, page)
		}
	}
}

// TestWebhooks: endpoints are registered, shown with their secret once, and gone.
func TestWebhooks(t *testing.T) {
	w := newWorld(t)
	p := w.person(t)
	_, page := p.get(t, "/console/webhooks")
	has(t, page, "None is registered")
	status, page := p.submit(t, "/console/webhooks", "/console/webhooks", "url", "http://shop.example/hook")
	if has(t, page, "The API answered 422", `value="http://shop.example/hook"`); status != http.StatusUnprocessableEntity {
		t.Errorf("a URL that the API refuses: %d", status)
	}
	_, page = p.submit(t, "/console/webhooks", "/console/webhooks", "url", "https://shop.example/hook", "events", "order.paid")
	has(t, page, "The API answered 201 Created", "whsec_", "The secret of shop.example", "nothing sent yet", "<dd><code>order.paid</code> </dd>")
	id := regexp.MustCompile(`/console/webhooks/([0-9a-f-]{36})/rotate`).FindStringSubmatch(page)
	if id == nil {
		t.Fatal(page)
	}
	if _, page = p.get(t, "/console/webhooks"); strings.Contains(page, "whsec_") {
		t.Error("the secret is shown again")
	}
	if _, page = p.submit(t, "/console/webhooks", "/console/webhooks/"+id[1]+"/test"); !strings.Contains(page, "The API answered 202 Accepted") {
		t.Errorf("a test: %s", page)
	}
	again := form(t, page, "/console/webhooks/"+id[1]+"/test", "order", w.order(t, order.Request{Amount: 5}).ID, "event", "evt_1")
	response, err := p.PostForm(w.URL+"/console/webhooks/"+id[1]+"/resend", again)
	if err != nil {
		t.Fatal(err)
	}
	has(t, body(t, response), "The API answered 409 Conflict", "no such event")
	_, page = p.submit(t, "/console/webhooks", "/console/webhooks/"+id[1]+"/rotate")
	has(t, page, "The API answered 200 OK", "whsec_")
	_, page = p.submit(t, "/console/webhooks", "/console/webhooks/"+id[1]+"/delete")
	has(t, page, "The API answered 204 No Content", "None is registered")
	if strings.Contains(w.log.String(), "whsec_") {
		t.Error("the log has a secret")
	}
}

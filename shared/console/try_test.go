package console_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"paylane/shared/console"
	"paylane/shared/order"
)

// weatherman is a [console.Simulator] that only remembers.
type weatherman struct {
	now    console.Weather
	failed error
}

func (w *weatherman) Weather() console.Weather { return w.now }

func (w *weatherman) SetWeather(_ context.Context, next console.Weather) error {
	if w.failed == nil {
		w.now = next
	}
	return w.failed
}

// background is a [console.Local] Background that ends with the test.
func background(t *testing.T) func(func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return func(f func(context.Context)) { running.Go(func() { f(ctx) }) }
}

func tokens(c *console.Config) {
	c.Tokens = console.Tokens{Default: "tok_ok", Doc: "All <of> them.", Examples: []console.TokenExample{{"tok_ok", "is approved"}, {"tok_declined", "is <i>not</i>"}}}
}

// orders returns the tenant's, newest first.
func (w *world) orders(t *testing.T) []order.Order {
	t.Helper()
	page, err := w.store.List(t.Context(), order.Query{Tenant: tenant, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return page.Orders
}

// TestTryOrder: the form places what it says, and leads to the order.
func TestTryOrder(t *testing.T) {
	w := newWorld(t).with(t, tokens)
	p := w.person(t)
	_, page := p.get(t, "/console/try")
	has(t, page, `name="token" list="tokens" value="tok_ok"`, "is approved", "is &lt;i&gt;not&lt;/i&gt;", "All &lt;of&gt; them.", `href="/console/try?token=tok_declined"`)
	for _, absent := range []string{"Place many", "Weather", "Money moves"} {
		if strings.Contains(page, absent) {
			t.Errorf("without what only one process has, the page has %q", absent)
		}
	}
	if _, page = p.get(t, "/console/try?token=tok_declined"); !strings.Contains(page, `list="tokens" value="tok_declined"`) {
		t.Error("a token of the table is not chosen")
	}
	fields := []string{"amount", "1250", "currency", "USD", "token", "tok_flaky_2", "customer", " c-9 ", "key", "cart-9", "metadata", "cart=77\r\n\r\nnote = a=b\n"}
	for range 2 { // under one key it is one order
		status, page := p.submit(t, "/console/try", "/console/try", fields...)
		if has(t, page, "<h1>Order <code>", "12.50 USD"); status != http.StatusOK {
			t.Errorf("the order's page is %d", status)
		}
	}
	all := w.orders(t)
	if len(all) != 1 {
		t.Fatalf("%d orders were placed", len(all))
	}
	if o := all[0]; o.ID != order.KeyedID(tenant, "cart-9") || o.CustomerID != "c-9" || o.PaymentToken != "tok_flaky_2" ||
		o.Metadata["cart"] != "77" || o.Metadata["note "] != " a=b" || len(o.Metadata) != 2 {
		t.Errorf("placed is %+v", o)
	}
	w = w.with(t, func(c *console.Config) { c.Tokens.Livemode = true })
	_, page = w.person(t).get(t, "/console/try")
	has(t, page, "Money moves")
}

// TestTryRefused: what the API refuses is said beside the field, and the input is kept, as text.
func TestTryRefused(t *testing.T) {
	w := newWorld(t).with(t, tokens)
	p := w.person(t)
	const evil = `"><script>alert(1)</script>`
	for _, tt := range []struct{ field, value, flaw string }{
		{"amount", evil, "whole number"}, {"amount", "0", "body.amount"}, {"amount", "1e3", "whole number"}, {"amount", "", "body"},
		{"currency", evil, "body.currency"}, {"token", evil, "body.paymentToken"}, {"customer", strings.Repeat("c", 65), "body.customerId"},
		{"customer", "4111 1111 1111 1111", "body.customerId"}, {"key", "a,b", "Idempotency-Key"}, {"key", "4111111111111111", "header.Idempotency-Key"},
		{"metadata", evil, "cart=77"}, {"metadata", "a=1\na=2", "a name of its own"}, {"metadata", strings.Repeat("m", 41) + "=1", "body.metadata"},
	} {
		fields := []string{"amount", "5", "currency", "USD", "token", "tok_ok", "customer", "c-1", "key", "", "metadata", "", tt.field, tt.value}
		status, page := p.submit(t, "/console/try", "/console/try", fields...)
		has(t, page, `role="alert"`, tt.flaw)
		if status != http.StatusUnprocessableEntity && status != http.StatusBadRequest || strings.Contains(page, "<script>") {
			t.Errorf("%s %q: %d\n%s", tt.field, tt.value, status, page)
		}
		kept := regexp.MustCompile(`name="` + tt.field + `"[^>]*( value="([^"]*)"[^>]*>|>([^<]*)</textarea>)`).FindStringSubmatch(page)
		if want := escaped(tt.value); kept == nil || kept[2]+kept[3] != want {
			t.Errorf("%s keeps %q, want %q", tt.field, kept, want)
		}
		if flawed := regexp.MustCompile(`name="` + tt.field + `"[^>]*aria-invalid="true"`).MatchString(page); !flawed && tt.flaw != "body" && tt.flaw != "Idempotency-Key" {
			t.Errorf("%s %q is not marked", tt.field, tt.value)
		}
	}
	if all := w.orders(t); len(all) != 0 {
		t.Errorf("%d orders were placed", len(all))
	}
}

// escaped is text as a page has it.
func escaped(text string) string {
	return strings.NewReplacer(`"`, "&#34;", "<", "&lt;", ">", "&gt;", "+", "&#43;").Replace(text)
}

// held lets requests that place orders begin one after another, as the test says.
type held struct {
	http.Handler
	gate chan struct{}
}

func (h held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		select {
		case <-h.gate:
		case <-r.Context().Done():
			http.Error(w, "left", http.StatusServiceUnavailable)
			return
		}
	}
	h.Handler.ServeHTTP(w, r)
}

// wait looks at the page Try it until it has a text.
func (p person) wait(t *testing.T, text string) (page string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for look := time.Tick(10 * time.Millisecond); ; {
		if _, page = p.get(t, "/console/try"); strings.Contains(page, text) {
			return page
		}
		select {
		case <-look:
		case <-deadline:
			t.Fatalf("the page does not come to have %q:\n%s", text, page)
		}
	}
}

// run starts a run and returns the page that this leads to.
func (p person) run(t *testing.T, size, mix string) (status int, page string) {
	t.Helper()
	return p.submit(t, "/console/try", "/console/try/run", "size", size, "mix", mix)
}

func counts(page string) map[string]string {
	counts := make(map[string]string)
	article, _, _ := strings.Cut(page, "</article>")
	for _, row := range regexp.MustCompile(`<div><dt>(?:<[^>]*>)?(.*?)(?:</span>)?</dt><dd>(.*?)</dd></div>`).FindAllStringSubmatch(article, -1) {
		counts[row[1]] = row[2]
	}
	return counts
}

// TestRun: a run places its orders, and the page counts what becomes of them.
func TestRun(t *testing.T) {
	w := newWorld(t).with(t, func(c *console.Config) {
		tokens(c)
		c.Local.Background = background(t)
	})
	p := w.person(t)
	if status, page := p.run(t, "100", "all"); status != http.StatusOK || !strings.Contains(page, `hx-trigger="every 1s"`) {
		t.Errorf("%d: the page does not refresh itself:\n%s", status, page)
	}
	p.wait(t, "100 of 100 placed: 100 open")
	all := w.orders(t)
	used := make(map[order.Token]int)
	for i, o := range all {
		used[o.PaymentToken]++
		o, err := claimed(o, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		end := paid
		if i < 30 {
			end = failed
		}
		if o, err = end(o, time.Now()); err == nil {
			err = w.store.Update(t.Context(), o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) != 100 || used["tok_declined"] != 5 || used["tok_ok"] != 95 {
		t.Errorf("placed are %v", used)
	}
	page := p.wait(t, "all at their ends")
	for name, want := range map[string]string{"accepted": "100", "refused": "0", "PAID": "70", "FAILED": "30", "open": "0"} {
		if got := counts(page)[name]; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if strings.Contains(page, "hx-trigger") || counts(page)["ended within"] == "" {
		t.Errorf("at its end the page is\n%s", page)
	}
	_, list := p.get(t, "/console/orders?customer="+regexp.MustCompile(`/console/orders\?customer=([^"]+)`).FindStringSubmatch(page)[1])
	has(t, list, `rel="next"`, "12.00 EUR")
}

// TestRunLimits: a tenant has one run at a time, which can be stopped; the sizes are those that the
// page offers, and the page remembers a few.
func TestRunLimits(t *testing.T) {
	gate := make(chan struct{})
	w := newWorld(t)
	w = w.with(t, func(c *console.Config) {
		c.API, c.Local.Background = held{w.config.API, gate}, background(t)
	})
	p := w.person(t)
	for _, size := range []string{"", "0", "2", "-1", "1000000", "x"} {
		if status, page := p.run(t, size, ""); status != http.StatusUnprocessableEntity || !strings.Contains(page, "1, 100 or 10,000") {
			t.Errorf("a run of %q: %d", size, status)
		}
	}
	p.run(t, "10000", "")
	for range 7 {
		gate <- struct{}{}
	}
	p.wait(t, "<dd>7</dd>")
	oldest := w.orders(t)[6]
	for range 100 { // so that it is on another page of the list
		gate <- struct{}{}
	}
	p.wait(t, "<dd>107</dd>")
	for _, change := range []func(order.Order, time.Time) (order.Order, error){claimed, paid} {
		var err error
		if oldest, err = change(oldest, time.Now()); err == nil {
			err = w.store.Update(t.Context(), oldest)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if status, page := p.run(t, "1", ""); status != http.StatusConflict || !strings.Contains(page, "Another run is still placing orders") {
		t.Errorf("a second run: %d", status)
	}
	if status, _ := p.submit(t, "/console/try", "/console/try/stop"); status != http.StatusOK {
		t.Errorf("stop: %d", status)
	}
	page := p.wait(t, "107 of 10,000 placed, then stopped: 106 open")
	if got := counts(page); got["accepted"] != "107" || got["refused"] != "0" {
		t.Errorf("after the stop: %v", got)
	}
	close(gate)
	for range 6 {
		p.run(t, "1", "")
		page = p.wait(t, "1 of 1 placed: 1 open")
	}
	if n := strings.Count(page, "<article"); n != 5 {
		t.Errorf("the page remembers %d runs, want 5", n)
	}
}

// TestRunRefused: what the API refuses is counted, with its reason.
func TestRunRefused(t *testing.T) {
	w := newWorld(t).with(t, func(c *console.Config) {
		c.Tokens.Default, c.Local.Background = "tok_<nonsense>", background(t)
	})
	p := w.person(t)
	p.run(t, "100", "")
	page := p.wait(t, "0 of 100 placed: all at their ends")
	if got := counts(page); got["accepted"] != "0" || got["refused"] != "100" {
		t.Errorf("the counts are %v", got)
	}
	has(t, page, "100 refused: 422 ")
}

// TestWeather: the panel shows and changes what is in force, or says why not.
func TestWeather(t *testing.T) {
	sim := &weatherman{}
	w := newWorld(t).with(t, func(c *console.Config) { c.Local.Simulator = sim })
	p := w.person(t)
	for _, tt := range []struct {
		latency, declines, timeouts, set string
		want                             console.Weather
		status                           int
		shown                            string
	}{
		{"250", "5", "10", "rates", console.Weather{Latency: 250 * time.Millisecond, Declines: 5, Timeouts: 10}, 200, "250 ms more latency"},
		{"4000", "100", "100", "rates", console.Weather{Latency: 4 * time.Second, Declines: 100, Timeouts: 100}, 200, "100 % declined"},
		{"0", "0", "0", "outage", console.Weather{Outage: true}, 200, "End the outage"},
		{"7", "0", "0", "rates", console.Weather{Latency: 7 * time.Millisecond, Outage: true}, 200, ">outage<"},
		{"0", "0", "0", "end", console.Weather{}, 200, "Switch to outage"},
		{"0", "3", "0", "outage", console.Weather{Declines: 3, Outage: true}, 200, "3 % declined"},
		{"", "x", "", "fair", console.Weather{}, 200, ">fair<"},
		{"4001", "0", "0", "rates", console.Weather{}, 422, `value="4001"`},
		{"18446744073710", "0", "0", "rates", console.Weather{}, 422, "Nothing was changed"},
		{"-1", "0", "0", "rates", console.Weather{}, 422, "4,000 ms"},
		{"0", "101", "0", "outage", console.Weather{}, 422, "between 0 and 100 %"},
		{"0", "0", "-1", "rates", console.Weather{}, 422, "between 0 and 100 %"},
		{"0", `"><script>`, "0", "rates", console.Weather{}, 422, `value="&#34;&gt;&lt;script&gt;"`},
	} {
		status, page := p.submit(t, "/console/try", "/console/try/weather",
			"latency", tt.latency, "declines", tt.declines, "timeouts", tt.timeouts, "set", tt.set)
		if has(t, page, tt.shown); status != tt.status || sim.now != tt.want {
			t.Errorf("%+v: %d, in force is %+v", tt, status, sim.now)
		}
	}
	sim.failed = errors.New("disk /dev/sda is full")
	status, page := p.submit(t, "/console/try", "/console/try/weather", "latency", "0", "declines", "0", "timeouts", "0", "set", "outage")
	if has(t, page, "it could not be written down"); status != http.StatusServiceUnavailable || strings.Contains(page, "sda") {
		t.Errorf("a failure: %d\n%s", status, page)
	}
}

// TestTryReaders: who may only read is shown no form, and can't act.
func TestTryReaders(t *testing.T) {
	sim := &weatherman{}
	w := newWorld(t).with(t, func(c *console.Config) {
		c.Local, c.Open.Operate = console.Local{Simulator: sim, Background: background(t)}, false
	})
	p := w.person(t)
	_, page := p.get(t, "/console/try")
	if has(t, page, "Place many", "orders/operate"); strings.Contains(page, "<form") || strings.Contains(page, "Weather") {
		t.Errorf("a reader's page is\n%s", page)
	}
	for _, path := range []string{"/console/try", "/console/try/run", "/console/try/stop", "/console/try/weather"} {
		response, err := p.PostForm(p.w.URL+path, url.Values{"set": {"outage"}, "size": {"1"}, "amount": {"5"}})
		if err != nil {
			t.Fatal(err)
		}
		if body(t, response); response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
	if sim.now.Outage || len(w.orders(t)) > 0 {
		t.Error("a reader acts")
	}
	// Where requests are all that there is, nothing runs on.
	p = newWorld(t).person(t)
	for _, path := range []string{"/console/try/run", "/console/try/stop", "/console/try/weather"} {
		response, err := p.PostForm(p.w.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body(t, response); response.StatusCode < 400 {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
}

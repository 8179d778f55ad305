//go:build browser

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// view is how somebody looks at a page.
type view struct {
	name          string
	width, height int64
	scheme        string // light or dark
}

func desktop() view { return view{"desktop, light", 1280, 900, "light"} }

// views are those that every page is looked at in.
func views() []view {
	return []view{
		desktop(), {"desktop, dark", 1280, 900, "dark"},
		{"phone, light", 375, 812, "light"}, {"phone, dark", 375, 812, "dark"},
	}
}

// tab is a tab of the browser, with cookies of its own. Its test fails if a page in it writes an
// error or a warning to the console, throws, breaks the Content-Security-Policy, opens a dialog
// of JavaScript, or sends a request to another origin.
type tab struct {
	*testing.T
	ctx    context.Context
	origin string

	mu       sync.Mutex
	others   []string // origins that it may visit besides
	wrong    []string
	refusals []string // how the console reports the statuses that are expected
	requests []string // the paths of all requests so far
}

func openTab(t *testing.T, browser context.Context, origin string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	p := &tab{T: t, ctx: ctx, origin: origin}
	t.Cleanup(func() {
		p.check()
		cancel()
	})
	if err := chromedp.Listen(ctx, p.hears); err != nil {
		t.Fatal(err)
	}
	p.look(desktop())
	return p
}

// look has the page seen in a view.
func (p *tab) look(v view) {
	p.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	}); err != nil {
		p.Fatal(err)
	}
	p.do(chromedp.EmulateViewport(v.width, v.height))
}

// hears takes what the browser reports.
func (p *tab) hears(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wrong := func(format string, args ...any) { p.wrong = append(p.wrong, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			var text []string
			for _, a := range e.Args {
				text = append(text, string(a.Value)+a.Description)
			}
			wrong("console.%s: %s", e.Type, strings.Join(text, " "))
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		wrong("exception: %s", text)
	case *log.EventEntryAdded:
		expected := slices.ContainsFunc(p.refusals, func(text string) bool { return strings.Contains(e.Entry.Text, text) })
		if (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning) && !expected {
			wrong("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *cdppage.EventJavascriptDialogOpening:
		wrong("a dialog opened: %s", e.Message)
		go func() { // the page stands still until somebody answers
			_, _ = chromedp.Call(p.ctx, cdppage.HandleJavaScriptDialog, cdppage.HandleJavaScriptDialogParams{Accept: true})
		}()
	case *network.EventRequestWillBeSent:
		if strings.HasPrefix(e.Request.URL, "data:") {
			return // nobody is asked
		}
		path, own := strings.CutPrefix(e.Request.URL, p.origin+"/")
		other := slices.ContainsFunc(p.others, func(origin string) bool { return strings.HasPrefix(e.Request.URL, origin+"/") })
		if !own && !other {
			wrong("a request to another origin: %s", e.Request.URL)
		}
		p.requests = append(p.requests, "/"+path)
	}
}

// check fails the test by all that went wrong so far.
func (p *tab) check() {
	p.Helper()
	// The browser reports in order, so what happened is known once it has answered.
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[int](`1`)); err != nil {
		p.Error(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.wrong {
		p.Error(text)
	}
	p.wrong = nil
}

// visits lets the tab go to another origin, too.
func (p *tab) visits(origin string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.others = append(p.others, origin)
}

// expect has pages answer with an error status without that being wrong.
func (p *tab) expect(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusals = append(p.refusals, fmt.Sprintf("the server responded with a status of %d ", status))
}

// complains reports whether something that has text in it went wrong, which the test expects: it
// is forgotten.
func (p *tab) complains(text string) bool {
	p.Helper()
	evaluate[int](p, `1`) // as in check
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.wrong)
	p.wrong = slices.DeleteFunc(p.wrong, func(wrong string) bool { return strings.Contains(wrong, text) })
	return len(p.wrong) < n
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.Fatal(err)
	}
}

// goes takes a step that leads to a page, and returns the page's status.
func (p *tab) goes(step chromedp.Action[chromedp.Void]) int {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, step)
	if err != nil {
		p.Fatal(err)
	}
	return int(response.Status)
}

func (p *tab) open(path string) int {
	p.Helper()
	return p.goes(chromedp.Navigate(p.origin + path))
}

// evaluate returns the value of an expression, or of what it promises.
func evaluate[T any](p *tab, expression string) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", expression, err)
	}
	return value
}

// awaits waits until an expression is true in the page, which stays open.
func (p *tab) awaits(expression string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`new Promise((resolve) => {
		const look = () => (`+expression+`) ? resolve(true) : setTimeout(look, 20)
		look()
	})`, chromedp.EvalAwaitPromise)); err != nil {
		p.Fatalf("await %s: %v; the page says:\n%s", expression, err, p.text())
	}
}

// text is what the page says.
func (p *tab) text() string {
	p.Helper()
	return evaluate[string](p, `document.body.innerText`)
}

// says fails the test unless the page has all the texts.
func (p *tab) says(texts ...string) {
	p.Helper()
	said := p.text()
	for _, text := range texts {
		if !strings.Contains(said, text) {
			p.Errorf("the page does not say %q:\n%s", text, said)
		}
	}
}

// asked returns how many requests for paths that begin with prefix the tab has sent.
func (p *tab) asked(prefix string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, path := range p.requests {
		if strings.HasPrefix(path, prefix) {
			n++
		}
	}
	return n
}

// axe is axe-core; testdata/axe says where it comes from.
func axe(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	origin, err := os.ReadFile("testdata/axe/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(source); !strings.Contains(string(origin), "`"+hex.EncodeToString(sum[:])+"`") {
		t.Fatal("axe.min.js is not the file that testdata/axe/README.md has the checksum of")
	}
	return string(source)
}

// accessible fails the test by what axe, which the page has, finds in a view, and if the page is
// wider than that.
func (p *tab) accessible(view string) {
	p.Helper()
	type violation struct {
		ID, Help string
		Nodes    []struct{ HTML, FailureSummary string }
	}
	found := evaluate[[]violation](p, `axe.run(document, {resultTypes: ["violations"], runOnly: {type: "tag", values:
			["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}})
		.then((r) => r.violations.map((v) => ({ID: v.id, Help: v.help, Nodes: v.nodes.map((n) => ({HTML: n.html, FailureSummary: n.failureSummary}))})))`)
	for _, v := range found {
		for _, n := range v.Nodes {
			p.Errorf("%s: axe, %s (%s): %s\n%s", view, v.ID, v.Help, n.HTML, n.FailureSummary)
		}
	}
	if width := evaluate[[]int](p, `[document.scrollingElement.scrollWidth, innerWidth]`); width[0] > width[1] {
		p.Errorf("%s: the page is %d pixels wide, in a window of %d", view, width[0], width[1])
	}
}

// consoleRunner is a runner whose console is looked at.
type consoleRunner struct {
	target
	// rest is how many seconds a message rests before its next attempt.
	rest *atomic.Int64
}

func startConsole(t *testing.T, change ...func(*config)) consoleRunner {
	t.Helper()
	c := testConfig(t)
	g := consoleRunner{rest: new(atomic.Int64)}
	g.rest.Store(1)
	c.Jitter = func(int) int { return int(g.rest.Load()) - 1 }
	for _, f := range change {
		f(&c)
	}
	g.url = startRunner(t, c)
	return g
}

// place places an order and waits until it is in a state, after as many attempts.
func (g consoleRunner) place(t *testing.T, body, status string, attempts int, header ...string) (id string) {
	t.Helper()
	id = g.create(t, "", body, header...)
	g.await(t, id, status, attempts)
	return id
}

// await waits until an order is in a state, after as many attempts.
func (g consoleRunner) await(t *testing.T, id, status string, attempts int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		got := g.do(t, http.MethodGet, "/orders/"+id, "", "", "Prefer", "wait=1")
		var o struct {
			Status   string
			Attempts []json.RawMessage
		}
		if err := json.Unmarshal([]byte(got.body), &o); err != nil {
			t.Fatalf("%d %s: %v", got.status, got.body, err)
		}
		if o.Status == status && len(o.Attempts) >= attempts {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the order does not become %s: %s", status, got.body)
		}
	}
}

// register registers a webhook.
func (g consoleRunner) register(t *testing.T, url string) (id string) {
	t.Helper()
	got := g.do(t, http.MethodPost, "/webhooks", "", `{"url": "`+url+`"}`)
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(got.body), &made); err != nil || got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	return made.ID
}

// placeHeld places an order that has had one attempt, and waits long for the next.
func (g consoleRunner) placeHeld(t *testing.T) (id string) {
	t.Helper()
	g.rest.Store(600)
	defer g.rest.Store(1)
	return g.place(t, `{"amount": 700, "paymentToken": "tok_outage"}`, "PROCESSING", 1)
}

// unpaid has orders stay PENDING.
func unpaid(t *testing.T) func(*config) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const queue = "            Queue: !GetAtt PaymentQueue.Arn\n"
	if n := strings.Count(string(source), queue); n != 1 {
		t.Fatalf("%d functions read the queue of payments", n)
	}
	file := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(string(source), queue, queue+"            Enabled: false\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *config) { c.Template = file }
}

// consolePage is a page, or a state of one, that must be right in every view.
type consolePage struct {
	name   string
	on     consoleRunner
	path   string
	status int    // 0 is 200
	ready  string // an expression that is true once the page shows what it is about; optional
	open   string // what to click first, as a CSS selector; optional
}

// consolePages returns a row for each page, with something in it to see.
func consolePages(t *testing.T) []consolePage {
	t.Helper()
	g, idle := startConsole(t), startConsole(t, unpaid(t))
	paid := g.place(t, `{"items": [{"sku": "TEA-1", "quantity": 2, "unitPrice": 6000}], "customerId": "c-42", "metadata": {"cart": "77"}}`, "PAID", 1)
	failed := g.place(t, `{"amount": 1200, "currency": "USD", "paymentToken": "tok_insufficient_funds"}`, "FAILED", 1)
	retried := g.place(t, `{"amount": 1200, "currency": "USD", "paymentToken": "tok_flaky_2"}`, "PAID", 3)
	held, pending := g.placeHeld(t), idle.create(t, "", `{"amount": 700}`)
	refunded := g.place(t, `{"amount": 900}`, "PAID", 1)
	if got := g.do(t, http.MethodPost, "/orders/"+refunded+"/refund", "", `{"reason": "one cup was broken"}`); got.status != http.StatusAccepted {
		t.Fatalf("refund: %d %s", got.status, got.body)
	}
	g.await(t, refunded, "REFUNDED", 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(receiver.Close)
	for _, path := range []string{"/up", "/down"} {
		g.register(t, receiver.URL+path)
	}
	told := g.place(t, `{"amount": 800}`, "PAID", 1)
	const orders, webhooks, unfolded = "/console/orders", "/console/webhooks", `document.querySelectorAll("details").forEach((d) => d.open = true) === undefined`
	return []consolePage{
		{name: "orders", on: g, path: orders},
		{name: "orders, filtered", on: g, path: orders + "?status=FAILED"},
		{name: "orders, none", on: g, path: orders + "?customer=nobody"},
		{name: "orders, refused", on: g, path: orders + "?cursor=x", status: http.StatusBadRequest},
		{name: "orders, not found", on: g, path: orders + "?q=nothing"},
		{name: "order PAID", on: g, path: orders + "/" + paid},
		{name: "order PAID, to refund", on: g, path: orders + "/" + paid, open: "[data-dialog=act-refund]"},
		{name: "order PAID, its JSON", on: g, path: orders + "/" + paid, open: "summary"},
		{name: "order FAILED", on: g, path: orders + "/" + failed},
		{name: "order FAILED, to pay", on: g, path: orders + "/" + failed, open: "[data-dialog=act-pay]"},
		{name: "order PAID at the third attempt", on: g, path: orders + "/" + retried},
		{name: "order PROCESSING, between attempts", on: g, path: orders + "/" + held},
		{name: "order PENDING", on: idle, path: orders + "/" + pending},
		{name: "order PENDING, to cancel", on: idle, path: orders + "/" + pending, open: "[data-dialog=act-cancel]"},
		{name: "order REFUNDED", on: g, path: orders + "/" + refunded},
		{name: "order PAID, and who was told", on: g, path: orders + "/" + told},
		{name: "webhooks", on: g, path: webhooks, ready: unfolded},
		{name: "webhooks, to delete", on: g, path: webhooks, open: "[data-dialog^=delete-]"},
		{name: "webhooks, none", on: idle, path: webhooks},
		{name: "no such order", on: g, path: orders + "/" + strings.Repeat("0", 8), status: http.StatusNotFound},
		{name: "no such page", on: g, path: "/console/nothing", status: http.StatusNotFound},
	}
}

// TestBrowserConsolePages: every page is accessible in every view, and fits into it.
func TestBrowserConsolePages(t *testing.T) {
	pages, axe := consolePages(t), axe(t)
	browser := openBrowser(t)
	for _, row := range pages {
		t.Run(row.name, func(t *testing.T) {
			p := openTab(t, browser, row.on.url)
			want := cmp.Or(row.status, http.StatusOK)
			if want != http.StatusOK {
				p.expect(want)
			}
			if got := p.open(row.path); got != want {
				t.Errorf("status %d, want %d", got, want)
			}
			if row.ready != "" {
				p.awaits(row.ready)
			}
			if row.open != "" {
				p.do(chromedp.Click(chromedp.CSS(row.open)))
			}
			evaluate[bool](p, axe+"; true")
			for _, v := range views() {
				p.look(v)
				p.accessible(v.name)
			}
		})
	}
}

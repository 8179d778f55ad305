//go:build browser

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
)

// clicks clicks on an element, which leads to no other page.
func (p *tab) clicks(selector string) {
	p.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// follows clicks on what leads to another page, and returns that page's status.
func (p *tab) follows(selector string) int {
	p.Helper()
	return p.goes(chromedp.Click(chromedp.CSS(selector)))
}

// fills writes into a field, instead of what is there.
func (p *tab) fills(selector, text string) {
	p.Helper()
	p.do(chromedp.Clear(chromedp.CSS(selector)), chromedp.SendKeys(chromedp.CSS(selector), text))
}

// confirm is the button of an open dialog that acts.
const confirm = "dialog[open] button:not([type=button])"

// shown is an expression that is true while the order's page shows a status.
func shown(status string) string {
	return `document.querySelector(".facts .status")?.innerText === "` + status + `"`
}

// TestBrowserConsoleActions: each action asks first, is one request to the API, and shows what
// that answered.
func TestBrowserConsoleActions(t *testing.T) {
	g, idle := startConsole(t), startConsole(t, unpaid(t))
	browser := openBrowser(t)
	const pathOf = "/console/orders/"
	state := func(t *testing.T, g consoleRunner, id string) string {
		t.Helper()
		return g.do(t, http.MethodGet, "/orders/"+id, "", "").body
	}

	t.Run("cancel", func(t *testing.T) {
		id := idle.create(t, "", `{"amount": 700}`)
		p := openTab(t, browser, idle.url)
		p.open(pathOf + id)
		p.clicks("#to-cancel")
		p.says("The order becomes CANCELED and is never charged.")
		p.clicks("dialog[open] [data-close]")
		p.awaits(`!document.querySelector("dialog[open]")`)
		if got := state(t, idle, id); !strings.Contains(got, `"PENDING"`) {
			t.Errorf("left alone: %s", got)
		}
		p.clicks("#to-cancel")
		if status := p.follows(confirm); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
		p.says("The API answered 200 OK", "POST /orders/"+id+"/cancel", "It was never charged.")
		if got := state(t, idle, id); !strings.Contains(got, `"CANCELED"`) {
			t.Errorf("canceled: %s", got)
		}
	})
	t.Run("an order that has changed", func(t *testing.T) {
		id := idle.create(t, "", `{"amount": 700}`)
		p := openTab(t, browser, idle.url)
		p.open(pathOf + id)
		p.clicks("#to-cancel") // while it is open, the page stays as it is
		if got := idle.do(t, http.MethodPost, "/orders/"+id+"/cancel", "", ""); got.status != http.StatusOK {
			t.Fatalf("cancel: %d %s", got.status, got.body)
		}
		p.expect(http.StatusPreconditionFailed)
		if status := p.follows(confirm); status != http.StatusPreconditionFailed {
			t.Errorf("status %d", status)
		}
		p.says("The API answered 412 Precondition Failed", "CANCELED")
	})
	t.Run("refund", func(t *testing.T) {
		id := g.place(t, `{"amount": 1000}`, "PAID", 1)
		p := openTab(t, browser, g.url)
		p.open(pathOf + id)
		p.clicks("#to-refund")
		p.says("The gateway is asked to return up to 1000 KRW", "A refund can't be taken back.")
		p.fills("dialog[open] [name=amount]", "200")
		p.fills("dialog[open] [name=reason]", "one cup was broken")
		if status := p.follows(confirm); status != http.StatusAccepted {
			t.Errorf("a part: status %d", status)
		}
		p.says("The API answered 202 Accepted", "Refund of 200 KRW asked for", "one cup was broken")
		p.awaits(shown("PAID"))
		p.says("Refunded 200 KRW")
		p.clicks("#to-refund") // the dialog offers what is left
		if status := p.follows(confirm); status != http.StatusAccepted {
			t.Errorf("the rest: status %d", status)
		}
		p.awaits(shown("REFUNDED"))
		p.says("Refunded 800 KRW")
	})
	t.Run("a refund of more than there is", func(t *testing.T) {
		id := g.place(t, `{"amount": 1000}`, "PAID", 1)
		p := openTab(t, browser, g.url)
		p.open(pathOf + id)
		p.clicks("#to-refund")
		p.fills("dialog[open] [name=amount]", "1001")
		p.expect(http.StatusUnprocessableEntity)
		if status := p.follows(confirm); status != http.StatusUnprocessableEntity {
			t.Errorf("status %d", status)
		}
		p.says("The API answered 422 Unprocessable Entity")
		if got := state(t, g, id); strings.Contains(got, "refund") {
			t.Errorf("refunded: %s", got)
		}
	})
	t.Run("pay with another token", func(t *testing.T) {
		id := g.place(t, `{"amount": 1000, "paymentToken": "tok_declined"}`, "FAILED", 1)
		p := openTab(t, browser, g.url)
		p.open(pathOf + id)
		p.clicks("#to-retry") // the API knows that it is of no use
		p.expect(http.StatusConflict)
		if status := p.follows(confirm); status != http.StatusConflict {
			t.Errorf("retry: status %d", status)
		}
		p.says("The API answered 409 Conflict")
		p.clicks("#to-pay")
		p.fills("dialog[open] [name=paymentToken]", "tok_ok")
		if status := p.follows(confirm); status != http.StatusAccepted {
			t.Errorf("pay: status %d", status)
		}
		p.says("The API answered 202 Accepted")
		p.awaits(shown("PAID"))
	})
	t.Run("retry", func(t *testing.T) {
		id := g.place(t, `{"amount": 1000, "paymentToken": "tok_outage"}`, "FAILED", 3)
		p := openTab(t, browser, g.url)
		p.open(pathOf + id)
		p.clicks("#to-retry")
		p.says("are charged with the token that it has")
		if status := p.follows(confirm); status != http.StatusAccepted {
			t.Errorf("status %d", status)
		}
		p.says("The API answered 202 Accepted")
		p.awaits(shown("FAILED"))
		p.says("Attempt 4")
	})
}

// TestBrowserConsoleWebhooks registers a webhook, and does with it what can be done.
func TestBrowserConsoleWebhooks(t *testing.T) {
	g := startConsole(t)
	received := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		received <- string(body)
	}))
	defer receiver.Close()
	p := openTab(t, openBrowser(t), g.url)
	act := func(name, answer string) {
		t.Helper()
		p.clicks("[data-dialog^=" + name + "]")
		if status := p.follows(confirm); status != http.StatusOK {
			t.Errorf("%s: status %d", name, status)
		}
		p.says(answer)
	}
	secret := func() string {
		t.Helper()
		return evaluate[string](p, `document.querySelector(".notice.good p:not(:has(code)) ")?.previousElementSibling.innerText ?? ""`)
	}

	p.open("/console/webhooks")
	p.says("None is registered")
	p.fills("[name=url]", receiver.URL)
	p.clicks("[value='order.failed']")
	if status := p.follows("form.stack button"); status != http.StatusOK {
		t.Errorf("register: status %d", status)
	}
	p.says("The API answered 201 Created", "nothing sent yet", "order.failed")
	first := secret()
	act("test", "The API answered 202 Accepted")
	if body := <-received; !strings.Contains(body, "webhook.test") {
		t.Errorf("the test posts %s", body)
	}
	act("rotate", "The API answered 200 OK")
	if second := secret(); !strings.HasPrefix(first, "whsec_") || !strings.HasPrefix(second, "whsec_") || first == second {
		t.Errorf("the secrets %q and %q", first, second)
	}
	p.open("/console/webhooks")
	if got := secret(); got != "" {
		t.Errorf("the page shows %q again", got)
	}
	act("delete", "The API answered 204 No Content")
	p.says("None is registered")
}

// TestBrowserConsoleOrders finds orders.
func TestBrowserConsoleOrders(t *testing.T) {
	g := startConsole(t)
	var ids []string
	for i := range 30 {
		ids = append(ids, g.create(t, "", fmt.Sprintf(`{"amount": %d, "customerId": "c-%d"}`, 100+i, i%2), "Idempotency-Key", fmt.Sprintf("cart#%d", i)))
	}
	failed := g.place(t, `{"amount": 5, "paymentToken": "tok_declined"}`, "FAILED", 1)
	browser := openBrowser(t)
	listed := func(p *tab) []string {
		p.Helper()
		return evaluate[[]string](p, `[...document.querySelectorAll("tbody a")].map((a) => a.innerText)`)
	}
	t.Run("pages", func(t *testing.T) {
		p := openTab(t, browser, g.url)
		p.open("/console/orders")
		first := listed(p)
		p.follows("nav [rel=next]")
		second := listed(p)
		seen := make(map[string]bool)
		for _, id := range append(first, second...) {
			seen[id] = true
		}
		if len(first) != 25 || len(second) != 6 || len(seen) != 31 {
			t.Errorf("%d orders, then %d; %d in all", len(first), len(second), len(seen))
		}
		p.follows("nav.pages a")
		if d := cmp.Diff(first, listed(p)); d != "" {
			t.Errorf("the first page again (-want +got):\n%s", d)
		}
	})
	t.Run("filters", func(t *testing.T) {
		p := openTab(t, browser, g.url)
		p.open("/console/orders")
		p.do(chromedp.SetValue(chromedp.CSS("[name=status]"), "FAILED"))
		p.follows(".filters:has([name=status]) button")
		if d := cmp.Diff([]string{failed}, listed(p)); d != "" {
			t.Errorf("FAILED (-want +got):\n%s", d)
		}
		p.do(chromedp.SetValue(chromedp.CSS("[name=status]"), ""))
		p.fills("[name=customer]", "c-1")
		p.follows(".filters:has([name=status]) button")
		if got := listed(p); len(got) != 15 {
			t.Errorf("%d orders of a customer", len(got))
		}
	})
	for name, text := range map[string]string{"id": ids[7], "id in capitals": strings.ToUpper(ids[7]), "idempotency key": "cart#7"} {
		t.Run("by "+name, func(t *testing.T) {
			p := openTab(t, browser, g.url)
			p.open("/console/orders")
			p.fills("[name=q]", " "+text)
			p.follows(".filters:has([name=q]) button")
			if got := evaluate[string](p, `document.querySelector("h1 code").innerText`); got != ids[7] {
				t.Errorf("%q finds %s", text, got)
			}
		})
	}
	t.Run("by what there is not", func(t *testing.T) {
		p := openTab(t, browser, g.url)
		p.open("/console/orders")
		p.fills("[name=q]", "cart#99")
		p.follows(".filters:has([name=q]) button")
		p.says("No order of yours has this id")
	})
}

// TestBrowserConsoleRefresh: an order's page follows the order, and leaves alone what somebody does in it.
func TestBrowserConsoleRefresh(t *testing.T) {
	browser := openBrowser(t)
	t.Run("until it is PAID", func(t *testing.T) {
		g := startConsole(t)
		p := openTab(t, browser, g.url)
		id := g.create(t, "", `{"amount": 700, "paymentToken": "tok_flaky_2"}`)
		p.open("/console/orders/" + id)
		evaluate[bool](p, `window.same = true`)
		p.awaits(shown("PAID"))
		if !evaluate[bool](p, `window.same === true`) {
			t.Error("the page was loaded again")
		}
		p.says("Attempt 1", "unavailable", "Attempt 2", "Attempt 3", "approved")
		if evaluate[bool](p, `document.querySelector("[hx-trigger]") !== null`) {
			t.Error("the page goes on asking")
		}
	})
	t.Run("while somebody is at it", func(t *testing.T) {
		idle := startConsole(t, unpaid(t))
		id := idle.create(t, "", `{"amount": 700}`)
		p := openTab(t, browser, idle.url)
		p.open("/console/orders/" + id)
		refreshed := func(times int) {
			t.Helper()
			for want := p.asked("/console/orders/"+id) + times; p.asked("/console/orders/"+id) < want; {
				evaluate[bool](p, `new Promise((resolve) => document.addEventListener("htmx:afterRequest", () => resolve(true), {once: true}))`)
			}
		}
		p.clicks("summary")
		p.do(chromedp.Focus(chromedp.CSS("#to-cancel")))
		refreshed(2)
		if got := evaluate[string](p, `document.activeElement.id + " " + document.querySelector("details").open`); got != "to-cancel true" {
			t.Errorf("refreshed without a change: the focus and the JSON are %q", got)
		}
		p.clicks("#to-cancel")
		if got := idle.do(t, http.MethodPost, "/orders/"+id+"/cancel", "", ""); got.status != http.StatusOK {
			t.Fatalf("cancel: %d %s", got.status, got.body)
		}
		refreshed(2)
		p.says("as it is in version 1")
		if !evaluate[bool](p, `document.querySelector("dialog[open]") !== null && `+shown("PENDING")) {
			t.Errorf("refreshed with an open dialog:\n%s", p.text())
		}
		p.clicks("dialog[open] [data-close]")
		p.awaits(shown("CANCELED"))
	})
}

// focused is what a keyboard's user is at.
type focused struct {
	Name    string // its id, or what it says
	Visible bool   // whether that can be seen
	Follows bool   // whether it comes after the one before it
}

// tabs presses a key, and returns what has the focus then.
func (p *tab) tabs(key string) focused {
	p.Helper()
	evaluate[bool](p, `window.before = document.activeElement, true`)
	p.do(chromedp.KeyEvent(key))
	return evaluate[focused](p, `(() => {
		const e = document.activeElement, box = e.getBoundingClientRect(), style = getComputedStyle(e)
		return {
			Name: e === document.body ? "" : e.id || e.name || e.getAttribute("aria-label") || e.innerText,
			Visible: e.matches(":focus-visible") && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 &&
				box.width > 0 && box.left >= 0 && box.right <= innerWidth && box.top < innerHeight && box.bottom > 0,
			Follows: (window.before.compareDocumentPosition(e) & (Node.DOCUMENT_POSITION_FOLLOWING | Node.DOCUMENT_POSITION_CONTAINED_BY)) !== 0,
		}
	})()`)
}

// TestBrowserConsoleKeyboard: everything can be reached and done without a mouse.
func TestBrowserConsoleKeyboard(t *testing.T) {
	idle := startConsole(t, unpaid(t))
	id := idle.create(t, "", `{"amount": 700}`)
	browser := openBrowser(t)
	p := openTab(t, browser, idle.url)
	for path, want := range map[string][]string{
		"/console/orders": {
			"Skip to the page", "paylane", "Orders", "status", "customer", "Filter", "q", "Find", "Orders", id,
		},
		"/console/orders/" + id: {"Skip to the page", "paylane", "Orders", "to-cancel", "JSON"},
	} {
		p.open(path)
		var got []string
		for {
			at := p.tabs(kb.Tab)
			if at.Name == "" || len(got) > 50 {
				break
			}
			if got = append(got, at.Name); !at.Visible || !at.Follows {
				t.Errorf("%s: %+v, after %v", path, at, got)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: the order of the focus (-want +got):\n%s", path, d)
		}
	}

	p.open("/console/orders/" + id)
	p.tabs(kb.Tab)
	p.tabs(kb.Enter)
	if at := evaluate[string](p, `document.activeElement.id`); at != "main" {
		t.Errorf("skipping to the page leads to %q", at)
	}
	if at := p.tabs(kb.Tab); at.Name != "to-cancel" {
		t.Errorf("from there, the next is %+v", at)
	}
	if at := p.tabs(kb.Enter); at.Name != "act-cancel" {
		t.Errorf("the dialog's focus: %+v", at)
	}
	p.tabs(kb.Enter) // as a key does that is held down
	if !evaluate[bool](p, `document.querySelector("dialog[open]") !== null`) {
		t.Error("the dialog acted on the key that opened it")
	}
	if at := p.tabs(kb.Escape); at.Name != "to-cancel" || !at.Visible {
		t.Errorf("after the dialog: %+v", at)
	}
	p.tabs(kb.Enter)
	for _, want := range []string{"Cancel", "Leave it"} {
		if at := p.tabs(kb.Tab); at.Name != want || !at.Visible {
			t.Errorf("in the dialog: %+v, want %q", at, want)
		}
	}
	p.tabs(kb.Enter)
	if at := evaluate[string](p, `document.activeElement.id + document.querySelectorAll("dialog[open]").length`); at != "to-cancel0" {
		t.Errorf("the dialog was left: %q", at)
	}
	p.tabs(kb.Enter)
	p.tabs(kb.Tab)
	if status := p.goes(chromedp.KeyEvent(kb.Enter)); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	p.says("The API answered 200 OK", "CANCELED")
}

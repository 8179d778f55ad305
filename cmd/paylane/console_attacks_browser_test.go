//go:build browser

package main

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/order"
)

// hostileTexts run a script, or send a request, in a page that takes them for markup. They fit
// into every field: an idempotency key has no space, a key of metadata 40 characters.
func hostileTexts() map[string]string {
	return map[string]string{
		"an element":    `</code><script>pwned()</script>`,
		"an attribute":  `"><svg/onload='pwned()'>`,
		"a quote":       `'onfocus='pwned()'autofocus='`,
		"another place": `</title></pre><img/src=//a.test/>`,
		"htmx":          `"><p/hx-get=/x/hx-trigger=load>`,
		"a template":    `{{.}}${pwned()}<!--`,
	}
}

// hostileGateway answers in a text of its own. It declines each charge over 1,000 and each refund
// of 1.
type hostileGateway struct {
	gateway.Provider
	text string
}

func (h hostileGateway) Charge(_ context.Context, r gateway.Request) (gateway.Receipt, error) {
	if r.Money.Amount > 1000 {
		return gateway.Receipt{}, &gateway.DeclinedError{Code: h.text, Message: h.text}
	}
	return gateway.Receipt{Ref: h.text}, nil
}

func (h hostileGateway) Refund(_ context.Context, r gateway.Request) (gateway.Receipt, error) {
	if r.Money.Amount == 1 {
		return gateway.Receipt{}, &gateway.DeclinedError{Code: h.text, Message: h.text}
	}
	return gateway.Receipt{Ref: h.text}, nil
}

// TestBrowserConsoleText: what callers, gateways and receivers write is text in the pages, whatever
// it is. A script that runs, or tries to, fails the test by the tab; so does a request that leaves.
func TestBrowserConsoleText(t *testing.T) {
	browser := openBrowser(t)
	for name, text := range hostileTexts() {
		t.Run(name, func(t *testing.T) {
			g := startConsole(t, func(c *config) {
				c.Gateway = hostileGateway{simulator.New(time.Now), text}
			})
			body := func(amount int64) string {
				t.Helper()
				written, err := json.Marshal(map[string]any{
					"customerId": text, "metadata": map[string]string{text: text},
					"items": []map[string]any{{"sku": text, "quantity": 1, "unitPrice": amount}},
				})
				if err != nil {
					t.Fatal(err)
				}
				return string(written)
			}
			paid := g.place(t, body(900), string(order.Paid), 1, "Idempotency-Key", text)
			failed := g.place(t, body(2000), string(order.Failed), 1)
			p := openTab(t, browser, g.url)
			// shows fails the test unless the page has the text in each of the places.
			shows := func(places ...string) {
				t.Helper()
				for _, place := range places {
					got := evaluate[string](p, `((e) => e ? e.value ?? e.textContent : "")(document.querySelector(`+quoted(place)+`))`)
					if !strings.Contains(got, text) {
						t.Errorf("%s is %q, without %q", place, got, text)
					}
				}
			}

			p.open("/console/orders/" + paid)
			// The payment's reference twice, the customer, the article, the metadata's key and value.
			if said := p.text(); strings.Count(said, text) != 6 {
				t.Errorf("the text is in the page %d times:\n%s", strings.Count(said, text), said)
			}
			for _, amount := range []string{"1", "2"} {
				p.clicks("#to-refund")
				p.fills("dialog[open] [name=amount]", amount)
				p.fills("dialog[open] [name=reason]", text)
				if status := p.follows(confirm); status != http.StatusAccepted {
					t.Errorf("refund: status %d", status)
				}
				p.awaits(shown("PAID"))
			}
			// Two reasons more, the code of one refund, and the reference of the other.
			if said := p.text(); strings.Count(said, text) != 10 {
				t.Errorf("after two refunds the text is in the page %d times:\n%s", strings.Count(said, text), said)
			}

			p.open("/console/orders/" + failed)
			shows(".story .bad p")
			p.clicks("#to-pay")
			p.fills("dialog[open] [name=paymentToken]", text)
			p.expect(http.StatusUnprocessableEntity)
			if status := p.follows(confirm); status != http.StatusUnprocessableEntity {
				t.Errorf("pay: status %d", status)
			}

			p.open("/console/orders?status=FAILED&customer=" + url.QueryEscape(text))
			shows("[name=customer]", "tbody td:nth-child(5)", "tbody small")
			p.open("/console/orders?q=" + url.QueryEscape(text)) // its idempotency key
			if got := evaluate[string](p, `location.pathname`); got != "/console/orders/"+paid {
				t.Errorf("the search leads to %s", got)
			}
			p.open("/console/orders?q=x" + url.QueryEscape(text))
			shows("[name=q]")
			for _, path := range []string{"orders?cursor=", "orders?status=", "orders/", "webhooks/", "assets/", ""} {
				p.expect(http.StatusBadRequest)
				p.expect(http.StatusNotFound)
				p.open("/console/" + path + url.QueryEscape(text))
			}

			p.open("/console/webhooks")
			p.fills("[name=url]", "http://127.0.0.1:9/"+text)
			status := p.follows("form.stack button")
			if status == http.StatusOK {
				shows("h2 code")
			} else {
				p.says("The API answered 422")
				shows("[name=url]")
			}
		})
	}
}

// quoted returns a text as JavaScript writes it.
func quoted(text string) string {
	written, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(written)
}

// form is a form of the console that acts.
type form struct {
	Action string
	Fields map[string]string
}

// forms are those of a page.
func (p *tab) forms() []form {
	p.Helper()
	return evaluate[[]form](p, `[...document.querySelectorAll("form[method=post]")].map((f) => ({
		Action: f.action, Fields: Object.fromEntries(new FormData(f)),
	}))`)
}

// with returns the form with another value in a field.
func (f form) with(name, value string) form {
	fields := map[string]string{name: value}
	for k, v := range f.Fields {
		if k != name {
			fields[k] = v
		}
	}
	return form{f.Action, fields}
}

// hostileSite serves what it is told to, at an origin of its own.
func hostileSite(t *testing.T) (origin string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><link rel="icon" href="data:,"><title>other</title>`+r.URL.Query().Get("html"))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// markup is the form as a page writes it.
func (f form) markup() string {
	var text strings.Builder
	text.WriteString(`<form method="post" action="` + html.EscapeString(f.Action) + `">`)
	for name, value := range f.Fields {
		text.WriteString(`<input name="` + html.EscapeString(name) + `" value="` + html.EscapeString(value) + `">`)
	}
	return text.String() + `</form>`
}

// fetch is an expression that sends the form from a script, and promises the status: 0 if the script
// may not know it.
func (f form) fetch() string {
	fields, err := json.Marshal(f.Fields)
	if err != nil {
		panic(err)
	}
	return `fetch(` + quoted(f.Action) + `, {method: "POST", mode: "no-cors", credentials: "include",
		body: new URLSearchParams(` + string(fields) + `)}).then((r) => r.status, () => 0)`
}

// TestBrowserConsoleForgery: no form of any page does anything that a page of another origin sends,
// even with the session's own token; nor with another token, even from the console's own origin.
func TestBrowserConsoleForgery(t *testing.T) {
	pages := consolePages(t)
	browser := openBrowser(t)
	kept := func(t *testing.T, g consoleRunner) (state string) {
		t.Helper()
		for _, path := range []string{"/orders?limit=100", "/webhooks"} {
			state += g.do(t, http.MethodGet, path, "", "").body
		}
		return state
	}
	stranger := openTab(t, browser, pages[0].on.url)
	stranger.open("/console/webhooks")
	strange := stranger.forms()[0].Fields["csrf"]

	attacked := make(map[string]bool)
	for _, row := range pages {
		if row.status != 0 {
			continue // it is about nothing
		}
		p := openTab(t, browser, row.on.url)
		p.T = t
		p.expect(http.StatusForbidden)
		near := hostileSite(t) // which the browser takes for the same site: only its port differs
		far := strings.Replace(near, "127.0.0.1", otherName, 1)
		p.visits(near)
		p.visits(far)
		p.open(row.path)
		before := kept(t, row.on)
		for _, f := range p.forms() {
			if attacked[f.Action] {
				continue
			}
			attacked[f.Action] = true
			if f.Fields["csrf"] == "" || f.Fields["csrf"] == strange {
				t.Fatalf("%s has the token %q", f.Action, f.Fields["csrf"])
			}
			p.open(row.path)
			for name, token := range map[string]string{"no token": "", "another session's token": strange} {
				if status := evaluate[int](p, f.with("csrf", token).fetch()); status != http.StatusForbidden {
					t.Errorf("%s with %s: %d", f.Action, name, status)
				}
			}
			for _, origin := range []string{near, far} {
				p.goes(chromedp.Navigate(origin + "/?html=" + url.QueryEscape(f.markup())))
				if status := evaluate[int](p, f.fetch()); status != 0 {
					t.Errorf("%s by fetch from %s: the page reads the status %d", f.Action, origin, status)
				}
				if status := p.goes(chromedp.Submit(chromedp.CSS("form"))); status != http.StatusForbidden {
					t.Errorf("%s from %s: %d", f.Action, origin, status)
				}
			}
		}
		if after := kept(t, row.on); after != before {
			t.Errorf("%s: what forgeries left:\n%s\nbefore:\n%s", row.name, after, before)
		}
		p.complains("NotSameOrigin") // since scripts there can't read the answers
	}
	if len(attacked) < 9 {
		t.Errorf("only %d forms were found: %v", len(attacked), attacked)
	}
}

// TestBrowserConsoleFrames: a page of another origin can't show the console inside itself.
func TestBrowserConsoleFrames(t *testing.T) {
	g := startConsole(t)
	browser := openBrowser(t)
	near := hostileSite(t)
	for _, origin := range []string{near, strings.Replace(near, "127.0.0.1", otherName, 1)} {
		p := openTab(t, browser, g.url)
		p.visits(origin)
		p.open("/console/orders")
		p.goes(chromedp.Navigate(origin + "/?html=" + url.QueryEscape(`<iframe src="`+g.url+`/console/orders"></iframe>`)))
		if !p.complains("frame-ancestors") {
			t.Errorf("%s: nothing forbids the frame", origin)
		}
		tree, err := chromedp.Call(p.ctx, cdppage.GetFrameTree, cdp.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range tree.FrameTree.ChildFrames { // a frame of another site is in another process
			if !strings.HasPrefix(child.Frame.URL, "chrome-error:") {
				t.Errorf("%s: the frame shows %s", origin, child.Frame.URL)
			}
		}
	}
}

//go:build browser

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"paylane/shared/queue"
)

// plant gives the tab a session of a token, as somebody who has stolen it would.
func (p *tab) plant(authorization string) {
	p.Helper()
	yes := true
	if _, err := chromedp.Call(p.ctx, network.SetCookie, network.SetCookieParams{
		Name: "paylane-session", Value: strings.TrimPrefix(authorization, "Bearer "), URL: p.origin, HTTPOnly: &yes,
	}); err != nil {
		p.Fatal(err)
	}
}

// TestBrowserConsoleSessions: a session shows and does what its own tenant may, until it ends.
func TestBrowserConsoleSessions(t *testing.T) {
	browser := openBrowser(t)
	var later atomic.Int64
	g := startTarget(t, withConsole, func(c *config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	const secret = "their customer"
	mine := g.of(t, "mine", everything)
	id := g.create(t, mine, `{"amount": 77, "paymentToken": "tok_declined", "customerId": "`+secret+`"}`)
	untouched := func() {
		t.Helper()
		if got := g.do(t, http.MethodGet, "/orders/"+id, mine, ""); !strings.Contains(got.body, `"version":3`) {
			t.Errorf("the order was changed: %s", got.body)
		}
	}

	t.Run("another tenant's", func(t *testing.T) {
		p := openTab(t, browser, g.url)
		p.plant(g.of(t, "other", everything))
		for _, path := range []string{"/console/orders/" + id, "/console/orders?q=" + id, "/console/orders?customer=" + strings.ReplaceAll(secret, " ", "+"), "/console/orders"} {
			p.expect(http.StatusNotFound)
			p.open(path)
			if said := p.text(); strings.Contains(said, "KRW") || strings.Contains(said, secret) {
				t.Errorf("%s shows another tenant's order:\n%s", path, said)
			}
		}
		p.expect(http.StatusUnauthorized)
		for _, path := range []string{"/orders/" + id, "/orders"} { // the cookie opens pages only
			if status := evaluate[int](p, `fetch(`+quoted(path)+`).then((r) => r.status)`); status != http.StatusUnauthorized {
				t.Errorf("a script of a page gets %d from %s", status, path)
			}
		}
		untouched()
	})

	t.Run("stolen, and ended", func(t *testing.T) {
		p := openTab(t, browser, g.url)
		p.plant(mine)
		if status := p.open("/console/orders/" + id); status != http.StatusOK {
			t.Fatalf("status %d:\n%s", status, p.text())
		}
		p.says("FAILED", secret)
		if cookies := evaluate[string](p, `document.cookie`); cookies != "" {
			t.Errorf("a script reads %q", cookies)
		}
		p.clicks("#to-pay")
		p.fills("dialog[open] [name=paymentToken]", "tok_ok")
		later.Store(int64(2 * time.Hour))
		defer later.Store(0)
		p.expect(http.StatusUnauthorized)
		if status := p.follows(confirm); status != http.StatusUnauthorized {
			t.Errorf("an action after the session's end: status %d:\n%s", status, p.text())
		}
		p.says("Sign in")
		later.Store(0)
		untouched()
	})
}

// TestBrowserConsolePoison: what strangers put into queues is text in every page of them.
func TestBrowserConsolePoison(t *testing.T) {
	s := newStill(t)
	server := httptest.NewServer(s.console)
	t.Cleanup(server.Close)
	browser := openBrowser(t)
	var bodies []string
	for _, text := range hostileTexts() {
		bodies = append(bodies, text, `{"version":1,"kind":"charge","tenant":`+quoted(text)+`,"orderId":"210e0dd2-3f47-567d-9dbb-0177d4b282a8","round":1}`)
	}
	bodies = append(bodies, "right\u202eto left", "\u007f\u0085\u200b", strings.Repeat("W", 200<<10), strings.Repeat("<b>", 5000))
	for _, id := range []string{"PaymentQueue", "PaymentDLQ", "WebhookQueue", "WebhookDLQ", "FanoutDLQ"} {
		q, name := s.at(t, id)
		for _, body := range bodies {
			if _, err := q.Send(t.Context(), body, 0); err != nil {
				t.Fatal(err)
			}
		}
		// A message is shown once it is durable.
		if got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 1, Wait: 5 * time.Second}); err != nil || len(got) != 1 {
			t.Fatalf("%d messages, %v", len(got), err)
		}
		t.Run(id, func(t *testing.T) {
			p := openTab(t, browser, server.URL)
			for _, v := range views() {
				p.look(v)
				if status := p.open("/console/queues/" + name); status != http.StatusOK {
					t.Fatalf("status %d", status)
				}
				// In hidden parts of the page, too.
				said := evaluate[string](p, `document.body.textContent`)
				for _, text := range hostileTexts() {
					if !strings.Contains(said, text) {
						t.Errorf("%s: the page does not say %q", v.name, text)
					}
				}
				if strings.ContainsAny(said, "\u202e\u200b") {
					t.Errorf("%s: a character that hides others is in the page", v.name)
				}
				if wide := evaluate[bool](p, `document.documentElement.scrollWidth > document.documentElement.clientWidth`); wide {
					t.Errorf("%s: the page scrolls sideways", v.name)
				}
			}
		})
	}
}

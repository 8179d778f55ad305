//go:build browser

package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"paylane/shared/console"
)

// TestBrowserSignIn signs in and out by clicking. The runner's two names are two origins to a
// browser: nothing on the way there and back may be against a page's policy.
func TestBrowserSignIn(t *testing.T) {
	g := startDevelopment(t)
	url := "http://localhost" + g.url[strings.LastIndex(g.url, ":"):]
	browser, cancel := context.WithTimeout(openBrowser(t), time.Minute)
	defer cancel()
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(browser, steps...); err != nil {
			text, _ := chromedp.Run(context.WithoutCancel(browser), chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
			t.Fatalf("%s: %v at %s", what, err, text)
		}
	}
	const issuers, consoles = `button[name="refuse"]`, `.who`
	do("a page leads to the issuer's", chromedp.Navigate(url+"/console/orders"), chromedp.WaitVisible(issuers))
	do("the form leads back", chromedp.Click(`form button:not([name])`), chromedp.WaitVisible(consoles))
	text, err := chromedp.Run(browser, chromedp.Evaluate[string](`location.href + document.querySelector(".who").innerText`))
	if err != nil || text != url+"/console/ordersdeveloper · tenant a" {
		t.Errorf("%q, %v", text, err)
	}
	if script, err := chromedp.Run(browser, chromedp.Evaluate[string](`document.cookie`)); err != nil || script != "" {
		t.Errorf("a script sees %q, %v", script, err)
	}
	if _, err := chromedp.Call(browser, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	do("a form of a session that has ended leads to the issuer's", chromedp.Click(`.filters button`), chromedp.WaitVisible(issuers))
	do("and back", chromedp.Click(`form button:not([name])`), chromedp.WaitVisible(consoles))
	do("signing out", chromedp.Click(`form[action="/console/signout"] button`), chromedp.WaitVisible(`a.button[href^="/console/signin"]`))
	// A session that somebody planted meanwhile is not the one after signing in.
	planted := signIn(t, g.url, as("attacker", "orders/read")).cookie(t, "paylane-session")
	if _, err := chromedp.Call(browser, network.SetCookie, network.SetCookieParams{Name: "paylane-session", Value: planted, URL: url, Path: console.Root}); err != nil {
		t.Fatal(err)
	}
	do("and in again", chromedp.Click(`a.button[href^="/console/signin"]`), chromedp.WaitVisible(issuers))
	do("over a planted session", chromedp.Click(`form button:not([name])`), chromedp.WaitVisible(consoles))
	text, err = chromedp.Run(browser, chromedp.Evaluate[string](`document.querySelector(".who").innerText`))
	if err != nil || text != "developer · tenant a" {
		t.Errorf("%q, %v", text, err)
	}
}

//go:build browser

package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/accesstoken/tokentest"
)

// reboundName is a name that leads the browser to this machine, as one does whose owner
// rebinds it; otherName is that of another site, which is here, too.
const (
	reboundName = "rebind.test"
	otherName   = "other.test"
)

// openBrowser starts a browser with a page of its own until the test ends.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, // it runs as root in containers, and loads only this test's pages
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP "+reboundName+" 127.0.0.1, MAP "+otherName+" 127.0.0.1"))
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts it, so that it can have more pages
		t.Fatal(err)
	}
	return ctx
}

// site serves an empty page at an origin of its own. Its form posts JSON as text
// to the address that the query names.
func site(t *testing.T) (origin string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><title>shop</title><form method="post" enctype="text/plain" action="`+r.URL.Query().Get("to")+`">`+
			`<input name='{"amount": 1, "customerId": "' value='"}'></form>`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// visit opens a page, and returns the status and the text of what came.
func visit(t *testing.T, browser context.Context, step chromedp.Action[chromedp.Void]) (status int, text string) {
	t.Helper()
	response, err := chromedp.RunResponse(browser, step)
	if err != nil {
		t.Fatal(err)
	}
	text, err = chromedp.Run(browser, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil {
		t.Fatal(err)
	}
	return int(response.Status), text
}

// fetched is how a request of a page ended. Each field is what the page could read.
type fetched struct {
	Error  string // of fetch
	Status int
	Type   string // "opaque" if the page can't read the response
	Header map[string]string
	Body   string
}

// fetches has the browser's page send a request with fetch; init is JavaScript. It reads the
// body up to what ends an event.
func fetches(t *testing.T, browser context.Context, url, init string) fetched {
	t.Helper()
	got, err := chromedp.Run(browser, chromedp.Evaluate[fetched](`(async () => {
		try {
			const r = await fetch("`+url+`", `+init+`)
			let body = ""
			if (r.body && r.headers.get("content-type") === "text/event-stream") {
				const reader = r.body.pipeThrough(new TextDecoderStream()).getReader()
				for (let part; !/event: order[^]*\n\n$/.test(body) && !(part = await reader.read()).done;) body += part.value
				await reader.cancel()
			} else {
				body = await r.text()
			}
			return {Status: r.status, Type: r.type, Header: Object.fromEntries(r.headers), Body: body}
		} catch (e) {
			return {Error: String(e)}
		}
	})()`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// corsError is what a page learns of a request that CORS refuses.
var corsError = fetched{Error: "TypeError: Failed to fetch"}

// TestBrowserOrigins: a page of an allowed origin does everything with a token, and reads
// what the headers say. A page of another origin does nothing with the same token.
func TestBrowserOrigins(t *testing.T) {
	issuer := tokentest.New(t, "")
	server := httptest.NewServer(issuer)
	defer server.Close()
	issuer.URL = server.URL
	shop, other := site(t), site(t)
	c := testConfig(t)
	c.Access = access{Tokens: true, Issuer: issuer.URL, Audience: tokentest.Audience}
	c.Parameters = map[string]string{"AllowedOrigins": "https://shop.test," + shop}
	g := target{url: startRunner(t, c), issuer: issuer}
	token := g.of(t, "mine", everything)
	with := func(method, more string) string {
		return `{method: "` + method + `", headers: {Authorization: "` + token + `", ` + more + `}, body: "` +
			map[string]string{"POST": `{\"amount\": 5}`}[method] + `" || undefined}`
	}
	post := with("POST", `"Content-Type": "application/json", "Idempotency-Key": "of-a-page", Prefer: "respond-async"`)
	browser := openBrowser(t)

	visit(t, browser, chromedp.Navigate(other))
	for name, init := range map[string]string{
		"POST": post, "GET": with("GET", ""), "GET without a token": "{}", "HEAD": with("HEAD", ""),
	} {
		if d := cmp.Diff(corsError, fetches(t, browser, g.url+"/orders", init)); d != "" {
			t.Errorf("another origin's %s (-want +got):\n%s", name, d)
		}
	}
	if got := g.do(t, http.MethodGet, "/orders", token, ""); strings.Contains(got.body, `"id"`) {
		t.Errorf("what was refused made orders: %s", got.body)
	}

	visit(t, browser, chromedp.Navigate(shop))
	made := fetches(t, browser, g.url+"/orders", post)
	if made.Status != http.StatusCreated || made.Header["location"] == "" || made.Header["link"] == "" || made.Header["apigw-requestid"] == "" {
		t.Fatalf("POST: %+v", made)
	}
	if again := fetches(t, browser, g.url+"/orders", post); again.Header["idempotency-replayed"] != "true" || again.Header["location"] != made.Header["location"] {
		t.Errorf("the same POST: %+v", again)
	}
	order := g.url + made.Header["location"]
	paid := fetches(t, browser, order, with("GET", `Prefer: "wait=20"`))
	if paid.Status != http.StatusOK || !strings.Contains(paid.Body, `"status":"PAID"`) || paid.Header["etag"] == "" {
		t.Fatalf("GET: %+v", paid)
	}
	tag := strings.ReplaceAll(paid.Header["etag"], `"`, `\"`)
	if same := fetches(t, browser, order, with("GET", `"If-None-Match": "`+tag+`"`)); same.Status != http.StatusNotModified {
		t.Errorf("GET with the ETag: %+v", same)
	}
	if events := fetches(t, browser, order+"/events", with("GET", `"Last-Event-ID": "1"`)); !strings.Contains(events.Body, `"status":"PAID"`) {
		t.Errorf("the events: %+v", events)
	}
	if got := fetches(t, browser, g.url+"/orders", "{}"); got.Status != http.StatusUnauthorized || got.Header["www-authenticate"] != "Bearer" {
		t.Errorf("without a token: %+v", got)
	}
	visit(t, browser, chromedp.Navigate(other))
	if d := cmp.Diff(corsError, fetches(t, browser, order+"/events", with("GET", ""))); d != "" {
		t.Errorf("another origin's events (-want +got):\n%s", d)
	}
}

// TestBrowserWithoutTokens: the local program takes requests of its own pages and of an
// allowed origin's, but none of other pages, and none for a name that was rebound.
func TestBrowserWithoutTokens(t *testing.T) {
	shop, other := site(t), site(t)
	c := testConfig(t)
	c.Parameters = map[string]string{"AllowedOrigins": shop}
	g := target{url: startRunner(t, c)}
	browser := openBrowser(t)
	const post = `{method: "POST", headers: {"Content-Type": "application/json"}, body: '{"amount": 5}'}`
	const simple = `{method: "POST", mode: "no-cors", body: '{"amount": 5}'}`
	none := func() {
		t.Helper()
		if got := g.do(t, http.MethodGet, "/orders", "", ""); got.status != http.StatusOK || strings.Contains(got.body, `"id"`) {
			t.Errorf("orders were made: %d %s", got.status, got.body)
		}
	}

	visit(t, browser, chromedp.Navigate(other))
	for name, init := range map[string]string{"POST": post, "GET": "{}"} {
		if d := cmp.Diff(corsError, fetches(t, browser, g.url+"/orders", init)); d != "" {
			t.Errorf("another origin's %s (-want +got):\n%s", name, d)
		}
	}
	if got := fetches(t, browser, g.url+"/orders", simple); got.Type != "opaque" {
		t.Errorf("another origin's POST without CORS: %+v", got)
	}
	visit(t, browser, chromedp.Navigate(other+"/form?to="+g.url+"/orders"))
	status, text := visit(t, browser, chromedp.Submit("form"))
	if status != http.StatusForbidden || !strings.Contains(text, other) {
		t.Errorf("another origin's form: %d %s", status, text)
	}
	none()

	rebound := strings.Replace(g.url, "127.0.0.1", reboundName, 1)
	if status, text := visit(t, browser, chromedp.Navigate(rebound+"/docs")); status != http.StatusMisdirectedRequest || !strings.Contains(text, g.url) {
		t.Errorf("a rebound name: %d %s", status, text)
	}
	for name, init := range map[string]string{"POST": post, "GET": "{}"} { // of the same origin, as far as the browser knows
		if got := fetches(t, browser, rebound+"/orders", init); got.Status != http.StatusMisdirectedRequest || got.Type != "basic" {
			t.Errorf("%s for a rebound name: %+v", name, got)
		}
	}
	none()

	for name, origin := range map[string]string{"an allowed origin": shop, "the same origin": g.url + "/healthz"} {
		if status, text := visit(t, browser, chromedp.Navigate(origin)); status != http.StatusOK {
			t.Errorf("%s: %d %s", name, status, text)
		}
		made := fetches(t, browser, g.url+"/orders", post)
		if made.Status != http.StatusCreated || made.Header["location"] == "" {
			t.Errorf("%s: %+v", name, made)
			continue
		}
		if events := fetches(t, browser, g.url+made.Header["location"]+"/events", "{}"); events.Status != http.StatusOK || events.Body == "" {
			t.Errorf("%s: the events: %+v", name, events)
		}
	}
}

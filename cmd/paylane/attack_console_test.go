package main

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// consoleActions are the actions of the console; {id} is an order's.
func consoleActions() []string {
	return []string{
		"/console/orders/{id}/cancel", "/console/orders/{id}/refund", "/console/orders/{id}/retry", "/console/orders/{id}/pay",
		"/console/signout", "/console/tenant",
	}
}

// withConsole lets people sign in to the console of a target.
func withConsole(c *config) { c.Access.ConsoleClient = "console" }

// visit returns a browser with a session of a token.
func (g target) visit(t *testing.T, authorization string) *person {
	t.Helper()
	v := newPerson(t, g.url)
	v.plant(t, "paylane-session", strings.TrimPrefix(authorization, "Bearer "))
	return v
}

// TestAttackSessions: only a good token is a session, for as long as it is good.
func TestAttackSessions(t *testing.T) {
	var later atomic.Int64
	g := startTarget(t, withConsole, func(c *config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	good := g.of(t, "mine", everything)
	v := g.visit(t, good)
	if got := v.open(t, "/console/orders"); got.status != http.StatusOK || !strings.Contains(got.body, "tenant <b>mine</b>") {
		t.Fatalf("a good token: %d %s", got.status, got.body)
	}
	id := g.create(t, good, `{"amount": 1, "paymentToken": "tok_declined"}`)
	form := v.form(t)
	attacks := g.issuer.Bad(t, time.Now(), map[string]any{"client_id": "mine", "scope": everything})
	for _, soon := range []string{"not yet valid", "issued in the future"} { // by a second: the runner's clock is real
		delete(attacks, soon)
	}
	maps.Copy(attacks, map[string]string{"empty": "", "two tokens": good[len("Bearer "):] + good, "with its scheme": "Bearer " + good})
	refused := func(t *testing.T, v *person) {
		t.Helper()
		if got := v.open(t, "/console/orders/"+id); got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), "/console/signin?to=") || strings.Contains(got.body, "FAILED") {
			t.Errorf("a page: %d %v %s", got.status, got.header, got.body)
		}
		if got := v.open(t, "/console/orders/"+id, "HX-Request", "true"); got.status != http.StatusUnauthorized || got.header.Get("HX-Redirect") == "" || strings.Contains(got.body, "FAILED") {
			t.Errorf("a page that refreshes itself: %d %v %s", got.status, got.header, got.body)
		}
		for _, action := range consoleActions() {
			if got := v.send(t, http.MethodPost, strings.Replace(action, "{id}", id, 1), url.Values{"csrf": {form}, "paymentToken": {"tok_ok"}}); got.status != http.StatusUnauthorized {
				t.Errorf("%s: %d %s", action, got.status, got.body)
			}
		}
	}
	for name, token := range attacks {
		t.Run(name, func(t *testing.T) { refused(t, g.visit(t, token)) })
	}
	t.Run("two cookies", func(t *testing.T) {
		v := newPerson(t, g.url)
		if got := v.open(t, "/console/orders", "Cookie", "paylane-session="+good[len("Bearer "):]+"; paylane-session=planted"); got.status != http.StatusSeeOther {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	t.Run("in a header, or the query", func(t *testing.T) {
		v := newPerson(t, g.url)
		if got := v.open(t, "/console/orders?access_token="+good[len("Bearer "):], "Authorization", good); got.status != http.StatusSeeOther {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	t.Run("expired meanwhile", func(t *testing.T) {
		later.Store(int64(2 * time.Hour))
		refused(t, v)
		later.Store(0)
	})
	if got := g.do(t, http.MethodGet, "/orders/"+id, good, ""); !strings.Contains(got.body, `"version":3`) {
		t.Errorf("the order was changed: %s", got.body)
	}
	if text := g.log.String(); strings.Contains(text, good[len("Bearer "):]) || strings.Contains(text, "level=ERROR") {
		t.Errorf("the log is:\n%s", text)
	}
}

// TestAttackSignIn: a sign-in belongs to the browser that began it, and replaces what was there.
func TestAttackSignIn(t *testing.T) {
	g := startDevelopment(t)
	all := as("mine", "orders/read", "orders/operate")
	t.Run("a session that was planted", func(t *testing.T) {
		attackers := signIn(t, g.url, as("attacker", "orders/read")).cookie(t, "paylane-session")
		v := newPerson(t, g.url)
		v.plant(t, "paylane-session", attackers)
		got := v.open(t, "/console/signin?to=/console/orders")
		got = v.open(t, v.choose(t, got.header.Get("Location"), all))
		if now := v.cookie(t, "paylane-session"); got.status != http.StatusSeeOther || now == attackers || now == "" {
			t.Errorf("%d, the session is the attacker's: %v", got.status, now == attackers)
		}
		if page := v.open(t, "/console/orders"); !strings.Contains(page.body, "tenant <b>mine</b>") {
			t.Errorf("%d %s", page.status, page.body)
		}
	})
	t.Run("an attacker's answer in another browser", func(t *testing.T) {
		attacker, victim := newPerson(t, g.url), newPerson(t, g.url)
		back := attacker.choose(t, attacker.toIssuer(t, "/console"), as("attacker", "orders/read"))
		for name, begin := range map[string]func(){"that began nothing": func() {}, "that began to sign in": func() { victim.toIssuer(t, "/console") }} {
			begin()
			if got := victim.open(t, back); got.status != http.StatusBadRequest || victim.cookie(t, "paylane-session") != "" {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
	})
	t.Run("states mixed up", func(t *testing.T) {
		v := newPerson(t, g.url)
		first := v.choose(t, v.toIssuer(t, "/console"), all)
		v.toIssuer(t, "/console")
		if got := v.open(t, first); got.status != http.StatusBadRequest || v.cookie(t, "paylane-session") != "" {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	t.Run("an answer twice", func(t *testing.T) {
		v := newPerson(t, g.url)
		back := v.choose(t, v.toIssuer(t, "/console"), all)
		state := v.cookie(t, "paylane-signin")
		if got := v.open(t, back); got.status != http.StatusSeeOther {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if got := v.open(t, back); got.status != http.StatusBadRequest {
			t.Errorf("again: %d %s", got.status, got.body)
		}
		v.plant(t, "paylane-signin", state)
		if got := v.open(t, back); got.status != http.StatusForbidden || !strings.Contains(got.body, "did not take the code") {
			t.Errorf("with the state restored: %d %s", got.status, got.body)
		}
	})
	t.Run("another's code", func(t *testing.T) {
		attacker, victim := newPerson(t, g.url), newPerson(t, g.url)
		theirs, err := url.Parse(attacker.choose(t, attacker.toIssuer(t, "/console"), as("attacker", "orders/read")))
		if err != nil {
			t.Fatal(err)
		}
		own, err := url.Parse(victim.choose(t, victim.toIssuer(t, "/console"), all))
		if err != nil {
			t.Fatal(err)
		}
		query := own.Query()
		query.Set("code", theirs.Query().Get("code"))
		own.RawQuery = query.Encode()
		if got := victim.open(t, own.String()); got.status != http.StatusForbidden || victim.cookie(t, "paylane-session") != "" {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	t.Run("an address to go to afterwards", func(t *testing.T) {
		for _, to := range []string{"//evil.test", `/\evil.test`, `\\evil.test`, "https://evil.test", "https:evil.test", "javascript:alert(1)", "/console/..//evil.test", "/console/%2e%2e/%2e%2e/evil", "%2f%2fevil.test", "/orders", "/console/callback?code=x"} {
			v := newPerson(t, g.url)
			got := v.open(t, "/console/signin?to="+url.QueryEscape(to))
			got = v.open(t, v.choose(t, got.header.Get("Location"), all))
			if at := got.header.Get("Location"); got.status != http.StatusSeeOther || at != "/console" {
				t.Errorf("%q leads to %q", to, at)
			}
		}
	})
	t.Run("scripts at the cookie", func(t *testing.T) {
		v := newPerson(t, g.url)
		got := v.open(t, v.choose(t, v.toIssuer(t, "/console"), all))
		for _, cookie := range got.header.Values("Set-Cookie") {
			if !strings.Contains(cookie, "; HttpOnly") || !strings.Contains(cookie, "; SameSite=Lax") || !strings.Contains(cookie, "; Path=/console;") || strings.Contains(cookie, "Domain") {
				t.Errorf("the cookie is %s", cookie)
			}
		}
		token := v.cookie(t, "paylane-session")
		if page := v.open(t, "/console/orders"); token == "" || strings.Contains(page.body, token) || strings.Contains(g.log.String(), token) {
			t.Errorf("the token is on the page, or in the log: %s", page.body)
		}
	})
}

// TestAttackConsoleTenants: a session sees and changes its own tenant's orders, and changes none
// without the operator's scope.
func TestAttackConsoleTenants(t *testing.T) {
	g := startTarget(t, withConsole)
	theirs := g.of(t, "theirs", everything)
	id := g.create(t, theirs, `{"amount": 424242, "paymentToken": "tok_declined", "customerId": "alice"}`, "Idempotency-Key", "the-same")
	before := g.do(t, http.MethodGet, "/orders/"+id, theirs, "", "Prefer", "wait=20").body
	if !strings.Contains(before, `"status":"FAILED"`) {
		t.Fatal(before)
	}
	mine := g.visit(t, g.of(t, "mine", everything))
	form := mine.form(t)
	for _, page := range []string{"/console/orders/" + id, "/console/orders", "/console/orders?customer=alice", "/console/orders?q=" + id, "/console/orders?q=the-same", "/console/orders?tenant=theirs", "/console/orders/" + id + "?tenant=theirs"} {
		got := mine.open(t, page)
		if strings.Contains(got.body, "4242.42") || strings.Contains(got.body, "424242") || strings.Contains(got.body, "424,242") || got.status == http.StatusSeeOther {
			t.Errorf("%s: %d %s", page, got.status, got.body)
		}
		if strings.HasPrefix(page, "/console/orders/") && got.status != http.StatusNotFound {
			t.Errorf("%s: %d", page, got.status)
		}
	}
	for _, row := range []struct {
		name   string
		person *person
		form   string
		status int
	}{
		{"another tenant's", mine, form, http.StatusNotFound},
		{"a reader's", g.visit(t, g.of(t, "theirs", "orders/read orders/write")), "", http.StatusForbidden},
		{"a tenant that claims to be all", g.visit(t, g.of(t, "*", "orders/read orders/write")), "", http.StatusForbidden},
		{"an operator of no tenant yet", g.visit(t, g.of(t, "*", everything)), "", http.StatusForbidden},
	} {
		if row.form == "" {
			row.form = row.person.form(t)
		}
		for _, action := range consoleActions() {
			if !strings.Contains(action, "{id}") {
				continue
			}
			got := row.person.send(t, http.MethodPost, strings.Replace(action, "{id}", id, 1)+"?tenant=theirs", url.Values{"csrf": {row.form}, "paymentToken": {"tok_ok"}, "tenant": {"theirs"}})
			if got.status != row.status {
				t.Errorf("%s: %s: %d %s", row.name, action, got.status, got.body)
			}
		}
	}
	for _, claimed := range []string{"orders/read orders/write", ""} {
		if got := g.visit(t, g.of(t, "*", claimed)).open(t, "/console/orders?tenant=theirs"); got.status != http.StatusForbidden || strings.Contains(got.body, "name one above") {
			t.Errorf("a tenant that claims to be all, with %q: %d %s", claimed, got.status, got.body)
		}
	}
	if got := g.visit(t, g.of(t, "theirs", "orders/read")).open(t, "/console/orders/"+id); got.status != http.StatusOK || strings.Contains(got.body, "data-dialog") {
		t.Errorf("a reader's page: %d %s", got.status, got.body)
	}
	if got := g.do(t, http.MethodGet, "/orders/"+id, theirs, "").body; got != before {
		t.Errorf("the order was changed:\n%s%s", before, got)
	}
}

// TestAttackConsoleForms: an action is taken from a form of its session alone, and no page of the
// console shows in another's frame.
func TestAttackConsoleForms(t *testing.T) {
	g := startTarget(t, withConsole)
	mine := g.of(t, "mine", everything)
	id := g.create(t, mine, `{"amount": 1, "paymentToken": "tok_declined"}`)
	before := g.do(t, http.MethodGet, "/orders/"+id, mine, "", "Prefer", "wait=20").body
	v := g.visit(t, mine)
	form := v.form(t)
	other := g.visit(t, g.of(t, "mine", everything+" other")).form(t)
	if form == other {
		t.Fatal("two sessions have the same forms")
	}
	for _, action := range consoleActions() {
		action := strings.Replace(action, "{id}", id, 1)
		for _, tt := range []struct {
			name   string
			form   string
			header []string
		}{
			{"no token", "", nil},
			{"another session's token", other, nil},
			{"half of the token", form[:len(form)/2], nil},
			{"from another site", form, []string{"Sec-Fetch-Site", "cross-site"}},
			{"from another subdomain", form, []string{"Sec-Fetch-Site", "same-site"}},
			{"from another origin", form, []string{"Origin", "https://evil.test"}},
			{"from another port", form, []string{"Origin", "http://127.0.0.1:1"}},
			{"from a sandbox", form, []string{"Origin", "null"}},
		} {
			got := v.send(t, http.MethodPost, action, url.Values{"csrf": {tt.form}, "paymentToken": {"tok_ok"}, "tenant": {"other"}}, tt.header...)
			if got.status != http.StatusForbidden || len(got.header.Values("Set-Cookie")) > 0 {
				t.Errorf("%s %s: %d %v", action, tt.name, got.status, got.header)
			}
		}
		if got := v.send(t, http.MethodPost, action+"?csrf="+form, url.Values{}); got.status != http.StatusForbidden {
			t.Errorf("%s with the token in the query: %d", action, got.status)
		}
		if got := v.open(t, action+"?csrf="+form); got.status == http.StatusOK && action != "/console/signout" || len(got.header.Values("Set-Cookie")) > 0 {
			t.Errorf("GET %s: %d %v", action, got.status, got.header)
		}
	}
	for _, page := range []string{"/console", "/console/", "/console/orders", "/console/orders/" + id, "/console/signin", "/console/callback", "/console/signout", "/console/nothing"} {
		for who, v := range map[string]*person{"signed in": v, "nobody": newPerson(t, g.url)} {
			got := v.open(t, page)
			policy := got.header.Get("Content-Security-Policy")
			if got.header.Get("X-Frame-Options") != "DENY" || !slices.Contains(strings.Split(policy, "; "), "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") ||
				got.header.Get("Cache-Control") != "private, no-store" || got.header.Get("Cross-Origin-Opener-Policy") != "same-origin" {
				t.Errorf("%s, %s: %v", page, who, got.header)
			}
		}
	}
	if got := g.do(t, http.MethodGet, "/orders/"+id, mine, "").body; got != before {
		t.Errorf("the order was changed:\n%s%s", before, got)
	}
	if got := v.send(t, http.MethodPost, "/console/orders/"+id+"/pay", url.Values{"csrf": {form}, "paymentToken": {"tok_ok"}}); got.status != http.StatusAccepted {
		t.Errorf("its own form: %d %s", got.status, got.body)
	}
}

// TestAttackOldForms: a form of a session that has ended is not taken in the next one.
func TestAttackOldForms(t *testing.T) {
	g := startDevelopment(t)
	all := as("mine", "orders/read", "orders/operate")
	v := signIn(t, g.url, all)
	form := v.form(t)
	session := v.cookie(t, "paylane-session")
	for v.cookie(t, "paylane-session") == session { // a token of the same second is the same
		got := v.open(t, "/console/signin")
		v.open(t, v.choose(t, got.header.Get("Location"), all))
	}
	if got := v.send(t, http.MethodPost, "/console/signout", url.Values{"csrf": {form}}); got.status != http.StatusForbidden || v.cookie(t, "paylane-session") == "" {
		t.Errorf("%d %v", got.status, got.header)
	}
}

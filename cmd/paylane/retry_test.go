package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRetry: after an outage, the orders that FAILED are retried in bulk: those of the
// token's tenant, or of the one that an operator over all names.
func TestRetry(t *testing.T) {
	g := startTarget(t, func(c *config) { c.Parameters = map[string]string{"MaxAttempts": "1"} })
	token := func(tenant, scope string) string { return strings.TrimPrefix(g.of(t, tenant, scope), "Bearer ") }
	ended := func(tenant, id string) (status string) {
		t.Helper()
		var o struct{ Status string }
		got := g.do(t, http.MethodGet, "/orders/"+id, g.of(t, tenant, everything), "", "Prefer", "wait=20")
		if err := json.Unmarshal([]byte(got.body), &o); err != nil {
			t.Fatal(err)
		}
		return o.Status
	}
	place := func(tenant, payment, want string) string {
		t.Helper()
		id := g.create(t, g.of(t, tenant, everything), `{"amount": 1, "paymentToken": "`+payment+`"}`)
		if got := ended(tenant, id); got != want {
			t.Fatalf("an order with %s is %s, want %s", payment, got, want)
		}
		return id
	}
	shops := []string{place("shop", "tok_flaky_1", "FAILED"), place("shop", "tok_flaky_1", "FAILED")}
	place("shop", "tok_declined", "FAILED")
	place("shop", "tok_ok", "PAID")
	mills := place("mill", "tok_flaky_1", "FAILED")
	slices.Reverse(shops) // newest first

	command := func(token string, more ...string) outcome {
		return execute(t, append([]string{"retry", "--url", g.url, "--token", token, "--since", "1h", "--rate", "100"}, more...)...)
	}
	list := strings.Join(shops, "\n") + "\n"
	own := token("shop", everything)
	for _, step := range []struct {
		name string
		got  func() outcome
		want outcome
	}{
		{"a dry run", func() outcome { return command(own, "--dry-run") }, outcome{exitOK, list, "2 would be retried\n"}},
		{"later orders only", func() outcome { return command(own, "--since", time.Now().Add(time.Second).Format(time.RFC3339)) },
			outcome{exitOK, "", "0 found, 0 retried, 0 changed meanwhile, 0 failed\n"}},
		{"another code", func() outcome { return command(own, "--code", "not_processed") },
			outcome{exitOK, "", "0 found, 0 retried, 0 changed meanwhile, 0 failed\n"}},
		{"a token of one tenant, for another", func() outcome { return command(own, "--tenant", "mill") },
			outcome{exitFailed, "", "0 found, 0 retried, 0 changed meanwhile, 0 failed\npaylane retry: the token is not of an operator " +
				"over all tenants: omit --tenant, and the orders are those of its own tenant\n"}},
		{"a token that may not retry", func() outcome { return command(token("shop", "orders/read")) },
			outcome{exitFailed, "", "2 found, 0 retried, 0 changed meanwhile, 0 failed\npaylane retry: retry the order " + shops[0] +
				": the answer is 403 Forbidden: the token needs the scope orders/operate\n"}},
		{"its own", func() outcome { return command(own) }, outcome{exitOK, list, "2 found, 2 retried, 0 changed meanwhile, 0 failed\n"}},
		{"again, when they are paid", func() outcome {
			for _, id := range shops {
				if got := ended("shop", id); got != "PAID" {
					t.Errorf("after the retry an order is %s", got)
				}
			}
			return command(own)
		}, outcome{exitOK, "", "0 found, 0 retried, 0 changed meanwhile, 0 failed\n"}},
		{"another's, by an operator over all", func() outcome { return command(token("*", everything), "--tenant", "mill") },
			outcome{exitOK, mills + "\n", "1 found, 1 retried, 0 changed meanwhile, 0 failed\n"}},
	} {
		if diff := cmp.Diff(step.want, step.got(), cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	if got := command(token("*", everything)); got.status != exitFailed || !strings.Contains(got.err, "list the orders: 400: ") {
		t.Errorf("an operator who names no tenant: %+v", got)
	}
}

// TestRetryOfMany: the list is followed to the time asked for; an order is retried in the
// version that was listed, again if the answer is that it came too soon; and one that can't
// be retried does not keep the others.
func TestRetryOfMany(t *testing.T) {
	asked := map[string]int{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		page := map[string]string{
			"": `{"orders": [], "next": "p2"}`,
			"p2": `{"orders": [{"id": "a", "version": 4, "createdAt": "2026-11-01T10:00:00Z", "failure": {"code": "gateway_unavailable"}},
				{"id": "x", "version": 4, "createdAt": "2026-11-01T09:59:00Z", "failure": {"code": "expired_card"}},
				{"id": "b", "version": 5, "createdAt": "2026-11-01T09:58:00Z", "failure": {"code": "gateway_unavailable"}}], "next": "p3"}`,
			"p3": `{"orders": [{"id": "c", "version": 6, "createdAt": "2026-11-01T09:57:00Z", "failure": {"code": "gateway_unavailable"}},
				{"id": "d", "version": 7, "createdAt": "2026-11-01T09:00:00Z", "failure": {"code": "gateway_unavailable"}},
				{"id": "early", "version": 8, "createdAt": "2026-11-01T08:59:59Z", "failure": {"code": "gateway_unavailable"}}], "next": "p4"}`,
		}[r.FormValue("cursor")]
		if r.FormValue("status") != "FAILED" || page == "" {
			t.Errorf("asked for %s", r.URL)
		}
		fmt.Fprint(w, page)
	})
	mux.HandleFunc("POST /orders/{id}/retry", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id") + r.Header.Get("If-Match")
		asked[id]++
		w.Header().Set("Retry-After", "0")
		switch {
		case r.PathValue("id") == "a" && asked[id] < 3:
			w.WriteHeader(http.StatusTooManyRequests)
		case r.PathValue("id") == "b":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"detail": "try again later"}`)
		case r.PathValue("id") == "c":
			w.WriteHeader(http.StatusPreconditionFailed)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	got := executeOn(t, true, "retry", "--url", server.URL, "--since", "2026-11-01T09:00:00Z", "--rate", "100")
	if got.status != exitFailed || got.out != "a\nd\n" {
		t.Errorf("the exit status is %d, the output %q", got.status, got.out)
	}
	for _, text := range []string{
		"] 3 of 4", "4 found, 2 retried, 1 changed meanwhile, 1 failed\n", "\x1b[31mpaylane retry:\x1b[m retry the order b: 500: try again later\n",
	} {
		if !strings.Contains(got.err, text) {
			t.Errorf("the terminal does not show %q: %q", text, got.err)
		}
	}
	if diff := cmp.Diff(map[string]int{`a"4"`: 3, `b"5"`: 5, `c"6"`: 1, `d"7"`: 1}, asked); diff != "" {
		t.Errorf("asked to retry (-want +got):\n%s", diff)
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestErase: a customer is erased from the orders that have ended, of the token's tenant or of
// the one that an operator over all names, and from no other's.
func TestErase(t *testing.T) {
	g := startTarget(t)
	token := func(tenant, scope string) string { return strings.TrimPrefix(g.of(t, tenant, scope), "Bearer ") }
	place := func(tenant, customer, payment, want string) string {
		t.Helper()
		body := `{"amount": 1, "customerId": "` + customer + `", "metadata": {"name": "Alice"}, "paymentToken": "` + payment + `"}`
		id := g.create(t, g.of(t, tenant, everything), body)
		if want == "" {
			return id
		}
		got := g.do(t, http.MethodGet, "/orders/"+id, g.of(t, tenant, everything), "", "Prefer", "wait=20")
		if !strings.Contains(got.body, `"status":"`+want+`"`) {
			t.Fatalf("want %s: %s", want, got.body)
		}
		return id
	}
	alices := []string{place("shop", "alice", "tok_ok", "PAID"), place("shop", "alice", "tok_declined", "FAILED")}
	bobs := place("shop", "bob", "tok_ok", "PAID")
	mills := place("mill", "alice", "tok_ok", "PAID")
	open := place("shop", "carol", "tok_unknown_600", "")
	slices.Reverse(alices) // newest first

	command := func(token string, more ...string) outcome {
		return execute(t, append([]string{"erase", "--url", g.url, "--token", token, "--customer", "alice", "--rate", "100"}, more...)...)
	}
	own, list := token("shop", everything), strings.Join(alices, "\n")+"\n"
	for _, step := range []struct {
		name string
		got  outcome
		want outcome
	}{
		{"a dry run", command(own, "--dry-run"), outcome{exitOK, list, "2 would be erased, 0 are open\n"}},
		{"a token of one tenant, for another", command(own, "--tenant", "mill"), outcome{
			exitFailed, "", "0 found, 0 erased, 0 open, 0 changed meanwhile, 0 failed\npaylane erase: the token is not of an operator " +
				"over all tenants: omit --tenant, and the orders are those of its own tenant\n",
		}},
		{"a token that may not erase", command(token("shop", "orders/read orders/write")), outcome{
			exitFailed, "", "2 found, 0 erased, 0 open, 0 changed meanwhile, 0 failed\npaylane erase: erase the order " + alices[0] +
				": the answer is 403 Forbidden: the token needs the scope orders/operate\n",
		}},
		{"its own", command(own), outcome{exitOK, list, "2 found, 2 erased, 0 open, 0 changed meanwhile, 0 failed\n"}},
		{"again", command(own), outcome{exitOK, "", "0 found, 0 erased, 0 open, 0 changed meanwhile, 0 failed\n"}},
		{"another's, by an operator over all", command(token("*", everything), "--tenant", "mill"), outcome{
			exitOK, mills + "\n", "1 found, 1 erased, 0 open, 0 changed meanwhile, 0 failed\n",
		}},
		{"an open order", command(own, "--customer", "carol"), outcome{
			exitFailed, "", open + " is PROCESSING\n1 found, 0 erased, 1 open, 0 changed meanwhile, 0 failed\n" +
				"paylane erase: not all are erased: give the command again once they have ended\n",
		}},
	} {
		step.got.err = strings.Replace(step.got.err, "is PENDING", "is PROCESSING", 1) // it may not have begun
		if diff := cmp.Diff(step.want, step.got, cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	for id, tenant := range map[string]string{alices[0]: "shop", alices[1]: "shop", bobs: "shop", mills: "mill"} {
		body := g.do(t, http.MethodGet, "/orders/"+id, g.of(t, tenant, everything), "").body
		if named := strings.Contains(body, "customerId") && strings.Contains(body, "Alice"); named != (id == bobs) || !json.Valid([]byte(body)) {
			t.Errorf("after all that: %s", body)
		}
	}
}

// TestEraseOfMany: an order is erased in the version that was listed, and one that has changed
// since is left, and makes the command fail: the customer is still in it.
func TestEraseOfMany(t *testing.T) {
	asked := map[string]int{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("customerId") != "a/b" {
			t.Errorf("asked for %s", r.URL)
		}
		fmt.Fprint(w, map[string]string{
			"":   `{"orders": [{"id": "a", "status": "PAID", "version": 4}, {"id": "b", "status": "REFUNDED", "version": 5}], "next": "p2"}`,
			"p2": `{"orders": [{"id": "c", "status": "CANCELED", "version": 2}]}`,
		}[r.FormValue("cursor")])
	})
	mux.HandleFunc("POST /orders/{id}/erase", func(w http.ResponseWriter, r *http.Request) {
		asked[r.PathValue("id")+r.Header.Get("If-Match")]++
		if r.PathValue("id") == "b" {
			w.WriteHeader(http.StatusPreconditionFailed)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	got := execute(t, "erase", "--url", server.URL, "--customer", "a/b", "--rate", "100")
	want := outcome{exitFailed, "a\nc\n", "3 found, 2 erased, 0 open, 1 changed meanwhile, 0 failed\n" +
		"paylane erase: not all are erased: give the command again once they have ended\n"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{`a"4"`: 1, `b"5"`: 1, `c"2"`: 1}, asked); diff != "" {
		t.Errorf("asked to erase (-want +got):\n%s", diff)
	}
}

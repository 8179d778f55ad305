package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestListByCustomer places orders of customers with awkward names in two tenants, and
// follows each customer's list by its links.
func TestListByCustomer(t *testing.T) {
	a := newAPI(t, apart)
	customers := []string{"alice", "alice#1", "a/b", "a&status=PAID", "a+b c%2F", "고객 😀", strings.Repeat("é", 64)}
	want := map[string][]string{} // newest first
	for range 3 {
		for _, customer := range append(customers, "") {
			for _, tenant := range []string{"t", "u"} {
				body, err := json.Marshal(map[string]any{"amount": 1, "customerId": customer})
				if err != nil {
					t.Fatal(err)
				}
				r := a.do(t, request{method: http.MethodPost, path: "/orders", body: string(body), tenant: tenant})
				if id := decode[orderBody](t, r).ID; tenant == "t" {
					want[customer] = slices.Insert(want[customer], 0, id)
				}
			}
		}
	}
	a.settle(t, want["alice"][1], claimed, declined)
	a.settle(t, want["a/b"][1], claimed, declined)
	follow := func(path string) (ids []string) {
		t.Helper()
		for pages := 0; path != "" && pages < 10; pages++ {
			r := a.do(t, request{path: path})
			link := r.Header.Get("Link")
			for _, o := range decode[orderList](t, r).Orders {
				ids = append(ids, o.ID)
			}
			path = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		}
		return ids
	}
	for _, customer := range customers {
		query := "customerId=" + url.QueryEscape(customer)
		if diff := cmp.Diff(want[customer], follow("/orders?limit=2&"+query)); diff != "" {
			t.Errorf("the orders of %q (-want +got):\n%s", customer, diff)
		}
	}
	if diff := cmp.Diff(want["alice"][1:2], follow("/orders?limit=1&customerId=alice&status=FAILED")); diff != "" {
		t.Errorf("the FAILED orders of alice (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{want["a/b"][1], want["alice"][1]}, follow("/orders?limit=1&status=FAILED")); diff != "" {
		t.Errorf("all FAILED orders (-want +got):\n%s", diff)
	}
	for _, query := range []string{"customerId=nobody", "customerId=ALICE", "customerId=nobody&status=PENDING"} {
		if got := read(t, a.do(t, request{path: "/orders?" + query})); got != `{"orders":[]}`+"\n" {
			t.Errorf("%s: %s", query, got)
		}
	}

	// A cursor is a place in time: with another filter it goes on from there.
	all := decode[orderList](t, a.do(t, request{path: "/orders?limit=3"}))
	got := follow("/orders?customerId=alice&cursor=" + all.Next)
	if diff := cmp.Diff(want["alice"], got); diff != "" {
		t.Errorf("alice's orders from a cursor of everybody's (-want +got):\n%s", diff)
	}
	alices := decode[orderList](t, a.do(t, request{path: "/orders?limit=1&customerId=alice"}))
	if diff := cmp.Diff(want["a/b"][1:], follow("/orders?customerId=a%2Fb&cursor="+alices.Next)); diff != "" {
		t.Errorf("another customer's orders from a cursor of alice's (-want +got):\n%s", diff)
	}
}

// TestCustomerParameter: a customerId that no order can have is a problem that names it.
func TestCustomerParameter(t *testing.T) {
	a := newAPI(t)
	for name, query := range map[string]string{
		"empty":     "customerId=",
		"repeated":  "customerId=a&customerId=b",
		"too long":  "customerId=" + strings.Repeat("%C3%A9", 65),
		"not UTF-8": "customerId=%ff",
	} {
		r := a.do(t, request{path: "/orders?" + query})
		if text := read(t, r); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text, `"query.customerId"`) {
			t.Errorf("%s: %d %s", name, r.StatusCode, text)
		}
	}
}

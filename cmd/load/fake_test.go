package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"paylane/shared/order"
)

// fakeAPI is a server with paylane's API that can be told to break its promises. Its
// clock is years away from the driver's: the n-th POST happens n milliseconds after
// its epoch, and each order ends two seconds after its creation.
type fakeAPI struct {
	// stopAt is the number of the POST that calls stop, in order to end the load.
	stopAt int
	stop   func()

	// What goes wrong with the n-th POST, counted from 1; nil is never.
	refused   func(n int) bool // answered 500
	nameless  func(n int) bool // 201 without a Location
	lost      func(n int) bool // accepted, and then not there
	unlisted  func(n int) bool // in no list, but there by its id
	repeated  func(n int) bool // names the order before
	endless   func(n int) bool // never at an end
	companion func(n int) bool // somebody else's order, never at an end, comes right after it
	// looks is how often an order must be looked at before it shows its end.
	looks int
	// listFails is how many times the list answers 503; onList is called before.
	listFails int
	onList    func()
	// absent is the status of an order that is not there; 0 is 404.
	absent int
	// alter changes what the API answers, for good.
	alter func(w http.ResponseWriter, o *fakeOrder)

	mu          sync.Mutex
	url         string
	posts       int
	connections int
	keys        map[string]*fakeOrder
	bearers     map[string]bool
	requests    []string   // other than GET /healthz; repeated POSTs are one
	orders      []fakeView // oldest first
}

// fakeOrder is an order as the API shows it.
type fakeOrder struct {
	ID         string       `json:"id"`
	Status     order.Status `json:"status"`
	Amount     int          `json:"amount"`
	PaymentRef string       `json:"paymentRef,omitempty"`
	Failure    *fakeFailure `json:"failure,omitempty"`
	CreatedAt  time.Time    `json:"createdAt"`
	UpdatedAt  time.Time    `json:"updatedAt"`
}

type fakeFailure struct {
	Code string `json:"code"`
}

// fakeView is an order and how it is shown.
type fakeView struct {
	*fakeOrder
	n, looked int
	token     string
}

func epoch() time.Time { return time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC) }

// start serves the API until the test ends. The store holds 250 older orders.
func (f *fakeAPI) start(t *testing.T) *fakeAPI {
	t.Helper()
	f.keys, f.bearers = map[string]*fakeOrder{}, map[string]bool{}
	for i := range 250 {
		f.add(0, epoch().Add(time.Duration(i-250)*time.Second), "tok_ok")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /orders", f.create)
	mux.HandleFunc("GET /orders", f.list)
	mux.HandleFunc("GET /orders/{id}", f.get)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.bearers[r.Header.Get("Authorization")] = true
		line := r.Method + " " + r.URL.Path
		if last := len(f.requests) - 1; r.URL.Path != "/healthz" && (line != "POST /orders" || last < 0 || f.requests[last] != line) {
			f.requests = append(f.requests, line)
		}
		mux.ServeHTTP(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if state == http.StateNew {
			f.connections++
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fakeAPI) add(n int, created time.Time, token string) *fakeOrder {
	o := &fakeOrder{ID: uuid.NewString(), Status: order.Pending, Amount: 12000, CreatedAt: created, UpdatedAt: created}
	f.orders = append(f.orders, fakeView{fakeOrder: o, n: n, token: token})
	return o
}

func (f *fakeAPI) create(w http.ResponseWriter, r *http.Request) {
	f.posts++
	n := f.posts
	if n == f.stopAt {
		f.stop()
	}
	var request struct {
		Amount       int    `json:"amount"`
		PaymentToken string `json:"paymentToken"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.Amount != 12000 {
		http.Error(w, "not an order", http.StatusBadRequest)
		return
	}
	if is(f.refused, n) {
		http.Error(w, "no luck", http.StatusInternalServerError)
		return
	}
	key := r.Header.Get("Idempotency-Key")
	o := f.keys[key]
	switch {
	case o != nil:
		w.Header().Set("Idempotency-Replayed", "true")
	case is(f.repeated, n):
		o = f.orders[len(f.orders)-1].fakeOrder
	default:
		o = f.add(n, epoch().Add(time.Duration(n)*time.Millisecond), request.PaymentToken)
		if is(f.companion, n) {
			f.add(-n, o.CreatedAt, "tok_ok")
		}
	}
	if key != "" {
		f.keys[key] = o
	}
	if !is(f.nameless, n) {
		w.Header().Set("Location", "/orders/"+o.ID)
	}
	f.show(w, http.StatusCreated, *o)
}

func (f *fakeAPI) list(w http.ResponseWriter, r *http.Request) {
	if f.onList != nil {
		f.onList()
	}
	if f.listFails > 0 {
		f.listFails--
		http.Error(w, "come back later", http.StatusServiceUnavailable)
		return
	}
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	end := len(f.orders)
	if cursor := r.FormValue("cursor"); cursor != "" {
		end, _ = strconv.Atoi(cursor)
	}
	var page struct {
		Orders []fakeOrder `json:"orders"`
		Next   string      `json:"next,omitempty"`
	}
	for end--; end >= 0 && len(page.Orders) < limit; end-- {
		if n := f.orders[end].n; !is(f.lost, n) && !is(f.unlisted, n) {
			page.Orders = append(page.Orders, f.look(&f.orders[end]))
		}
	}
	if end >= 0 {
		page.Next = strconv.Itoa(end + 1)
	}
	_ = json.NewEncoder(w).Encode(page)
}

func (f *fakeAPI) get(w http.ResponseWriter, r *http.Request) {
	i := slices.IndexFunc(f.orders, func(o fakeView) bool { return o.ID == r.PathValue("id") })
	if i < 0 || is(f.lost, f.orders[i].n) {
		w.Header().Set("Content-Type", "application/problem+json")
		f.show(w, cmp.Or(f.absent, http.StatusNotFound), fakeOrder{})
		return
	}
	if r.Header.Get("Prefer") == "wait=20" {
		f.orders[i].looked = f.looks
	}
	f.show(w, http.StatusOK, f.look(&f.orders[i]))
}

func (f *fakeAPI) show(w http.ResponseWriter, status int, o fakeOrder) {
	if f.alter != nil {
		f.alter(w, &o)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(o)
}

// look shows an order, and brings it to its end if it was looked at often enough.
func (f *fakeAPI) look(o *fakeView) fakeOrder {
	o.looked++
	if o.looked <= f.looks || o.n < 0 || is(f.endless, o.n) {
		return *o.fakeOrder
	}
	shown := *o.fakeOrder
	shown.Status, shown.PaymentRef = order.Paid, fmt.Sprintf("PAY-%08X", o.n)
	if o.token != "tok_ok" {
		shown.Status, shown.PaymentRef, shown.Failure = order.Failed, "", &fakeFailure{"declined"}
	}
	shown.UpdatedAt = shown.CreatedAt.Add(2 * time.Second)
	return shown
}

func is(rule func(int) bool, n int) bool { return rule != nil && n > 0 && rule(n) }

// every is a rule for each k-th POST.
func every(k int) func(int) bool { return func(n int) bool { return n%k == 0 } }

// Package fakeapi is a server with paylane's API that breaks its promises when told to, for
// tests of what drives the API.
package fakeapi

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

// API is the server. Its clock is years away from its caller's: the n-th POST happens n
// milliseconds after [Epoch], and each order ends two seconds after its creation.
type API struct {
	// StopAt is the number of the POST that calls Stop, in order to end a load.
	StopAt int
	Stop   func()

	// What goes wrong with the n-th POST, counted from 1; nil is never.
	Refused   func(n int) bool // answered 500
	Nameless  func(n int) bool // 201 without a Location
	Lost      func(n int) bool // accepted, and then not found
	Unlisted  func(n int) bool // in no list, but found by its id
	Repeated  func(n int) bool // names the order before
	Endless   func(n int) bool // never at an end
	Companion func(n int) bool // followed by somebody else's order that is never at an end
	// Looks is how often an order must be looked at before it shows its end.
	Looks int
	// ListFails is how many times the list answers 503; OnList is called before.
	ListFails int
	OnList    func()
	// Absent is the status of an order that is not found; 0 is 404.
	Absent int
	// Alter changes what the API answers.
	Alter func(w http.ResponseWriter, o *Order)

	// URL is the base, once the server has started. The fields after it are what the
	// callers did; read them when there are no requests.
	URL         string
	Posts       int
	Connections int
	Keys        map[string]*Order // by Idempotency-Key
	Bearers     map[string]bool   // Authorization headers
	Requests    []string          // other than GET /healthz; repeated POSTs are one

	mu     sync.Mutex
	orders []view // oldest first
}

// Order is an order as the API shows it.
type Order struct {
	ID         string       `json:"id"`
	Status     order.Status `json:"status"`
	Amount     int          `json:"amount"`
	PaymentRef string       `json:"paymentRef,omitempty"`
	Failure    *Failure     `json:"failure,omitempty"`
	CreatedAt  time.Time    `json:"createdAt"`
	UpdatedAt  time.Time    `json:"updatedAt"`
}

// Failure is why an order FAILED.
type Failure struct {
	Code string `json:"code"`
}

// view is an order and how it is shown.
type view struct {
	*Order
	n, looked int
	token     string
}

// Epoch is the time before the first POST.
func Epoch() time.Time { return time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC) }

// Start serves the API until the test ends. The store holds 250 older orders.
func (f *API) Start(t *testing.T) *API {
	t.Helper()
	f.Keys, f.Bearers = map[string]*Order{}, map[string]bool{}
	for i := range 250 {
		f.add(0, Epoch().Add(time.Duration(i-250)*time.Second), "tok_ok")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /orders", f.create)
	mux.HandleFunc("GET /orders", f.list)
	mux.HandleFunc("GET /orders/{id}", f.get)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.Bearers[r.Header.Get("Authorization")] = true
		line := r.Method + " " + r.URL.Path
		if last := len(f.Requests) - 1; r.URL.Path != "/healthz" && (line != "POST /orders" || last < 0 || f.Requests[last] != line) {
			f.Requests = append(f.Requests, line)
		}
		mux.ServeHTTP(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if state == http.StateNew {
			f.Connections++
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// Newest returns the id of the newest order.
func (f *API) Newest() string { return f.orders[len(f.orders)-1].ID }

func (f *API) add(n int, created time.Time, token string) *Order {
	o := &Order{ID: uuid.NewString(), Status: order.Pending, Amount: 12000, CreatedAt: created, UpdatedAt: created}
	f.orders = append(f.orders, view{Order: o, n: n, token: token})
	return o
}

func (f *API) create(w http.ResponseWriter, r *http.Request) {
	f.Posts++
	n := f.Posts
	if n == f.StopAt {
		f.Stop()
	}
	var request struct {
		Amount       int    `json:"amount"`
		PaymentToken string `json:"paymentToken"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.Amount != 12000 {
		http.Error(w, "not an order", http.StatusBadRequest)
		return
	}
	if is(f.Refused, n) {
		http.Error(w, "no luck", http.StatusInternalServerError)
		return
	}
	key := r.Header.Get("Idempotency-Key")
	o := f.Keys[key]
	switch {
	case o != nil:
		w.Header().Set("Idempotency-Replayed", "true")
	case is(f.Repeated, n):
		o = f.orders[len(f.orders)-1].Order
	default:
		o = f.add(n, Epoch().Add(time.Duration(n)*time.Millisecond), request.PaymentToken)
		if is(f.Companion, n) {
			f.add(-n, o.CreatedAt, "tok_ok")
		}
	}
	if key != "" {
		f.Keys[key] = o
	}
	if !is(f.Nameless, n) {
		w.Header().Set("Location", "/orders/"+o.ID)
	}
	f.show(w, http.StatusCreated, *o)
}

func (f *API) list(w http.ResponseWriter, r *http.Request) {
	if f.OnList != nil {
		f.OnList()
	}
	if f.ListFails > 0 {
		f.ListFails--
		http.Error(w, "come back later", http.StatusServiceUnavailable)
		return
	}
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	end := len(f.orders)
	if cursor := r.FormValue("cursor"); cursor != "" {
		end, _ = strconv.Atoi(cursor)
	}
	var page struct {
		Orders []Order `json:"orders"`
		Next   string  `json:"next,omitempty"`
	}
	for end--; end >= 0 && len(page.Orders) < limit; end-- {
		if n := f.orders[end].n; !is(f.Lost, n) && !is(f.Unlisted, n) {
			page.Orders = append(page.Orders, f.look(&f.orders[end]))
		}
	}
	if end >= 0 {
		page.Next = strconv.Itoa(end + 1)
	}
	_ = json.NewEncoder(w).Encode(page)
}

func (f *API) get(w http.ResponseWriter, r *http.Request) {
	i := slices.IndexFunc(f.orders, func(o view) bool { return o.ID == r.PathValue("id") })
	if i < 0 || is(f.Lost, f.orders[i].n) {
		w.Header().Set("Content-Type", "application/problem+json")
		f.show(w, cmp.Or(f.Absent, http.StatusNotFound), Order{})
		return
	}
	if r.Header.Get("Prefer") == "wait=20" {
		f.orders[i].looked = f.Looks
	}
	f.show(w, http.StatusOK, f.look(&f.orders[i]))
}

func (f *API) show(w http.ResponseWriter, status int, o Order) {
	if f.Alter != nil {
		f.Alter(w, &o)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(o)
}

// look shows an order, and brings it to its end if it was looked at often enough.
func (f *API) look(o *view) Order {
	o.looked++
	if o.looked <= f.Looks || o.n < 0 || is(f.Endless, o.n) {
		return *o.Order
	}
	shown := *o.Order
	shown.Status, shown.PaymentRef = order.Paid, fmt.Sprintf("PAY-%08X", o.n)
	if o.token != "tok_ok" {
		shown.Status, shown.PaymentRef, shown.Failure = order.Failed, "", &Failure{"declined"}
	}
	shown.UpdatedAt = shown.CreatedAt.Add(2 * time.Second)
	return shown
}

func is(rule func(int) bool, n int) bool { return rule != nil && n > 0 && rule(n) }

// Every returns a rule for each k-th POST.
func Every(k int) func(int) bool { return func(n int) bool { return n%k == 0 } }

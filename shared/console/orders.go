package console

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"paylane/shared/order"
	"paylane/shared/wire"
)

func (s *console) orderRoutes(see, act route) {
	see(Root+"/orders", s.listOrders)
	see(Root+"/orders/{id}", s.showOrder)
	act(Root+"/orders/{id}/{action}", s.actOnOrder)
}

// statuses are the filters of the list.
func statuses() []order.Status {
	return []order.Status{order.Pending, order.Processing, order.Paid, order.Failed, order.Canceled, order.Refunding, order.Refunded}
}

type listPage struct {
	Statuses []order.Status
	Status   string
	Search   string
	Customer string
	// Refused is the API's answer if there is no list.
	Refused *answer
	Orders  []wire.OrderBody
	// Next is the URL of the next page; empty at the end. First is that of the first one,
	// unless this is it.
	Next, First string
}

// listLimit is how many orders a page has.
const listLimit = "25"

func (s *console) listOrders(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	list := listPage{
		Statuses: statuses(), Status: asked.Get("status"), Search: strings.TrimSpace(asked.Get("q")), Customer: asked.Get("customer"),
	}
	if list.Search != "" {
		if id, ok := s.search(r, list.Search); ok {
			http.Redirect(w, r, Root+"/orders/"+id, http.StatusSeeOther)
			return
		}
		s.render(w, r, http.StatusOK, "orders.html", page{Title: "Orders", Area: "orders"}, list)
		return
	}
	query, filter := url.Values{"limit": {listLimit}}, url.Values{}
	for theirs, ours := range map[string]string{"status": "status", "customerId": "customer"} {
		if value := asked.Get(ours); value != "" {
			query.Set(theirs, value)
			filter.Set(ours, value)
		}
	}
	if cursor := asked.Get("cursor"); cursor != "" {
		query.Set("cursor", cursor)
		list.First = Root + "/orders?" + filter.Encode()
	}
	a := s.call(r, http.MethodGet, "/orders", query, "")
	if !a.OK() {
		list.Refused = &a
		s.render(w, r, a.Status, "orders.html", page{Title: "Orders", Area: "orders"}, list)
		return
	}
	var body struct {
		Orders []wire.OrderBody
		Next   string
	}
	if err := json.Unmarshal(a.Body, &body); err != nil {
		s.broken(w, r, err)
		return
	}
	if list.Orders = body.Orders; body.Next != "" {
		filter.Set("cursor", body.Next)
		list.Next = Root + "/orders?" + filter.Encode()
	}
	s.render(w, r, http.StatusOK, "orders.html", page{Title: "Orders", Area: "orders"}, list)
}

// search returns the order that has text for its id, or was placed under it as its idempotency
// key.
func (s *console) search(r *http.Request, text string) (id string, ok bool) {
	session, _ := SessionOf(r.Context())
	candidates := []string{strings.ToLower(text)}
	if order.ValidKey(text) {
		candidates = append(candidates, order.KeyedID(session.Tenant, text))
	}
	for _, id := range candidates {
		if order.ValidID(id) && s.call(r, http.MethodGet, pathOf("orders", id), nil, "").OK() {
			return id, true
		}
	}
	return "", false
}

type orderPage struct {
	Order wire.OrderBody
	Story []event
	Open  bool
	// Raw is the API's JSON, and Curl the command that fetches it.
	Raw, Curl string
	Actions   []action
	// Answer is the API's answer to the action that led here; nil if none did.
	Answer *answer
}

func (s *console) showOrder(w http.ResponseWriter, r *http.Request) { s.orderPage(w, r, nil) }

// orderPage shows an order as the API has it now, and the answer to an action on it.
func (s *console) orderPage(w http.ResponseWriter, r *http.Request, acted *answer) {
	id := r.PathValue("id")
	path := pathOf("orders", id)
	a := s.call(r, http.MethodGet, path, nil, "")
	if !a.OK() {
		s.refused(w, r, a)
		return
	}
	view := orderPage{Raw: a.JSON(), Curl: s.curl(r, path), Answer: acted}
	if err := json.Unmarshal(a.Body, &view.Order); err != nil {
		s.broken(w, r, err)
		return
	}
	if r.URL.Query().Get("version") == strconv.FormatInt(view.Order.Version, 10) {
		w.WriteHeader(http.StatusNoContent) // whoever asks shows it as it is
		return
	}
	view.Open = !order.Status(view.Order.Status).End()
	view.Story = append(story(view.Order), s.told(r, view.Order.ID)...)
	slices.SortStableFunc(view.Story, inTime)
	if session, _ := SessionOf(r.Context()); session.Operate {
		view.Actions = actions(view.Order)
	}
	status := http.StatusOK
	if acted != nil {
		status = acted.Status
	}
	s.render(w, r, status, "order.html", page{Title: "Order " + view.Order.ID, Area: "orders"}, view)
}

// action is something that can be done to an order in its present state.
type action struct {
	// Name is the API's.
	Name, Label string
	// Says is what will happen.
	Says string
	// Danger marks what can't be taken back.
	Danger bool
	// MaxAmount is what a refund may be of; 0 for other actions.
	MaxAmount int64
	// Token asks for a payment token.
	Token bool
	// Key makes a repeat of the form harmless.
	Key string
}

func actions(o wire.OrderBody) []action {
	total := order.Money{Amount: o.Amount, Currency: order.Currency(o.Currency)}
	left := order.Money{Amount: o.Amount - o.Refunded, Currency: total.Currency}
	switch order.Status(o.Status) {
	case order.Pending:
		return []action{{
			Name: "cancel", Label: "Cancel", Danger: true,
			Says: "The order becomes CANCELED and is never charged. If its payment has begun by then, the API refuses.",
		}}
	case order.Paid:
		return []action{{
			Name: "refund", Label: "Refund", Danger: true, MaxAmount: left.Amount, Key: rand.Text(),
			Says: "The gateway is asked to return up to " + left.String() + " to the customer. A refund can't be taken back.",
		}}
	case order.Failed:
		all := []action{{
			Name: "pay", Label: "Pay with another token", Token: true,
			Says: "The order becomes PENDING again, and " + total.String() + " are charged with the token that you give.",
		}}
		return append(all, action{
			Name: "retry", Label: "Retry",
			Says: "The order becomes PENDING again, and " + total.String() + " are charged with the token that it has. The API refuses if the gateway declined it.",
		})
	case order.Processing, order.Canceled, order.Refunding, order.Refunded, order.Void:
	}
	return nil
}

// actOnOrder has the API do what a form says, and shows its answer.
func (s *console) actOnOrder(w http.ResponseWriter, r *http.Request) {
	id, name := r.PathValue("id"), r.PathValue("action")
	body := ""
	switch name {
	case "cancel", "retry":
	case "pay":
		body = encode(map[string]any{"paymentToken": r.PostForm.Get("paymentToken")})
	case "refund":
		refund := map[string]any{}
		if text := strings.TrimSpace(r.PostForm.Get("amount")); text != "" {
			amount, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				s.orderPage(w, r, &answer{Status: http.StatusUnprocessableEntity, Body: []byte(encode(map[string]string{
					"title": "Not sent", "detail": "The amount must be a whole number in the currency's minor unit.",
				}))})
				return
			}
			refund["amount"] = amount
		}
		if reason := r.PostForm.Get("reason"); reason != "" {
			refund["reason"] = reason
		}
		body = encode(refund)
	default:
		s.render(w, r, http.StatusNotFound, "problem.html", page{Title: "No such action"}, "An order has no such action.")
		return
	}
	var match string
	if version := r.PostForm.Get("version"); version != "" {
		match = strconv.Quote(version)
	}
	a := s.call(r, http.MethodPost, pathOf("orders", id, name), nil, body,
		"If-Match", match, "Idempotency-Key", r.PostForm.Get("key"))
	s.orderPage(w, r, &a)
}

// encode returns the JSON of what always has one.
func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}

// curl returns the command that fetches a path of the API.
func (s *console) curl(r *http.Request, path string) string {
	scheme := "http"
	if r.TLS != nil || s.SignIn != nil && s.SignIn.Secure {
		scheme = "https"
	}
	if session, _ := SessionOf(r.Context()); session.Every {
		path += `\?tenant=` + url.QueryEscape(session.Tenant)
	}
	command := "curl " + scheme + "://" + r.Host + path
	if s.SignIn != nil {
		command += ` -H "Authorization: Bearer $TOKEN"`
	}
	return command
}

// refused shows an answer of the API that is not what the page is about.
func (s *console) refused(w http.ResponseWriter, r *http.Request, a answer) {
	p := a.Problem()
	text := p.Detail
	if text == "" {
		text = "The API answered " + strconv.Itoa(a.Status) + " " + a.Text() + "."
	}
	s.render(w, r, a.Status, "problem.html", page{Title: p.Title}, text)
}

// broken reports an answer that is not what the API promises.
func (s *console) broken(w http.ResponseWriter, r *http.Request, err error) {
	s.Log.ErrorContext(r.Context(), "the console can't read the API's answer", "error", err)
	s.render(w, r, http.StatusInternalServerError, "problem.html", page{Title: "Something went wrong"},
		"The API's answer could not be read.")
}

package console

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paylane/shared/wire"
)

func (s *console) tryRoutes(see, act route) {
	see(Root+"/try", func(w http.ResponseWriter, r *http.Request) { s.tryPage(w, r, http.StatusOK, tryPage{}) })
	act(Root+"/try", s.tryOrder)
	if s.Local.Background != nil {
		act(Root+"/try/run", s.startRun)
		act(Root+"/try/stop", s.stopRun)
	}
	if s.Local.Simulator != nil {
		act(Root+"/try/weather", s.setWeather)
	}
}

// Tokens are the payment tokens that the gateway takes.
type Tokens struct {
	// Default is used if an order names none; empty if each must.
	Default string
	// Doc says what they are.
	Doc      string
	Examples []TokenExample
	// Livemode says that money moves.
	Livemode bool
}

// TokenExample is a payment token and what it stands for, which goes on from the token.
type TokenExample struct{ Token, Doc string }

type tryPage struct {
	Tokens Tokens
	// Entered is what the order form holds.
	Entered entered
	// Answer is the API's answer to the order; nil if none was placed. Errors are those of
	// fields, by their names in the form.
	Answer *answer
	Errors map[string][]string

	// Runs are those of the tenant, newest first, and Batch says that there may be some.
	Runs  []runView
	Batch bool
	// Moving says that the runs are not at their end.
	Moving bool
	// RunRefused says why a run was not started.
	RunRefused string

	// Weather is the simulated gateway's; nil if there is none.
	Weather *weatherView
}

// entered is the order form.
type entered struct{ Amount, Currency, Customer, Key, Metadata, Token string }

type weatherView struct {
	// InForce is the weather, and Entered what the form holds.
	InForce Weather
	Entered struct{ Latency, Declines, Timeouts string }
	// Refused says why the weather was not changed.
	Refused string
}

// tryPage shows the page, as view has it besides what is known now.
func (s *console) tryPage(w http.ResponseWriter, r *http.Request, status int, view tryPage) {
	session, _ := SessionOf(r.Context())
	view.Tokens = s.Tokens
	if view.Entered == (entered{}) {
		view.Entered = entered{Amount: "1200", Currency: "EUR", Token: s.Tokens.Default}
		if token := r.URL.Query().Get("token"); token != "" {
			view.Entered.Token = token
		}
	}
	if s.Local.Background != nil {
		view.Batch = true
		view.Runs = s.runs.views(session.Tenant, s.Now())
		for _, run := range view.Runs {
			view.Moving = view.Moving || !run.Ended()
		}
		s.countRuns(r)
	}
	if s.Local.Simulator != nil && session.Operate {
		if view.Weather == nil {
			view.Weather = &weatherView{}
		}
		now := s.Local.Simulator.Weather()
		view.Weather.InForce = now
		if view.Weather.Refused == "" {
			view.Weather.Entered.Latency = strconv.FormatInt(now.Latency.Milliseconds(), 10)
			view.Weather.Entered.Declines, view.Weather.Entered.Timeouts = strconv.Itoa(now.Declines), strconv.Itoa(now.Timeouts)
		}
	}
	s.render(w, r, status, "try.html", page{Title: "Try it", Area: "try"}, view)
}

// tryOrder places the order of the form, and shows its page.
func (s *console) tryOrder(w http.ResponseWriter, r *http.Request) {
	form := r.PostForm
	view := tryPage{Errors: make(map[string][]string), Entered: entered{
		Amount: form.Get("amount"), Currency: form.Get("currency"), Customer: form.Get("customer"),
		Key: form.Get("key"), Metadata: form.Get("metadata"), Token: form.Get("token"),
	}}
	body := make(map[string]any)
	if text := strings.TrimSpace(view.Entered.Amount); text != "" {
		amount, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			view.Errors["amount"] = []string{"must be a whole number in the currency's minor unit"}
		}
		body["amount"] = amount
	}
	for name, text := range map[string]string{
		"currency": view.Entered.Currency, "customerId": view.Entered.Customer, "paymentToken": view.Entered.Token,
	} {
		if text = strings.TrimSpace(text); text != "" {
			body[name] = text
		}
	}
	metadata := make(map[string]string)
	for line := range strings.Lines(view.Entered.Metadata) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if _, again := metadata[name]; !ok || again {
			view.Errors["metadata"] = []string{"must be lines such as cart=77, each with a name of its own"}
		}
		metadata[name] = value
	}
	if len(metadata) > 0 {
		body["metadata"] = metadata
	}
	if len(view.Errors) > 0 {
		view.Answer = &answer{Status: http.StatusUnprocessableEntity, Body: []byte(encode(map[string]string{
			"title": "Not sent", "detail": "See what is wrong beside the fields.",
		}))}
		s.tryPage(w, r, http.StatusUnprocessableEntity, view)
		return
	}
	a := s.call(r, http.MethodPost, "/orders", nil, encode(body), "Idempotency-Key", view.Entered.Key)
	var placed wire.OrderBody
	if a.OK() {
		if err := json.Unmarshal(a.Body, &placed); err != nil {
			s.broken(w, r, err)
			return
		}
		http.Redirect(w, r, Root+pathOf("orders", placed.ID), http.StatusSeeOther)
		return
	}
	view.Answer = &a
	for _, e := range a.Problem().Errors {
		field := fieldOf(e.Location)
		view.Errors[field] = append(view.Errors[field], e.Message)
	}
	s.tryPage(w, r, a.Status, view)
}

// fieldOf returns the field of the order form that an error of the API is about.
func fieldOf(location string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(location, "body."), ".")
	switch name {
	case "customerId":
		return "customer"
	case "paymentToken":
		return "token"
	case "header":
		return "key"
	}
	return name
}

// setWeather puts in force what the panel of the simulated gateway says.
func (s *console) setWeather(w http.ResponseWriter, r *http.Request) {
	view := &weatherView{}
	view.Entered.Latency, view.Entered.Declines, view.Entered.Timeouts = r.PostForm.Get("latency"), r.PostForm.Get("declines"), r.PostForm.Get("timeouts")
	var next Weather
	if r.PostForm.Get("set") != "fair" {
		latency, errLatency := strconv.Atoi(strings.TrimSpace(view.Entered.Latency))
		declines, errDeclines := strconv.Atoi(strings.TrimSpace(view.Entered.Declines))
		timeouts, errTimeouts := strconv.Atoi(strings.TrimSpace(view.Entered.Timeouts))
		if errLatency != nil || errDeclines != nil || errTimeouts != nil || latency < 0 || latency > int(MaxLatency/time.Millisecond) {
			view.Refused = "latency and rates must be whole numbers, of at most 4,000 ms and 100 %"
			s.tryPage(w, r, http.StatusUnprocessableEntity, tryPage{Weather: view})
			return
		}
		next = Weather{Latency: time.Duration(latency) * time.Millisecond, Declines: declines, Timeouts: timeouts}
		switch r.PostForm.Get("set") {
		case "outage":
			next.Outage = true
		case "end":
		default:
			next.Outage = s.Local.Simulator.Weather().Outage
		}
	}
	status := http.StatusUnprocessableEntity
	err := next.Check()
	if err == nil {
		status = http.StatusServiceUnavailable
		err = s.Local.Simulator.SetWeather(r.Context(), next)
	}
	switch {
	case err == nil:
		http.Redirect(w, r, Root+"/try#weather", http.StatusSeeOther)
		return
	case status == http.StatusServiceUnavailable:
		s.Log.ErrorContext(r.Context(), "the simulated gateway's weather can't be changed", "error", err)
		view.Refused = "it could not be written down"
	default:
		view.Refused = err.Error()
	}
	s.tryPage(w, r, status, tryPage{Weather: view})
}

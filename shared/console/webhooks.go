package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

func (s *console) webhookRoutes(see, act route) {
	see(Root+"/webhooks", s.listWebhooks)
	act(Root+"/webhooks", s.createWebhook)
	act(Root+"/webhooks/{id}/{action}", s.actOnWebhook)
}

// endpoint is a webhook as the API tells of it.
type endpoint struct {
	ID, URL, Status, Secret             string
	Events                              []string
	Successes, Failures                 []delivery
	FailingSince, DisabledAt, CreatedAt string
}

// delivery is one try to deliver an event.
type delivery struct {
	EventID, Type, OrderID, At, Error string
	Receives, Status                  int
	Milliseconds                      int64 `json:"ms"`
}

// OK reports whether the endpoint took the event.
func (d delivery) OK() bool { return d.Status >= 200 && d.Status <= 299 }

// Deliveries are those that the API remembers, newest first.
func (e endpoint) Deliveries() []delivery {
	all := slices.Concat(e.Successes, e.Failures)
	slices.SortStableFunc(all, func(a, b delivery) int { return strings.Compare(b.At, a.At) })
	return all
}

// Host is the part of the URL that says where it leads.
func (e endpoint) Host() string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return e.URL
	}
	return u.Host
}

type webhooksPage struct {
	Endpoints []endpoint
	// Answer is the API's answer to the action that led here; nil if none did. Made is the
	// endpoint whose new secret it has.
	Answer *answer
	Made   *endpoint
	// URL is what was entered, if the API refused it.
	URL string
}

func (s *console) listWebhooks(w http.ResponseWriter, r *http.Request) {
	s.webhooksPage(w, r, webhooksPage{})
}

func (s *console) webhooksPage(w http.ResponseWriter, r *http.Request, view webhooksPage) {
	a := s.call(r, http.MethodGet, "/webhooks", nil, "")
	if !a.OK() {
		s.refused(w, r, a)
		return
	}
	var err error
	if view.Endpoints, err = endpointsOf(a); err != nil {
		s.broken(w, r, err)
		return
	}
	status := http.StatusOK
	if view.Answer != nil && !view.Answer.OK() {
		status = view.Answer.Status
	}
	s.render(w, r, status, "webhooks.html", page{Title: "Webhooks", Area: "webhooks"}, view)
}

func endpointsOf(a answer) ([]endpoint, error) {
	var list struct{ Webhooks []endpoint }
	err := json.Unmarshal(a.Body, &list)
	return list.Webhooks, err
}

func (s *console) createWebhook(w http.ResponseWriter, r *http.Request) {
	asked := map[string]any{"url": strings.TrimSpace(r.PostForm.Get("url"))}
	if events := r.PostForm["events"]; len(events) > 0 {
		asked["events"] = events
	}
	a := s.call(r, http.MethodPost, "/webhooks", nil, encode(asked))
	view := webhooksPage{Answer: &a, Made: secretOf(a)}
	if !a.OK() {
		view.URL = r.PostForm.Get("url")
	}
	s.webhooksPage(w, r, view)
}

// secretOf returns the endpoint whose secret an answer has; nil if it has none.
func secretOf(a answer) *endpoint {
	var made endpoint
	if !a.OK() || json.Unmarshal(a.Body, &made) != nil || made.Secret == "" {
		return nil
	}
	return &made
}

func (s *console) actOnWebhook(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	var a answer
	switch r.PathValue("action") {
	case "rotate":
		a = s.call(r, http.MethodPost, pathOf("webhooks", id, "rotate"), nil, "")
	case "test":
		a = s.call(r, http.MethodPost, pathOf("webhooks", id, "test"), nil, "")
	case "resend":
		a = s.call(r, http.MethodPost, pathOf("webhooks", id, "resend"), nil, encode(map[string]string{
			"orderId": r.PostForm.Get("order"), "eventId": r.PostForm.Get("event"),
		}))
	case "delete":
		a = s.call(r, http.MethodDelete, pathOf("webhooks", id), nil, "")
	default:
		s.render(w, r, http.StatusNotFound, "problem.html", page{Title: "No such action"}, "A webhook has no such action.")
		return
	}
	s.webhooksPage(w, r, webhooksPage{Answer: &a, Made: secretOf(a)})
}

// told returns the deliveries of an order's events that the API remembers, as parts of its story.
func (s *console) told(r *http.Request, orderID string) (events []event) {
	a := s.call(r, http.MethodGet, "/webhooks", nil, "")
	all, err := endpointsOf(a)
	if !a.OK() || err != nil {
		return nil // the order is the page's subject; its webhooks have a page of their own
	}
	for _, e := range all {
		for _, d := range e.Deliveries() {
			if d.OrderID == orderID {
				events = append(events, d.event(e.Host()))
			}
		}
	}
	return events
}

func (d delivery) event(host string) event {
	e := event{At: parseTime(d.At), Title: "Webhook " + d.Type, Detail: host + ": " + d.Outcome(), Tone: "bad", Took: time.Duration(d.Milliseconds) * time.Millisecond}
	if d.OK() {
		e.Tone = "good"
	}
	return e
}

// Outcome is what came of the try, in words.
func (d delivery) Outcome() string {
	if d.Status == 0 {
		return d.Error
	}
	return statusText(d.Status)
}

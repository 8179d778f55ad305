package console

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"paylane/shared/order"
	"paylane/shared/wire"
)

// Queues are the message queues of the process. An error other than a [Refusal] is a failure of the
// process.
type Queues interface {
	// List returns all queues.
	List(context.Context) ([]QueueInfo, error)
	// Messages returns those of a queue that came after the one named by after, or from the
	// oldest if it is empty: a tenant's, or those of everybody and of nobody if tenant is
	// [AllTenants]. Looking changes nothing about them.
	Messages(ctx context.Context, queue, tenant, after string) (MessagePage, error)
	// RedriveAll begins to move the messages of a dead-letter queue back to where they came
	// from.
	RedriveAll(ctx context.Context, queue string) error
	// Redrive moves one message back, if it is the tenant's or tenant is [AllTenants].
	Redrive(ctx context.Context, queue, tenant, message string) error
}

// AllTenants is the tenant of a session that sees what is of everybody.
const AllTenants = "*"

// Refusal is why a port did not do what it was asked for, for people.
type Refusal struct{ Text string }

func (r *Refusal) Error() string { return r.Text }

// QueueInfo is a queue as a whole.
type QueueInfo struct {
	Name                       string
	Visible, InFlight, Delayed int
	// Oldest is when the message that came first was sent; zero if there is none.
	Oldest                              time.Time
	VisibilityTimeout, Retention, Delay time.Duration
	// DeadLetterQueue is where a message goes that was received MaxReceives times; empty if it
	// stays until its retention ends.
	DeadLetterQueue string
	MaxReceives     int
	// DeadLettersOf are those who give up messages to this queue. Redrives says that they can be
	// moved back.
	DeadLettersOf []string
	Redrives      bool
	// Moving is the last time that all were moved back since the process began; nil if there
	// was none.
	Moving *MoveTask
}

// MoveTask is how far it has come to move messages back.
type MoveTask struct {
	Running       bool
	StartedAt     time.Time
	ToMove, Moved int
	// Failure is why it ended early; empty if it did not.
	Failure string
}

// MessagePage is a part of a queue's messages. More may follow after the one named by Next, unless
// it is empty; a page may be short, or have none, and not be the last.
type MessagePage struct {
	Messages []QueueMessage
	Next     string
}

// QueueMessage is a message in a queue.
type QueueMessage struct {
	// Name is what the port calls it by, and ID the queue's own id.
	Name, ID string
	SentAt   time.Time
	// FirstReceivedAt is zero before the first receive, and HiddenUntil unless it is hidden.
	FirstReceivedAt, HiddenUntil time.Time
	Receives                     int
	// From is the queue that it was moved from as a dead letter; empty if it was sent here.
	From string
	// Kind is empty if the message is not understood; it then is of no tenant.
	Kind MessageKind
	// Tenant and OrderID are empty if it is of none.
	Tenant, OrderID string
	// Event tells what a webhook is told; it is zero for other kinds.
	Event MessageEvent
	// Body is the beginning of it, and Size the length of all of it in bytes.
	Body string
	Size int
}

// MessageEvent is what a message asks to tell a webhook.
type MessageEvent struct{ Webhook, ID, Type string }

// MessageKind is what a message is about.
type MessageKind string

// The kinds.
const (
	ChargeMessage         MessageKind = "Charge"
	RefundMessage         MessageKind = "Refund"
	WebhookMessage        MessageKind = "Webhook"
	ReconciliationMessage MessageKind = "Reconciliation"
)

func (s *console) queueRoutes(see, act route) {
	see(Root+"/queues", s.listQueues)
	see(Root+"/queues/{name}", s.showQueue)
	act(Root+"/queues/{name}/redrive", s.redriveAll)
	act(Root+"/queues/{name}/messages/{message}/redrive", s.redriveOne)
}

// seesAll reports whether a session may see what is of all tenants, or of none.
func (s *console) seesAll(session Session) bool {
	return s.SignIn == nil || session.Every
}

// whose returns the tenant whose messages the session of a request sees; it is empty for nobody's.
func (s *console) whose(r *http.Request) string {
	session, _ := SessionOf(r.Context())
	switch {
	case s.seesAll(session):
		return AllTenants
	case session.Tenant == AllTenants:
		return "" // an account of that name without the right to it
	}
	return session.Tenant
}

// Rules says what becomes of a message that nobody deletes.
func (q QueueInfo) Rules() string {
	text := "hidden for " + long(q.VisibilityTimeout) + " by each receive"
	if q.Delay > 0 {
		text = "delayed by " + long(q.Delay) + ", " + text
	}
	text += ", kept for " + long(q.Retention)
	if q.DeadLetterQueue != "" {
		text += ", a dead letter after " + strconv.Itoa(q.MaxReceives) + " receives"
	}
	return text
}

// Givers are those who give up messages to the queue, in words.
func (q QueueInfo) Givers() string { return strings.Join(q.DeadLettersOf, ", ") }

func (s *console) listQueues(w http.ResponseWriter, r *http.Request) {
	queues, err := s.Local.Queues.List(r.Context())
	if err != nil {
		s.failed(w, r, "list queues", err)
		return
	}
	view := struct {
		// All is false for those who may see their own messages only.
		All    bool
		Queues []QueueInfo
	}{s.whose(r) == AllTenants, queues}
	status := http.StatusOK
	if !view.All {
		status = http.StatusForbidden
	}
	s.render(w, r, status, "queues.html", page{Title: "Queues", Area: "queues"}, view)
}

type queuePage struct {
	Queue QueueInfo
	// All says that the session sees the messages of all tenants, and may move all of them.
	All, Operate bool
	Messages     []messageView
	// URL is that of this page, and Query what it ends with. Next is the URL of the next page,
	// and First that of the first; each is empty if there is none, or this is it.
	URL, Query, Next, First string
	// Done is what an action did, Refused why it did nothing.
	Done, Refused string
}

// Moves reports whether messages are being moved back just now.
func (v queuePage) Moves() bool { return v.Queue.Moving != nil && v.Queue.Moving.Running }

// Movable reports whether a message can be moved back, by this session.
func (v queuePage) Movable(m messageView) bool {
	return v.Queue.Redrives && v.Operate && m.HiddenUntil.IsZero()
}

// messageView is a message joined with its order.
type messageView struct {
	QueueMessage

	// Link is the page of its order; empty if there is none for this session.
	Link string
	// Status is the order's, and Why what keeps it from its end, as the API tells.
	Status, Why string
}

// State is ready if the message can be received, and otherwise why not.
func (m messageView) State() string {
	switch {
	case m.HiddenUntil.IsZero():
		return "ready"
	case m.Receives > 0:
		return "in flight"
	default:
		return "delayed"
	}
}

func (s *console) showQueue(w http.ResponseWriter, r *http.Request) {
	s.queuePage(w, r, http.StatusOK, queuePage{})
}

// queuePage shows a queue, and view's Done or Refused.
func (s *console) queuePage(w http.ResponseWriter, r *http.Request, status int, view queuePage) {
	queue, ok := s.queue(w, r)
	if !ok {
		return
	}
	session, _ := SessionOf(r.Context())
	view.Queue, view.Operate, view.All = queue, session.Operate, s.seesAll(session)
	if !view.All {
		view.Queue.Moving = nil // it is about everybody's
	}
	after := r.URL.Query().Get("after")
	found, err := s.Local.Queues.Messages(r.Context(), queue.Name, s.whose(r), after)
	refusal := new(Refusal)
	switch {
	case errors.As(err, &refusal):
		s.render(w, r, http.StatusBadRequest, "problem.html", page{Title: "Not understood", Area: "queues"}, refusal.Text)
		return
	case err != nil:
		s.failed(w, r, "list the messages of a queue", err)
		return
	}
	view.URL = Root + "/queues/" + url.PathEscape(queue.Name)
	if found.Next != "" {
		view.Next = view.URL + "?" + url.Values{"after": {found.Next}}.Encode()
	}
	if after != "" {
		view.First, view.Query = view.URL, "?"+url.Values{"after": {after}}.Encode()
		view.URL += view.Query
	}
	for _, m := range found.Messages {
		view.Messages = append(view.Messages, s.joined(r, session, m))
	}
	s.render(w, r, status, "queue.html", page{Title: queue.Name, Area: "queues"}, view)
}

// queue returns the queue that a request names. If ok is false, the request has been answered.
func (s *console) queue(w http.ResponseWriter, r *http.Request) (queue QueueInfo, ok bool) {
	queues, err := s.Local.Queues.List(r.Context())
	if err != nil {
		s.failed(w, r, "list queues", err)
		return QueueInfo{}, false
	}
	for _, q := range queues {
		if q.Name == r.PathValue("name") {
			return q, true
		}
	}
	s.render(w, r, http.StatusNotFound, "problem.html", page{Title: "No such queue", Area: "queues"}, "There is no queue of this name.")
	return QueueInfo{}, false
}

// joined adds to a message what the API tells this session of what it is about.
func (s *console) joined(r *http.Request, session Session, m QueueMessage) messageView {
	v := messageView{QueueMessage: m}
	switch m.Tenant {
	case "":
		return v
	case session.Tenant:
	default:
		v.Why = "It is another tenant's, whose orders this session does not see."
		return v
	}
	if m.OrderID != "" {
		var o wire.OrderBody
		if v.Why = s.read(r, pathOf("orders", m.OrderID), &o); v.Why == "" {
			v.Link, v.Status, v.Why = Root+pathOf("orders", m.OrderID), o.Status, why(m.Kind, o)
		}
	}
	if m.Kind == WebhookMessage {
		var e endpoint
		if v.Why = s.read(r, pathOf("webhooks", m.Event.Webhook), &e); v.Why == "" {
			v.Why = e.why(m.Event.ID)
		}
	}
	return v
}

// read reads what the API has at a path. If it has nothing, refused says why.
func (s *console) read(r *http.Request, path string, into any) (refused string) {
	a := s.call(r, http.MethodGet, path, nil, "")
	switch {
	case !a.OK():
		return cmp.Or(a.Problem().Detail, "The API answered "+statusText(a.Status)+".")
	case json.Unmarshal(a.Body, into) != nil:
		return "The API's answer could not be read."
	}
	return ""
}

// why returns what keeps an order from its end, or what ended it.
func why(kind MessageKind, o wire.OrderBody) string {
	switch {
	case kind == RefundMessage && len(o.Refunds) > 0:
		last := o.Refunds[len(o.Refunds)-1]
		return strings.TrimSuffix("The refund is "+last.Status+": "+last.Code, ": ")
	case o.Failure != nil:
		return o.Failure.Code + ": " + o.Failure.Message
	case order.Status(o.Status).End():
		return ""
	case len(o.Attempts) > 0:
		last := o.Attempts[len(o.Attempts)-1]
		text := strings.TrimSuffix(fmt.Sprintf("Attempt %d, %s: %s", last.Number, last.Outcome, last.Code), ": ")
		if o.NextAt != "" {
			text += "; the next is due at " + stamp(parseTime(o.NextAt))
		}
		return text
	}
	return "It has not been attempted yet."
}

// why returns why an event has not been delivered; it is empty if that is not known.
func (e endpoint) why(event string) string {
	for _, d := range e.Failures {
		if d.EventID == event {
			return "The last delivery: " + d.Outcome()
		}
	}
	if e.Status == "disabled" {
		return "The webhook is disabled."
	}
	return ""
}

func (s *console) redriveAll(w http.ResponseWriter, r *http.Request) {
	if s.whose(r) != AllTenants {
		s.render(w, r, http.StatusForbidden, "problem.html", page{Title: "Not allowed", Area: "queues"},
			"All messages of a queue are of more than your tenant: move yours back one by one.")
		return
	}
	s.redriven(w, r, s.Local.Queues.RedriveAll(r.Context(), r.PathValue("name")), "The messages are being moved back.")
}

func (s *console) redriveOne(w http.ResponseWriter, r *http.Request) {
	err := s.Local.Queues.Redrive(r.Context(), r.PathValue("name"), s.whose(r), r.PathValue("message"))
	s.redriven(w, r, err, "The message was moved back, as a new one.")
}

// redriven shows what became of an action.
func (s *console) redriven(w http.ResponseWriter, r *http.Request, err error, done string) {
	refusal := new(Refusal)
	switch {
	case err == nil:
		s.queuePage(w, r, http.StatusOK, queuePage{Done: done})
	case errors.As(err, &refusal):
		s.queuePage(w, r, http.StatusConflict, queuePage{Refused: refusal.Text})
	default:
		s.failed(w, r, "move messages back", err)
	}
}

// failed reports that a port failed at something.
func (s *console) failed(w http.ResponseWriter, r *http.Request, doing string, err error) {
	s.Log.ErrorContext(r.Context(), "the console failed", "doing", doing, "error", err)
	s.render(w, r, http.StatusInternalServerError, "problem.html", page{Title: "Something went wrong"},
		"That could not be done: the log says why.")
}

// visible returns a text that anybody may have written so that all of it shows: a dump if it is
// not text, otherwise with names for characters that have no look of their own or change that of
// others.
func visible(text string) string {
	if !utf8.ValidString(text) {
		return hex.Dump([]byte(text))
	}
	var shown strings.Builder
	for _, c := range text {
		if c == '\n' || c == '\t' || unicode.IsPrint(c) {
			shown.WriteRune(c)
		} else {
			fmt.Fprintf(&shown, "⟨%U⟩", c)
		}
	}
	return shown.String()
}

// ago writes how long ago something was, for people.
func ago(now, then time.Time) string {
	return cmp.Or(long(now.Sub(then)), "just now")
}

// long writes a duration in its two greatest units; it is empty for less than a second.
func long(d time.Duration) string {
	var parts []string
	for _, unit := range []struct {
		is   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		if n := d / unit.is; n > 0 && len(parts) < 2 {
			parts = append(parts, strconv.Itoa(int(n))+" "+unit.name)
			d %= unit.is
		} else if len(parts) > 0 {
			break
		}
	}
	return strings.Join(parts, " ")
}

package console

import (
	"strconv"
	"time"

	"paylane/shared/order"
	"paylane/shared/wire"
)

// event is something that happened to an order, or will.
type event struct {
	At    time.Time
	Title string
	// Untimed says that At only gives the event its place.
	Untimed bool
	// Detail is what more there is to say; empty for nothing.
	Detail string
	// Tone is good, bad, wait or plain: what the event means for the order.
	Tone string
	// Took is how long it took; 0 if that is not known.
	Took time.Duration
	// Until is when it will happen, if it has not yet.
	Until time.Time
}

// inTime orders events.
func inTime(a, b event) int { return a.At.Compare(b.At) }

// story returns what happened to an order, oldest first.
func story(o wire.OrderBody) []event {
	all := []event{{
		At: parseTime(o.CreatedAt), Title: "Placed", Tone: "plain",
		Detail: order.Money{Amount: o.Amount, Currency: order.Currency(o.Currency)}.String(),
	}}
	last := 0
	for _, a := range o.Attempts {
		if a.Number > last+1 {
			all = append(all, event{
				At: all[len(all)-1].At, Untimed: true, Title: strconv.Itoa(a.Number-last-1) + " attempts that are not kept", Tone: "plain",
			})
		}
		last = a.Number
		all = append(all, attempted("Attempt "+strconv.Itoa(a.Number), a))
	}
	if due := parseTime(o.NextAt); !due.IsZero() {
		all = append(all, event{At: due, Untimed: true, Title: "Next attempt", Until: due, Tone: "wait"})
	}
	updated := parseTime(o.UpdatedAt)
	switch order.Status(o.Status) {
	case order.Failed:
		e := event{At: updated, Title: "FAILED", Tone: "bad"}
		if o.Failure != nil {
			e.Detail = o.Failure.Code + ": " + o.Failure.Message
		}
		all = append(all, e)
	case order.Canceled:
		all = append(all, event{At: updated, Title: "CANCELED", Tone: "plain", Detail: "It was never charged."})
	case order.Paid, order.Refunding, order.Refunded:
		all = append(all, paid(o, all[len(all)-1]))
	case order.Pending, order.Processing, order.Void:
	}
	for _, r := range o.Refunds {
		all = append(all, refunded(o, r)...)
	}
	return all
}

// paid is the event that the order was paid: by its last attempt, whose end an order that is old
// does not say.
func paid(o wire.OrderBody, last event) event {
	return event{At: last.At.Add(last.Took), Untimed: last.Took == 0, Title: "PAID", Tone: "good", Detail: o.PaymentRef}
}

func attempted(title string, a wire.AttemptBody) event {
	e := event{At: parseTime(a.StartedAt), Title: title, Detail: a.Outcome}
	if ended := parseTime(a.EndedAt); !ended.IsZero() {
		e.Took = ended.Sub(e.At)
	}
	if a.Code != "" {
		e.Detail += ": " + a.Code
	}
	switch order.Outcome(a.Outcome) {
	case order.OutcomeApproved:
		e.Tone = "good"
	case order.OutcomeDeclined:
		e.Tone = "bad"
	case order.OutcomeUnavailable, order.OutcomeUnknown, order.OutcomePending:
		e.Tone = "wait"
	}
	return e
}

func refunded(o wire.OrderBody, r wire.RefundBody) []event {
	amount := order.Money{Amount: r.Amount, Currency: order.Currency(o.Currency)}.String()
	all := []event{{At: parseTime(r.RequestedAt), Title: "Refund of " + amount + " asked for", Detail: r.Reason, Tone: "plain"}}
	ended := parseTime(r.EndedAt)
	switch order.RefundStatus(r.Status) {
	case order.RefundDone:
		all = append(all, event{At: ended, Title: "Refunded " + amount, Detail: r.Ref, Tone: "good"})
	case order.RefundDeclined:
		all = append(all, event{At: ended, Title: "Refund of " + amount + " declined", Detail: r.Code, Tone: "bad"})
	case order.RefundPending:
	}
	return all
}

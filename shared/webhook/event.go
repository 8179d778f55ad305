package webhook

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"paylane/shared/order"
	"paylane/shared/wire"
)

// EventType is what happened, as receivers see it.
type EventType string

// The types of events.
const (
	OrderPaid     EventType = "order.paid"
	OrderFailed   EventType = "order.failed"
	OrderCanceled EventType = "order.canceled"
	OrderRefunded EventType = "order.refunded"
	// Test is sent on request, and to no endpoint that did not ask for it.
	Test EventType = "webhook.test"
)

// EventTypes returns the types that an endpoint can ask for.
func EventTypes() []EventType {
	return []EventType{OrderPaid, OrderFailed, OrderCanceled, OrderRefunded}
}

// Matters reports whether a change from one status to another can be an event. EventOf
// decides; Matters is what can be known without the orders.
func Matters(before, after order.Status) bool {
	return after.End() && after != before && after != order.Void
}

// EventOf returns what a change of an order means to its owner; ok is false if nothing. Before is
// the zero order if there was none.
func EventOf(before, after order.Order) (t EventType, ok bool) {
	if !Matters(before.Status, after.Status) {
		return "", false
	}
	switch {
	case before.Status == order.Refunding:
		last := after.LastRefund()
		return OrderRefunded, last.Status == order.RefundDone
	case after.Status == order.Paid:
		return OrderPaid, true
	case after.Status == order.Failed:
		return OrderFailed, true
	case after.Status == order.Canceled:
		return OrderCanceled, true
	}
	return "", false
}

// Event is an event of an order for one endpoint.
type Event struct {
	// ID is the webhook-id.
	ID   string
	Type EventType
	// At is when it happened.
	At time.Time
	// Number counts the events of the order, from 1. 0 is for an event that is of no order.
	Number int
	// Before is the event of the same order before this one; its type is empty if there is none.
	Before Previous
	// Data is the order as it then was, as GET shows it.
	Data json.RawMessage
}

// Previous is about the event before.
type Previous struct {
	Type EventType
	// At is when it happened, or a moment before that.
	At time.Time
}

// NewEvent returns the event of a change for an endpoint. After is the order as the change left
// it.
func NewEvent(t EventType, after order.Order, endpointID string) (Event, error) {
	data, err := encode(wire.NewOrderBody(after))
	if err != nil {
		return Event{}, err
	}
	e := Event{ID: eventID(after, endpointID), Type: t, At: after.UpdatedAt, Data: data}
	e.Number, e.Before = place(t, after)
	return e, nil
}

// eventID is a UUIDv5, so that whoever computes it again gets the same.
func eventID(o order.Order, endpointID string) string {
	name := strconv.Itoa(len(o.Tenant)) + "/" + o.Tenant + "/" + o.ID + "/" + strconv.FormatInt(o.Version, 10) + "/" + endpointID
	return "evt_" + uuid.NewSHA1(uuid.NameSpaceURL, []byte("paylane:webhook/"+name)).String()
}

// place returns the number of an order's event, and what is known of the one before. Every round
// ends with one event, and every round before the present one ended with FAILED; after the last
// round each refund that was made is one.
func place(t EventType, o order.Order) (number int, before Previous) {
	var made []order.Refund
	for _, r := range o.Refunds {
		if r.Status == order.RefundDone {
			made = append(made, r)
		}
	}
	number = max(o.Round, 1) + len(made)
	switch {
	case t == OrderRefunded && len(made) > 1:
		before = Previous{Type: OrderRefunded, At: made[len(made)-2].EndedAt}
	case t == OrderRefunded:
		before = Previous{Type: OrderPaid, At: o.CreatedAt}
		if last, ok := o.Charge.Last(); ok {
			before.At = last.StartedAt
		}
	case o.Round > 1:
		before = Previous{Type: OrderFailed, At: o.CreatedAt}
	}
	return number, before
}

// Body returns the request's body.
func (e Event) Body() ([]byte, error) {
	return encode(struct {
		Type      EventType       `json:"type"`
		Timestamp string          `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{e.Type, wire.Timestamp(e.At), e.Data})
}

// encode is json.Marshal without HTML's escapes.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// wants reports whether a list of types, of which none means all, has one.
func wants(list []EventType, t EventType) bool {
	return t == Test || len(list) == 0 || slices.Contains(list, t)
}

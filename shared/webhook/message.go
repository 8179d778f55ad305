package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MessageVersion is the version of messages that this build writes and reads.
const MessageVersion = 1

// ErrMessage reports that a message is not about a webhook, or of a version that this build
// can't read.
var ErrMessage = errors.New("not a message about a webhook")

// Message asks a worker to deliver an event to an endpoint. It has the event whole: by the time
// of a later try the order may have moved on. Where it goes and how it is signed is read from the
// endpoint, each time.
type Message struct {
	Tenant     string
	EndpointID string
	// OrderID is empty for an event that is of no order.
	OrderID string
	Event   Event
	// Again says that the endpoint gets the event even if it has taken it.
	Again bool
}

type messageJSON struct {
	Version  int             `json:"version"`
	Tenant   string          `json:"tenant"`
	Endpoint string          `json:"endpoint"`
	OrderID  string          `json:"orderId,omitempty"`
	EventID  string          `json:"eventId"`
	Type     EventType       `json:"type"`
	At       time.Time       `json:"at"`
	Number   int             `json:"number,omitempty"`
	Before   *previousJSON   `json:"before,omitempty"`
	Data     json.RawMessage `json:"data"`
	Again    bool            `json:"again,omitempty"`
}

type previousJSON struct {
	Type EventType `json:"type"`
	At   time.Time `json:"at"`
}

// Encode returns the message's body.
func (m Message) Encode() (string, error) {
	out := messageJSON{
		Version: MessageVersion, Tenant: m.Tenant, Endpoint: m.EndpointID, OrderID: m.OrderID, EventID: m.Event.ID,
		Type: m.Event.Type, At: m.Event.At, Number: m.Event.Number, Data: m.Event.Data, Again: m.Again,
	}
	if m.Event.Before.Type != "" {
		out.Before = (*previousJSON)(&m.Event.Before)
	}
	body, err := encode(out)
	return string(body), err
}

// ParseMessage parses a message's body. The error wraps [ErrMessage] and never repeats the body.
func ParseMessage(body string) (Message, error) {
	var in messageJSON
	if err := json.Unmarshal([]byte(body), &in); err != nil {
		return Message{}, fmt.Errorf("%w: it is not the JSON of one", ErrMessage)
	}
	switch {
	case in.Version != MessageVersion:
		return Message{}, fmt.Errorf("%w: version %d, this build reads %d", ErrMessage, in.Version, MessageVersion)
	case in.Tenant == "" || !ValidID(in.Endpoint) || in.EventID == "" || in.Type == "" || in.At.IsZero() || len(in.Data) == 0:
		return Message{}, fmt.Errorf("%w: a part is missing", ErrMessage)
	case in.Before != nil && in.Before.Type == "":
		return Message{}, fmt.Errorf("%w: the type of the event before is missing", ErrMessage)
	case in.Number < 0 || (in.OrderID == "") != (in.Number == 0):
		return Message{}, fmt.Errorf("%w: it has an order or a number, and not both", ErrMessage)
	}
	m := Message{Tenant: in.Tenant, EndpointID: in.Endpoint, OrderID: in.OrderID, Again: in.Again, Event: Event{
		ID: in.EventID, Type: in.Type, At: in.At.UTC(), Number: in.Number, Data: in.Data,
	}}
	if in.Before != nil {
		m.Event.Before = Previous(*in.Before)
	}
	return m, nil
}

package order

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Kind is what a message asks for.
type Kind string

// The kinds.
const (
	KindCharge Kind = "charge"
	KindRefund Kind = "refund"
)

// MessageVersion is the version of messages that this build writes and reads.
const MessageVersion = 1

// ErrMessage reports that a message is not about an order, or of a version that this build
// can't read.
var ErrMessage = errors.New("not a message about an order")

// Message asks a worker to charge or refund an order. It carries no amount and no token:
// those are read from the order, so a forged message can't change what is charged.
type Message struct {
	Kind  Kind
	Ref   Ref
	Round int
	// Refund counts the order's refunds, from 1: a [KindRefund] is about that one.
	Refund int
}

type messageJSON struct {
	Version int    `json:"version"`
	Kind    Kind   `json:"kind"`
	Tenant  string `json:"tenant"`
	OrderID string `json:"orderId"`
	Round   int    `json:"round"`
	Refund  int    `json:"refund,omitempty"`
}

// Encode returns the message's body.
func (m Message) Encode() string {
	body, err := json.Marshal(messageJSON{
		Version: MessageVersion, Kind: m.Kind, Tenant: m.Ref.Tenant, OrderID: m.Ref.ID, Round: m.Round, Refund: m.Refund,
	})
	if err != nil {
		panic(err) // strings and integers can't fail to encode
	}
	return string(body)
}

// ParseMessage parses a message's body. The error wraps [ErrMessage] and never repeats the
// body.
func ParseMessage(body string) (Message, error) {
	var m messageJSON
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return Message{}, fmt.Errorf("%w: it is not the JSON of one", ErrMessage)
	}
	switch {
	case m.Version != MessageVersion:
		return Message{}, fmt.Errorf("%w: version %d, this build reads %d", ErrMessage, m.Version, MessageVersion)
	case m.Kind != KindCharge && m.Kind != KindRefund:
		return Message{}, fmt.Errorf("%w: unknown kind", ErrMessage)
	case m.Tenant == "" || !ValidID(m.OrderID) || m.Round < 1:
		return Message{}, fmt.Errorf("%w: tenant, orderId or round is missing", ErrMessage)
	}
	if m.Kind == KindRefund && m.Refund < 1 {
		m.Refund = 1 // builds that knew of one refund only did not count
	}
	return Message{Kind: m.Kind, Ref: Ref{Tenant: m.Tenant, ID: m.OrderID}, Round: m.Round, Refund: m.Refund}, nil
}

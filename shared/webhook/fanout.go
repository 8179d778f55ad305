package webhook

import (
	"context"
	"fmt"
	"time"

	"paylane/shared/document"
	"paylane/shared/order"
)

// FanoutConfig is what [Fanout] needs. All fields are required.
type FanoutConfig struct {
	Documents document.Store
	Queue     Sender
}

// clocksApart is how far the clocks of two functions may be apart: the api function says when an
// endpoint was registered, the payment function when an order ended.
const clocksApart = time.Minute

// Fanout sends a message for each event and each endpoint that asked for it. It stands changes
// that come again: the messages then come again, too, with the same event ids.
type Fanout struct{ FanoutConfig }

// NewFanout returns a Fanout.
func NewFanout(c FanoutConfig) *Fanout { return &Fanout{c} }

// Batch looks up the endpoints of each tenant once.
func (f *Fanout) Batch() *Batch { return &Batch{fanout: f, endpoints: make(map[string][]Endpoint)} }

// Batch is a batch of changes. It must not be used concurrently.
type Batch struct {
	fanout    *Fanout
	endpoints map[string][]Endpoint // by tenant
}

// Changed sends the messages of a change of an order, and returns how many; none unless the change is
// an event. An endpoint is not told of what happened before it was registered, but for the last
// minute before, which clocks can't tell from the first after. Before is the zero order if there
// was none. After an error some may have been sent;
// all of it may be done again.
func (b *Batch) Changed(ctx context.Context, before, after order.Order) (sent int, err error) {
	t, ok := EventOf(before, after)
	if !ok {
		return 0, nil
	}
	endpoints, known := b.endpoints[after.Tenant]
	if !known {
		r, err := readRegistry(ctx, b.fanout.Documents, after.Tenant)
		if err != nil {
			return 0, err
		}
		endpoints = r.endpoints
		b.endpoints[after.Tenant] = endpoints
	}
	for _, e := range endpoints {
		if !e.DisabledAt.IsZero() || !wants(e.Events, t) || e.CreatedAt.After(after.UpdatedAt.Add(clocksApart)) {
			continue
		}
		event, err := NewEvent(t, after, e.ID)
		if err != nil {
			return sent, fmt.Errorf("encode an event: %w", err)
		}
		body, err := Message{Tenant: after.Tenant, EndpointID: e.ID, OrderID: after.ID, Event: event}.Encode()
		if err != nil {
			return sent, fmt.Errorf("encode an event: %w", err)
		}
		if _, err := b.fanout.Queue.Send(ctx, body, 0); err != nil {
			return sent, fmt.Errorf("send an event: %w", err)
		}
		sent++
	}
	return sent, nil
}

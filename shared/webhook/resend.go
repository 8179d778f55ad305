package webhook

import (
	"context"
	"errors"
	"fmt"

	"paylane/shared/order"
)

// Errors of [Endpoints.Resend].
var (
	// ErrDisabled reports that the endpoint is disabled.
	ErrDisabled = errors.New("the webhook is disabled; it is enabled again once it takes a test event")
	// ErrMoved reports that the order is not as the event left it, or that there was no such event.
	ErrMoved = errors.New("the order has changed since that event")
)

// Resend sends an event of an order to an endpoint again, with its id, also if the endpoint has
// taken it. O is the order as it now is. Only if it has not changed since can the event be made
// again, which its id proves. The error is [ErrNotFound], [ErrDisabled] or [ErrMoved].
func (e *Endpoints) Resend(ctx context.Context, endpointID, eventID string, o order.Order) error {
	r, err := readRegistry(ctx, e.Documents, o.Tenant)
	if err != nil {
		return err
	}
	endpoint, _, ok := find(r.endpoints, endpointID)
	switch {
	case !ok:
		return ErrNotFound
	case !endpoint.DisabledAt.IsZero():
		return ErrDisabled
	}
	// An order that has refunds came from one to where it is.
	before := order.Order{Status: order.Processing}
	if len(o.Refunds) > 0 {
		before.Status = order.Refunding
	}
	t, ok := EventOf(before, o)
	event, err := NewEvent(t, o, endpointID)
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	if !ok || event.ID != eventID {
		return ErrMoved
	}
	body, err := Message{Tenant: o.Tenant, EndpointID: endpointID, OrderID: o.ID, Event: event, Again: true}.Encode()
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	if _, err := e.Queue.Send(ctx, body, 0); err != nil {
		return fmt.Errorf("send an event again: %w", err)
	}
	return nil
}

package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"paylane/shared/order"
)

// Errors of [Endpoints.Resend].
var (
	// ErrDisabled reports that the endpoint is disabled.
	ErrDisabled = errors.New("the webhook is disabled; it is enabled again once it takes a test event")
	// ErrMoved reports that the order is not as the event left it, or that there was no such event.
	ErrMoved = errors.New("the order has changed since that event")
)

// OrderDeliveries are the deliveries of an order's events to one endpoint, as far as is known.
type OrderDeliveries struct {
	EndpointID string
	// Host is the host of its URL.
	Host string
	// Taken is the number of the newest event that the endpoint has taken, and TakenAt when, in
	// whole seconds; 0 if it has taken none, or that was forgotten.
	Taken   int
	TakenAt time.Time
	// Tries are those that the endpoint's health has, the newest first: all that is known of them,
	// and not all there were.
	Tries []Delivery
}

// Deliveries returns, for each of the tenant's endpoints of which there is something to tell, what
// is known of the deliveries of an order's events.
func (e *Endpoints) Deliveries(ctx context.Context, tenant, orderID string) ([]OrderDeliveries, error) {
	r, err := readRegistry(ctx, e.Documents, tenant)
	if err != nil {
		return nil, err
	}
	var all []OrderDeliveries
	for _, endpoint := range r.endpoints {
		_, health, err := readHealth(ctx, e.Documents, tenant, endpoint.ID)
		if err != nil {
			return nil, err
		}
		taken, err := readSent(ctx, e.Documents, tenant, endpoint.ID, orderID)
		if err != nil {
			return nil, err
		}
		known := OrderDeliveries{EndpointID: endpoint.ID, Taken: taken.number, Tries: health.of(orderID)}
		if taken.number > 0 {
			known.TakenAt = taken.ExpiresAt.Add(-sentFor)
		}
		if u, err := url.Parse(endpoint.URL); err == nil {
			known.Host = u.Host
		}
		if known.Taken > 0 || len(known.Tries) > 0 {
			all = append(all, known)
		}
	}
	return all, nil
}

// of returns the deliveries of an order's events, the newest first.
func (h Health) of(orderID string) []Delivery {
	tries := slices.DeleteFunc(slices.Concat(h.Successes, h.Failures), func(d Delivery) bool { return d.OrderID != orderID })
	slices.SortStableFunc(tries, func(a, b Delivery) int { return b.At.Compare(a.At) })
	return tries
}

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

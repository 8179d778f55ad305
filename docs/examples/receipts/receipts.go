// Package receipts is an example: a second asynchronous job, which mails a receipt once an
// order is PAID.
package receipts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"paylane/shared/job"
	"paylane/shared/order"
)

// Message asks for the receipt of an order.
type Message struct {
	Tenant  string `json:"tenant"`
	OrderID string `json:"orderId"`
}

// Worker is a [job.Worker]. All fields are required.
type Worker struct {
	Orders interface {
		Get(ctx context.Context, ref order.Ref) (order.Order, error)
	}
	// Mail sends a receipt. SQS may deliver a message twice, so it must do nothing for an
	// order whose receipt it has sent.
	Mail func(ctx context.Context, o order.Order) error
	// Jitter returns a number from 0 to n-1, for n > 0.
	Jitter func(n int) int
}

// Handle implements [job.Worker].
func (w Worker) Handle(ctx context.Context, d job.Delivery) job.Verdict {
	var m Message
	if err := json.Unmarshal([]byte(d.Body), &m); err != nil || m.Tenant == "" || !order.ValidID(m.OrderID) {
		return job.Verdict{Next: job.Again, Result: job.ResultPoison, Err: errors.New("not a message about a receipt")}
	}
	v := job.Verdict{
		After: job.Backoff(d.ReceiveCount, w.Jitter),
		Attrs: []slog.Attr{slog.String("tenant", m.Tenant), slog.String("order_id", m.OrderID)},
	}
	o, err := w.Orders.Get(ctx, order.Ref{Tenant: m.Tenant, ID: m.OrderID})
	switch {
	case errors.Is(err, order.ErrNotFound):
		v.Next, v.Result = job.Again, "early" // the message is sent before the order is written
	case err != nil:
		v.Next, v.Result, v.Err = job.Again, job.ResultError, fmt.Errorf("read the order: %w", err)
	case !o.Status.End():
		v.Next, v.Result = job.Again, "early"
	case o.Status != order.Paid:
		v.Next, v.Result = job.Done, "unpaid"
	default:
		v.Next, v.Result = job.Done, "mailed"
		if err := w.Mail(ctx, o); err != nil {
			v.Next, v.Result, v.Err = job.Again, job.ResultError, fmt.Errorf("mail the receipt: %w", err)
		}
	}
	return v
}

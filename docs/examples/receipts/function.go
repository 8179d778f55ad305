package receipts

import (
	"context"
	"fmt"

	"github.com/caarlos0/env/v11"

	"paylane/shared/handlers"
	"paylane/shared/job"
	"paylane/shared/order"
)

type environment struct {
	OrdersTable string `env:"ORDERS_TABLE,required,notEmpty"`
	QueueURL    string `env:"RECEIPT_QUEUE_URL,required,notEmpty"`
}

// Function returns the handler of the receipts function. In shared/handlers it would be a
// file of its own, without the mailer as an argument.
func Function(variables map[string]string, s handlers.Services, mail func(context.Context, order.Order) error) (handlers.SQSHandler, error) {
	e, err := env.ParseAsWithOptions[environment](env.Options{Environment: variables})
	if err != nil {
		return nil, fmt.Errorf("read the environment: %w", err)
	}
	queue, err := s.Queue(e.QueueURL)
	if err != nil {
		return nil, err
	}
	return job.Handler(job.Config{
		Worker: Worker{Orders: s.Store(e.OrdersTable), Mail: mail, Jitter: s.Jitter},
		Queue:  queue, Now: s.Now, Log: s.Log,
	}), nil
}

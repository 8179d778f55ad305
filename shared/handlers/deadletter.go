package handlers

import (
	"paylane/shared/handlers/internal/environ"
	"paylane/shared/pipeline"
)

type deadLetterEnvironment struct {
	Orders   environ.OrdersTable
	QueueURL string `env:"DEAD_LETTER_QUEUE_URL,required,notEmpty"`
	// Payments takes back the messages of orders that were never attempted.
	Payments environ.PaymentQueue
	Gateway  environ.PaymentGateway
}

// DeadLetter returns the handler of the deadletter function: it finishes what the payment
// function could not.
func DeadLetter(environment map[string]string, s Services) (SQSHandler, error) {
	e, err := environ.Parse[deadLetterEnvironment](environment)
	if err != nil {
		return nil, err
	}
	s = s.measured()
	worker, err := s.worker(e.Orders, e.Gateway)
	if err != nil {
		return nil, err
	}
	payments, err := s.queue(e.Payments.Variable(), e.Payments.URL)
	if err != nil {
		return nil, err
	}
	return s.job(pipeline.NewDeadLetters(worker, payments), "DEAD_LETTER_QUEUE_URL", e.QueueURL)
}

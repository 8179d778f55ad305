// Command payment is the Lambda function behind the payment queue: it charges orders
// and makes refunds.
package main

import (
	"math/rand/v2"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"paylane/functions/internal/lambdaenv"
	"paylane/shared/gateway/simulator"
	"paylane/shared/handlers"
)

type config struct {
	lambdaenv.AWS
	OrdersTable     string `env:"ORDERS_TABLE,required,notEmpty"`
	PaymentQueueURL string `env:"PAYMENT_QUEUE_URL,required,notEmpty"`
}

func main() {
	c := lambdaenv.Parse[config]()
	lambda.Start(handlers.Payment(handlers.WorkerConfig{
		Store: c.Store(c.OrdersTable), Queue: c.Queue(c.PaymentQueueURL),
		Gateway: simulator.New(time.Now), Now: time.Now, Jitter: rand.IntN, Log: lambdaenv.Logger(), Telemetry: c.Telemetry(time.Now),
	}))
}

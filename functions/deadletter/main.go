// Command deadletter is the Lambda function behind the dead-letter queue: it finishes
// what the payment function could not.
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
	OrdersTable        string `env:"ORDERS_TABLE,required,notEmpty"`
	DeadLetterQueueURL string `env:"DEAD_LETTER_QUEUE_URL,required,notEmpty"`
}

func main() {
	c := lambdaenv.Parse[config]()
	lambda.Start(handlers.DeadLetter(handlers.WorkerConfig{
		Store: c.Store(c.OrdersTable), Queue: c.Queue(c.DeadLetterQueueURL),
		Gateway: simulator.New(time.Now), Now: time.Now, Jitter: rand.IntN, Log: lambdaenv.Logger(), Telemetry: c.Telemetry(time.Now),
	}))
}

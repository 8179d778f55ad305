// Command reconcile is the Lambda function that compares all orders with what the
// gateway says of them: by schedule, by hand, and by its own queue where one invocation
// is too short.
package main

import (
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"paylane/functions/internal/lambdaenv"
	"paylane/shared/gateway/simulator"
	"paylane/shared/handlers"
)

type config struct {
	lambdaenv.AWS
	OrdersTable       string `env:"ORDERS_TABLE,required,notEmpty"`
	ReconcileQueueURL string `env:"RECONCILE_QUEUE_URL,required,notEmpty"`
	// ReconcileDays is how far back a scheduled run goes.
	ReconcileDays lambdaenv.Positive `env:"RECONCILE_DAYS" envDefault:"35"`
	// ReconcileRate is how often it asks the gateway a second.
	ReconcileRate lambdaenv.Positive `env:"RECONCILE_RATE" envDefault:"50"`
	// StuckAfter is how long an open order rests before it is settled from the gateway's
	// answer: longer than any backlog of payments that is still to be worked off.
	StuckAfter time.Duration `env:"RECONCILE_STUCK_AFTER" envDefault:"24h"`
}

func main() {
	c := lambdaenv.Parse[config]()
	lambda.Start(handlers.Reconcile(handlers.ReconcileConfig{
		Store: c.Store(c.OrdersTable), Queue: c.Queue(c.ReconcileQueueURL),
		Gateway: simulator.New(time.Now), Now: time.Now,
		Days: int(c.ReconcileDays), Rate: int(c.ReconcileRate), StuckAfter: c.StuckAfter, Log: lambdaenv.Logger(),
		Telemetry: c.Telemetry(time.Now),
	}))
}

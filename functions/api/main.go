// Command api is the Lambda function behind the HTTP API: it takes orders and tells
// about them.
package main

import (
	"os"
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
	// AuthMode is jwt, or none to take every caller for the tenant "local".
	AuthMode    string `env:"AUTH_MODE" envDefault:"jwt"`
	TenantClaim string `env:"TENANT_CLAIM" envDefault:"client_id"`
	// EventsURL is the stream function's; empty if the API's own origin serves it, too.
	EventsURL string `env:"EVENTS_URL"`
}

func main() {
	c, log := lambdaenv.Parse[config](), lambdaenv.Logger()
	tenant, err := handlers.TenantBy(c.AuthMode, c.TenantClaim)
	if err != nil {
		log.Error("can't start", "error", err)
		os.Exit(1)
	}
	lambda.Start(handlers.API(handlers.APIConfig{
		Store: c.Store(c.OrdersTable), Payments: c.Queue(c.PaymentQueueURL),
		Tokens: simulator.New(time.Now), Tenant: tenant, EventsURL: c.EventsURL,
		Now: time.Now, Log: log, Telemetry: c.Telemetry(time.Now),
	}))
}

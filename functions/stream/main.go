// Command stream is the Lambda function behind the Function URL: it tells of an order's
// changes as they happen.
package main

import (
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"paylane/functions/internal/lambdaenv"
	"paylane/shared/accesstoken"
	"paylane/shared/handlers"
)

type config struct {
	lambdaenv.AWS
	OrdersTable string `env:"ORDERS_TABLE,required,notEmpty"`
	// AuthMode is jwt, or none to take every caller for the tenant "local". Behind a
	// Function URL nobody has looked at the token yet: this function must.
	AuthMode string `env:"AUTH_MODE" envDefault:"jwt"`
	// Issuer and Audience say whose tokens are good.
	TenantClaim string   `env:"TENANT_CLAIM" envDefault:"client_id"`
	Issuer      string   `env:"ISSUER"`
	Audience    []string `env:"AUDIENCE"`
}

func main() {
	c, log := lambdaenv.Parse[config](), lambdaenv.Logger()
	authenticate, err := handlers.TenantFromToken(c.AuthMode, c.TenantClaim, accesstoken.Config{Issuer: c.Issuer, Audience: c.Audience, Log: log})
	if err != nil {
		log.Error("can't start", "error", err)
		os.Exit(1)
	}
	lambda.Start(handlers.Stream(handlers.StreamConfig{
		Store: c.Store(c.OrdersTable), Authenticate: authenticate, Log: log, Telemetry: c.Telemetry(time.Now),
	}))
}

// Command payment is the Lambda function behind the payment queue: it charges orders and makes
// refunds.
package main

import (
	"paylane/functions/internal/gatewaykey"
	"paylane/functions/internal/lambdaenv"
	"paylane/shared/handlers"
)

func main() { lambdaenv.Run(handlers.Payment, gatewaykey.New) }

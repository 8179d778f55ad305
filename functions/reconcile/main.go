// Command reconcile is the Lambda function that compares all orders with the gateway's records: by
// schedule, by hand, and by its own queue if one invocation is too short.
package main

import (
	"paylane/functions/internal/gatewaykey"
	"paylane/functions/internal/lambdaenv"
	"paylane/shared/handlers"
)

func main() { lambdaenv.Run(handlers.Reconcile, gatewaykey.New) }

// Command fanout is the Lambda function that tells webhooks of the orders' changes.
package main

import (
	"paylane/functions/internal/lambdaenv"
	"paylane/shared/handlers"
)

func main() { lambdaenv.Run(handlers.Fanout) }

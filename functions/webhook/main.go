// Command webhook is the Lambda function that posts events to webhooks.
package main

import (
	"paylane/functions/internal/lambdaenv"
	"paylane/shared/handlers"
)

func main() { lambdaenv.Run(handlers.Webhook) }

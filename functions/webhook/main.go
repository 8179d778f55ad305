// Command webhook is the Lambda function that posts events to webhooks.
package main

import (
	"github.com/aws/aws-sdk-go-v2/aws"

	"paylane/functions/internal/lambdaenv"
	"paylane/shared/handlers"
	"paylane/shared/webhook/outbound"
)

func main() {
	lambdaenv.RunWith(func(environment map[string]string, s handlers.Services, c aws.Config) (handlers.SQSHandler, error) {
		s.Webhooks = outbound.New(lambdaenv.WebhookPolicy(c), s.Now)
		return handlers.Webhook(environment, s)
	})
}

// Command smoke is the Lambda function that tests the new code of a deployment.
package main

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"paylane/functions/internal/lambdaenv"
	"paylane/shared/handlers"
	"paylane/shared/handlers/hook"
)

func main() {
	lambdaenv.RunWith(func(environment map[string]string, s handlers.Services, c aws.Config) (hook.Handler, error) {
		return hook.New(environment, hook.Services{
			Functions: lambda.NewFromConfig(c), Deployments: codedeploy.NewFromConfig(c), Gateway: s.Gateway, Log: s.Log,
		})
	})
}

// Command smoke is the Lambda function that tests the new code at the end of a
// deployment.
package main

import (
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	lambdaapi "github.com/aws/aws-sdk-go-v2/service/lambda"

	"paylane/functions/internal/lambdaenv"
	"paylane/shared/gateway/simulator"
	"paylane/shared/smoke/hook"
)

type config struct {
	lambdaenv.AWS
	// APIFunction is the api function with its alias, as name:alias.
	APIFunction string `env:"API_FUNCTION,required,notEmpty"`
	TenantClaim string `env:"TENANT_CLAIM" envDefault:"client_id"`
}

func main() {
	c := lambdaenv.Parse[config]()
	lambda.Start(hook.New(hook.Config{
		Functions: lambdaapi.NewFromConfig(c.Config()), Deployments: codedeploy.NewFromConfig(c.Config()),
		API: c.APIFunction, TenantClaim: c.TenantClaim, Tokens: simulator.New(time.Now).Describe(), Log: lambdaenv.Logger(),
	}))
}

// Command reporter answers with its environment variables.
package main

import (
	"context"
	"os"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(context.Context, events.LambdaFunctionURLRequest) (map[string]string, error) {
		variables := make(map[string]string)
		for _, variable := range os.Environ() {
			name, value, _ := strings.Cut(variable, "=")
			variables[name] = value
		}
		return variables, nil
	})
}

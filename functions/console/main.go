// Command console is the Lambda function that serves the web console.
package main

import (
	"paylane/functions/internal/lambdaenv"
	"paylane/shared/handlers"
)

func main() { lambdaenv.Run(handlers.Console) }

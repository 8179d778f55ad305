// Command stream is the Lambda function behind the Function URL: it streams an order's changes as
// they happen.
package main

import (
	"paylane/functions/internal/lambdaenv"
	"paylane/shared/handlers"
)

func main() { lambdaenv.Run(handlers.Stream) }

// Command api is the Lambda function behind the HTTP API: it takes orders and shows them.
package main

import (
	"paylane/functions/internal/lambdaenv"
	"paylane/shared/handlers"
)

func main() { lambdaenv.Run(handlers.API) }

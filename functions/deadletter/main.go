// Command deadletter is the Lambda function behind the dead-letter queue: it finishes what the
// payment function could not.
package main

import (
	"paylane/functions/internal/gatewaykey"
	"paylane/functions/internal/lambdaenv"
	"paylane/shared/handlers"
)

func main() { lambdaenv.Run(handlers.DeadLetter, gatewaykey.New) }

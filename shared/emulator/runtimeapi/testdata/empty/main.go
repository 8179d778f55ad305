// Command empty is a Lambda function that does nothing: the benchmark compares with its
// start, which is aws-lambda-go's own.
package main

import "github.com/aws/aws-lambda-go/lambda"

func main() { lambda.Start(func() {}) }

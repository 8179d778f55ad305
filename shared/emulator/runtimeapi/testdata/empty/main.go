// Command empty is a Lambda function that does nothing: what aws-lambda-go itself needs
// to start, which the benchmark compares with.
package main

import "github.com/aws/aws-lambda-go/lambda"

func main() { lambda.Start(func() {}) }

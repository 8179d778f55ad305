// Command both lists the queues with either version of AWS's SDK, as a function does that
// has only ever run on Lambda.
package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	configv2 "github.com/aws/aws-sdk-go-v2/config"
	sqsv2 "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/sqs"
)

func main() {
	internetIsAListener()
	lambda.Start(func(ctx context.Context, r events.LambdaFunctionURLRequest) (map[string]any, error) {
		list := listV1
		if r.RawPath == "/v2" {
			list = listV2
		}
		urls, err := list(ctx)
		answer := map[string]any{
			"urls": urls, "error": "", "credentials": os.Getenv("AWS_SHARED_CREDENTIALS_FILE"),
			"key": os.Getenv("AWS_ACCESS_KEY_ID"), "secret": os.Getenv("AWS_SECRET_ACCESS_KEY"), "token": os.Getenv("AWS_SESSION_TOKEN"),
		}
		if err != nil {
			answer["error"] = err.Error()
		}
		return answer, nil
	})
}

func listV1(ctx context.Context) (urls []string, err error) {
	created, err := session.NewSession()
	if err != nil {
		return nil, err
	}
	list, err := sqs.New(created).ListQueuesWithContext(ctx, &sqs.ListQueuesInput{})
	if err != nil {
		return nil, err
	}
	return aws.StringValueSlice(list.QueueUrls), nil
}

func listV2(ctx context.Context) (urls []string, err error) {
	config, err := configv2.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	list, err := sqsv2.NewFromConfig(config).ListQueues(ctx, &sqsv2.ListQueuesInput{})
	if err != nil {
		return nil, err
	}
	return list.QueueUrls, nil
}

// internetIsAListener leads connections to other machines to the listener at INTERNET,
// whose certificate is not looked at. Only names and addresses change: whether a proxy is
// used, for one, is decided before.
func internetIsAListener() {
	transport := http.DefaultTransport.(*http.Transport) // the SDK's, in version 1
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			address = os.Getenv("INTERNET")
		}
		return dial(ctx, network, address)
	}
}

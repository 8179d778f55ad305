// Package awstest is for tests of AWS's protocols: [Config] is for those that need a
// LocalStack, and a [Fake] does what a real service does only now and then, such as
// throttling a call or losing its answer.
package awstest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const advice = `set AWS_ENDPOINT_URL to that of a running LocalStack, such as "http://127.0.0.1:4566", or run "make integration"`

// Config returns a configuration for clients of the LocalStack at AWS_ENDPOINT_URL, in an
// account that no other test uses, and that account. Without a LocalStack the test fails.
func Config(tb testing.TB) (c aws.Config, account string) {
	tb.Helper()
	endpoint := os.Getenv("AWS_ENDPOINT_URL")
	if endpoint == "" {
		tb.Fatal("this test needs LocalStack: " + advice)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		tb.Fatalf("AWS_ENDPOINT_URL: %v; %s", err, advice)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		tb.Fatalf("nothing answers at AWS_ENDPOINT_URL: %v; %s", err, advice)
	}
	_ = response.Body.Close()
	account = fmt.Sprintf("%012d", 1e11+rand.Int64N(9e11))
	return ConfigAt(endpoint, account), account
}

// ConfigAt returns a configuration for clients of an account at an endpoint. LocalStack
// takes an access key of twelve digits for the account's number.
func ConfigAt(endpoint, account string) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: account, SecretAccessKey: "test"}, nil
		}),
	}
}

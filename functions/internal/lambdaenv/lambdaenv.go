// Package lambdaenv is what the functions' mains share: reading their configuration
// from the environment, once, and making AWS clients from it.
package lambdaenv

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/caarlos0/env/v11"

	"paylane/shared/dynamostore"
	"paylane/shared/sqsqueue"
	"paylane/shared/telemetry"
)

// AWS is the part of Lambda's environment that AWS clients need ("Defined runtime
// environment variables"). The credentials hold for the environment's lifetime.
type AWS struct {
	Region          string `env:"AWS_REGION,required,notEmpty"`
	AccessKeyID     string `env:"AWS_ACCESS_KEY_ID,required,notEmpty"`
	SecretAccessKey string `env:"AWS_SECRET_ACCESS_KEY,required,notEmpty"`
	SessionToken    string `env:"AWS_SESSION_TOKEN"`
	// EndpointURL is set where something else than AWS answers, as LocalStack.
	EndpointURL string `env:"AWS_ENDPOINT_URL"`
	// Stack is the name of the stack, which metrics are told apart by.
	Stack string `env:"STACK_NAME" envDefault:"local"`
}

// Positive is a number of at least 1.
type Positive int

// UnmarshalText reads the number from a variable.
func (p *Positive) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a whole number of at least 1", text)
	}
	*p = Positive(n)
	return nil
}

// Parse reads a configuration of the given type, or ends the process with one line
// that names all that is missing or malformed.
func Parse[T any]() T {
	config, err := env.ParseAs[T]()
	if err != nil {
		Logger().Error("can't start: the environment is not complete", "error", err)
		os.Exit(1)
	}
	return config
}

// Logger writes JSON lines to standard output, which is Lambda's log. They tell which
// invocation they belong to.
func Logger() *slog.Logger { return slog.New(telemetry.Handler(slog.NewJSONHandler(os.Stdout, nil))) }

// Telemetry writes a line for each invocation to the same place.
func (a AWS) Telemetry(now func() time.Time) *telemetry.Recorder {
	return telemetry.NewRecorder(os.Stdout, a.Stack, now)
}

// Store is the orders table.
func (a AWS) Store(table string) *dynamostore.Store {
	return dynamostore.New(dynamodb.NewFromConfig(a.Config()), table, rand.IntN) //nolint:forbidigo // the edge of a function
}

// Queue is the queue with this URL.
func (a AWS) Queue(url string) *sqsqueue.Queue {
	return sqsqueue.New(sqs.NewFromConfig(a.Config()), url, rand.IntN) //nolint:forbidigo // the edge of a function
}

// Config is for clients of any service. It does without the SDK's config package: Lambda
// always sets the same few variables, and looking for files and profiles costs time at
// every cold start.
func (a AWS) Config() aws.Config {
	config := aws.Config{
		Region: a.Region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey, SessionToken: a.SessionToken,
				Source: "environment",
			}, nil
		}),
	}
	if a.EndpointURL != "" {
		config.BaseEndpoint = &a.EndpointURL
	}
	return config
}

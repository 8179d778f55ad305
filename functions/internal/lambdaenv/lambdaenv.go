// Package lambdaenv runs the functions on AWS: it reads the environment, once, and puts the
// functions' services together from it.
package lambdaenv

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/caarlos0/env/v11"

	"paylane/shared/dynamostore"
	"paylane/shared/gateway"
	"paylane/shared/gateway/gateways"
	"paylane/shared/handlers"
	"paylane/shared/sqsqueue"
	"paylane/shared/telemetry"
	"paylane/shared/webhook/outbound"
)

// environment is what every function reads. Most of it is Lambda's own ("Defined runtime
// environment variables"); the credentials hold for as long as the process.
type environment struct {
	Region          string `env:"AWS_REGION,required,notEmpty"`
	AccessKeyID     string `env:"AWS_ACCESS_KEY_ID,required,notEmpty"`
	SecretAccessKey string `env:"AWS_SECRET_ACCESS_KEY,required,notEmpty"`
	SessionToken    string `env:"AWS_SESSION_TOKEN"`
	// EndpointURL is set if something other than AWS answers, such as LocalStack.
	EndpointURL string `env:"AWS_ENDPOINT_URL"`
	// Stack is the dimension of the metrics.
	Stack string `env:"STACK_NAME" envDefault:"local"`
	// RetentionDays is how long an order is kept after it has ended; 0 is without end.
	RetentionDays uint16 `env:"RETENTION_DAYS" envDefault:"0"`
	// Livemode says that the gateway must move money.
	Livemode bool `env:"GATEWAY_LIVEMODE" envDefault:"false"`
	// Release names all that was deployed together: code, template and parameters.
	Release string `env:"RELEASE"`
}

// Secret makes what reads the payment gateway's API key, from the variables that say where it
// is; nil if they don't. See gateways.Config.
type Secret func(variables map[string]string, c aws.Config, now func() time.Time) (func(ctx context.Context, anew bool) (string, error), error)

// Run makes a function's handler and serves it until the process ends. If it can't, it logs
// why, in one line, and exits. Only functions that call the payment gateway are given how to
// read its key, so that no other links it.
func Run[H any](function func(environment map[string]string, s handlers.Services) (H, error), secret ...Secret) {
	RunWith(func(variables map[string]string, s handlers.Services, _ aws.Config) (H, error) {
		return function(variables, s)
	}, secret...)
}

// RunWith is [Run] for a function that calls services of AWS of its own.
func RunWith[H any](function func(environment map[string]string, s handlers.Services, c aws.Config) (H, error), secret ...Secret) {
	log := slog.New(telemetry.Handler(slog.NewJSONHandler(os.Stdout, nil)))
	handler, err := start(log, function, secret...)
	if err != nil {
		log.Error("can't start", "error", err)
		os.Exit(1)
	}
	lambda.Start(handler)
}

func start[H any](log *slog.Logger, function func(map[string]string, handlers.Services, aws.Config) (H, error), secret ...Secret) (handler H, err error) {
	variables := env.ToMap(os.Environ())
	e, err := env.ParseAsWithOptions[environment](env.Options{Environment: variables})
	if err != nil {
		return handler, err
	}
	log.Info("cold start", "release", e.Release)
	c, payments := e.config(), gateways.Config{Now: time.Now, Livemode: e.Livemode}
	for _, open := range secret {
		if payments.Secret, err = open(variables, c, time.Now); err != nil {
			return handler, err
		}
	}
	return function(variables, handlers.Services{
		Store: func(table string) handlers.Store {
			retention := time.Duration(e.RetentionDays) * 24 * time.Hour
			return dynamostore.New(dynamodb.NewFromConfig(c), table, rand.IntN).Retaining(retention)
		},
		Queue: func(url string) (handlers.Queue, error) {
			return sqsqueue.New(sqs.NewFromConfig(c), url, rand.IntN), nil
		},
		Image:        dynamostore.FromImage,
		CheckWebhook: WebhookPolicy(c).CheckURL,
		Gateway: func(name string) (gateway.Provider, error) {
			opened, err := gateways.New(name, payments)
			if err == nil {
				log.Info("payment gateway", "gateway", name, "livemode", opened.Livemode())
			}
			return opened, err
		},
		Now: time.Now, Jitter: rand.IntN, Log: log, Telemetry: telemetry.NewRecorder(os.Stdout, e.Stack, time.Now),
	}, c)
}

// WebhookPolicy returns where webhooks may lead. Where something other than AWS answers, that is also
// this machine.
func WebhookPolicy(c aws.Config) outbound.Policy {
	return outbound.Policy{Loopback: c.BaseEndpoint != nil}
}

// config is for clients of any service. It does without the SDK's config package: Lambda
// always sets the same few variables, and looking for files and profiles costs time at
// every cold start.
func (e environment) config() aws.Config {
	c := aws.Config{
		Region: e.Region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: e.AccessKeyID, SecretAccessKey: e.SecretAccessKey, SessionToken: e.SessionToken,
				Source: "environment",
			}, nil
		}),
	}
	if e.EndpointURL != "" {
		c.BaseEndpoint = &e.EndpointURL
	}
	return c
}

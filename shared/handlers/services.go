// Package handlers describes each Lambda function once: the environment that it reads, and
// how it is put together from [Services]. functions/ starts them on AWS, the local program
// runs them in its own process: the same code in both.
//
// Each function has a file, with a constructor that takes the function's environment, by
// variable name, and the services. The error of a constructor names every variable that is
// missing or malformed.
package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"go.opentelemetry.io/otel/trace"

	"paylane/shared/document"
	"paylane/shared/gateway"
	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/telemetry"
	"paylane/shared/webhook"
)

// Services is what functions are made of, wherever they run. All fields down to Log but
// Patience are required.
type Services struct {
	// Store opens the table of that name.
	Store func(table string) Store
	// Queue opens the queue at that URL.
	Queue func(url string) (Queue, error)
	// Image reads an order from an item of a table's stream.
	Image func(map[string]events.DynamoDBAttributeValue) (order.Order, error)
	// CheckWebhook returns why nothing is posted to a URL, for whoever registers it.
	CheckWebhook func(url string) error
	// Webhooks posts events to webhooks. Only [Webhook] needs it.
	Webhooks webhook.Poster
	// Gateway opens the payment gateway of that name.
	Gateway func(name string) (gateway.Provider, error)
	// Patience is [pipeline.WorkerConfig]'s, besides that of the environment; nil adds nothing.
	Patience func(began time.Time) time.Duration
	Now      func() time.Time
	// Jitter returns a number from 0 to n-1, for n > 0.
	Jitter func(n int) int
	Log    *slog.Logger
	// NewID returns the id of what has no idempotency key to make one of; nil makes UUIDv7s, so that
	// the ids of a time lie together.
	NewID func() (string, error)
	// Telemetry records what comes of each invocation; nil records nothing.
	Telemetry *telemetry.Recorder
	// Traces makes the spans of requests, messages, and calls of what is above; nil makes none.
	Traces trace.TracerProvider
	// OneOrigin says that the API and the events have one origin, as in the local program:
	// links to events are then relative.
	OneOrigin bool
	// PlainHTTP says that browsers reach the console without TLS, as in the local program: its
	// cookies are then not Secure.
	PlainHTTP bool
	// Caller returns a context that ends with an invocation's, or once its caller has left,
	// where that can be known; nil where it can't, as on AWS.
	Caller func(ctx context.Context) (context.Context, context.CancelFunc)
	// Client fetches the keys of access tokens' issuers; nil is http.DefaultClient.
	Client *http.Client
}

// Store keeps orders, and documents beside them.
type Store interface {
	order.Store
	order.Scanner
	document.Store
}

// Queue is what functions need of a queue.
type Queue interface {
	pipeline.Sender
	job.Visibility
}

// queue opens the queue whose URL a variable has.
func (s Services) queue(variable, url string) (Queue, error) {
	queue, err := s.Queue(url)
	if err != nil {
		return nil, fmt.Errorf("the variable %s: %w", variable, err)
	}
	return queue, nil
}

// observed records each invocation.
func observed[E, R any](r *telemetry.Recorder, handle func(context.Context, E) (R, error)) func(context.Context, E) (R, error) {
	return func(ctx context.Context, event E) (R, error) {
		ctx, end := r.Begin(ctx)
		defer end()
		return handle(ctx, event)
	}
}

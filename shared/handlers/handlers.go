// Package handlers wires the use cases into the Lambda handlers that functions/
// start on AWS and the local runner hosts in its own process: the same code in both.
package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"

	"paylane/shared/gateway"
	"paylane/shared/httpapi"
	"paylane/shared/httpevent"
	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/queue"
	"paylane/shared/sqsevent"
	"paylane/shared/telemetry"
)

// HTTPHandler is a Lambda handler behind an HTTP API.
type HTTPHandler = func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error)

// SQSHandler is a Lambda handler behind an SQS event source mapping.
type SQSHandler = func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)

// LocalTenant is whose orders they all are where nobody is asked to log in.
const LocalTenant = "local"

// Tenant names the tenant of a request from what was verified about it.
type Tenant = func(context.Context) (string, bool)

// AnyoneIsLocal takes every caller for LocalTenant.
func AnyoneIsLocal(context.Context) (string, bool) { return LocalTenant, true }

// TenantFromClaim takes the tenant from a claim of the token that API Gateway
// verified. An empty claim names nobody.
func TenantFromClaim(name string) Tenant {
	return func(ctx context.Context) (string, bool) {
		value, ok := httpevent.Claim(ctx, name)
		return value, ok && value != ""
	}
}

// TenantBy chooses between the two by a function's AUTH_MODE: jwt takes the tenant from
// the claim, none is for running on one machine.
func TenantBy(mode, claim string) (Tenant, error) {
	switch mode {
	case "jwt":
		return TenantFromClaim(claim), nil
	case "none":
		return AnyoneIsLocal, nil
	default:
		return nil, fmt.Errorf("AUTH_MODE must be jwt or none, not %q", mode)
	}
}

// mayOperate tells whether the token that API Gateway verified has the operator's scope.
// Where there is no token, nobody has it.
func mayOperate(ctx context.Context) bool {
	return slices.Contains(httpevent.Scopes(ctx), httpapi.ScopeOperate)
}

// APIConfig is what [API] needs. All fields but EventsURL and Telemetry are required.
type APIConfig struct {
	Store order.Store
	// Payments is the queue of the payment function.
	Payments queue.Queue
	Tokens   gateway.Tokens
	Tenant   Tenant
	// EventsURL is the origin of the stream function; empty if it is the API's own.
	EventsURL string
	Now       func() time.Time
	Log       *slog.Logger
	// Telemetry gets what came of each request; nil is none.
	Telemetry *telemetry.Recorder
}

// API makes the handler of the api function.
func API(c APIConfig) HTTPHandler {
	serve := httpevent.Handler(httpapi.New(httpapi.Config{
		Checkout: pipeline.NewCheckout(pipeline.CheckoutConfig{
			Store: c.Store, Queue: c.Payments, Tokens: c.Tokens, Now: c.Now, NewID: newID,
		}),
		Tenant: func(ctx context.Context) (string, bool) {
			tenant, ok := c.Tenant(ctx)
			telemetry.From(ctx).Tell(slog.String("tenant", tenant))
			return tenant, ok
		},
		Operator: mayOperate, EventsURL: c.EventsURL, Log: c.Log,
	}))
	if c.Telemetry == nil {
		return serve
	}
	return func(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		ctx, end := c.Telemetry.Begin(ctx)
		defer end()
		began := c.Now()
		response, err := serve(ctx, event)
		tell(telemetry.From(ctx), event, response, c.Now().Sub(began))
		return response, err
	}
}

// tell says what came of a request. The path is the route's, or an id would be in it
// twice; nothing of query, headers or body is told.
func tell(told *telemetry.Invocation, event events.APIGatewayV2HTTPRequest, r events.APIGatewayV2HTTPResponse, took time.Duration) {
	told.Tell(slog.String("route", event.RouteKey), slog.Int("status", r.StatusCode))
	if r.StatusCode == http.StatusInternalServerError {
		told.Count(telemetry.Failed)
	}
	id := event.PathParameters["id"]
	if location, ok := strings.CutPrefix(r.Headers["Location"], "/orders/"); ok {
		id, _, _ = strings.Cut(location, "?")
		if r.StatusCode == http.StatusCreated && r.Headers["Idempotency-Replayed"] == "" {
			told.Count(telemetry.Accepted)
			told.Time(telemetry.TimeToAccept, took)
		}
	}
	if order.ValidID(id) {
		told.Tell(slog.String("order_id", id))
	}
}

// newID makes a UUIDv7, so that the ids of a time lie together.
func newID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}

// WorkerConfig is what [Payment] and [DeadLetter] need. All fields but Telemetry are
// required.
type WorkerConfig struct {
	Store order.Store
	// Queue is the one that the function's messages come from.
	Queue   sqsevent.Visibility
	Gateway gateway.Gateway
	Now     func() time.Time
	// Jitter returns a number from 0 to n-1, for n > 0.
	Jitter func(n int) int
	Log    *slog.Logger
	// Telemetry gets what came of each message; nil is none.
	Telemetry *telemetry.Recorder
}

// Payment makes the handler of the payment function.
func Payment(c WorkerConfig) SQSHandler {
	return c.handler(pipeline.NewPayments(c.worker()))
}

// DeadLetter makes the handler of the deadletter function.
func DeadLetter(c WorkerConfig) SQSHandler {
	return c.handler(pipeline.NewDeadLetters(c.worker()))
}

func (c WorkerConfig) worker() pipeline.WorkerConfig {
	return pipeline.WorkerConfig{Store: c.Store, Gateway: c.Gateway, Now: c.Now, Jitter: c.Jitter}
}

func (c WorkerConfig) handler(w sqsevent.Worker) SQSHandler {
	return sqsevent.Handler(sqsevent.Config{Worker: w, Queue: c.Queue, Now: c.Now, Log: c.Log, Telemetry: c.Telemetry})
}

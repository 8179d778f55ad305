package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdaurl"

	"paylane/shared/order"
	"paylane/shared/stream"
	"paylane/shared/telemetry"
)

// StreamHandler is a Lambda handler behind a Function URL with the invoke mode
// RESPONSE_STREAM.
type StreamHandler = func(context.Context, *events.LambdaFunctionURLRequest) (*events.LambdaFunctionURLStreamingResponse, error)

// StreamConfig is what [Stream] needs. All fields but Telemetry are required.
type StreamConfig struct {
	Store  stream.Store
	Tenant RequestTenant
	Log    *slog.Logger
	// Telemetry gets a line for each stream, at its end; nil is none.
	Telemetry *telemetry.Recorder
}

// Stream makes the handler of the stream function.
func Stream(c StreamConfig) StreamHandler {
	serve := stream.New(stream.Config{
		Store: c.Store, Log: c.Log,
		Tenant: func(r *http.Request) (tenant string, expires time.Time, err error) {
			tenant, expires, err = c.Tenant(r)
			telemetry.From(r.Context()).Tell(slog.String("tenant", tenant))
			return tenant, expires, err
		},
	})
	return lambdaurl.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.Telemetry != nil {
			ctx, end := c.Telemetry.Begin(r.Context())
			defer end()
			telemetry.From(ctx).Tell(slog.String("route", "GET /orders/{id}/events"))
			if id, _ := stream.OrderID(r.URL.Path); order.ValidID(id) {
				telemetry.From(ctx).Tell(slog.String("order_id", id))
			}
			r = r.WithContext(ctx)
		}
		serve.ServeHTTP(w, r)
	}))
}

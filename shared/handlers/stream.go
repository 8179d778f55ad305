package handlers

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdaurl"

	"paylane/shared/httpapi"
	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/telemetry"
)

// StreamHandler is a Lambda handler behind a Function URL with the invoke mode
// RESPONSE_STREAM.
type StreamHandler = func(context.Context, *events.LambdaFunctionURLRequest) (*events.LambdaFunctionURLStreamingResponse, error)

// StreamConfig is what [Stream] needs. All fields but Telemetry are required.
type StreamConfig struct {
	Store        pipeline.Getter
	Authenticate Authenticate
	Log          *slog.Logger
	// Telemetry gets a line for each stream, at its end; nil means none.
	Telemetry *telemetry.Recorder
}

// Stream returns the handler of the stream function.
func Stream(c StreamConfig) StreamHandler {
	serve := httpapi.NewEvents(httpapi.EventsConfig{
		Orders: pipeline.NewReader(c.Store), Log: c.Log,
		Authenticate: func(r *http.Request) (httpapi.Identity, error) {
			identity, err := c.Authenticate(r)
			telemetry.From(r.Context()).Tell(slog.String("tenant", identity.Tenant))
			return identity, err
		},
	})
	return lambdaurl.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.Telemetry != nil {
			ctx, end := c.Telemetry.Begin(r.Context())
			defer end()
			r = r.WithContext(ctx)
		}
		serve.ServeHTTP(w, r)
		line := telemetry.From(r.Context())
		line.Tell(slog.String("route", "GET /orders/{id}/events"))
		if id := r.PathValue("id"); order.ValidID(id) { // which serve has set
			line.Tell(slog.String("order_id", id))
		}
	}))
}

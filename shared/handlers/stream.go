package handlers

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdaurl"

	"paylane/shared/handlers/internal/environ"
	"paylane/shared/httpapi"
	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/telemetry"
)

// StreamHandler is a Lambda handler behind a Function URL with the invoke mode
// RESPONSE_STREAM.
type StreamHandler = func(context.Context, *events.LambdaFunctionURLRequest) (*events.LambdaFunctionURLStreamingResponse, error)

type streamEnvironment struct {
	Orders environ.OrdersTable
	Auth   environ.Auth
	Claim  environ.TenantClaim
	Issuer environ.Issuer
}

// Stream returns the handler of the stream function: it streams an order's changes as they
// happen. Nothing before a Function URL verifies the caller's token, so it does.
func Stream(environment map[string]string, s Services) (StreamHandler, error) {
	e, err := environ.Parse[streamEnvironment](environment)
	if err != nil {
		return nil, err
	}
	s = s.measured()
	authenticate, err := tenantFromToken(e, s)
	if err != nil {
		return nil, err
	}
	serve := httpapi.NewEvents(httpapi.EventsConfig{
		Orders: pipeline.NewReader(s.Store(e.Orders.Name)), Log: s.Log,
		Authenticate: func(r *http.Request) (httpapi.Identity, error) {
			identity, err := authenticate(r)
			telemetry.Annotate(r.Context(), slog.String("tenant", identity.Tenant))
			return identity, err
		},
	})
	const route = "GET /orders/{id}/events"
	return lambdaurl.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, end := s.Telemetry.Begin(r.Context())
		defer end()
		ctx, span := s.request(ctx, route)
		defer span.End()
		r = r.WithContext(ctx)
		serve.ServeHTTP(w, r)
		telemetry.From(ctx).Annotate(slog.String("route", route))
		if id := r.PathValue("id"); order.ValidID(id) { // which serve has set
			telemetry.Annotate(ctx, slog.String("order_id", id))
		}
	})), nil
}

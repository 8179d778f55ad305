package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdaurl"

	"paylane/shared/handlers/internal/environ"
	"paylane/shared/order"
	"paylane/shared/stream"
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
// happen. Behind a Function URL nobody has verified the caller's token yet, so it does.
func Stream(environment map[string]string, s Services) (StreamHandler, error) {
	e, err := environ.Parse[streamEnvironment](environment)
	if err != nil {
		return nil, err
	}
	named, err := tenantFromToken(e, s)
	if err != nil {
		return nil, err
	}
	serve := stream.New(stream.Config{
		Store: s.Store(e.Orders.Name), Log: s.Log,
		Tenant: func(r *http.Request) (tenant string, expires time.Time, err error) {
			tenant, expires, err = named(r)
			telemetry.From(r.Context()).Annotate(slog.String("tenant", tenant))
			return tenant, expires, err
		},
	})
	return lambdaurl.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, end := s.Telemetry.Begin(r.Context())
		defer end()
		telemetry.From(ctx).Annotate(slog.String("route", "GET /orders/{id}/events"))
		if id, _ := stream.OrderID(r.URL.Path); order.ValidID(id) {
			telemetry.From(ctx).Annotate(slog.String("order_id", id))
		}
		serve.ServeHTTP(w, r.WithContext(ctx))
	})), nil
}

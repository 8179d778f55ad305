package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"

	"paylane/shared/handlers/internal/environ"
	"paylane/shared/handlers/internal/httpevent"
	"paylane/shared/httpapi"
	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/telemetry"
	"paylane/shared/webhook"
)

type apiEnvironment struct {
	Orders   environ.OrdersTable
	Payments environ.PaymentQueue
	Webhooks environ.WebhookQueue
	Gateway  environ.PaymentGateway
	Auth     environ.Auth
	Claim    environ.TenantClaim
	// EventsURL is the origin of the stream function.
	EventsURL string `env:"EVENTS_URL"`
}

// HTTPHandler is a Lambda handler behind an HTTP API.
type HTTPHandler = func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error)

// API returns the handler of the api function: it takes orders and tells about them.
func API(environment map[string]string, s Services) (HTTPHandler, error) {
	e, err := environ.Parse[apiEnvironment](environment)
	if err != nil {
		return nil, err
	}
	s = s.measured()
	named, err := tenantFromAuthorizer(e.Auth, e.Claim)
	if err != nil {
		return nil, err
	}
	api, err := s.api(e, named, mayOperate)
	if err != nil {
		return nil, err
	}
	serve := httpevent.Handler(api)
	return observed(s.Telemetry, func(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		began := s.Now()
		ctx, span := s.request(ctx, event.RouteKey)
		defer span.End()
		response, err := serve(ctx, event)
		answered(span, response.StatusCode)
		annotate(ctx, event, response, s.Now().Sub(received(event, began)))
		return response, err
	}), nil
}

// api returns the HTTP API for callers whose tenant named returns, and who are operators if operator
// says so.
func (s Services) api(e apiEnvironment, named func(context.Context) (string, bool), operator func(context.Context) bool) (http.Handler, error) {
	payments, err := s.queue(e.Payments.Variable(), e.Payments.URL)
	if err != nil {
		return nil, err
	}
	webhooks, err := s.queue(e.Webhooks.Variable(), e.Webhooks.URL)
	if err != nil {
		return nil, err
	}
	tokens, err := s.Gateway(e.Gateway.Name)
	if err != nil {
		return nil, err
	}
	if s.OneOrigin {
		e.EventsURL = ""
	}
	store := s.Store(e.Orders.Name)
	return httpapi.New(httpapi.Config{
		Webhooks: webhook.NewEndpoints(webhook.EndpointsConfig{
			Documents: store, Queue: webhooks, CheckURL: s.CheckWebhook, Now: s.Now, NewID: s.newID(),
		}),
		Checkout: pipeline.NewCheckout(pipeline.CheckoutConfig{
			Store: store, Queue: payments, Tokens: tokens, Livemode: tokens.Livemode(), Now: s.Now, NewID: s.newID(),
		}),
		Tenant: func(ctx context.Context) (string, bool) {
			tenant, ok := named(ctx)
			telemetry.Annotate(ctx, slog.String("tenant", tenant))
			return tenant, ok
		},
		Tokens: tokens.Describe(), Operator: operator, EventsURL: e.EventsURL, Caller: s.Caller, Log: s.Log,
	}), nil
}

// received returns when API Gateway received a request, which is before a cold start. It is the
// function's own start if that can't be right: for later than it, or for longer ago than API
// Gateway waits, as when a stand-in counts in seconds.
func received(event events.APIGatewayV2HTTPRequest, began time.Time) time.Time {
	at := time.UnixMilli(event.RequestContext.TimeEpoch)
	if at.After(began) || began.Sub(at) > gatewayPatience {
		return began
	}
	return at
}

// gatewayPatience is how long API Gateway waits for a function ("Quotas for configuring and
// running an HTTP API").
const gatewayPatience = 30 * time.Second

// annotate records what came of a request of the API.
func annotate(ctx context.Context, event events.APIGatewayV2HTTPRequest, r events.APIGatewayV2HTTPResponse, took time.Duration) {
	annotateAnswer(ctx, event, r)
	i, id := telemetry.From(ctx), event.PathParameters["id"]
	if location, ok := strings.CutPrefix(r.Headers["Location"], "/orders/"); ok {
		id, _, _ = strings.Cut(location, "?")
		if placedOrder(r.StatusCode, r.Headers["Location"], r.Headers["Idempotency-Replayed"]) {
			i.Count(telemetry.Accepted)
			i.Time(telemetry.TimeToAccept, took)
		}
	}
	if id = strings.ToLower(id); order.ValidID(id) {
		telemetry.Annotate(ctx, slog.String("order_id", id))
	}
}

// annotateAnswer records what was answered to a request. The path is the route's, or an id would be
// in it twice; nothing of query, headers or body is recorded.
func annotateAnswer(ctx context.Context, event events.APIGatewayV2HTTPRequest, r events.APIGatewayV2HTTPResponse) {
	i := telemetry.From(ctx)
	i.Annotate(slog.String("route", event.RouteKey), slog.Int("status", r.StatusCode))
	if r.StatusCode == http.StatusInternalServerError {
		i.Count(telemetry.Failed)
	}
}

// placedOrder reports whether an answer, by its status and headers, is that of an order that was
// placed just now.
func placedOrder(status int, location, replayed string) bool {
	return status == http.StatusCreated && strings.HasPrefix(location, "/orders/") && replayed == ""
}

func (s Services) newID() func() (string, error) {
	if s.NewID != nil {
		return s.NewID
	}
	return func() (string, error) {
		id, err := uuid.NewV7()
		return id.String(), err
	}
}

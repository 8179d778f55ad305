package handlers

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/console"
	"paylane/shared/handlers/internal/environ"
	"paylane/shared/handlers/internal/httpevent"
	"paylane/shared/order"
	"paylane/shared/telemetry"
)

// consoleClient is the API's stage variable with the client by which people sign in, if the stack
// makes it. No variable of the function can have it: the client has the API's address, and the API
// has the function.
const consoleClient = "consoleClientId"

// noConsoleClient is its value if the stack makes none: API Gateway takes no empty one.
const noConsoleClient = "none"

// Console returns the handler of the console function, which serves the web console behind the
// HTTP API. No authorizer is before it: it has people sign in itself.
func Console(environment map[string]string, s Services) (HTTPHandler, error) {
	e, err := environ.Parse[consoleEnvironment](environment)
	if err != nil {
		return nil, err
	}
	c := consoles{services: s.measured(), environment: e, byClient: make(map[string]HTTPHandler)}
	if _, err := c.of(""); err != nil {
		return nil, err
	}
	return observed(s.Telemetry, func(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		ctx, span := s.request(ctx, event.RouteKey)
		defer span.End()
		serve, err := c.of(event.StageVariables[consoleClient])
		if err != nil {
			return events.APIGatewayV2HTTPResponse{}, err
		}
		response, err := serve(ctx, event)
		answered(span, response.StatusCode)
		annotateAnswer(ctx, event, response)
		annotatePage(ctx, event.PathParameters["proxy"])
		return response, err
	}), nil
}

// consoles has the console for each client by which people sign in. There is one, and another for
// a while after the stage variable has changed.
type consoles struct {
	services    Services
	environment consoleEnvironment

	mu       sync.Mutex
	byClient map[string]HTTPHandler
}

// of returns the console for a client; the empty one is the environment's.
func (c *consoles) of(client string) (HTTPHandler, error) {
	if client == noConsoleClient {
		client = ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if serve, ok := c.byClient[client]; ok {
		return serve, nil
	}
	e := c.environment
	if client != "" {
		// A token of any other client of the pool is none of a person who signed in here.
		e.ClientID, e.Issuer.Audience = client, environ.List{client}
	}
	handler, err := c.services.console(e, console.Local{})
	if err != nil {
		return nil, err
	}
	serve := httpevent.Handler(handler)
	c.byClient[client] = serve
	return serve, nil
}

// annotatePage records the order that a page is about, or an action; path is what follows
// [console.Root].
func annotatePage(ctx context.Context, path string) {
	rest, ok := strings.CutPrefix(path, "orders/")
	id, _, _ := strings.Cut(rest, "/")
	if id = strings.ToLower(id); ok && order.ValidID(id) {
		telemetry.Annotate(ctx, slog.String("order_id", id))
	}
}

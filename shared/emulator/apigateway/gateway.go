package apigateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/internal/payload"
	"paylane/shared/emulator/template"
)

// Options are what a [Gateway] needs beside the API.
type Options struct {
	// Functions are the invokers by the functions' logical ids.
	Functions map[string]emulator.Invoker
	// Authorizer checks requests to routes that have one; see [NewJWT].
	Authorizer Authorizer
	// Open serves such routes to anybody, and leaves requestContext.authorizer out.
	Open bool
	// Logger gets a line when a response can't be had for a reason that the
	// invoker did not log; nil is none.
	Logger *slog.Logger
	// Now is the clock of events and of throttling; nil is time.Now.
	Now func() time.Time
	// Random is the source of ids and must not fail; nil is crypto/rand.
	Random io.Reader
}

// AuthorizerContext is what an authorizer adds to an event, as
// requestContext.authorizer.
type AuthorizerContext = events.APIGatewayV2HTTPRequestContextAuthorizerDescription

// Authorizer decides about requests to routes with a JWT authorizer.
type Authorizer interface {
	// Authorize returns what is known of the caller. The error is a [*Refusal], or
	// else one that lets the request end with a 500. Scopes are those of the route.
	// It may be called concurrently.
	Authorize(r *http.Request, a *template.JWTAuthorizer, scopes []string) (*AuthorizerContext, error)
}

// Refusal is an authorizer's no.
type Refusal struct {
	// Status is 401 or 403.
	Status int
	// Challenge is the value of the WWW-Authenticate header; empty is none.
	Challenge string
}

func (r *Refusal) Error() string { return http.StatusText(r.Status) }

// Gateway serves one HTTP API. It is safe for concurrent use.
type Gateway struct {
	api     template.HTTPAPI
	options Options
	router  router
	rules   payload.Rules
	bodies  *payload.Bodies
	// stageVariables are nil when there are none: they are absent then.
	stageVariables map[string]string
}

// New makes the gateway of an API. It refuses one with a route whose function has no
// invoker, or that asks for an authorizer where none is given and the caller did not
// say to leave it open.
func New(api template.HTTPAPI, o Options) (*Gateway, error) {
	o.Now = aws.DefaultNow(o.Now)
	o.Random = aws.DefaultRandom(o.Random)
	o.Logger = aws.DefaultLogger(o.Logger)
	g := &Gateway{api: api, options: o, bodies: payload.NewBodies(maxBodyBytes), rules: payload.Rules{
		CORS: payload.NewCORS(api.CORS), ContentType: "text/plain; charset=utf-8",
		Owned: []string{"apigw-requestid", "content-length", "date"},
	}}
	if len(api.StageVariables) > 0 {
		g.stageVariables = api.StageVariables
	}
	for _, r := range api.Routes {
		invoker := o.Functions[r.Function]
		if invoker == nil {
			return nil, fmt.Errorf("route %q: nothing runs the function %s", r.Key, r.Function)
		}
		if r.Authorizer != nil && o.Authorizer == nil && !o.Open {
			return nil, fmt.Errorf("route %q has the authorizer %s, and there is nothing to check tokens with",
				r.Key, r.Authorizer.Name)
		}
		g.router.add(&route{Route: r, invoker: invoker, bucket: newBucket(r.Throttle, o.Now)})
	}
	return g, nil
}

// ServeHTTP implements [http.Handler].
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := aws.GatewayID(g.options.Random)
	w.Header()["Apigw-Requestid"] = []string{requestID}
	preflight := g.rules.CORS.IsPreflight(r)
	g.rules.CORS.Allow(w.Header(), r, preflight)
	if payload.HeaderBytes(r) > maxHeaderBytes {
		fail(w, headersTooLargeStatus)
		return
	}
	full := decodedPath(r)
	path, ok := g.withoutStage(full)
	if !ok {
		fail(w, http.StatusNotFound)
		return
	}
	route, parameters := g.router.find(r.Method, path)
	if route == nil && !preflight {
		fail(w, http.StatusNotFound)
		return
	}
	if throttled(route) {
		fail(w, http.StatusTooManyRequests)
		return
	}
	caller, ok := g.authorize(w, r, route)
	if !ok {
		return
	}
	if preflight { // a route for OPTIONS is not asked, but its authorizer is
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body, failed := g.bodies.Read(w, r)
	if failed != 0 {
		fail(w, failed)
		return
	}
	event := g.newEvent(r, request{
		route: route, path: full, parameters: parameters, body: body, caller: caller, id: requestID,
	})
	if event.tooLarge() {
		fail(w, http.StatusRequestEntityTooLarge)
		return
	}
	g.invoke(r.Context(), w, route, event)
}

// withoutStage takes the name of the stage off the path, and says whether the request
// is for this stage.
func (g *Gateway) withoutStage(path string) (string, bool) {
	if g.api.Stage == template.DefaultStage {
		return path, true
	}
	rest, ok := strings.CutPrefix(path, "/"+g.api.Stage)
	if rest == "" {
		rest = "/"
	}
	return rest, ok // no route begins with the rest of a longer name
}

// authorize asks the route's authorizer, if there is one. It answers the request
// itself when that says no.
func (g *Gateway) authorize(w http.ResponseWriter, r *http.Request, route *route) (*AuthorizerContext, bool) {
	if route == nil || route.Authorizer == nil || g.options.Open {
		return nil, true
	}
	caller, err := g.options.Authorizer.Authorize(r, route.Authorizer, route.Scopes)
	if err == nil {
		return caller, true
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		if r.Context().Err() == nil { // the client has not left meanwhile
			g.options.Logger.ErrorContext(r.Context(), "the authorizer failed", "authorizer", route.Authorizer.Name, "error", err)
		}
		fail(w, http.StatusInternalServerError)
		return nil, false
	}
	if refusal.Challenge != "" {
		w.Header().Set("WWW-Authenticate", refusal.Challenge)
	}
	fail(w, refusal.Status)
	return nil, false
}

// invoke runs the function and answers with what it returns. The function outlives
// the client, and the integration's timeout.
func (g *Gateway) invoke(ctx context.Context, w http.ResponseWriter, route *route, e *httpEvent) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), route.Timeout)
	defer cancel()
	result, err := route.invoker.Invoke(ctx, emulator.Invocation{TraceID: e.Headers["x-amzn-trace-id"], Event: e})
	var function *emulator.FunctionError
	switch {
	case err == nil:
		g.respond(ctx, w, result)
	case errors.Is(err, emulator.ErrThrottled):
		fail(w, throttledStatus)
	case errors.As(err, &function):
		fail(w, http.StatusInternalServerError)
	case errors.Is(err, context.DeadlineExceeded):
		fail(w, http.StatusServiceUnavailable)
	default:
		g.options.Logger.ErrorContext(ctx, "the function could not be invoked", "function", route.Function, "error", err)
		fail(w, http.StatusInternalServerError)
	}
}

// messages are the bodies of the gateway's own answers.
//
//nolint:gochecknoglobals // a table, never written
var messages = map[int]string{
	http.StatusBadRequest:                  `{"message":"Bad Request"}`,
	http.StatusUnauthorized:                `{"message":"Unauthorized"}`,
	http.StatusForbidden:                   `{"message":"Forbidden"}`,
	http.StatusNotFound:                    `{"message":"Not Found"}`,
	http.StatusRequestTimeout:              `{"message":"Request Timeout"}`,
	http.StatusRequestEntityTooLarge:       `{"message":"Request Entity Too Large"}`,
	http.StatusTooManyRequests:             `{"message":"Too Many Requests"}`,
	http.StatusRequestHeaderFieldsTooLarge: `{"message":"Request Header Fields Too Large"}`,
	http.StatusInternalServerError:         `{"message":"Internal Server Error"}`,
	http.StatusServiceUnavailable:          `{"message":"Service Unavailable"}`,
}

// fail answers with an error of the gateway's own.
func fail(w http.ResponseWriter, status int) {
	body := messages[status]
	w.Header()["Content-Type"] = []string{"application/json"}
	payload.WriteBody(w, status, body)
}

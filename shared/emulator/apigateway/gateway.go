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

	"paylane/shared/accesstoken"
	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/internal/payload"
	"paylane/shared/emulator/template"
)

// Options are what a [Gateway] needs besides the API.
type Options struct {
	// Functions are the invokers by the functions' logical ids.
	Functions map[string]emulator.Invoker
	// Authorizer checks requests to the routes that have one.
	Authorizer *JWT
	// Open serves such routes to anybody. Their functions see the claims of a caller whom
	// nobody has checked, so that code which reads claims runs: those that an access token
	// for the route would have, of a subject and client called "local".
	Open bool
	// Identity are claims that this caller has besides, or instead.
	Identity accesstoken.Claims
	// Logger records why a response failed, if the invoker has not logged it; nil
	// discards it.
	Logger *slog.Logger
	// Now is the clock of events and of throttling; nil is time.Now.
	Now func() time.Time
	// Random is the source of ids and must not fail; nil is crypto/rand.
	Random io.Reader
}

// Gateway serves one HTTP API. It is safe for concurrent use.
type Gateway struct {
	api     template.HTTPAPI
	options Options
	router  router
	rules   payload.Rules
	bodies  *payload.Bodies
	// stageVariables are nil if there are none, so that the event omits them.
	stageVariables map[string]string
}

// New returns the gateway of an API. It fails if a route's function has no invoker, or
// if a route needs an authorizer and the options neither have one nor are Open.
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
			return nil, fmt.Errorf("route %q: the function %s has no invoker", r.Key, r.Function)
		}
		if r.Authorizer != nil && o.Authorizer == nil && !o.Open {
			return nil, fmt.Errorf("route %q needs the authorizer %s, and none is configured", r.Key, r.Authorizer.Name)
		}
		served := &route{Route: r, invoker: invoker, bucket: newBucket(r.Throttle, o.Now)}
		if r.Authorizer != nil && o.Open {
			served.identity = openIdentity(r, o.Identity, o.Now())
		}
		g.router.add(served)
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
	if preflight { // the function of a route for OPTIONS is not invoked; its authorizer is
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

// withoutStage strips the stage's name from the path, and reports whether the request is
// for this stage.
func (g *Gateway) withoutStage(path string) (string, bool) {
	if g.api.Stage == template.DefaultStage {
		return path, true
	}
	rest, ok := strings.CutPrefix(path, "/"+g.api.Stage)
	if rest == "" {
		rest = "/"
	}
	return rest, ok // after a longer name the rest has no slash, so it matches no route
}

// authorize runs the route's authorizer, if it has one. If the caller is refused, it has
// written the response.
func (g *Gateway) authorize(w http.ResponseWriter, r *http.Request, route *route) (*authorizerContext, bool) {
	if route == nil || route.Authorizer == nil {
		return nil, true
	}
	if g.options.Open {
		return route.openContext(), true
	}
	caller, err := g.options.Authorizer.authorize(r, route.Authorizer, route.Scopes)
	if err == nil {
		return caller, true
	}
	var refusal *refusal
	if !errors.As(err, &refusal) {
		if r.Context().Err() == nil { // the client is still there
			g.options.Logger.ErrorContext(r.Context(), "the authorizer failed", "authorizer", route.Authorizer.Name, "error", err)
		}
		fail(w, http.StatusInternalServerError)
		return nil, false
	}
	if refusal.challenge != "" {
		w.Header().Set("WWW-Authenticate", refusal.challenge)
	}
	fail(w, refusal.status)
	return nil, false
}

// invoke runs the function and responds with what it returns. The function outlives the
// client and the integration's timeout; a handler that only waits can tell that the client
// has left.
func (g *Gateway) invoke(ctx context.Context, w http.ResponseWriter, route *route, e *httpEvent) {
	invocation := emulator.Invocation{TraceID: e.Headers["x-amzn-trace-id"], Event: e, Caller: ctx}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), route.Timeout)
	defer cancel()
	result, err := route.invoker.Invoke(ctx, invocation)
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
		g.options.Logger.ErrorContext(ctx, "function not invoked", "function", route.Function, "error", err)
		fail(w, http.StatusInternalServerError)
	}
}

// respond writes a function's result as the response.
func (g *Gateway) respond(ctx context.Context, w http.ResponseWriter, result emulator.Result) {
	answer, err := g.rules.Reply(result)
	if err != nil {
		g.options.Logger.ErrorContext(ctx, "the function's result is not an HTTP response", "error", err)
		fail(w, http.StatusInternalServerError)
		return
	}
	g.rules.SetHeaders(w.Header(), answer)
	payload.WriteBody(w, answer.Status, answer.Body)
}

// messages are the bodies of the gateway's own responses.
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

// fail responds with one of the gateway's own errors.
func fail(w http.ResponseWriter, status int) {
	body := messages[status]
	w.Header()["Content-Type"] = []string{"application/json"}
	payload.WriteBody(w, status, body)
}

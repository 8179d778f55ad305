// Package apigateway serves an HTTP API as API Gateway does: it chooses the route,
// turns the request into an event of payload format 2.0, invokes the function, and
// turns what that returns into the response. [New] returns the [http.Handler] of one
// API; [Server] a server whose own behaviour does not show.
//
// A request passes these stages, and may end at each:
//
//	stage and route (router.go)      404
//	CORS preflight  (gateway.go)     204
//	throttling      (throttle.go)    429
//	authorizer      (jwt.go)         401, 403
//	body            (gateway.go)     413, 408
//	the function    (gateway.go)     500, 503
//	response        (gateway.go)     what the function returned, or 500
//
// The event is built as aws-lambda-go's type (request.go); as JSON it is byte for
// byte AWS's (wire.go): what AWS leaves out is absent, where aws-lambda-go's own
// encoding would write empty values. Package internal/payload holds what Function URLs do
// in the same way.
//
// Neither a client that leaves nor the integration's timeout ends the function: only the
// function's own timeout does.
//
// Where AWS's behaviour is not known for certain, choices.go records what was chosen.
package apigateway

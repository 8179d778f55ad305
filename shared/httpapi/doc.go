// Package httpapi is paylane's HTTP API: its routes, its OpenAPI document, and the problem
// details (RFC 9457) that every error becomes. [New] returns an http.Handler of all of it
// but one route, GET /orders/{id}/events, which is [NewEvents]: it streams, so on AWS it is
// behind a Function URL and not behind API Gateway. The same handlers run there, on the
// local runner and in tests.
//
// Bad input is refused here, once, with a text that says what to send instead. No answer
// contains anything internal, and none repeats what was sent, which might be a card number.
package httpapi

// Package httpapi is paylane's HTTP API: its routes, its OpenAPI document, and the
// problem details (RFC 9457) that every error becomes. [New] makes an http.Handler
// that serves it all; the same handler runs behind API Gateway and in tests.
//
// Bad input is refused here, once, with a text that says what to send instead. No
// answer holds anything internal, and none repeats what was sent, which might be a
// card number.
package httpapi

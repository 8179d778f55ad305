// Package webhook tells a tenant's servers what became of orders: signed requests, as Standard
// Webhooks describes them (https://www.standardwebhooks.com).
//
// # The way of an event
//
// [Endpoints] are what a tenant has registered. A change of an order that its owner waits for
// ([EventOf]) reaches [Fanout] by the stream of the table, after it is durable: whoever changes an
// order does nothing for it. Fanout sends one [Message] for the event and each endpoint.
// [Worker], a job.Worker, posts it.
//
// # What a receiver can rely on
//
// Each event reaches an endpoint at least once, with the same webhook-id every time: the id
// follows from order, version and endpoint. An event of an order waits for those before it, as
// long as they are young; see [Worker]. What does not end with a 2xx within 10 seconds is
// tried again, [MaxReceives] times over at least 24 hours, and then lies in the dead-letter
// queue. An endpoint at which nothing has succeeded for [DisableAfter] is disabled.
// [Endpoints.Resend] sends an event once more on request, with its id, also to an endpoint that has it.
//
// # Where the state is
//
// In documents beside the orders: one of a tenant's endpoints, one of each endpoint's health, and
// for a while one of each order that says which of its events the endpoint has.
package webhook

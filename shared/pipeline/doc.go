// Package pipeline holds paylane's use cases, between the ports of shared/order and
// shared/gateway. It knows nothing of HTTP, SQS or a database.
//
//   - [Checkout] is what callers do: create, get, wait, list, cancel, refund, retry.
//   - [Payments] works on one message about an order: claim it, ask the gateway,
//     settle or release.
//   - [DeadLetters] finishes what Payments could not.
//
// # Who wins a race
//
// Every change is one conditional write; nothing is read, decided and then written
// blindly. A cancel and a claim of the same PENDING order both name the state they
// start from, so exactly one succeeds. Two workers with copies of one message both
// claim; the second finds the first one's lease and comes back when it is over.
//
// # What is never guessed
//
// An attempt is written down before the gateway is asked. A worker that finds an
// attempt without an outcome, or with an unknown one, asks the gateway what became
// of it (Resolve) under the same key before it does anything else. Only after the
// gateway says that nothing happened, and never will under that key, is the next
// key used; that step is written down first, too.
package pipeline

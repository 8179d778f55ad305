// Package pipeline holds paylane's use cases, between the ports of shared/order and
// shared/gateway. It knows nothing of HTTP, SQS or a database.
//
//   - [Checkout] is what callers do: create, get, follow, list, cancel, pay again, refund, retry.
//   - [Payments] handles one message about an order: it claims the order, asks the gateway,
//     and settles or releases.
//   - [DeadLetters] finishes what Payments could not.
//   - [Reconciler] compares all orders with the gateway's records.
//
// # Who wins a race
//
// Every change is one conditional write; nothing is read, decided and then written blindly. A
// cancel and a claim of the same PENDING order both name the state they start from, so exactly
// one succeeds. Two workers with copies of one message both claim; the second finds the
// first one's lease, and its message comes back when that ends.
//
// # What is never guessed
//
// An attempt is written down before the gateway is asked. A worker that finds an attempt
// without an outcome, or with an unknown one, asks the gateway what became of it (Resolve)
// under the same key before it does anything else. Only after the gateway says that nothing
// happened, and never will under that key, is the next key used; that step is written down
// first as well.
package pipeline

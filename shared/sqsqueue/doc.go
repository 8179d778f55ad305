// Package sqsqueue is an order.Queue on Amazon SQS: one standard queue, by its URL.
// The semantics are SQS's own; this package only translates words and errors.
//
// Calls are tried again where that may help, a few times, with jitter, within the
// caller's deadline. A message whose first try was stored and only its answer lost is
// then sent twice; a queue that delivers at least once has such messages anyway.
package sqsqueue

// Package model has what a run of the simulator keeps orders, messages and money in: a table as
// DynamoDB is, queues as SQS has them, and a payment gateway. Each is a state machine under a lock,
// without goroutines or chance of its own; the time is the caller's, and what a service is free to
// choose (which message comes next, how a gateway fails) is asked of whoever runs it.
//
// They keep the contracts that the real ones keep, by the same suites of shared/contract. What is
// not modelled: DynamoDB's capacity and the lag of its indexes, which the contract allows and a
// caller can't rely on; SQS's quota of messages in flight.
package model

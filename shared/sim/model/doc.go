// Package model has what a run of the simulator keeps orders, messages and money in: a table as
// DynamoDB is, queues as SQS has them, and a payment gateway. Each is a state machine under a lock,
// without goroutines or chance of its own; the time is the caller's, and what a service is free to
// choose (which message comes next, how a gateway fails) is asked of whoever runs it.
//
// They keep the contracts that the real ones keep, by the same suites of shared/contract:
//
//   - [Table]: conditional writes, reads that see every write, the removal of what has expired, and
//     a stream of one shard that forgets after a day (DynamoDB developer guide: "Condition
//     expressions", "Using time to live", "Change data capture for DynamoDB Streams").
//   - [Queue]: at-least-once delivery in any order, visibility timeouts, handles of single receives,
//     dead letters by receive count, retention, limits and their codes (SQS developer guide:
//     "Standard queues", "Visibility timeout", "Dead-letter queues", "Message quotas").
//   - [Gateway]: books, and idempotency keys that replay what is stored under them until they
//     expire, by the rules that Stripe's stand-in keeps too (Stripe's API reference: "Idempotent
//     requests").
//
// What is not modelled: DynamoDB's capacity, the lag of its indexes, which the contract allows and a
// caller can't rely on, and shards that split; SQS's quota of messages in flight, and receives that
// return nothing although there is something; a gateway's latency, and that it refuses a call while
// another under its key is running. Lost answers, repeated requests and throttling are for whoever
// stands between a caller and a model.
package model

// Package contract tests what every adapter of a port must do. An adapter's test calls
// [RunStore], [RunWatcher], [RunScanner], [RunQueue] or [RunFeed] with a function that opens the
// adapter; the suite is the same for a database in memory or on disk and for AWS's
// services. [RunGateway] is for payment gateways, with the tokens of a sandbox, and
// [RunEarlier] for the stores of a build that takes over another's orders.
//
// Each case opens a store or queue of its own, and each store case uses tenants with
// random names, so all cases can share a table. A list may lag behind writes: what a case
// expects of a list, it expects within [lag]. Queue cases run on the clock that
// [QueueOptions] chooses, in whole seconds, and allow a service to be as late as it
// declares. If an emulation of a service is known to break one of its rules, the rule is
// excepted by name: see [QueueRule].
//
// The sentences that a case checks are in the doc comments of order.Store, order.Watcher,
// order.Scanner, queue.Queue and feed.Stream. A fault found in one adapter becomes a case for all.
package contract

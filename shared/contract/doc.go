// Package contract holds what every adapter of the ports in package order must do,
// as tests. An adapter's test calls [RunStore], [RunWatcher] or [RunQueue] with a
// function that opens the adapter; the suite is the same for a database in memory, on
// disk, and for AWS's services. [RunGateway] is for payment gateways, with a sandbox's
// tokens.
//
// Each case opens a store or queue of its own, and each store case uses tenants with
// random names, so a table that is shared by all does as well. A list may lag behind
// writes: what a case expects of one it expects within [lag]. Queue cases run on
// whatever clock [QueueOptions] gives, in whole seconds, and allow a service to be as
// late as it declares. What a stand-in for a service does not keep of its rules is
// excepted by name: see [QueueRule].
//
// The sentences that a case checks stand in the doc comments of order.Store,
// order.Watcher and queue.Queue. A fault found in one adapter becomes a case for all.
package contract

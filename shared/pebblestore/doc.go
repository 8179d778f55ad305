// Package pebblestore keeps orders and queues of messages in one pebble database,
// for one process on one machine. Start with [Open]; [DB.Store] returns an [order.Store]
// that is also an [order.Watcher], [DB.Queue] a [queue.Queue], and [DB.Feed] the changes of
// orders, for those who must learn of each.
//
// # What is on disk when a call returns
//
// Everything goes through pebble's write-ahead log (WAL), where records become
// durable strictly in the order in which they were written.
//
//   - A write to the store returns once an fsync has covered it. Concurrent writes
//     share fsyncs: a write holds its order's lock while it checks its condition
//     and hands its record to the log, and waits for the fsync without any lock.
//   - What a read returns is durable: a read that meets a write still on its way to
//     disk waits for it.
//   - Sending, receiving, moving and deleting messages returns at once, and rides on
//     the next fsync of any write; a timer asks for one 5 ms later if nothing else
//     did. A message is delivered only once its send is durable. So an order accepted
//     by a Send and then a Create costs one fsync, and its message can be neither lost
//     nor seen too soon.
//   - A change in the feed is in its order's record of the log, and costs no fsync. It is
//     read only once it is durable. Forgetting it rides on the next fsync, like a delete.
//   - A receive (its receive count and visibility deadline) needs no fsync of its
//     own: the claim of the order that follows brings one before money moves, and
//     it covers the receive because that came earlier. A lost delete means that a
//     message comes again, which may always happen in a queue.
//
// A write or fsync that fails is the end of the database, also for want of space and also
// that of a table: nothing more is acknowledged, since what the disk then holds is unknown
// (see [Options.Fatal]). Pebble itself would write tables again and again, and crash if it
// can't begin another log.
//
// # After a crash, or damage
//
// The log's torn end, which was never acknowledged, is dropped. Damage anywhere in what
// was synced is reported as [ErrDamaged], by Open or by the read that meets it. Pebble
// alone can't always tell the two apart; package internal/sealfs says when, and what is
// done about it. A missing file is an error as well, but for one that nothing names: a log,
// while there is a newer one.
//
// # Layout
//
// The first letter of a key says what it is for (keys.go): the orders; the list of a
// tenant's orders, newest first; the sparse lists of those that FAILED, were CANCELED or
// refunded, and of each customer's; the tombstones by expiry; the messages of each queue; the
// feed. A queue keeps an index of its messages in memory, built by one scan when it is opened.
// Records begin with the version of their schema: older ones are read, newer ones refused. A
// database that a build before the lists of customers has opened gets them at the next Open,
// by one scan of the orders.
package pebblestore

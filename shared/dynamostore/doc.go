// Package dynamostore keeps orders in one DynamoDB table.
//
// # Items
//
// An order is one item, and so is a tombstone. The partition key "pk" is "tenant/orderId";
// the id has no slash, so the last one separates them. Attribute names are short: an
// ordinary order stays below 1 KB, so that a write is one write unit. "v" is the schema's
// version; only item.go knows the names.
//
// # Indexes
//
// byTenant lists a tenant's orders: its partition key is "tenant#shard", with 8 shards by
// order id, so that a busy tenant is not a hot partition; its sort key is createdAt#id.
// byOutcome has only the orders that are FAILED, CANCELED, REFUNDING or REFUNDED, so that a
// PAID order never pays for it: its partition key is "tenant#status#shard", its sort key
// the same. byCustomer has only the orders that name a customer; its partition key is
// "length#tenant#customer", where length is the tenant's in bytes, its sort key the same. It
// has no shards: one customer does not place a thousand orders a second, and a list of the
// orders of one is a single query. All hold only keys, so that a change of status does not
// write to byTenant or byCustomer. A list reads its partitions concurrently, merges them, and
// fetches the page's orders.
//
// An order of a build before byCustomer is in that index from its next update on, or, if it
// has none, once a [Store.Scan] has read it.
//
// Indexes and scans are eventually consistent; everything else is strongly consistent.
//
// # Expiry
//
// "x" is the table's TTL attribute. A tombstone has one, and so has an order that has ended, if
// the store has a retention; a change that reopens the order removes it. An item that has
// expired is there, and can be changed, until DynamoDB deletes it.
//
// # Writes
//
// Every write is one conditional PutItem or UpdateItem, and if the condition fails the
// answer has the item as it is. A claim is one UpdateItem that returns the order; nothing
// is read before it.
//
// # Retries
//
// A call is tried up to three times, with jitter, within the caller's deadline; after that
// the error is order.ErrUnavailable. All tries of a write carry the same token. So if a
// condition fails because an earlier try had succeeded, and only its answer was lost, that
// is recognized as success. The token of the write that created an order stays with it: by
// the time of the second try a worker may have claimed the order.
//
// # Schemas
//
// An item has the version of the schema that it was written with. All versions so far are
// read; an item of a newer build is refused, also by a claim, which does not see the item
// before it writes. Raise the version if an older build would misread an item. An attribute
// that older builds may ignore needs no new version: they leave it as it is.
package dynamostore

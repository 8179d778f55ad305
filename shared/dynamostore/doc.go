// Package dynamostore keeps orders in one DynamoDB table.
//
// # Items
//
// An order is one item, and a tombstone is one. The partition key "pk" is
// "tenant/orderId"; the id has no slash, so the last one parts them. Attribute names
// are short: an ordinary order stays below 1 KB, so a write is one write unit. "v" is
// the schema's version; item.go is the one place that knows the names.
//
// # Indexes
//
// byTenant lists a tenant's orders: partition "tenant#shard", of 8 shards by order
// id, so that a busy tenant is no hot partition; sort key createdAt#id. byOutcome has
// only the orders that are FAILED, CANCELED, REFUNDING or REFUNDED, so a PAID order
// never pays for it: partition "tenant#status#shard", same sort key. Both hold keys
// only, so that a change of status writes to neither byTenant nor its storage. A list
// reads the shards side by side, merges them, and fetches the page's orders.
//
// Indexes are eventually consistent; everything else here is strongly so.
//
// # Writes
//
// Every write is one conditional PutItem or UpdateItem, and a condition that fails
// brings what stands there instead along. A claim is one UpdateItem that returns the
// order; nothing is read before it.
//
// # Retries
//
// A call is tried up to three times, with jitter, within the caller's deadline; what
// does not pass by then is order.ErrUnavailable. A write carries a token that all its
// tries share. So a condition that fails because an earlier try had succeeded, and only
// its answer was lost, is recognised as success. The token of the write that made an
// order stays with it: by the time of the second try a worker may have claimed it.
//
// # Schemas
//
// An item says which schema it was written by. Every schema that ever was is read; an
// item of a newer build is refused, also by a claim, which does not see the item before
// it writes. Raise the version when an older build would misread an item. An attribute
// that older builds may overlook needs no new version: they leave it as it is.
package dynamostore

// Package streamsource polls a table's stream for a function, as Lambda's event source
// mappings for DynamoDB Streams do. [New] returns the poller of one mapping, and
// [Poller.Run] polls until its context ends.
//
// # The way of a record
//
// The stream's shards are looked up again and again (poller.go, lineage.go). A shard is
// read once the one that it follows was read to its end and all its records are done; so
// the changes of an item are handed on in their order, however the stream splits.
//
// A shard is read ahead of the function, up to a limit (shard.go). Records that no filter
// of the mapping matches are done at once. The others go to a lane: the only one, or with
// a ParallelizationFactor the one that the hash of the item's keys selects. A lane
// processes one batch at a time: without a window what was read while it was busy, with a
// window what arrives until it ends, the batch is full, or it weighs 6 MB.
//
// A batch that fails is tried again, and blocks its lane, until it succeeds or is given up;
// whoever is to know is told of what was given up (batch.go, failure.go). A function that
// reports the first record that failed, and a mapping that splits batches, limit what is
// tried again. Once all records up to some point are done, the stream is told so: it is the
// checkpoint. What is not done when the process ends, comes again.
package streamsource

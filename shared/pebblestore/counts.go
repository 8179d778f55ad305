package pebblestore

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"paylane/shared/order"
)

// counts counts the orders by status: those that a snapshot has, which is from before the first
// write and is read in the background, and what has changed since. So opening takes no longer, and
// what was written meanwhile is counted once.
type counts struct {
	byStatus [len(statuses)]atomic.Int64
	complete atomic.Bool
}

// Counts returns how many orders there are in each status, tombstones left out. It is nil until
// those have been counted that were there when the database was opened, and without
// [Options.Count]. A change counts once it is durable.
func (d *DB) Counts() map[order.Status]int {
	if !d.counts.complete.Load() {
		return nil
	}
	all := make(map[order.Status]int)
	for code, status := range statuses {
		if status != "" && status != order.Void {
			// Two changes of one order may settle in either order.
			all[status] = int(max(d.counts.byStatus[code].Load(), 0))
		}
	}
	return all
}

// changed counts a durable change of an order; before is "" if there was none.
func (c *counts) changed(before, after order.Status) {
	if before == after {
		return
	}
	c.byStatus[statusCode(before)].Add(-1)
	c.byStatus[statusCode(after)].Add(1)
}

// countOrders counts the orders of a snapshot, and closes it.
func (d *DB) countOrders(snapshot *pebble.Snapshot) {
	found, err := d.scanStatuses(snapshot)
	switch {
	case errors.Is(err, errEnded):
	case err != nil:
		d.logger.Error("the orders can't be counted", "dir", d.dir, "error", damaged(err))
	default:
		for code, n := range found {
			d.counts.byStatus[code].Add(n)
		}
		d.counts.complete.Store(true)
	}
}

var errEnded = errors.New("the database has ended")

// scanStatuses counts the orders of a snapshot by the codes of their statuses.
func (d *DB) scanStatuses(snapshot *pebble.Snapshot) (found [len(statuses)]int64, err error) {
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	iter, err := snapshot.NewIter(&pebble.IterOptions{LowerBound: []byte{kindOrder}, UpperBound: prefixEnd([]byte{kindOrder})})
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	for ok := iter.First(); ok; ok = iter.Next() {
		select {
		case <-d.ended:
			return found, errEnded
		default:
		}
		record, err := iter.ValueAndErr()
		if err != nil {
			return found, err
		}
		h, err := readHeader(record)
		if err != nil {
			return found, fmt.Errorf("%w: the order at %x: %w", ErrDamaged, iter.Key(), err)
		}
		found[statusCode(h.status)]++
	}
	return found, iter.Error()
}

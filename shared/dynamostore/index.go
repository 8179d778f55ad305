package dynamostore

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"paylane/shared/order"
)

// index is one of the table's indexes, for one list.
type index struct {
	name string
	// key is the attribute that is the partition key.
	key       string
	partition func(shard int) string
}

// indexFor returns the index that has the orders of a list and the fewest others.
func indexFor(q order.Query) index {
	if q.Status.Sparse() {
		return index{"byOutcome", attrByOutcome, func(shard int) string { return outcomePartition(q.Tenant, q.Status, shard) }}
	}
	return index{"byTenant", attrByTenant, func(shard int) string { return tenantPartition(q.Tenant, shard) }}
}

// shards is the number of partitions that a tenant's orders are spread over in each index.
// It may grow, but must never shrink: old orders stay in their old shards.
const shards = 8

func shardOf(id string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return int(h.Sum32() % shards)
}

func tenantPartition(tenant string, shard int) string {
	return tenant + "#" + strconv.Itoa(shard)
}

func outcomePartition(tenant string, s order.Status, shard int) string {
	return tenant + "#" + string(s) + "#" + strconv.Itoa(shard)
}

// sortKey returns a text that sorts as its position does: milliseconds padded to 15 digits,
// which last until the year 33658, then the id.
func sortKey(p order.Position) string {
	return fmt.Sprintf("%015d#%s", p.CreatedAt.UnixMilli(), p.ID)
}

func parseSortKey(key string) (order.Position, error) {
	digits, id, _ := strings.Cut(key, "#")
	ms, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return order.Position{}, fmt.Errorf("parse the sort key %q: %w", key, err)
	}
	return order.Position{CreatedAt: time.UnixMilli(ms).UTC(), ID: id}, nil
}

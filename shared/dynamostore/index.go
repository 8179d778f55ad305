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
	key        string
	partitions []string
}

// indexFor returns the index that has the orders of a list and the fewest others.
func indexFor(q order.Query) index {
	switch {
	case q.CustomerID != "":
		return index{"byCustomer", attrByCustomer, []string{customerPartition(q.Tenant, q.CustomerID)}}
	case q.Status.Sparse():
		return index{"byOutcome", attrByOutcome, perShard(func(shard int) string {
			return outcomePartition(q.Tenant, q.Status, shard)
		})}
	}
	return index{"byTenant", attrByTenant, perShard(func(shard int) string { return tenantPartition(q.Tenant, shard) })}
}

func perShard(partition func(shard int) string) []string {
	partitions := make([]string, shards)
	for shard := range partitions {
		partitions[shard] = partition(shard)
	}
	return partitions
}

// shards is the number of partitions that a tenant's orders are spread over in byTenant and
// byOutcome. It may grow, but must never shrink: old orders stay in their old shards.
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

// customerPartition begins with the tenant's length: the names of tenants and customers may
// contain any separator.
func customerPartition(tenant, customer string) string {
	return strconv.Itoa(len(tenant)) + "#" + tenant + "#" + customer
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

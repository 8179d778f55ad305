package dynamostore_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"paylane/shared/awscall/awstest"
	"paylane/shared/order"
)

// index answers queries and batch reads as a table with these orders would.
type index struct {
	items map[string]map[string]any // by key
	keys  []map[string]any          // newest first
	// leave reports whether a batch read leaves a key unprocessed; nil is never.
	leave func(key string) bool
}

func indexOf(t *testing.T, orders []order.Order) *index {
	t.Helper()
	x := &index{items: make(map[string]map[string]any)}
	store, f := open(t, awstest.OK(struct{}{}))
	for _, o := range orders {
		if err := store.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range f.Requests() {
		item := r.Body["Item"].(map[string]any)
		x.items[plain(item["pk"])] = item
		x.keys = append(x.keys, map[string]any{"pk": item["pk"], "g": item["g"], "gc": item["gc"], "gs": item["gs"]})
	}
	slices.SortFunc(x.keys, func(a, b map[string]any) int { return cmp.Compare(plain(b["gs"]), plain(a["gs"])) })
	return x
}

func (x *index) answer(_ int, r awstest.Request) awstest.Answer {
	switch r.Operation {
	case "Query":
		return awstest.OK(x.query(r))
	case "BatchGetItem":
		return awstest.OK(x.batchGet(r))
	}
	return refuses(http.StatusBadRequest, "ValidationException")
}

func (x *index) query(r awstest.Request) map[string]any {
	values := r.Body["ExpressionAttributeValues"].(map[string]any)
	limit := int(r.Body["Limit"].(float64))
	partition := map[string]string{"byTenant": "g", "byCustomer": "gc"}[r.Body["IndexName"].(string)]
	items := []any{}
	for _, k := range x.keys {
		after, bounded := values[":1"]
		if plain(k[partition]) != plain(values[":0"]) || bounded && plain(k["gs"]) >= plain(after) {
			continue
		}
		if len(items) == limit {
			return map[string]any{"Items": items, "LastEvaluatedKey": items[limit-1]}
		}
		items = append(items, k)
	}
	return map[string]any{"Items": items}
}

func (x *index) batchGet(r awstest.Request) map[string]any {
	asked := r.Body["RequestItems"].(map[string]any)["orders"].(map[string]any)
	found, left := []any{}, []any{}
	for _, key := range asked["Keys"].([]any) {
		pk := plain(key.(map[string]any)["pk"])
		switch item, ok := x.items[pk]; {
		case x.leave != nil && x.leave(pk):
			left = append(left, key)
		case ok:
			found = append(found, item)
		}
	}
	answer := map[string]any{"Responses": map[string]any{"orders": found}}
	if len(left) > 0 {
		answer["UnprocessedKeys"] = map[string]any{"orders": map[string]any{"Keys": left}}
	}
	return answer
}

// manyOrders returns n orders, each a second older than the one before.
func manyOrders(n int) []order.Order {
	orders := make([]order.Order, n)
	for i := range orders {
		orders[i] = pending()
		orders[i].ID = uuid.NewString()
		orders[i].CreatedAt = at(-i)
	}
	return orders
}

func ids(orders []order.Order) (ids []string) {
	for _, o := range orders {
		ids = append(ids, o.ID)
	}
	return ids
}

// TestListReads: a page costs one query of each shard, and one read of its orders.
func TestListReads(t *testing.T) {
	orders := manyOrders(60)
	store, f := serve(t, indexOf(t, orders).answer)
	page := must[order.Page](t)(store.List(t.Context(), order.Query{Tenant: "tenant", Limit: 20}))
	if diff := gocmp.Diff(ids(orders[:20]), ids(page.Orders)); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(map[string]int{"Query": 8, "BatchGetItem": 1}, f.operations()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	var queries []string
	for shard := range 8 {
		queries = append(queries, fmt.Sprintf(
			"Query\nIndexName: byTenant\nKeyConditionExpression: g = tenant#%d\nLimit: 21\nScanIndexForward: false", shard))
	}
	got := slices.DeleteFunc(f.lines(), func(line string) bool { return !strings.HasPrefix(line, "Query") })
	if diff := gocmp.Diff(queries, got); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
	for _, r := range f.Requests() {
		if r.Operation == "BatchGetItem" {
			asked := r.Body["RequestItems"].(map[string]any)["orders"].(map[string]any)
			if n := len(asked["Keys"].([]any)); n != 20 || asked["ConsistentRead"] != true {
				t.Errorf("the batch read asks for %d keys, consistent: %v", n, asked["ConsistentRead"])
			}
		}
	}
}

// TestListOfWhatIsGone: an entry of the index may be of an order that is gone, in whose place there
// may be a tombstone.
func TestListOfWhatIsGone(t *testing.T) {
	orders := manyOrders(4)
	x := indexOf(t, orders)
	delete(x.items, orders[0].Tenant+"/"+orders[0].ID)
	x.items[orders[2].Tenant+"/"+orders[2].ID] = itemOf(t, order.NewVoid(orders[2].Ref, at(0)))
	store, _ := serve(t, x.answer)
	page := must[order.Page](t)(store.List(t.Context(), order.Query{Tenant: "tenant", Limit: 20}))
	if diff := gocmp.Diff([]string{orders[1].ID, orders[3].ID}, ids(page.Orders)); diff != "" || page.Next != nil {
		t.Errorf("the page, next %v (-want +got):\n%s", page.Next, diff)
	}
}

// TestListIndexes: which partitions a list reads, and from where.
func TestListIndexes(t *testing.T) {
	position := order.Position{CreatedAt: at(0), ID: pending().ID}
	for _, test := range []struct {
		customer string
		status   order.Status
		want     string
	}{
		{"", "", "IndexName: byTenant\nKeyConditionExpression: g = tenant#0 AND gs < 001773480413589#" + position.ID},
		{"", order.Pending, "IndexName: byTenant\nKeyConditionExpression: g = tenant#0 AND"},
		{"", order.Processing, "IndexName: byTenant\nKeyConditionExpression: g = tenant#0 AND"},
		{"", order.Paid, "IndexName: byTenant\nKeyConditionExpression: g = tenant#0 AND"},
		{"", order.Failed, "IndexName: byOutcome\nKeyConditionExpression: o = tenant#FAILED#0 AND"},
		{"", order.Canceled, "IndexName: byOutcome\nKeyConditionExpression: o = tenant#CANCELED#0 AND"},
		{"", order.Refunding, "IndexName: byOutcome\nKeyConditionExpression: o = tenant#REFUNDING#0 AND"},
		{"", order.Refunded, "IndexName: byOutcome\nKeyConditionExpression: o = tenant#REFUNDED#0 AND"},
		{"c", "", "IndexName: byCustomer\nKeyConditionExpression: gc = 6#tenant#c AND gs < 001773480413589#" + position.ID},
		{"c", order.Paid, "IndexName: byCustomer\nKeyConditionExpression: gc = 6#tenant#c AND"},
		{"c", order.Failed, "IndexName: byCustomer\nKeyConditionExpression: gc = 6#tenant#c AND"},
	} {
		partitions := 8
		if test.customer != "" {
			partitions = 1
		}
		store, f := open(t, awstest.OK(map[string]any{"Items": []any{}}))
		q := order.Query{Tenant: "tenant", CustomerID: test.customer, Status: test.status, Limit: 5, After: &position}
		if page, err := store.List(t.Context(), q); err != nil || page.Orders != nil || page.Next != nil {
			t.Errorf("%q %s: %v, %v; want an empty page", test.customer, test.status, page, err)
		}
		if got := f.lines(); len(got) != partitions || !strings.Contains(got[0], test.want) {
			t.Errorf("%q %s: %d requests, the first is\n%s\nwant %d, with\n%s",
				test.customer, test.status, len(got), got[0], partitions, test.want)
		}
	}
}

// TestListFilter: with a filter that rejects every order, a page reads order.MaxFiltered orders
// in few requests, and says where to continue.
func TestListFilter(t *testing.T) {
	for _, limit := range []int{1, 20, 100, 500} {
		orders := manyOrders(order.MaxFiltered + 50)
		hit := &orders[order.MaxFiltered+20]
		hit.Status = order.Paid
		store, f := serve(t, indexOf(t, orders).answer)
		q := order.Query{Tenant: "tenant", Status: order.Paid, Limit: limit}
		page := must[order.Page](t)(store.List(t.Context(), q))
		if len(page.Orders) != 0 || page.Next == nil || *page.Next != orders[order.MaxFiltered-1].Position() {
			t.Fatalf("limit %d: the page has %d orders and goes on at %v, want none, and the last that it may read", limit, len(page.Orders), page.Next)
		}
		if n := f.operations()["BatchGetItem"]; n > 8 {
			t.Errorf("limit %d: a page took %d rounds", limit, n)
		}
		q.After = page.Next
		page = must[order.Page](t)(store.List(t.Context(), q))
		if len(page.Orders) != 1 || page.Orders[0].ID != hit.ID || (page.Next != nil && limit > 1) {
			t.Errorf("limit %d: the second page is %v, next %v", limit, ids(page.Orders), page.Next)
		}
	}
}

// TestListStopsAtItsLimit: orders that were read but did not fit come on the next page.
func TestListStopsAtItsLimit(t *testing.T) {
	orders := manyOrders(40)
	for i := range orders {
		if i%3 == 0 {
			orders[i].Status = order.Paid
		}
	}
	store, _ := serve(t, indexOf(t, orders).answer)
	var got []string
	q := order.Query{Tenant: "tenant", Status: order.Paid, Limit: 4}
	for {
		page := must[order.Page](t)(store.List(t.Context(), q))
		got = append(got, ids(page.Orders)...)
		if page.Next == nil {
			break
		}
		q.After = page.Next
	}
	var want []string
	for i := 0; i < len(orders); i += 3 {
		want = append(want, orders[i].ID)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("the pages (-want +got):\n%s", diff)
	}
}

// TestListOfACustomer: a page costs one query and one read of its orders. With a status,
// the reads of a page are bounded as those of the tenant's list.
func TestListOfACustomer(t *testing.T) {
	orders := manyOrders(2*order.MaxFiltered + 60)
	var alices []string
	for i := range orders {
		orders[i].CustomerID = []string{"alice", "bob"}[i%2]
		if i%2 == 0 {
			alices = append(alices, orders[i].ID)
		}
	}
	failed := &orders[2*order.MaxFiltered+20]
	failed.Status = order.Failed
	x := indexOf(t, orders)
	store, f := serve(t, x.answer)
	q := order.Query{Tenant: "tenant", CustomerID: "alice", Limit: 20}
	page := must[order.Page](t)(store.List(t.Context(), q))
	if diff := gocmp.Diff(alices[:20], ids(page.Orders)); diff != "" || page.Next == nil {
		t.Errorf("the page, next %v (-want +got):\n%s", page.Next, diff)
	}
	if diff := gocmp.Diff(map[string]int{"Query": 1, "BatchGetItem": 1}, f.operations()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}

	q.Status = order.Failed
	page = must[order.Page](t)(store.List(t.Context(), q))
	if len(page.Orders) != 0 || page.Next == nil || page.Next.ID != alices[order.MaxFiltered-1] {
		t.Fatalf("the filtered page has %d orders and goes on at %v, want none, and the last that it may read", len(page.Orders), page.Next)
	}
	q.After = page.Next
	page = must[order.Page](t)(store.List(t.Context(), q))
	if diff := gocmp.Diff([]string{failed.ID}, ids(page.Orders)); diff != "" || page.Next != nil {
		t.Errorf("the second page, next %v (-want +got):\n%s", page.Next, diff)
	}

	// An entry may lag behind its order.
	renamed := orders[0]
	renamed.CustomerID = "carol"
	x.items["tenant/"+renamed.ID] = itemOf(t, renamed)
	page = must[order.Page](t)(store.List(t.Context(), order.Query{Tenant: "tenant", CustomerID: "alice", Limit: 2}))
	if diff := gocmp.Diff(alices[1:3], ids(page.Orders)); diff != "" {
		t.Errorf("the page after an order got another customer (-want +got):\n%s", diff)
	}
}

// TestStaleIndex: an index may name orders that are gone, or have another status by now.
func TestStaleIndex(t *testing.T) {
	orders := manyOrders(10)
	x := indexOf(t, orders)
	delete(x.items, "tenant/"+orders[0].ID)
	delete(x.items, "tenant/"+orders[4].ID)
	store, _ := serve(t, x.answer)
	page := must[order.Page](t)(store.List(t.Context(), order.Query{Tenant: "tenant", Limit: 5}))
	want := []string{orders[1].ID, orders[2].ID, orders[3].ID, orders[5].ID, orders[6].ID}
	if diff := gocmp.Diff(want, ids(page.Orders)); diff != "" || page.Next == nil {
		t.Errorf("the page (-want +got), next %v:\n%s", page.Next, diff)
	}
}

// TestUnprocessedKeys: DynamoDB may leave out any part of a batch read. Only that part is
// requested again, with pauses, and not forever.
func TestUnprocessedKeys(t *testing.T) {
	orders := manyOrders(20)
	left := map[string]int{} // how often each will still be left out
	for i, o := range orders {
		left["tenant/"+o.ID] = i % 4
	}
	x := indexOf(t, orders)
	x.leave = func(key string) bool { left[key]--; return left[key] >= 0 }
	synctest.Test(t, func(t *testing.T) {
		store, f := serve(t, x.answer)
		page := must[order.Page](t)(store.List(t.Context(), order.Query{Tenant: "tenant", Limit: 20}))
		if diff := gocmp.Diff(ids(orders), ids(page.Orders)); diff != "" {
			t.Errorf("the page (-want +got):\n%s", diff)
		}
		var asked []int
		for _, r := range f.Requests() {
			if r.Operation == "BatchGetItem" {
				batch := r.Body["RequestItems"].(map[string]any)["orders"].(map[string]any)
				asked = append(asked, len(batch["Keys"].([]any)))
				if batch["ConsistentRead"] != true {
					t.Error("a batch read is not consistent")
				}
			}
		}
		if diff := gocmp.Diff([]int{20, 15, 10, 5}, asked); diff != "" {
			t.Errorf("keys asked for (-want +got):\n%s", diff)
		}
	})
	t.Run("forever", func(t *testing.T) {
		x.leave = func(string) bool { return true }
		synctest.Test(t, func(t *testing.T) {
			store, f := serve(t, x.answer)
			start := time.Now()
			_, err := store.List(t.Context(), order.Query{Tenant: "tenant", Limit: 20})
			if !errors.Is(err, order.ErrUnavailable) {
				t.Errorf("the error is %v, want order.ErrUnavailable", err)
			}
			if n := f.operations()["BatchGetItem"]; n != 6 {
				t.Errorf("%d batch reads, want 6", n)
			}
			if took := time.Since(start); took == 0 || took > 2*time.Second {
				t.Errorf("it took %v, want pauses of up to 2 s together", took)
			}
		})
	})
}

// TestShardsAreEven: a tenant's orders are spread evenly over all partitions, whether their
// ids are made from the time or from a key.
func TestShardsAreEven(t *testing.T) {
	const n = 4000
	for name, id := range map[string]func(i int) string{
		"UUIDv7": func(int) string { return must[uuid.UUID](t)(uuid.NewV7()).String() },
		"UUIDv5": func(i int) string { return order.KeyedID("tenant", fmt.Sprint(i)) },
	} {
		orders := make([]order.Order, n)
		for i := range orders {
			orders[i] = pending()
			orders[i].ID = id(i)
		}
		count := make(map[string]int)
		for _, k := range indexOf(t, orders).keys {
			count[plain(k["g"])]++
		}
		for shard, got := range count {
			if len(count) != 8 || got < n/8*7/10 || got > n/8*13/10 {
				t.Errorf("%s: %d of %d orders are in %s of %d", name, got, n, shard, len(count))
			}
		}
	}
}

package dynamostore_test

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/order"
)

// TestScanOnTheWire: a page is one request, without a consistent read, and the next one
// continues where it ended.
func TestScanOnTheWire(t *testing.T) {
	item := itemOf(t, pending())
	void := itemOf(t, order.NewVoid(order.Ref{Tenant: "tenant", ID: order.KeyedID("tenant", "void")}, at(0)))
	store, f := open(t,
		awstest.OK(map[string]any{"Items": []any{item, void}, "LastEvaluatedKey": map[string]any{"pk": void["pk"]}}),
		awstest.OK(map[string]any{"Items": []any{}}),
	)
	q := order.ScanQuery{Segment: 2, Segments: 4, Limit: 50}
	page := must[order.ScanPage](t)(store.Scan(t.Context(), q))
	if diff := cmp.Diff([]order.Order{pending()}, page.Orders); diff != "" || page.Next == "" {
		t.Errorf("the page, next %q (-want +got):\n%s", page.Next, diff)
	}
	q.Cursor = page.Next
	if page = must[order.ScanPage](t)(store.Scan(t.Context(), q)); page.Orders != nil || page.Next != "" {
		t.Errorf("the last page is %v", page)
	}
	var got []string
	for _, r := range f.Requests() {
		got = append(got, shown(r))
	}
	want := []string{
		"Scan\nLimit: 50\nSegment: 2\nTotalSegments: 4",
		"Scan\nExclusiveStartKey: {pk=" + plain(void["pk"]) + "}\nLimit: 50\nSegment: 2\nTotalSegments: 4",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestScanPastTombstones: a page without an order is not the last.
func TestScanPastTombstones(t *testing.T) {
	void := itemOf(t, order.NewVoid(pending().Ref, at(0)))
	store, _ := open(t, awstest.OK(map[string]any{"Items": []any{void}, "LastEvaluatedKey": map[string]any{"pk": void["pk"]}}))
	if page, err := store.Scan(t.Context(), order.ScanQuery{Segments: 1, Limit: 1}); err != nil || page.Orders != nil || page.Next == "" {
		t.Errorf("the page has %d orders, next %q, %v", len(page.Orders), page.Next, err)
	}
}

// TestScanNamesWhatItCannotRead: an item that can't be read is an error, and is not left
// out.
func TestScanNamesWhatItCannotRead(t *testing.T) {
	item := itemOf(t, pending())
	for name, change := range map[string]map[string]any{
		"of a newer build":    {"v": map[string]any{"N": "3"}},
		"without its version": {"v": map[string]any{"S": "x"}},
		"not an amount":       {"a": map[string]any{"S": "x"}},
	} {
		store, _ := open(t, awstest.OK(map[string]any{"Items": []any{item, with(item, change)}}))
		page, err := store.Scan(t.Context(), order.ScanQuery{Segments: 1, Limit: 10})
		if err == nil || !strings.Contains(err.Error(), pending().ID) || errors.Is(err, order.ErrUnavailable) {
			t.Errorf("%s: %v, %v; want an error that names the order", name, page, err)
		}
	}
}

// TestScanUnavailable: a throttled scan can be tried again.
func TestScanUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, _ := open(t, refuses(http.StatusBadRequest, "ProvisionedThroughputExceededException"))
		if _, err := store.Scan(t.Context(), order.ScanQuery{Segments: 1, Limit: 10}); !errors.Is(err, order.ErrUnavailable) {
			t.Errorf("the error is %v, want order.ErrUnavailable", err)
		}
	})
}

// TestScanIndexesCustomers: an order of a build before the index of customers is entered
// there, and nothing else of it changes. Other orders are left alone.
func TestScanIndexesCustomers(t *testing.T) {
	named := pending()
	named.CustomerID = "alice"
	old := itemOf(t, named)
	delete(old, "gc")
	void := with(itemOf(t, order.NewVoid(named.Ref, at(0))), map[string]any{"cu": map[string]any{"S": "alice"}})
	scan := func(t *testing.T, answer awstest.Answer, items ...any) (order.ScanPage, []string, error) {
		t.Helper()
		store, f := open(t, awstest.OK(map[string]any{"Items": items}), answer)
		page, err := store.Scan(t.Context(), order.ScanQuery{Segments: 1, Limit: 10})
		var writes []string
		for _, r := range f.Requests()[1:] {
			writes = append(writes, shown(r))
		}
		return page, writes, err
	}
	want := []string{"UpdateItem\nConditionExpression: n = 1\nKey: {pk=tenant/" + named.ID + "}\n" +
		"UpdateExpression: SET gc = 6#tenant#alice"}
	for name, answer := range map[string]awstest.Answer{
		"written":             awstest.OK(struct{}{}),
		"changed or gone now": refuses(http.StatusBadRequest, "ConditionalCheckFailedException"),
	} {
		page, writes, err := scan(t, answer, old)
		if diff := cmp.Diff([]order.Order{named}, page.Orders); diff != "" || err != nil {
			t.Errorf("%s: the page, %v (-want +got):\n%s", name, err, diff)
		}
		if diff := cmp.Diff(want, writes); diff != "" {
			t.Errorf("%s: the writes (-want +got):\n%s", name, diff)
		}
	}
	if _, writes, err := scan(t, awstest.OK(struct{}{}), itemOf(t, named), itemOf(t, pending()), void); writes != nil || err != nil {
		t.Errorf("without a missing entry: the writes %v, %v", writes, err)
	}
	synctest.Test(t, func(t *testing.T) {
		page, _, err := scan(t, refuses(http.StatusBadRequest, "ThrottlingException"), old)
		if !errors.Is(err, order.ErrUnavailable) || page.Orders != nil {
			t.Errorf("throttled: %v, %v; want order.ErrUnavailable", page, err)
		}
	})
}

// TestScanAppliesTheRetention: what was written with another retention, or none, gets this
// one. Only that changes, and only where it must.
func TestScanAppliesTheRetention(t *testing.T) {
	const day = 24 * time.Hour
	canceled := must[order.Order](t)(pending().Cancel(at(0)))
	kept, expiry := itemOf(t, canceled), func(days int) map[string]any {
		return map[string]any{"x": map[string]any{"N": strconv.FormatInt(at(0).Add(time.Duration(days)*day).Unix(), 10)}}
	}
	const key = "UpdateItem\nConditionExpression: n = 2\nKey: {pk=tenant/01a204cb-dd3f-7a1f-8ee4-487272d016b5}\nUpdateExpression: "
	for name, test := range map[string]struct {
		days int
		item map[string]any
		want []string
	}{
		"new":           {30, kept, []string{key + fmt.Sprintf("SET x = %d", at(0).Add(30*day).Unix())}},
		"another":       {30, with(kept, expiry(90)), []string{key + fmt.Sprintf("SET x = %d", at(0).Add(30*day).Unix())}},
		"the same":      {30, with(kept, expiry(30)), nil},
		"given up":      {0, with(kept, expiry(30)), []string{key + "REMOVE x"}},
		"none":          {0, kept, nil},
		"an open order": {30, itemOf(t, pending()), nil},
	} {
		store, f := open(t, awstest.OK(map[string]any{"Items": []any{test.item}}), awstest.OK(struct{}{}))
		page, err := store.Retaining(time.Duration(test.days)*day).Scan(t.Context(), order.ScanQuery{Segments: 1, Limit: 10})
		if err != nil || len(page.Orders) != 1 {
			t.Errorf("%s: %v, %v", name, page, err)
		}
		var writes []string
		for _, r := range f.Requests()[1:] {
			writes = append(writes, shown(r))
		}
		if diff := cmp.Diff(test.want, writes); diff != "" {
			t.Errorf("%s: the writes (-want +got):\n%s", name, diff)
		}
	}
}

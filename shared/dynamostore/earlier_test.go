package dynamostore_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/contract"
	"paylane/shared/order"
)

// added has the attributes that this build writes and the one of commit 5dfb359 did not, each
// with the reason why that build may leave it alone.
var added = map[string]string{
	"nt":     "When the next attempt is due is for people. What that build leaves of it, order.Order.NextAttempt tells.",
	"ca[].d": "How long an attempt took is for people; that build drops it with its next update.",
	"ra[].d": "How long an attempt took is for people; that build drops it with its next update.",
}

// dropped has the attributes that every item of that build has and one of this build may lack,
// each with the reason why that build can do without.
var dropped = map[string]string{
	"t": "An order forgets its token at its end, after which that build needs it only for refunds at a gateway that reuses tokens.",
}

// earlierItems returns the items that the build of commit 5dfb359 wrote of contract.EarlierOrders.
func earlierItems(t *testing.T) map[string]map[string]any {
	t.Helper()
	items := make(map[string]map[string]any)
	for name, item := range readItem(t, "items-5dfb359.json") {
		items[name] = item.(map[string]any)
	}
	return items
}

// TestEarlierItems: what an earlier build wrote is read as the same order, and this build writes
// that order with the same attributes, of the same values.
func TestEarlierItems(t *testing.T) {
	items, orders := earlierItems(t), contract.EarlierOrders(t)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(orders)), slices.Sorted(maps.Keys(items))); diff != "" {
		t.Fatalf("the orders and the items (-orders +items):\n%s", diff)
	}
	for name, item := range items {
		store, _ := open(t, awstest.OK(map[string]any{"Item": item}))
		got, err := store.Get(t.Context(), orders[name].Ref)
		if diff := cmp.Diff(orders[name], got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		written := itemOf(t, orders[name])
		maps.DeleteFunc(written, func(attribute string, _ any) bool { return added[attribute] != "" && item[attribute] == nil })
		if diff := cmp.Diff(item, written); diff != "" {
			t.Errorf("%s is written differently (-earlier +this build):\n%s", name, diff)
		}
	}
}

// shape is what an earlier build expects of items: by attribute, the type; of those with a few
// values only, which; and which are in every item, or in every element of a list.
type shape struct {
	types    map[string]string
	values   map[string][]any    // by what few returns
	required map[string][]string // by where they are
}

// walk calls f with the attributes of an item, and with those of each element of its lists.
func walk(where string, attributes map[string]any, f func(where string, attributes map[string]any)) {
	f(where, attributes)
	for name, value := range attributes {
		list, _ := value.(map[string]any)["L"].([]any)
		for _, element := range list {
			walk(where+name+"[].", element.(map[string]any)["M"].(map[string]any), f)
		}
	}
}

// typed returns the type of an attribute's value, and the value.
func typed(value any) (kind string, plain any) {
	for kind, plain = range value.(map[string]any) {
	}
	return kind, plain
}

// few returns which few values an attribute has: a schema, a status, an outcome, or the status
// of a refund; "" for any.
func few(attribute string) string {
	return map[string]string{"v": "schema", "s": "status", "ca[].o": "outcome", "ra[].o": "outcome", "rf[].s": "refund"}[attribute]
}

func shapeOf(items map[string]map[string]any) shape {
	s := shape{types: map[string]string{}, values: map[string][]any{}, required: map[string][]string{}}
	for _, item := range items {
		tombstone := cmp.Equal(item["s"], map[string]any{"S": "VOID"})
		walk("", item, func(where string, attributes map[string]any) {
			for name, value := range attributes {
				kind, plain := typed(value)
				s.types[where+name] = kind
				if which := few(where + name); which != "" {
					s.values[which] = append(s.values[which], plain)
				}
			}
			if required, seen := s.required[where]; !seen {
				s.required[where] = slices.Collect(maps.Keys(attributes))
			} else if !tombstone {
				s.required[where] = slices.DeleteFunc(required, func(name string) bool { return attributes[name] == nil })
			}
		})
	}
	return s
}

// check reports what in an item the earlier build would not understand.
func (s shape) check(t *testing.T, name string, item map[string]any) {
	t.Helper()
	walk("", item, func(where string, attributes map[string]any) {
		for attribute, value := range attributes {
			kind, plain := typed(value)
			switch known := s.types[where+attribute]; {
			case known == "" && added[where+attribute] == "":
				t.Errorf("%s: the attribute %q is new; if earlier builds may leave it alone, add it to the list with the reason", name, where+attribute)
			case known != "" && known != kind:
				t.Errorf("%s: the attribute %q has the type %s, and had %s", name, where+attribute, kind, known)
			case few(where+attribute) != "" && !slices.Contains(s.values[few(where+attribute)], plain):
				t.Errorf("%s: the attribute %q is %v, which an earlier build does not know", name, where+attribute, plain)
			}
		}
		for _, attribute := range s.required[where] {
			if attributes[attribute] == nil && dropped[where+attribute] == "" {
				t.Errorf("%s: the attribute %q is gone, and an earlier build reads it", name, where+attribute)
			}
		}
	})
}

// TestItemsForEarlierBuilds: whatever this build makes of an earlier order, the earlier build
// can read, as it must during a canary and after a rollback.
func TestItemsForEarlierBuilds(t *testing.T) {
	s := shapeOf(earlierItems(t))
	known := func(t *testing.T, request awstest.Request) {
		t.Helper()
		for _, name := range request.Body["ExpressionAttributeNames"].(map[string]any) {
			// The reference of a refund was written by builds before that one, which removes it as well.
			if name := name.(string); s.types[name] == "" && added[name] == "" && name != "w" && name != "w0" && name != "rr" {
				t.Errorf("%s touches the attribute %q", request.Operation, name)
			}
		}
	}
	changes := 0
	for name, o := range contract.EarlierOrders(t) {
		for change, next := range contract.Changes(o) {
			if next.Status == order.Void {
				continue // of another shape, and no more than its status and expiry
			}
			changes++
			s.check(t, name+", "+change, itemOf(t, next))
			store, f := open(t, awstest.OK(struct{}{}))
			if err := store.Update(t.Context(), next); err != nil {
				t.Fatal(err)
			}
			known(t, f.Requests()[0])
		}
	}
	if changes < 50 {
		t.Errorf("only %d changes were looked at", changes)
	}
	for _, kind := range []order.Kind{order.KindCharge, order.KindRefund} {
		store, f := open(t, awstest.OK(map[string]any{"Attributes": itemOf(t, pending())}))
		if _, err := store.Claim(t.Context(), pending().Ref, claim(kind)); err != nil {
			t.Fatal(err)
		}
		known(t, f.Requests()[0])
	}
}

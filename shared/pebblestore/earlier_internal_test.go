package pebblestore

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"paylane/shared/contract"
)

// TestEarlierRecords: what the build of commit 5dfb359 wrote is read as the same order, and this
// build writes that order with the same bytes. What it makes of the order has a schema that
// the earlier build reads; testdata holds how each schema is written.
func TestEarlierRecords(t *testing.T) {
	const newestOfEarlier = 3
	data, err := os.ReadFile("testdata/records-5dfb359.json")
	if err != nil {
		t.Fatal(err)
	}
	var records map[string]string
	if err := json.Unmarshal(data, &records); err != nil {
		t.Fatal(err)
	}
	orders := contract.EarlierOrders(t)
	if diff := gocmp.Diff(slices.Sorted(maps.Keys(orders)), slices.Sorted(maps.Keys(records))); diff != "" {
		t.Fatalf("the orders and the records (-orders +records):\n%s", diff)
	}
	for name, digits := range records {
		record, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		o := orders[name]
		got, err := decodeOrder(o.Ref, record)
		if diff := gocmp.Diff(o, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if written, err := appendOrder(nil, &o); err != nil || !bytes.Equal(written, record) {
			t.Errorf("%s is written as %x (%v), and was as %s", name, written, err, digits)
		}
		for change, next := range contract.Changes(o) {
			written, err := appendOrder(nil, &next)
			if err != nil || written[0] > newestOfEarlier {
				t.Errorf("%s, %s: it has schema %d (%v)", name, change, written[0], err)
			}
			// Where the times are, that build has a text, which it skips.
			known := withoutTimes(next)
			want, err := appendOrder(nil, &known)
			if err != nil || !bytes.Equal(want, bytes.Replace(written, appendTimes(nil, &next), appendText(nil, ""), 1)) {
				t.Errorf("%s, %s: it is written as %x (%v), and without times as %x", name, change, written, err, want)
			}
		}
	}
}

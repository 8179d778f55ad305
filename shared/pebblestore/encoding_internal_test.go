package pebblestore

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"paylane/shared/order"
)

var update = flag.Bool("update", false, "write the record of the newest schema to testdata")

// exampleOrder returns the order in the records of testdata.
func exampleOrder() order.Order {
	at := time.Date(2026, 3, 14, 9, 26, 53, 589e6, time.UTC)
	attempt := order.Attempt{StartedAt: at, Outcome: order.OutcomeUnavailable, Code: "503"}
	ended := attempt
	ended.EndedAt = at.Add(2 * time.Second)
	return order.Order{
		Ref:    order.Ref{Tenant: "tenant", ID: "01a204cb-dd3f-7a1f-8ee4-487272d016b5"},
		Status: order.Failed, Version: 9, FirstVersion: 3,
		Total:      order.Money{Amount: 12_000, Currency: "KRW"},
		Items:      []order.Item{{SKU: "TEA-1", Quantity: 2, UnitPrice: 6000}, {SKU: "GIFT", Quantity: 1}},
		CustomerID: "c-42", PaymentToken: "tok_outage", Metadata: map[string]string{"cart": "77", "é": ""},
		Fingerprint: []byte{0, 1, 255},
		Livemode:    true,
		Round:       2,
		Charge:      order.Leg{KeySeq: 2, Tries: 3, Since: at, Attempts: []order.Attempt{attempt, ended}, Omitted: 7},
		Refund:      order.Leg{KeySeq: 1, Tries: 1, Since: at, Attempts: []order.Attempt{{StartedAt: at}}},
		LeaseUntil:  at.Add(time.Minute),
		RetryAt:     at.Add(2 * time.Minute),
		PaymentRef:  "PAY-0A1B2C3D",
		Refunds: []order.Refund{
			{ID: "r-1", Amount: 200, Reason: "broken", Status: order.RefundDone, Ref: "REF-1", RequestedAt: at, EndedAt: at.Add(time.Second)},
			{ID: "r-2", Amount: 11_800, All: true, Status: order.RefundDeclined, Code: "refund_declined", RequestedAt: at, EndedAt: at},
			{ID: "r-3", Amount: 1, Status: order.RefundPending, RequestedAt: at},
		},
		Failure:   &order.Failure{Code: "gateway_unavailable", Message: "the gateway could not be reached"},
		CreatedAt: at, UpdatedAt: at.Add(time.Second), ExpiresAt: at.Add(time.Hour),
	}
}

// Every schema so far can still be read. If a schema lacks a field, this says what the order
// has instead.
func TestEverySchemaIsRead(t *testing.T) {
	const newest = "order-schema-3-times.hex"
	o := exampleOrder()
	if *update {
		record, err := appendOrder(nil, &o)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", newest), []byte(hex.Dump(record)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	third := withoutTimes(o)
	second := third
	// What is not written down follows from the attempts, as far as they go.
	second.Livemode, second.Charge.Since, second.Charge.Omitted = false, time.Time{}, 0
	first := second
	first.Refunds = nil
	for file, want := range map[string]order.Order{
		"order-schema-1.hex": first, "order-schema-2.hex": second, "order-schema-3.hex": third, newest: o,
	} {
		dump, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		record := parseDump(t, string(dump))
		if schema := fmt.Sprint("order-schema-", record[0]); !strings.HasPrefix(file, schema) {
			t.Errorf("%s has schema %d", file, record[0])
		}
		got, err := decodeOrder(o.Ref, record)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		} else if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
		if record[0] < schemaRefunds {
			continue // it had one refund at most
		}
		if written, err := appendOrder(nil, &want); err != nil || !bytes.Equal(written, record) {
			t.Errorf("%s is written differently (%v): this build or the one before may not read it", file, err)
		}
	}
}

// withoutTimes returns the order without what earlier builds leave out.
func withoutTimes(o order.Order) order.Order {
	o.RetryAt = time.Time{}
	for _, l := range []*order.Leg{&o.Charge, &o.Refund} {
		l.Attempts = slices.Clone(l.Attempts)
		for i := range l.Attempts {
			l.Attempts[i].EndedAt = time.Time{}
		}
	}
	return o
}

// parseDump is the inverse of hex.Dump.
func parseDump(t *testing.T, dump string) (data []byte) {
	t.Helper()
	for line := range strings.Lines(dump) {
		digits, _, _ := strings.Cut(line, "|")
		part, err := hex.DecodeString(strings.ReplaceAll(digits[len("00000000"):], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, part...)
	}
	return data
}

func TestANewerSchemaIsRefused(t *testing.T) {
	o := exampleOrder()
	record, err := appendOrder(nil, &o)
	if err != nil {
		t.Fatal(err)
	}
	record[0] = schemaModes + 1
	if _, err := decodeOrder(o.Ref, record); err == nil || !strings.Contains(err.Error(), "newer build") {
		t.Errorf("an order: the error is %v, want one that says so", err)
	}
	record = appendMessage(nil, &message{body: "x"}, state{})
	record[0] = messageTraced + 1
	if _, _, err := decodeMessage(record); err == nil || !strings.Contains(err.Error(), "newer build") {
		t.Errorf("a message: the error is %v, want one that says so", err)
	}
}

// TestGarbledTimes: the text of the times holds one for each attempt, and nothing else.
func TestGarbledTimes(t *testing.T) {
	o := exampleOrder()
	record, err := appendOrder(nil, &o)
	if err != nil {
		t.Fatal(err)
	}
	whole := appendTimes(nil, &o)
	text := string(whole[1:]) // after its length, of one byte
	for _, garbled := range []string{text[:len(text)-1], text + "\x00", text[:len(timesMark)]} {
		if got, err := decodeOrder(o.Ref, bytes.Replace(record, whole, appendText(nil, garbled), 1)); !errors.Is(err, errRecord) {
			t.Errorf("%d bytes of times, not %d: %+v, %v", len(garbled), len(text), got, err)
		}
	}
}

// TestGarbledChanges: an entry of the feed that is not whole is damage, and one of a newer build
// is refused as such.
func TestGarbledChanges(t *testing.T) {
	o := exampleOrder()
	before, err := appendOrder(nil, &o)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := appendChange(nil, stampOf(o.UpdatedAt), before, &o)
	if err != nil {
		t.Fatal(err)
	}
	key := feedKey(7)
	got, err := decodeChange(key, entry)
	if diff := gocmp.Diff(Change{Number: 7, At: o.UpdatedAt, Before: &o, After: &o}, got); diff != "" || err != nil {
		t.Errorf("the whole entry: %v (-want +got):\n%s", err, diff)
	}
	for n := range entry {
		if _, err := decodeChange(key, entry[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("the first %d of %d bytes: the error is %v, want ErrDamaged", n, len(entry), err)
		}
	}
	if _, err := decodeChange(key[:8], entry); !errors.Is(err, ErrDamaged) {
		t.Errorf("a short key: the error is %v, want ErrDamaged", err)
	}
	entry[0] = schemaChange + 1
	if _, err := decodeChange(key, entry); err == nil || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "newer build") {
		t.Errorf("a newer build's: the error is %v, want one that says so", err)
	}
}

func TestUnknownStatusIsRefused(t *testing.T) {
	if _, err := appendOrder(nil, &order.Order{Status: "LOST"}); err == nil {
		t.Error("an order with an unknown status was encoded")
	}
	for _, status := range append(order.Statuses(), order.Void) {
		if code := statusCode(status); code == 0 || statuses[code] != status {
			t.Errorf("%s has the code %d", status, code)
		}
	}
}

// FuzzOrderRecord decodes garbage: it must not panic, and whatever it accepts as an order
// must survive encoding.
func FuzzOrderRecord(f *testing.F) {
	o := exampleOrder()
	record, err := appendOrder(nil, &o)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add(record[:headerBytes])
	small, err := appendOrder(nil, &order.Order{Status: order.Pending})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Fuzz(func(t *testing.T, garbage []byte) {
		first, err := decodeOrder(o.Ref, garbage)
		if err != nil {
			return
		}
		record, err := appendOrder(nil, &first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := decodeOrder(o.Ref, record)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(first, second) {
			t.Errorf("the order changes by encoding it:\n%s", gocmp.Diff(first, second))
		}
		h, err := readHeader(record)
		if err != nil || h.status != first.Status || h.version != first.Version {
			t.Errorf("the header says %+v, %v of %+v", h, err, first)
		}
	})
}

// FuzzMessageRecord does the same for messages and handles.
func FuzzMessageRecord(f *testing.F) {
	f.Add(appendMessage(nil, &message{source: "arn", body: "body"}, state{count: 3, visible: 1}), "handle")
	f.Add(appendMessage(nil, &message{source: "arn", trace: "Root=1", body: "body"}, state{count: 3, visible: 1}), "")
	f.Add([]byte{}, handle{number: 1 << 40, count: 2}.encode("payments"))
	f.Fuzz(func(t *testing.T, garbage []byte, text string) {
		if first, s, err := decodeMessage(garbage); err == nil {
			second, s2, err := decodeMessage(appendMessage(nil, &first, s))
			if err != nil || second != first || s2 != s {
				t.Errorf("the message %+v, %+v changes to %+v, %+v (%v)", first, s, second, s2, err)
			}
		}
		if first, err := decodeState(garbage); err == nil {
			if second, err := decodeState(appendState(nil, first)); err != nil || second != first {
				t.Errorf("the state %+v changes to %+v (%v)", first, second, err)
			}
		}
		if h, err := parseHandle(text, "payments"); err == nil && h.encode("payments") != strings.NewReplacer("\r", "", "\n", "").Replace(text) {
			t.Errorf("the handle %q is also written %q", text, h.encode("payments"))
		}
	})
}

// FuzzKeys checks that keys sort as their orders do and can be parsed again, and that no
// tenant's range holds another's keys.
func FuzzKeys(f *testing.F) {
	f.Add("a", "id", int64(1), "a/b", "id", int64(2))
	f.Add("", "", int64(0), "\x00", "\xff", int64(-1))
	f.Add("t", "a", int64(5), "t", "ab", int64(5))
	f.Fuzz(func(t *testing.T, tenant1, id1 string, ms1 int64, tenant2, id2 string, ms2 int64) {
		at1, at2 := time.UnixMilli(ms1), time.UnixMilli(ms2)
		if at1.IsZero() || at2.IsZero() || stampOf(at1) == 0 || stampOf(at2) == 0 {
			return // the zero time has a stamp of its own
		}
		if got := stampOf(at1).time(); !got.Equal(at1) {
			t.Errorf("the time %v comes back as %v", at1, got)
		}
		ref1, ref2 := order.Ref{Tenant: tenant1, ID: id1}, order.Ref{Tenant: tenant2, ID: id2}
		if bytes.Equal(orderKey(nil, ref1), orderKey(nil, ref2)) != (ref1 == ref2) {
			t.Errorf("%q and %q have the same key", ref1, ref2)
		}
		if got, ok := parseExpiryKey(voidKey(nil, stampOf(at1), ref1)); !ok || got != ref1 {
			t.Errorf("the tombstone %q comes back as %q", ref1, got)
		}
		for _, prefixOf := range []func(tenant string) []byte{
			func(tenant string) []byte { return listPrefix(nil, tenant, "") },
			func(tenant string) []byte { return listPrefix(nil, tenant, order.Failed) },
			func(tenant string) []byte { return customerPrefix(nil, tenant, "customer") },
			func(customer string) []byte { return customerPrefix(nil, "tenant", customer) },
		} {
			prefix := prefixOf(tenant1)
			key1 := placeKey(slices.Clone(prefix), stampOf(at1), id1)
			key2 := placeKey(prefixOf(tenant2), stampOf(at2), id2)
			if created, id := parsePlaceKey(key1, prefix); created != stampOf(at1) || id != id1 {
				t.Errorf("the place of %q comes back as %q", id1, id)
			}
			inRange := bytes.Compare(key2, prefix) >= 0 && bytes.Compare(key2, prefixEnd(prefix)) < 0
			if inRange != (tenant1 == tenant2) {
				t.Errorf("the range of tenant %q has a key of %q: %t", tenant1, tenant2, inRange)
			}
			want := cmp.Or(at1.Compare(at2), cmp.Compare(id1, id2))
			if tenant1 == tenant2 && bytes.Compare(key1, key2) != want {
				t.Errorf("%v %q and %v %q sort wrongly", at1, id1, at2, id2)
			}
		}
		number := uint64(ms1)
		key := messageKey(nil, tenant1, number, partState)
		if got, part, ok := parseMessageKey(key, messagePrefix(nil, tenant1)); !ok || got != number || part != partState {
			t.Errorf("message %d comes back as %d", number, got)
		}
		if other := messagePrefix(nil, tenant2); bytes.HasPrefix(key, other) != (tenant1 == tenant2) {
			t.Errorf("the range of queue %q has a key of %q", tenant2, tenant1)
		}
	})
}

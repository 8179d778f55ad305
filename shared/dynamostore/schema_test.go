package dynamostore_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/dynamostore"
	"paylane/shared/order"
)

var update = flag.Bool("update", false, "write the item of the newest schema to testdata")

// fullOrder returns the order in the items of testdata.
func fullOrder() order.Order {
	unavailable := order.Attempt{StartedAt: at(0), Outcome: order.OutcomeUnavailable, Code: "503"}
	ended := unavailable
	ended.EndedAt = at(2)
	return order.Order{
		Ref:    order.Ref{Tenant: "tenant/with slash", ID: "01a204cb-dd3f-7a1f-8ee4-487272d016b5"},
		Status: order.Failed, Version: 9, FirstVersion: 3,
		Total:      order.Money{Amount: 12_000, Currency: "KRW"},
		Items:      []order.Item{{SKU: "TEA-1", Quantity: 2, UnitPrice: 6000}, {SKU: "GIFT", Quantity: 1}},
		CustomerID: "c-42", PaymentToken: "tok_outage", Metadata: map[string]string{"cart": "77", "é": ""},
		Fingerprint: []byte{0, 1, 255},
		Livemode:    true,
		Round:       2,
		Charge: order.Leg{
			KeySeq: 2, Tries: 3, Since: at(0), Attempts: []order.Attempt{unavailable, ended}, Omitted: 7,
		},
		Refund:     order.Leg{KeySeq: 1, Tries: 1, Since: at(0), Attempts: []order.Attempt{{StartedAt: at(0)}}, Omitted: 1},
		LeaseUntil: at(60), RetryAt: at(90),
		PaymentRef: "PAY-0A1B2C3D",
		Refunds: []order.Refund{
			{ID: "r-1", Amount: 200, Reason: "broken", Status: order.RefundDone, Ref: "REF-1", RequestedAt: at(0), EndedAt: at(1)},
			{ID: "r-2", Amount: 11_800, All: true, Status: order.RefundDeclined, Code: "refund_declined", RequestedAt: at(2), EndedAt: at(3)},
			{ID: "r-3", Amount: 1, Status: order.RefundPending, RequestedAt: at(4)},
		},
		Failure:   &order.Failure{Code: "gateway_unavailable", Message: "the gateway could not be reached"},
		CreatedAt: at(0), UpdatedAt: at(1),
	}
}

// Every schema so far can still be read. If a schema lacks a field, this says what the order
// has instead.
func TestEverySchemaIsRead(t *testing.T) {
	// Its newest attributes are new names, which older builds leave alone.
	const newest = "order-schema-2-times.json"
	written := itemOf(t, fullOrder())
	if *update {
		data, err := json.MarshalIndent(written, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", newest), append(data, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	modes := fullOrder()
	modes.RetryAt = time.Time{}
	modes.Charge.Attempts[1].EndedAt = time.Time{}
	second := modes
	second.Livemode = false
	for _, leg := range []*order.Leg{&second.Charge, &second.Refund} {
		leg.Since, leg.Omitted = time.Time{}, 0
	}
	first := second
	first.Refunds = nil
	for file, want := range map[string]order.Order{
		"order-schema-1.json": first, "order-schema-1-by-customer.json": first, "order-schema-2.json": second,
		"order-schema-2-modes.json": modes, newest: fullOrder(),
	} {
		item := readItem(t, file)
		store, _ := open(t, awstest.OK(map[string]any{"Item": item}))
		got, err := store.Get(t.Context(), fullOrder().Ref)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
	if diff := cmp.Diff(readItem(t, newest), written); diff != "" {
		t.Errorf("the newest schema is written differently: an order as it was written before may not be read (-was +is):\n%s", diff)
	}
}

func readItem(t *testing.T, file string) (item map[string]any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err == nil {
		err = json.Unmarshal(data, &item)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return item
}

// TestWholeRefund: the refund of a build that knew of one only, of the whole amount, is in
// the list. An order without refunds is written as that build did.
func TestWholeRefund(t *testing.T) {
	for status, want := range map[string]order.RefundStatus{"REFUNDING": order.RefundPending, "REFUNDED": order.RefundDone} {
		item := with(readItem(t, "order-schema-1.json"), map[string]any{"s": map[string]any{"S": status}})
		store, _ := open(t, awstest.OK(map[string]any{"Item": item}))
		o, err := store.Get(t.Context(), fullOrder().Ref)
		if err != nil {
			t.Fatal(err)
		}
		ref := map[order.RefundStatus]string{order.RefundDone: "REF-1"}[want]
		if r := o.LastRefund(); len(o.Refunds) != 1 || r.Amount != 12_000 || !r.All || r.Status != want || r.Ref != ref || r.ID == "" {
			t.Errorf("%s: %+v", status, o.Refunds)
		}
	}
	if schema := itemOf(t, pending())["v"]; !cmp.Equal(schema, map[string]any{"N": "1"}) {
		t.Errorf("an order without refunds has schema %v", schema)
	}
}

// TestNewerBuild: an unknown attribute is left alone, but an item with an unknown schema is
// refused, with an error that says so.
func TestNewerBuild(t *testing.T) {
	item := itemOf(t, pending())
	unknown := with(item, map[string]any{"zz": map[string]any{"S": "?"}})
	store, _ := open(t, awstest.OK(map[string]any{"Item": unknown}))
	if o, err := store.Get(t.Context(), pending().Ref); err != nil || !cmp.Equal(o, pending()) {
		t.Errorf("with an unknown attribute: %v, %v", o, err)
	}

	newer := with(item, map[string]any{"v": map[string]any{"N": "3"}})
	stands := conflicts(newer)
	for name, test := range map[string]struct {
		answer func(int, awstest.Request) awstest.Answer
		call   func(*dynamostore.Store) error
	}{
		"get": {awstest.InTurn(awstest.OK(map[string]any{"Item": newer})), func(s *dynamostore.Store) error {
			_, err := s.Get(t.Context(), pending().Ref)
			return err
		}},
		"create": {awstest.InTurn(stands), func(s *dynamostore.Store) error { return s.Create(t.Context(), pending()) }},
		"update": {awstest.InTurn(stands), func(s *dynamostore.Store) error { return s.Update(t.Context(), pending()) }},
		"claim": {awstest.InTurn(stands), func(s *dynamostore.Store) error {
			_, err := s.Claim(t.Context(), pending().Ref, claim(order.KindCharge))
			return err
		}},
		"list": {func(_ int, r awstest.Request) awstest.Answer {
			if r.Operation == "Query" {
				return awstest.OK(map[string]any{"Items": []any{map[string]any{"pk": item["pk"], "gs": item["gs"]}}})
			}
			return awstest.OK(map[string]any{"Responses": map[string]any{"orders": []any{newer}}})
		}, func(s *dynamostore.Store) error {
			_, err := s.List(t.Context(), order.Query{Tenant: "tenant", Limit: 10})
			return err
		}},
	} {
		store, _ := serve(t, test.answer)
		err := test.call(store)
		var conflict *order.ConflictError
		if err == nil || !strings.Contains(err.Error(), "newer build") || errors.As(err, &conflict) {
			t.Errorf("%s of a newer build's order: the error is %v, want one that says so", name, err)
		}
	}
}

// TestForeignItems: for an item that no build wrote, the error names the attribute.
func TestForeignItems(t *testing.T) {
	item := itemOf(t, fullOrder())
	foreign := map[string]any{"BOOL": true}
	for name := range item {
		switch name {
		case "g", "o", "gc", "gs": // of the indexes alone
			continue
		}
		store, _ := open(t, awstest.OK(map[string]any{"Item": with(item, map[string]any{name: foreign})}))
		if _, err := store.Get(t.Context(), fullOrder().Ref); err == nil || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("attribute %q of another type: the error is %v, want one that names it", name, err)
		}
	}
	for _, name := range []string{"pk", "v", "s", "n", "a", "c"} {
		missing := with(item, nil)
		delete(missing, name)
		store, _ := open(t, awstest.OK(map[string]any{"Item": missing}))
		if _, err := store.Get(t.Context(), fullOrder().Ref); err == nil || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("attribute %q missing: the error is %v, want one that names it", name, err)
		}
	}
}

// TestNotFound: a condition fails because there is no item.
func TestNotFound(t *testing.T) {
	nothing := refuses(http.StatusBadRequest, "ConditionalCheckFailedException")
	for _, name := range []string{"update", "claim"} {
		store, _ := open(t, nothing)
		if err := calls[name](t.Context(), store); !errors.Is(err, order.ErrNotFound) {
			t.Errorf("%s: the error is %v, want order.ErrNotFound", name, err)
		}
	}
	store, _ := open(t, awstest.OK(struct{}{}))
	if err := calls["get"](t.Context(), store); !errors.Is(err, order.ErrNotFound) {
		t.Errorf("get: the error is %v, want order.ErrNotFound", err)
	}
}

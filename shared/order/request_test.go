package order_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
)

func TestNormalizeRefuses(t *testing.T) {
	item := func(change func(*order.Item)) []order.Item {
		i := order.Item{SKU: "TEA-1", Quantity: 2, UnitPrice: 6000}
		change(&i)
		return []order.Item{i}
	}
	many := make(map[string]string)
	for i := range order.MaxMetadata + 1 {
		many[fmt.Sprint(i)] = ""
	}
	for _, tt := range []struct {
		name string
		r    order.Request
		at   string // the field that must be named
	}{
		{"no amount, no items", order.Request{}, "amount"},
		{"amount 0 without items", order.Request{Amount: 0}, "amount"},
		{"negative amount", order.Request{Amount: -1}, "amount"},
		{"negative amount with items", order.Request{Amount: -1, Items: item(func(*order.Item) {})}, "amount"},
		{"amount and items disagree", order.Request{Amount: 11999, Items: item(func(*order.Item) {})}, "amount"},
		{"items that total 0", order.Request{Items: item(func(i *order.Item) { i.UnitPrice = 0 })}, "items"},
		{"too many items", order.Request{Items: make([]order.Item, order.MaxItems+1)}, "items"},
		{"sku missing", order.Request{Items: item(func(i *order.Item) { i.SKU = "" })}, "items[0].sku"},
		{"sku too long", order.Request{Items: item(func(i *order.Item) { i.SKU = strings.Repeat("é", 65) })}, "items[0].sku"},
		{"quantity 0", order.Request{Items: item(func(i *order.Item) { i.Quantity = 0 })}, "items[0].quantity"},
		{"quantity too large", order.Request{Items: item(func(i *order.Item) { i.Quantity = 10_001 })}, "items[0].quantity"},
		{"negative price", order.Request{Items: item(func(i *order.Item) { i.UnitPrice = -1 })}, "items[0].unitPrice"},
		{"a line overflows", order.Request{Items: item(func(i *order.Item) { i.Quantity, i.UnitPrice = order.MaxQuantity, order.MaxAmount })}, "items[0].unitPrice"},
		{"amount too large", order.Request{Amount: order.MaxAmount + 1}, "amount"},
		{"price too large", order.Request{Items: item(func(i *order.Item) { i.Quantity, i.UnitPrice = 1, order.MaxAmount+1 })}, "items[0].unitPrice"},
		{"a line too large", order.Request{Items: item(func(i *order.Item) { i.Quantity, i.UnitPrice = 2, order.MaxAmount/2+1 })}, "items[0].unitPrice"},
		{"the sum too large", order.Request{Items: append(
			item(func(i *order.Item) { i.Quantity, i.UnitPrice = 1, order.MaxAmount }),
			item(func(i *order.Item) { i.Quantity, i.UnitPrice = 1, 1 })...)}, "items[1].unitPrice"},
		{"lower case currency", order.Request{Amount: 1, Currency: "usd"}, "currency"},
		{"unknown currency", order.Request{Amount: 1, Currency: "ABC"}, "currency"},
		{"withdrawn currency", order.Request{Amount: 1, Currency: "DEM"}, "currency"},
		{"customer id too long", order.Request{Amount: 1, CustomerID: strings.Repeat("c", 65)}, "customerId"},
		{"too much metadata", order.Request{Amount: 1, Metadata: many}, "metadata"},
		{"empty metadata key", order.Request{Amount: 1, Metadata: map[string]string{"": "v"}}, "metadata"},
		{"long metadata key", order.Request{Amount: 1, Metadata: map[string]string{strings.Repeat("k", 41): ""}}, "metadata"},
		{"long metadata value", order.Request{Amount: 1, Metadata: map[string]string{"k": strings.Repeat("v", 501)}}, "metadata"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.r.Normalize("tok_ok")
			var invalid *order.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v, want an InvalidError", err)
			}
			for _, f := range invalid.Fields {
				if f.Location == tt.at && f.Message != "" {
					return
				}
			}
			t.Errorf("fields %v, want one at %s", invalid.Fields, tt.at)
		})
	}
}

// TestNormalizeToken: if the gateway has no default token, every request must name one.
func TestNormalizeToken(t *testing.T) {
	_, err := order.Request{Amount: 1}.Normalize("")
	var invalid *order.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Fields) != 1 || invalid.Fields[0].Location != "paymentToken" {
		t.Errorf("without a token: %v", err)
	}
	if r, err := (order.Request{Amount: 1, PaymentToken: "pm_1"}).Normalize(""); err != nil || r.PaymentToken != "pm_1" {
		t.Errorf("with a token: %q, %v", string(r.PaymentToken), err)
	}
}

func TestNormalizeFillsIn(t *testing.T) {
	got, err := order.Request{
		Items: []order.Item{{SKU: "TEA-1", Quantity: 2, UnitPrice: 6000}, {SKU: "gift", Quantity: 1, UnitPrice: 0}},
	}.Normalize("tok_ok")
	if err != nil {
		t.Fatal(err)
	}
	if got.Amount != 12000 || got.Currency != "KRW" || got.PaymentToken != "tok_ok" {
		t.Errorf("got %+v", got)
	}
}

// TestNormalizeAtLimits: the limits themselves are allowed, and counted in characters.
func TestNormalizeAtLimits(t *testing.T) {
	metadata := make(map[string]string)
	for i := range order.MaxMetadata {
		metadata[strings.Repeat("é", order.MaxMetadataKey-1)+string(rune('a'+i))] = strings.Repeat("é", order.MaxMetadataValue)
	}
	items := make([]order.Item, order.MaxItems)
	for i := range items {
		items[i] = order.Item{SKU: strings.Repeat("é", order.MaxSKU), Quantity: order.MaxQuantity, UnitPrice: 1}
	}
	for name, tt := range map[string]struct {
		r    order.Request
		want int64 // amount
	}{
		"largest amount":       {order.Request{Amount: order.MaxAmount, CustomerID: strings.Repeat("é", order.MaxCustomerID), Metadata: metadata}, order.MaxAmount},
		"smallest amount":      {order.Request{Amount: 1}, 1},
		"most items":           {order.Request{Items: items}, order.MaxItems * order.MaxQuantity},
		"largest price":        {order.Request{Items: []order.Item{{SKU: "a", Quantity: 1, UnitPrice: order.MaxAmount}}}, order.MaxAmount},
		"smallest sum":         {order.Request{Items: []order.Item{{SKU: "a", Quantity: 1, UnitPrice: 1}}}, 1},
		"amount that is right": {order.Request{Amount: 6, Items: []order.Item{{SKU: "a", Quantity: 2, UnitPrice: 3}}}, 6},
	} {
		if got, err := tt.r.Normalize("tok_ok"); err != nil || got.Amount != tt.want {
			t.Errorf("%s: amount %d, %v; want %d", name, got.Amount, err, tt.want)
		}
	}
}

// TestFingerprint: requests with the same meaning have the same fingerprint, and no others.
func TestFingerprint(t *testing.T) {
	fingerprint := func(r order.Request) []byte {
		t.Helper()
		n, err := r.Normalize("tok_ok")
		if err != nil {
			t.Fatal(err)
		}
		return n.Fingerprint()
	}
	base := order.Request{Items: []order.Item{{SKU: "a", Quantity: 1, UnitPrice: 5}}, Metadata: map[string]string{"x": "1", "y": "2"}}
	explicit := base
	explicit.Amount, explicit.Currency, explicit.PaymentToken = 5, "KRW", "tok_ok"
	if !bytes.Equal(fingerprint(base), fingerprint(explicit)) {
		t.Error("defaults written out change the fingerprint")
	}
	if !bytes.Equal(fingerprint(order.Request{Amount: 1}), fingerprint(order.Request{Amount: 1, Metadata: map[string]string{}, Items: []order.Item{}})) {
		t.Error("empty lists change the fingerprint")
	}
	others := map[string]order.Request{"plain amount": {Amount: 5}}
	for name, change := range map[string]func(*order.Request){
		"currency": func(r *order.Request) { r.Currency = "USD" },
		"customer": func(r *order.Request) { r.CustomerID = "c" },
		"token":    func(r *order.Request) { r.PaymentToken = "tok_declined" },
		"metadata": func(r *order.Request) { r.Metadata = map[string]string{"x": "1", "y": "3"} },
		"item":     func(r *order.Request) { r.Items = []order.Item{{SKU: "b", Quantity: 1, UnitPrice: 5}} },
	} {
		r := base
		change(&r)
		others[name] = r
	}
	seen := map[string]string{string(fingerprint(base)): "base"}
	for name, r := range others {
		if twin, ok := seen[string(fingerprint(r))]; ok {
			t.Errorf("%s has the fingerprint of %s", name, twin)
		}
		seen[string(fingerprint(r))] = name
	}
}

// TestFingerprintHasEverything changes one field after the other, also such as were added
// since: no two requests that differ may have the same fingerprint.
func TestFingerprintHasEverything(t *testing.T) {
	base := func() order.Request {
		return order.Request{
			Amount: 5, Currency: "KRW", CustomerID: "c", PaymentToken: "tok_ok",
			Items: []order.Item{{SKU: "a", Quantity: 1, UnitPrice: 5}}, Metadata: map[string]string{"x": "1"},
		}
	}
	seen := map[string]string{string(base().Fingerprint()): "the request before"}
	check := func(name string, r order.Request) {
		t.Helper()
		if twin, ok := seen[string(r.Fingerprint())]; ok {
			t.Errorf("with another %s, the fingerprint is that of %s", name, twin)
		}
		seen[string(r.Fingerprint())] = name
	}
	change := func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "2")
		case reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Slice:
			v.Set(reflect.AppendSlice(v, v))
		case reflect.Map:
			v.SetMapIndex(reflect.ValueOf("y"), reflect.ValueOf("1"))
		default:
			t.Fatalf("change a field of kind %v", v.Kind())
		}
	}
	for i := range reflect.TypeFor[order.Request]().NumField() {
		r := base()
		change(reflect.ValueOf(&r).Elem().Field(i))
		check(reflect.TypeFor[order.Request]().Field(i).Name, r)
	}
	for i := range reflect.TypeFor[order.Item]().NumField() {
		r := base()
		change(reflect.ValueOf(&r.Items[0]).Elem().Field(i))
		check("item's "+reflect.TypeFor[order.Item]().Field(i).Name, r)
	}
	r := base()
	r.Metadata["x"] = "2"
	check("value in the metadata", r)
}

func TestKeys(t *testing.T) {
	for key, want := range map[string]bool{
		"a": true, "!~": true, strings.Repeat("k", 255): true,
		"": false, " ": false, "a b": false, ",": false, "a,b": false, "+-": true, "a\tb": false, "é": false, "\x7f": false, strings.Repeat("k", 256): false,
	} {
		if got := order.ValidKey(key); got != want {
			t.Errorf("ValidKey(%q) = %v", key, got)
		}
	}
	id := order.KeyedID("t", "k")
	if !order.ValidID(id) || id != order.KeyedID("t", "k") {
		t.Errorf("KeyedID: %q", id)
	}
	if id == order.KeyedID("t", "k2") || id == order.KeyedID("t2", "k") || order.KeyedID("ab", "c") == order.KeyedID("a", "bc") {
		t.Error("two keys share an id")
	}
	for _, bad := range []string{"", "x", strings.ToUpper(id), "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", "")} {
		if order.ValidID(bad) {
			t.Errorf("ValidID(%q) = true", bad)
		}
	}
}

func TestMessage(t *testing.T) {
	m := order.Message{Kind: order.KindRefund, Ref: order.Ref{Tenant: "t/\"é", ID: order.KeyedID("t", "k")}, Round: 7, Refund: 2}
	got, err := order.ParseMessage(m.Encode())
	if err != nil || got != m {
		t.Errorf("round trip: %+v, %v", got, err)
	}
	// Builds that knew of one refund only did not count.
	if got, err := order.ParseMessage(strings.Replace(m.Encode(), `,"refund":2`, "", 1)); err != nil || got.Refund != 1 {
		t.Errorf("a refund that is not counted: %+v, %v", got, err)
	}
	good := m.Encode()
	for name, body := range map[string]string{
		"empty": "", "not JSON": "hello", "a list": "[]", "null": "null", "another version": strings.Replace(good, `"version":1`, `"version":2`, 1),
		"unknown kind": strings.Replace(good, "refund", "steal", 1), "no tenant": strings.Replace(good, `"tenant":`, `"t":`, 1),
		"bad id": strings.Replace(good, `"orderId":"`, `"orderId":"x`, 1), "round 0": strings.Replace(good, `"round":7`, `"round":0`, 1),
		"round as text": strings.Replace(good, `"round":7`, `"round":"7"`, 1), "truncated": good[:20], "trailing text": good + "x",
	} {
		if _, err := order.ParseMessage(body); !errors.Is(err, order.ErrMessage) {
			t.Errorf("%s: %v, want ErrMessage", name, err)
		}
	}
}

func TestMoney(t *testing.T) {
	for _, tt := range []struct {
		m    order.Money
		want string
	}{
		{order.Money{Amount: 1234, Currency: "USD"}, "12.34 USD"},
		{order.Money{Amount: 5, Currency: "USD"}, "0.05 USD"},
		{order.Money{Amount: -5, Currency: "USD"}, "-0.05 USD"},
		{order.Money{Amount: 1234, Currency: "KRW"}, "1234 KRW"},
		{order.Money{Amount: 1234, Currency: "BHD"}, "1.234 BHD"},
		{order.Money{Amount: math.MinInt64, Currency: "EUR"}, "-92233720368547758.08 EUR"},
	} {
		if got := tt.m.String(); got != tt.want {
			t.Errorf("%+v prints as %q, want %q", tt.m, got, tt.want)
		}
	}
	for _, tt := range []struct{ a, b int64 }{
		{math.MaxInt64, 1}, {math.MinInt64, -1}, {math.MaxInt64, math.MaxInt64}, {math.MinInt64, math.MinInt64},
	} {
		if got, err := (order.Money{Amount: tt.a}).Plus(tt.b); !errors.Is(err, order.ErrOverflow) {
			t.Errorf("%d + %d = %v, %v", tt.a, tt.b, got, err)
		}
	}
	for _, tt := range []struct{ a, b int64 }{
		{math.MaxInt64, 2}, {math.MinInt64, -1}, {1 << 32, 1 << 31}, {-1, math.MinInt64},
		{1 << 32, 1 << 32}, {math.MaxInt64, 3}, {math.MinInt64, 2}, {math.MinInt64, 3}, {math.MaxInt64, -2},
	} {
		if got, err := (order.Money{Amount: tt.a}).Times(tt.b); !errors.Is(err, order.ErrOverflow) {
			t.Errorf("%d * %d = %v, %v", tt.a, tt.b, got, err)
		}
	}
	for _, tt := range []struct{ a, b int64 }{{math.MaxInt64, 1}, {math.MinInt64, 1}, {math.MaxInt64, -1}, {1 << 31, 1 << 31}, {-3, 2}} {
		if got, err := (order.Money{Amount: tt.a}).Times(tt.b); err != nil || got.Amount != tt.a*tt.b {
			t.Errorf("%d * %d = %v, %v", tt.a, tt.b, got, err)
		}
	}
	if got, err := (order.Money{Amount: 3, Currency: "USD"}).Times(0); err != nil || !cmp.Equal(got, order.Money{Currency: "USD"}) {
		t.Errorf("3 * 0 = %v, %v", got, err)
	}
}

// TestTokenStaysHidden prints an order in every way a log might.
func TestTokenStaysHidden(t *testing.T) {
	const secret = "tok_secret"
	o := order.Order{PaymentToken: secret}
	for _, text := range []string{
		fmt.Sprint(o), fmt.Sprintf("%+v", o), fmt.Sprintf("%#v", o), fmt.Sprintf("%q", o.PaymentToken), o.LogValue().String(), o.PaymentToken.LogValue().String(),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("the token is visible in %s", text)
		}
	}
}

package dynamostore_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/dynamostore"
	"paylane/shared/order"
)

// shown returns a request with its placeholders resolved, one parameter a line.
func shown(r awstest.Request) string {
	var pairs []string
	names, _ := r.Body["ExpressionAttributeNames"].(map[string]any)
	values, _ := r.Body["ExpressionAttributeValues"].(map[string]any)
	for placeholder, name := range names {
		pairs = append(pairs, placeholder, name.(string))
	}
	for placeholder, value := range values {
		pairs = append(pairs, placeholder, plain(value))
	}
	// The longest come first, such as #ct before #c.
	byLength := slices.Collect(slices.Chunk(pairs, 2))
	slices.SortFunc(byLength, func(a, b []string) int { return cmp.Compare(len(b[0]), len(a[0])) })
	resolve := strings.NewReplacer(slices.Concat(byLength...)...)
	lines := []string{r.Operation}
	for _, parameter := range slices.Sorted(maps.Keys(r.Body)) {
		value := r.Body[parameter]
		switch parameter {
		case "ExpressionAttributeNames", "ExpressionAttributeValues", "TableName":
			continue
		}
		text, isText := value.(string)
		if !isText {
			text = plain(value)
		}
		lines = append(lines, parameter+": "+resolve.Replace(text))
	}
	return tokens.ReplaceAllString(strings.Join(lines, "\n"), "TOKEN")
}

// tokens matches the tokens of writes.
var tokens = regexp.MustCompile(`\b[A-Z2-7]{16}\b`)

// plain returns a value without DynamoDB's types.
func plain(v any) string {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 1 {
			for name, inner := range v {
				if slices.Contains([]string{"S", "N", "B", "M", "L"}, name) {
					return plain(inner)
				}
			}
		}
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+"="+plain(v[k]))
		}
		return "{" + strings.Join(parts, " ") + "}"
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, plain(e))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return fmt.Sprint(v)
}

// TestRequests shows what each call puts on the wire: how many requests, on which
// conditions, and what they ask for in return.
func TestRequests(t *testing.T) {
	o := pending()
	item := itemOf(t, o)
	claimed := must[order.Order](t)(o.Claimed(claim(order.KindCharge)))
	paid := must[order.Order](t)(claimed.PaidWith("PAY-0A1B2C3D", false, at(2)))
	failed := must[order.Order](t)(claimed.FailedWith(order.OutcomeDeclined, order.Failure{Code: "expired_card"}, at(2)))
	void := order.NewVoid(o.Ref, at(0))
	alices := o
	alices.CustomerID = "alice/#1"
	alicesCanceled := must[order.Order](t)(alices.Cancel(at(2)))
	const id = "01a204cb-dd3f-7a1f-8ee4-487272d016b5"
	for _, test := range []struct {
		name string
		call func(*dynamostore.Store) error
		want []string
	}{
		{"create", func(s *dynamostore.Store) error { return s.Create(t.Context(), o) }, []string{
			"PutItem\nConditionExpression: attribute_not_exists(pk)\n" +
				"Item: {a=12000 c=KRW cr=1773480413589 g=tenant#0 gs=001773480413589#" + id + " n=1 pk=tenant/" + id +
				" r=1 s=PENDING t=tok_ok up=1773480413589 v=1 w0=TOKEN}\n" +
				"ReturnValuesOnConditionCheckFailure: ALL_OLD",
		}},
		{"create for a customer, in its index", func(s *dynamostore.Store) error { return s.Create(t.Context(), alices) }, []string{
			"PutItem\nConditionExpression: attribute_not_exists(pk)\n" +
				"Item: {a=12000 c=KRW cr=1773480413589 cu=alice/#1 g=tenant#0 gc=6#tenant#alice/#1 gs=001773480413589#" + id +
				" n=1 pk=tenant/" + id + " r=1 s=PENDING t=tok_ok up=1773480413589 v=1 w0=TOKEN}\n" +
				"ReturnValuesOnConditionCheckFailure: ALL_OLD",
		}},
		// The index entry is what it was, so DynamoDB writes none. A claim does not mention it.
		{"cancel for a customer", func(s *dynamostore.Store) error { return s.Update(t.Context(), alicesCanceled) }, []string{
			"UpdateItem\nConditionExpression: n = 1\nKey: {pk=tenant/" + id + "}\nReturnValuesOnConditionCheckFailure: ALL_OLD\n" +
				"UpdateExpression: SET w = TOKEN, v = 1, s = CANCELED, n = 2, a = 12000, c = KRW, cu = alice/#1, r = 1," +
				" cr = 1773480413589, up = 1773480415589, g = tenant#0, o = tenant#CANCELED#0, gc = 6#tenant#alice/#1," +
				" gs = 001773480413589#" + id + " REMOVE n0, i, t, m, f, lm, l, nt, p, rr, rf, fc, fm, x, ck, ct, cb, ca, co, rk, rt, rb, ra, ro",
		}},
		{"claim", func(s *dynamostore.Store) error {
			_, err := s.Claim(t.Context(), o.Ref, claim(order.KindCharge))
			return err
		}, []string{
			"UpdateItem\nConditionExpression: v <= 2 AND r = 1 AND s IN (PENDING, PROCESSING)" +
				" AND (attribute_not_exists(l) OR l <= 1773480414589) AND (attribute_not_exists(ct) OR ct < 3)\n" +
				"Key: {pk=tenant/" + id + "}\nReturnValues: ALL_NEW\nReturnValuesOnConditionCheckFailure: ALL_OLD\n" +
				"UpdateExpression: SET s = PROCESSING, l = 1773480424589, up = 1773480414589, w = TOKEN, n = n + 1," +
				" ck = if_not_exists(ck, 1), ct = if_not_exists(ct, 0) + 1, cb = if_not_exists(cb, 1773480414589)," +
				" ca = list_append(if_not_exists(ca, []), [{o=pending t=1773480414589}]) REMOVE nt",
		}},
		{"claim with patience, of which twice as much must have passed", func(s *dynamostore.Store) error {
			c := claim(order.KindCharge)
			c.Limits.Patience = time.Hour
			_, err := s.Claim(t.Context(), o.Ref, c)
			return err
		}, []string{
			"UpdateItem\nConditionExpression: v <= 2 AND r = 1 AND s IN (PENDING, PROCESSING)" +
				" AND (attribute_not_exists(l) OR l <= 1773480414589)" +
				" AND (attribute_not_exists(ct) OR ct < 3 OR cb > 1773473214589)\n" +
				"Key: {pk=tenant/" + id + "}\nReturnValues: ALL_NEW\nReturnValuesOnConditionCheckFailure: ALL_OLD\n" +
				"UpdateExpression: SET s = PROCESSING, l = 1773480424589, up = 1773480414589, w = TOKEN, n = n + 1," +
				" ck = if_not_exists(ck, 1), ct = if_not_exists(ct, 0) + 1, cb = if_not_exists(cb, 1773480414589)," +
				" ca = list_append(if_not_exists(ca, []), [{o=pending t=1773480414589}]) REMOVE nt",
		}},
		{"claim a refund", func(s *dynamostore.Store) error {
			_, err := s.Claim(t.Context(), o.Ref, claim(order.KindRefund))
			return err
		}, []string{
			"UpdateItem\nConditionExpression: v <= 2 AND r = 1 AND s IN (REFUNDING)" +
				" AND (attribute_not_exists(l) OR l <= 1773480414589)\n" +
				"Key: {pk=tenant/" + id + "}\nReturnValues: ALL_NEW\nReturnValuesOnConditionCheckFailure: ALL_OLD\n" +
				"UpdateExpression: SET s = REFUNDING, l = 1773480424589, up = 1773480414589, w = TOKEN, n = n + 1," +
				" rk = if_not_exists(rk, 1), rt = if_not_exists(rt, 0) + 1, rb = if_not_exists(rb, 1773480414589)," +
				" ra = list_append(if_not_exists(ra, []), [{o=pending t=1773480414589}]) REMOVE nt",
		}},
		{"settle as paid, in no index of outcomes, without the token", func(s *dynamostore.Store) error { return s.Update(t.Context(), paid) }, []string{
			"UpdateItem\nConditionExpression: n = 2\nKey: {pk=tenant/" + id + "}\nReturnValuesOnConditionCheckFailure: ALL_OLD\n" +
				"UpdateExpression: SET w = TOKEN, v = 1, s = PAID, n = 3, a = 12000, c = KRW, r = 1, p = PAY-0A1B2C3D," +
				" cr = 1773480413589, up = 1773480415589, g = tenant#0, gs = 001773480413589#" + id +
				", ck = 1, ct = 1, cb = 1773480414589, ca = [{d=1000 o=approved t=1773480414589}]" +
				" REMOVE n0, i, cu, t, m, f, lm, l, nt, rr, rf, fc, fm, x, o, gc, co, rk, rt, rb, ra, ro",
		}},
		{"settle as failed, in the index of outcomes", func(s *dynamostore.Store) error { return s.Update(t.Context(), failed) }, []string{
			"UpdateItem\nConditionExpression: n = 2\nKey: {pk=tenant/" + id + "}\nReturnValuesOnConditionCheckFailure: ALL_OLD\n" +
				"UpdateExpression: SET w = TOKEN, v = 1, s = FAILED, n = 3, a = 12000, c = KRW, r = 1, fc = expired_card, fm = ," +
				" cr = 1773480413589, up = 1773480415589, g = tenant#0, o = tenant#FAILED#0, gs = 001773480413589#" + id +
				", ck = 1, ct = 1, cb = 1773480414589, ca = [{c=expired_card d=1000 o=declined t=1773480414589}]" +
				" REMOVE n0, i, cu, t, m, f, lm, l, nt, p, rr, rf, x, gc, co, rk, rt, rb, ra, ro",
		}},
		{"an order in a tombstone's place", func(s *dynamostore.Store) error { return s.Update(t.Context(), o.InPlaceOf(void)) }, []string{
			"UpdateItem\nConditionExpression: n = 1\nKey: {pk=tenant/" + id + "}\nReturnValuesOnConditionCheckFailure: ALL_OLD\n" +
				"UpdateExpression: SET w = TOKEN, w0 = TOKEN, v = 1, s = PENDING, n = 2, n0 = 2, a = 12000, c = KRW, t = tok_ok, r = 1," +
				" cr = 1773480413589, up = 1773480413589, g = tenant#0, gs = 001773480413589#" + id +
				" REMOVE i, cu, m, f, lm, l, nt, p, rr, rf, fc, fm, x, o, gc, ck, ct, cb, ca, co, rk, rt, rb, ra, ro",
		}},
		{"a tombstone, in no index", func(s *dynamostore.Store) error { return s.Create(t.Context(), void) }, []string{
			"PutItem\nConditionExpression: attribute_not_exists(pk)\n" +
				"Item: {a=0 c= cr=1773480413589 n=1 pk=tenant/" + id + " r=0 s=VOID up=1773480413589 v=1 w0=TOKEN x=1773566813}\n" +
				"ReturnValuesOnConditionCheckFailure: ALL_OLD",
		}},
		{"get", func(s *dynamostore.Store) error { _, err := s.Get(t.Context(), o.Ref); return err }, []string{
			"GetItem\nConsistentRead: true\nKey: {pk=tenant/" + id + "}",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			store, f := open(t, awstest.OK(map[string]any{"Attributes": item, "Item": item}))
			if err := test.call(store); err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(test.want, f.lines()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRetention: an order has an expiry once it has ended, from its last change on, and none
// before, nor when it is reopened. No read shows it.
func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	o := pending()
	claimed := must[order.Order](t)(o.Claimed(claim(order.KindCharge)))
	paid := must[order.Order](t)(claimed.PaidWith("PAY-0A1B2C3D", false, at(2)))
	failed := must[order.Order](t)(claimed.FailedWith(order.OutcomeUnavailable, order.Failure{Code: "gateway_unavailable"}, at(2)))
	refunding := must[order.Order](t)(paid.BeginRefund("r-1", order.RefundRequest{}, at(3)))
	void := order.NewVoid(o.Ref, at(0))
	ended := at(2).Add(30 * day).Unix()
	for name, test := range map[string]struct {
		next order.Order
		want int64
	}{
		"PAID":                        {paid, ended},
		"FAILED":                      {failed, ended},
		"CANCELED":                    {must[order.Order](t)(o.Cancel(at(2))), ended},
		"REFUNDED":                    {must[order.Order](t)(refunding.RefundedWith("REF-1", at(2))), ended},
		"PROCESSING":                  {claimed, 0},
		"REFUNDING":                   {refunding, 0},
		"retried":                     {must[order.Order](t)(failed.Retry(at(3))), 0},
		"paid again":                  {must[order.Order](t)(failed.PayWith("tok_ok", at(3))), 0},
		"VOID, which has its own":     {must[order.Order](t)(void.Fenced(at(0))), at(0).Add(day).Unix()},
		"in the place of a tombstone": {o.InPlaceOf(void), 0},
	} {
		store, f := open(t, awstest.OK(struct{}{}))
		if err := store.Retaining(30*day).Update(t.Context(), test.next); err != nil {
			t.Fatal(err)
		}
		update := f.lines()[0]
		if test.want == 0 && !strings.Contains(update, " x,") || test.want != 0 && !strings.Contains(update, fmt.Sprintf(" x = %d", test.want)) {
			t.Errorf("%s: the expiry is not %d:\n%s", name, test.want, update)
		}
		if store, f = open(t, awstest.OK(struct{}{})); test.next.Status != order.Void {
			if err := store.Update(t.Context(), test.next); err != nil || strings.Contains(f.lines()[0], " x =") {
				t.Errorf("%s, without a retention: %v\n%s", name, err, f.lines()[0])
			}
		}
	}
	expiring := with(itemOf(t, paid), map[string]any{"x": map[string]any{"N": "1"}})
	store, _ := open(t, awstest.OK(map[string]any{"Item": expiring}))
	if got, err := store.Retaining(day).Get(t.Context(), o.Ref); err != nil || !gocmp.Equal(got, paid) {
		t.Errorf("an order that has expired and is still there is read as %+v, %v", got, err)
	}
}

// itemBytes returns an item's size by the rules of "DynamoDB item sizes and formats".
func itemBytes(item map[string]any) (bytes int) {
	for name, value := range item {
		bytes += len(name) + valueBytes(value.(map[string]any))
	}
	return bytes
}

func valueBytes(value map[string]any) (bytes int) {
	for kind, v := range value {
		switch kind {
		case "S":
			return len(v.(string))
		case "N":
			return len(v.(string))/2 + 2 // two digits a byte, and a byte or two
		case "B":
			return len(v.(string)) * 3 / 4
		case "M":
			return 3 + len(v.(map[string]any)) + itemBytes(v.(map[string]any))
		case "L":
			bytes = 3
			for _, e := range v.([]any) {
				bytes += 1 + valueBytes(e.(map[string]any))
			}
			return bytes
		}
	}
	return bytes
}

// TestItemSize: a write unit is 1 KB, so an ordinary order must stay below it to the
// end of its life, or every write of it costs twice.
func TestItemSize(t *testing.T) {
	r := must[order.Request](t)(order.Request{
		Currency: "USD", CustomerID: "customer-0123456789", PaymentToken: "tok_1PqW3E2eZvKYlo2C0123456789",
		Items: []order.Item{
			{SKU: "TEA-SENCHA-200G", Quantity: 2, UnitPrice: 1250}, {SKU: "CUP-CELADON-02", Quantity: 1, UnitPrice: 3900},
			{SKU: "GIFT-WRAP", Quantity: 1, UnitPrice: 300},
		},
		Metadata: map[string]string{"cart": "5f0c8a8e-2f8e-4a8e-9d0e-9a7f1c2b3d4e", "channel": "web"},
	}.Normalize(""))
	o := order.New(order.Ref{Tenant: "3n4b5v6c7x8z9a0s1d2f3g4h5j", ID: pending().ID}, r, "some-idempotency-key", at(0))
	o.Livemode = true
	const attempts = 100 // as in an outage of hours
	var waiting order.Order
	for i := range attempts {
		c := order.Claim{
			Kind: order.KindCharge, Round: 1, Now: at(60 * i), Until: at(60*i + 15),
			Limits: order.Limits{Attempts: 1, Patience: 24 * time.Hour},
		}
		o = must[order.Order](t)(o.Claimed(c))
		waiting = must[order.Order](t)(o.Released(order.KindCharge, order.OutcomeUnavailable, "", at(60*i+12), time.Minute))
		if i < attempts-1 {
			o = waiting
		}
	}
	paid := must[order.Order](t)(o.PaidWith("PAY-0A1B2C3D", true, at(60*attempts-48)))
	failed := must[order.Order](t)(o.FailedWith(order.OutcomeUnavailable, order.Failure{
		Code: "gateway_unavailable", Message: "the payment gateway could not be reached",
	}, at(60*attempts-48)))
	for _, o := range []order.Order{waiting, paid, failed} {
		item := itemOf(t, o)
		token := map[string]any{"S": strings.Repeat("A", 16)}
		bytes := itemBytes(with(item, map[string]any{"w": token, "w0": token}))
		t.Logf("a %s order with three items after a hundred attempts: %d bytes", o.Status, bytes)
		if bytes > 1024 {
			data, _ := json.Marshal(item)
			t.Errorf("a %s order has %d bytes, want at most 1024: %s", o.Status, bytes, data)
		}
	}
}

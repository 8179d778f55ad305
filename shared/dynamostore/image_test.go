package dynamostore_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paylane/shared/contract"
	"paylane/shared/dynamostore"
	"paylane/shared/order"
)

// TestImagesAreItems: an image is what the store writes, in the words of an event.
func TestImagesAreItems(t *testing.T) {
	for name, o := range contract.EarlierOrders(t) {
		var image map[string]any
		if err := json.Unmarshal(must[[]byte](t)(json.Marshal(dynamostore.Image(o))), &image); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(itemOf(t, o), image); diff != "" {
			t.Errorf("%s (-item +image):\n%s", name, diff)
		}
	}
}

// TestImagesAreRead: an order comes back from its image, also once that has been through an
// event, with what is not of this build in it.
func TestImagesAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawnOrder(t)
		image := dynamostore.Image(o)
		image["w"], image["w0"] = events.NewStringAttribute("token"), events.NewStringAttribute("token")
		image["later"] = events.NewStringSetAttribute([]string{"a"})
		event, err := json.Marshal(image)
		if err != nil {
			t.Fatal(err)
		}
		var arrived map[string]events.DynamoDBAttributeValue
		if err := json.Unmarshal(event, &arrived); err != nil {
			t.Fatal(err)
		}
		for name, image := range map[string]map[string]events.DynamoDBAttributeValue{"the image": image, "the event": arrived} {
			got, err := dynamostore.FromImage(image)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := gocmp.Diff(o, got); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

// TestImagesOfOtherThings: an item that is not an order is refused.
func TestImagesOfOtherThings(t *testing.T) {
	whole := func() map[string]events.DynamoDBAttributeValue { return dynamostore.Image(pending()) }
	for name, change := range map[string]func(map[string]events.DynamoDBAttributeValue){
		"nothing":             func(image map[string]events.DynamoDBAttributeValue) { clear(image) },
		"no status":           func(image map[string]events.DynamoDBAttributeValue) { delete(image, "s") },
		"a number for a text": func(image map[string]events.DynamoDBAttributeValue) { image["t"] = events.NewNumberAttribute("1") },
		"a set for a text": func(image map[string]events.DynamoDBAttributeValue) {
			image["t"] = events.NewStringSetAttribute([]string{"a"})
		},
		"a truth for a number": func(image map[string]events.DynamoDBAttributeValue) { image["a"] = events.NewBooleanAttribute(true) },
		"NULL for a text":      func(image map[string]events.DynamoDBAttributeValue) { image["t"] = events.NewNullAttribute() },
		"a list of other types": func(image map[string]events.DynamoDBAttributeValue) {
			image["i"] = events.NewListAttribute([]events.DynamoDBAttributeValue{events.NewBooleanAttribute(true)})
		},
	} {
		image := whole()
		change(image)
		if o, err := dynamostore.FromImage(image); err == nil {
			t.Errorf("%s: it was read as %+v", name, o)
		}
	}
}

// drawnOrder draws an order as a store may hold it: its times have milliseconds, and what is
// empty is nil.
func drawnOrder(t *rapid.T) order.Order {
	text := rapid.OneOf(rapid.Just(""), rapid.String())
	named := rapid.StringN(1, 20, -1)
	amount := rapid.Int64Range(0, 1<<53)
	count := rapid.IntRange(0, 20)
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMilli(rapid.Int64Range(1000, 1<<42).Draw(t, "ms")).UTC()
	})
	maybe := rapid.OneOf(rapid.Just(time.Time{}), instant)
	leg := func(name string) order.Leg {
		return order.Leg{
			KeySeq: count.Draw(t, name), Tries: count.Draw(t, name), Since: maybe.Draw(t, name), Omitted: count.Draw(t, name),
			Attempts: some(t, name, func() order.Attempt {
				return order.Attempt{
					StartedAt: instant.Draw(t, "begun"), EndedAt: maybe.Draw(t, "over"),
					Outcome: order.Outcome(named.Draw(t, "outcome")), Code: text.Draw(t, "code"),
				}
			}),
		}
	}
	o := order.Order{
		Ref: order.Ref{
			Tenant: rapid.StringMatching(`[a-z/#]{1,10}`).Draw(t, "tenant"), ID: rapid.StringMatching(`[a-z0-9-]{1,36}`).Draw(t, "id"),
		},
		Status:  rapid.SampledFrom(append(order.Statuses(), order.Void)).Draw(t, "status"),
		Version: amount.Draw(t, "version"), FirstVersion: rapid.Int64Range(1, 3).Draw(t, "first version"),
		Total:      order.Money{Amount: amount.Draw(t, "amount"), Currency: order.Currency(named.Draw(t, "currency"))},
		CustomerID: text.Draw(t, "customer"), PaymentToken: order.Token(text.Draw(t, "token")),
		Metadata: rapid.OneOf(rapid.Just(map[string]string(nil)), rapid.MapOfN(text, text, 1, 3)).Draw(t, "metadata"),
		Livemode: rapid.Bool().Draw(t, "livemode"),
		Round:    count.Draw(t, "round"), Charge: leg("charge"), Refund: leg("refund"),
		LeaseUntil: maybe.Draw(t, "lease"), RetryAt: maybe.Draw(t, "retry"), PaymentRef: text.Draw(t, "payment"),
		CreatedAt: instant.Draw(t, "created"), UpdatedAt: instant.Draw(t, "updated"),
		Items: some(t, "items", func() order.Item {
			return order.Item{SKU: named.Draw(t, "sku"), Quantity: amount.Draw(t, "quantity"), UnitPrice: amount.Draw(t, "price")}
		}),
		Refunds: some(t, "refunds", func() order.Refund {
			return order.Refund{
				ID: named.Draw(t, "refund"), Amount: amount.Draw(t, "amount"), All: rapid.Bool().Draw(t, "all"), Reason: text.Draw(t, "reason"),
				Status: order.RefundStatus(named.Draw(t, "status")), Ref: text.Draw(t, "ref"), Code: text.Draw(t, "code"),
				RequestedAt: instant.Draw(t, "requested"), EndedAt: maybe.Draw(t, "ended"),
			}
		}),
	}
	if rapid.Bool().Draw(t, "keyed") {
		o.Fingerprint = rapid.SliceOfN(rapid.Byte(), 1, 32).Draw(t, "fingerprint")
	}
	if rapid.Bool().Draw(t, "failed") {
		o.Failure = &order.Failure{Code: text.Draw(t, "code"), Message: text.Draw(t, "message")}
	}
	if o.Status == order.Void {
		o.ExpiresAt = instant.Draw(t, "expires").Truncate(time.Second)
	}
	if len(o.Refunds) == 0 {
		o = o.WithWholeRefund("") // as there is one in such a status
	}
	return o
}

// some draws up to three of something; none is nil.
func some[T any](t *rapid.T, name string, draw func() T) (drawn []T) {
	for range rapid.IntRange(0, 3).Draw(t, name) {
		drawn = append(drawn, draw())
	}
	return drawn
}

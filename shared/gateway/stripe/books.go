package stripe

import (
	"cmp"
	"context"
	"errors"
	"strings"

	api "github.com/stripe/stripe-go/v85"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

// The parts of the books, which are read one after the other; a cursor is one of them and the
// id of the last object read.
const (
	inIntents = "intents"
	inRefunds = "refunds"
)

// Entries implements [gateway.Ledger], from Stripe's lists of PaymentIntents and refunds. Both
// are of what there is now, newest first.
func (g *Gateway) Entries(ctx context.Context, q gateway.EntryQuery) (gateway.EntryPage, error) {
	part, after, _ := strings.Cut(q.Cursor, " ")
	window := &api.RangeQueryParams{GreaterThanOrEqual: q.From.Unix(), LesserThan: q.To.Unix()}
	var page gateway.EntryPage
	var err error
	switch part = cmp.Or(part, inIntents); part {
	case inIntents:
		page, err = entries(ctx, g, part, func(ctx context.Context, c *api.Client) *api.V1List[*api.PaymentIntent] {
			return c.V1PaymentIntents.List(ctx, &api.PaymentIntentListParams{ListParams: pageAfter(after), CreatedRange: window})
		}, charged)
		page.Next = cmp.Or(page.Next, inRefunds)
	case inRefunds:
		page, err = entries(ctx, g, part, func(ctx context.Context, c *api.Client) *api.V1List[*api.Refund] {
			return c.V1Refunds.List(ctx, &api.RefundListParams{ListParams: pageAfter(after), CreatedRange: window})
		}, refunded)
	default:
		return gateway.EntryPage{}, errors.New("the cursor is not one of Stripe's books")
	}
	if err != nil {
		return gateway.EntryPage{}, explain(err, "read the list of "+part)
	}
	return page, nil
}

// entries returns a page of one part of the books, and where the part goes on. What moved no
// money is left out.
func entries[T any](
	ctx context.Context, g *Gateway, part string, list func(context.Context, *api.Client) *api.V1List[T],
	entry func(T) (e gateway.Entry, moved bool),
) (page gateway.EntryPage, err error) {
	listed, err := call(ctx, g, func(ctx context.Context, c *api.Client) (*api.V1List[T], error) {
		listed := list(ctx, c)
		return listed, listed.Err()
	})
	if err != nil {
		return gateway.EntryPage{}, err
	}
	var last string
	for _, object := range listed.Data() {
		e, moved := entry(object)
		if moved {
			page.Entries = append(page.Entries, e)
		}
		last = e.Ref
	}
	if listed.Meta().HasMore {
		page.Next = part + " " + last
	}
	return page, nil
}

// charged is the entry of an intent.
func charged(intent *api.PaymentIntent) (e gateway.Entry, moved bool) {
	moved = intent.Status == api.PaymentIntentStatusSucceeded
	return gateway.Entry{
		Ref: intent.ID, Order: orderOf(intent.Metadata), Done: moved,
		Money: fromStripe(intent.AmountReceived, string(intent.Currency)),
	}, moved
}

// refunded is the entry of a refund, also of one that failed.
func refunded(refund *api.Refund) (e gateway.Entry, moved bool) {
	return gateway.Entry{
		Refund: true, Ref: refund.ID, Order: orderOf(refund.Metadata), Done: stands(refund),
		Money: fromStripe(refund.Amount, string(refund.Currency)),
	}, true
}

func pageAfter(id string) api.ListParams {
	p := api.ListParams{Limit: api.Int64(maxPage), Single: true}
	if id != "" {
		p.StartingAfter = &id
	}
	return p
}

func orderOf(metadata map[string]string) order.Ref {
	return order.Ref{Tenant: metadata[metaTenant], ID: metadata[metaOrder]}
}

package stripe

import (
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
	var last string
	var err error
	switch part {
	case "", inIntents:
		page.Entries, last, err = g.intentEntries(ctx, window, after)
		page.Next = inRefunds
		if last != "" {
			page.Next = inIntents + " " + last
		}
	case inRefunds:
		page.Entries, last, err = g.refundEntries(ctx, window, after)
		if last != "" {
			page.Next = inRefunds + " " + last
		}
	default:
		return gateway.EntryPage{}, errors.New("the cursor is not one of Stripe's books")
	}
	if err != nil {
		return gateway.EntryPage{}, explain(err, "read the list of "+part)
	}
	return page, nil
}

// intentEntries returns what a page of intents charged, and the last intent if there are more.
func (g *Gateway) intentEntries(ctx context.Context, window *api.RangeQueryParams, after string) (entries []gateway.Entry, last string, err error) {
	_, err = call(ctx, g, func(ctx context.Context, c *api.Client) (struct{}, error) {
		p := &api.PaymentIntentListParams{CreatedRange: window}
		p.ListParams = pageAfter(after)
		page := c.V1PaymentIntents.List(ctx, p)
		if page.Err() != nil {
			return struct{}{}, page.Err()
		}
		for _, intent := range page.Data() {
			if intent.Status == api.PaymentIntentStatusSucceeded {
				entries = append(entries, gateway.Entry{
					Ref: intent.ID, Order: orderOf(intent.Metadata), Done: true,
					Money: fromStripe(intent.AmountReceived, string(intent.Currency)),
				})
			}
			if page.Meta().HasMore {
				last = intent.ID
			}
		}
		return struct{}{}, nil
	})
	return entries, last, err
}

// refundEntries is intentEntries for refunds, failed ones included.
func (g *Gateway) refundEntries(ctx context.Context, window *api.RangeQueryParams, after string) (entries []gateway.Entry, last string, err error) {
	_, err = call(ctx, g, func(ctx context.Context, c *api.Client) (struct{}, error) {
		p := &api.RefundListParams{CreatedRange: window}
		p.ListParams = pageAfter(after)
		page := c.V1Refunds.List(ctx, p)
		if page.Err() != nil {
			return struct{}{}, page.Err()
		}
		for _, refund := range page.Data() {
			entries = append(entries, gateway.Entry{
				Refund: true, Ref: refund.ID, Order: orderOf(refund.Metadata), Done: stands(refund),
				Money: fromStripe(refund.Amount, string(refund.Currency)),
			})
			if page.Meta().HasMore {
				last = refund.ID
			}
		}
		return struct{}{}, nil
	})
	return entries, last, err
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

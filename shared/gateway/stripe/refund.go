package stripe

import (
	"context"
	"errors"
	"slices"

	api "github.com/stripe/stripe-go/v85"

	"paylane/shared/gateway"
)

// Refund implements [gateway.Gateway]. A refund that is pending counts as made: Stripe owes it
// from then on. If it fails later, the books say so; see [Gateway.Entries].
func (g *Gateway) Refund(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	if g.old(r) {
		if made, err := g.madeRefund(ctx, r); err != nil || made != nil {
			return receipt(made, err)
		}
	}
	return receipt(g.makeRefund(ctx, r))
}

// resolveRefund finds a refund, or makes it.
func (g *Gateway) resolveRefund(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	made, err := g.madeRefund(ctx, r)
	if err == nil && made == nil {
		made, err = g.makeRefund(ctx, r)
	}
	if neverCreated(err) {
		return gateway.Resolution{}, nil
	}
	got, err := receipt(made, err)
	var declined *gateway.DeclinedError
	switch {
	case errors.As(err, &declined):
		return gateway.Resolution{}, nil
	case err != nil:
		return gateway.Resolution{}, err
	}
	return resolution(true, got.Ref), nil
}

// receipt is what a refund, or the failure to make one, means.
func receipt(refund *api.Refund, err error) (gateway.Receipt, error) {
	switch {
	case err != nil:
		return gateway.Receipt{}, explain(err, "make a refund")
	case !stands(refund):
		return gateway.Receipt{}, refundFailed(refund)
	}
	return gateway.Receipt{Ref: refund.ID}, nil
}

// stands reports whether the money of a refund is back, or on its way.
func stands(refund *api.Refund) bool {
	return refund.Status != api.RefundStatusFailed && refund.Status != api.RefundStatusCanceled
}

// makeRefund makes a refund, or returns the answer to when it was made.
func (g *Gateway) makeRefund(ctx context.Context, r gateway.Request) (*api.Refund, error) {
	amount, err := toStripe(r.Money)
	if err != nil {
		return nil, &gateway.DeclinedError{Code: "invalid_amount", Message: "The amount can't be refunded: it " + err.Error() + "."}
	}
	refund, err := call(ctx, g, func(ctx context.Context, c *api.Client) (*api.Refund, error) {
		p := &api.RefundCreateParams{PaymentIntent: api.String(r.PaymentRef), Amount: &amount, Metadata: metadata(r)}
		p.SetIdempotencyKey(r.Key)
		return c.V1Refunds.Create(ctx, p)
	})
	if !hasCode(err, api.ErrorCodeChargeAlreadyRefunded) {
		return refund, err
	}
	// Somebody has returned all of it, so it is where it should be.
	all, listErr := g.refunds(ctx, r.PaymentRef)
	if i := slices.IndexFunc(all, stands); i >= 0 {
		return all[i], nil
	}
	return nil, errors.Join(err, listErr)
}

// madeRefund returns the refund of a request's key, or nil if there is none.
func (g *Gateway) madeRefund(ctx context.Context, r gateway.Request) (*api.Refund, error) {
	all, err := g.refunds(ctx, r.PaymentRef)
	if i := slices.IndexFunc(all, func(refund *api.Refund) bool { return refund.Metadata[metaKey] == r.Key }); i >= 0 {
		return all[i], nil
	}
	return nil, err
}

// refunds returns all refunds of an intent, newest first. Unlike a search, a list is of what
// there is now.
func (g *Gateway) refunds(ctx context.Context, intent string) ([]*api.Refund, error) {
	return call(ctx, g, func(ctx context.Context, c *api.Client) (all []*api.Refund, err error) {
		p := &api.RefundListParams{PaymentIntent: &intent}
		p.Limit = api.Int64(maxPage)
		c.V1Refunds.List(ctx, p).All(ctx)(func(refund *api.Refund, failed error) bool {
			if err = failed; err == nil {
				all = append(all, refund)
			}
			return err == nil
		})
		return all, err
	})
}

// knownRefund looks up a refund that this side has a reference of.
func (g *Gateway) knownRefund(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	refund, err := call(ctx, g, func(ctx context.Context, c *api.Client) (*api.Refund, error) {
		return c.V1Refunds.Retrieve(ctx, r.KnownRef, nil)
	})
	switch {
	case missing(err):
		return gateway.Resolution{}, nil
	case err != nil:
		return gateway.Resolution{}, explain(err, "look up a refund")
	}
	return resolution(stands(refund), refund.ID), nil
}

// Package stripe is the payment gateway Stripe (https://docs.stripe.com/api).
//
// A charge is a PaymentIntent that is created unconfirmed and then confirmed, each under an
// idempotency key of its own. An intent whose creation got no answer moves no money, since
// only who knows its id can confirm it; and one that exists can be canceled, after which no
// confirmation that is still on its way can succeed. That is how [Gateway.Resolve] keeps its
// promise.
//
// Stripe forgets idempotency keys after a day or more. Under an older key a request is made
// only after a look into the books for what an earlier one did.
package stripe

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"time"

	api "github.com/stripe/stripe-go/v85"

	"paylane/shared/gateway"
)

// What identifies an order at Stripe: the metadata of its intents and refunds.
const (
	metaKey    = "key"
	metaOrder  = "order"
	metaTenant = "tenant"
)

const (
	// keysLive is how long an idempotency key is sure to be known. Stripe says that it removes
	// keys "after they're at least 24 hours old"; an hour is for clocks that differ.
	keysLive = 23 * time.Hour
	// searchLag is how long the Search API may not find what is new. Stripe says that this
	// is less than a minute, and "up to an hour behind during outages"; the rest is for clocks
	// that differ.
	searchLag = 65 * time.Minute
)

// Config is what a [Gateway] needs. Secret and URL may be zero.
type Config struct {
	// Secret returns the API key, read anew if told to. It may be called concurrently. Without
	// one, the gateway can only say which tokens and amounts it takes.
	Secret func(ctx context.Context, anew bool) (string, error)
	// Livemode says which keys may be used: those that move money, or those that don't.
	Livemode bool
	Now      func() time.Time
	// URL is where the API is, if not at Stripe.
	URL string
}

// Gateway is a [gateway.Provider] and a [gateway.Ledger].
type Gateway struct {
	Config

	http    *http.Client
	methods *regexp.Regexp // of payment methods' ids

	mu     sync.Mutex // guards what follows
	client *api.Client
	key    [sha256.Size]byte // of the client's key, which nothing prints by accident
}

var (
	_ gateway.Provider = (*Gateway)(nil)
	_ gateway.Ledger   = (*Gateway)(nil)
)

// New returns a Gateway. It asks for the API key when it first needs it.
func New(c Config) *Gateway {
	return &Gateway{Config: c, methods: regexp.MustCompile(methodPattern), http: &http.Client{
		// A redirected request may have been acted on.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Livemode implements [gateway.Gateway].
func (g *Gateway) Livemode() bool { return g.Config.Livemode }

// Charge implements [gateway.Gateway].
func (g *Gateway) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	intent, err := g.intent(ctx, r)
	if err != nil {
		return gateway.Receipt{}, explain(err, "create a PaymentIntent")
	}
	intent, err = g.confirm(ctx, r, intent.ID)
	if err != nil {
		return gateway.Receipt{}, explain(err, "confirm a PaymentIntent")
	}
	switch intent.Status {
	case api.PaymentIntentStatusSucceeded:
		return gateway.Receipt{Ref: intent.ID}, nil
	case api.PaymentIntentStatusRequiresPaymentMethod:
		return gateway.Receipt{}, declinedBy(intent.LastPaymentError)
	case api.PaymentIntentStatusRequiresAction:
		// Nobody is there to act, and later nobody may.
		known, err := g.cancel(ctx, intent.ID)
		switch {
		case err != nil:
			return gateway.Receipt{}, err
		case known.Done:
			return known.Receipt, nil
		}
		return gateway.Receipt{}, authenticationRequired()
	default:
		return gateway.Receipt{}, unsettled(intent)
	}
}

// intent returns the intent of a request's key, which may have been confirmed before.
func (g *Gateway) intent(ctx context.Context, r gateway.Request) (*api.PaymentIntent, error) {
	if g.old(r) {
		found, err := g.search(ctx, r.Key)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return g.create(ctx, r)
}

// old reports whether Stripe may have forgotten the request's key.
func (g *Gateway) old(r gateway.Request) bool { return g.Now().Sub(r.Since) > keysLive }

// create creates an intent, or returns the answer to when it was created.
func (g *Gateway) create(ctx context.Context, r gateway.Request) (*api.PaymentIntent, error) {
	amount, err := toStripe(r.Money)
	if err != nil {
		return nil, &gateway.DeclinedError{Code: "invalid_amount", Message: "The amount or currency can't be charged: it " + err.Error() + "."}
	}
	return call(ctx, g, func(ctx context.Context, c *api.Client) (*api.PaymentIntent, error) {
		p := &api.PaymentIntentCreateParams{
			Amount: &amount, Currency: api.String(currency(r.Money)), PaymentMethod: api.String(string(r.Token)),
			AutomaticPaymentMethods: &api.PaymentIntentCreateAutomaticPaymentMethodsParams{
				Enabled: api.Bool(true), AllowRedirects: api.String("never"),
			},
			Metadata: metadata(r),
		}
		p.SetIdempotencyKey(r.Key + ".create")
		return c.V1PaymentIntents.Create(ctx, p)
	})
}

func metadata(r gateway.Request) map[string]string {
	return map[string]string{metaKey: r.Key, metaOrder: r.Order.ID, metaTenant: r.Order.Tenant}
}

// confirm charges an intent, or returns what came of it if it was charged before.
func (g *Gateway) confirm(ctx context.Context, r gateway.Request, id string) (*api.PaymentIntent, error) {
	intent, err := call(ctx, g, func(ctx context.Context, c *api.Client) (*api.PaymentIntent, error) {
		p := &api.PaymentIntentConfirmParams{OffSession: api.Bool(true), ErrorOnRequiresAction: api.Bool(true)}
		p.SetIdempotencyKey(r.Key + ".confirm")
		return c.V1PaymentIntents.Confirm(ctx, id, p)
	})
	if now := unexpectedState(err); now != nil {
		return now, nil
	}
	return intent, err
}

// Resolve implements [gateway.Gateway]. What was not charged it cancels; a refund that was
// not made it makes.
func (g *Gateway) Resolve(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	switch {
	case r.KnownRef != "" && r.PaymentRef != "":
		return g.knownRefund(ctx, r)
	case r.KnownRef != "":
		return g.knownCharge(ctx, r)
	case r.PaymentRef != "":
		return g.resolveRefund(ctx, r)
	}
	return g.resolveCharge(ctx, r)
}

// knownCharge looks up a charge that this side has a reference of.
func (g *Gateway) knownCharge(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	intent, err := call(ctx, g, func(ctx context.Context, c *api.Client) (*api.PaymentIntent, error) {
		return c.V1PaymentIntents.Retrieve(ctx, r.KnownRef, nil)
	})
	switch {
	case missing(err):
		return gateway.Resolution{}, nil
	case err != nil:
		return gateway.Resolution{}, explain(err, "look up a PaymentIntent")
	}
	done := intent.Status == api.PaymentIntentStatusSucceeded && intent.Metadata[metaOrder] == r.Order.ID
	return resolution(done, intent.ID), nil
}

func resolution(done bool, ref string) gateway.Resolution {
	if !done {
		return gateway.Resolution{}
	}
	return gateway.Resolution{Done: true, Receipt: gateway.Receipt{Ref: ref}}
}

// resolveCharge cancels the intent of a key, unless it was charged. To search for it is not
// enough while the key lives, for the search lags; to ask under the key is not enough once
// it may be forgotten. In the hour between, both find it.
func (g *Gateway) resolveCharge(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	forgotten := r.Token == "" // the order has ended, so nobody uses the key any more
	if forgotten && g.Now().Sub(r.Since) < searchLag {
		return gateway.Resolution{}, errors.New("the order ended too recently to be found at Stripe")
	}
	if forgotten || g.old(r) {
		found, err := g.search(ctx, r.Key)
		if err != nil {
			return gateway.Resolution{}, explain(err, "search for a PaymentIntent")
		}
		for _, intent := range found {
			if known, err := g.cancel(ctx, intent.ID); err != nil || known.Done {
				return known, err
			}
		}
	}
	if forgotten {
		return gateway.Resolution{}, nil
	}
	intent, err := g.create(ctx, r)
	switch {
	case neverCreated(err):
		return gateway.Resolution{}, nil
	case err != nil:
		return gateway.Resolution{}, explain(err, "ask for a PaymentIntent")
	}
	return g.cancel(ctx, intent.ID)
}

// search returns the intents with an idempotency key, perhaps without those that are younger
// than searchLag.
func (g *Gateway) search(ctx context.Context, key string) ([]*api.PaymentIntent, error) {
	return call(ctx, g, func(ctx context.Context, c *api.Client) ([]*api.PaymentIntent, error) {
		p := &api.PaymentIntentSearchParams{}
		p.Query, p.Limit = fmt.Sprintf("metadata['%s']:'%s'", metaKey, key), api.Int64(maxPage)
		found := c.V1PaymentIntents.Search(ctx, p)
		return found.Data(), found.Err()
	})
}

// cancel cancels an intent for good, unless it was charged or is about to be.
func (g *Gateway) cancel(ctx context.Context, id string) (gateway.Resolution, error) {
	intent, err := call(ctx, g, func(ctx context.Context, c *api.Client) (*api.PaymentIntent, error) {
		return c.V1PaymentIntents.Cancel(ctx, id, nil)
	})
	if now := unexpectedState(err); now != nil {
		intent, err = now, nil
	}
	if err != nil {
		return gateway.Resolution{}, explain(err, "cancel a PaymentIntent")
	}
	switch intent.Status {
	case api.PaymentIntentStatusSucceeded:
		return resolution(true, intent.ID), nil
	case api.PaymentIntentStatusCanceled:
		return gateway.Resolution{}, nil
	default:
		return gateway.Resolution{}, unsettled(intent)
	}
}

func unsettled(intent *api.PaymentIntent) error {
	return fmt.Errorf("the PaymentIntent %s is %s", intent.ID, cmp.Or(intent.Status, "in no known state"))
}

package contract

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

// GatewayTokens are payment tokens of a gateway, or of its sandbox.
type GatewayTokens struct {
	Approved, Declined order.Token
	// Refused is a token that CheckToken must refuse.
	Refused order.Token
}

// RunGateway runs the suite for payment gateways. It charges small amounts.
func RunGateway(t *testing.T, g interface {
	gateway.Gateway
	gateway.Tokens
}, tokens GatewayTokens,
) {
	request := func(token order.Token) gateway.Request {
		return gateway.Request{
			Key: uuid.NewString() + ".1", Money: order.Money{Amount: 100, Currency: "USD"}, Token: token, Attempt: 1, Since: at(0),
		}
	}
	t.Run("a key charges once, however often and from wherever it is used", func(t *testing.T) {
		r := request(tokens.Approved)
		var receipts [8]gateway.Receipt
		var asked sync.WaitGroup
		for i := range receipts {
			asked.Go(func() {
				var err error
				if receipts[i], err = g.Charge(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		asked.Wait()
		for _, got := range receipts {
			if got != receipts[0] || got.Ref == "" {
				t.Errorf("one key has the receipts %v", receipts)
			}
		}
		if other := must[gateway.Receipt](t)(g.Charge(t.Context(), request(tokens.Approved))); other == receipts[0] {
			t.Errorf("two keys have the receipt %v", other)
		}
		if got := must[gateway.Resolution](t)(g.Resolve(t.Context(), r)); !got.Done || got.Receipt != receipts[0] {
			t.Errorf("a charge resolves to %+v", got)
		}
	})
	t.Run("a decline is final", func(t *testing.T) {
		r := request(tokens.Declined)
		for range 2 {
			declined := new(gateway.DeclinedError)
			if _, err := g.Charge(t.Context(), r); !errors.As(err, &declined) || declined.Code == "" || declined.Message == "" {
				t.Errorf("the error is %v, want a *gateway.DeclinedError with code and message", err)
			}
		}
		if got := must[gateway.Resolution](t)(g.Resolve(t.Context(), r)); got.Done {
			t.Error("a decline resolves to a charge")
		}
	})
	t.Run("a charge is refunded once", func(t *testing.T) {
		charge := request(tokens.Approved)
		r := charge
		r.PaymentRef = must[gateway.Receipt](t)(g.Charge(t.Context(), charge)).Ref
		r.Key = uuid.NewString() + ".refund.1"
		first := must[gateway.Receipt](t)(g.Refund(t.Context(), r))
		if again := must[gateway.Receipt](t)(g.Refund(t.Context(), r)); again != first || first.Ref == "" || first.Ref == r.PaymentRef {
			t.Errorf("one key has the receipts %v and %v, of the charge %s", first, again, r.PaymentRef)
		}
		if got := must[gateway.Resolution](t)(g.Resolve(t.Context(), r)); !got.Done || got.Receipt != first {
			t.Errorf("a refund resolves to %+v", got)
		}
	})
	t.Run("tokens are checked without a call to anybody", func(t *testing.T) {
		for _, token := range []order.Token{tokens.Approved, tokens.Declined} {
			if err := g.CheckToken(token); err != nil {
				t.Errorf("a good token: %v", err)
			}
		}
		if err := g.CheckToken(tokens.Refused); err == nil {
			t.Error("a bad token is accepted")
		}
	})
}

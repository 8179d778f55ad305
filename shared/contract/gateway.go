package contract

import (
	"errors"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

// RunGateway runs the suite for payment gateways, at a gateway's sandbox if it is a real
// one: it charges small amounts with the tokens that the gateway describes. The refused
// token is one that CheckToken must refuse.
func RunGateway(t *testing.T, g gateway.Provider, refused order.Token) {
	tokens := g.Describe()
	request := func(token order.Token) gateway.Request {
		id := uuid.NewString()
		return gateway.Request{
			Key: id + ".1", Order: order.Ref{Tenant: "t", ID: id}, Since: time.Now(),
			Money: order.Money{Amount: 100, Currency: "USD"}, Token: token, Hint: gateway.Hint{Attempt: 1, Since: at(0)},
		}
	}
	// paid returns what is asked about r once its order is PAID.
	paid := func(r gateway.Request) gateway.Request {
		if !tokens.Reused {
			r.Token = ""
		}
		return r
	}
	t.Run("a key charges once, however often and from wherever it is used", func(t *testing.T) {
		r := request(tokens.Approved)
		var receipts [8]gateway.Receipt
		var asked sync.WaitGroup
		for i := range receipts {
			asked.Go(func() {
				var err error
				// A gateway may refuse a request while another under its key is running.
				for range 10 {
					if receipts[i], err = g.Charge(t.Context(), r); err == nil {
						return
					}
				}
				t.Error(err)
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
	t.Run("what was not charged resolves to nothing once its token is forgotten", func(t *testing.T) {
		declined, canceled := request(tokens.Declined), request("")
		if _, err := g.Charge(t.Context(), declined); err == nil {
			t.Error("a declined token was charged")
		}
		declined.Token, canceled.Hint.Attempt = "", 0
		for _, r := range []gateway.Request{declined, canceled} {
			// So soon after it ended, a gateway may not be able to say.
			if got, err := g.Resolve(t.Context(), r); got.Done {
				t.Errorf("it resolves to %+v, %v", got, err)
			}
		}
	})
	t.Run("what Resolve says is final", func(t *testing.T) {
		r := request(tokens.Approved)
		known := must[gateway.Resolution](t)(g.Resolve(t.Context(), r))
		receipt, err := g.Charge(t.Context(), r)
		if (err == nil) != known.Done || receipt != known.Receipt {
			t.Errorf("after %+v the key charges: %v, %v", known, receipt, err)
		}
		declined := new(gateway.DeclinedError)
		if errors.Is(err, gateway.ErrUnavailable) || errors.As(err, &declined) {
			t.Errorf("a closed key is %v, which says something else", err)
		}
		if again := must[gateway.Resolution](t)(g.Resolve(t.Context(), r)); again != known {
			t.Errorf("after %+v it says %+v", known, again)
		}
	})
	t.Run("an old order is charged and refunded once", func(t *testing.T) {
		r := request(tokens.Approved)
		r.Since = r.Since.AddDate(0, -2, 0) // long before gateways forget keys
		first := must[gateway.Receipt](t)(g.Charge(t.Context(), r))
		if again := must[gateway.Receipt](t)(g.Charge(t.Context(), r)); again != first {
			t.Errorf("one key has the receipts %v and %v", first, again)
		}
		r = paid(r)
		r.PaymentRef, r.Key = first.Ref, uuid.NewString()+".refund.1"
		refund := must[gateway.Receipt](t)(g.Refund(t.Context(), r))
		if again := must[gateway.Receipt](t)(g.Refund(t.Context(), r)); again != refund {
			t.Errorf("one key has the receipts %v and %v", refund, again)
		}
	})
	t.Run("what this side knows of is found", func(t *testing.T) {
		charge := request(tokens.Approved)
		charge.KnownRef = must[gateway.Receipt](t)(g.Charge(t.Context(), charge)).Ref
		refund := paid(charge)
		refund.Key, refund.PaymentRef, refund.KnownRef = uuid.NewString()+".refund.1", charge.KnownRef, ""
		refund.KnownRef = must[gateway.Receipt](t)(g.Refund(t.Context(), refund)).Ref
		for _, r := range []gateway.Request{charge, refund} {
			if got := must[gateway.Resolution](t)(g.Resolve(t.Context(), paid(r))); !got.Done || got.Receipt.Ref != r.KnownRef {
				t.Errorf("%s resolves to %+v", r.KnownRef, got)
			}
		}
	})
	t.Run("a charge is refunded once", func(t *testing.T) {
		charge := request(tokens.Approved)
		r := paid(charge)
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
	t.Run("tokens are checked as they are described", func(t *testing.T) {
		pattern, err := regexp.Compile(tokens.Pattern)
		if err != nil {
			t.Fatal(err)
		}
		accepted := []order.Token{tokens.Approved, tokens.Declined}
		if tokens.Default != "" {
			accepted = append(accepted, tokens.Default)
		}
		for _, e := range tokens.Examples {
			accepted = append(accepted, e.Token)
		}
		for _, token := range accepted {
			if err := g.CheckToken(token); err != nil || !pattern.MatchString(string(token)) {
				t.Errorf("a token of the description: %v, matches its pattern: %v", err, pattern.MatchString(string(token)))
			}
		}
		if err := g.CheckToken(refused); err == nil || pattern.MatchString(string(refused)) {
			t.Errorf("a bad token is accepted: %v, matches the pattern: %v", err, pattern.MatchString(string(refused)))
		}
		if tokens.Doc == "" {
			t.Error("the description has no text for the document")
		}
	})
}

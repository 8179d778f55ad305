// Package voucher is an example: a second payment gateway, which redeems vouchers. It keeps
// its books in memory, so it is not for anything real; a real gateway's are at its
// provider.
package voucher

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

// Gateway is a [gateway.Provider].
type Gateway struct {
	mu   sync.Mutex
	book map[string]entry // by key
}

// entry is what became of a key: redeemed, declined, or closed by Resolve.
type entry struct {
	receipt  gateway.Receipt
	declined *gateway.DeclinedError
	closed   bool
}

var _ gateway.Provider = (*Gateway)(nil)

// New returns a gateway with empty books.
func New() *Gateway { return &Gateway{book: make(map[string]entry)} }

// CheckToken implements [gateway.Tokens].
func (g *Gateway) CheckToken(token order.Token) error {
	if token != "voucher_full" && token != "voucher_empty" {
		return errors.New("is not a voucher; take voucher_full or voucher_empty")
	}
	return nil
}

// CheckMoney implements [gateway.Tokens]: a voucher is worth any amount.
func (g *Gateway) CheckMoney(order.Money) error { return nil }

// Describe implements [gateway.Tokens]. Without a default, every order names a voucher.
func (g *Gateway) Describe() gateway.TokenDescription {
	return gateway.TokenDescription{
		Pattern: "^voucher_(full|empty)$", Approved: "voucher_full", Declined: "voucher_empty",
		Doc: "A voucher: voucher_full is redeemed, voucher_empty is declined.",
	}
}

// Livemode implements [gateway.Gateway]. Its vouchers buy nothing.
func (g *Gateway) Livemode() bool { return false }

// Charge implements [gateway.Gateway].
func (g *Gateway) Charge(_ context.Context, r gateway.Request) (gateway.Receipt, error) {
	return g.act(r, "VCH-", r.Token == "voucher_full")
}

// Refund implements [gateway.Gateway]. The order has forgotten its voucher by then, for the
// description does not say that tokens are reused; the charge's reference is what counts.
func (g *Gateway) Refund(_ context.Context, r gateway.Request) (gateway.Receipt, error) {
	return g.act(r, "VRF-", true)
}

// act acts at most once under a key: it writes down what it does before it answers.
func (g *Gateway) act(r gateway.Request, prefix string, approved bool) (gateway.Receipt, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, known := g.book[r.Key]
	switch {
	case known:
	case approved:
		e.receipt.Ref = fmt.Sprintf("%s%x", prefix, sha256.Sum256([]byte(r.Key)))[:16]
	default:
		e.declined = &gateway.DeclinedError{Code: "voucher_empty", Message: "The voucher is empty."}
	}
	g.book[r.Key] = e
	switch {
	case e.closed: // not ErrUnavailable: that would say that the key may be tried again
		return gateway.Receipt{}, errors.New("the key was closed by Resolve")
	case e.declined != nil:
		return gateway.Receipt{}, e.declined
	}
	return e.receipt, nil
}

// Resolve implements [gateway.Gateway]. "Not done" is final, so it closes the key.
func (g *Gateway) Resolve(_ context.Context, r gateway.Request) (gateway.Resolution, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, known := g.book[r.Key]
	if !known {
		e.closed = true
		g.book[r.Key] = e
	}
	return gateway.Resolution{Done: e.receipt.Ref != "", Receipt: e.receipt}, nil
}

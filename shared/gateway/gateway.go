// Package gateway is the port through which payments are made, and a simulated
// payment gateway behind it.
//
// To add a real gateway, write a type that keeps the contract of [Gateway] and
// [Tokens], hand it to the functions in place of [Simulator], and run the suite of
// shared/contract against it.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"paylane/shared/order"
)

// Gateway moves money. Its methods may be called concurrently.
//
// Every request carries an idempotency key. A gateway acts at most once under a
// key: a request repeated under it gives the first one's answer, or acts for the
// first time if the first had not.
//
// What is known after an error decides what the caller may do, so an
// implementation must translate its errors with care. Whatever it can't tell for
// sure is unknown: a timeout after sending, a broken connection, a context that
// ended, a reply it can't read.
type Gateway interface {
	// Charge collects the money. Nil: it is charged, once. A [*DeclinedError]: it is
	// not and never will be under this key. [ErrUnavailable] (wrapped): it is not,
	// and the same key may be tried again. Any other error: unknown; ask Resolve.
	Charge(ctx context.Context, r Request) (Receipt, error)

	// Refund gives the whole charge back that r.PaymentRef names. Answers as Charge.
	Refund(ctx context.Context, r Request) (Receipt, error)

	// Resolve tells what became of an earlier Charge or Refund under r.Key. Done:
	// it happened, with its receipt. Not done is final: from then on the gateway
	// refuses the key, so a request that is still on its way can't act either. Any
	// error: nobody can say yet; nothing may be tried under another key.
	Resolve(ctx context.Context, r Request) (Resolution, error)
}

// Tokens tells which payment tokens a gateway takes, without asking it.
type Tokens interface {
	// CheckToken returns an error whose text tells a caller what to send instead.
	// It never repeats the token.
	CheckToken(token order.Token) error
}

// Request is one request to a gateway.
type Request struct {
	// Key is the idempotency key.
	Key   string
	Money order.Money
	Token order.Token
	// Attempt counts the attempts at this charge or refund, from 1. For Resolve it
	// is the latest one that this side knows of; 0 if it knows of none. What a gateway
	// answers must follow from the key alone.
	Attempt int
	// Since is when the first attempt began.
	Since time.Time
	// PaymentRef is the charge to give back; empty for a charge.
	PaymentRef string
}

// Receipt is the gateway's proof.
type Receipt struct {
	// Ref is the gateway's reference of the charge or refund.
	Ref string
}

// Resolution is what became of an earlier request.
type Resolution struct {
	Done bool
	// Receipt is set if Done.
	Receipt Receipt
}

// ErrUnavailable says that the gateway did not act, and may if asked again.
var ErrUnavailable = errors.New("the payment gateway is unavailable")

// DeclinedError says that the gateway will not act. Both texts are fit for the
// caller who placed the order.
type DeclinedError struct {
	Code    string
	Message string
}

func (e *DeclinedError) Error() string { return fmt.Sprintf("declined: %s", e.Code) }

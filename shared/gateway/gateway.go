// Package gateway is the port through which payments are made.
//
// To add a real gateway, write a package with a type that keeps the contract of
// [Provider], run the suite of shared/contract against it, and give it a case in
// shared/gateway/gateways, which is where a gateway is chosen.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"paylane/shared/order"
)

// Provider is a payment gateway and the tokens it takes.
type Provider interface {
	Gateway
	Tokens
}

// Gateway moves money. Its methods may be called concurrently.
//
// Every request carries an idempotency key. A gateway acts at most once under a key: a
// request repeated under it returns the first one's answer, or acts for the first time if
// the first had not.
//
// What is known after an error decides what the caller may do, so an implementation must
// translate its errors with care. Whatever it can't be sure of is unknown: a timeout after
// sending, a broken connection, a context that ended, a reply it can't read.
type Gateway interface {
	// Charge collects the money. Nil: it is charged, once. A [*DeclinedError]: it is not
	// and never will be under this key. [ErrUnavailable] (wrapped): it is not, and the same
	// key may be tried again. Any other error: unknown; ask Resolve.
	Charge(ctx context.Context, r Request) (Receipt, error)

	// Refund returns r.Money of the charge that r.PaymentRef names. Answers as Charge.
	Refund(ctx context.Context, r Request) (Receipt, error)

	// Resolve finds out what became of an earlier Charge or Refund under r.Key. Done: it
	// happened, with its receipt. Not done is final: from then on the gateway refuses the
	// key, so a request that is still on its way can't act either. Any error: nobody can
	// say yet; nothing may be tried under another key. A refund, which is owed, it may also
	// make, unless r.KnownRef names it.
	Resolve(ctx context.Context, r Request) (Resolution, error)

	// Livemode reports whether money moves: false for a simulator, and for a real gateway's
	// sandbox. It is the same at every call.
	Livemode() bool
}

// Ledger is implemented by gateways that list what they did. A [Gateway] without one can only
// be asked about orders that this side knows of.
type Ledger interface {
	// Entries returns charges and refunds that were made from q.From on and before q.To, by
	// the gateway's clock, in any order. An entry may be listed twice.
	Entries(ctx context.Context, q EntryQuery) (EntryPage, error)
}

// EntryQuery asks for a page of a [Ledger].
type EntryQuery struct {
	From, To time.Time
	// Cursor is the former page's Next; empty for the first.
	Cursor string
}

// EntryPage is a page of a [Ledger].
type EntryPage struct {
	Entries []Entry
	// Next is the cursor of the next page; empty at the end.
	Next string
}

// Entry is a charge or a refund in a gateway's books.
type Entry struct {
	Refund bool
	// Ref is what the [Receipt] had.
	Ref string
	// Order is the order that the request named; its ID is empty if it was none of this side's.
	Order order.Ref
	Money order.Money
	// Done reports that the money moved and stayed: not that of a refund which failed later.
	Done bool
}

// Tokens describes the payment tokens that a gateway takes, without asking it.
type Tokens interface {
	// CheckToken returns an error whose text tells a caller what to send instead. It never
	// repeats the token.
	CheckToken(token order.Token) error

	// CheckMoney returns an error if the gateway can't move this amount of this currency. Its
	// text goes on from "the amount".
	CheckMoney(m order.Money) error

	// Describe returns what the API's document, the API's defaults and the smoke test need
	// to know. It is the same at every call.
	Describe() TokenDescription
}

// TokenDescription describes a gateway's payment tokens.
type TokenDescription struct {
	// Default is used if a request names no token; empty if every request must.
	Default order.Token
	// Pattern is a regular expression, in the syntax that ECMA-262 and RE2 share, that
	// exactly the tokens match which CheckToken accepts.
	Pattern string
	// Approved and Declined are examples. The smoke test pays with them, so they must not
	// move money; where none can be approved without, Approved is empty.
	Approved, Declined order.Token
	// Doc says, for the API's document, what the tokens stand for.
	Doc string
	// Examples are tokens to try, the console's; none will do.
	Examples []TokenExample
	// Reused says that Refund and Resolve read the token of an order that was PAID; otherwise
	// it is forgotten then.
	Reused bool
}

// TokenExample is a payment token and what it stands for, which goes on from the token.
type TokenExample struct {
	Token order.Token
	Doc   string
}

// Request is one request to a gateway.
type Request struct {
	// Key is the idempotency key. What a gateway answers must follow from the key alone.
	Key string
	// Order is the order that the money is for.
	Order order.Ref
	// Since is when the order was placed, or the refund asked for: no request under the key
	// was earlier.
	Since time.Time
	Money order.Money
	// Token is empty for an order that has forgotten it; see [TokenDescription.Reused].
	Token order.Token
	// PaymentRef is the charge to refund; empty for a charge.
	PaymentRef string
	// KnownRef is, for Resolve, this side's record of what happened under the key; empty if
	// it has none.
	KnownRef string
	// Hint is for the simulator only.
	Hint Hint
}

// Hint is what the simulator reads of a request because it keeps no books: it plays the
// outcomes of a series of attempts. A real gateway does not read it.
type Hint struct {
	// Attempt counts the attempts at this charge or refund, from 1. For Resolve it is the
	// latest one that this side knows of; 0 if it knows of none.
	Attempt int
	// Since is when the first attempt began.
	Since time.Time
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

// OutcomeOf returns what the error of [Gateway.Charge] or [Gateway.Refund] says of the attempt.
func OutcomeOf(err error) order.Outcome {
	var declined *DeclinedError
	switch {
	case err == nil:
		return order.OutcomeApproved
	case errors.As(err, &declined):
		return order.OutcomeDeclined
	case errors.Is(err, ErrUnavailable):
		return order.OutcomeUnavailable
	default:
		return order.OutcomeUnknown
	}
}

// ErrUnavailable reports that the gateway did not act, and may if asked again.
var ErrUnavailable = errors.New("the payment gateway is unavailable")

// ErrMisconfigured reports, as an [ErrUnavailable], that the gateway refuses this side's
// requests for what no order is to blame for: a wrong or expired API key, a missing
// permission. It goes on until somebody mends it, so it uses up no attempt.
var ErrMisconfigured = fmt.Errorf("%w: it refuses this side's requests", ErrUnavailable)

// DeclinedError reports that the gateway will not act. Both texts are fit for the caller
// who placed the order.
type DeclinedError struct {
	Code    string
	Message string
}

func (e *DeclinedError) Error() string { return fmt.Sprintf("declined: %s", e.Code) }

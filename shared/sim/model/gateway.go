package model

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/order"
)

// KeyLife is how long a gateway replays what it answered to a key ("Idempotent requests", Stripe's
// API reference). What it did it knows for good.
const KeyLife = 24 * time.Hour

// Call is what a gateway is asked to do.
type Call string

// The calls.
const (
	Charge Call = "charge"
	Refund Call = "refund"
)

// Effect is what a gateway makes of a call.
type Effect int

// The effects.
const (
	// ByToken is what the payment token says.
	ByToken Effect = iota
	// Unavailable is known not to have acted, such as 429 and 503. It is not kept: the key may be
	// used again.
	Unavailable
	// NoAnswer acts, or does not, and its answer is lost. It is not kept.
	NoAnswerActed
	NoAnswer
	// StoredError answers 500, and from then on that is what the key answers, whether it acted.
	StoredErrorActed
	StoredError
)

// Gateway is a [gateway.Provider] that keeps books. It takes the tokens of the simulator, but what
// it did is what its books say, not a function of an attempt.
type Gateway struct {
	*simulator.Simulator // describes and checks the tokens

	// Decide is asked about each call that would act, the n-th under its key, from 1; nil leaves it
	// to the token. Silent is asked at each Resolve whether nobody can say yet; nil is never.
	Decide func(r gateway.Request, c Call, n int) Effect
	Silent func(r gateway.Request) bool

	now        func() time.Time
	mu         sync.Mutex
	keys       map[string]*key
	books      []Entry
	violations []string
}

// Entry is a charge or a refund that happened.
type Entry struct {
	Key    string
	Order  order.Ref
	Refund bool
	Money  order.Money
	Ref    string
	At     time.Time
}

// key is what a gateway knows of an idempotency key.
type key struct {
	first    gateway.Request
	calls    int
	receipt  string // what it did
	declined *gateway.DeclinedError
	closed   bool // Resolve said that it did nothing
	storedAt time.Time
}

// NewGateway returns a gateway with empty books.
func NewGateway(now func() time.Time) *Gateway {
	return &Gateway{Simulator: simulator.New(now), now: now, keys: map[string]*key{}}
}

// Charge implements [gateway.Gateway].
func (g *Gateway) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	return g.act(ctx, r, Charge)
}

// Refund implements [gateway.Gateway].
func (g *Gateway) Refund(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	return g.act(ctx, r, Refund)
}

var (
	errStored = errors.New("the gateway answered 500, as it did before")
	errAnswer = errors.New("the gateway did not answer in time")
	errClosed = errors.New("the gateway refuses the key, of which it said that it did nothing")
	errReused = errors.New("the gateway refuses the key, which was used for another request")
)

func (g *Gateway) act(ctx context.Context, r gateway.Request, c Call) (gateway.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return gateway.Receipt{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.keys[r.Key]
	if k == nil {
		k = &key{first: r}
		g.keys[r.Key] = k
	}
	k.calls++
	switch {
	case r.Money != k.first.Money, r.PaymentRef != k.first.PaymentRef, r.Order != k.first.Order, r.Token != k.first.Token:
		g.violations = append(g.violations, fmt.Sprintf("the key %s was used for %v of %v, and for %v of %v", r.Key, k.first.Money, k.first.Order, r.Money, r.Order))
		return gateway.Receipt{}, errReused
	case !k.storedAt.IsZero() && g.now().Sub(k.storedAt) < KeyLife:
		return gateway.Receipt{}, errStored
	case k.receipt != "":
		return gateway.Receipt{Ref: k.receipt}, nil
	case k.closed:
		return gateway.Receipt{}, errClosed
	case k.declined != nil:
		return gateway.Receipt{}, k.declined
	}
	return g.first(r, c, k)
}

// first answers a call under a key under which nothing is settled yet.
func (g *Gateway) first(r gateway.Request, c Call, k *key) (gateway.Receipt, error) {
	effect := ByToken
	if g.Decide != nil {
		effect = g.Decide(r, c, k.calls)
	}
	if effect == ByToken {
		effect = byToken(r, c, k)
	}
	switch effect {
	case Unavailable:
		return gateway.Receipt{}, fmt.Errorf("the gateway answered 503: %w", gateway.ErrUnavailable)
	case NoAnswerActed, NoAnswer:
		if effect == NoAnswerActed {
			g.book(r, c, k)
		}
		return gateway.Receipt{}, errAnswer
	case StoredErrorActed, StoredError:
		if effect == StoredErrorActed {
			g.book(r, c, k)
		}
		k.storedAt = g.now()
		return gateway.Receipt{}, errStored
	case ByToken:
	}
	if k.declined != nil {
		return gateway.Receipt{}, k.declined
	}
	if c == Refund {
		if text := g.unrefundable(r); text != "" {
			g.violations = append(g.violations, text)
			k.declined = &gateway.DeclinedError{Code: "refund_declined", Message: "The charge can't be refunded."}
			return gateway.Receipt{}, k.declined
		}
	}
	return gateway.Receipt{Ref: g.book(r, c, k)}, nil
}

// unrefundable returns why a refund can't be: it is of no charge, or of more than is left of it.
func (g *Gateway) unrefundable(r gateway.Request) string {
	left := int64(0)
	for _, e := range g.books {
		switch {
		case !e.Refund && e.Ref == r.PaymentRef:
			left += e.Money.Amount
		case e.Refund && e.Order == r.Order:
			left -= e.Money.Amount
		}
	}
	if r.Money.Amount > left {
		return fmt.Sprintf("a refund of %d was asked for, and %d is left of the charge %s", r.Money.Amount, left, r.PaymentRef)
	}
	return ""
}

// byToken returns what the token says of a call; a decline it writes down.
func byToken(r gateway.Request, c Call, k *key) Effect {
	token := string(r.Token)
	flaky := 0
	_, _ = fmt.Sscanf(token, "tok_flaky_%d", &flaky)
	firstKey := strings.HasSuffix(r.Key, ".1") || strings.HasSuffix(r.Key, ".refund")
	switch {
	case token == "tok_refund_declined" && c == Refund:
		k.declined = &gateway.DeclinedError{Code: "refund_declined", Message: "The refund was declined."}
	case token == "tok_declined", token == "tok_insufficient_funds", token == "tok_expired_card":
		k.declined = &gateway.DeclinedError{Code: strings.TrimPrefix(token, "tok_"), Message: "The card was declined."}
	case token == "tok_outage" && c == Charge, k.calls <= flaky: // a refund is owed, and would be asked for without end
		return Unavailable
	case token == "tok_timeout_charged" && firstKey && k.calls == 1, strings.HasPrefix(token, "tok_unknown_") && firstKey && k.calls == 1:
		return NoAnswerActed
	case token == "tok_timeout_not_charged" && firstKey:
		return NoAnswer
	}
	return ByToken
}

// book writes down what happened under a key, and returns its reference.
func (g *Gateway) book(r gateway.Request, c Call, k *key) string {
	sum := sha256.Sum256([]byte(r.Key))
	k.receipt = fmt.Sprintf("PAY-%08X", sum[:4])
	if c == Refund {
		k.receipt = fmt.Sprintf("REF-%08X", sum[:4])
	}
	g.books = append(g.books, Entry{
		Key: r.Key, Order: r.Order, Refund: c == Refund, Money: r.Money, Ref: k.receipt, At: g.now(),
	})
	return k.receipt
}

// Resolve implements [gateway.Gateway].
func (g *Gateway) Resolve(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	if err := ctx.Err(); err != nil {
		return gateway.Resolution{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.Silent != nil && g.Silent(r) {
		return gateway.Resolution{}, errAnswer
	}
	k := g.keys[r.Key]
	if k == nil { // of a request that never came, and is refused if it comes yet
		k = &key{first: r}
		g.keys[r.Key] = k
	}
	if k.receipt != "" {
		return gateway.Resolution{Done: true, Receipt: gateway.Receipt{Ref: k.receipt}}, nil
	}
	k.closed = k.declined == nil
	return gateway.Resolution{}, nil
}

// Entries implements [gateway.Ledger].
func (g *Gateway) Entries(ctx context.Context, q gateway.EntryQuery) (gateway.EntryPage, error) {
	var page gateway.EntryPage
	if err := ctx.Err(); err != nil {
		return page, err
	}
	for _, e := range g.Books() {
		if !e.At.Before(q.From) && e.At.Before(q.To) {
			page.Entries = append(page.Entries, gateway.Entry{Refund: e.Refund, Ref: e.Ref, Order: e.Order, Money: e.Money, Done: true})
		}
	}
	return page, nil
}

// Books returns what happened, oldest first.
func (g *Gateway) Books() []Entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clip(g.books)
}

// Violations returns what no caller may do, and one did.
func (g *Gateway) Violations() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clip(g.violations)
}

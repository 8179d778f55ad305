package model

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/order"
)

const (
	// KeyLife is how long a gateway knows an idempotency key: Stripe removes keys once they are
	// "at least 24 hours old" ("Idempotent requests" in its API reference).
	KeyLife = 24 * time.Hour
	// keysLive is the age from which on an adapter looks into the books before it trusts a key.
	keysLive = 23 * time.Hour
)

// Call is what a gateway is asked to do.
type Call string

// The calls.
const (
	Charge Call = "charge"
	Refund Call = "refund"
)

// Effect is what a gateway makes of a call. To act is to move the money, or to decline what the
// payment token says is declined.
type Effect int

// The effects.
const (
	// ByToken is what the payment token says.
	ByToken Effect = iota
	Approve
	Decline
	// Unavailable is known not to have acted, such as 429 and 503. It is not kept: the key may be
	// used again.
	Unavailable
	// NoAnswerActed acts, and its answer is lost; NoAnswer does not act. Neither loss is kept: the
	// next call under the key is told what was done, or acts.
	NoAnswerActed
	NoAnswer
	// StoredErrorActed acts and answers 500, and from then on that is what the key answers while it
	// lives; StoredError does not act.
	StoredErrorActed
	StoredError
)

// Gateway is a [gateway.Provider] and a [gateway.Ledger] that keeps books. It takes the tokens of
// the simulator, but what it did is what its books say, not a function of an attempt: at most once
// under a key, while the key lives. After that the key acts anew, unless the request says that it
// is of an order so old that an adapter looks into the books first, as that of Stripe does.
//
// It answers at once; how long that takes is up to whoever calls it.
type Gateway struct {
	*simulator.Simulator // describes and checks the tokens

	// Decide is asked about each call under a key under which nothing is settled yet, the n-th
	// call under it, from 1; nil leaves it to the token. Silent is asked at each Resolve whether
	// nobody can say yet; nil is never. Both are set before the first call.
	Decide func(r gateway.Request, c Call, n int) Effect
	Silent func(r gateway.Request) bool

	now        func() time.Time
	mu         sync.Mutex
	keys       map[string]*key
	books      []Entry
	violations []string
}

var (
	_ gateway.Provider = (*Gateway)(nil)
	_ gateway.Ledger   = (*Gateway)(nil)
)

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
	began    time.Time // the first call that could act; zero if there was none
	storedAt time.Time // the first answer that is kept; zero if there is none
	calls    int
	failed   bool // what is kept is a 500
	declined *gateway.DeclinedError
	receipt  string // what it did
	closed   bool   // Resolve said that it did nothing
}

// NewGateway returns a gateway with empty books.
func NewGateway(now func() time.Time) *Gateway {
	return &Gateway{Simulator: simulator.New(now), now: now, keys: make(map[string]*key)}
}

// Charge implements [gateway.Gateway].
func (g *Gateway) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	return g.answer(ctx, r, Charge)
}

// Refund implements [gateway.Gateway].
func (g *Gateway) Refund(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	return g.answer(ctx, r, Refund)
}

var (
	errStored = errors.New("the gateway answered 500, which it keeps")
	errAnswer = errors.New("the gateway did not answer in time")
	errClosed = errors.New("the gateway refuses the key, of which it said that it did nothing")
	errReused = errors.New("the gateway refuses the key, which was used for another request")
)

// known returns what is known of a request's key. The books tell of one that is too old to be
// known otherwise, if they are looked into.
func (g *Gateway) known(r gateway.Request, books bool) *key {
	k := g.keys[r.Key]
	if k != nil && !k.storedAt.IsZero() && g.now().Sub(k.storedAt) >= KeyLife {
		k.failed = false
		if !books && g.now().Sub(r.Since) <= keysLive {
			k = nil
		}
	}
	if k == nil {
		k = &key{first: r}
		g.keys[r.Key] = k
	}
	return k
}

func (g *Gateway) answer(ctx context.Context, r gateway.Request, c Call) (gateway.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return gateway.Receipt{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.known(r, false)
	if k.began.IsZero() {
		k.began = g.now()
	}
	k.calls++
	first := k.first
	if r.Money != first.Money || r.PaymentRef != first.PaymentRef || r.Order != first.Order || c == Charge && r.Token != first.Token {
		g.violate("the key %s was used for %v of the order %s, and then for %v of %s, or with another token or payment",
			r.Key, first.Money, first.Order.ID, r.Money, r.Order.ID)
		return gateway.Receipt{}, errReused
	}
	if k.settled() {
		return k.told()
	}
	effect := ByToken
	if g.Decide != nil {
		effect = g.Decide(r, c, k.calls)
	}
	if effect == ByToken {
		effect = byToken(r, c, k.calls)
	}
	switch effect {
	case Unavailable:
		return gateway.Receipt{}, fmt.Errorf("the gateway answered 503: %w", gateway.ErrUnavailable)
	case NoAnswer:
		return gateway.Receipt{}, errAnswer
	case StoredError:
	case ByToken, Approve, Decline, NoAnswerActed, StoredErrorActed:
		g.act(r, c, k, effect)
	}
	k.storedAt, k.failed = g.now(), effect == StoredError || effect == StoredErrorActed
	if effect == NoAnswerActed {
		return gateway.Receipt{}, errAnswer
	}
	return k.told()
}

// settled reports whether there is an answer to every call under the key.
func (k *key) settled() bool { return k.failed || k.receipt != "" || k.closed || k.declined != nil }

// told is that answer.
func (k *key) told() (gateway.Receipt, error) {
	switch {
	case k.failed:
		return gateway.Receipt{}, errStored
	case k.receipt != "":
		return gateway.Receipt{Ref: k.receipt}, nil
	case k.declined != nil:
		return gateway.Receipt{}, k.declined
	}
	return gateway.Receipt{}, errClosed
}

// act moves the money, or declines to.
func (g *Gateway) act(r gateway.Request, c Call, k *key, effect Effect) {
	if k.declined = g.declines(r, c); effect == Approve {
		k.declined = nil
	}
	if effect == Decline {
		k.declined = &gateway.DeclinedError{Code: "card_declined", Message: "The card was declined."}
	}
	if text := g.unrefundable(r); k.declined == nil && c == Refund && text != "" {
		g.violate("%s", text)
		k.declined = &gateway.DeclinedError{Code: "refund_declined", Message: "The charge can't be refunded."}
	}
	if k.declined == nil {
		k.receipt = g.book(r, c)
	}
}

// byToken returns what the token says of the n-th call under a key.
func byToken(r gateway.Request, c Call, n int) Effect {
	firstKey := strings.HasSuffix(r.Key, ".1") || strings.HasSuffix(r.Key, ".refund")
	unavailable, flaky := number(r.Token, "tok_flaky_")
	_, unknown := number(r.Token, "tok_unknown_")
	switch {
	case r.Token == "tok_outage" && c == Charge, // a refund is owed, and would be asked for without end
		flaky && n <= unavailable:
		return Unavailable
	case (unknown || r.Token == "tok_timeout_charged") && firstKey && n == 1:
		return NoAnswerActed
	case r.Token == "tok_timeout_not_charged" && firstKey:
		return NoAnswer
	}
	return ByToken
}

// number returns the number that a token ends with.
func number(token order.Token, prefix string) (n int, ok bool) {
	text, ok := strings.CutPrefix(string(token), prefix)
	n, err := strconv.Atoi(text)
	return n, ok && err == nil
}

// declines returns the decline that the token asks for; nil if it asks for none.
func (g *Gateway) declines(r gateway.Request, c Call) *gateway.DeclinedError {
	switch {
	case g.CheckToken(r.Token) != nil:
		return &gateway.DeclinedError{Code: "invalid_token", Message: "The gateway does not know the payment token."}
	case r.Token == "tok_refund_declined" && c == Refund:
		return &gateway.DeclinedError{Code: "refund_declined", Message: "The refund was declined."}
	case r.Token == "tok_declined", r.Token == "tok_insufficient_funds", r.Token == "tok_expired_card":
		return &gateway.DeclinedError{Code: strings.TrimPrefix(string(r.Token), "tok_"), Message: "The card was declined."}
	}
	return nil
}

// unrefundable returns why a refund can't be: it is of no charge, or of more than is left of it.
func (g *Gateway) unrefundable(r gateway.Request) string {
	var left int64
	for _, e := range g.books {
		switch {
		case !e.Refund && e.Ref == r.PaymentRef && e.Money.Currency == r.Money.Currency:
			left += e.Money.Amount
		case e.Refund && e.Order == r.Order:
			left -= e.Money.Amount
		}
	}
	if r.Money.Amount > left {
		return fmt.Sprintf("a refund of %v was asked for, and %d is left of the charge %s", r.Money, left, r.PaymentRef)
	}
	return ""
}

// book writes down what happened under a key, and returns its reference.
func (g *Gateway) book(r gateway.Request, c Call) (ref string) {
	earlier := 0
	for _, e := range g.books {
		if e.Key == r.Key {
			earlier++
		}
	}
	prefix := map[Call]string{Charge: "PAY-", Refund: "REF-"}[c]
	sum := sha256.Sum256([]byte(r.Key + "#" + strconv.Itoa(earlier)))
	ref = fmt.Sprintf("%s%08X", prefix, sum[:4])
	g.books = append(g.books, Entry{Key: r.Key, Order: r.Order, Refund: c == Refund, Money: r.Money, Ref: ref, At: g.now()})
	return ref
}

func (g *Gateway) violate(format string, args ...any) {
	g.violations = append(g.violations, fmt.Sprintf(format, args...))
}

// Resolve implements [gateway.Gateway]. It makes no refund.
func (g *Gateway) Resolve(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	if err := ctx.Err(); err != nil {
		return gateway.Resolution{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.Silent != nil && g.Silent(r) {
		return gateway.Resolution{}, errAnswer
	}
	if r.KnownRef != "" {
		if !slices.ContainsFunc(g.books, func(e Entry) bool { return e.Ref == r.KnownRef && e.Order == r.Order }) {
			return gateway.Resolution{}, nil
		}
		return gateway.Resolution{Done: true, Receipt: gateway.Receipt{Ref: r.KnownRef}}, nil
	}
	k := g.known(r, r.PaymentRef != "") // what is refunded of a charge is listed, whatever its age
	seconds, unknown := number(r.Token, "tok_unknown_")
	if unknown && !k.began.IsZero() && g.now().Before(k.began.Add(time.Duration(seconds)*time.Second)) {
		return gateway.Resolution{}, errAnswer
	}
	if k.receipt != "" {
		return gateway.Resolution{Done: true, Receipt: gateway.Receipt{Ref: k.receipt}}, nil
	}
	if !k.closed {
		k.closed, k.storedAt = true, g.now()
	}
	return gateway.Resolution{}, nil
}

// Entries implements [gateway.Ledger].
func (g *Gateway) Entries(ctx context.Context, q gateway.EntryQuery) (gateway.EntryPage, error) {
	var page gateway.EntryPage
	for _, e := range g.Books() {
		if !e.At.Before(q.From) && e.At.Before(q.To) {
			page.Entries = append(page.Entries, gateway.Entry{Refund: e.Refund, Ref: e.Ref, Order: e.Order, Money: e.Money, Done: true})
		}
	}
	return page, ctx.Err()
}

// Books returns what happened, oldest first. The entries must not be changed.
func (g *Gateway) Books() []Entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clip(g.books)
}

// Forget has the gateway know nothing of an order's keys any more, as long after they were used, and
// keeps what happened out of [Gateway.Books].
func (g *Gateway) Forget(ref order.Ref) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.keys, func(_ string, k *key) bool { return k.first.Order == ref })
	g.books = slices.DeleteFunc(slices.Clone(g.books), func(e Entry) bool { return e.Order == ref })
}

// Violations returns what no caller may do, and one did: a key that was used for two requests, a
// refund of more than is left.
func (g *Gateway) Violations() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clip(g.violations)
}

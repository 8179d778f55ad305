package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"paylane/shared/order"
)

// Limits of the tokens that carry a number.
const (
	maxFlaky   = 9
	maxUnknown = 600  // seconds
	maxSlow    = 8000 // milliseconds
)

// errTimeout is a request whose fate its sender does not know.
var errTimeout = errors.New("the gateway did not answer in time")

// Simulator is a payment gateway that takes no money. What it does is a function of
// the request's key, token and attempt, so it needs no memory and behaves the same
// in any number of processes. Every request takes 10 to 60 ms, as at a real gateway.
//
// What it charges under a key it has charged from the first request on: Resolve of
// an attempt that would have been approved says so even if the attempt died on its
// way to the gateway.
type Simulator struct {
	now func() time.Time
}

// NewSimulator makes a simulator that reads the time from now.
func NewSimulator(now func() time.Time) Simulator { return Simulator{now: now} }

// behaviour is what a payment token stands for.
type behaviour struct {
	kind behaviourKind
	n    int    // of flaky, unknown and slow
	code string // of declined
}

type behaviourKind int

const (
	approve behaviourKind = iota
	decline
	flaky
	outage
	timeoutCharged
	timeoutNotCharged
	unknown
	slow
)

// parseToken knows every token; ok is false for others.
func parseToken(token order.Token) (b behaviour, ok bool) {
	switch text := string(token); text {
	case "tok_ok":
		return behaviour{kind: approve}, true
	case "tok_declined", "tok_insufficient_funds", "tok_expired_card":
		return behaviour{kind: decline, code: strings.TrimPrefix(text, "tok_")}, true
	case "tok_outage":
		return behaviour{kind: outage}, true
	case "tok_timeout_charged":
		return behaviour{kind: timeoutCharged}, true
	case "tok_timeout_not_charged":
		return behaviour{kind: timeoutNotCharged}, true
	default:
		for _, p := range []struct {
			prefix string
			kind   behaviourKind
			least  int
			most   int
		}{
			{"tok_flaky_", flaky, 1, maxFlaky},
			{"tok_unknown_", unknown, 0, maxUnknown},
			{"tok_slow_", slow, 0, maxSlow},
		} {
			if digits, found := strings.CutPrefix(text, p.prefix); found {
				n, err := strconv.Atoi(digits)
				canonical := err == nil && strconv.Itoa(n) == digits
				return behaviour{kind: p.kind, n: n}, canonical && n >= p.least && n <= p.most
			}
		}
		return behaviour{}, false
	}
}

// CheckToken implements [Tokens].
func (Simulator) CheckToken(token order.Token) error {
	if _, ok := parseToken(token); !ok {
		return errors.New("is not a token of the simulated gateway; take one of tok_ok, tok_declined, " +
			"tok_insufficient_funds, tok_expired_card, tok_flaky_N (1-9), tok_outage, tok_timeout_charged, " +
			"tok_timeout_not_charged, tok_unknown_N (0-600), tok_slow_MS (0-8000)")
	}
	return nil
}

// Charge implements [Gateway].
func (s Simulator) Charge(ctx context.Context, r Request) (Receipt, error) {
	return s.act(ctx, r, "PAY-")
}

// Refund implements [Gateway]. The token that the order was paid with decides how
// its refund goes, too.
func (s Simulator) Refund(ctx context.Context, r Request) (Receipt, error) {
	return s.act(ctx, r, "REF-")
}

func (s Simulator) act(ctx context.Context, r Request, prefix string) (Receipt, error) {
	b, ok := parseToken(r.Token)
	if !ok {
		return Receipt{}, &DeclinedError{Code: "invalid_token", Message: "The gateway does not know the payment token."}
	}
	delay := latency(r)
	if b.kind == slow {
		delay = time.Duration(b.n) * time.Millisecond
	}
	if err := wait(ctx, delay); err != nil {
		return Receipt{}, fmt.Errorf("wait for the gateway: %w", err)
	}
	switch {
	case b.kind == decline:
		return Receipt{}, &DeclinedError{Code: b.code, Message: declineMessage(b.code)}
	case b.kind == outage, b.kind == flaky && r.Attempt <= b.n:
		return Receipt{}, fmt.Errorf("the gateway answered 503: %w", ErrUnavailable)
	case b.kind == timeoutCharged && r.Attempt == 1,
		b.kind == timeoutNotCharged && firstKey(r.Key),
		b.kind == unknown && r.Attempt == 1:
		return Receipt{}, errTimeout
	}
	return Receipt{Ref: reference(prefix, r.Key)}, nil
}

// Resolve implements [Gateway].
func (s Simulator) Resolve(ctx context.Context, r Request) (Resolution, error) {
	b, ok := parseToken(r.Token)
	if !ok || r.Attempt == 0 {
		return Resolution{}, nil
	}
	if err := wait(ctx, latency(r)); err != nil {
		return Resolution{}, fmt.Errorf("wait for the gateway: %w", err)
	}
	switch b.kind {
	case decline, outage:
		return Resolution{}, nil
	case flaky:
		if r.Attempt <= b.n {
			return Resolution{}, nil
		}
	case timeoutNotCharged:
		if firstKey(r.Key) {
			return Resolution{}, nil
		}
	case unknown:
		if s.now().Before(r.Since.Add(time.Duration(b.n) * time.Second)) {
			return Resolution{}, errTimeout
		}
	case approve, timeoutCharged, slow:
	}
	prefix := "PAY-"
	if r.PaymentRef != "" {
		prefix = "REF-"
	}
	return Resolution{Done: true, Receipt: Receipt{Ref: reference(prefix, r.Key)}}, nil
}

func declineMessage(code string) string {
	switch code {
	case "insufficient_funds":
		return "The card has insufficient funds."
	case "expired_card":
		return "The card has expired."
	default:
		return "The card was declined."
	}
}

// firstKey tells whether this is the first key of its charge or refund; see
// order.Order.GatewayKey.
func firstKey(key string) bool {
	return strings.HasSuffix(key, ".1") || strings.HasSuffix(key, ".refund")
}

// latency spreads requests over 10 to 60 ms, the same for the same request.
func latency(r Request) time.Duration {
	sum := sha256.Sum256([]byte(r.Key + "#" + strconv.Itoa(r.Attempt)))
	const spread = 50_000 // µs
	return 10*time.Millisecond + time.Duration(binary.BigEndian.Uint32(sum[:])%(spread+1))*time.Microsecond
}

// reference derives the reference of what happened under a key.
func reference(prefix, key string) string {
	sum := sha256.Sum256([]byte(key))
	return prefix + fmt.Sprintf("%08X", sum[:4])
}

// wait returns after d, or with the context's error if that ends first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Package simulator is a payment gateway that moves no money. A payment token decides what
// happens.
package simulator

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/internal/pause"
)

// errTimeout is the error of a request whose fate its sender does not know.
var errTimeout = errors.New("the gateway did not answer in time")

// Simulator is a [gateway.Provider]. What it does is a function of the request's key, token
// and hint, so it needs no memory and behaves the same in any number of processes. Every
// request takes 10 to 60 ms, as at a real gateway.
//
// What it charges under a key counts as charged from the first request on: Resolve of an
// attempt that would have been approved says so even if the attempt died on its way to the
// gateway.
type Simulator struct {
	now   func() time.Time
	rules []rule
}

var _ gateway.Provider = (*Simulator)(nil)

// New returns a simulator that reads the time from now.
func New(now func() time.Time) *Simulator { return &Simulator{now: now, rules: rules()} }

// Livemode implements [gateway.Gateway]: it moves no money.
func (*Simulator) Livemode() bool { return false }

// Charge implements [gateway.Gateway].
func (s *Simulator) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	return s.act(ctx, r, "PAY-")
}

// Refund implements [gateway.Gateway]. The token that the order was paid with also decides
// how its refund goes.
func (s *Simulator) Refund(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	return s.act(ctx, r, "REF-")
}

func (s *Simulator) act(ctx context.Context, r gateway.Request, prefix string) (gateway.Receipt, error) {
	b, ok := s.parse(r.Token)
	if !ok {
		return gateway.Receipt{}, &gateway.DeclinedError{Code: "invalid_token", Message: "The gateway does not know the payment token."}
	}
	delay := latency(r)
	if b.kind == slow {
		delay = time.Duration(b.n) * time.Millisecond
	}
	if err := pause.For(ctx, delay); err != nil {
		return gateway.Receipt{}, fmt.Errorf("wait for the gateway: %w", err)
	}
	attempt := r.Hint.Attempt
	switch {
	case b.kind == refundDeclined && r.PaymentRef != "":
		return gateway.Receipt{}, &gateway.DeclinedError{Code: "refund_declined", Message: "The refund was declined."}
	case b.kind == decline:
		return gateway.Receipt{}, &gateway.DeclinedError{Code: b.code, Message: declineMessage(b.code)}
	case b.kind == outage, b.kind == flaky && attempt <= b.n:
		return gateway.Receipt{}, fmt.Errorf("the gateway answered 503: %w", gateway.ErrUnavailable)
	case b.kind == timeoutCharged && attempt == 1,
		b.kind == timeoutNotCharged && firstKey(r.Key),
		b.kind == unknown && attempt == 1:
		return gateway.Receipt{}, errTimeout
	}
	return gateway.Receipt{Ref: reference(prefix, r.Key)}, nil
}

// Resolve implements [gateway.Gateway].
func (s *Simulator) Resolve(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	b, ok := s.parse(r.Token)
	attempt := r.Hint.Attempt
	if !ok || attempt == 0 {
		return gateway.Resolution{}, nil
	}
	if err := pause.For(ctx, latency(r)); err != nil {
		return gateway.Resolution{}, fmt.Errorf("wait for the gateway: %w", err)
	}
	switch b.kind {
	case decline, outage:
		return gateway.Resolution{}, nil
	case refundDeclined:
		if r.PaymentRef != "" {
			return gateway.Resolution{}, nil
		}
	case flaky:
		if attempt <= b.n {
			return gateway.Resolution{}, nil
		}
	case timeoutNotCharged:
		if firstKey(r.Key) {
			return gateway.Resolution{}, nil
		}
	case unknown:
		if s.now().Before(r.Hint.Since.Add(time.Duration(b.n) * time.Second)) {
			return gateway.Resolution{}, errTimeout
		}
	case approve, timeoutCharged, slow:
	}
	prefix := "PAY-"
	if r.PaymentRef != "" {
		prefix = "REF-"
	}
	return gateway.Resolution{Done: true, Receipt: gateway.Receipt{Ref: reference(prefix, r.Key)}}, nil
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

// firstKey reports whether this is the first key of its charge or refund; see
// order.Order.GatewayKey.
func firstKey(key string) bool {
	return strings.HasSuffix(key, ".1") || strings.HasSuffix(key, ".refund")
}

// latency spreads requests over 10 to 60 ms, the same for the same request.
func latency(r gateway.Request) time.Duration {
	sum := sha256.Sum256([]byte(r.Key + "#" + strconv.Itoa(r.Hint.Attempt)))
	const spread = 50_000 // µs
	return 10*time.Millisecond + time.Duration(binary.BigEndian.Uint32(sum[:])%(spread+1))*time.Microsecond
}

// reference derives the reference of what happened under a key.
func reference(prefix, key string) string {
	sum := sha256.Sum256([]byte(key))
	return prefix + fmt.Sprintf("%08X", sum[:4])
}

package simulator_test

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/contract"
	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/order"
)

// answer names the outcome of a Charge or Refund, as one of four that a caller can tell apart.
func answer(err error) string {
	var declined *gateway.DeclinedError
	switch {
	case err == nil:
		return "approved"
	case errors.As(err, &declined):
		return "declined " + declined.Code
	case errors.Is(err, gateway.ErrUnavailable):
		return "unavailable"
	default:
		return "unknown"
	}
}

func resolved(r gateway.Resolution, err error) string {
	switch {
	case err != nil:
		return "unknown"
	case r.Done:
		return "done"
	default:
		return "not done"
	}
}

// TestTokens checks the simulator against the table of payment tokens.
func TestTokens(t *testing.T) {
	const first, second = "o.1", "o.2"
	type step struct {
		key     string
		attempt int
		charge  string // the outcome of Charge
		resolve string // what Resolve then returns
	}
	for _, tt := range []struct {
		token string
		steps []step
	}{
		{"tok_ok", []step{{first, 1, "approved", "done"}}},
		{"tok_declined", []step{{first, 1, "declined declined", "not done"}}},
		{"tok_insufficient_funds", []step{{first, 1, "declined insufficient_funds", "not done"}}},
		{"tok_expired_card", []step{{first, 1, "declined expired_card", "not done"}}},
		{"tok_flaky_2", []step{
			{first, 1, "unavailable", "not done"}, {first, 2, "unavailable", "not done"}, {first, 3, "approved", "done"},
		}},
		{"tok_outage", []step{{first, 1, "unavailable", "not done"}, {first, 9, "unavailable", "not done"}}},
		{"tok_timeout_charged", []step{{first, 1, "unknown", "done"}, {first, 2, "approved", "done"}}},
		{"tok_timeout_not_charged", []step{{first, 1, "unknown", "not done"}, {second, 2, "approved", "done"}}},
		{"tok_unknown_30", []step{{first, 1, "unknown", "unknown"}}},
		{"tok_slow_4000", []step{{first, 1, "approved", "done"}}},
		{"tok_slow_8000", []step{{first, 1, "unknown", "done"}}},
	} {
		t.Run(tt.token, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := simulator.New(time.Now)
				if err := sim.CheckToken(order.Token(tt.token)); err != nil {
					t.Error(err)
				}
				for _, s := range tt.steps {
					r := gateway.Request{Key: s.key, Token: order.Token(tt.token), Hint: gateway.Hint{Attempt: s.attempt, Since: time.Now()}}
					// The client gives up after the timeout that payments use.
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					receipt, err := sim.Charge(ctx, r)
					cancel()
					if got := answer(err); got != s.charge {
						t.Errorf("charge, attempt %d: %s, want %s", s.attempt, got, s.charge)
					}
					known, err := sim.Resolve(t.Context(), r)
					if got := resolved(known, err); got != s.resolve {
						t.Errorf("resolve, attempt %d: %s, want %s", s.attempt, got, s.resolve)
					}
					if s.charge == "approved" && known.Receipt != receipt {
						t.Errorf("Resolve returned %v, Charge %v", known.Receipt, receipt)
					}
				}
			})
		})
	}
}

func TestUnknownEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(time.Now)
		r := gateway.Request{Key: "o.1", Token: "tok_unknown_30", Hint: gateway.Hint{Attempt: 1, Since: time.Now()}}
		time.Sleep(29 * time.Second)
		if got := resolved(sim.Resolve(t.Context(), r)); got != "unknown" {
			t.Errorf("after 29 s: %s", got)
		}
		time.Sleep(time.Second)
		if got := resolved(sim.Resolve(t.Context(), r)); got != "done" {
			t.Errorf("after 30 s: %s", got)
		}
	})
}

// TestNeverReached: without an attempt there is nothing to find.
func TestNeverReached(t *testing.T) {
	sim := simulator.New(time.Now)
	got := resolved(sim.Resolve(t.Context(), gateway.Request{Key: "o.1", Token: "tok_ok"}))
	if got != "not done" {
		t.Errorf("resolve without an attempt: %s", got)
	}
}

func TestOtherTokens(t *testing.T) {
	for _, token := range []order.Token{
		"", "tok", "tok_OK", "tok_ok ", "tok_flaky_", "tok_flaky_0", "tok_flaky_10", "tok_flaky_01", "tok_flaky_+1", "tok_flaky_-1",
		"tok_unknown_601", "tok_slow_8001", "tok_slow_1e3", "4111111111111111",
	} {
		err := simulator.New(time.Now).CheckToken(token)
		if err == nil {
			t.Errorf("CheckToken(%q) accepts it", string(token))
		} else if token != "" && token != "tok" && strings.Contains(err.Error(), "4111") {
			t.Errorf("the error repeats the token: %v", err)
		}
	}
}

// TestPattern: the described pattern matches exactly the tokens that are accepted.
func TestPattern(t *testing.T) {
	sim := simulator.New(time.Now)
	pattern := regexp.MustCompile(sim.Describe().Pattern)
	tokens := []string{"", "tok_ok", "xtok_ok", "tok_okx", "tok_ok\n", "tok_outage", "tok_declined", "tok_timeout", "tok_timeout_charged", "tok_flaky_+1"}
	for _, prefix := range []string{"tok_flaky_", "tok_unknown_", "tok_slow_", "tok_ok_"} {
		tokens = append(tokens, prefix)
		for n := range 10_000 {
			tokens = append(tokens, prefix+strconv.Itoa(n), prefix+"0"+strconv.Itoa(n))
		}
	}
	for _, token := range tokens {
		if accepted := sim.CheckToken(order.Token(token)) == nil; accepted != pattern.MatchString(token) {
			t.Errorf("%q: accepted %v, matches %v", token, accepted, !accepted)
		}
	}
}

// TestLatencyAndReferences: a charge takes 10 to 60 ms; its reference has the documented
// form and is the same each time.
func TestLatencyAndReferences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		form := regexp.MustCompile(`^PAY-[0-9A-F]{8}$`)
		sim := simulator.New(time.Now)
		fastest, slowest := time.Hour, time.Duration(0)
		for i := range 300 {
			r := gateway.Request{Key: order.KeyedID("t", string(rune('a'+i))) + ".1", Token: "tok_ok", Hint: gateway.Hint{Attempt: 1}}
			begin := time.Now()
			receipt, err := sim.Charge(t.Context(), r)
			took := time.Since(begin)
			if err != nil || !form.MatchString(receipt.Ref) {
				t.Fatalf("%v, %v", receipt, err)
			}
			fastest, slowest = min(fastest, took), max(slowest, took)
			if again, err := sim.Charge(t.Context(), r); err != nil || again != receipt {
				t.Fatalf("again: %v, %v; first: %v", again, err, receipt)
			}
			if refund, err := sim.Refund(t.Context(), r); err != nil || !strings.HasPrefix(refund.Ref, "REF-") {
				t.Fatalf("refund: %v, %v", refund, err)
			}
		}
		if fastest < 10*time.Millisecond || fastest > 15*time.Millisecond || slowest > 60*time.Millisecond || slowest < 55*time.Millisecond {
			t.Errorf("latencies from %v to %v, want them spread over 10 to 60 ms", fastest, slowest)
		}
	})
}

func TestContract(t *testing.T) {
	contract.RunGateway(t, simulator.New(time.Now), "tok_nonsense")
}

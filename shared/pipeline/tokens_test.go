package pipeline_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
)

func outcomes(o order.Order) []order.Outcome {
	var out []order.Outcome
	for _, a := range o.Charge.Attempts {
		out = append(out, a.Outcome)
	}
	return out
}

// TestTokens takes an order with each of the simulator's tokens to its end.
func TestTokens(t *testing.T) {
	const (
		approved, declined   = order.OutcomeApproved, order.OutcomeDeclined
		unavailable, unknown = order.OutcomeUnavailable, order.OutcomeUnknown
	)
	for _, tt := range []struct {
		token    order.Token
		status   order.Status
		failure  string
		attempts []order.Outcome
		charges  int
		within   time.Duration
	}{
		{"tok_ok", order.Paid, "", []order.Outcome{approved}, 1, 5 * time.Second},
		{"tok_declined", order.Failed, "declined", []order.Outcome{declined}, 0, 5 * time.Second},
		{"tok_insufficient_funds", order.Failed, "insufficient_funds", []order.Outcome{declined}, 0, 5 * time.Second},
		{"tok_expired_card", order.Failed, "expired_card", []order.Outcome{declined}, 0, 5 * time.Second},
		{"tok_flaky_1", order.Paid, "", []order.Outcome{unavailable, approved}, 1, 10 * time.Second},
		{"tok_flaky_2", order.Paid, "", []order.Outcome{unavailable, unavailable, approved}, 1, 10 * time.Second},
		{"tok_flaky_3", order.Failed, "gateway_unavailable", []order.Outcome{unavailable, unavailable, unavailable}, 0, 10 * time.Second},
		{"tok_outage", order.Failed, "gateway_unavailable", []order.Outcome{unavailable, unavailable, unavailable}, 0, 10 * time.Second},
		{"tok_timeout_charged", order.Paid, "", []order.Outcome{unknown, approved}, 1, 10 * time.Second},
		{"tok_timeout_not_charged", order.Paid, "", []order.Outcome{unknown, approved}, 1, 10 * time.Second},
		{"tok_unknown_0", order.Paid, "", []order.Outcome{unknown, approved}, 1, 10 * time.Second},
		{"tok_unknown_2", order.Paid, "", []order.Outcome{unknown, unknown, approved}, 1, 10 * time.Second},
		// Once the attempts are used up the gateway is only asked, in the end from the dead-letter queue.
		{"tok_unknown_10", order.Paid, "", []order.Outcome{unknown, unknown, approved}, 1, time.Minute},
		{"tok_unknown_600", order.Paid, "", []order.Outcome{unknown, unknown, approved}, 1, time.Hour},
		{"tok_slow_4000", order.Paid, "", []order.Outcome{approved}, 1, 10 * time.Second},
		{"tok_slow_8000", order.Paid, "", []order.Outcome{unknown, approved}, 1, 30 * time.Second},
	} {
		t.Run(string(tt.token), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				o := w.create(tt.token)
				if o.Status != order.Pending || o.Version != 1 {
					t.Fatalf("created as %s, version %d", o.Status, o.Version)
				}
				o = w.runToEnd(o.Ref, tt.within)
				if o.Status != tt.status {
					t.Errorf("ended %s, want %s", o.Status, tt.status)
				}
				failure := ""
				if o.Failure != nil {
					failure = o.Failure.Code
				}
				if failure != tt.failure {
					t.Errorf("failure %q, want %q", failure, tt.failure)
				}
				if diff := cmp.Diff(tt.attempts, outcomes(o)); diff != "" {
					t.Errorf("attempts (-want +got):\n%s", diff)
				}
				if n := w.gateway.charged(o.ID); n != tt.charges {
					t.Errorf("charged %d times, want %d; calls: %v", n, tt.charges, w.gateway.calls())
				}
				// The last attempt decides; nothing waits for another receive.
				if last := o.Charge.Attempts[len(o.Charge.Attempts)-1]; o.Failure != nil && o.UpdatedAt.Sub(last.StartedAt) > 100*time.Millisecond {
					t.Errorf("FAILED %v after the last attempt began", o.UpdatedAt.Sub(last.StartedAt))
				}
				if (o.PaymentRef != "") != (tt.status == order.Paid) {
					t.Errorf("payment reference %q of a %s order", o.PaymentRef, o.Status)
				}
			})
		})
	}
}

// TestRefundTokens: a refund behaves as its order's token says, and always completes.
func TestRefundTokens(t *testing.T) {
	for _, token := range []order.Token{
		"tok_ok", "tok_flaky_2", "tok_timeout_charged", "tok_timeout_not_charged", "tok_unknown_2", "tok_slow_8000",
	} {
		t.Run(string(token), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				o := w.runToEnd(w.create(token).Ref, time.Minute)
				if o.Status != order.Paid {
					t.Fatalf("ended %s", o.Status)
				}
				o, changed, err := w.checkout.Refund(t.Context(), o.Ref, "", order.RefundRequest{})
				if err != nil || !changed || o.Status != order.Refunding {
					t.Fatalf("refund: %s, %v, %v", o.Status, changed, err)
				}
				o = w.runToEnd(o.Ref, 10*time.Minute)
				if o.Status != order.Refunded || w.gateway.refunded(o.ID) != 1 || o.LastRefund().Ref == "" {
					t.Errorf("%s, refunded %d times; calls: %v", o.Status, w.gateway.refunded(o.ID), w.gateway.calls())
				}
				again, changed, err := w.checkout.Refund(t.Context(), o.Ref, "", order.RefundRequest{})
				if err != nil || changed || again.Status != order.Refunded {
					t.Errorf("again: %s, %v, %v", again.Status, changed, err)
				}
			})
		})
	}
}

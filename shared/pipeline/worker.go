package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/job"
	"paylane/shared/order"
)

// GatewayTimeout is how long a worker waits for one answer of the gateway.
const GatewayTimeout = 5 * time.Second

const (
	// settleReserve is the part of an invocation's time kept for writing down what
	// the gateway said.
	settleReserve = time.Second
	// defaultLease is the lease if the context has no deadline.
	defaultLease = 10 * time.Second
)

// WorkerConfig is what [Payments] and [DeadLetters] need. All fields but ReusesTokens, Patience
// and Observe are required.
type WorkerConfig struct {
	Store   order.Store
	Gateway gateway.Gateway
	// ReusesTokens is the gateway's [gateway.TokenDescription.Reused].
	ReusesTokens bool
	// Limits are for Payments, which alone charges.
	Limits order.Limits
	// Patience returns the patience with a round whose attempts began at a time; the longer of it
	// and that of Limits counts. For the zero time it is the longest with any round. Nil adds
	// nothing.
	Patience func(began time.Time) time.Duration
	Now      func() time.Time
	// Jitter returns a number from 0 to n-1, for n > 0.
	Jitter func(n int) int
	// Observe is called, by many goroutines at once, with what came of each attempt, once it
	// is written down; nil is nobody.
	Observe func(context.Context, Attempted)
}

// Attempted is what came of one attempt.
type Attempted struct {
	Kind    order.Kind
	Outcome order.Outcome
	// Order is the order as it then is.
	Order order.Order
	// Misconfigured reports that the gateway refused this side's requests; see
	// [gateway.ErrMisconfigured].
	Misconfigured bool
}

// Results of a verdict, besides "paid" and "failed", and those that any job has.
const (
	ResultStale       = "stale"       // the order is past what the message asks for
	ResultEarly       = "early"       // the order is not there yet, or not that far
	ResultDropped     = "dropped"     // early for too long; fenced
	ResultBusy        = "busy"        // another worker holds the order
	ResultUnavailable = "unavailable" // the gateway did not act; another attempt follows
	ResultUnknown     = "unknown"     // it is not known whether the gateway acted
	ResultReturned    = "returned"    // back to the payment queue, which never got to it

	ResultRefunded       = "refunded"        // all of the order, or a part
	ResultRefundDeclined = "refund_declined" // the gateway refused
)

// verdict adds to a verdict which order it is about.
func verdict(ref order.Ref, v job.Verdict) *job.Verdict {
	v.Attrs = []slog.Attr{slog.String("tenant", ref.Tenant), slog.String("order_id", ref.ID)}
	return &v
}

// worker is what Payments and DeadLetters share: handling an order that it holds.
type worker struct {
	WorkerConfig
}

// held is an order that this worker holds a claim on.
type held struct {
	order order.Order
	kind  order.Kind
	// fresh says that the newest attempt is this worker's own. Otherwise it took the
	// order over, and may only learn what became of earlier attempts.
	fresh bool
}

// number counts the attempts so far, this worker's own included.
func (h held) number() int {
	if h.kind == order.KindRefund {
		return h.order.Refund.Tries
	}
	return h.order.Charge.Count()
}

// before counts the attempts before this worker's own.
func (h held) before() int {
	if h.fresh {
		return h.number() - 1
	}
	return h.number()
}

// doubtful reports whether the gateway may have acted in an earlier attempt without
// this side knowing.
func (h held) doubtful() bool {
	attempts := h.order.Leg(h.kind).Attempts
	if h.fresh {
		attempts = attempts[:len(attempts)-1]
	}
	if len(attempts) == 0 {
		return false
	}
	last := attempts[len(attempts)-1].Outcome
	return last == order.OutcomePending || last == order.OutcomeUnknown
}

// request is what the gateway is asked, as the given attempt.
func (h held) request(attempt int) gateway.Request {
	r := gateway.Request{
		Key: h.order.GatewayKey(h.kind), Order: h.order.Ref, Since: h.order.CreatedAt,
		Money: h.order.Total, Token: h.order.PaymentToken, Hint: gateway.Hint{Attempt: attempt},
	}
	if attempts := h.order.Leg(h.kind).Attempts; len(attempts) > 0 {
		r.Hint.Since = attempts[0].StartedAt
	}
	if h.kind == order.KindRefund {
		refund := h.order.LastRefund()
		r.PaymentRef, r.KnownRef = h.order.PaymentRef, refund.Ref
		r.Money.Amount, r.Since = refund.Amount, refund.RequestedAt
	} else {
		r.KnownRef = h.order.PaymentRef
	}
	return r
}

// work finishes what the message asks for, or gives up the order with what is known. With
// resolve the gateway is asked about earlier attempts even if they are clear.
func (w worker) work(ctx context.Context, h held, d job.Delivery, resolve bool) job.Verdict {
	if resolve || h.doubtful() {
		known, err := w.resolve(ctx, h)
		switch {
		case err != nil:
			return w.release(ctx, h, d, order.OutcomeUnknown, err)
		case known.Done:
			return w.succeed(ctx, h, known.Receipt)
		case h.fresh:
			// The old key is spent. The new one is written down before it is used.
			renewed, err := h.order.Renewed(h.kind, w.Now())
			if err == nil {
				err = w.Store.Update(ctx, renewed)
			}
			if err != nil {
				return w.lost(h, fmt.Errorf("move on to a new gateway key: %w", err))
			}
			h.order = renewed
		}
	}
	if !h.fresh {
		return w.fail(ctx, h, order.OutcomeUnavailable, notCharged(h))
	}
	return w.act(ctx, h, d)
}

// act charges or refunds, and writes down the outcome.
func (w worker) act(ctx context.Context, h held, d job.Delivery) job.Verdict {
	receipt, err := w.ask(ctx, h)
	outcome := gateway.OutcomeOf(err)
	var declined *gateway.DeclinedError
	switch {
	case err == nil:
		return w.succeed(ctx, h, receipt)
	case errors.As(err, &declined) && h.kind == order.KindRefund:
		next, err := h.order.RefundDeclinedWith(declined.Code, w.Now())
		return w.settle(ctx, h, order.OutcomeDeclined, ResultRefundDeclined, next, err)
	case errors.As(err, &declined):
		return w.fail(ctx, h, order.OutcomeDeclined, order.Failure{Code: declined.Code, Message: declined.Message})
	case outcome == order.OutcomeUnavailable && !errors.Is(err, gateway.ErrMisconfigured) &&
		h.kind == order.KindCharge && w.limits(h.order.Charge.Since).Over(h.order.Charge, w.Now()):
		return w.fail(ctx, h, outcome, notCharged(h))
	default:
		return w.release(ctx, h, d, outcome, err)
	}
}

// limits returns the limits of a round whose attempts began at a time.
func (w worker) limits(began time.Time) order.Limits {
	l := w.Limits
	if w.Patience != nil {
		l.Patience = max(l.Patience, w.Patience(began))
	}
	return l
}

// ask makes the request within what is left of the invocation.
func (w worker) ask(ctx context.Context, h held) (gateway.Receipt, error) {
	ctx, cancel, ok := w.patience(ctx)
	defer cancel()
	if !ok {
		return gateway.Receipt{}, fmt.Errorf("no time is left to ask: %w", gateway.ErrUnavailable)
	}
	r, to := h.request(h.number()), w.gateway(h)
	if h.kind == order.KindRefund {
		return to.Refund(ctx, r)
	}
	return to.Charge(ctx, r)
}

func (w worker) resolve(ctx context.Context, h held) (gateway.Resolution, error) {
	ctx, cancel, ok := w.patience(ctx)
	defer cancel()
	if !ok {
		return gateway.Resolution{}, context.DeadlineExceeded
	}
	return w.gateway(h).Resolve(ctx, h.request(h.before()))
}

// gateway is what is asked about an order.
func (w worker) gateway(h held) gateway.Gateway {
	if h.order.Livemode != w.Gateway.Livemode() {
		return otherMode{w.Gateway}
	}
	return w.Gateway
}

// otherMode stands for the gateway of an order that was placed for one of the other mode: of
// one that moves money, or of one that moves none. That gateway is unavailable, and nobody
// can say what it did, until it is back; the gateway in use is not asked.
type otherMode struct{ gateway.Gateway }

func (otherMode) Charge(context.Context, gateway.Request) (gateway.Receipt, error) {
	return gateway.Receipt{}, errOtherMode()
}

func (otherMode) Refund(context.Context, gateway.Request) (gateway.Receipt, error) {
	return gateway.Receipt{}, errOtherMode()
}

func (otherMode) Resolve(context.Context, gateway.Request) (gateway.Resolution, error) {
	return gateway.Resolution{}, errOtherMode()
}

func errOtherMode() error {
	return fmt.Errorf("the order was placed for a gateway of the other mode: %w", gateway.ErrUnavailable)
}

// patience bounds a call of the gateway; it returns false if there is no time for one.
func (w worker) patience(ctx context.Context) (context.Context, context.CancelFunc, bool) {
	end := w.Now().Add(GatewayTimeout)
	if deadline, has := ctx.Deadline(); has && deadline.Add(-settleReserve).Before(end) {
		end = deadline.Add(-settleReserve)
	}
	bounded, cancel := context.WithDeadline(ctx, end)
	return bounded, cancel, w.Now().Before(end)
}

func (w worker) succeed(ctx context.Context, h held, r gateway.Receipt) job.Verdict {
	if h.kind == order.KindRefund {
		next, err := h.order.RefundedWith(r.Ref, w.Now())
		return w.settle(ctx, h, order.OutcomeApproved, ResultRefunded, next, err)
	}
	next, err := h.order.PaidWith(r.Ref, w.ReusesTokens, w.Now())
	return w.settle(ctx, h, order.OutcomeApproved, "paid", next, err)
}

func (w worker) fail(ctx context.Context, h held, outcome order.Outcome, f order.Failure) job.Verdict {
	next, err := h.order.FailedWith(outcome, f, w.Now())
	return w.settle(ctx, h, outcome, "failed", next, err)
}

// settle writes down the end of the order, or of its refund.
func (w worker) settle(
	ctx context.Context, h held, outcome order.Outcome, result string, next order.Order, err error,
) job.Verdict {
	if err := w.write(ctx, Attempted{Kind: h.kind, Outcome: outcome, Order: next}, err); err != nil {
		return w.lost(h, fmt.Errorf("settle the order: %w", err))
	}
	return *verdict(next.Ref, job.Verdict{Next: job.Done, Result: result})
}

// release gives up the order with an outcome that decides nothing, for the gateway's error;
// the message comes back after a backoff.
func (w worker) release(ctx context.Context, h held, d job.Delivery, outcome order.Outcome, failed error) job.Verdict {
	a := Attempted{Kind: h.kind, Outcome: outcome, Misconfigured: errors.Is(failed, gateway.ErrMisconfigured)}
	v := job.Verdict{Next: job.Again, After: job.Backoff(d.ReceiveCount, w.Jitter), Result: string(outcome)}
	var err error
	if a.Misconfigured && h.fresh {
		a.Order, err = h.order.Returned(h.kind, outcome, w.Now(), v.After)
	} else {
		a.Order, err = h.order.Released(h.kind, outcome, "", w.Now(), v.After)
	}
	if err := w.write(ctx, a, err); err != nil {
		return w.lost(h, fmt.Errorf("release the order: %w", err))
	}
	if a.Misconfigured {
		v.Err = fmt.Errorf("ask the payment gateway: %w", failed)
	}
	return *verdict(h.order.Ref, v)
}

// write writes down the outcome of an attempt, unless the order could not be changed.
func (w worker) write(ctx context.Context, a Attempted, err error) error {
	if err == nil {
		err = w.Store.Update(ctx, a.Order)
	}
	if err == nil && w.Observe != nil {
		w.Observe(ctx, a)
	}
	return err
}

// lost is the verdict on an order whose outcome could not be written down. The claim stands
// until its lease ends; whoever claims next finds the attempt without an outcome and asks
// the gateway.
func (w worker) lost(h held, err error) job.Verdict {
	return *verdict(h.order.Ref, job.Verdict{
		Next: job.Again, After: max(h.order.LeaseUntil.Sub(w.Now()), time.Second),
		Result: job.ResultError, Err: err,
	})
}

// notCharged is the failure of an order whose attempts ended without a charge.
func notCharged(h held) order.Failure {
	if len(h.order.Charge.Attempts) == 0 {
		return order.Failure{
			Code:    "not_processed",
			Message: "The payment could not be processed. Nothing was charged.",
		}
	}
	return order.Failure{
		Code:    "gateway_unavailable",
		Message: "The payment gateway could not be reached. Nothing was charged.",
	}
}

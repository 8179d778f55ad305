package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// prodLimits reads what production is deployed with.
func prodLimits(t *testing.T) order.Limits {
	t.Helper()
	text, err := os.ReadFile("../../deploy/prod.yaml")
	if err != nil {
		t.Fatal(err)
	}
	number := func(name string) int {
		match := regexp.MustCompile(`(?m)^` + name + `: ([0-9]+)$`).FindStringSubmatch(string(text))
		if match == nil {
			t.Fatalf("deploy/prod.yaml sets no %s", name)
		}
		n, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return order.Limits{Attempts: number("MaxAttempts"), Patience: time.Duration(number("Patience")) * time.Second}
}

// outage makes the gateway fail for a while: most calls are refused, some end without
// an answer, before or after the gateway has acted, and it can't say what it did.
func (w *world) outage(begin, end time.Time, random *rand.Rand) {
	away := func() bool { return time.Now().After(begin) && time.Now().Before(end) }
	unanswered := errors.New("the connection was cut")
	chance := func() int {
		w.gateway.mu.Lock()
		defer w.gateway.mu.Unlock()
		return random.IntN(10)
	}
	w.gateway.before = func(call string, _ gateway.Request) error {
		switch {
		case !away():
			return nil
		case call == "resolve":
			return unanswered
		}
		switch chance() {
		case 0:
			return unanswered
		case 1:
			return nil // it gets through
		}
		return fmt.Errorf("connection refused: %w", gateway.ErrUnavailable)
	}
	w.gateway.after = func(string, gateway.Request) error {
		if away() {
			return unanswered
		}
		return nil
	}
}

// TestOutage: the gateway is away for ten minutes while orders keep coming. With the limits of
// production every one of them is PAID afterwards, charged once, by nobody's hand.
func TestOutage(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				random := rand.New(rand.NewPCG(seed, 2))
				w.limits, w.jitter = prodLimits(t), locked(rand.New(rand.NewPCG(seed, 3)).IntN)
				w.wire()
				w.outage(time.Now().Add(time.Minute), time.Now().Add(11*time.Minute), random)
				var refs []order.Ref
				// Two a second, from a minute before to three after.
				begin := time.Now()
				for time.Since(begin) < 14*time.Minute {
					refs = append(refs, w.create("tok_ok").Ref, w.create("tok_ok").Ref)
					for second := time.Now(); time.Since(second) < time.Second; {
						w.poll(w.queue, w.payments.Handle, time.Second)
					}
				}
				ends := map[order.Status]int{}
				most := 0
				for _, ref := range refs {
					o := w.runToEnd(ref, time.Hour)
					ends[o.Status]++
					most = max(most, o.Charge.Count())
					if n := w.gateway.charged(o.ID); n != 1 || len(o.Charge.Attempts) > 10 {
						t.Errorf("%s: charged %d times, %d attempts kept", o.ID, n, len(o.Charge.Attempts))
					}
				}
				if diff := cmp.Diff(map[order.Status]int{order.Paid: len(refs)}, ends); diff != "" {
					t.Errorf("ends (-want +got):\n%s", diff)
				}
				if verdicts := w.poll(w.dlq, w.dead.Handle, 0); len(verdicts) > 0 {
					t.Errorf("dead letters: %+v", verdicts)
				}
				t.Logf("%d orders, up to %d attempts each", len(refs), most)
			})
		})
	}
}

// TestOutageWithoutPatience: at the default limits, orders of an outage FAILED after three
// attempts.
func TestOutageWithoutPatience(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o := w.runToEnd(w.create("tok_flaky_9").Ref, time.Minute)
		if o.Status != order.Failed || o.Failure.Code != "gateway_unavailable" || len(o.Charge.Attempts) != 3 {
			t.Errorf("%s after %v", o.Status, outcomes(o))
		}
	})
}

// TestPatienceByBegin: patience with some orders is not patience with all.
func TestPatienceByBegin(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		ended := time.Now().Add(time.Hour)
		w.patience = func(began time.Time) time.Duration {
			if began.After(ended) {
				return 0
			}
			return 24 * time.Hour
		}
		w.wire()
		if o := w.runToEnd(w.create("tok_flaky_9").Ref, time.Hour); o.Status != order.Paid || o.Charge.Count() != 10 {
			t.Errorf("with patience: %s after %v", o.Status, outcomes(o))
		}
		time.Sleep(time.Until(ended) + time.Second)
		if o := w.runToEnd(w.create("tok_flaky_9").Ref, time.Hour); o.Status != order.Failed || o.Charge.Count() != 3 {
			t.Errorf("without: %s after %v", o.Status, outcomes(o))
		}
	})
}

// TestPatienceEnds: an outage that outlasts the patience ends in FAILED, by an attempt that
// came after the patience ended: however late its message comes, nothing fails by time alone.
func TestPatienceEnds(t *testing.T) {
	for _, wait := range []time.Duration{0, 90 * time.Minute} { // the message's, in a backlog
		t.Run(wait.String(), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.limits = order.Limits{Attempts: 3, Patience: time.Hour}
				w.wire()
				o := w.create("tok_outage")
				asked := 0
				w.gateway.before = func(_ string, r gateway.Request) error {
					asked = r.Hint.Attempt
					return nil
				}
				if wait > 0 {
					w.poll(w.queue, w.payments.Handle, time.Second)
					time.Sleep(wait)
				}
				o = w.runToEnd(o.Ref, 2*time.Hour)
				last, _ := o.Charge.Last()
				if o.Status != order.Failed || o.Failure.Code != "gateway_unavailable" || last.StartedAt.Sub(o.Charge.Since) < time.Hour-time.Second {
					t.Errorf("%s; the last attempt began %v after the first", o.Status, last.StartedAt.Sub(o.Charge.Since))
				}
				if asked != o.Charge.Count() {
					t.Errorf("the gateway was last asked for attempt %d of %d", asked, o.Charge.Count())
				}
				if charged := w.gateway.charged(o.ID); charged != 0 || o.UpdatedAt.Sub(last.StartedAt) > time.Second {
					t.Errorf("charged %d times, settled %v after the last attempt", charged, o.UpdatedAt.Sub(last.StartedAt))
				}
			})
		})
	}
}

// TestWorkersDie: an order at which every worker dies is given up, too, after twice the
// patience, and then only asked about.
func TestWorkersDie(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.limits = order.Limits{Attempts: 3, Patience: time.Hour}
		store := &breakable{Store: w.store}
		w.store = store
		w.wire()
		o := w.create("tok_timeout_not_charged")
		begun := time.Now()
		w.gateway.before = func(string, gateway.Request) error {
			if time.Since(begun) < 2*time.Hour+time.Minute {
				store.set(true)
				time.AfterFunc(timeout, func() { store.set(false) })
			}
			return nil
		}
		o = w.runToEnd(o.Ref, 4*time.Hour)
		calls := w.gateway.calls()
		if o.Status != order.Failed || w.gateway.charged(o.ID) != 0 || !strings.HasPrefix(calls[len(calls)-1], "resolve") {
			t.Errorf("%s, charged %d times; the last calls: %v", o.Status, w.gateway.charged(o.ID), calls[max(0, len(calls)-5):])
		}
	})
}

// TestRefundOutlastsAnOutage: a refund is owed; no outage ends it.
func TestRefundOutlastsAnOutage(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o := w.runToEnd(w.create("tok_ok").Ref, time.Minute)
		if _, _, err := w.checkout.Refund(t.Context(), o.Ref, "", order.RefundRequest{}); err != nil {
			t.Fatal(err)
		}
		w.outage(time.Now(), time.Now().Add(12*time.Hour), rand.New(rand.NewPCG(1, 1)))
		if o = w.runToEnd(o.Ref, 14*time.Hour); o.Status != order.Refunded || w.gateway.refunded(o.ID) != 1 || len(o.Refund.Attempts) > 10 {
			t.Errorf("%s, refunded %d times, %d attempts kept", o.Status, w.gateway.refunded(o.ID), len(o.Refund.Attempts))
		}
	})
}

// scannable is a store that can be walked.
type scannable interface {
	order.Store
	order.Scanner
}

// live is a gateway that moves money.
type live struct{ gateway.Gateway }

func (live) Livemode() bool { return true }

// TestOtherMode: an order that was placed for a gateway of one mode is never shown to one of
// the other: not charged, not refunded, not settled by its word.
func TestOtherMode(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		pending, unknown := w.create("tok_ok"), w.create("tok_unknown_600")
		w.runUntil(unknown.Ref, time.Minute, func(o order.Order) bool {
			last, ok := o.Charge.Last()
			return ok && last.Outcome == order.OutcomeUnknown
		})
		paid := w.runToEnd(pending.Ref, time.Minute)
		if _, _, err := w.checkout.Refund(t.Context(), paid.Ref, "", order.RefundRequest{}); err != nil {
			t.Fatal(err)
		}
		fresh := w.create("tok_ok")
		simulated := w.gateway
		w.gateway = newLedger(live{simulator.New(time.Now)})
		w.wire()
		if o := w.runToEnd(fresh.Ref, time.Hour); o.Status != order.Failed || o.Failure.Code != "gateway_unavailable" || o.Livemode {
			t.Errorf("an order without an attempt: %s, %+v", o.Status, o.Failure)
		}
		for end := time.Now().Add(2 * time.Hour); time.Now().Before(end); {
			w.poll(w.queue, w.payments.Handle, 20*time.Second)
			w.poll(w.dlq, w.dead.Handle, 0)
		}
		if calls := w.gateway.calls(); len(calls) > 0 {
			t.Errorf("the gateway of the other mode was called: %v", calls)
		}
		if o := w.get(unknown.Ref); o.Status != order.Processing {
			t.Errorf("an order of unknown outcome is %s", o.Status)
		}
		if o := w.get(paid.Ref); o.Status != order.Refunding {
			t.Errorf("a refund that is owed: %s", o.Status)
		}
		walk := pipeline.NewReconciler(pipeline.ReconcilerConfig{
			Store: w.store.(scannable), Gateway: w.gateway, Now: time.Now, Found: func(_ context.Context, f pipeline.Finding) {
				t.Errorf("reconcile found %s of the order %s", f.Kind, f.Order.ID)
			},
		})
		for _, stuckAfter := range []time.Duration{0, time.Second} {
			state := pipeline.NewReconcileState(time.Time{}, time.Time{}, true, 1000)
			state.StuckAfter = stuckAfter
			if _, done, err := walk.Run(t.Context(), state); err != nil || !done {
				t.Error(done, err)
			}
			time.Sleep(time.Minute)
		}
		if calls := w.gateway.calls(); len(calls) > 0 {
			t.Errorf("reconcile called the gateway of the other mode: %v", calls)
		}
		w.gateway = simulated
		w.wire()
		if o := w.runToEnd(unknown.Ref, time.Hour); o.Status != order.Paid || w.gateway.charged(o.ID) != 1 {
			t.Errorf("its own gateway is back: %s", o.Status)
		}
		if o := w.runToEnd(paid.Ref, time.Hour); o.Status != order.Refunded {
			t.Errorf("its own gateway is back: %s", o.Status)
		}
	})
}

// locked guards a function for concurrent use.
func locked(f func(int) int) func(int) int {
	lock := make(chan struct{}, 1)
	return func(n int) int {
		lock <- struct{}{}
		defer func() { <-lock }()
		return f(n)
	}
}

// TestMisconfigured: while the gateway refuses this side's requests, for hours, no order uses up
// its attempts or FAILED; once that is mended, all are PAID, charged once.
func TestMisconfigured(t *testing.T) {
	patient := order.Limits{Attempts: 1, Patience: time.Hour}
	for name, tt := range map[string]struct {
		first  error
		limits order.Limits
	}{
		"from the first attempt on":     {fmt.Errorf("401: %w", gateway.ErrMisconfigured), order.Limits{Attempts: 1}},
		"after an outage":               {fmt.Errorf("503: %w", gateway.ErrUnavailable), patient},
		"after an answer that was lost": {errors.New("the connection was cut"), patient},
	} {
		for _, receives := range []int{maxReceives, fewReceives} {
			t.Run(fmt.Sprintf("%s, %d receives", name, receives), func(t *testing.T) {
				inWorldOf(t, receives, func(t *testing.T, w *world) {
					w.limits = tt.limits
					w.gateway.Gateway = &books{receipts: map[string]gateway.Receipt{}}
					w.wire()
					mended, calls := time.Now().Add(6*time.Hour), 0
					w.gateway.before = func(string, gateway.Request) error {
						calls++
						switch {
						case time.Now().After(mended):
							return nil
						case calls == 1:
							return tt.first
						}
						return fmt.Errorf("401: %w", gateway.ErrMisconfigured)
					}
					o := w.create("tok_ok")
					for time.Now().Before(mended) {
						w.poll(w.queue, w.payments.Handle, time.Second)
						w.poll(w.dlq, w.dead.Handle, 0)
					}
					if o = w.get(o.Ref); o.Status.End() {
						t.Fatalf("%s after %d calls", o.Status, calls)
					}
					o = w.runToEnd(o.Ref, time.Hour)
					if o.Status != order.Paid || w.gateway.charged(o.ID) != 1 || len(o.Charge.Attempts) > 10 {
						t.Errorf("%s, charged %d times, after %v", o.Status, w.gateway.charged(o.ID), outcomes(o))
					}
					checkKeys(t, w.gateway.calls())
				})
			})
		}
	}
}

// books is a gateway that charges everything, and says what it did: a simulator takes every
// attempt for one that reached it.
type books struct {
	gateway.Gateway
	mu       sync.Mutex
	receipts map[string]gateway.Receipt // by key; one without a reference is closed
}

func (b *books) Charge(_ context.Context, r gateway.Request) (gateway.Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	receipt, ok := b.receipts[r.Key]
	switch {
	case !ok:
		receipt.Ref = "PAY-" + r.Key
		b.receipts[r.Key] = receipt
	case receipt.Ref == "":
		return receipt, errors.New("the key is closed")
	}
	return receipt, nil
}

func (b *books) Resolve(_ context.Context, r gateway.Request) (gateway.Resolution, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	receipt := b.receipts[r.Key]
	b.receipts[r.Key] = receipt
	return gateway.Resolution{Done: receipt.Ref != "", Receipt: receipt}, nil
}

func (*books) Livemode() bool { return false }

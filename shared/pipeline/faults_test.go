package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// breakable is a store that can be cut off: a worker without it is as good as dead.
type breakable struct {
	order.Store
	mu     sync.Mutex
	broken bool
}

func (b *breakable) set(broken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = broken
}

func (b *breakable) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return fmt.Errorf("the worker is dead: %w", order.ErrUnavailable)
	}
	return nil
}

func (b *breakable) Create(ctx context.Context, o order.Order) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.Store.Create(ctx, o)
}

func (b *breakable) Update(ctx context.Context, o order.Order) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.Store.Update(ctx, o)
}

func (b *breakable) Claim(ctx context.Context, ref order.Ref, c order.Claim) (order.Order, error) {
	if err := b.err(); err != nil {
		return order.Order{}, err
	}
	return b.Store.Claim(ctx, ref, c)
}

// TestWorkerDies kills the worker around each gateway call, with every kind of token that
// can be charged: the order still becomes PAID, is charged once, and no second key is used
// before the gateway was asked about the first.
func TestWorkerDies(t *testing.T) {
	for _, moment := range []string{"before the call", "after the call"} {
		for _, nth := range []int{1, 2, 3} {
			for _, token := range []order.Token{"tok_ok", "tok_flaky_1", "tok_timeout_charged", "tok_timeout_not_charged"} {
				t.Run(fmt.Sprintf("%s %d %s", moment, nth, string(token)), func(t *testing.T) {
					inWorldOf(t, fewReceives, func(t *testing.T, w *world) {
						store := &breakable{Store: w.store}
						w.store = store
						w.wire()
						o := w.create(token)
						calls := 0
						die := func(call string, r gateway.Request) error {
							// The gateway is asked about the attempt before this one.
							if begun := len(w.get(o.Ref).Charge.Attempts); call == "resolve" && r.Hint.Attempt != begun-1 {
								t.Errorf("in attempt %d the gateway is asked about attempt %d", begun, r.Hint.Attempt)
							}
							if calls++; calls == nth {
								store.set(true)
								time.AfterFunc(timeout, func() { store.set(false) })
							}
							return nil
						}
						if moment == "before the call" {
							w.gateway.before = die
						} else {
							w.gateway.after = die
						}
						o = w.runToEnd(o.Ref, 20*time.Minute)
						if o.Status != order.Paid || w.gateway.charged(o.ID) != 1 {
							t.Errorf("%s, charged %d times; calls: %v", o.Status, w.gateway.charged(o.ID), w.gateway.calls())
						}
						checkKeys(t, w.gateway.calls())
					})
				})
			}
		}
	}
}

// checkKeys requires that the last call before a new key is used is a Resolve of the old
// one.
func checkKeys(t *testing.T, calls []string) {
	t.Helper()
	for i, call := range calls {
		what, key, _ := strings.Cut(call, " ")
		if what == "resolve" || i == 0 {
			continue
		}
		before, formerKey, _ := strings.Cut(calls[i-1], " ")
		if key != formerKey && before != "resolve" {
			t.Errorf("key %s is used without a Resolve before it: %v", key, calls)
		}
	}
}

// TestAttemptsEnd: after three attempts nothing is charged again, however long the
// outcome stays unknown.
func TestAttemptsEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o := w.create("tok_unknown_600")
		w.runToEnd(o.Ref, time.Hour)
		charges := 0
		for _, call := range w.gateway.calls() {
			if strings.HasPrefix(call, "charge") {
				charges++
			}
		}
		if charges != 1 {
			t.Errorf("charged %d times while the first charge was unknown: %v", charges, w.gateway.calls())
		}
	})
}

// TestDeadLetters: what payments never got to is settled by the gateway's answer.
func TestDeadLetters(t *testing.T) {
	handle := func(w *world, o order.Order, kind order.Kind) job.Verdict {
		m := order.Message{Kind: kind, Ref: o.Ref, Round: o.Round}
		return w.dead.Handle(w.t.Context(), job.Delivery{Body: m.Encode(), SentAt: time.Now(), ReceiveCount: 6})
	}
	t.Run("an order never attempted goes back", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			o := w.create("tok_ok")
			if err := w.emptyQueue(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(23 * time.Hour)
			if v := handle(w, o, order.KindCharge); v.Next != job.Done || v.Result != pipeline.ResultReturned {
				t.Errorf("%+v", v)
			}
			if calls := w.gateway.calls(); len(calls) > 0 || w.get(o.Ref).Version != o.Version {
				t.Errorf("the order was touched, or the gateway asked, which closes its key: %v", calls)
			}
			if o = w.runToEnd(o.Ref, time.Minute); o.Status != order.Paid || w.gateway.charged(o.ID) != 1 {
				t.Errorf("%s, %v", o.Status, w.gateway.calls())
			}
		})
	})
	t.Run("an order canceled meanwhile does not go back", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			o := w.create("tok_ok")
			if _, err := w.checkout.Cancel(t.Context(), o.Ref); err != nil {
				t.Fatal(err)
			}
			if v := handle(w, o, order.KindCharge); v.Next != job.Done || v.Result != pipeline.ResultStale {
				t.Errorf("%+v", v)
			}
		})
	})
	t.Run("it stays while it can't go back", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			o := w.create("tok_ok")
			dead := pipeline.NewDeadLetters(pipeline.WorkerConfig{Store: w.store, Gateway: w.gateway, Now: time.Now}, noQueue{})
			m := order.Message{Kind: order.KindCharge, Ref: o.Ref, Round: 1}
			v := dead.Handle(t.Context(), job.Delivery{Body: m.Encode(), SentAt: time.Now()})
			if v.Next != job.Later || v.Err == nil || w.get(o.Ref).Version != o.Version {
				t.Errorf("%+v", v)
			}
		})
	})
	t.Run("an order never attempted for a day", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			o := w.create("tok_ok")
			time.Sleep(24 * time.Hour)
			v := handle(w, o, order.KindCharge)
			o = w.get(o.Ref)
			if v.Next != job.Done || o.Status != order.Failed || o.Failure.Code != "not_processed" || w.gateway.charged(o.ID) != 0 {
				t.Errorf("%+v; %s, %+v", v, o.Status, o.Failure)
			}
			// It was not declined, so an operator may retry it, under a new key.
			if _, err := w.checkout.Retry(t.Context(), o.Ref); err != nil {
				t.Fatal(err)
			}
			o = w.runToEnd(o.Ref, time.Minute)
			if o.Status != order.Paid || !slices.Contains(w.gateway.calls(), "charge "+o.ID+".2") {
				t.Errorf("after a retry: %s, %v", o.Status, w.gateway.calls())
			}
		})
	})
	t.Run("an attempt without an outcome that did charge", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			o := w.create("tok_ok")
			claim := order.Claim{Kind: order.KindCharge, Round: 1, Now: time.Now(), Until: time.Now().Add(timeout), Limits: order.Limits{Attempts: 3}}
			if _, err := w.store.Claim(t.Context(), o.Ref, claim); err != nil {
				t.Fatal(err)
			}
			if v := handle(w, o, order.KindCharge); v.Next != job.Again || v.Result != pipeline.ResultBusy || v.After != time.Until(claim.Until) {
				t.Errorf("while leased: %+v", v)
			}
			time.Sleep(timeout)
			v := handle(w, o, order.KindCharge)
			if o = w.get(o.Ref); v.Next != job.Done || o.Status != order.Paid || o.Charge.Attempts[0].Outcome != order.OutcomeApproved {
				t.Errorf("%+v; %s", v, o.Status)
			}
		})
	})
	t.Run("a refund is still made", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			o := w.runToEnd(w.create("tok_flaky_1").Ref, time.Minute)
			if _, _, err := w.checkout.Refund(t.Context(), o.Ref, "", order.RefundRequest{}); err != nil {
				t.Fatal(err)
			}
			if v := handle(w, o, order.KindRefund); v.Next != job.Again || v.Result != pipeline.ResultUnavailable {
				t.Errorf("first: %+v", v)
			}
			v := handle(w, o, order.KindRefund)
			if o = w.get(o.Ref); v.Next != job.Done || o.Status != order.Refunded || w.gateway.refunded(o.ID) != 1 {
				t.Errorf("second: %+v; %s", v, o.Status)
			}
		})
	})
	t.Run("a message that is not ours stays", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *world) {
			if _, err := w.queue.Send(t.Context(), "hello", 0); err != nil {
				t.Fatal(err)
			}
			for range maxReceives {
				verdicts := w.poll(w.queue, w.payments.Handle, 2*time.Second)
				if len(verdicts) != 1 || verdicts[0].Result != job.ResultPoison || verdicts[0].Err == nil || strings.Contains(verdicts[0].Err.Error(), "hello") {
					t.Fatalf("%+v", verdicts)
				}
			}
			if verdicts := w.poll(w.queue, w.payments.Handle, 2*time.Second); len(verdicts) != 0 {
				t.Errorf("a receive too many: %+v", verdicts)
			}
			if verdicts := w.poll(w.dlq, w.dead.Handle, 0); len(verdicts) != 1 || verdicts[0].Next != job.Again || verdicts[0].After < time.Hour {
				t.Errorf("dead letter: %+v", verdicts)
			}
		})
	})
}

// noQueue takes no message.
type noQueue struct{}

func (noQueue) Send(context.Context, string, time.Duration) (string, error) {
	return "", fmt.Errorf("throttled: %w", order.ErrUnavailable)
}

// TestStoreFails: a worker that can't reach the store leaves the message alone.
func TestStoreFails(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o := w.create("tok_ok")
		store := &breakable{Store: w.store, broken: true}
		w.store = store
		w.wire()
		verdicts := w.poll(w.queue, w.payments.Handle, time.Second)
		if len(verdicts) != 1 || verdicts[0].Next != job.Later || !errors.Is(verdicts[0].Err, order.ErrUnavailable) {
			t.Errorf("%+v", verdicts)
		}
		if _, _, err := w.checkout.Create(t.Context(), tenant, "", order.Request{Amount: 1}); !errors.Is(err, order.ErrUnavailable) {
			t.Errorf("create: %v", err)
		}
		store.set(false)
		if o = w.runToEnd(o.Ref, 2*visibility); o.Status != order.Paid {
			t.Errorf("after the store is back: %s", o.Status)
		}
	})
}

// TestChaos mixes everything: any token, workers that die, duplicate messages, cancels,
// refunds and retries. In the end the orders must agree with what the gateway did. The
// seed is the subtest's name.
func TestChaos(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorldOf(t, fewReceives, func(t *testing.T, w *world) { chaos(t, w, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func chaos(t *testing.T, w *world, random *rand.Rand) {
	tokens := []order.Token{
		"tok_ok", "tok_declined", "tok_flaky_1", "tok_flaky_3", "tok_flaky_5", "tok_outage",
		"tok_timeout_charged", "tok_timeout_not_charged", "tok_unknown_20", "tok_slow_7000",
	}
	store := &breakable{Store: w.store}
	w.store = store
	w.wire()
	die := func(string, gateway.Request) error {
		if random.IntN(8) == 0 {
			store.set(true)
			time.AfterFunc(timeout, func() { store.set(false) })
		}
		return nil
	}
	// The hooks run concurrently; random must not be used so.
	var mu sync.Mutex
	locked := func(f func(string, gateway.Request) error) func(string, gateway.Request) error {
		return func(s string, r gateway.Request) error {
			mu.Lock()
			defer mu.Unlock()
			return f(s, r)
		}
	}
	w.gateway.before, w.gateway.after = locked(die), locked(die)

	var refs []order.Ref
	for range 12 {
		if o, _, err := w.checkout.Create(t.Context(), tenant, "", order.Request{Amount: 1, PaymentToken: tokens[random.IntN(len(tokens))]}); err == nil {
			refs = append(refs, o.Ref)
		}
		time.Sleep(time.Duration(1+random.IntN(1000)) * time.Millisecond)
	}
	for range 60 {
		ref := refs[random.IntN(len(refs))]
		// Any of these may be refused.
		switch random.IntN(6) {
		case 0:
			_, _ = w.checkout.Cancel(t.Context(), ref)
		case 1:
			_, _, _ = w.checkout.Refund(t.Context(), ref, "", order.RefundRequest{})
		case 2:
			_, _ = w.checkout.Retry(t.Context(), ref)
		case 3:
			m := order.Message{Kind: order.KindCharge, Ref: ref, Round: 1 + random.IntN(2)}
			if _, err := w.queue.Send(t.Context(), m.Encode(), 0); err != nil {
				t.Fatal(err)
			}
		}
		w.poll(w.queue, w.payments.Handle, time.Duration(random.IntN(5))*time.Second)
		w.poll(w.dlq, w.dead.Handle, 0)
	}
	w.gateway.before, w.gateway.after = nil, nil
	for _, ref := range refs {
		o := w.runUntil(ref, 2*time.Hour, func(o order.Order) bool { return o.Status.End() })
		charged, refunded := w.gateway.charged(o.ID), w.gateway.refunded(o.ID)
		want := map[order.Status][2]int{order.Paid: {1, 0}, order.Refunded: {1, 1}, order.Failed: {0, 0}, order.Canceled: {0, 0}}[o.Status]
		if charged != want[0] || refunded != want[1] {
			t.Errorf("%s (%s) ended %s, charged %d and refunded %d times; calls: %v",
				o.ID, string(o.PaymentToken), o.Status, charged, refunded, w.gateway.calls())
		}
	}
}

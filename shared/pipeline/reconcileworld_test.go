package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// bank is a gateway that keeps books, as a real one does: it records what it did under
// each key, and refuses a key once it has said that nothing was done under it.
type bank struct {
	*simulator.Simulator

	mu      sync.Mutex
	done    map[string]string // references by key
	refused map[string]bool
	unsure  bool // can't say what became of anything
	hangs   bool // never answers
	asked   []time.Time
}

func newBank() *bank {
	return &bank{Simulator: simulator.New(time.Now), done: make(map[string]string), refused: make(map[string]bool)}
}

func (b *bank) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	return b.act(r, func() (gateway.Receipt, error) { return b.Simulator.Charge(ctx, r) })
}

func (b *bank) Refund(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	return b.act(r, func() (gateway.Receipt, error) { return b.Simulator.Refund(ctx, r) })
}

func (b *bank) act(r gateway.Request, act func() (gateway.Receipt, error)) (gateway.Receipt, error) {
	b.mu.Lock()
	b.asked = append(b.asked, time.Now())
	b.mu.Unlock()
	receipt, err := act()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ref, ok := b.done[r.Key]; {
	case ok:
		return gateway.Receipt{Ref: ref}, nil
	case b.refused[r.Key]:
		return gateway.Receipt{}, errors.New("the key is closed")
	case err == nil:
		b.done[r.Key] = receipt.Ref
	}
	return receipt, err
}

func (b *bank) Resolve(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, time.Now())
	if b.hangs {
		b.mu.Unlock()
		<-ctx.Done()
		b.mu.Lock()
		return gateway.Resolution{}, ctx.Err()
	}
	ref, ok := b.done[r.Key]
	switch {
	case b.unsure:
		return gateway.Resolution{}, errors.New("nobody can say yet")
	case !ok:
		b.refused[r.Key] = true
	}
	return gateway.Resolution{Done: ok, Receipt: gateway.Receipt{Ref: ref}}, nil
}

// office is a world whose gateway is a bank, with a reconciler.
type office struct {
	*world
	bank  *bank
	store reconcilable
	found []pipeline.Finding
}

type reconcilable interface {
	order.Store
	order.Scanner
}

func inOffice(t *testing.T, test func(t *testing.T, f *office)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		f := &office{world: w, bank: newBank(), store: w.store.(reconcilable)}
		w.gateway = newLedger(f.bank)
		w.wire()
		test(t, f)
	})
}

func (f *office) reconciler() *pipeline.Reconciler {
	var mu sync.Mutex
	return pipeline.NewReconciler(pipeline.ReconcilerConfig{
		Store: f.store, Gateway: f.gateway, ReusesTokens: true, Now: time.Now,
		Found: func(_ context.Context, found pipeline.Finding) {
			mu.Lock()
			defer mu.Unlock()
			f.found = append(f.found, found)
		},
	})
}

// reconcile walks all orders in one run.
func (f *office) reconcile(apply bool) pipeline.ReconcileReport {
	f.t.Helper()
	s, done, err := f.reconciler().Run(f.t.Context(), pipeline.NewReconcileState(time.Time{}, time.Time{}, apply, 1000))
	if err != nil || !done {
		f.t.Fatalf("the walk: done %v, %v", done, err)
	}
	return s.Report
}

func (f *office) paid(token order.Token) order.Order {
	f.t.Helper()
	return f.runToEnd(f.create(token).Ref, time.Hour)
}

func (f *office) refunding() order.Order {
	f.t.Helper()
	o, _, err := f.checkout.Refund(f.t.Context(), f.paid("tok_ok").Ref, "", order.RefundRequest{})
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

func (f *office) refunded() order.Order {
	f.t.Helper()
	return f.runToEnd(f.refunding().Ref, time.Hour)
}

func (f *office) canceled() order.Order {
	f.t.Helper()
	o, err := f.checkout.Cancel(f.t.Context(), f.create("tok_ok").Ref)
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

// claimed returns an order whose worker died.
func (f *office) claimed(lease time.Duration) order.Order {
	f.t.Helper()
	now := time.Now()
	o, err := f.store.Claim(f.t.Context(), f.create("tok_ok").Ref,
		order.Claim{Kind: order.KindCharge, Round: 1, Now: now, Until: now.Add(lease), Limits: order.Limits{Attempts: 3}})
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

// charge makes a charge that the store knows nothing of.
func (f *office) charge(o order.Order) order.Order {
	f.bank.done[o.GatewayKey(order.KindCharge)] = "PAY-SECRETLY"
	return o
}

// short lists the counts of a report that are not 0.
func short(r pipeline.ReconcileReport) string {
	var parts []string
	add := func(name string, n int64) {
		if n == 1 {
			parts = append(parts, name)
		} else if n != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, n))
		}
	}
	add("scanned", r.Scanned)
	add("checked", r.Checked)
	add("stuck", r.Stuck)
	for _, status := range slices.Sorted(maps.Keys(r.Settled)) {
		add("settled "+status, r.Settled[status])
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Differences)) {
		add(string(kind), r.Differences[kind])
	}
	add("unknown", r.Unknown)
	add("errors", r.Errors)
	return strings.Join(parts, ", ")
}

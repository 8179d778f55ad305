package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"paylane/shared/gateway"
	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/queue"
)

// fill places orders of all kinds and lets two hours pass.
func (f *office) fill(n int) []order.Ref {
	f.t.Helper()
	var refs []order.Ref
	for i := range n {
		o := f.create("tok_ok")
		switch i % 4 {
		case 0:
			f.charge(o)
		case 1:
			if i%8 == 1 {
				f.charge(o)
			}
			if _, err := f.checkout.Cancel(f.t.Context(), o.Ref); err != nil {
				f.t.Fatal(err)
			}
		case 2:
			now := time.Now()
			if _, err := f.store.Claim(f.t.Context(), o.Ref, order.Claim{
				Kind: order.KindCharge, Round: 1, Now: now, Until: now.Add(timeout), Limits: order.Limits{Attempts: 3},
			}); err != nil {
				f.t.Fatal(err)
			}
		}
		refs = append(refs, o.Ref)
	}
	time.Sleep(2 * time.Hour)
	return refs
}

// TestReconcileResumes compares a walk in one run with walks in many short runs, whose
// state is encoded in between. The report and the orders must be the same.
func TestReconcileResumes(t *testing.T) {
	type result struct {
		Report   string
		Findings int
		Statuses map[string]order.Status
	}
	walk := func(t *testing.T, budget time.Duration, rate int) (got result, runs int) {
		t.Helper()
		inOffice(t, func(t *testing.T, f *office) {
			refs := f.fill(120)
			s, done := pipeline.NewReconcileState(time.Time{}, time.Time{}, true, rate), false
			for ; !done; runs++ {
				ctx, cancel := context.WithTimeout(t.Context(), budget)
				var err error
				s, done, err = f.reconciler().Run(ctx, s)
				cancel()
				if err != nil || runs > 200 {
					t.Fatalf("run %d: %v", runs, err)
				}
				if s, err = pipeline.ParseReconcileState(s.Encode()); err != nil {
					t.Fatal(err)
				}
			}
			got = result{short(s.Report), len(f.found), make(map[string]order.Status)}
			for _, ref := range refs {
				o := f.stored(ref)
				got.Statuses[ref.ID] = o.Status
				f.wantBooks(o, map[bool]string{true: "_"}[o.Status == order.Canceled])
			}
		})
		return got, runs
	}
	want, runs := walk(t, 15*time.Minute, 1000)
	const all = "scanned 120, checked 120, settled failed 60, settled paid 30, charge_unexpected 15"
	if want.Report != all || runs != 1 {
		t.Fatalf("the long walk took %d runs, want 1; its report is %q, want %q", runs, want.Report, all)
	}
	for _, test := range []struct {
		budget  time.Duration
		rate    int
		minRuns int
	}{
		{32500 * time.Millisecond, 1, 50}, {31 * time.Second, 7, 15}, {33 * time.Second, 20, 2}, {40 * time.Second, 3, 4},
	} {
		got, runs := walk(t, test.budget, test.rate)
		if runs < test.minRuns {
			t.Errorf("%v at %d a second took %d runs, want at least %d", test.budget, test.rate, runs, test.minRuns)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%v at %d a second, in %d runs (-one run +these):\n%s", test.budget, test.rate, runs, diff)
		}
	}
}

// TestReconcileRate checks that the gateway is never asked more often per second than
// configured, however many orders are worked on at once and however many calls they take.
func TestReconcileRate(t *testing.T) {
	for _, rate := range []int{1, 10, 50} {
		inOffice(t, func(t *testing.T, f *office) {
			var paid []order.Order
			for range 20 {
				paid = append(paid, f.paid("tok_ok"))
			}
			for _, o := range paid {
				if _, _, err := f.checkout.Refund(t.Context(), o.Ref, "", order.RefundRequest{}); err != nil {
					t.Fatal(err)
				}
			}
			f.fill(60)
			f.bank.asked = nil
			begin := time.Now()
			s, done, err := f.reconciler().Run(t.Context(), pipeline.NewReconcileState(time.Time{}, time.Time{}, true, rate))
			if err != nil || !done || s.Report.Checked != 80 {
				t.Fatalf("the walk: %s, %v, %v", short(s.Report), done, err)
			}
			asked := f.bank.asked
			for i := rate; i < len(asked); i++ {
				if within := asked[i].Sub(asked[i-rate]); within < time.Second-100*time.Millisecond {
					t.Errorf("%d calls within %v", rate+1, within)
				}
			}
			// A refund is counted as two calls, whether or not it needs both.
			if took, want := time.Since(begin), 100*time.Second/time.Duration(rate); took < want || took > want+want/10+time.Second {
				t.Errorf("at %d a second it took %v, want about %v", rate, took, want)
			}
		})
	}
}

// TestReconcileStops checks that a run stops well before its deadline, even if the gateway
// never answers, and starts nothing if the deadline is near.
func TestReconcileStops(t *testing.T) {
	inOffice(t, func(t *testing.T, f *office) {
		f.fill(60)
		f.bank.hangs = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, done, err := f.reconciler().Run(ctx, pipeline.NewReconcileState(time.Time{}, time.Time{}, true, 1))
		if err != nil || done {
			t.Errorf("the walk: done %v, %v; want it unfinished", done, err)
		}
		deadline, _ := ctx.Deadline()
		if left := time.Until(deadline); left < 20*time.Second || left > 30*time.Second {
			t.Errorf("it stopped %v before the deadline", left)
		}
		if s.Report.Unknown == 0 || s.Report.Errors != 0 {
			t.Errorf("the report is %s, want some unknown and no errors", short(s.Report))
		}

		near, cancelNear := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancelNear()
		calls := len(f.gateway.calls())
		again, done, err := f.reconciler().Run(near, s)
		if !errors.Is(err, context.DeadlineExceeded) || done || len(f.gateway.calls()) != calls {
			t.Errorf("with 30 s left: done %v, %v, want the context's error and no call", done, err)
		}
		if diff := gocmp.Diff(s, again); diff != "" {
			t.Errorf("the state was changed (-before +after):\n%s", diff)
		}
	})
}

// TestReconcileCancelled checks that a cancelled run leaves what it had begun to the next.
func TestReconcileCancelled(t *testing.T) {
	inOffice(t, func(t *testing.T, f *office) {
		for range 5 {
			f.paid("tok_ok")
		}
		ctx, cancel := context.WithCancel(t.Context())
		f.gateway.before = func(string, gateway.Request) error { cancel(); return nil }
		s, done, err := f.reconciler().Run(ctx, pipeline.NewReconcileState(time.Time{}, time.Time{}, true, 10))
		if !errors.Is(err, context.Canceled) || done || s.Report.Checked != 0 {
			t.Errorf("cancelled: done %v, %v, %s", done, err, short(s.Report))
		}
		f.gateway.before = nil
		s, done, err = f.reconciler().Run(t.Context(), s)
		if got := short(s.Report); err != nil || !done || got != "scanned 5, checked 5" {
			t.Errorf("resumed: %s, %v, %v", got, done, err)
		}
	})
}

// flawed is a store whose calls can be made to fail.
type flawed struct {
	reconcilable
	scan   func(order.ScanQuery) error
	slow   time.Duration // how long a scan takes, whatever its context
	update func(next order.Order) error
	get    func() error
}

func (s flawed) Scan(ctx context.Context, q order.ScanQuery) (order.ScanPage, error) {
	if s.scan != nil {
		if err := s.scan(q); err != nil {
			return order.ScanPage{}, err
		}
	}
	page, err := s.reconcilable.Scan(ctx, q)
	time.Sleep(s.slow)
	return page, err
}

func (s flawed) Get(ctx context.Context, ref order.Ref) (order.Order, error) {
	if s.get != nil {
		if err := s.get(); err != nil {
			return order.Order{}, err
		}
	}
	return s.reconcilable.Get(ctx, ref)
}

func (s flawed) Update(ctx context.Context, next order.Order) error {
	if s.update != nil {
		if err := s.update(next); err != nil {
			return err
		}
	}
	return s.reconcilable.Update(ctx, next)
}

// TestReconcileReadErrors: a segment that can't be read fails every run, and all other
// segments are walked meanwhile.
func TestReconcileReadErrors(t *testing.T) {
	inOffice(t, func(t *testing.T, f *office) {
		f.fill(80)
		sound := f.store
		garbled := errors.New("order x is garbled")
		f.store = flawed{reconcilable: sound, scan: func(q order.ScanQuery) error {
			if q.Segment == 3 {
				return garbled
			}
			return nil
		}}
		s, done, err := f.reconciler().Run(t.Context(), pipeline.NewReconcileState(time.Time{}, time.Time{}, false, 1000))
		if !errors.Is(err, garbled) || done || s.Report.Scanned < 40 || s.Report.Scanned == 80 {
			t.Fatalf("with a broken segment: done %v, %v, %s", done, err, short(s.Report))
		}
		same, done, err := f.reconciler().Run(t.Context(), s)
		if diff := gocmp.Diff(s, same); !errors.Is(err, garbled) || done || diff != "" {
			t.Errorf("again: done %v, %v (-before +after):\n%s", done, err, diff)
		}
		f.store = sound
		s, done, err = f.reconciler().Run(t.Context(), s)
		if err != nil || !done || s.Report.Scanned != 80 {
			t.Errorf("repaired: done %v, %v, %s", done, err, short(s.Report))
		}
	})
}

// TestReconcileSlowRead: what had been read when time ran out is not lost. Nor does a run
// change the state it was given, which may be needed again.
func TestReconcileSlowRead(t *testing.T) {
	inOffice(t, func(t *testing.T, f *office) {
		f.fill(40)
		sound := f.store
		f.store = flawed{reconcilable: sound, slow: 15 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		given := pipeline.NewReconcileState(time.Time{}, time.Time{}, true, 1000)
		text := given.Encode()
		s, done, err := f.reconciler().Run(ctx, given)
		if err != nil || done || s.Report.Scanned != 0 {
			t.Errorf("the slow run: done %v, %v, %s", done, err, short(s.Report))
		}
		f.store = sound
		s, done, err = f.reconciler().Run(t.Context(), s)
		if err != nil || !done || s.Report.Checked != 40 {
			t.Errorf("the next run: done %v, %v, %s", done, err, short(s.Report))
		}
		if got := given.Encode(); got != text {
			t.Errorf("the given state became\n%s\nfrom\n%s", got, text)
		}
	})
}

// TestReconcileRestErrors: orders that were read but not checked are not lost if they
// can't be read again.
func TestReconcileRestErrors(t *testing.T) {
	inOffice(t, func(t *testing.T, f *office) {
		f.fill(40)
		ctx, cancel := context.WithTimeout(t.Context(), 31*time.Second)
		defer cancel()
		s, done, err := f.reconciler().Run(ctx, pipeline.NewReconcileState(time.Time{}, time.Time{}, true, 5))
		if err != nil || done {
			t.Fatalf("the first run: done %v, %v", done, err)
		}
		sound := f.store
		f.store = flawed{reconcilable: sound, get: func() error { return order.ErrUnavailable }}
		s, done, err = f.reconciler().Run(t.Context(), s)
		if !errors.Is(err, order.ErrUnavailable) || done {
			t.Errorf("with a broken store: done %v, %v", done, err)
		}
		f.store = sound
		s, done, err = f.reconciler().Run(t.Context(), s)
		if err != nil || !done || s.Report.Checked != 40 {
			t.Errorf("repaired: done %v, %v, %s", done, err, short(s.Report))
		}
	})
}

// TestReconcileWriteErrors: an order that can't be settled is counted, and the walk goes
// on. One that has changed since it was read is left alone.
func TestReconcileWriteErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		update func(next order.Order) error
		want   string
	}{
		{"it can't be taken over", func(order.Order) error { return order.ErrUnavailable }, "scanned 3, errors 3"},
		{"it can't be ended", func(next order.Order) error {
			if next.Status.End() {
				return order.ErrUnavailable
			}
			return nil
		}, "scanned 3, checked 3, errors 3"},
		{"it has changed", func(next order.Order) error { return &order.ConflictError{Current: next} }, "scanned 3"},
		{"it is gone", func(order.Order) error { return order.ErrNotFound }, "scanned 3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inOffice(t, func(t *testing.T, f *office) {
				for range 3 {
					f.charge(f.create("tok_ok"))
				}
				time.Sleep(2 * time.Hour)
				sound := f.store
				f.store = flawed{reconcilable: sound, update: test.update}
				if got := short(f.reconcile(true)); got != test.want {
					t.Errorf("the report is %q, want %q", got, test.want)
				}
				f.store = sound
				time.Sleep(2 * time.Hour)
				if got := short(f.reconcile(true)); got != "scanned 3, checked 3, settled paid 3" {
					t.Errorf("the next walk: %s", got)
				}
			})
		})
	}
}

// TestReconcileAmongPayments walks again and again while orders are placed, paid and
// refunded, and while a backlog of two hours is worked off. No order is charged twice, no
// charged order becomes FAILED, and recent orders are left alone.
func TestReconcileAmongPayments(t *testing.T) {
	inOffice(t, func(t *testing.T, f *office) {
		backlog := make(map[string]bool)
		var refs []order.Ref
		tokens := []order.Token{"tok_ok", "tok_flaky_1", "tok_slow_3000", "tok_declined", "tok_timeout_not_charged"}
		for i := range 60 {
			o := f.create(tokens[i%len(tokens)])
			backlog[o.ID] = true
			refs = append(refs, o.Ref)
		}
		time.Sleep(2 * time.Hour)
		var ended atomic.Bool
		var walks sync.WaitGroup
		walks.Go(func() {
			for !ended.Load() {
				r := f.reconcile(true)
				for kind, n := range r.Differences {
					t.Errorf("%s, %d times", kind, n)
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		for i := range 40 {
			o := f.create(tokens[i%len(tokens)])
			refs = append(refs, o.Ref)
			f.poll(f.queue, f.payments.Handle, time.Second)
		}
		for _, ref := range refs {
			o := f.runToEnd(ref, time.Hour)
			if !backlog[ref.ID] && o.Status == order.Paid && ref.ID[0]%2 == 0 {
				if _, _, err := f.checkout.Refund(t.Context(), ref, "", order.RefundRequest{}); err != nil {
					t.Error(err)
				}
				f.runToEnd(ref, time.Hour)
			}
		}
		ended.Store(true)
		walks.Wait()
		failed := 0
		for i, ref := range refs {
			o := f.stored(ref)
			f.wantBooks(o, "")
			declined := tokens[i%len(tokens)] == "tok_declined"
			if o.Status == order.Failed && !declined {
				failed++
			}
			if !backlog[ref.ID] && (o.Status == order.Failed) != declined {
				t.Errorf("a recent order, with %s, is %s: %+v", tokens[i%len(tokens)], o.Status, o.Failure)
			}
		}
		t.Logf("the walk made %d orders of the backlog FAILED", failed)
	})
}

// TestReconcileState: a state written by a newer build is refused, as is any other text.
func TestReconcileState(t *testing.T) {
	begin := pipeline.NewReconcileState(time.Unix(1, 0).UTC(), time.Unix(2, 0).UTC(), true, 50)
	got, err := pipeline.ParseReconcileState(begin.Encode())
	if diff := gocmp.Diff(begin, got); err != nil || diff != "" {
		t.Errorf("round trip: %v (-want +got):\n%s", err, diff)
	}
	replaced := func(before, after string) string {
		text := strings.Replace(begin.Encode(), before, after, 1)
		if text == begin.Encode() {
			t.Fatalf("no %s in %s", before, text)
		}
		return text
	}
	for _, test := range []struct{ name, body, says string }{
		{"a newer version", replaced(`"version":1`, `"version":2`), "version 2, this build reads 1"},
		{"a newer version of another shape", `{"version":2,"segments":"many"}`, "version 2, this build reads 1"},
		{"no version", replaced(`"version":1,`, ``), "version 0"},
		{"nothing", "", "not the JSON"},
		{"a list", "[]", "not the JSON"},
		{"null", "null", "version 0"},
		{"no rate", replaced(`"ratePerSecond":50`, `"ratePerSecond":0`), "ratePerSecond"},
		{"too fast", replaced(`"ratePerSecond":50`, `"ratePerSecond":1001`), "ratePerSecond"},
		{"fewer than no messages", replaced(`"ratePerSecond":50`, `"ratePerSecond":50,"continued":-1`), "continued"},
		{"no segments", `{"version":1,"ratePerSecond":1}`, "0 segments"},
		{"too many segments", replaced(`"segments":[`, `"segments":[{},`), "17 segments"},
		{"an empty span", replaced(`00:00:02`, `00:00:01`), "from must be before to"},
	} {
		_, err := pipeline.ParseReconcileState(test.body)
		if !errors.Is(err, pipeline.ErrReconcileState) || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s: %v, want ErrReconcileState with %q", test.name, err, test.says)
		}
	}
	inOffice(t, func(t *testing.T, f *office) {
		f.paid("tok_ok")
		newer := begin
		newer.Version = 2
		s, done, err := f.reconciler().Run(t.Context(), newer)
		if !errors.Is(err, pipeline.ErrReconcileState) || done || s.Report.Scanned != 0 {
			t.Errorf("Run with a state of a newer version: %v, %v", done, err)
		}
	})
}

// TestReconcileStateFits checks that even the longest state fits into a message.
func TestReconcileStateFits(t *testing.T) {
	s := pipeline.NewReconcileState(time.Time{}, time.Time{}, true, 1000)
	tenant := strings.Repeat("x", 255)
	for i := range s.Segments {
		s.Segments[i].Cursor = strings.Repeat("x", 500)
		for range 50 {
			s.Segments[i].Rest = append(s.Segments[i].Rest, pipeline.RestOrder{Tenant: tenant, ID: order.KeyedID("t", "k")})
		}
	}
	if n := len(s.Encode()); n > queue.MaxBodyBytes/2 {
		t.Errorf("a state may take %d bytes, a message %d", n, queue.MaxBodyBytes)
	}
}

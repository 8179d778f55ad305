package figures_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"paylane/cmd/paylane/internal/figures"
	"paylane/shared/console"
	"paylane/shared/order"
	"paylane/shared/telemetry"
)

// run keeps figures until stop is called, or the test ends.
func run(t *testing.T) (f *figures.Figures, stop func()) {
	t.Helper()
	pending := 0
	f = figures.New(figures.Sources{
		Orders: func() map[order.Status]int { pending++; return map[order.Status]int{order.Pending: pending} },
		Queues: func(time.Time) []console.QueueFigures {
			return []console.QueueFigures{{Name: "payments", Visible: 3}}
		},
		Now: time.Now,
	})
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { f.Run(ctx) })
	stop = func() { cancel(); ended.Wait() }
	t.Cleanup(stop)
	return f, stop
}

func tally(counts map[telemetry.Metric]int, paidAfter ...int64) telemetry.Tally {
	return telemetry.Tally{Counts: counts, Times: map[telemetry.Metric][]int64{
		telemetry.TimeToPaid: paidAfter, telemetry.TimeToAccept: {7},
	}}
}

// TestSeconds: what happens is in the second in which it happens, beside what there is at its end.
func TestSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := run(t)
		begun := time.Now()
		all := map[telemetry.Metric]int{
			telemetry.Accepted: 1, telemetry.Paid: 2, telemetry.Declined: 3, telemetry.Unavailable: 4, telemetry.Unknown: 5,
			telemetry.Misconfigured: 6, telemetry.GaveUp: 7, telemetry.Failed: 8, telemetry.Unresolved: 9, telemetry.Reconciled: 10,
		}
		f.Take(tally(all))
		time.Sleep(1500 * time.Millisecond)
		var side sync.WaitGroup
		for range 50 {
			side.Go(func() { f.Take(tally(map[telemetry.Metric]int{telemetry.Accepted: 2})) })
		}
		side.Wait()
		time.Sleep(time.Second)
		queues := []console.QueueFigures{{Name: "payments", Visible: 3}}
		first := console.Second{
			At: begun.Add(time.Second), Accepted: 1, Paid: 2, Declined: 3, Unavailable: 4, Unknown: 5, Misconfigured: 6, GaveUp: 7, Failed: 8,
			Orders: map[order.Status]int{order.Pending: 1}, Queues: queues,
		}
		second := console.Second{At: begun.Add(2 * time.Second), Accepted: 100, Orders: map[order.Status]int{order.Pending: 2}, Queues: queues}
		if diff := cmp.Diff([]console.Second{first, second}, f.Seconds(time.Time{})); diff != "" {
			t.Errorf("all (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]console.Second{second}, f.Seconds(first.At)); diff != "" {
			t.Errorf("after the first (-want +got):\n%s", diff)
		}
	})
}

// TestPercentiles are those of ten seconds.
func TestPercentiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := run(t)
		f.Take(tally(nil, 1000))
		time.Sleep(1500 * time.Millisecond)
		for ms := int64(200); ms > 0; ms-- {
			f.Take(tally(nil, ms))
		}
		time.Sleep(11 * time.Second)
		got := f.Seconds(time.Time{})
		second := func(timed int, p50, p99 int64) console.Second {
			return console.Second{Timed: timed, P50: time.Duration(p50) * time.Millisecond, P99: time.Duration(p99) * time.Millisecond}
		}
		want := []console.Second{second(1, 1000, 1000)}
		for range 9 {
			want = append(want, second(201, 101, 199))
		}
		want = append(want, second(200, 100, 198), second(0, 0, 0))
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(console.Second{}, "At", "Orders", "Queues")); diff != "" {
			t.Errorf("the times to PAID (-want +got):\n%s", diff)
		}
	})
}

// TestKept: 15 minutes are kept.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := run(t)
		begun := time.Now()
		time.Sleep(20*time.Minute + time.Millisecond)
		got := f.Seconds(time.Time{})
		if len(got) != 900 || !got[0].At.Equal(begun.Add(5*time.Minute+time.Second)) || !got[899].At.Equal(begun.Add(20*time.Minute)) {
			t.Errorf("%d seconds from %v to %v are kept", len(got), got[0].At.Sub(begun), got[len(got)-1].At.Sub(begun))
		}
	})
}

// TestWait: whoever waits does so until there is another second, its own context ends, or all does.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, stop := run(t)
		begun := time.Now()
		for n := range 3 {
			last := begun.Add(time.Duration(n) * time.Second)
			if err := f.Wait(t.Context(), last); err != nil || time.Since(last) != time.Second {
				t.Errorf("waited for second %d until %v after it, %v", n, time.Since(last), err)
			}
		}
		if err := f.Wait(t.Context(), begun); err != nil || time.Since(begun) != 3*time.Second {
			t.Errorf("for what is there: waited until %v, %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := f.Wait(ctx, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that ended: %v", err)
		}
		ended := make(chan error)
		go func() { ended <- f.Wait(t.Context(), time.Now().Add(time.Hour)) }()
		synctest.Wait()
		stop()
		if err := <-ended; err == nil {
			t.Error("at the end: no error")
		}
		if err := f.Wait(t.Context(), begun); err == nil {
			t.Error("after the end: no error")
		}
	})
}

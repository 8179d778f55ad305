// Package figures keeps the figures of a running system, second by second, for the console's board.
//
// What happens is added up as invocations end; once a second the sum is closed, and what can only
// be looked at, such as the depth of queues, is looked at. So the cost of an order is an addition,
// and everything else is the same however many there are.
package figures

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"paylane/shared/console"
	"paylane/shared/order"
	"paylane/shared/telemetry"
)

// kept is how many seconds are kept, and window of how many the times to PAID are compared.
const (
	kept   = 15 * 60
	window = 10
)

// Sources are what is looked at once a second.
type Sources struct {
	Orders func() map[order.Status]int
	Queues func(now time.Time) []console.QueueFigures
	Now    func() time.Time
}

// Figures is a [console.Board]. Its methods may be called concurrently.
type Figures struct {
	Sources

	mu      sync.Mutex
	open    console.Second  // what is added to
	times   [window][]int64 // milliseconds to PAID, of the open second and those before; reused
	current int             // in times
	seconds []console.Second
	more    chan struct{} // closed when there is another second, or the end
	ended   bool
}

var _ console.Board = (*Figures)(nil)

// New returns figures that [Figures.Run] must keep.
func New(s Sources) *Figures { return &Figures{Sources: s, more: make(chan struct{})} }

// Take adds what happened in an invocation.
func (f *Figures) Take(t telemetry.Tally) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for metric, n := range t.Counts {
		if sum := counter(&f.open, metric); sum != nil {
			*sum += n
		}
	}
	f.times[f.current] = append(f.times[f.current], t.Times[telemetry.TimeToPaid]...)
}

// counter returns where a metric is counted; nil if it is not shown.
func counter(s *console.Second, m telemetry.Metric) *int {
	switch m {
	case telemetry.Accepted:
		return &s.Accepted
	case telemetry.Paid:
		return &s.Paid
	case telemetry.Declined:
		return &s.Declined
	case telemetry.Unavailable:
		return &s.Unavailable
	case telemetry.Unknown:
		return &s.Unknown
	case telemetry.Misconfigured:
		return &s.Misconfigured
	case telemetry.GaveUp:
		return &s.GaveUp
	case telemetry.Failed:
		return &s.Failed
	case telemetry.Unresolved, telemetry.Differences, telemetry.Reconciled, telemetry.TimeToAccept, telemetry.TimeToPaid:
	}
	return nil
}

// Run closes a second each second until the context ends. Then nobody waits any longer.
func (f *Figures) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var times []int64
	for {
		select {
		case <-ctx.Done():
			f.mu.Lock()
			defer f.mu.Unlock()
			f.ended = true
			close(f.more)
			return
		case <-ticker.C:
			times = f.close(times[:0])
		}
	}
}

// close closes the open second. It returns the space that it sorted times in, for the next.
func (f *Figures) close(times []int64) []int64 {
	now := f.Now().Truncate(time.Millisecond) // as finely as the board names it
	orders, queues := f.Orders(), f.Queues(now)
	f.mu.Lock()
	s := f.open
	f.open = console.Second{}
	for _, some := range f.times {
		times = append(times, some...)
	}
	f.current = (f.current + 1) % window
	f.times[f.current] = f.times[f.current][:0]
	f.mu.Unlock()

	slices.Sort(times) // while invocations go on
	s.At, s.Orders, s.Queues, s.Timed = now, orders, queues, len(times)
	s.P50, s.P99 = percentile(times, 50), percentile(times, 99)

	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seconds) == kept {
		f.seconds = slices.Delete(f.seconds, 0, 1)
	}
	f.seconds = append(f.seconds, s)
	close(f.more)
	f.more = make(chan struct{})
	return times
}

// percentile returns the smallest of sorted milliseconds that p percent don't exceed; 0 of none.
func percentile(sorted []int64, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return time.Duration(sorted[(len(sorted)*p+99)/100-1]) * time.Millisecond
}

// Seconds implements [console.Board].
func (f *Figures) Seconds(after time.Time) []console.Second {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seconds[f.next(after):])
}

// next returns where the seconds after a time begin.
func (f *Figures) next(after time.Time) int {
	n := len(f.seconds)
	for n > 0 && f.seconds[n-1].At.After(after) {
		n--
	}
	return n
}

var errEnded = errors.New("the program is ending")

// Wait implements [console.Board].
func (f *Figures) Wait(ctx context.Context, after time.Time) error {
	for {
		f.mu.Lock()
		there, more, ended := f.next(after) < len(f.seconds), f.more, f.ended
		f.mu.Unlock()
		switch {
		case ended:
			return errEnded
		case there:
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

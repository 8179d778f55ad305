package awscall_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/awscall"
)

// TestPause: pauses double from 50 ms up to a second, and jitter decides how much of one is
// waited.
func TestPause(t *testing.T) {
	for try, want := range map[int]time.Duration{
		1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 5: 800 * time.Millisecond, 6: time.Second, 9: time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := awscall.NewRetryer(func(error) bool { return true }, func(n int) int { return n / 2 })
			start := time.Now()
			if !r.Pause(t.Context(), try) || time.Since(start) != want/2 {
				t.Errorf("after try %d it paused for %v, want half of %v", try, time.Since(start), want)
			}
			delay, err := r.RetryDelay(try, errors.New("throttled"))
			if err != nil || delay != want/2 {
				t.Errorf("the delay after try %d is %v, %v, want half of %v", try, delay, err, want)
			}
		})
	}
}

// TestPauseWithinDeadline: nobody waits for what comes too late.
func TestPauseWithinDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		r := awscall.NewRetryer(func(error) bool { return true }, func(n int) int { return n - 1 })
		start := time.Now()
		if r.Pause(ctx, 1) || time.Since(start) != 0 {
			t.Errorf("it paused for %v", time.Since(start))
		}
		if _, err := r.GetRetryToken(ctx, errors.New("throttled")); err == nil {
			t.Error("a retry is allowed that would come too late")
		}
	})
}

package job_test

import (
	"testing"
	"time"

	"paylane/shared/job"
)

// TestBackoff: the ceiling doubles from one second to 15 minutes, and jitter is full.
func TestBackoff(t *testing.T) {
	most := func(n int) int { return n - 1 }
	least := func(int) int { return 0 }
	for receives, ceiling := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second,
		10: 512 * time.Second, 11: 15 * time.Minute, 12: 15 * time.Minute, 1_000_000: 15 * time.Minute,
	} {
		if got := job.Backoff(receives, most); got != ceiling {
			t.Errorf("after %d receives it is %v at most, want %v", receives, got, ceiling)
		}
		if got := job.Backoff(receives, least); got != time.Second {
			t.Errorf("after %d receives it is %v at least, want a second", receives, got)
		}
	}
}

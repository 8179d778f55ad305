package apigateway

import (
	"sync"
	"time"

	"paylane/shared/emulator/template"
)

// bucket is the token bucket of a throttled route ("Throttle requests to your HTTP
// APIs"): it holds as many tokens as the burst, fills at the rate, and each request
// takes one. It is safe for concurrent use.
//
// It is not golang.org/x/time/rate's, which lets its clock go back where callers have
// read theirs in another order than they come, and then fills the same time twice.
type bucket struct {
	limit template.Throttle
	now   func() time.Time

	mu     sync.Mutex
	tokens float64
	filled time.Time // up to when
}

// newBucket gives a full one, or nil where there is no limit.
func newBucket(limit *template.Throttle, now func() time.Time) *bucket {
	if limit == nil {
		return nil
	}
	b := &bucket{limit: *limit, now: now, filled: now()}
	if limit.Rate > 0 || !zeroRateRefusesAll {
		b.tokens = float64(limit.Burst)
	}
	return b
}

// take takes a token, and says whether there was one.
func (b *bucket) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if passed := now.Sub(b.filled); passed > 0 { // it is not when the clock was set back
		b.tokens = min(float64(b.limit.Burst), b.tokens+passed.Seconds()*b.limit.Rate)
		b.filled = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

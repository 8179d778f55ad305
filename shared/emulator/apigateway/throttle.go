package apigateway

import (
	"sync"
	"time"

	"paylane/shared/emulator/template"
)

// throttled reports whether a request exceeds its route's limit; if it does not, it takes
// a token.
//
// Each route has its own bucket, even if only the stage's default limits it: AWS
// documents this for REST APIs ("limits are applied at the API method level for a
// stage", api-gateway-request-throttling), and HTTP APIs have the same setting by route.
//
// The bucket comes before the authorizer, which never sees a refused request (AWS
// re:Post, "Client API throttling in API Gateway"): a flood of bad tokens costs no
// signature checks. A preflight counts against the route for OPTIONS, whose authorizer
// checks it too. A request without a route has no bucket.
func throttled(r *route) bool { return r != nil && r.bucket != nil && !r.bucket.take() }

// bucket is the token bucket of a throttled route ("Throttle requests to your HTTP
// APIs"): it holds as many tokens as the burst, fills at the rate, and each request
// takes one. It is safe for concurrent use.
//
// golang.org/x/time/rate would let its clock go back when callers arrive in another order
// than they read theirs, and would then fill the bucket twice for the same time.
type bucket struct {
	limit template.Throttle
	now   func() time.Time

	mu     sync.Mutex
	tokens float64
	filled time.Time // when it was last filled
}

// newBucket returns a full bucket, or nil if there is no limit.
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

// take takes a token and reports whether there was one.
func (b *bucket) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if passed := now.Sub(b.filled); passed > 0 { // not if the clock was set back
		b.tokens = min(float64(b.limit.Burst), b.tokens+passed.Seconds()*b.limit.Rate)
		b.filled = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

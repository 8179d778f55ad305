package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// fault is a kind of thing that goes wrong.
type fault int

const (
	// Of calls of the store and of queues.
	throttled    fault = iota // refused, and nothing happened
	requestLost               // it never arrives, and its sender learns so
	responseLost              // it happened, and its sender does not learn so
	repeated                  // the SDK repeats what had succeeded
	lateEffect                // its sender gave up, and then it happens
	slow                      // it takes seconds
	panics                    // the code panics at it
	halfBatch                 // some messages of a batch are not sent
	// Of environments.
	crashes
	freezes
	// Of invocations.
	throttledInvocation
	garbledResult // a failure list that is empty, null, unknown, or says a thing twice
	// Of queues.
	redelivered // delivered again though it is hidden
	revived     // delivered again though it was deleted
	reordered
	poison
	backlog     // nothing is received for long
	deadLetters // messages reach the dead-letter queue early, and come back
	// Of the gateway.
	unavailable
	noAnswer
	storedError
	slowGateway
	silent // Resolve can't say
	// Of clients.
	clientGone
	skewed // clocks of environments are apart
	// Of the servers behind webhooks.
	receiverFails
	// Of the machine with the embedded store.
	powerLoss
	// Of the table.
	expires // the retention of orders ends
	// Of operators.
	reconciles // somebody reconciles in the middle of everything
	restores   // the table goes back to an earlier point
	deploys    // a new build beside the old one
	faults
)

func (f fault) String() string {
	return [...]string{
		"throttled", "request-lost", "response-lost", "repeated", "late-effect", "slow", "panics", "half-batch", "crashes", "freezes",
		"throttled-invocation", "garbled-result", "redelivered", "revived", "reordered", "poison", "backlog", "dead-letters",
		"unavailable", "no-answer", "stored-error", "slow-gateway", "silent", "client-gone", "skewed", "receiver-fails", "power-loss", "expires",
		"reconciles", "restores", "deploys",
	}[f]
}

// weights are how often each fault happens, from 0 to 1, at each occasion.
type weights struct {
	of [faults]float64
	// off is set at the end of a run, when everything must come to its end.
	off atomic.Bool
}

// drawFaults draws which kinds of faults a run has, and how often. About half of the kinds are not
// there at all: what one kind hides, a run without it finds.
func drawFaults(rng *rand.Rand) *weights {
	w := &weights{}
	calm := rng.IntN(10) == 0
	for f := range faults {
		often := []float64{0.002, 0.01, 0.03, 0.1, 0.3}[rng.IntN(5)]
		if f == crashes || f == freezes || f == reconciles {
			often /= 10 // at each step, or each of many steps
		}
		if f == lateEffect {
			often = min(1, often*10) // of what was lost
		}
		if rng.IntN(2) == 0 && !calm {
			w.of[f] = often
		}
	}
	return w
}

// hits draws whether a fault happens.
func (w *weights) hits(rng *rand.Rand, f fault) bool {
	return !w.off.Load() && w.of[f] > 0 && rng.Float64() < w.of[f]
}

// String lists the kinds of faults of a run.
func (w *weights) String() string {
	var some []string
	for f := range faults {
		if w.of[f] > 0 {
			some = append(some, fmt.Sprintf("%v %g", f, w.of[f]))
		}
	}
	return strings.Join(some, ", ")
}

// How long things usually take at most.
const (
	invokeTakes  = 20 * time.Millisecond
	storeTakes   = 10 * time.Millisecond
	queueTakes   = 20 * time.Millisecond
	gatewayTakes = 60 * time.Millisecond
	clientTakes  = 50 * time.Millisecond
)

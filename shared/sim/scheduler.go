package sim

import (
	"cmp"
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"
)

// scheduler has one thing happen at a time. Whatever would do something that others can see (a
// request to a store, an answer on its way back, the start of an invocation) awaits its turn.
// Between two turns the scheduler waits until every goroutine of the run is blocked, sorts those
// that came to await one, and draws for each how long it takes. So the order in which goroutines
// happen to run decides nothing, and the seed everything.
type scheduler struct {
	rng *rand.Rand
	// before is called before each turn, while nothing else runs. It returns false to end the run.
	before func() bool
	// strike decides whether an environment is struck at this turn of one of its calls.
	strike func(*environment)

	mu    sync.Mutex
	fresh []*call
	wake  chan struct{}

	waiting []*call
	turns   int
	// busy is how many effects are under way: those of the embedded store wait for its log.
	busy atomic.Int32
}

// effect has an effect come to its end before anybody else's turn.
func (s *scheduler) effect(do func() error) error {
	s.busy.Add(1)
	defer s.busy.Add(-1)
	return do()
}

// call is one that awaits its turn.
type call struct {
	ctx context.Context //nolint:containedctx // the call's own
	env *environment    // whose call it is; nil for what can't crash
	key string
	// takes is the longest that it usually takes.
	takes time.Duration
	ready time.Time
	turn  chan turn
}

// turn is what a call gets.
type turn struct {
	// err is that of the call's context, if it ended first.
	err error
	// rng is for what the call decides until it awaits the next turn.
	rng *rand.Rand
	// over has the goroutine end here: its process is gone.
	over bool
}

func newScheduler(rng *rand.Rand) *scheduler {
	return &scheduler{rng: rng, wake: make(chan struct{}, 1)}
}

// await blocks until it is the call's turn. The key tells it from all others that may await one at
// the same time.
func (s *scheduler) await(ctx context.Context, key string, takes time.Duration) turn {
	env := environmentOf(ctx)
	if env != nil && env.crashed.Load() {
		runtime.Goexit()
	}
	c := &call{ctx: ctx, env: env, key: identity(ctx) + key, takes: takes, turn: make(chan turn, 1)}
	s.mu.Lock()
	s.fresh = append(s.fresh, c)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	t := <-c.turn
	if t.over {
		runtime.Goexit()
	}
	return t
}

// run gives turns until before returns false, or nothing is left that could happen.
func (s *scheduler) run() {
	for {
		synctest.Wait()
		if s.busy.Load() > 0 {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		s.adopt()
		if !s.before() {
			return
		}
		now := time.Now()
		next, at := s.next(now)
		if next == nil || at.After(now) {
			s.rest(next, at)
			continue
		}
		s.turns++
		s.waiting = slices.DeleteFunc(s.waiting, func(c *call) bool { return c == next })
		if next.env != nil {
			s.strike(next.env)
			switch {
			case next.env.crashed.Load():
				next.turn <- turn{over: true}
				continue
			case next.env.frozen.After(now):
				s.waiting = append(s.waiting, next)
				continue
			}
		}
		next.turn <- turn{err: next.ctx.Err(), rng: rand.New(rand.NewPCG(s.rng.Uint64(), 0))}
	}
}

// adopt takes in the calls that came since the last turn.
func (s *scheduler) adopt() {
	s.mu.Lock()
	fresh := s.fresh
	s.fresh = nil
	s.mu.Unlock()
	slices.SortFunc(fresh, func(a, b *call) int { return cmp.Compare(a.key, b.key) })
	now := time.Now()
	for _, c := range fresh {
		// No two wake-ups at one instant.
		c.ready = now.Add(c.takes/10 + time.Duration(s.rng.Int64N(int64(c.takes)+1)) + time.Duration(1+s.rng.Int64N(999)))
	}
	s.waiting = append(s.waiting, fresh...)
}

// next returns the call whose turn is next, and when.
func (s *scheduler) next(now time.Time) (next *call, at time.Time) {
	for _, c := range s.waiting {
		ready := c.ready
		switch deadline, ok := c.ctx.Deadline(); {
		case c.env != nil && c.env.crashed.Load(), c.ctx.Err() != nil:
			ready = now
		case ok && deadline.Before(ready):
			ready = deadline
		}
		if c.env != nil && !c.env.crashed.Load() && c.env.frozen.After(ready) {
			ready = c.env.frozen
		}
		if next == nil || ready.Before(at) {
			next, at = c, ready
		}
	}
	return next, at
}

// lookEvery is how long nothing need happen before the invariants are looked at again.
const lookEvery = 10 * time.Minute

// rest waits until it is a call's turn, or another call comes.
func (s *scheduler) rest(next *call, at time.Time) {
	wait := lookEvery
	if next != nil {
		wait = min(wait, time.Until(at))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake:
	}
}

type (
	environmentKey struct{}
	identityKey    struct{}
)

// environmentOf returns the environment in which a context's call is made; nil if it is in none.
func environmentOf(ctx context.Context) *environment {
	e, _ := ctx.Value(environmentKey{}).(*environment)
	return e
}

// named returns a context of an actor with that name.
func named(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, identityKey{}, name)
}

// identity names a context's actor, and the record that it is about.
func identity(ctx context.Context) string {
	name, _ := ctx.Value(identityKey{}).(string)
	if record := recordOf(ctx); record != "" {
		return name + " " + record + " "
	}
	return name + " "
}

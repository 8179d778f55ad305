// Package sim runs the whole of paylane under faults, in virtual time, from one seed: the real
// handlers, pipeline and event source mappings, between callers that misbehave as real ones may and
// models of what is outside (see [paylane/shared/sim/model]). Start reading at [Run].
//
// # One thing at a time
//
// Whatever others can see, such as a request that arrives, an answer that comes back or an
// invocation that starts, awaits its turn at the scheduler (scheduler.go). Between two turns every
// goroutine is blocked; then the scheduler draws, from the seed alone, what takes how long, and so
// what comes next. Time stands still during a turn. testing/synctest fakes time, not order: without
// this, goroutines that wake at one instant would run in any. One seed gives one trace, byte for
// byte.
//
// # What goes wrong
//
// Each run draws which kinds of faults there are, and how often (faults.go): about half of them are
// not there at all, since what one kind hides, a run without it finds. When the callers are done
// the faults end, and everything must come to its end.
//
// # What must hold
//
// The invariants are looked at after each step (checks.go). They share no rule with the code that
// they check: where an order may go, what makes a charge one too many, and which message an order
// needs are written down again.
package sim

package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/emulator/template"
	"paylane/shared/order"
	"paylane/shared/sim/reference"
)

// Config is what a run is made of, besides its seed.
type Config struct {
	// Template is what runs; see [ReadTemplate].
	Template *template.Template
	// Attempts is how often it charges an order at most, in one round.
	Attempts int
	// Embedded has orders and messages in the embedded store, on a disk that forgets what was not
	// synced, instead of the models of DynamoDB and SQS.
	Embedded bool
	// Calm leaves out all faults, and every action that another client's could come before: how
	// orders end then follows from the seed alone.
	Calm bool
	// Without are kinds of faults that are left out, and Omit numbers of the clients' actions, as
	// when a failing run is made smaller.
	Without []fault
	Omit    map[int]bool
}

// Leave leaves out a kind of fault, by its name. It returns false if there is none of that name.
func (c *Config) Leave(name string) bool {
	for f := range faults {
		if f.String() == name {
			c.Without = append(slices.Clip(c.Without), f)
			return true
		}
	}
	return false
}

// Left names the kinds of faults that are left out, with commas.
func (c *Config) Left() string {
	names := make([]string, len(c.Without))
	for i, f := range c.Without {
		names[i] = f.String()
	}
	return strings.Join(names, ",")
}

// Result is what came of a run.
type Result struct {
	// Failure is the invariant that did not hold; empty if all did.
	Failure string
	// Rule names it.
	Rule string
	// Trace is everything that happened, line by line.
	Trace []byte
	// Steps is how many turns there were.
	Steps int
	// Orders is how many there were, by their ends.
	Orders map[order.Status]int
	// Ends is how each order ended, by the tenant and what its metadata says of it.
	Ends map[string]string
	// Took is how much virtual time passed.
	Took   time.Duration
	Faults string
	// Undecided reports that a history took too long to judge.
	Undecided bool
	Actions   []int
}

// settleWithin is how long after the last fault everything must have come to its end: the longest
// that anything rests (the wait for a dead letter's queue, a backoff of 15 minutes), a few times.
const settleWithin = 3 * time.Hour

// maxSteps is more than any run needs.
const maxSteps = 50_000

// linearizableWithin is how long an order's history may take to be judged; some would take longer
// than anybody waits, and are left undecided.
const linearizableWithin = 2 * time.Second

// Run runs one seed in a bubble of virtual time.
func Run(t *testing.T, seed uint64, c Config) (r Result) {
	t.Helper()
	var history *reference.History
	synctest.Test(t, func(t *testing.T) {
		w, err := build(c, seed)
		if err != nil {
			t.Fatal(err)
		}
		r = w.run()
		history = w.history
	})
	if r.Failure == "" {
		// Outside the bubble, for it takes real time.
		err := reference.Check(history, linearizableWithin, "")
		if err != nil && !errors.Is(err, reference.ErrUndecided) {
			r.Rule, r.Failure = "linearizability", "linearizability: "+err.Error()
		}
		r.Undecided = err != nil && r.Failure == ""
	}
	return r
}

func (w *world) run() Result {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	err := w.poll(ctx)
	if err == nil && w.hooks {
		err = errors.Join(w.register(ctx), w.stream(ctx))
	}
	if err != nil {
		return Result{Failure: err.Error(), Rule: "build"}
	}
	clients, actions := plan(w.seed, w.rng, w.config)
	spread := []time.Duration{200 * time.Millisecond, 5 * time.Second, 2 * time.Minute}[w.rng.IntN(3)]
	r := Result{Faults: w.faults.String()}
	for i := range clients {
		c := &client{world: w, number: i, name: "client " + strconv.Itoa(i), tenant: []string{"acme", "zenith"}[i%2]}
		var own []action
		for _, a := range actions {
			if a.client == i {
				own = append(own, a)
			}
		}
		w.clients = append(w.clients, c)
		w.ghosts.Go(func() { c.act(named(ctx, c.name), own, spread) })
	}
	for _, a := range actions {
		r.Actions = append(r.Actions, a.number)
	}
	w.ghosts.Go(func() { w.chaos(ctx) })
	w.scheduler.run()
	if w.checks.failure == nil {
		w.checks.final(ctx, w.inner)
	}
	r.Steps, r.Took = w.turns, time.Since(w.began)
	r.Orders, r.Ends = map[order.Status]int{}, map[string]string{}
	for _, o := range w.checks.last {
		r.Orders[o.Status]++
		r.Ends[o.Tenant+" "+o.Metadata["key"]] = fmt.Sprintf("%s, %d %s, %d attempts", o.Status, o.Total.Amount, o.Total.Currency, o.Charge.Count())
	}
	if f := w.checks.failure; f != nil {
		r.Failure, r.Rule = f.String(), f.rule
	}
	r.Trace = w.trace.Bytes()
	stop()
	w.end()
	return r
}

// look is what happens between two steps. It returns false at the run's end.
func (w *world) look() bool {
	if w.changed {
		w.changed = false
		w.checks.look()
	}
	if w.turns > maxSteps {
		w.checks.fail("liveness", "no end after %d steps", w.turns)
	}
	if w.checks.failure != nil {
		return false
	}
	switch {
	case w.calmSince.IsZero():
		for _, c := range w.clients {
			if !c.done {
				return true
			}
		}
		w.calm()
	case !w.probing && w.late == 0 && w.checks.atEnd():
		return false
	case time.Since(w.calmSince) > settleWithin:
		return false // the last checks say what is missing
	}
	return true
}

// calm ends all faults.
func (w *world) calm() {
	w.tell(context.Background(), "the faults end")
	w.calmSince = time.Now()
	w.faults.off.Store(true)
	w.hold()
	for _, f := range w.functions {
		for _, e := range f.environments {
			e.frozen = time.Time{}
		}
	}
	w.probing = true
	if w.snapshot != nil {
		w.hold("PaymentQueue", "PaymentDLQ")
		w.crash()
	}
	w.ghosts.Go(func() {
		// What was frozen goes on at this instant.
		w.await(named(context.Background(), "operator"), "after the faults", time.Second)
		switch {
		case w.snapshot != nil:
			w.restore()
		case w.faults.of[expires] > 0 && w.table != nil && !w.hooks:
			w.expire()
		}
		for _, tenant := range []string{"acme", "zenith"} {
			c := &client{world: w, number: len(w.clients), name: "probe", tenant: tenant}
			c.probe(named(context.Background(), "probe"))
		}
		w.probing = false
	})
}

// crash ends all processes.
func (w *world) crash() {
	for _, f := range w.functions {
		for _, e := range f.environments {
			e.crash()
		}
	}
}

// end has every goroutine of the run end.
func (w *world) end() {
	close(w.closed)
	w.crash()
	over := make(chan struct{})
	go func() {
		w.pollers.Wait()
		w.running.Wait()
		w.ghosts.Wait()
		if w.machine != nil {
			_ = w.machine.db.Close()
		}
		close(over)
	}()
	for {
		synctest.Wait()
		w.adopt()
		for _, c := range w.waiting {
			c.turn <- turn{over: true}
		}
		w.waiting = nil
		select {
		case <-over:
			return
		case <-w.wake:
		}
	}
}

// Shrink looks for a smaller run that fails by the same rule: without kinds of faults, and without
// actions of clients. It returns the smallest that it finds.
func Shrink(t *testing.T, seed uint64, c Config, failed Result) (Config, Result) {
	t.Helper()
	try := func(smaller Config) {
		if r := Run(t, seed, smaller); r.Rule == failed.Rule {
			c, failed = smaller, r
		}
	}
	for f := range faults {
		smaller := c
		if !slices.Contains(c.Without, f) && strings.Contains(failed.Faults, f.String()) {
			smaller.Without = append(slices.Clip(c.Without), f)
			try(smaller)
		}
	}
	for _, n := range slices.Clone(failed.Actions) {
		smaller := c
		smaller.Omit = maps.Clone(c.Omit)
		if smaller.Omit == nil {
			smaller.Omit = map[int]bool{}
		}
		smaller.Omit[n] = true
		try(smaller)
	}
	return c, failed
}

package schedule

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"paylane/shared/emulator/asyncinvoke"
	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/schedule/expression"
	"paylane/shared/emulator/template"
	"paylane/shared/internal/pause"
)

// Config is what schedules need.
type Config struct {
	// Template comes from [template.Read]. Its Schedules, account and region are used.
	Template *template.Template
	// Functions are the invokers by the functions' logical ids.
	Functions map[string]*asyncinvoke.Invoker
	// Now is the clock; nil is time.Now. It must keep pace with the time package's
	// timers.
	Now func() time.Time
	// Random is the source of ids; nil is crypto/rand. It must not fail, and must be
	// safe for concurrent use.
	Random io.Reader
	// Logger records each event that was not accepted; nil discards it.
	Logger *slog.Logger
}

// Scheduler follows a template's schedules.
type Scheduler struct {
	template  *template.Template
	schedules []one
	now       func() time.Time
	random    io.Reader
	logger    *slog.Logger
}

// one is a schedule, parsed.
type one struct {
	template.Schedule
	expression expression.Expression
	location   *time.Location
	function   *asyncinvoke.Invoker
}

// New returns a scheduler of the schedules that are enabled. The error names one that has
// no function in c.Functions, or that [template.Read] would refuse.
func New(c Config) (*Scheduler, error) {
	s := &Scheduler{
		template: c.Template, now: aws.DefaultNow(c.Now), random: aws.DefaultRandom(c.Random), logger: aws.DefaultLogger(c.Logger),
	}
	for _, described := range c.Template.Schedules {
		if !described.Enabled {
			continue
		}
		o := one{Schedule: described, function: c.Functions[described.Function]}
		parse := expression.ParseSchedule
		if described.Rule {
			parse = expression.ParseRule
		}
		var err error
		if o.expression, err = parse(described.Expression); err != nil {
			return nil, fmt.Errorf("schedule %s: %w", described.LogicalID, err)
		}
		if o.location, err = expression.Location(described.Timezone); err != nil {
			return nil, fmt.Errorf("schedule %s: %w", described.LogicalID, err)
		}
		if o.function == nil {
			return nil, fmt.Errorf("schedule %s: the function %s has no invoker", described.LogicalID, described.Function)
		}
		s.schedules = append(s.schedules, o)
	}
	return s, nil
}

// Run invokes the functions at each occurrence until ctx ends or no occurrence is left.
// It does not wait for the invocations.
func (s *Scheduler) Run(ctx context.Context) {
	var schedules sync.WaitGroup
	for _, o := range s.schedules {
		schedules.Go(func() { s.follow(ctx, o) })
	}
	schedules.Wait()
}

// follow waits for each occurrence of one schedule. After a wait that took far too long
// because the machine slept, the occurrences missed in between are skipped.
func (s *Scheduler) follow(ctx context.Context, o one) {
	began := s.wall()
	for next, ok := o.first(began); ok && s.wait(ctx, next); {
		if _, err := o.function.Invoke(s.event(o, next)); err != nil {
			s.logger.ErrorContext(ctx, "a schedule's event was not accepted", "schedule", o.LogicalID, "error", err)
		}
		after := next
		if now := s.wall(); now.After(after) {
			after = now
		}
		next, ok = o.next(began, after)
	}
}

// first returns the first occurrence of a schedule that was created at a given time. A
// rule counts its rate from then on; a schedule with a rate occurs at its StartDate or at
// once.
func (o one) first(created time.Time) (time.Time, bool) {
	after := created
	if !o.Rule && !o.expression.Once() {
		if o.Start.After(after) {
			after = o.Start
		}
		after = after.Add(-time.Nanosecond)
	}
	return o.next(created, after)
}

// next returns the first occurrence after a given time, between StartDate and EndDate.
// Scheduler ignores both for a schedule that occurs once.
func (o one) next(created, after time.Time) (time.Time, bool) {
	start := created
	if !o.Start.IsZero() {
		start = o.Start
	}
	next, ok := o.expression.Next(start, after.In(o.location))
	if ok && !o.End.IsZero() && !o.expression.Once() && next.After(o.End) {
		return time.Time{}, false
	}
	return next, ok
}

// wall returns the wall clock's time, without the monotonic clock, which may stand still
// while a machine sleeps.
func (s *Scheduler) wall() time.Time { return s.now().Round(0) }

// wait waits until a given time, and reports whether it came before ctx ended. It checks
// the wall clock every minute, since timers notice neither a machine's sleep nor a change
// of its clock.
func (s *Scheduler) wait(ctx context.Context, until time.Time) bool {
	for left := until.Sub(s.wall()); left > 0; left = until.Sub(s.wall()) {
		if pause.For(ctx, min(left, time.Minute)) != nil {
			return false
		}
	}
	return ctx.Err() == nil
}

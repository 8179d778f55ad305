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
)

// Config is what schedules need.
type Config struct {
	// Template is one of [template.Read]: its Schedules, account and region count.
	Template *template.Template
	// Functions take the events, by the function's logical id.
	Functions map[string]*asyncinvoke.Invoker
	// Now is the clock; nil is time.Now. Only one that keeps pace with the time
	// package's timers makes sense.
	Now func() time.Time
	// Random is the source of ids; nil is crypto/rand. It must not fail, and must be
	// safe for concurrent use.
	Random io.Reader
	// Logger gets a line for each event that is not taken; nil is none.
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

// one is a schedule with what was made of its texts.
type one struct {
	template.Schedule
	expression expression.Expression
	place      *time.Location
	function   *asyncinvoke.Invoker
}

// New makes a scheduler of the schedules that are enabled. The error names one that has
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
		var err error
		if o.expression, err = expression.Parse(described.Expression); err != nil {
			return nil, fmt.Errorf("schedule %s: %w", described.LogicalID, err)
		}
		if o.place, err = expression.Location(described.Timezone); err != nil {
			return nil, fmt.Errorf("schedule %s: %w", described.LogicalID, err)
		}
		if o.function == nil {
			return nil, fmt.Errorf("schedule %s: there is no function %s", described.LogicalID, described.Function)
		}
		s.schedules = append(s.schedules, o)
	}
	return s, nil
}

// Run invokes the functions at each occurrence until ctx ends, or nothing occurs any
// more. The invocations are the functions' own: Run does not wait for them.
func (s *Scheduler) Run(ctx context.Context) {
	var schedules sync.WaitGroup
	for _, o := range s.schedules {
		schedules.Go(func() { s.follow(ctx, o) })
	}
	schedules.Wait()
}

// follow waits for each occurrence of one schedule. After a wait that took far too long,
// because the machine slept, what was missed in between is left out.
func (s *Scheduler) follow(ctx context.Context, o one) {
	began := s.wall()
	for next, ok := o.first(began); ok && s.wait(ctx, next); {
		if _, err := o.function.Invoke(s.event(o, next)); err != nil {
			s.logger.ErrorContext(ctx, "a schedule's event was not taken", "schedule", o.LogicalID, "error", err)
		}
		after := next
		if now := s.wall(); now.After(after) {
			after = now
		}
		next, ok = o.next(began, after)
	}
}

// first is the first occurrence of a schedule that was created at a time. A rule counts
// its rate from then on; a schedule begins with an occurrence of it, at StartDate or at
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

// next is the first occurrence after a time, within StartDate and EndDate. Scheduler
// ignores both for a schedule that occurs once.
func (o one) next(created, after time.Time) (time.Time, bool) {
	start := created
	if !o.Start.IsZero() {
		start = o.Start
	}
	next, ok := o.expression.Next(start, after.In(o.place))
	if ok && !o.End.IsZero() && !o.expression.Once() && next.After(o.End) {
		return time.Time{}, false
	}
	return next, ok
}

// wall is the wall clock's time, without the clock of timers that may stand still while
// a machine sleeps.
func (s *Scheduler) wall() time.Time { return s.now().Round(0) }

// wait waits until a time, or says that ctx ended first. It looks at the wall clock each
// minute, since timers don't see a machine's sleep, nor that its clock was put right.
func (s *Scheduler) wait(ctx context.Context, until time.Time) bool {
	for {
		left := until.Sub(s.wall())
		if left <= 0 {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(min(left, time.Minute))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

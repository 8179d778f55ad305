// Package schedule invokes functions by the clock, as EventBridge does for a template's
// Schedule events (rules) and ScheduleV2 events (EventBridge Scheduler). [New] takes a
// template's schedules, and [Scheduler.Run] follows them until its context ends. Package
// expression says when they occur.
//
// Each occurrence gives the function one event, asynchronously (package asyncinvoke):
// EventBridge's own (event.go), or the schedule's Input. Occurrences don't wait for each
// other, so a function may run several times at once.
//
// # What differs from AWS
//
// A schedule is created when Run begins. So rate(1 day) without a StartDate invokes at
// every start of a runner, and a rule with it a day after each; a cron expression, or a
// StartDate, does not depend on that. What occurs while no runner runs is missed. An
// occurrence comes in its first second, where AWS takes up to a minute.
package schedule

// Package schedule invokes functions by the clock, as EventBridge does for a template's
// Schedule events (rules) and ScheduleV2 events (EventBridge Scheduler). [New] takes a
// template's schedules, and [Scheduler.Run] follows them until its context ends. Package
// expression computes when they occur.
//
// Each occurrence invokes the function asynchronously (package asyncinvoke) with one
// event: EventBridge's own (event.go), or the schedule's Input. Occurrences don't wait
// for each other, so a function may run several times at once.
//
// # What differs from AWS
//
// A schedule is created when Run begins. So rate(1 day) without a StartDate invokes at
// every start of a runner, and a rule with that rate a day after each start; a cron
// expression, or a StartDate, does not depend on it. What occurs while the runner is
// stopped is missed. An occurrence comes within its first second, where AWS may take a
// minute.
package schedule

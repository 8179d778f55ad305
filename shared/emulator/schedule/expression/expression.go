// Package expression reads EventBridge's schedule expressions and computes when they
// occur: rate(5 minutes), cron(0 9 ? * MON-FRI *) and at(2026-07-10T19:20:00). Rules and
// EventBridge Scheduler spell rates differently. Start reading at [ParseRule]. Nothing here
// reads a clock.
//
// The rules are those of "Schedule types on EventBridge Scheduler" and "Setting a schedule
// pattern for scheduled rules" in AWS's user guides. What they leave open is
// refused by name rather than guessed.
package expression

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for machines without a time zone database
)

// Expression is a parsed schedule expression.
type Expression struct {
	text    string
	seconds int64     // of a rate; 0 for the others
	at      time.Time // of an at, as if in UTC; zero for the others
	cron    *cron     // nil for the others
}

// ParseRule reads an expression of a rule of EventBridge: a rate of 1 takes the singular,
// rate(1 hour), and any other the plural; at(...) is not allowed ("Rate expressions
// reference" in the EventBridge user guide).
func ParseRule(text string) (Expression, error) {
	e, err := parse(text, false)
	if err == nil && e.Once() {
		return Expression{}, errors.New("a rule can't use at(...); a schedule of EventBridge Scheduler can")
	}
	return e, err
}

// ParseSchedule reads an expression of a schedule of EventBridge Scheduler. Its guide has
// units in the plural, rate(1 hours), and its API reference in both numbers; neither says
// which takes which, so any does.
func ParseSchedule(text string) (Expression, error) { return parse(text, true) }

// parse reads an expression; anyNumber allows 1 with the plural, and the reverse.
func parse(text string, anyNumber bool) (Expression, error) {
	const longest = 256 // "PutRule" and "CreateSchedule" in the API references
	if len(text) > longest {
		return Expression{}, fmt.Errorf("it has %d characters; at most %d are allowed", len(text), longest)
	}
	kind, rest, _ := strings.Cut(text, "(")
	inner, closed := strings.CutSuffix(rest, ")")
	if !closed {
		return Expression{}, errors.New("it must be rate(...), cron(...) or at(...)")
	}
	switch kind {
	case "rate":
		return parseRate(inner, anyNumber)
	case "cron":
		return parseCron(inner)
	case "at":
		return parseAt(inner)
	}
	return Expression{}, errors.New("it must be rate(...), cron(...) or at(...)")
}

// String returns the expression in its canonical spelling, which both parsers accept if
// they accept its kind.
func (e Expression) String() string { return e.text }

// Once reports whether the expression is an at: it occurs once, whatever start a schedule
// has.
func (e Expression) Once() bool { return !e.at.IsZero() }

// Next returns the first occurrence strictly after a given time, in its time zone; ok is
// false if none is left.
//
// A rate counts from start, which is its first occurrence; cron and at ignore start. Days
// of a rate have 24 hours, whatever the clocks do. A time that the clocks skip when they
// are put forward is skipped; one that they show twice when they are put back occurs once,
// the first time.
func (e Expression) Next(start, after time.Time) (next time.Time, ok bool) {
	switch {
	case e.seconds > 0:
		return e.nextOfRate(start, after), true
	case e.cron != nil:
		return e.cron.next(after)
	}
	next, ok = instant(e.at, after.Location())
	return next, ok && next.After(after)
}

// nextOfRate counts in seconds, since a Duration can't exceed 292 years.
func (e Expression) nextOfRate(start, after time.Time) time.Time {
	if after.Before(start) {
		return start.In(after.Location())
	}
	gone := (after.Unix() - start.Unix()) / e.seconds
	next := time.Unix(start.Unix()+gone*e.seconds, int64(start.Nanosecond()))
	if !next.After(after) {
		next = time.Unix(next.Unix()+e.seconds, int64(start.Nanosecond()))
	}
	return next.In(after.Location())
}

var rate = regexp.MustCompile(`^\s*([1-9][0-9]{0,8})\s+(minute|hour|day)(s?)\s*$`)

func parseRate(inner string, anyNumber bool) (Expression, error) {
	parts := rate.FindStringSubmatch(inner)
	if parts == nil {
		return Expression{}, fmt.Errorf("rate(%s) is not a rate: it must be a positive number and minutes, hours or days", inner)
	}
	value, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return Expression{}, fmt.Errorf("rate(%s): %w", inner, err)
	}
	plural := "s"
	if value == 1 {
		plural = ""
	}
	if parts[3] != plural && !anyNumber {
		return Expression{}, fmt.Errorf("rate(%s): 1 takes the singular, other numbers the plural", inner)
	}
	unit := map[string]int64{"minute": 60, "hour": 60 * 60, "day": 24 * 60 * 60}[parts[2]]
	return Expression{text: fmt.Sprintf("rate(%d %s%s)", value, parts[2], plural), seconds: value * unit}, nil
}

func parseAt(inner string) (Expression, error) {
	const layout = "2006-01-02T15:04:05"
	at, err := time.Parse(layout, inner)
	if err != nil || at.Format(layout) != inner || at.IsZero() {
		return Expression{}, fmt.Errorf("at(%s) is not a time such as at(2026-07-10T19:20:00)", inner)
	}
	return Expression{text: "at(" + inner + ")", at: at}, nil
}

// Location returns a time zone by its IANA name, such as Europe/Berlin; empty is UTC.
func Location(name string) (*time.Location, error) {
	if name == "Local" { // Go's word for the machine's own zone, which AWS does not know
		return nil, errors.New("unknown time zone Local")
	}
	return time.LoadLocation(name)
}

// instant returns the first time at which the clocks of a place show what wall shows in
// UTC; ok is false for one that they skip.
func instant(wall time.Time, place *time.Location) (t time.Time, ok bool) {
	year, month, day := wall.Date()
	hour, minute, second := wall.Clock()
	t = time.Date(year, month, day, hour, minute, second, 0, place)
	_, offset := t.Zone()
	if t.Unix()+int64(offset) != wall.Unix() {
		return time.Time{}, false
	}
	// Go does not specify which of two times it returns when clocks were put back.
	begin, _ := t.ZoneBounds()
	if begin.IsZero() {
		return t, true
	}
	_, before := begin.Add(-time.Second).Zone()
	if earlier := t.Add(time.Duration(offset-before) * time.Second); earlier.Before(begin) {
		return earlier, true
	}
	return t, true
}

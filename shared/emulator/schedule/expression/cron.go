package expression

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cron has the values of each field, in order.
type cron struct {
	minutes, hours, months, years []int
	days                          days
}

// days is the meaning of the two fields of days. Exactly one of its fields is set.
type days struct {
	ofMonth  []int // days of the month
	ofWeek   []int // days of the week: 1 is Sunday
	last     bool  // L: the last day of the month
	near     int   // 15W: the weekday nearest to the 15th, within the month
	lastWeek int   // 6L: the last Friday
	nth      nth   // 6#3: the third Friday
}

type nth struct{ weekday, n int }

// field describes one of a cron expression's six fields.
type field struct {
	name        string
	least, most int
	names       []string // of the values from least on
	steps       bool     // whether it may have a slash
}

func fields() (minute, hour, ofMonth, month, ofWeek, year field) {
	return field{"minutes", 0, 59, nil, true}, field{"hours", 0, 23, nil, true},
		field{"day of month", 1, 31, nil, true},
		field{"month", 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}, true},
		field{"day of week", 1, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}, false},
		field{"year", 1970, 2199, nil, true}
}

func parseCron(inner string) (Expression, error) {
	parts := strings.Fields(strings.ToUpper(inner))
	if len(parts) != 6 {
		return Expression{}, fmt.Errorf("cron(%s) has %d fields; it must have 6: minutes hours day-of-month month day-of-week year", inner, len(parts))
	}
	minute, hour, ofMonth, month, ofWeek, year := fields()
	var c cron
	var failures [5]error
	c.minutes, failures[0] = minute.parse(parts[0])
	c.hours, failures[1] = hour.parse(parts[1])
	c.days, failures[2] = parseDays(ofMonth, parts[2], ofWeek, parts[4])
	c.months, failures[3] = month.parse(parts[3])
	c.years, failures[4] = year.parse(parts[5])
	for _, err := range failures {
		if err != nil {
			return Expression{}, fmt.Errorf("cron(%s): %w", inner, err)
		}
	}
	return Expression{text: "cron(" + strings.Join(parts, " ") + ")", cron: &c}, nil
}

// parse reads a field's list of values, ranges and steps.
func (f field) parse(text string) ([]int, error) {
	var values []int
	for item := range strings.SplitSeq(text, ",") {
		span, step, stepped := strings.Cut(item, "/")
		by := 1
		if stepped {
			var ok bool
			if by, ok = number(step); !ok || by == 0 || !f.steps {
				return nil, f.refuse(item)
			}
		}
		first, last, ok := f.span(span, stepped)
		if !ok {
			return nil, f.refuse(item)
		}
		for v := first; v <= last; v += by {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return slices.Compact(values), nil
}

// span reads the part before a slash, or an item without one: a range, all, or a single
// value, from which steps continue to the end.
func (f field) span(text string, stepped bool) (first, last int, ok bool) {
	if text == "*" {
		return f.least, f.most, true
	}
	from, to, ranged := strings.Cut(text, "-")
	first, ok = f.value(from)
	switch {
	case !ok:
		return 0, 0, false
	case ranged:
		last, ok = f.value(to)
		return first, last, ok && first <= last
	case stepped:
		return first, f.most, true
	}
	return first, first, true
}

func (f field) value(text string) (int, bool) {
	if i := slices.Index(f.names, text); i >= 0 {
		return f.least + i, true
	}
	v, ok := number(text)
	return v, ok && v >= f.least && v <= f.most
}

func (f field) refuse(item string) error {
	return fmt.Errorf("%q is not allowed in the field %s, which takes %d to %d", item, f.name, f.least, f.most)
}

// number reads up to four digits, and nothing else.
func number(text string) (int, bool) {
	if text == "" || len(text) > 4 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	v, err := strconv.Atoi(text)
	return v, err == nil
}

// parseDays reads the two fields of days, of which one must be "?".
func parseDays(ofMonth field, month string, ofWeek field, week string) (d days, err error) {
	if (month == "?") == (week == "?") {
		return days{}, errors.New("exactly one of day of month and day of week must be ?")
	}
	if week == "?" {
		if month == "L" {
			return days{last: true}, nil
		}
		if day, ok := strings.CutSuffix(month, "W"); ok {
			if d.near, ok = ofMonth.value(day); !ok {
				return days{}, ofMonth.refuse(month)
			}
			return d, nil
		}
		d.ofMonth, err = ofMonth.parse(month)
		return d, err
	}
	if week == "L" { // the last day of the week
		week = "SAT"
	}
	if day, ok := strings.CutSuffix(week, "L"); ok {
		if d.lastWeek, ok = ofWeek.value(day); !ok {
			return days{}, ofWeek.refuse(week)
		}
		return d, nil
	}
	if day, n, ok := strings.Cut(week, "#"); ok {
		weekday, known := ofWeek.value(day)
		count, counted := number(n)
		if !known || !counted || count < 1 || count > 5 {
			return days{}, ofWeek.refuse(week)
		}
		return days{nth: nth{weekday, count}}, nil
	}
	d.ofWeek, err = ofWeek.parse(week)
	return d, err
}

// next goes through the wall clock's times in order. Each is first shown later than the
// one before, so the first that is after the given time is the result.
func (c *cron) next(after time.Time) (time.Time, bool) {
	year, month, day := after.Date()
	for _, y := range from(c.years, year) {
		for _, m := range c.months {
			if y == year && m < int(month) {
				continue
			}
			first := 1
			if y == year && m == int(month) {
				first = day
			}
			for d := first; d <= length(y, m); d++ {
				if !c.days.have(y, m, d) {
					continue
				}
				if t, ok := c.nextOn(y, m, d, after); ok {
					return t, true
				}
			}
		}
	}
	return time.Time{}, false
}

// nextOn is next for one day.
func (c *cron) nextOn(year, month, day int, after time.Time) (time.Time, bool) {
	for _, hour := range c.hours {
		for _, minute := range c.minutes {
			wall := time.Date(year, time.Month(month), day, hour, minute, 0, 0, time.UTC)
			if t, ok := instant(wall, after.Location()); ok && t.After(after) {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// have reports whether a day is one of them.
func (d days) have(year, month, day int) bool {
	weekday := weekdayOf(year, month, day)
	switch {
	case d.last:
		return day == length(year, month)
	case d.near > 0:
		return day == nearest(year, month, d.near)
	case d.lastWeek > 0:
		return weekday == d.lastWeek && day+7 > length(year, month)
	case d.nth.n > 0:
		return weekday == d.nth.weekday && (day-1)/7+1 == d.nth.n
	case d.ofWeek != nil:
		return slices.Contains(d.ofWeek, weekday)
	}
	return slices.Contains(d.ofMonth, day)
}

// nearest returns the weekday nearest to a day without leaving its month, or 0 if the
// month does not have the day.
func nearest(year, month, day int) int {
	const sunday, saturday = 1, 7
	last := length(year, month)
	if day > last {
		return 0
	}
	switch weekdayOf(year, month, day) {
	case saturday:
		if day == 1 {
			return day + 2
		}
		return day - 1
	case sunday:
		if day == last {
			return day - 2
		}
		return day + 1
	}
	return day
}

func weekdayOf(year, month, day int) int {
	return int(time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Weekday()) + 1
}

// length returns how many days a month has.
func length(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// from returns the values that are not below least.
func from(values []int, least int) []int {
	i, _ := slices.BinarySearch(values, least)
	return values[i:]
}

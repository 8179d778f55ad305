package expression_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/schedule/expression"
)

// TestNext: the first occurrences after a given time. Times are written in the zone.
func TestNext(t *testing.T) {
	const berlin, newYork = "Europe/Berlin", "America/New_York"
	rows := []struct {
		name, expression, zone string
		after                  string
		want                   []string // to the end, if fewer than three
	}{
		{"rate before its start", "rate(5 minutes)", "", "2025-12-31T23:00:00Z",
			[]string{"2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"}},
		{"rate at its start", "rate(1 hour)", "", "2026-01-01T00:00:00Z",
			[]string{"2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"}},
		{"rate long after its start", "rate(7 days)", "", "2026-07-10T12:00:00.5Z",
			[]string{"2026-07-16T00:00:00Z", "2026-07-23T00:00:00Z", "2026-07-30T00:00:00Z"}},
		{"a day of a rate has 24 hours", "rate(1 day)", berlin, "2026-03-28T00:30:00Z",
			[]string{"2026-03-29T01:00:00+01:00", "2026-03-30T02:00:00+02:00", "2026-03-31T02:00:00+02:00"}},
		{"a rate beyond a Duration", "rate(999999999 days)", "", "2026-01-01T00:00:00Z", nil},

		{"each minute", "cron(* * * * ? *)", "", "2026-07-10T19:20:30Z",
			[]string{"2026-07-10T19:21:00Z", "2026-07-10T19:22:00Z", "2026-07-10T19:23:00Z"}},
		{"strictly after", "cron(15 10 * * ? *)", "", "2026-07-10T10:15:00Z",
			[]string{"2026-07-11T10:15:00Z", "2026-07-12T10:15:00Z", "2026-07-13T10:15:00Z"}},
		{"weekdays by name", "cron(0 18 ? * MON-FRI *)", "", "2026-07-09T18:00:00Z",
			[]string{"2026-07-10T18:00:00Z", "2026-07-13T18:00:00Z", "2026-07-14T18:00:00Z"}},
		{"weekdays by number, in small letters", "cron(0  8 ? jan,Jul 1,7 *)", "", "2026-07-10T00:00:00Z",
			[]string{"2026-07-11T08:00:00Z", "2026-07-12T08:00:00Z", "2026-07-18T08:00:00Z"}},
		{"steps from a value", "cron(5/20 9 1 * ? *)", "", "2026-07-10T00:00:00Z",
			[]string{"2026-08-01T09:05:00Z", "2026-08-01T09:25:00Z", "2026-08-01T09:45:00Z"}},
		{"steps in a range and of all", "cron(0 8-18/5 */15 2 ? *)", "", "2026-07-10T00:00:00Z",
			[]string{"2027-02-01T08:00:00Z", "2027-02-01T13:00:00Z", "2027-02-01T18:00:00Z"}},
		{"the 31st", "cron(0 0 31 * ? *)", "", "2026-08-31T00:00:00Z",
			[]string{"2026-10-31T00:00:00Z", "2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z"}},
		{"leap days", "cron(0 0 29 2 ? *)", "", "2026-07-10T00:00:00Z",
			[]string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z", "2036-02-29T00:00:00Z"}},
		{"last day of the month", "cron(0 0 L * ? *)", "", "2028-01-31T00:00:00Z",
			[]string{"2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z", "2028-04-30T00:00:00Z"}},
		{"last day of the week", "cron(0 0 ? * L *)", "", "2026-07-10T00:00:00Z",
			[]string{"2026-07-11T00:00:00Z", "2026-07-18T00:00:00Z", "2026-07-25T00:00:00Z"}},
		{"last Friday of the month", "cron(0 0 ? * FRIL *)", "", "2026-07-10T00:00:00Z",
			[]string{"2026-07-31T00:00:00Z", "2026-08-28T00:00:00Z", "2026-09-25T00:00:00Z"}},
		{"second Tuesday", "cron(0 0 ? * 3#2 *)", "", "2026-07-10T00:00:00Z",
			[]string{"2026-07-14T00:00:00Z", "2026-08-11T00:00:00Z", "2026-09-08T00:00:00Z"}},
		{"fifth Friday, where there is one", "cron(0 0 ? * FRI#5 *)", "", "2026-07-10T00:00:00Z",
			[]string{"2026-07-31T00:00:00Z", "2026-10-30T00:00:00Z", "2027-01-29T00:00:00Z"}},
		{"weekday nearest to a Saturday", "cron(0 0 11W 7 ? *)", "", "2026-07-01T00:00:00Z",
			[]string{"2026-07-10T00:00:00Z", "2027-07-12T00:00:00Z", "2028-07-11T00:00:00Z"}},
		{"weekday nearest to the first, a Saturday", "cron(0 0 1W 8 ? 2026)", "", "2026-07-01T00:00:00Z",
			[]string{"2026-08-03T00:00:00Z"}},
		{"weekday nearest to the last, a Sunday", "cron(0 0 31W 5 ? 2026)", "", "2026-04-01T00:00:00Z",
			[]string{"2026-05-29T00:00:00Z"}},
		{"weekday nearest to a day that the month lacks", "cron(0 0 31W 6 ? 2026)", "", "2026-01-01T00:00:00Z", nil},
		{"years", "cron(0 0 1 1 ? 2026-2030/2)", "", "2026-07-10T00:00:00Z",
			[]string{"2028-01-01T00:00:00Z", "2030-01-01T00:00:00Z"}},
		{"never", "cron(0 0 30 2 ? *)", "", "2026-07-10T00:00:00Z", nil},

		{"in a time zone", "cron(0 9 * * ? *)", newYork, "2026-07-10T14:00:00Z",
			[]string{"2026-07-11T09:00:00-04:00", "2026-07-12T09:00:00-04:00", "2026-07-13T09:00:00-04:00"}},
		{"the skipped hour is skipped", "cron(30 2 * * ? *)", berlin, "2026-03-28T00:00:00Z",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"}},
		{"the repeated hour runs once", "cron(30 2 * * ? *)", berlin, "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00", "2026-10-27T02:30:00+01:00"}},
		{"asked in the repeated hour's second pass", "cron(0/30 * * * ? *)", newYork, "2026-11-01T06:10:00Z",
			[]string{"2026-11-01T02:00:00-05:00", "2026-11-01T02:30:00-05:00", "2026-11-01T03:00:00-05:00"}},
		{"midnight that does not exist", "cron(0 0 * * ? *)", "Africa/Cairo", "2026-04-22T23:00:00Z",
			[]string{"2026-04-25T00:00:00+03:00", "2026-04-26T00:00:00+03:00", "2026-04-27T00:00:00+03:00"}},

		{"once", "at(2026-07-10T19:20:00)", "", "2026-07-10T00:00:00Z", []string{"2026-07-10T19:20:00Z"}},
		{"once, in a time zone", "at(2026-07-10T19:20:00)", berlin, "2026-07-10T00:00:00Z", []string{"2026-07-10T19:20:00+02:00"}},
		{"once, when it is over", "at(2026-07-10T19:20:00)", "", "2026-07-10T19:20:00Z", nil},
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			e, err := expression.ParseSchedule(row.expression)
			if err != nil {
				t.Fatal(err)
			}
			place, err := expression.Location(row.zone)
			if err != nil {
				t.Fatal(err)
			}
			after, err := time.Parse(time.RFC3339, row.after)
			if err != nil {
				t.Fatal(err)
			}
			after = after.In(place)
			var got []string
			for len(got) < 3 {
				next, ok := e.Next(start, after)
				if !ok || next.Year() > 9999 {
					break
				}
				got = append(got, next.Format(time.RFC3339))
				after = next
			}
			if d := cmp.Diff(row.want, got); d != "" {
				t.Errorf("occurrences (-want +got):\n%s", d)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{
		"", "5 minutes", "every(5 minutes)", "rate(5 minutes", " rate(5 minutes)", "RATE(5 minutes)",
		"rate(0 minutes)", "rate(-5 minutes)", "rate(5)", "rate(5 seconds)",
		"rate(1.5 hours)", "rate(9999999999 days)",
		"cron(* * * * *)", "cron(0 0 * * * *)", "cron(0 0 ? * ? *)", "cron(0 0 1 * MON *)", "cron(0 0 1 * ? * *)",
		"cron(60 0 * * ? *)", "cron(0 24 * * ? *)", "cron(0 0 0 * ? *)", "cron(0 0 32 * ? *)", "cron(0 0 1 13 ? *)",
		"cron(0 0 ? * 0 *)", "cron(0 0 ? * 8 *)", "cron(0 0 1 1 ? 1969)", "cron(0 0 1 1 ? 2200)",
		"cron(5-1 0 * * ? *)", "cron(0/0 0 * * ? *)", "cron(/5 0 * * ? *)", "cron(0, 0 * * ? *)", "cron(+5 0 * * ? *)",
		"cron(? 0 * * ? *)", "cron(0 0 L-3 * ? *)", "cron(0 0 LW * ? *)", "cron(0 0 1,L * ? *)", "cron(0 0 1W,15W * ? *)",
		"cron(0 0 ? * MON/2 *)", "cron(0 0 ? * MON#6 *)", "cron(0 0 ? * MON#0 *)", "cron(0 0 ? * MON#1,TUE#1 *)",
		"cron(0 0 ? * MONDAY *)", "cron(0 0 ? * FRI-MON *)", "cron(0 0 MON * ? *)",
		"at(2026-07-10)", "at(2026-07-10T19:20:00Z)", "at(2026-07-10T19:20:00.5)", "at(2026-02-30T00:00:00)",
	} {
		t.Run(text, func(t *testing.T) {
			if e, err := expression.ParseRule(text); err == nil {
				t.Errorf("it was accepted for a rule, as %s", e)
			}
			if e, err := expression.ParseSchedule(text); err == nil {
				t.Errorf("it was accepted for a schedule, as %s", e)
			}
		})
	}
}

// TestRuleOrSchedule: what only one of the two accepts, and the one spelling of both.
func TestRuleOrSchedule(t *testing.T) {
	rows := []struct{ text, rule, schedule string }{
		{"rate(1 minute)", "rate(1 minute)", "rate(1 minute)"},
		{"rate(1  hours)", "", "rate(1 hour)"},
		{"rate(1 days)", "", "rate(1 day)"},
		{"rate(5 minutes)", "rate(5 minutes)", "rate(5 minutes)"},
		{"rate(5 minute)", "", "rate(5 minutes)"},
		{"cron(0 0 1 * ? *)", "cron(0 0 1 * ? *)", "cron(0 0 1 * ? *)"},
		{"at(2026-07-10T19:20:00)", "", "at(2026-07-10T19:20:00)"},
	}
	for _, row := range rows {
		rule, err := expression.ParseRule(row.text)
		if rule.String() != row.rule || (err == nil) != (row.rule != "") {
			t.Errorf("a rule's %s became %q: %v", row.text, rule, err)
		}
		schedule, err := expression.ParseSchedule(row.text)
		if schedule.String() != row.schedule || (err == nil) != (row.schedule != "") {
			t.Errorf("a schedule's %s became %q: %v", row.text, schedule, err)
		}
	}
}

func TestLocation(t *testing.T) {
	for _, name := range []string{"Local", "Mars/Olympus", "../zone", "europe berlin"} {
		if place, err := expression.Location(name); err == nil {
			t.Errorf("%q was accepted as %v", name, place)
		}
	}
}

// FuzzExpression: parsing any input ends without a panic; the spelling of an accepted
// expression is accepted too, with the same occurrences; and those are after the given
// time.
func FuzzExpression(f *testing.F) {
	for _, text := range []string{
		"rate(5 minutes)", "rate(1 hours)", "at(2026-07-10T19:20:00)", "cron(0 9 ? * MON-FRI *)", "cron(0/15 8-18/2 L * ? 2026,2028)",
		"cron(5 4 15W JAN,3 ? *)", "cron(0 0 ? * FRI#5 *)", "cron(0 0 ? * 2L *)",
	} {
		f.Add(text, int64(1774659600), uint8(0)) // an hour before Berlin's clocks go forward
	}
	zones := []string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia"}
	f.Fuzz(func(t *testing.T, text string, seconds int64, zone uint8) {
		e, err := expression.ParseSchedule(text)
		rule, errOfRule := expression.ParseRule(text)
		if errOfRule == nil && (err != nil || rule.String() != e.String()) {
			t.Fatalf("%q is %q for a rule, and %q for a schedule (%v)", text, rule, e, err)
		}
		if err != nil {
			return
		}
		again, err := expression.ParseSchedule(e.String())
		if err != nil || again.String() != e.String() {
			t.Fatalf("%q became %q, which became %q (%v)", text, e, again, err)
		}
		place, err := expression.Location(zones[int(zone)%len(zones)])
		if err != nil {
			t.Fatal(err)
		}
		const centuries = 10_000_000_000 // seconds: some 300 years around 1970
		start, after := time.Unix(0, 0), time.Unix(seconds%centuries, 0).In(place)
		for range 3 {
			next, ok := e.Next(start, after)
			same, okAgain := again.Next(start, after)
			if ok != okAgain || !next.Equal(same) {
				t.Fatalf("%s after %v: %v, and read again %v", e, after, next, same)
			}
			if !ok {
				return
			}
			if !next.After(after) || next.Location() != place {
				t.Fatalf("%s after %v: %v", e, after, next)
			}
			after = next
		}
	})
}

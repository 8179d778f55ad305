package template

import (
	"encoding/json"
	"regexp"
	"time"

	"paylane/shared/emulator/schedule/expression"
)

// scheduleName matches the names of rules, schedules and their groups ("PutRule" and
// "CreateSchedule" in the API references).
var scheduleName = regexp.MustCompile(`^[0-9A-Za-z_.-]{1,64}$`)

// readRule reads a Schedule event, which SAM turns into a rule of EventBridge.
func (r *reader) readRule(id string, at *node, p *properties, f Function) {
	const longestInput = 8192 // "Target" in the EventBridge API reference
	s := Schedule{
		LogicalID: id, Function: f.LogicalID, Rule: true, Timezone: "UTC", Line: at.line,
		Name:  r.nameOfSchedule(p, "Name", r.stackName(id)),
		Input: r.input(p),
	}
	s.ARN = r.partition() + ":events:" + r.options.Region + ":" + r.options.AccountID + ":rule/" + s.Name
	s.Expression = r.expression(p, "Schedule", expression.ParseRule)
	if len(s.Input) > longestInput {
		p.problem("Input", "it has %d characters; a rule accepts at most %d", len(s.Input), longestInput)
	}
	s.Enabled = p.boolean("Enabled", true)
	if p.n.get("State") != nil {
		if p.n.get("Enabled") != nil {
			p.problem("State", "it can't be combined with Enabled")
		}
		s.Enabled = p.choice("State", "ENABLED", "ENABLED", "DISABLED") == "ENABLED"
	}
	p.done()
	r.addSchedule(s)
}

// readSchedule reads a ScheduleV2 event, which SAM turns into a schedule of EventBridge
// Scheduler.
func (r *reader) readSchedule(id string, at *node, p *properties, f Function) {
	standard := id // SAM names a schedule by its logical id, unless OmitName is set
	if p.boolean("OmitName", false) {
		standard = r.stackName(id)
	}
	s := Schedule{
		LogicalID: id, Function: f.LogicalID, Line: at.line,
		Name:     r.nameOfSchedule(p, "Name", standard),
		Timezone: p.text("ScheduleExpressionTimezone", "UTC"),
		Input:    r.input(p),
		Enabled:  p.choice("State", "ENABLED", "ENABLED", "DISABLED") == "ENABLED",
		Start:    p.date("StartDate"),
		End:      p.date("EndDate"),
	}
	group := r.nameOfSchedule(p, "GroupName", "default")
	s.ARN = r.partition() + ":scheduler:" + r.options.Region + ":" + r.options.AccountID + ":schedule/" + group + "/" + s.Name
	s.Expression = r.expression(p, "ScheduleExpression", expression.ParseSchedule)
	if _, err := expression.Location(s.Timezone); err != nil {
		p.problem("ScheduleExpressionTimezone", "%s is not a time zone: %v", quote(s.Timezone), err)
	}
	if !s.End.IsZero() && !s.Start.Before(s.End) {
		p.problem("EndDate", "it must be after StartDate")
	}
	window := p.inner("FlexibleTimeWindow", typeFunction+" Events ScheduleV2 FlexibleTimeWindow")
	window.choice("Mode", "OFF", "OFF")
	window.done()
	p.done()
	r.addSchedule(s)
}

// addSchedule adds a schedule whose expression is known.
func (r *reader) addSchedule(s Schedule) {
	if s.Expression != "" {
		r.made.Schedules = append(r.made.Schedules, s)
	}
}

// stackName returns what CloudFormation would call a resource without a name, less the
// random part.
func (r *reader) stackName(id string) string {
	const longest = 64
	name := r.options.StackName + "-" + id
	return name[:min(len(name), longest)]
}

func (r *reader) nameOfSchedule(p *properties, key, standard string) string {
	name := p.text(key, standard)
	if !scheduleName.MatchString(name) {
		p.problem(key, "%s is not a valid name: it can have up to 64 letters, digits, -, _ and .", quote(name))
	}
	return name
}

// expression reads a schedule expression; empty after a problem.
func (r *reader) expression(p *properties, key string, parse func(string) (expression.Expression, error)) string {
	text := p.required(key)
	if text == "" {
		return ""
	}
	e, err := parse(text)
	if err != nil {
		p.problem(key, "%v", err)
	}
	return e.String()
}

// input reads the event that a schedule sends, which is JSON written as a string.
func (r *reader) input(p *properties) string {
	input := p.text("Input", "")
	if input != "" && !json.Valid([]byte(input)) {
		p.problem("Input", "it must be JSON written as a string, not %s", quote(input))
	}
	return input
}

// date reads a time such as 2026-07-10T19:20:00Z; zero if the key is absent.
func (p *properties) date(key string) time.Time {
	text := p.text(key, "")
	if text == "" {
		return time.Time{}
	}
	date, err := time.Parse(time.RFC3339, text)
	if err != nil {
		p.problem(key, "%s is not a time such as 2026-07-10T19:20:00Z", quote(text))
	}
	return date.UTC()
}

// checkSchedules refuses two schedules with one name.
func (r *reader) checkSchedules() {
	names := map[string]string{}
	for _, s := range r.made.Schedules {
		if other, taken := names[s.ARN]; taken {
			r.add(&node{line: s.Line}, "schedule "+s.LogicalID, "the schedule %s has the same name: %s", other, quote(s.Name))
		}
		names[s.ARN] = s.LogicalID
	}
}

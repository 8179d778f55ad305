package schedule

import (
	"encoding/json"
	"strings"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
)

// event is EventBridge's for a schedule ("Events from EventBridge Scheduler" and "AWS
// events" in AWS's guides).
type event struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       string          `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// event returns the event of one occurrence.
func (s *Scheduler) event(o one, at time.Time) emulator.RawEvent {
	scheduled := at.UTC().Format(time.RFC3339)
	if o.Input != "" {
		return emulator.RawEvent(s.input(o, scheduled))
	}
	e := event{
		Version: "0", ID: aws.UUID(s.random), DetailType: "Scheduled Event", Source: "aws.scheduler",
		Account: s.template.AccountID, Time: scheduled, Region: s.template.Region, Resources: []string{o.ARN},
		Detail: json.RawMessage(`"{}"`), // a string, as Scheduler sends it
	}
	if o.Rule {
		e.Source, e.Detail = "aws.events", json.RawMessage(`{}`)
	}
	body, err := aws.JSON(e)
	if err != nil {
		panic(err) // strings always encode
	}
	return body
}

// input returns the schedule's own event. Scheduler, unlike a rule, fills in context
// attributes ("Adding context attributes in EventBridge Scheduler"). Delivery always
// succeeds at the first attempt here.
func (s *Scheduler) input(o one, scheduled string) string {
	if o.Rule || !strings.Contains(o.Input, "<aws.scheduler.") {
		return o.Input
	}
	execution := strings.ReplaceAll(aws.UUID(s.random), "-", "")[:16]
	return strings.NewReplacer(
		"<aws.scheduler.schedule-arn>", o.ARN,
		"<aws.scheduler.scheduled-time>", scheduled,
		"<aws.scheduler.execution-id>", execution,
		"<aws.scheduler.attempt-number>", "1",
	).Replace(o.Input)
}

package schedule_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator"
	"paylane/shared/emulator/asyncinvoke"
	"paylane/shared/emulator/schedule"
	"paylane/shared/emulator/template"
)

// world is a function with one event, on a virtual clock that begins at 2000-01-01.
type world struct {
	mu    sync.Mutex
	times []string // of the invocations
	stop  func()
}

// start runs a function whose only event is given as a YAML flow mapping.
func start(t *testing.T, event string, json bool, handler any) *world {
	t.Helper()
	source := `
Transform: AWS::Serverless-2016-10-31
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023, Events: {E: ` + event + `}}
`
	parsed, err := template.Read("template.yaml", []byte(source), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	if handler == nil {
		handler = func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.times = append(w.times, time.Now().UTC().Format(time.RFC3339))
		}
	}
	f := parsed.Functions[0]
	function := emulator.NewInProcess(handler, emulator.Config{ARN: f.ARN, Timeout: f.Timeout, JSON: json})
	invoker := asyncinvoke.New(asyncinvoke.Config{Function: f, Invoker: function})
	scheduler, err := schedule.New(schedule.Config{
		Template: parsed, Functions: map[string]*asyncinvoke.Invoker{"F": invoker},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		scheduler.Run(ctx)
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		invoker.Close(context.Background())
		function.Close()
	})
	t.Cleanup(w.stop)
	return w
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// TestConformance has the row E01 of docs/emulation.md, and the rest of its section
// about the events of rules and context attributes. Each row has a handler of
// aws-lambda-go's type and one that sees the JSON.
func TestConformance(t *testing.T) {
	const noon = "ScheduleExpression: at(2000-01-01T12:00:00)"
	rows := []struct {
		name, event string
		want        string // the event, its id left out
		detail      string // as aws-lambda-go has it; empty where the event has another type
	}{
		{"E01 ScheduleV2 without Input", "{Type: ScheduleV2, Properties: {" + noon + "}}",
			`{"version":"0","id":"UUID","detail-type":"Scheduled Event","source":"aws.scheduler","account":"123456789012",` +
				`"time":"2000-01-01T12:00:00Z","region":"us-east-1",` +
				`"resources":["arn:aws:scheduler:us-east-1:123456789012:schedule/default/FE"],"detail":"{}"}`, `"{}"`},
		{"E01 ScheduleV2 with Input", "{Type: ScheduleV2, Properties: {" + noon + `, Input: '{"a": [1, "<b>"]}'}}`,
			`{"a": [1, "<b>"]}`, ""},
		{"E01 ScheduleV2 with context attributes", "{Type: ScheduleV2, Properties: {" + noon + `, ScheduleExpressionTimezone: Asia/Tokyo, Input: ` +
			`'["<aws.scheduler.schedule-arn>", "<aws.scheduler.scheduled-time>", "<aws.scheduler.attempt-number>"]'}}`,
			`["arn:aws:scheduler:us-east-1:123456789012:schedule/default/FE", "2000-01-01T03:00:00Z", "1"]`, ""},
		{"Schedule without Input", "{Type: Schedule, Properties: {Schedule: 'cron(0 12 1 1 ? 2000)', Name: my-rule}}",
			`{"version":"0","id":"UUID","detail-type":"Scheduled Event","source":"aws.events","account":"123456789012",` +
				`"time":"2000-01-01T12:00:00Z","region":"us-east-1",` +
				`"resources":["arn:aws:events:us-east-1:123456789012:rule/my-rule"],"detail":{}}`, `{}`},
		{"Schedule with Input", "{Type: Schedule, Properties: {Schedule: 'cron(0 12 1 1 ? 2000)', Input: '\"<aws.scheduler.schedule-arn>\"'}}",
			`"<aws.scheduler.schedule-arn>"`, ""},
	}
	for _, row := range rows {
		run := func(t *testing.T, json bool, handler any) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, row.event, json, handler)
				time.Sleep(48 * time.Hour)
				synctest.Wait()
				w.stop()
			})
		}
		t.Run(row.name+" json", func(t *testing.T) {
			var seen []string
			run(t, true, func(event json.RawMessage) {
				seen = append(seen, uuid.ReplaceAllString(string(event), "UUID"))
			})
			diff(t, "events", []string{row.want}, seen)
		})
		if row.detail == "" {
			continue
		}
		t.Run(row.name+" typed", func(t *testing.T) {
			var seen []events.EventBridgeEvent
			run(t, false, func(_ context.Context, event events.EventBridgeEvent) error {
				seen = append(seen, event)
				return nil
			})
			var want events.EventBridgeEvent
			if err := json.Unmarshal([]byte(row.want), &want); err != nil {
				t.Fatal(err)
			}
			if len(seen) != 1 || !uuid.MatchString(seen[0].ID) {
				t.Fatalf("events %+v", seen)
			}
			want.ID = seen[0].ID
			diff(t, "event", want, seen[0])
			diff(t, "detail", row.detail, string(seen[0].Detail))
		})
	}
}

func TestExecutionID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		w := start(t, `{Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute), Input: '"<aws.scheduler.execution-id>"'}}`, true,
			func(id string) { seen = append(seen, id) })
		time.Sleep(90 * time.Second)
		synctest.Wait()
		w.stop()
		if len(seen) != 2 || seen[0] == seen[1] || strings.Trim(seen[0], "0123456789abcdef") != "" || len(seen[0]) != 16 {
			t.Errorf("ids %q", seen)
		}
	})
}

// TestOccurrences: when a function is invoked in the first three days.
func TestOccurrences(t *testing.T) {
	rows := []struct {
		name, event string
		want        []string
	}{
		{"a rule's rate counts from its creation", "{Type: Schedule, Properties: {Schedule: rate(1 day)}}",
			[]string{"2000-01-02T00:00:00Z", "2000-01-03T00:00:00Z"}},
		{"a schedule's rate begins at once", "{Type: ScheduleV2, Properties: {ScheduleExpression: rate(2 days)}}",
			[]string{"2000-01-01T00:00:00Z", "2000-01-03T00:00:00Z"}},
		{"or at its start", "{Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 day), StartDate: 2000-01-01T06:00:00Z, EndDate: 2000-01-02T06:00:00Z}}",
			[]string{"2000-01-01T06:00:00Z", "2000-01-02T06:00:00Z"}},
		{"or counts from a start in the past", "{Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 day), StartDate: 1999-01-01T18:00:00Z}}",
			[]string{"2000-01-01T18:00:00Z", "2000-01-02T18:00:00Z", "2000-01-03T18:00:00Z"}},
		{"cron within its dates", "{Type: ScheduleV2, Properties: {ScheduleExpression: 'cron(0 12 * * ? *)', StartDate: 2000-01-01T12:00:01Z, EndDate: 2000-01-03T11:59:59Z}}",
			[]string{"2000-01-02T12:00:00Z"}},
		{"cron in a time zone", "{Type: ScheduleV2, Properties: {ScheduleExpression: 'cron(0 9 2 * ? *)', ScheduleExpressionTimezone: Europe/Berlin}}",
			[]string{"2000-01-02T08:00:00Z"}},
		{"once, though before its start", "{Type: ScheduleV2, Properties: {ScheduleExpression: at(2000-01-02T00:00:00), StartDate: 2000-01-03T00:00:00Z}}",
			[]string{"2000-01-02T00:00:00Z"}},
		{"once, though after its end", "{Type: ScheduleV2, Properties: {ScheduleExpression: at(2000-01-02T00:00:00), EndDate: 2000-01-01T12:00:00Z}}",
			[]string{"2000-01-02T00:00:00Z"}},
		{"once, but over", "{Type: ScheduleV2, Properties: {ScheduleExpression: at(1999-12-31T23:59:59)}}", nil},
		{"disabled", "{Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 day), State: DISABLED}}", nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, row.event, false, nil)
				time.Sleep(72*time.Hour - time.Second)
				synctest.Wait()
				w.stop()
				diff(t, "invocations", row.want, w.times)
			})
		})
	}
}

// A machine that slept for three days invokes once for all that it missed.
func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var slept time.Duration
		now := func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(slept)
		}
		var seen []string
		function := emulator.NewInProcess(func(e events.EventBridgeEvent) {
			seen = append(seen, e.Time.Format(time.RFC3339))
		}, emulator.Config{})
		defer function.Close()
		invoker := asyncinvoke.New(asyncinvoke.Config{Invoker: function})
		defer invoker.Close(t.Context())
		scheduler, err := schedule.New(schedule.Config{
			Template: &template.Template{Schedules: []template.Schedule{
				{Function: "F", Expression: "cron(0 12 * * ? *)", Enabled: true}}},
			Functions: map[string]*asyncinvoke.Invoker{"F": invoker}, Now: now,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			scheduler.Run(ctx)
		}()
		time.Sleep(time.Hour)
		mu.Lock()
		slept = 72 * time.Hour
		mu.Unlock()
		time.Sleep(24 * time.Hour)
		cancel()
		<-done
		diff(t, "occurrences", []string{"2000-01-01T12:00:00Z", "2000-01-04T12:00:00Z"}, seen)
	})
}

func TestNewRefuses(t *testing.T) {
	fine := template.Schedule{LogicalID: "FE", Function: "F", Expression: "rate(1 day)", Enabled: true}
	rows := []struct {
		name   string
		change func(s *template.Schedule)
		want   string
	}{
		{"expression", func(s *template.Schedule) { s.Expression = "rate(1 week)" }, "schedule FE: rate(1 week) is not a rate"},
		{"time zone", func(s *template.Schedule) { s.Timezone = "Mars" }, "schedule FE: unknown time zone Mars"},
		{"function", func(s *template.Schedule) { s.Function = "G" }, "schedule FE: the function G has no invoker"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := fine
			row.change(&s)
			_, err := schedule.New(schedule.Config{
				Template:  &template.Template{Schedules: []template.Schedule{s}},
				Functions: map[string]*asyncinvoke.Invoker{"F": nil},
			})
			if err == nil || !strings.HasPrefix(err.Error(), row.want) {
				t.Errorf("the error is %v, want %s", err, row.want)
			}
		})
	}
}

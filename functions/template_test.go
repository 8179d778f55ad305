// Package functions_test checks template.yaml against what the functions do and what AWS
// requires.
package functions_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"paylane/shared/emulator/template"
	"paylane/shared/telemetry"
)

const path = "../template.yaml"

func source(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func read(t *testing.T) *template.Template {
	t.Helper()
	return readWith(t, nil)
}

func readWith(t *testing.T, parameters map[string]string) *template.Template {
	t.Helper()
	read, err := template.Read(path, source(t), template.Options{Parameters: parameters})
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// TestQueues: a message is hidden for six times the function's timeout, as Lambda's
// guide advises ("Configuring an SQS queue for use with Lambda"); and a dead letter is
// kept for longer than its queue would, because its age counts from when it was first sent.
func TestQueues(t *testing.T) {
	read := read(t)
	for _, m := range read.Mappings {
		queue, _ := read.Queue(m.Queue)
		function, _ := read.Function(m.Function)
		if queue.VisibilityTimeout < 6*function.Timeout {
			t.Errorf("%s hides messages for %v; %s may take %v", queue.LogicalID, queue.VisibilityTimeout, function.LogicalID, function.Timeout)
		}
		if !m.ReportBatchItemFailures || m.MaxConcurrency == 0 {
			t.Errorf("%s does not report single records, or has no cap: %+v", m.LogicalID, m)
		}
	}
	for _, q := range read.Queues {
		if q.DeadLetterQueue == "" {
			continue
		}
		if dead, _ := read.Queue(q.DeadLetterQueue); dead.Retention <= q.Retention {
			t.Errorf("%s keeps messages for %v, %s for %v", dead.LogicalID, dead.Retention, q.LogicalID, q.Retention)
		}
	}
}

// TestRoutes: every route requires a token with the scope for its method, except three open
// ones and the default route, which show nobody's data.
func TestRoutes(t *testing.T) {
	open := []string{"GET /healthz", "GET /openapi.json", "GET /docs", template.DefaultRoute}
	read := read(t)
	for _, r := range read.APIs[0].Routes {
		want := []string{"orders/write"}
		switch {
		case strings.HasSuffix(r.Key, "/retry"):
			want = []string{"orders/operate"}
		case r.Method == http.MethodGet, r.Method == http.MethodHead:
			want = []string{"orders/read"}
		}
		switch protected := r.Authorizer != nil; {
		case slices.Contains(open, r.Key):
			if protected {
				t.Errorf("%s requires a token", r.Key)
			}
		case !protected || !slices.Equal(r.Scopes, want):
			t.Errorf("%s requires the scopes %v, want %v", r.Key, r.Scopes, want)
		}
		if r.Method == http.MethodGet && r.Authorizer != nil && !slices.ContainsFunc(read.APIs[0].Routes, func(head template.Route) bool {
			return head.Key == "HEAD"+strings.TrimPrefix(r.Key, "GET")
		}) {
			t.Errorf("%s has no route for HEAD, which %s would take without a token", r.Key, template.DefaultRoute)
		}
		function, _ := read.Function(r.Function)
		if longest := 30 * time.Second; function.Timeout >= longest {
			t.Errorf("%s: API Gateway gives up after %v, the function after %v", r.Key, longest, function.Timeout)
		}
	}
}

// TestStream: events are streamed, and the API knows their address.
func TestStream(t *testing.T) {
	read := read(t)
	stream, _ := read.Function("Stream")
	api, _ := read.Function("Api")
	url := stream.URL
	if url == nil || !url.Stream || !slices.Equal(url.LocalPaths, []string{"/orders/{id}/events"}) {
		t.Fatalf("the function URL is %+v", url)
	}
	if got, want := api.Environment["EVENTS_URL"], "https://"+url.DomainName+"/"; got != want {
		t.Errorf("the API has the events at %q, want %q", got, want)
	}
}

// TestOrigins: pages of other origins may do nothing by default. Those that AllowedOrigins
// lists may do what the API's documentation says, and no others.
func TestOrigins(t *testing.T) {
	settings := func(parameters map[string]string) (api, stream *template.CORS) {
		read := readWith(t, parameters)
		function, _ := read.Function("Stream")
		return read.APIs[0].CORS, function.URL.CORS
	}
	if api, stream := settings(nil); api != nil || stream != nil {
		t.Errorf("by default the API's are %+v, the stream's %+v", api, stream)
	}
	api, stream := settings(map[string]string{"AllowedOrigins": "https://a.test, http://localhost:5173"})
	age, origins := 24*time.Hour, []string{"https://a.test", "http://localhost:5173"}
	if d := cmp.Diff(&template.CORS{
		AllowOrigins: origins, AllowMethods: []string{"GET", "HEAD", "POST"}, MaxAge: &age,
		AllowHeaders:  []string{"authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "prefer", "last-event-id"},
		ExposeHeaders: []string{"etag", "location", "link", "retry-after", "idempotency-replayed", "preference-applied", "www-authenticate", "apigw-requestid"},
	}, api); d != "" {
		t.Errorf("the API's (-want +got):\n%s", d)
	}
	if d := cmp.Diff(&template.CORS{
		AllowOrigins: origins, AllowMethods: []string{"GET", "HEAD"}, MaxAge: &age,
		AllowHeaders: []string{"authorization", "last-event-id"}, ExposeHeaders: []string{"retry-after", "www-authenticate"},
	}, stream); d != "" {
		t.Errorf("the stream's (-want +got):\n%s", d)
	}
	for _, good := range []string{"*", "https://*", "http://127.0.0.1:3000,https://b.test:8443"} {
		if api, _ := settings(map[string]string{"AllowedOrigins": good}); api == nil {
			t.Errorf("%s allows nothing", good)
		}
	}
	for _, bad := range []string{"null", "shop.test", "https://shop.test/", "https://Shop.test", "https://a.test,https://b.test/x", "file://"} {
		if _, err := template.Read(path, source(t), template.Options{Parameters: map[string]string{"AllowedOrigins": bad}}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// walk visits every mapping of a template.
func walk(node any, visit func(map[string]any)) {
	switch node := node.(type) {
	case map[string]any:
		visit(node)
		for _, child := range node {
			walk(child, visit)
		}
	case []any:
		for _, child := range node {
			walk(child, visit)
		}
	}
}

// TestMetrics: every metric that an alarm or the dashboard uses exists, with exactly those
// dimensions: the functions record it, or it is in the list of AWS's.
func TestMetrics(t *testing.T) {
	known := make(map[string]bool)
	for _, m := range telemetry.Metrics() {
		known[fmt.Sprint(telemetry.Namespace, " ", m, " ", telemetry.Dimension)] = true
	}
	list, err := os.ReadFile("testdata/aws-metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		known[strings.TrimSpace(line)] = true
	}
	var root map[string]any
	if err := yaml.Unmarshal(source(t), &root); err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	walk(root["Resources"], func(m map[string]any) {
		name, ok := m["MetricName"].(string)
		if !ok {
			return
		}
		metric := fmt.Sprint(m["Namespace"], " ", name)
		dimensions, _ := m["Dimensions"].([]any)
		for _, d := range dimensions {
			metric += fmt.Sprint(" ", d.(map[string]any)["Name"])
		}
		used[metric] = true
		if !known[metric] {
			t.Errorf("an alarm or the dashboard uses %s, which does not exist", metric)
		}
	})
	if len(used) < 8 {
		t.Errorf("only %d metrics found", len(used))
	}
	var alarms int
	walk(root["Resources"], func(m map[string]any) {
		properties, _ := m["Properties"].(map[string]any)
		if m["Type"] != "AWS::CloudWatch::Alarm" {
			return
		}
		alarms++
		for _, key := range []string{"AlarmDescription", "TreatMissingData", "AlarmActions", "OKActions"} {
			if properties[key] == nil {
				t.Errorf("the alarm %q has no %s", properties["AlarmDescription"], key)
			}
		}
	})
	operating, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range root["Resources"].(map[string]any) {
		if strings.HasSuffix(name, "Alarm") && !strings.Contains(string(operating), "### "+name+"\n") {
			t.Errorf("docs/operating.md has no section on %s", name)
		}
	}
	if alarms < 9 {
		t.Errorf("only %d alarms found", alarms)
	}
}

type alarm struct {
	Period             int    `yaml:"Period"`
	EvaluationPeriods  int    `yaml:"EvaluationPeriods"`
	DatapointsToAlarm  int    `yaml:"DatapointsToAlarm"`
	Threshold          int    `yaml:"Threshold"`
	ComparisonOperator string `yaml:"ComparisonOperator"`
	TreatMissingData   string `yaml:"TreatMissingData"`
	Metrics            []struct {
		ID         string `yaml:"Id"`
		Expression string `yaml:"Expression"`
		MetricStat struct {
			Period int `yaml:"Period"`
			Metric struct {
				MetricName string `yaml:"MetricName"`
				Dimensions []struct {
					Value yaml.Node `yaml:"Value"`
				} `yaml:"Dimensions"`
			} `yaml:"Metric"`
		} `yaml:"MetricStat"`
	} `yaml:"Metrics"`
}

// seconds returns how far back the alarm looks, and the longest period of its metrics.
func (a alarm) seconds() (back, period int) {
	period = a.Period
	for _, m := range a.Metrics {
		period = max(period, m.MetricStat.Period)
	}
	return period * a.EvaluationPeriods, period
}

// resources decodes the template's resources of a type, by logical id.
func resources[P any](t *testing.T, kind string) map[string]P {
	t.Helper()
	var root struct {
		Resources map[string]struct {
			Type       string    `yaml:"Type"`
			Properties yaml.Node `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(source(t), &root); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]P)
	for id, r := range root.Resources {
		if r.Type != kind {
			continue
		}
		var p P
		if err := r.Properties.Decode(&p); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		found[id] = p
	}
	return found
}

// TestAlarmPeriods: an alarm looks back a day at most, or seven with periods of an hour or
// more (PutMetricAlarm, CloudWatch API reference).
func TestAlarmPeriods(t *testing.T) {
	const hour, day = 3600, 24 * 3600
	for id, a := range resources[alarm](t, "AWS::CloudWatch::Alarm") {
		longest := day
		back, period := a.seconds()
		if period >= hour {
			longest *= 7
		}
		if back == 0 || back > longest {
			t.Errorf("%s looks back %d s, CloudWatch allows 1 to %d", id, back, longest)
		}
	}
}

// TestNight: Lambda lets the reconcile function feed its own queue, and alarms tell of
// invocations that it dropped all the same, of walks that fail for as long as they are tried,
// and of a night whose walk did not end.
func TestNight(t *testing.T) {
	type function struct {
		RecursiveLoop string `yaml:"RecursiveLoop"`
	}
	if got := resources[function](t, "AWS::Serverless::Function")["Reconcile"].RecursiveLoop; got != "Allow" {
		t.Errorf("the function's RecursiveLoop is %q", got)
	}
	alarms, read := resources[alarm](t, "AWS::CloudWatch::Alarm"), read(t)
	watched := make(map[string]bool)
	for _, m := range alarms["RecursionAlarm"].Metrics {
		for _, d := range m.MetricStat.Metric.Dimensions {
			watched[d.Value.Value] = m.MetricStat.Metric.MetricName == "RecursiveInvocationsDropped"
		}
	}
	for _, m := range read.Mappings {
		if !watched[m.Function] {
			t.Errorf("nothing tells if Lambda drops invocations of %s, which has a queue", m.Function)
		}
	}
	failing := alarms["ReconcileErrorsAlarm"]
	queue, _ := read.Queue("ReconcileQueue")
	if back, _ := failing.seconds(); time.Duration(back)*time.Second < queue.VisibilityTimeout || failing.DatapointsToAlarm != 1 {
		t.Errorf("the alarm on errors ends before the next try, after %v: %+v", queue.VisibilityTimeout, failing)
	}
	missing := alarms["ReconcileMissingAlarm"]
	if back, _ := missing.seconds(); back != 26*3600 || missing.DatapointsToAlarm != 0 ||
		missing.ComparisonOperator != "LessThanThreshold" || missing.Threshold != 1 {
		t.Errorf("the alarm on a missing night looks at %d s: %+v", back, missing)
	}
	// A 0 for each hour without a walk, as the queue always has data: missing walks are breaching,
	// and the time before the stack is not.
	if len(missing.Metrics) != 3 || missing.Metrics[0].Expression != "MAX([walks, 0 * queue])" || missing.TreatMissingData != "notBreaching" {
		t.Errorf("the alarm on a missing night takes missing data for something else: %+v", missing)
	}
}

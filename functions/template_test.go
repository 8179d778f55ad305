// Package functions_test checks template.yaml against what the functions do and what AWS
// requires.
package functions_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
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
// ones and the default route, which show nobody's data, and the console's, which has people sign in.
func TestRoutes(t *testing.T) {
	console := []string{"ANY /console", "ANY /console/{proxy+}"}
	open := append([]string{"GET /healthz", "GET /openapi.json", "GET /docs", template.DefaultRoute}, console...)
	read := read(t)
	for _, r := range read.APIs[0].Routes {
		want := []string{"orders/write"}
		switch {
		case strings.HasSuffix(r.Key, "/retry"), strings.HasSuffix(r.Key, "/erase"):
			want = []string{"orders/operate"}
		case strings.HasPrefix(r.Path, "/webhooks"):
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
		if own := r.Function == "Console"; own != slices.Contains(console, r.Key) {
			t.Errorf("%s leads to %s", r.Key, r.Function)
		}
		function, _ := read.Function(r.Function)
		if longest := 30 * time.Second; function.Timeout >= longest {
			t.Errorf("%s: API Gateway gives up after %v, the function after %v", r.Key, longest, function.Timeout)
		}
	}
}

// TestConsole: who may sign in to the console, by which client of whom, and whose orders it then shows.
func TestConsole(t *testing.T) {
	t.Parallel()
	const issuer = "https://id.example"
	oidc := map[string]string{"AuthMode": "oidc", "Issuer": issuer, "Audience": "a,b"}
	for _, tt := range []struct {
		name string
		with map[string]string
		want map[string]string // CONSOLE_CLIENT_ID, CONSOLE_TENANT and AUDIENCE; the first client is "first"
		pool bool              // whether the client is the user pool's
	}{
		{"cognito", nil, map[string]string{"CONSOLE_TENANT": "first"}, true},
		{"cognito, another tenant", map[string]string{"ConsoleTenant": "7shop"}, map[string]string{"CONSOLE_TENANT": "7shop"}, true},
		{"cognito, any tenant", map[string]string{"ConsoleTenant": "*"}, map[string]string{"CONSOLE_TENANT": "*"}, true},
		{"cognito, by another claim", map[string]string{"TenantClaim": "sub", "ConsoleTenant": "*"}, nil, true},
		// One that the issuer gave a token for the API has nothing to do with the console's client, so nothing
		// but the token may name the tenant.
		{"oidc", map[string]string{"ConsoleClientId": "web", "ConsoleTenant": "*"}, map[string]string{"CONSOLE_CLIENT_ID": "web", "AUDIENCE": "a,b"}, false},
		{"oidc, without a client", nil, map[string]string{"AUDIENCE": "a,b"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parameters := maps.Clone(tt.with)
			if !tt.pool {
				parameters = maps.Clone(oidc)
				maps.Copy(parameters, tt.with)
			}
			read := readWith(t, parameters)
			function, _ := read.Function("Console")
			stream, _ := read.Function("Stream")
			first, _, _ := strings.Cut(stream.Environment["AUDIENCE"], ",")
			for _, name := range []string{"CONSOLE_CLIENT_ID", "CONSOLE_TENANT", "AUDIENCE"} {
				want := tt.want[name]
				if want == "first" {
					want = first
				}
				if got := function.Environment[name]; got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if (read.APIs[0].StageVariables["consoleClientId"] != "none") != tt.pool {
				t.Errorf("the stage variables are %v", read.APIs[0].StageVariables)
			}
		})
	}
	for _, bad := range []string{"a b", "a/b", "**"} {
		if _, err := template.Read(path, source(t), template.Options{Parameters: map[string]string{"ConsoleTenant": bad}}); err == nil {
			t.Errorf("the tenant %q is accepted", bad)
		}
	}
}

// TestConsoleClient: people sign in by a client without a secret, whose tokens are good for the
// console alone: for reading, and for what operators do.
func TestConsoleClient(t *testing.T) {
	t.Parallel()
	all := resources(t)
	want := map[string]any{
		"GenerateSecret": false, "AllowedOAuthFlows": []any{"code"}, "AllowedOAuthScopes": []any{"orders/read", "orders/operate"},
		"CallbackURLs": []any{"${HttpApi.ApiEndpoint}/console/callback"}, "LogoutURLs": []any{"${HttpApi.ApiEndpoint}/console/signout"},
	}
	properties := all["ConsoleClient"]["Properties"].(map[string]any)
	for name, value := range want {
		if diff := cmp.Diff(value, properties[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	pool := all["UserPool"]["Properties"].(map[string]any)
	if got := fmt.Sprint(pool["AdminCreateUserConfig"]); got != "map[AllowAdminCreateUserOnly:true]" {
		t.Errorf("who can sign up: %s", got)
	}
	for name, audience := range map[string]any{
		"HttpApi": all["HttpApi"]["Properties"].(map[string]any)["Auth"],
		"Stream":  all["Stream"]["Properties"].(map[string]any)["Environment"],
	} {
		if strings.Contains(fmt.Sprint(audience), "ConsoleClient") {
			t.Errorf("%s takes tokens of the console's client: %v", name, audience)
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
		AllowOrigins: origins, AllowMethods: []string{"GET", "HEAD", "POST", "DELETE"}, MaxAge: &age,
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

// TestRules: CloudFormation refuses parameters that would deploy something unsafe or dead. This
// machine's runners don't look at the rules.
func TestRules(t *testing.T) {
	t.Parallel()
	release := strings.Repeat("0", 40)
	for _, tt := range []struct {
		name       string
		parameters map[string]string
		refused    string // part of the description; empty for none
	}{
		{"as make deploys dev", deployed(t, "dev"), ""},
		{"as make deploys prod, without a gateway", deployed(t, "prod"), "Choose a gateway"},
		{"prod with a gateway", map[string]string{"Stage": "prod", "Gateway": "stripe", "GatewaySecretArn": "arn:aws:ssm:us-east-1:123456789012:parameter/stripe"}, ""},
		{"a gateway without its key", map[string]string{"Gateway": "stripe"}, "needs GatewaySecretArn"},
		{"the simulator on one machine", map[string]string{"Stage": "prod", "EndpointUrl": "http://127.0.0.1:4566"}, ""},
		{"without a release", map[string]string{"Release": "local"}, "make deploy"},
		{"on one machine, without a release", map[string]string{"Release": "local", "EndpointUrl": "http://127.0.0.1:4566"}, ""},
		{"without authentication", map[string]string{"AuthMode": "none"}, "AuthMode none"},
		{"on one machine, without authentication", map[string]string{"AuthMode": "none", "EndpointUrl": "http://127.0.0.1:4566"}, ""},
		{"oidc without an issuer", map[string]string{"AuthMode": "oidc"}, "needs Issuer"},
		{"oidc", map[string]string{"AuthMode": "oidc", "Issuer": "https://id.example"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parameters := map[string]string{"Release": release, "Stage": "dev"}
			maps.Copy(parameters, tt.parameters)
			refused := strings.Join(refusals(t, parameters), "; ")
			if (refused == "") != (tt.refused == "") || !strings.Contains(refused, tt.refused) {
				t.Errorf("refused with %q, want %q", refused, tt.refused)
			}
		})
	}
}

// refusals returns the descriptions of the template's rules that refuse the parameters; the
// others have their defaults.
func refusals(t *testing.T, parameters map[string]string) (descriptions []string) {
	t.Helper()
	var root struct {
		Parameters map[string]struct {
			Default string `yaml:"Default"`
		} `yaml:"Parameters"`
		Rules map[string]struct {
			RuleCondition yaml.Node `yaml:"RuleCondition"`
			Assertions    []struct {
				Assert            yaml.Node `yaml:"Assert"`
				AssertDescription string    `yaml:"AssertDescription"`
			} `yaml:"Assertions"`
		} `yaml:"Rules"`
	}
	if err := yaml.Unmarshal(source(t), &root); err != nil {
		t.Fatal(err)
	}
	var value func(n *yaml.Node) string
	value = func(n *yaml.Node) string {
		switch n.Tag {
		case "!Ref":
			if given, ok := parameters[n.Value]; ok {
				return given
			}
			return root.Parameters[n.Value].Default
		case "!Equals":
			return strconv.FormatBool(value(n.Content[0]) == value(n.Content[1]))
		case "!Not":
			return strconv.FormatBool(value(n.Content[0]) == "false")
		case "!Or":
			return strconv.FormatBool(slices.ContainsFunc(n.Content, func(n *yaml.Node) bool { return value(n) == "true" }))
		case "!!str":
			return n.Value
		}
		t.Fatalf("line %d: this test does not know %s", n.Line, n.Tag)
		return ""
	}
	for _, rule := range root.Rules {
		if value(&rule.RuleCondition) == "false" {
			continue
		}
		for _, a := range rule.Assertions {
			if value(&a.Assert) == "false" {
				descriptions = append(descriptions, a.AssertDescription)
			}
		}
	}
	return descriptions
}

// TestDeployParameters: the parameters of each environment are the template's own, with values
// that it takes. They include those that must not keep the last deployment's value, as
// CloudFormation has it for a parameter that is left out: one of a single deployment, and
// the one that sam build reads.
func TestDeployParameters(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"../deploy/dev.yaml", "../deploy/prod.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parameters := make(map[string]string)
		if err := yaml.Unmarshal(text, &parameters); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if _, err := template.Read(path, source(t), template.Options{Parameters: parameters}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, name := range []string{"Canary", "Architecture"} {
			if parameters[name] == "" {
				t.Errorf("%s does not set %s", file, name)
			}
		}
		// SAM writes a bare true as True.
		if !strings.Contains(string(text), "\nCanary: \"") {
			t.Errorf("%s: the value of Canary is not in quotes", file)
		}
	}
}

// TestRestoredTable: with RestoredTable the functions use the restored table, and their roles
// allow the stack's own and every table restored from it, whatever the parameter's value:
// roles change at once, and the running versions of the functions do not.
func TestRestoredTable(t *testing.T) {
	t.Parallel()
	own := read(t)
	restored := readWith(t, map[string]string{"RestoredTable": "-restored-2"})
	for i, f := range own.Functions {
		now, then := f.Environment["ORDERS_TABLE"], restored.Functions[i].Environment["ORDERS_TABLE"]
		if now != own.Tables[0].Name || then != now+"-restored-2" {
			t.Errorf("%s uses %q, and after a restore %q", f.LogicalID, now, then)
		}
	}
	for _, bad := range []string{"restored", "-", "-restored/index", "- restored"} {
		if _, err := template.Read(path, source(t), template.Options{Parameters: map[string]string{"RestoredTable": bad}}); err == nil {
			t.Errorf("the suffix %q is accepted", bad)
		}
	}
	var root map[string]any
	if err := yaml.Unmarshal(source(t), &root); err != nil {
		t.Fatal(err)
	}
	const table = "arn:aws:dynamodb:us-east-1:000000000000:table/stack-OrdersTable-1ABC"
	var statements int
	walk(root["Resources"], func(m map[string]any) {
		actions, _ := m["Action"].([]any)
		if !slices.ContainsFunc(actions, func(a any) bool { return strings.HasPrefix(fmt.Sprint(a), "dynamodb:") }) {
			return
		}
		statements++
		sub, ok := m["Resource"].(string)
		if !ok {
			t.Errorf("%v on %v: this test does not know that form", actions, m["Resource"])
			return
		}
		pattern := regexp.QuoteMeta(strings.ReplaceAll(sub, "${OrdersTable.Arn}", table))
		matches := regexp.MustCompile("^" + strings.ReplaceAll(pattern, `\*`, ".*") + "$").MatchString
		var index string
		if slices.Contains(actions, any("dynamodb:Query")) {
			index = "/index/byTenant"
		}
		if slices.Contains(actions, any("dynamodb:GetRecords")) {
			index = "/stream/2026-11-27T00:00:00.000"
		}
		for _, name := range []string{"", "-restored", "-restored-2"} {
			if !matches(table + name + index) {
				t.Errorf("%v is not allowed on %s", actions, table+name+index)
			}
		}
		if other := strings.Replace(table, "stack", "other", 1) + index; matches(other) {
			t.Errorf("%v is allowed on %s", actions, other)
		}
	})
	if statements < 6 {
		t.Errorf("only %d statements found", statements)
	}
}

// TestKept: what is deleted with the stack can be made again. Orders can't, nor can the ids of
// the clients that own them.
func TestKept(t *testing.T) {
	t.Parallel()
	for name, r := range resources(t) {
		kind, _ := r["Type"].(string)
		want := any(nil)
		if kind == "AWS::DynamoDB::Table" || strings.HasPrefix(kind, "AWS::Cognito::") {
			want = "Retain"
		}
		if r["DeletionPolicy"] != want || r["UpdateReplacePolicy"] != want {
			t.Errorf("%s: DeletionPolicy %v and UpdateReplacePolicy %v, want %v", name, r["DeletionPolicy"], r["UpdateReplacePolicy"], want)
		}
	}
}

// TestQueuePolicies: each queue has a policy of its own, as SQS wants it, and takes requests
// over TLS alone.
func TestQueuePolicies(t *testing.T) {
	t.Parallel()
	policies := make(map[string]int)
	all := resources(t)
	for name, r := range all {
		if r["Type"] != "AWS::SQS::QueuePolicy" {
			continue
		}
		properties := r["Properties"].(map[string]any)
		statement := properties["PolicyDocument"].(map[string]any)["Statement"].([]any)[0].(map[string]any)
		queues := properties["Queues"].([]any)
		if len(queues) != 1 || statement["Resource"] != fmt.Sprint(queues[0], ".Arn") || statement["Effect"] != "Deny" ||
			fmt.Sprint(statement["Condition"]) != "map[Bool:map[aws:SecureTransport:false]]" {
			t.Errorf("%s on %v: %v", name, queues, statement)
		}
		policies[fmt.Sprint(queues[0])]++
	}
	for name, r := range all {
		if r["Type"] == "AWS::SQS::Queue" && policies[name] != 1 {
			t.Errorf("%s has %d policies", name, policies[name])
		}
	}
}

// TestAccessLog: the access log is where API Gateway may write without a policy of the account's,
// and says why an integration failed, which the function can't.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	all := resources(t)
	settings := all["HttpApi"]["Properties"].(map[string]any)["AccessLogSettings"].(map[string]any)
	group, _, _ := strings.Cut(fmt.Sprint(settings["DestinationArn"]), ".")
	if name := fmt.Sprint(all[group]["Properties"].(map[string]any)["LogGroupName"]); !strings.HasPrefix(name, "/aws/vendedlogs/${AWS::StackName}/") {
		t.Errorf("its name is %s", name)
	}
	var line map[string]string
	if err := json.Unmarshal([]byte(settings["Format"].(string)), &line); err != nil {
		t.Fatal(err)
	}
	if line["error"] != "$context.error.message" || line["integrationError"] != "$context.integrationErrorMessage" {
		t.Errorf("a line is %v", line)
	}
}

// resources returns the template's resources as they are written.
func resources(t *testing.T) map[string]map[string]any {
	t.Helper()
	var root struct {
		Resources map[string]map[string]any `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(source(t), &root); err != nil {
		t.Fatal(err)
	}
	return root.Resources
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

// resourcesOf decodes the template's resources of a type, by logical id.
func resourcesOf[P any](t *testing.T, kind string) map[string]P {
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
	for id, a := range resourcesOf[alarm](t, "AWS::CloudWatch::Alarm") {
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
	if got := resourcesOf[function](t, "AWS::Serverless::Function")["Reconcile"].RecursiveLoop; got != "Allow" {
		t.Errorf("the function's RecursiveLoop is %q", got)
	}
	alarms, read := resourcesOf[alarm](t, "AWS::CloudWatch::Alarm"), read(t)
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

// TestAlarmTopic: alarms go to a topic that the stack makes, or to the given one, and then the
// stack makes none.
func TestAlarmTopic(t *testing.T) {
	t.Parallel()
	all := resources(t)
	topic := all["Alarms"]
	if topic["Condition"] != "OwnTopic" {
		t.Errorf("the topic is made on the condition %v", topic["Condition"])
	}
	want := "[OwnTopic Alarms AlarmTopicArn]"
	if got := fmt.Sprint(all["AlarmsByEmail"]["Properties"].(map[string]any)["TopicArn"]); got != want {
		t.Errorf("the address is told by %s, want %s", got, want)
	}
	for name, r := range all {
		if r["Type"] != "AWS::CloudWatch::Alarm" {
			continue
		}
		properties := r["Properties"].(map[string]any)
		if told := fmt.Sprint(properties["AlarmActions"], properties["OKActions"]); told != "["+want+"] ["+want+"]" {
			t.Errorf("%s tells %s, want %s", name, told, want)
		}
	}
	const arn = "arn:aws:sns:us-east-1:123456789012:pager"
	for value, good := range map[string]bool{"": true, arn: true, "pager": false, arn + ".fifo": false, "arn:aws:sqs:us-east-1:123456789012:q": false} {
		_, err := template.Read(path, source(t), template.Options{Parameters: map[string]string{"AlarmTopicArn": value}})
		if (err == nil) != good {
			t.Errorf("the topic %q: %v", value, err)
		}
	}
}

// TestFirstClient: the first client is a tenant like any other, which may not do what operators do.
func TestFirstClient(t *testing.T) {
	t.Parallel()
	properties := resources(t)["UserPoolClient"]["Properties"].(map[string]any)
	if got := fmt.Sprint(properties["AllowedOAuthScopes"]); got != "[orders/read orders/write]" {
		t.Errorf("its scopes are %s", got)
	}
}

// TestWarmWrites: the table and all of its indexes are warm, since an index that throttles holds
// up the table's writes.
func TestWarmWrites(t *testing.T) {
	t.Parallel()
	properties := resources(t)["OrdersTable"]["Properties"].(map[string]any)
	const want = "[HasWarmWrites map[WriteUnitsPerSecond:WarmWrites] AWS::NoValue]"
	for _, part := range append(properties["GlobalSecondaryIndexes"].([]any), properties) {
		if got := fmt.Sprint(part.(map[string]any)["WarmThroughput"]); got != want {
			t.Errorf("%v is warmed to %s, want %s", part.(map[string]any)["IndexName"], got, want)
		}
	}
	if _, err := template.Read(path, source(t), template.Options{Parameters: map[string]string{"WarmWrites": "40000"}}); err != nil {
		t.Errorf("this machine's reader: %v", err)
	}
}

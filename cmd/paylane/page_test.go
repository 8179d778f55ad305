package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
)

// hello is an application that is not paylane's, and that needs nothing beside it.
const hello = "../../shared/emulator/runner/testdata/hello/template.yaml"

// section returns the lines of a part of a page, below its title.
func section(page, title string) []string {
	_, after, _ := strings.Cut(page, "\n"+title+"\n")
	text, _, _ := strings.Cut(after, "\n\n")
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// writeTemplate writes a template into a folder of its own.
func writeTemplate(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPageOfOthers: a page has the outputs, what is not emulated and where it is, what is
// read at the start, and what has no effect, each thing by its name.
func TestPageOfOthers(t *testing.T) {
	path := writeTemplate(t, `AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Tracing: Active}
Resources:
  Role: {Type: AWS::IAM::Role}
  Jobs: {Type: AWS::SQS::Queue, Properties: {Tags: []}}
  News: {Type: AWS::SNS::Topic, Properties: {Tags: []}}
  Pool: {Type: AWS::Cognito::UserPool}
  Fun:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
      FunctionUrlConfig: {AuthType: NONE}
      Environment: {Variables: {HOST: "{{resolve:ssm:/host}}", PEER: !ImportValue peer, LOGIN: "{{resolve:secretsmanager:login}}"}}
Outputs:
  Url: {Value: !GetAtt FunUrl.FunctionUrl}
  Later: {Value: "{{resolve:ssm:/host}}"}
  Peer: {Value: !ImportValue peer}
  Login: {Value: "{{resolve:secretsmanager:login}}"}
`)
	got := execute(t, "check", "--template", path, "--import", "peer=two\nlines")
	if got.status != exitOK {
		t.Fatal(got.err)
	}
	if !strings.HasPrefix(got.out, path+" can be run\nit needs --endpoint for Jobs\n") {
		t.Errorf("the page begins with %.200s", got.out)
	}
	for title, want := range map[string][]string{
		"Other resources": {
			"  News  AWS::SNS::Topic         made at --endpoint; without it, not there: calls to it will fail",
			"  Pool  AWS::Cognito::UserPool  not there: calls to it will fail",
		},
		"Read at --endpoint by the start": {"  {{resolve:ssm:/host}}", "  {{resolve:secretsmanager:login:SecretString}}"},
		"Outputs": {
			"  Url    http://127.0.0.1:3000/_url/Fun/",
			"  Later  unknown: it depends on a value that is not known yet",
			`  Peer   "two\nlines"`,
			"  Login  unknown: it is a secret, which is not shown",
		},
		"Without effect here": {
			"  there is one version — AWSTemplateFormatVersion",
			"  there is no X-Ray locally — Globals.Function.Tracing",
			"  there is no IAM locally: everything is allowed — Role",
			"  tags and descriptions are for people — Tags of Jobs, News",
		},
	} {
		if d := cmp.Diff(want, section(got.out, title)); d != "" {
			t.Errorf("%s (-want +got):\n%s", title, d)
		}
	}
}

// TestPageOfStreams: a function's line says how it gets a table's changes, as far as that is not
// the default.
func TestPageOfStreams(t *testing.T) {
	path := writeTemplate(t, `Transform: AWS::Serverless-2016-10-31
Globals: {Function: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023}}
Resources:
  Items: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [], StreamSpecification: {StreamViewType: KEYS_ONLY}}}
  GivenUp: {Type: AWS::SQS::Queue}
  Plain:
    Type: AWS::Serverless::Function
    Properties:
      Events: {All: {Type: DynamoDB, Properties: {Stream: !GetAtt Items.StreamArn, StartingPosition: TRIM_HORIZON}}}
  Full:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        All:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Items.StreamArn
            StartingPosition: LATEST
            BatchSize: 7
            MaximumBatchingWindowInSeconds: 5
            ParallelizationFactor: 2
            BisectBatchOnFunctionError: true
            MaximumRetryAttempts: 3
            MaximumRecordAgeInSeconds: 90
            DestinationConfig: {OnFailure: {Destination: !GetAtt GivenUp.Arn}}
            Enabled: false
`)
	got := execute(t, "check", "--template", path)
	if got.status != exitOK {
		t.Fatal(got.err)
	}
	want := []string{
		"  Plain  timeout 3s  ← changes of Items from TRIM_HORIZON in batches of 100",
		"  Full   timeout 3s  ← changes of Items from LATEST in batches of 7 gathered for 5s, 2 of a shard at a time, " +
			"split when they fail, tried again 3 times, given up after 1m30s, what is given up → GivenUp, disabled",
	}
	if d := cmp.Diff(want, section(got.out, "Functions")); d != "" {
		t.Errorf("functions (-want +got):\n%s", d)
	}
}

// pageOf returns the start page, and checks that a single Write printed it.
func pageOf(t *testing.T, c config) string {
	t.Helper()
	written := make(writes, 100)
	c.Out = written
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, c) }()
	select {
	case page := <-written:
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		return string(page)
	case err := <-ended:
		cancel()
		t.Fatal(err)
		return ""
	}
}

// TestShortPage: what is served fits a terminal: the address, the console, who may call, the data,
// each route, each queue with its settings, and each function. What has no effect is a number.
func TestShortPage(t *testing.T) {
	c := testConfig(t)
	page := pageOf(t, c)
	lines := strings.Split(strings.TrimSpace(page), "\n")
	url, ok := strings.CutPrefix(lines[0], "paylane serves ")
	if !ok || len(lines) > 45 || lines[len(lines)-1] != "Ctrl-C finishes what is in flight and stops." {
		t.Errorf("the page has %d lines:\n%s", len(lines), page)
	}
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > 80 && !strings.Contains(line, c.Data) {
			t.Errorf("a line has %d columns: %s", n, line)
		}
	}
	read, err := runner.Check(runner.Config{Template: c.Template, Parameters: c.parameters()})
	if err != nil {
		t.Fatal(err)
	}
	wants := []string{
		"  console  " + url + "/console\n", "  data     " + c.Data + "\n", "  access   any program on this machine; ",
		"  PaymentQueue    visibility 1m     retention 13d  1000 receives → PaymentDLQ\n",
		"  ReconcileQueue  visibility 1h30m  retention 1d\n",
		"  Payment     timeout 10s  ← PaymentQueue\n", "  Stream      timeout 5m30s\n", "  Smoke       timeout 2m  nothing here invokes it\n",
		"  Stream   /_url/Stream/, /orders/{id}/events\n", " any other\n",
		fmt.Sprintf("\nWithout effect here: %d settings, which --verbose and \"paylane check\" list.\n", len(read.Skipped)),
	}
	for _, q := range read.Queues {
		wants = append(wants, "\n  "+q.LogicalID+" ")
	}
	for _, f := range read.Functions {
		wants = append(wants, "\n  "+f.LogicalID+" ")
	}
	for _, want := range wants {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in:\n%s", want, page)
		}
	}
	// "Api  GET /docs, GET HEAD POST /orders," is four routes of Api, in lines of which the further
	// ones are indented.
	routes := make(map[string]string)
	function := ""
	for _, line := range section(page, "Routes") {
		if line[2] != ' ' {
			function, line, _ = strings.Cut(line[2:], " ")
		}
		routes[function] += line
	}
	for _, r := range read.APIs[0].Routes {
		if !slices.ContainsFunc(strings.Split(routes[r.Function], ","), func(entry string) bool {
			words := strings.Fields(entry)
			last := len(words) - 1
			return words[last] == r.Path && slices.Contains(words[:last], r.Method) || r.Key == template.DefaultRoute && words[0] == "any"
		}) {
			t.Errorf("%s is not in %s", r.Key, routes[r.Function])
		}
	}
}

// TestShortPageOfOthers: of another template the short page still names what is silently different
// here, each thing.
func TestShortPageOfOthers(t *testing.T) {
	c := testConfig(t)
	c.Template = writeTemplate(t, `Transform: AWS::Serverless-2016-10-31
Resources:
  News: {Type: AWS::SNS::Topic}
  Greeter:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: bootstrap
      Runtime: provided.al2023
      Tracing: Active
      Events: {Greet: {Type: HttpApi, Properties: {Method: GET, Path: "/greet/{name}"}}}
Outputs:
  Name: {Value: "42"}
`)
	program := filepath.Join(filepath.Dir(c.Template), "bootstrap")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	out := new(lines)
	c.Out = out
	url, stop := runRunner(t, c)
	stop()
	_, page, _ := strings.Cut(out.String(), "paylane serves ")
	want := url + `

  access  any program on this machine; --auth jwt requires access tokens

Routes
  Greeter  GET /greet/{name}

Functions
  Greeter  timeout 3s

Other resources
  News  AWS::SNS::Topic  not there: calls to it will fail (there is no endpoint)

Outputs
  Name  42

Without effect here
  there is no X-Ray locally — Greeter.Tracing

Credentials
  the functions have made-up ones, and their calls to AWS are refused; --aws-credentials gives them the shell's and lets them call AWS

Ctrl-C finishes what is in flight and stops.
`
	if d := cmp.Diff(want, page); d != "" {
		t.Errorf("the page (-want +got):\n%s", d)
	}
}

// TestSources: what is disabled is named, and says so.
func TestSources(t *testing.T) {
	read := &template.Template{
		Schedules:      []template.Schedule{{Function: "F", Expression: "rate(1 day)"}, {Function: "G", Expression: "rate(2 days)", Enabled: true}},
		Mappings:       []template.Mapping{{Function: "F", Queue: "Q", Enabled: true}, {Function: "F", Queue: "R"}},
		StreamMappings: []template.StreamMapping{{Function: "F", Table: "T", Enabled: true}},
	}
	want := []string{"rate(1 day) (disabled)", "Q", "R (disabled)", "changes of T"}
	if d := cmp.Diff(want, sources(read, "F")); d != "" {
		t.Errorf("sources (-want +got):\n%s", d)
	}
}

func TestBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m",
		24 * time.Hour: "1d", 25 * time.Hour: "25h", time.Hour + time.Second: "1h0m1s", 0: "0s",
	} {
		if got := brief(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

// TestOwnPage: with --verbose the page is whole. The address comes first, and last with the way out;
// in between everything without effect is named, in lines that fit a terminal.
func TestOwnPage(t *testing.T) {
	c := testConfig(t)
	c.Verbose = true
	page := pageOf(t, c)
	lines := strings.Split(strings.TrimSpace(page), "\n")
	if !strings.HasPrefix(lines[0], "paylane serves http://") || !strings.HasSuffix(lines[len(lines)-1], " is ready. Ctrl-C finishes what is in flight and stops.") {
		t.Errorf("the page begins with %s and ends with %s", lines[0], lines[len(lines)-1])
	}
	if want := "  Alarms  AWS::SNS::Topic  not there: calls to it will fail (there is no endpoint)"; section(page, "Other resources")[0] != want {
		t.Errorf("other resources: %q", section(page, "Other resources"))
	}
	effectless := section(page, "Without effect here")
	for _, line := range effectless {
		if n := utf8.RuneCountInString(line); n > 100 {
			t.Errorf("a line has %d columns: %s", n, line)
		}
	}
	all := strings.Join(strings.Fields(strings.Join(effectless, " ")), " ")
	words := strings.FieldsFunc(all, func(r rune) bool { return strings.ContainsRune(" ,;", r) })
	known := make(map[string]bool)
	for _, word := range words {
		known[word] = true
	}
	read, err := runner.Check(runner.Config{Template: c.Template, Parameters: c.parameters()})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range read.Skipped {
		path := strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(s.Path, "Resources."), "Parameters."), ".Properties.", ".")
		holder, key := path, path
		if i := strings.LastIndexByte(path, '.'); i >= 0 {
			holder, key = path[:i], path[i+1:]
		}
		if !known[path] && (!known[holder] || !known[key]) || !strings.Contains(all, s.Reason) {
			t.Errorf("%s is not named: %s", s.Path, s.Reason)
		}
	}
}

// writes is a writer that hands each Write on.
type writes chan []byte

func (w writes) Write(p []byte) (int, error) {
	w <- bytes.Clone(p)
	return len(p), nil
}

// TestNothingBeside: a template that is not paylane's and needs no endpoint is built and
// runs without one, and leaves the data alone.
func TestNothingBeside(t *testing.T) {
	c := testConfig(t)
	c.Template, c.Data = hello, filepath.Join(t.TempDir(), "data")
	c.Parameters = map[string]string{"Greeting": "good day"}
	url := startRunner(t, c)
	if status, body := fetch(t, url+"/greet/ann"); status != http.StatusOK || body != "good day, ann" {
		t.Errorf("%d %s", status, body)
	}
	if _, err := os.Stat(c.Data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the data: %v", err)
	}
}

// TestEndpointIsMissing: a template that needs an endpoint says for what, and once how to
// have one, in the version that the tests run on.
func TestEndpointIsMissing(t *testing.T) {
	path := writeTemplate(t, `Transform: AWS::Serverless-2016-10-31
Resources:
  Jobs: {Type: AWS::SQS::Queue}
  Items:
    Type: AWS::DynamoDB::Table
    Properties: {KeySchema: [{AttributeName: a, KeyType: HASH}], AttributeDefinitions: [{AttributeName: a, AttributeType: S}], BillingMode: PAY_PER_REQUEST}
`)
	got := execute(t, "--addr", "127.0.0.1:0", "--template", path)
	want := "paylane: " + path + ` can't be run:
  line 3: Resources.Jobs: a queue needs an endpoint
  line 4: Resources.Items: a table needs an endpoint
it needs an endpoint that speaks AWS's protocols, such as LocalStack's
Bring one up:  docker run --rm -p 4566:4566 localstack/localstack:4.14.0
and run with:  --endpoint http://127.0.0.1:4566
`
	if d := cmp.Diff(want, got.err); d != "" || got.status != exitFailed {
		t.Errorf("status %d (-want +got):\n%s", got.status, d)
	}
	compose, err := os.ReadFile(filepath.Join(root, "localstack/compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, image, _ := strings.Cut(string(compose), "image: "); !strings.Contains(bringUp, strings.Fields(image)[0]) {
		t.Error("the tests run on another version")
	}
}

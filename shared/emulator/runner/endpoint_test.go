package runner_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
)

// services is an endpoint with Systems Manager, Secrets Manager, and tables that all have a
// stream. It knows no other service.
type services struct {
	*httptest.Server

	mu         sync.Mutex
	parameters map[string]string
	secrets    map[string]string
	calls      []string // the operations, with the names
	empty      bool     // secrets without a value have none, and tables no stream
}

const madeStream = "arn:aws:dynamodb:us-east-1:000000000000:table/items/stream/2026-07-10T00:00:00.000"

func newServices(t *testing.T, parameters, secrets map[string]string) *services {
	t.Helper()
	s := &services{parameters: parameters, secrets: secrets}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *services) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var input struct{ Name, SecretID, SecretString string }
	_ = json.Unmarshal(body, &input)
	name := input.Name + input.SecretID
	if _, id, isARN := strings.Cut(name, ":secret:"); isARN {
		name = id
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, strings.TrimSpace(operation+" "+name))
	status, answer := http.StatusBadRequest, map[string]any{"__type": "ResourceNotFoundException", "message": "none"}
	found := func(values map[string]string, answers func(value string) map[string]any) {
		if value, ok := values[name]; ok {
			status, answer = http.StatusOK, answers(value)
		}
	}
	switch operation {
	case "GetParameter":
		answer["__type"] = "ParameterNotFound"
		found(s.parameters, func(value string) map[string]any {
			return map[string]any{"Parameter": map[string]any{"Value": value, "Type": "String"}}
		})
	case "GetSecretValue", "DescribeSecret":
		if s.empty && operation == "GetSecretValue" && s.secrets[name] == "" {
			break
		}
		found(s.secrets, func(value string) map[string]any { return map[string]any{"SecretString": value} })
	case "GetRandomPassword":
		status, answer = http.StatusOK, map[string]any{"RandomPassword": "sesame"}
	case "CreateSecret":
		s.secrets[name] = input.SecretString
		status, answer = http.StatusOK, map[string]any{"ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:" + name + "-AbCdEf"}
	case "CreateTable":
		status, answer = http.StatusOK, map[string]any{}
	case "DescribeTable":
		status, answer = http.StatusOK, map[string]any{"Table": map[string]any{
			"TableStatus": "ACTIVE", "LatestStreamArn": madeStream,
			"StreamSpecification": map[string]any{"StreamEnabled": !s.empty, "StreamViewType": "KEYS_ONLY"},
		}}
	default:
		status, answer = http.StatusNotImplemented, map[string]any{"__type": "InternalFailure", "message": "no such service"}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// looking is a template whose function, which nothing here invokes, is given values that
// are read elsewhere, one of them of a secret of its own.
const looking = `Transform: AWS::Serverless-2016-10-31
Parameters:
  Host: {Type: "AWS::SSM::Parameter::Value<String>", Default: /shop/host}
Resources:
  Login:
    Type: AWS::SecretsManager::Secret
    Properties:
      Name: login
      GenerateSecretString: {SecretStringTemplate: '{"user": "{{resolve:secretsmanager:admin}}"}', GenerateStringKey: password}
  Show:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: show
      Handler: bootstrap
      Runtime: provided.al2023
      Environment:
        Variables:
          HOST: !Ref Host
          PORT: "{{resolve:ssm:/shop/port:3}}"
          ADMIN: "{{resolve:secretsmanager:admin}}"
          LOGIN: !Sub "{{resolve:secretsmanager:${Login}:SecretString:password}}"
          USER: !Sub "{{resolve:secretsmanager:${Login}:SecretString:user}}"
          PEER: !ImportValue peer-url
`

var imports = map[string]string{"peer-url": "https://peer.test"}

// TestLookups: what the template refers to is read at the endpoint, each value once; a
// secret of its own, whose value is generated, is made before.
func TestLookups(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "template.yaml"), looking)
	s := newServices(t, map[string]string{"/shop/host": "db.test", "/shop/port:3": "5432"}, map[string]string{"admin": "ann"})
	want := map[string]string{
		"HOST": "db.test", "PORT": "5432", "ADMIN": "ann", "LOGIN": "sesame", "USER": "ann", "PEER": "https://peer.test",
	}
	for _, start := range []string{"the first", "the second, which finds the secret"} {
		r, err := runner.Start(t.Context(), runner.Config{Template: path, Endpoint: s.URL, Imports: imports})
		if err != nil {
			t.Fatal(start, err)
		}
		if d := cmp.Diff(want, r.Template().Functions[0].Environment); d != "" {
			t.Errorf("%s: the environment (-want +got):\n%s", start, d)
		}
		if absent := r.Absent(); absent != nil {
			t.Errorf("%s: not there: %v", start, absent)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if made := slices.DeleteFunc(s.calls, func(call string) bool { return call != "CreateSecret login" }); len(made) != 1 {
		t.Errorf("the secret was made %d times", len(made))
	}
}

// TestLookupsThatFail: everything that is missing is named, with its place and what to do
// about it, and nothing is made for what can't start.
func TestLookupsThatFail(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "template.yaml"), looking)
	s := newServices(t, nil, map[string]string{})
	_, err := runner.Start(t.Context(), runner.Config{Template: path, Endpoint: s.URL, Imports: imports})
	if err == nil {
		t.Fatal("it started")
	}
	for _, part := range []string{
		"line 3: Parameters.Host: ", "there is no parameter /shop/host at " + s.URL + ": make it with `aws ssm put-parameter --name /shop/host --type String " +
			"--value VALUE --region us-east-1 --endpoint-url " + s.URL + "`, or give it by --parameter Host=Value",
		"line 19: Resources.Show", "there is no parameter /shop/port in its version 3 at ",
		"line 20: Resources.Show", "there is no secret admin at " + s.URL + ": make it with `aws secretsmanager create-secret --name admin --secret-string VALUE ",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "secret:login") || slices.Contains(s.calls, "CreateSecret login") {
		t.Errorf("the secret that waits for another is made, or reported: %v", err)
	}

	s.Close()
	_, err = runner.Start(t.Context(), runner.Config{Template: path, Endpoint: s.URL, Imports: imports})
	if err == nil || !strings.Contains(err.Error(), "at the endpoint "+s.URL+": read parameter /shop/host: ") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("an endpoint where nobody answers: %v", err)
	}
	_, err = runner.Start(t.Context(), runner.Config{Template: path})
	if err == nil || !strings.Contains(err.Error(), "--import peer-url=Value") || !strings.Contains(err.Error(), "--parameter Host=Value") {
		t.Errorf("without an endpoint: %v", err)
	}
}

// TestOwnSecretThatIsNotMade: a secret of the template's own that can't be made is named
// with the reason, for what refers to it.
func TestOwnSecretThatIsNotMade(t *testing.T) {
	t.Parallel()
	for generate, want := range map[string]string{
		"GenerateSecretString: {PasswordLength: long}": "line 5: Resources.Login: its value is needed, but its PasswordLength is not a number",
		"Description: without a value":                 "line 5: Resources.Login: its value is needed, but it has none",
	} {
		s := newServices(t, nil, map[string]string{})
		s.empty = true
		_, err := runner.Start(t.Context(), runner.Config{Endpoint: s.URL, Template: write(t, filepath.Join(t.TempDir(), "template.yaml"), `Transform: AWS::Serverless-2016-10-31
Parameters:
  Name: {Type: String, Default: login}
Resources:
  Login: {Type: AWS::SecretsManager::Secret, Properties: {Name: login, `+generate+`}}
  News: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Sub "{{resolve:secretsmanager:${Name}}}"}}
`)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", generate, err)
		}
	}
}

// TestStreamARNs: functions see the ARN that the endpoint gave the stream when its table was
// made.
func TestStreamARNs(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "template.yaml"), looking+`          STREAM: !GetAtt Items.StreamArn
  Items: {Type: AWS::DynamoDB::Table, Properties: {TableName: items, KeySchema: [], StreamSpecification: {StreamViewType: KEYS_ONLY}}}
`)
	s := newServices(t, map[string]string{"/shop/host": "db.test", "/shop/port:3": "5432"}, map[string]string{"admin": "ann"})
	r, err := runner.Start(t.Context(), runner.Config{Template: path, Endpoint: s.URL, Imports: imports})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Template(); got.Functions[0].Environment["STREAM"] != madeStream || got.Tables[0].StreamARN != madeStream {
		t.Errorf("the environment is %v, and the table's stream %s", got.Functions[0].Environment, got.Tables[0].StreamARN)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}

	s.empty = true
	_, err = runner.Start(t.Context(), runner.Config{Template: path, Endpoint: s.URL, Imports: imports})
	if err == nil || !strings.Contains(err.Error(), "at the endpoint "+s.URL+": create the table Items: it exists without a stream: ") {
		t.Errorf("a table without a stream: %v", err)
	}
}

// TestCheckReadsNothing: a check lists what the start will read.
func TestCheckReadsNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "template.yaml")
	write(t, path, strings.Replace(looking, "CodeUri: show", "CodeUri: .", 1))
	checked, err := runner.Check(runner.Config{Template: path, Imports: imports})
	if err != nil {
		t.Fatal(err)
	}
	var read []string
	for _, ref := range checked.Lookups {
		read = append(read, ref.String())
	}
	want := []string{
		"{{resolve:secretsmanager:admin:SecretString}}",
		"{{resolve:secretsmanager:arn:aws:secretsmanager:us-east-1:123456789012:secret:login:SecretString:password}}",
		"{{resolve:secretsmanager:arn:aws:secretsmanager:us-east-1:123456789012:secret:login:SecretString:user}}",
		"{{resolve:ssm:/shop/host}}", "{{resolve:ssm:/shop/port:3}}",
	}
	slices.Sort(read)
	if d := cmp.Diff(want, read); d != "" {
		t.Errorf("to be read (-want +got):\n%s", d)
	}
}

const externals = `  News: {Type: AWS::SNS::Topic}
  Files: {Type: AWS::S3::Bucket}
  Pool: {Type: AWS::Cognito::UserPool}
`

// TestAbsent: what is not there is told to the caller, with the reason.
func TestAbsent(t *testing.T) {
	t.Parallel()
	none := newServices(t, nil, nil)
	unmade, missing := "resources of its type are not made", "the endpoint answers 501 Not Implemented"
	for name, tt := range map[string]struct {
		config runner.Config
		want   [3]string // how the reasons of News, Files and Pool begin
	}{
		"no endpoint":                {runner.Config{}, [3]string{"there is no endpoint", "there is no endpoint", "there is no endpoint"}},
		"a platform of the caller's": {runner.Config{Platform: new(platform).open}, [3]string{"there is no endpoint", "there is no endpoint", "there is no endpoint"}},
		"services that it lacks":     {runner.Config{Endpoint: none.URL}, [3]string{missing, missing, unmade}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.config.Template = inTemplate(t, externals)
			r := start(t, tt.config)
			reasons := make(map[string]string)
			for _, a := range r.Absent() {
				reasons[a.LogicalID] = a.Reason
			}
			for i, id := range []string{"News", "Files", "Pool"} {
				if !strings.HasPrefix(reasons[id], tt.want[i]) || reasons[id] == "" {
					t.Errorf("%s: %q", id, reasons[id])
				}
			}
		})
	}
}

// TestNeedsEndpoint: without an endpoint a template is refused only for what it can't do
// without: queues, tables, and topics that a function is given.
func TestNeedsEndpoint(t *testing.T) {
	t.Parallel()
	const given = `  Fun:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: fun
      Handler: bootstrap
      Runtime: provided.al2023
      FunctionUrlConfig: {AuthType: NONE}
      Environment: {Variables: {VALUE: !Ref %}}
`
	for _, tt := range []struct {
		name, resources string
		want            []string
	}{
		{"a queue", "  Jobs: {Type: AWS::SQS::Queue}\n", []string{"line 3: Resources.Jobs: a queue needs an endpoint"}},
		{"a topic that a function is given", externals + strings.Replace(given, "%", "News", 1), []string{"line 3: Resources.News: a topic that a function is given needs an endpoint"}},
		{"a bucket that a function is given", externals + strings.Replace(given, "%", "Files", 1), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := inTemplate(t, tt.resources)
			write(t, filepath.Join(filepath.Dir(path), "fun", "go.mod"), "module fun\n\ngo 1.26\n")
			write(t, filepath.Join(filepath.Dir(path), "fun", "main.go"), function)
			checked, err := runner.Check(runner.Config{Template: path})
			if err != nil {
				t.Fatal(err)
			}
			if needs := runner.NeedsEndpoint(checked); len(needs) != len(tt.want) {
				t.Errorf("it needs one for %v", needs)
			}
			if tt.want == nil {
				start(t, runner.Config{Template: path})
				return
			}
			_, err = runner.Start(t.Context(), runner.Config{Template: path})
			if placed := new(template.Error); !errors.Is(err, runner.ErrNoEndpoint) || !errors.As(err, &placed) {
				t.Fatalf("the error is %v", err)
			}
			for _, part := range tt.want {
				if strings.Count(err.Error(), part) != 1 {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// outcome is what a command line did.
type outcome struct {
	status   int
	out, err string
}

func execute(t *testing.T, args ...string) outcome {
	t.Helper()
	return executeOn(t, false, args...)
}

func executeOn(t *testing.T, terminal bool, args ...string) outcome {
	t.Helper()
	var out, err bytes.Buffer
	status := newCLI(&out, &err, terminal).execute(t.Context(), append([]string{}, args...))
	return outcome{status, out.String(), err.String()}
}

// newCLI is the command line as main makes it, in an empty environment.
func newCLI(out, err io.Writer, terminal bool) cli {
	return cli{
		in: strings.NewReader(""), out: out, err: err, terminal: terminal,
		getenv: func(string) string { return "" }, now: time.Now, jitter: rand.IntN,
	}
}

// TestHelp: each command explains itself in lines that a terminal of 80 columns shows
// whole, and the program in a screen of 24.
func TestHelp(t *testing.T) {
	for command, wants := range map[string][]string{
		"":       {"run ", "check ", "token ", "load ", "smoke ", "listen ", "retry ", "erase ", "completion ", "paylane run"},
		"run":    {"--addr", "--data", "--template", "--parameter", "--import", "--auth", "--issuer", "--audience", "--tenant-claim", "--claim", "--gateway", "--gateway-key", "--gateway-url", "--endpoint", "--aws-credentials", "--otlp", "--verbose", "--json"},
		"check":  {"--template", "--parameter", "--import"},
		"token":  {"--tenant", "--scope", "--claim", "--addr", "--data"},
		"load":   {"--url", "-c, --connections", "-d, --duration", "--json", "--allow-remote"},
		"smoke":  {"--url", "--token", "--allow-remote", "--gateway", "--livemode"},
		"listen": {"--forward-to", "--url", "--token", "--allow-remote", "--events", "--addr", "--public-url", "--print-secret", "--json"},
		"erase":  {"--url", "--token", "--customer", "--tenant", "--rate", "--dry-run"},
		"retry":  {"--url", "--token", "--since", "--code", "--tenant", "--rate", "--dry-run"},
	} {
		got := execute(t, append(strings.Fields(command), "--help")...)
		if got.status != exitOK || got.err != "" {
			t.Errorf("%s: status %d, %s", command, got.status, got.err)
		}
		lines := strings.Split(strings.TrimSpace(got.out), "\n")
		if command == "" && len(lines) > 24 {
			t.Errorf("the help has %d lines:\n%s", len(lines), got.out)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > 80 {
				t.Errorf("%s: a line has %d columns: %s", command, utf8.RuneCountInString(line), line)
			}
		}
		for _, want := range wants {
			if !strings.Contains(got.out, want) {
				t.Errorf("%s: %q is not in:\n%s", command, want, got.out)
			}
		}
	}
}

// TestWrongUsage: the message names the command and what is wrong, and the status is 2.
func TestWrongUsage(t *testing.T) {
	for args, wants := range map[string][]string{
		"chek":                    {`paylane: unknown command "chek"`, "Did you mean this?", "check", `See "paylane --help"`},
		"chek --template x":       {`unknown command "chek"`, "check"},
		"--nope":                  {"paylane: unknown flag: --nope", `See "paylane --help"`},
		"run --nope":              {"paylane run: unknown flag: --nope", `See "paylane run --help"`},
		"run here":                {`paylane run: unexpected argument "here"`},
		"check t.yaml":            {`paylane check: unexpected argument "t.yaml"`},
		"--auth maybe":            {"paylane: ", `"maybe"`, "--auth", "must be none or jwt"},
		"--import peer":           {`"peer"`, "--import", "must be Name=Value"},
		"--parameter Stage":       {`"Stage"`, "--parameter", "must be Name=Value"},
		"--issuer https://i.test": {"paylane: --issuer", "add --auth jwt"},
		"run --addr 0.0.0.0:80":   {"paylane run: --addr 0.0.0.0:80", "loopback"},
		"--endpoint 127.0.0.1:1":  {"--endpoint", "http://"},
		"--otlp 127.0.0.1:4318":   {"--otlp", "http://127.0.0.1:4318"},
		"run --otlp http://127.0.0.1:4318 --template ../../template.yaml --endpoint http://127.0.0.1:1":   {"paylane run: --otlp is for", "leave out --endpoint"},
		"run --otlp http://127.0.0.1:4318 --template ../../shared/emulator/template/testdata/orders.yaml": {"paylane run: --otlp is for", "paylane's own --template"},
		"completion bash now":                                {"paylane completion bash: ", "now"},
		"smoke --url localhost:80":                           {"paylane smoke: --url", "must be like"},
		"listen --url localhost:80":                          {"paylane listen: --url", "must be like"},
		"listen --url https://example.com":                   {"example.com is not this machine", "add --allow-remote"},
		"listen --url https://example.com --allow-remote":    {"is on another machine", "add --public-url"},
		"listen --public-url https://tunnel.test":            {"--public-url needs an --addr with a port"},
		"listen --public-url tunnel.test --addr 127.0.0.1:1": {"--public-url", "is not a URL such as"},
		"listen --addr 3001":                                 {"--addr", "is not host:port"},
		"listen --addr 0.0.0.0:3001":                         {"--addr 0.0.0.0:3001 is not a loopback address", "add --public-url"},
		"listen --forward-to 127.0.0.1:4242":                 {"--forward-to must be like http://127.0.0.1:4242/webhooks"},
		"listen --forward-to localhost:4242":                 {"--forward-to must be like"},
		"listen --forward-to http://a:b@localhost":           {"--forward-to must be like"},
		"listen here":                 {"paylane listen: unexpected argument"},
		"erase":                       {"--customer is missing"},
		"erase --customer c --rate 0": {"--rate must be from 1"},
		"retry":                       {"--since is missing"},
		"retry --since yesterday":     {"--since", "must be a time such as"},
		"retry --since 1h --rate 0":   {"--rate must be from 1"},
	} {
		got := execute(t, strings.Fields(args)...)
		if got.status != exitUsage || got.out != "" {
			t.Errorf("%s: status %d, %s", args, got.status, got.out)
		}
		for _, want := range wants {
			if !strings.Contains(got.err, want) {
				t.Errorf("%s: %q is not in:\n%s", args, want, got.err)
			}
		}
	}
}

// TestCompletion: a shell can complete the commands.
func TestCompletion(t *testing.T) {
	if got := execute(t, "completion", "bash"); got.status != exitOK || !strings.Contains(got.out, "paylane") {
		t.Errorf("%+v", got)
	}
	if got := execute(t, "__complete", "ch"); got.status != exitOK || !strings.Contains(got.out, "check\t") {
		t.Errorf("%+v", got)
	}
}

// TestCheck shows what would be served, or every problem with its line.
func TestCheck(t *testing.T) {
	got := execute(t, "check", "--template", filepath.Join(root, "template.yaml"), "--parameter", "RequestRate=7")
	if got.status != exitOK || got.err != "" {
		t.Fatalf("status %d, %s", got.status, got.err)
	}
	for _, want := range []string{
		"template.yaml can be run", "POST       /orders ", "http://127.0.0.1:3000/_url/Stream/", "PaymentQueue ", "→ PaymentDLQ", "DeadLetter", "nothing here invokes it",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in:\n%s", want, got.out)
		}
	}

	path := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(path, []byte(`Transform: AWS::Serverless-2016-10-31
Resources:
  Bus:
    Type: AWS::Events::EventBus
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: worker
      Handler: bootstrap
      Runtime: python3.13
      Timeout: 1000
`), 0o600); err != nil {
		t.Fatal(err)
	}
	got = execute(t, "check", "--template", path, "--parameter", "Colour=red")
	if got.status != exitFailed || got.out != "" {
		t.Errorf("status %d, %s", got.status, got.out)
	}
	for _, want := range []string{"paylane check: " + path, "Colour", "line 4: ", "line 10: ", "line 11: "} {
		if !strings.Contains(got.err, want) {
			t.Errorf("%q is not in:\n%s", want, got.err)
		}
	}
}

// TestRunCommand: the program runs with the word and without it, and logs what it is told
// to log.
func TestRunCommand(t *testing.T) {
	for _, command := range [][]string{nil, {"run"}} {
		ctx, stop := context.WithCancel(t.Context())
		page, out := io.Pipe()
		var log bytes.Buffer
		ended := make(chan int, 1)
		args := append(slices.Clip(command), "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--template", filepath.Join(root, "template.yaml"), "--verbose", "--json")
		go func() { ended <- newCLI(out, &log, false).execute(ctx, args) }()
		if status, body := fetch(t, address(t, page)+"/healthz"); status != 200 {
			t.Errorf("%d %s", status, body)
		}
		stop()
		if status := <-ended; status != exitOK {
			t.Errorf("%v: status %d, %s", command, status, &log)
		}
		lines := 0
		for scanner := bufio.NewScanner(&log); scanner.Scan(); lines++ {
			var line struct{ Level, Msg string }
			if err := json.Unmarshal(scanner.Bytes(), &line); err != nil || line.Level == "" || line.Msg == "" {
				t.Errorf("%s: %v", scanner.Text(), err)
			}
		}
		if lines == 0 {
			t.Error("nothing was logged")
		}
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"paylane/shared/pebblestore"
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

// TestStartFails: what keeps the runner from starting is one line that says what to do.
func TestStartFails(t *testing.T) {
	own := filepath.Join(root, "template.yaml")
	used, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = used.Close() }()
	locked := t.TempDir()
	db, err := pebblestore.Open(pebblestore.Options{Dir: locked})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mistaken := writeTemplate(t, "Transform: AWS::Serverless-2016-10-31\nResources:\n  Jobs: {Type: AWS::SQS::Quee}\n")
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"port in use": {
			[]string{"--addr", used.Addr().String()},
			used.Addr().String() + " is in use by another program: stop it, or choose another address with --addr 127.0.0.1:0",
		},
		"another machine's address": {
			[]string{"--addr", "192.0.2.1:3000", "--auth", "jwt"},
			"192.0.2.1:3000 is not an address of this machine: choose another with --addr",
		},
		"no port": {
			[]string{"--addr", "127.0.0.1:99999"},
			"--addr 127.0.0.1:99999: listen tcp: address 99999: invalid port",
		},
		"folder in use": {
			[]string{"--data", locked},
			"the data folder " + locked + " is in use by another process: stop that one, or choose another folder with --data",
		},
		"folder is a file": {
			[]string{"--data", file},
			"the data folder " + file + " can't be used (mkdir " + file + ": not a directory): choose another with --data",
		},
		"folder of the key is a file": {
			[]string{"--data", file, "--auth", "jwt"},
			"the data folder " + file + " can't be used (open " + file + "/issuer.pem: not a directory): choose another with --data",
		},
		"no template": {
			[]string{"--template", "nope.yaml"},
			"there is no template nope.yaml: run this in its folder, or name it with --template",
		},
		"template is a folder": {
			[]string{"--template", "testdata"},
			"the template testdata can't be read (is a directory): name another with --template",
		},
		"mistake in the template": {
			[]string{"--template", mistaken},
			mistaken + " can't be run: line 3: Resources.Jobs: the resource type AWS::SQS::Quee is not supported",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := execute(t, append([]string{"run", "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--template", own}, row.args...)...)
			if want := (outcome{exitFailed, "", "paylane run: " + row.want + "\n"}); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
	if got := execute(t, "check", "--template", "nope.yaml"); got.status != exitFailed || !strings.HasPrefix(got.err, "paylane check: there is no template nope.yaml: ") {
		t.Errorf("check: %+v", got)
	}
}

// TestStartIsDenied: what the system refuses is one line too. The user who runs the tests may
// have every permission, so the refusals are made up.
func TestStartIsDenied(t *testing.T) {
	damaged := fmt.Errorf("%w: %w", pebblestore.ErrDamaged, &fs.PathError{Op: "open", Path: "data/1.sst", Err: fs.ErrNotExist})
	for _, row := range []struct {
		denied error
		want   string
	}{
		{
			&fs.PathError{Op: "mkdir", Path: "data", Err: syscall.EACCES},
			"the data folder data can't be used (mkdir data: permission denied): choose another with --data",
		},
		{
			&fs.PathError{Op: "mkdir", Path: "data", Err: syscall.ENOSPC},
			"open the database in data: mkdir data: no space left on device: make space, or choose another folder with --data",
		},
		// Another folder would have none of the orders.
		{damaged, "open the database in data: " + damaged.Error()},
	} {
		c := testConfig(t)
		c.Data = "data"
		c.FS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpMkdirAll {
				return row.denied
			}
			return nil
		}))
		if err := run(t.Context(), c); err == nil || err.Error() != row.want {
			t.Errorf("the folder: %v, want %s", err, row.want)
		}
	}
	err := addrError("127.0.0.1:80", &net.OpError{Op: "listen", Err: syscall.EACCES})
	if want := "127.0.0.1:80 needs privileges that this program does not have: choose a port above 1023 with --addr"; err.Error() != want {
		t.Errorf("the port: %v, want %s", err, want)
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

// TestRunCommand: the program runs with the word and without it. With --json each line that it
// prints is JSON: what is served comes first, then what functions print, and the log.
func TestRunCommand(t *testing.T) {
	for _, command := range [][]string{nil, {"run"}} {
		ctx, stop := context.WithCancel(t.Context())
		page, out := io.Pipe()
		var log bytes.Buffer
		ended := make(chan int, 1)
		args := append(slices.Clip(command), "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--template", filepath.Join(root, "template.yaml"), "--verbose", "--json")
		go func() {
			ended <- newCLI(out, &log, false).execute(ctx, args)
			_ = out.Close()
		}()
		var served struct {
			Address, Console  string
			Access            struct{ Tokens bool }
			Routes            []struct{ Method, Path, Function string }
			Queues, Functions []struct{ Name string }
			WithoutEffect     []struct{ Path, Reason string }
		}
		first := bufio.NewReader(page)
		if err := json.Unmarshal(nextLine(t, first), &served); err != nil {
			t.Fatal(err)
		}
		printed := make(chan []byte, 1)
		go func() {
			rest, _ := io.ReadAll(first)
			printed <- rest
		}()
		if status, body := fetch(t, served.Address+"/healthz"); status != 200 {
			t.Errorf("%d %s", status, body)
		}
		stop()
		if status := <-ended; status != exitOK {
			t.Errorf("%v: status %d, %s", command, status, &log)
		}
		if served.Console != served.Address+"/console" || len(served.Queues) == 0 || len(served.Functions) == 0 || len(served.WithoutEffect) == 0 ||
			!slices.Contains(served.Routes, struct{ Method, Path, Function string }{"POST", "/orders", "Api"}) {
			t.Errorf("what is served is %+v", served)
		}
		rest := <-printed
		if !bytes.Contains(rest, []byte(`"local-Api | REPORT RequestId: `)) {
			t.Errorf("what functions print is not in %s", rest)
		}
		for name, text := range map[string][]byte{"output": rest, "log": log.Bytes()} {
			if len(text) == 0 {
				t.Errorf("the %s is empty", name)
			}
			for line := range bytes.Lines(text) {
				var record struct{ Level, Msg string }
				if err := json.Unmarshal(line, &record); err != nil || record.Level == "" || record.Msg == "" {
					t.Errorf("%s: %s: %v", name, line, err)
				}
			}
		}
	}
}

func nextLine(t *testing.T, from *bufio.Reader) []byte {
	t.Helper()
	line, err := from.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// TestFailureAsJSON: with --json the reason why the program ends is a record, too.
func TestFailureAsJSON(t *testing.T) {
	got := execute(t, "run", "--json", "--template", "nope.yaml", "--addr", "127.0.0.1:0")
	var record struct{ Level, Msg string }
	if err := json.Unmarshal([]byte(got.err), &record); err != nil {
		t.Errorf("%s: %v", got.err, err)
	}
	if got.status != exitFailed || got.out != "" || record.Level != "ERROR" || !strings.HasPrefix(record.Msg, "paylane run: there is no template nope.yaml: ") {
		t.Errorf("%+v", got)
	}
}

// TestColours: headings, addresses and what is wrong stand out on a terminal, and nowhere else;
// NO_COLOR and a terminal that can't show colours are respected.
func TestColours(t *testing.T) {
	own := filepath.Join(root, "template.yaml")
	const none, set = "", "1"
	for _, row := range []struct {
		name, noColour, term string
		terminal, want       bool
	}{
		{"a terminal", none, "xterm-256color", true, true},
		{"NO_COLOR", set, "xterm-256color", true, false},
		{"a dumb terminal", none, "dumb", true, false},
		{"a file", none, "xterm-256color", false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out, err bytes.Buffer
			c := newCLI(&out, &err, row.terminal)
			c.outTerminal = row.terminal
			c.getenv = func(name string) string { return map[string]string{"NO_COLOR": row.noColour, "TERM": row.term}[name] }
			expect := func(what, text, coloured, plain string) {
				t.Helper()
				want := plain
				if row.want {
					want = coloured
				}
				if !strings.Contains(text, want) || !row.want && strings.Contains(text, "\x1b") {
					t.Errorf("%s: %q is not in %q", what, want, text)
				}
			}
			c.execute(t.Context(), []string{"check", "--template", own})
			expect("a heading", out.String(), "\n\x1b[1mQueues\x1b[m\n", "\nQueues\n")
			expect("a warning", out.String(), "\x1b[33mmade at --endpoint; without it, not there: calls to it will fail\x1b[m\n", "made at --endpoint")
			c.execute(t.Context(), []string{"check", "--template", "nope.yaml"})
			expect("an error", err.String(), "\x1b[31mpaylane check:\x1b[m there is no", "paylane check: there is no")
			err.Reset()
			c.execute(t.Context(), []string{"chek"})
			expect("wrong usage", err.String(), "\x1b[31mpaylane:\x1b[m unknown", "paylane: unknown")
			err.Reset()
			c.newLogger(true, false).Error("it says level=ERROR itself")
			expect("the log", err.String(), " \x1b[31mlevel=ERROR\x1b[m msg=\"it says level=ERROR itself\"", " level=ERROR msg=")
			err.Reset()
			c.newLogger(true, false).Warn("no level=ERROR here")
			expect("the log", err.String(), " \x1b[33mlevel=WARN\x1b[m msg=\"no level=ERROR here\"", " level=WARN msg=")

			address := testConfig(t)
			address.Style = c.styleOn(c.outTerminal)
			page := pageOf(t, address)
			expect("an address", page, "paylane serves \x1b[4mhttp://127.0.0.1:", "paylane serves http://")
		})
	}
}

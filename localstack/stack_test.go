//go:build integration

// Package localstack_test runs paylane's own binaries over the wire protocols of DynamoDB
// and SQS: `paylane --endpoint` builds and starts them, on LocalStack. Set AWS_ENDPOINT_URL,
// or run `make integration`, which starts a LocalStack.
package localstack_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"paylane/shared/awscall/awstest"
	"paylane/shared/dynamostore"
	"paylane/shared/sqsqueue"
)

// repository is the path of the repository from this folder.
const repository = ".."

// runnerProgram is cmd/paylane, built by TestMain.
var runnerProgram string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "paylane-runner-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	runnerProgram = filepath.Join(folder, "paylane")
	build := exec.Command("go", "build", "-o", runnerProgram, "./cmd/paylane")
	build.Dir, build.Stderr = repository, os.Stderr
	status := 1
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build cmd/paylane:", err)
	} else {
		status = m.Run()
	}
	_ = os.RemoveAll(folder)
	os.Exit(status)
}

// stack is an account of its own on LocalStack, empty at first. The account's number is the
// access key.
type stack struct {
	endpoint string
	account  string
	config   aws.Config
	sqs      *sqs.Client
}

func newStack(t *testing.T) *stack {
	t.Helper()
	c, account := awstest.Config(t)
	return &stack{endpoint: *c.BaseEndpoint, account: account, config: c, sqs: sqs.NewFromConfig(c)}
}

// The names that the runner gives the template's queues and table.
const (
	paymentQueue = "local-PaymentQueue"
	paymentDLQ   = "local-PaymentDLQ"
	webhookQueue = "local-WebhookQueue"
	ordersTable  = "local-OrdersTable"
)

func (s *stack) queueURL(name string) string { return s.endpoint + "/" + s.account + "/" + name }

func (s *stack) queueARN(name string) string {
	return "arn:aws:sqs:us-east-1:" + s.account + ":" + name
}

func (s *stack) queue(name string) *sqsqueue.Queue {
	return sqsqueue.New(s.sqs, s.queueURL(name), rand.IntN)
}

func (s *stack) store() *dynamostore.Store {
	return dynamostore.New(dynamodb.NewFromConfig(s.config), ordersTable, rand.IntN)
}

// runner is a running paylane --endpoint.
type runner struct {
	url     string
	folder  string // where its functions are built
	process *os.Process
	out     *output
	stop    func()
}

// start runs the template in a folder until the test ends or stop is called. Then the
// runner must exit without an error and leave nothing behind.
func (s *stack) start(t *testing.T, folder string, args ...string) *runner {
	t.Helper()
	r := &runner{folder: t.TempDir(), out: &output{}}
	page, feed := io.Pipe()
	cmd := exec.Command(runnerProgram, append([]string{"--addr", "127.0.0.1:0", "--endpoint", s.endpoint}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, io.MultiWriter(r.out, feed), r.out
	cmd.Env = append(os.Environ(), "TMPDIR="+r.folder, "AWS_ACCESS_KEY_ID="+s.account, "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=us-east-1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.process = cmd.Process
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		_ = feed.CloseWithError(io.EOF)
		ended <- err
	}()
	r.stop = sync.OnceFunc(func() {
		_ = r.process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("the runner ended with %v", err)
		}
		if left, err := os.ReadDir(r.folder); err != nil || len(left) > 0 {
			t.Errorf("the runner left %v behind, %v", left, err)
		}
	})
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("the runner's output:\n%s", r.out)
		}
	})
	lines := bufio.NewScanner(page)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "paylane serves "); ok {
			r.url = url
			go func() { _, _ = io.Copy(io.Discard, page) }()
			return r
		}
	}
	t.Fatal("the runner did not start")
	return nil
}

// kill kills the processes of a function, and reports whether there were any.
func (r *runner) kill(t *testing.T, function string) (killed bool) {
	t.Helper()
	err := exec.Command("pkill", "-KILL", "-f", r.folder+"/.*/"+function+"/").Run()
	none := new(exec.ExitError)
	if err != nil && (!errors.As(err, &none) || none.ExitCode() != 1) {
		t.Fatal(err)
	}
	return err == nil
}

// output collects what a process prints, and when.
type output struct {
	mu     sync.Mutex
	writes []printed
}

type printed struct {
	at   time.Time
	text []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes = append(o.writes, printed{time.Now(), bytes.Clone(p)})
	return len(p), nil
}

// lines returns what was printed, line by line. A write may hold several.
func (o *output) lines() (lines []printed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.writes {
		for line := range bytes.Lines(w.text) {
			lines = append(lines, printed{w.at, line})
		}
	}
	return lines
}

func (o *output) String() string {
	var text strings.Builder
	for _, l := range o.lines() {
		text.Write(l.text)
	}
	return text.String()
}

// project copies what the template's functions are built from, with changes to the
// template, so that a test can have its own.
func project(t *testing.T, changes ...[2]string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, name := range []string{"functions", "shared"} {
		copyFolder(t, filepath.Join(repository, name), filepath.Join(folder, name))
	}
	for _, name := range []string{"go.mod", "go.sum", "template.yaml"} {
		text, err := os.ReadFile(filepath.Join(repository, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	edit(t, filepath.Join(folder, "template.yaml"), changes...)
	return folder
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// edit replaces the first occurrence of each text, which must exist.
func edit(t *testing.T, path string, changes ...[2]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		if !bytes.Contains(text, []byte(change[0])) {
			t.Fatalf("%s has no %q", path, change[0])
		}
		text = bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// hurry shortens the timeouts of payment and deadletter to a few seconds.
func hurry() [][2]string {
	return [][2]string{
		{"Timeout: 10\n", "Timeout: 4\n"}, {"VisibilityTimeout: 60\n", "VisibilityTimeout: 5\n"},
		{"Timeout: 30\n", "Timeout: 4\n"}, {"VisibilityTimeout: 180\n", "VisibilityTimeout: 5\n"},
	}
}

// eventually calls look until it returns no difference.
func eventually(t *testing.T, limit time.Duration, look func() (difference string)) {
	t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(limit); ; <-again.C {
		difference := look()
		if difference == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", limit, difference)
		}
	}
}

// request makes an HTTP request and returns the response's status and body.
func request(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

//go:build sam

// These tests need Docker, SAM, and LocalStack at an AWS_ENDPOINT_URL that containers can
// reach too: run `make sam-test`.
package localstack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"paylane/shared/awscall/awstest"
	"paylane/shared/e2e"
)

// samCommand runs localstack/sam until the context ends. That must not be the test's own
// context if parallel subtests go on after the test's function has returned.
func samCommand(ctx context.Context, account string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "./sam", args...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+account)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	return cmd
}

// TestSAM runs the end-to-end suite against the api function in SAM's container, while
// paylane polls the queues.
func TestSAM(t *testing.T) {
	port := freePort(t)
	var out bytes.Buffer
	ctx, stop := context.WithCancel(context.Background())
	_, account := awstest.Config(t)
	cmd := samCommand(ctx, account, "start")
	cmd.Env = append(cmd.Env, "PORT="+port)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		stop()
		<-ended //nolint:errcheck // it was told to end
		if t.Failed() {
			t.Logf("the output of localstack/sam:\n%s", &out)
		}
	})
	url := "http://127.0.0.1:" + port
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for deadline := time.Now().Add(5 * time.Minute); ; {
		if response, err := http.Get(url + "/healthz"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("sam local start-api does not answer")
		}
		select {
		case <-look.C:
		case err := <-ended:
			ended <- err
			t.Fatalf("sam local start-api ended: %v", err)
		}
	}
	e2e.Run(t, e2e.Target{URL: url, Environment: e2e.SAM})
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestSAMInvoke invokes each function with its sample events, following the life of an
// order. It checks the output, since `sam local invoke` exits with 0 even if the function
// panics.
func TestSAMInvoke(t *testing.T) {
	events, err := filepath.Glob("../events/*.json")
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct{ event, function, answer string }{
		{"api-create-order.json", "Api", `"statusCode":201`},
		{"api-get-order.json", "Read", `\"status\":\"PENDING\"`},
		// The order is paid; the second record is not one of our messages.
		{"payment-batch.json", "Payment", `{"batchItemFailures":[{"itemIdentifier":"6f1c0d1e-3b1f-4c57-9a0e-0d8f0f2a9b11"}]}`},
		{"api-get-order.json", "Read", `\"status\":\"PAID\"`},
		{"console-orders.json", "Console", `"statusCode":200`},
		{"deadletter-batch.json", "DeadLetter", `{"batchItemFailures":[]}`}, // the order has already ended
		{"reconcile-by-hand.json", "Reconcile", `"done":true,"apply":false,"report":{"scanned":1`},
		{"reconcile-schedule.json", "Reconcile", `"done":true,"apply":true,"report":{"scanned":1`},
	}
	_, account := awstest.Config(t)
	invoked := make(map[string]bool)
	for i, step := range steps {
		invoked[filepath.Join("..", "events", step.event)] = true
		var out, log, answer bytes.Buffer
		cmd := samCommand(t.Context(), account, "invoke", step.function, filepath.Join("events", step.event))
		cmd.Stdout, cmd.Stderr = &out, &log
		if i > 0 {
			cmd.Env = append(cmd.Env, "PROVISIONED=1")
		}
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s", step.event, err, &log)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if err := json.Compact(&answer, []byte(lines[len(lines)-1])); err != nil || !strings.Contains(answer.String(), step.answer) {
			t.Fatalf("%s: the answer is %s, %v; want one with %s\n%s", step.event, &out, err, step.answer, &log)
		}
	}
	for _, event := range events {
		if !invoked[event] {
			t.Errorf("no step invokes a function with %s", event)
		}
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/e2e"
)

// root is the repository, seen from this folder.
const root = "../.."

// testConfig is the runner as main makes it, on a free port and a folder of its own.
func testConfig(t testing.TB) config {
	t.Helper()
	return config{
		Addr: "127.0.0.1:0", Data: t.TempDir(), Template: filepath.Join(root, "template.yaml"),
		Out: io.Discard, Log: slog.New(slog.DiscardHandler), Now: time.Now, Jitter: rand.IntN,
	}
}

// address reads the start page up to the URL, and discards the rest, so that the runner
// never blocks on it.
func address(t testing.TB, page io.Reader) string {
	t.Helper()
	lines := bufio.NewScanner(page)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "paylane serves "); ok {
			go func() { _, _ = io.Copy(io.Discard, page) }()
			return url
		}
	}
	t.Fatalf("the runner did not start: %v", lines.Err())
	return ""
}

// startRunner starts the runner in this process until the test ends, and returns its URL.
func startRunner(t testing.TB, c config) string {
	t.Helper()
	url, stop := runRunner(t, c)
	t.Cleanup(stop)
	return url
}

// runRunner is startRunner for tests that stop the runner themselves.
func runRunner(t testing.TB, c config) (url string, stop func()) {
	t.Helper()
	page, out := io.Pipe()
	c.Out = io.MultiWriter(c.Out, out)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, c)
		_ = out.CloseWithError(err)
		ended <- err
	}()
	return address(t, page), func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestEndToEnd runs the suite of all environments on the runner.
func TestEndToEnd(t *testing.T) {
	e2e.Run(t, e2e.Target{URL: startRunner(t, testConfig(t)), Environment: e2e.InProcess})
}

// TestRequestLimits: the template's limits hold here as on AWS, for each route. Without them
// there is no limit.
func TestRequestLimits(t *testing.T) {
	rows := []struct {
		name       string
		parameters map[string]string
		passed     int
	}{
		{"as it is", nil, 30},
		{"a rate and a burst", map[string]string{"RequestRate": "0.001", "RequestBurst": "5"}, 5},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := testConfig(t)
			c.Parameters = row.parameters
			url := startRunner(t, c)
			for _, path := range []string{"/healthz", "/orders"} { // each has limits of its own
				got := make(map[int]int) // by status
				for range 30 {
					status, body := fetch(t, url+path)
					if got[status]++; status == http.StatusTooManyRequests && body != `{"message":"Too Many Requests"}` {
						t.Errorf("the answer is %s", body)
					}
				}
				want := map[int]int{http.StatusOK: row.passed}
				if row.passed < 30 {
					want[http.StatusTooManyRequests] = 30 - row.passed
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: answers by status (-want +got):\n%s", path, d)
				}
			}
		})
	}
}

func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	response := followed(t, url, "")
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(read)
}

// TestWaitsTakeNoOrders: requests that wait use up the read function's reserve, and then wait no
// more; orders are still taken, as on AWS.
func TestWaitsTakeNoOrders(t *testing.T) {
	c := testConfig(t)
	c.Parameters = map[string]string{"ApiReserve": "2", "ReadReserve": "2"}
	url := startRunner(t, c)
	body, err := place(http.DefaultClient, url, "open", `{"amount": 5, "paymentToken": "tok_unknown_600"}`)
	if err != nil {
		t.Fatal(err)
	}
	var o struct{ ID string }
	if err := json.Unmarshal([]byte(body), &o); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	var waits sync.WaitGroup
	defer waits.Wait()
	defer leave()
	ask := func(ctx context.Context, prefer string) (status int, err error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/orders/"+o.ID, nil)
		if err != nil {
			return 0, err
		}
		request.Header.Set("Prefer", prefer)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	for range 2 {
		waits.Go(func() {
			for ctx.Err() == nil { // again, if the other requests were in the way
				_, _ = ask(ctx, "wait=20")
			}
		})
	}
	for status := 0; status != http.StatusServiceUnavailable; { // until both are held
		if status, err = ask(ctx, "wait=0"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := place(http.DefaultClient, url, "another", `{"amount": 5}`); err != nil {
		t.Errorf("while others wait, an order is refused: %v", err)
	}
	if status, _ := fetch(t, url+"/orders"); status != http.StatusOK {
		t.Errorf("while others wait, the list answers %d", status)
	}
}

// TestVerbose: with --verbose, and only with it, the output has Lambda's lines of each
// invocation: of functions in this process, and of those that are built.
func TestVerbose(t *testing.T) {
	for _, row := range []struct{ name, template, path, function string }{
		{"in this process", filepath.Join(root, "template.yaml"), "/healthz", "local-Api"},
		{"built", hello, "/greet/ann", "local-Greeter"},
	} {
		for _, verbose := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, %v", row.name, verbose), func(t *testing.T) {
				c := testConfig(t)
				c.Template, c.Verbose = row.template, verbose
				out := new(lines)
				c.Out = out
				url, stop := runRunner(t, c)
				if status, body := fetch(t, url+row.path); status != http.StatusOK {
					t.Errorf("%d %s", status, body)
				}
				stop()
				got := strings.Contains(out.String(), row.function+" | START RequestId: ") && strings.Contains(out.String(), row.function+" | REPORT RequestId: ")
				if got != verbose {
					t.Errorf("the output is\n%s", out)
				}
			})
		}
	}
}

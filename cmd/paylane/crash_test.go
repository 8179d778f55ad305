package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

	"paylane/shared/gateway/gateways"
	"paylane/shared/gateway/stripe/stripetest"
	"paylane/shared/sim/reference"
)

// childVariable makes this test binary the runner that a test kills; its value is the
// folder that holds data, ledger and template.
const childVariable = "PAYLANE_TEST_RUNNER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childVariable); folder != "" {
		os.Exit(child(folder))
	}
	os.Exit(m.Run())
}

// child is the runner as main makes it, but with a gateway that keeps books: in a file, or at
// what stands in for Stripe at the URL in a file. If there is a file simulator, it is the
// simulator, which needs no books; the runner then asks for access tokens.
func child(folder string) int {
	c := config{
		Addr: "127.0.0.1:0", Data: filepath.Join(folder, "data"), Template: filepath.Join(folder, "template.yaml"),
		Out: os.Stdout, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Now: time.Now, Jitter: rand.IntN,
	}
	url, err := os.ReadFile(filepath.Join(folder, "stripe"))
	if err == nil {
		c.Gateway, err = gateways.New(gatewayStripe, gateways.Config{
			Now: time.Now, URL: string(url), Secret: func(context.Context, bool) (string, error) { return "sk_test_1", nil },
		})
	} else if _, err = os.Stat(filepath.Join(folder, "simulator")); err == nil {
		c.Access.Tokens, c.Parameters = true, map[string]string{"MaxAttempts": "1"}
	} else {
		c.Gateway, err = openLedger(filepath.Join(folder, "ledger"))
	}
	if err == nil {
		err = run(context.Background(), c)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// hurriedTemplate returns template.yaml with timeouts of seconds, so that messages in flight
// at a kill come back soon. A worker keeps the last second of its timeout to itself, also of
// what a webhook's server has.
func hurriedTemplate(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"Timeout: 10\n", "Timeout: 2\n"}, {"VisibilityTimeout: 60\n", "VisibilityTimeout: 3\n"},
		{"Timeout: 30\n", "Timeout: 2\n"}, {"VisibilityTimeout: 180\n", "VisibilityTimeout: 3\n"},
		{"Timeout: 20\n", "Timeout: 3\n"}, {"VisibilityTimeout: 120\n", "VisibilityTimeout: 4\n"},
	} {
		if !bytes.Contains(text, []byte(change[0])) {
			t.Fatalf("template.yaml has no %q", change[0])
		}
		text = bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
	}
	return text
}

// victim is a runner in a process of its own.
type victim struct {
	url string
	cmd *exec.Cmd
	log *bytes.Buffer
}

func startVictim(t testing.TB, folder string) *victim {
	t.Helper()
	v := &victim{cmd: exec.Command(os.Args[0]), log: &bytes.Buffer{}}
	v.cmd.Env = append(os.Environ(), childVariable+"="+folder)
	v.cmd.Stderr = v.log
	page, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v.url = address(t, page)
	return v
}

// kill is kill -9. The process must not have logged anything before.
func (v *victim) kill(t testing.TB) {
	t.Helper()
	if err := v.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = v.cmd.Wait()
	if v.log.Len() > 0 {
		t.Errorf("the runner logged:\n%s", v.log)
	}
}

// writer places orders under keys of its own, one after the other, until the runner is
// killed. A key without an answer is tried again after the restart.
type writer struct {
	name    string
	order   string        // the body of its requests
	rest    time.Duration // between them
	next    int
	answers map[string]string // first answer, by key
	// then, if there is one, goes on with an order that was answered. It is called again after
	// the restart if it reports an error: that it had no answer.
	then func(client *http.Client, url, body string) error
	open string // the answer that then has not finished with
}

func (w *writer) key() string { return fmt.Sprintf("%s-%d", w.name, w.next) }

func (w *writer) run(t testing.TB, client *http.Client, url string) {
	for {
		if w.open != "" && w.then != nil {
			if err := w.then(client, url, w.open); err != nil {
				return
			}
			w.open = ""
		}
		key := w.key()
		body, err := place(client, url, key, w.order)
		if err != nil {
			return // killed: the fate of this order is unknown
		}
		if before, ok := w.answers[key]; ok && before != body {
			t.Errorf("key %s answers %s, and before %s", key, body, before)
		}
		w.answers[key], w.open = body, body
		w.next++
		if w.rest > 0 {
			<-time.After(w.rest) // the rate is the load's
		}
	}
}

// place places one order; any error counts as no answer.
func place(client *http.Client, url, key, order string) (string, error) {
	request, err := http.NewRequest(http.MethodPost, url+"/orders", strings.NewReader(order))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("%d %s", response.StatusCode, body)
	}
	return string(body), nil
}

// TestKilled kills the runner with SIGKILL at random moments under fifty writers, over
// and over. No acknowledged order may be missing, each must reach its end, a key must
// make one order, and none may be charged twice.
func TestKilled(t *testing.T) {
	folder := t.TempDir()
	ends := killed(t, folder, 20, 50, `{"amount": 5}`)
	book, err := readLedger(filepath.Join(folder, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	charges := make(map[string]int)
	for key, what := range book {
		id, _, _ := strings.Cut(key, ".")
		if what == charged {
			charges[id]++
		}
	}
	checkBooks(t, charges, ends)
}

// TestKilledAtStripe is TestKilled with Stripe as the gateway, which fails at one call in five,
// before or after it is done.
func TestKilledAtStripe(t *testing.T) {
	folder := t.TempDir()
	server := stripetest.New(t, "sk_test_1")
	faults := []stripetest.Fault{
		stripetest.ResetBefore, stripetest.ResetAfter, stripetest.StoredBefore, stripetest.StoredAfter, stripetest.CutAfter,
		stripetest.Unstored, stripetest.RateLimited, stripetest.HangAfter,
	}
	server.Fault = func(stripetest.Call) stripetest.Fault {
		if rand.N(5) > 0 {
			return stripetest.None
		}
		return faults[rand.N(len(faults))]
	}
	if err := os.WriteFile(filepath.Join(folder, "stripe"), []byte(server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	ends := killed(t, folder, 8, 30, `{"amount": 1200, "currency": "USD", "paymentToken": "pm_card_visa"}`)
	charges := make(map[string]int)
	for id, book := range server.Books() {
		charges[id] = book.Charges
	}
	checkBooks(t, charges, ends)
}

// killed kills a runner on a folder in rounds, while writers place orders like this one, and
// returns the ends of all orders, among which are those that were acknowledged.
func killed(t *testing.T, folder string, rounds, writers int, order string) (ends map[string]reference.Order) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, "template.yaml"), hurriedTemplate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	all := make([]*writer, writers)
	for i := range all {
		all[i] = &writer{name: fmt.Sprintf("w%d", i), order: order, answers: make(map[string]string)}
	}
	for range rounds {
		v := startVictim(t, folder)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
		var wg sync.WaitGroup
		for _, w := range all {
			wg.Go(func() { w.run(t, client, v.url) })
		}
		killed := time.NewTimer(rand.N(400 * time.Millisecond))
		<-killed.C
		v.kill(t)
		wg.Wait()
		client.CloseIdleConnections()
	}
	v := startVictim(t, folder)
	defer v.kill(t)
	acknowledged := make(map[string]string) // body by order id
	for _, w := range all {
		for key, body := range w.answers {
			// The key still names the same order, and has the same answer.
			again, err := place(http.DefaultClient, v.url, key, order)
			if err != nil || again != body {
				t.Fatalf("key %s answers %s, %v; before: %s", key, again, err, body)
			}
			var o struct{ ID string }
			if err := json.Unmarshal([]byte(body), &o); err != nil || acknowledged[o.ID] != "" {
				t.Fatalf("key %s made the order of another: %s, %v", key, body, err)
			}
			acknowledged[o.ID] = body
		}
	}
	ends = waitForEnds(t, v.url, 4*time.Minute)
	for id, body := range acknowledged {
		if _, ok := ends[id]; !ok {
			t.Errorf("an acknowledged order is missing: %s", body)
		}
	}
	t.Logf("%d orders acknowledged, %d in all", len(acknowledged), len(ends))
	return ends
}

// waitForEnds lists all orders until every one is at its end, and returns them.
func waitForEnds(t testing.TB, url string, limit time.Duration) map[string]reference.Order {
	t.Helper()
	for deadline := time.Now().Add(limit); ; {
		orders, open := listAll(t, url)
		if open == "" {
			return orders
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v order %s is %s", limit, open, orders[open].Status)
		}
		// Waits for its end, or 20 s.
		if _, err := get(url+"/orders/"+open, "wait=20"); err != nil {
			t.Fatal(err)
		}
	}
}

// listAll returns every order, and the id of one that is not at its end.
func listAll(t testing.TB, url string) (orders map[string]reference.Order, open string) {
	t.Helper()
	orders = make(map[string]reference.Order)
	for next := "/orders?limit=100"; next != ""; {
		body, err := get(url+next, "")
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Orders []json.RawMessage
			Next   string
		}
		if err := json.Unmarshal(body, &page); err != nil {
			t.Fatal(err)
		}
		for _, text := range page.Orders {
			seen, err := reference.Observed(http.StatusOK, nil, text)
			if err != nil {
				t.Fatal(err)
			}
			o := *seen.Order
			if _, ok := orders[o.ID]; ok {
				t.Fatalf("order %s is listed twice", o.ID)
			}
			orders[o.ID] = o
			switch o.Status {
			case "PENDING", "PROCESSING", "REFUNDING":
				open = o.ID
			}
		}
		next = ""
		if page.Next != "" {
			next = "/orders?limit=100&cursor=" + page.Next
		}
	}
	return orders, open
}

func get(url, prefer string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Prefer", prefer)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	return io.ReadAll(response.Body)
}

// checkBooks compares how often the gateway charged each order with the orders' statuses.
func checkBooks(t testing.TB, charges map[string]int, ends map[string]reference.Order) {
	t.Helper()
	for id, o := range ends {
		if want := map[string]int{"PAID": 1}[o.Status]; charges[id] != want {
			t.Errorf("order %s is %s and was charged %d times", id, o.Status, charges[id])
		}
		delete(charges, id)
	}
	for id, n := range charges {
		t.Errorf("order %s does not exist and was charged %d times", id, n)
	}
}

// TestSecondRunner: a second runner on the same folder is refused.
func TestSecondRunner(t *testing.T) {
	c := testConfig(t)
	startRunner(t, c)
	err := run(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), c.Data) || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second runner on the folder: %v", err)
	}
}

// TestRefusals: the runner reports what it can't do, and does not start.
func TestRefusals(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "template.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	original := string(hurriedTemplate(t))
	for _, tt := range []struct {
		name   string
		change func(*config)
		want   []string
	}{
		{"all addresses", func(c *config) { c.Addr = ":3000" }, []string{"--addr :3000", "loopback"}},
		{"another address", func(c *config) { c.Addr = "192.0.2.1:3000" }, []string{"192.0.2.1:3000", "loopback"}},
		{"a name that is not localhost", func(c *config) { c.Addr = "example.com:80" }, []string{"loopback"}},
		{"an issuer without tokens", func(c *config) { c.Access.Issuer = "https://i.test" }, []string{"--issuer", "--auth jwt"}},
		{"an audience without tokens", func(c *config) { c.Access.Audience = "a" }, []string{"--audience", "--auth jwt"}},
		{"a tenant claim without tokens", func(c *config) { c.Access.TenantClaim = "sub" }, []string{"--tenant-claim", "--auth jwt"}},
		{"a console's client without tokens", func(c *config) { c.Access.ConsoleClient = "c" }, []string{"--console-client", "add --auth jwt"}},
		{"a console's client without an issuer", func(c *config) {
			c.Access = access{Tokens: true, ConsoleClient: "c"}
		}, []string{"--console-client goes with --issuer"}},
		{"a console's client, and no console", func(c *config) {
			c.Access, c.Endpoint = access{Tokens: true, Issuer: "https://i.test", Audience: "a", ConsoleClient: "c"}, "http://127.0.0.1:1"
		}, []string{"--console-client is for the console", "leave out --endpoint"}},
		{"an issuer without an audience", func(c *config) {
			c.Access = access{Tokens: true, Issuer: "https://i.test"}
		}, []string{"--issuer and --audience go together"}},
		{"an audience without an issuer", func(c *config) {
			c.Access = access{Tokens: true, Audience: "a"}
		}, []string{"--issuer and --audience go together"}},
		{"an issuer that is not a URL", func(c *config) {
			c.Access = access{Tokens: true, Issuer: "i.test", Audience: "a"}
		}, []string{"--issuer", "i.test", "https://"}},
		{"an audience of nothing", func(c *config) {
			c.Access = access{Tokens: true, Issuer: "https://i.test", Audience: ","}
		}, []string{"--audience"}},
		{"tokens, and no API to ask for them", func(c *config) {
			c.Access.Tokens = true
			c.Template = write("Transform: AWS::Serverless-2016-10-31\nResources:\n  Q: {Type: AWS::SQS::Queue}\n")
		}, []string{"template.yaml", "no HTTP API", "access tokens"}},
		{"tokens, and a parameter that asks for none", func(c *config) {
			c.Access.Tokens, c.Parameters = true, map[string]string{"AuthMode": "none"}
		}, []string{"--parameter AuthMode", "--auth jwt sets it", "use --issuer, --audience, --tenant-claim and --console-client"}},
		{"tokens of another issuer, for functions only", func(c *config) {
			c.Access.Tokens, c.Parameters = true, map[string]string{"Issuer": "https://i.test"}
		}, []string{"--parameter Issuer", "--auth jwt sets it"}},
		{"tokens for others, for functions only", func(c *config) {
			c.Access.Tokens, c.Parameters = true, map[string]string{"Audience": "a"}
		}, []string{"--parameter Audience", "--auth jwt sets it"}},
		{"tokens, and a claim by a parameter", func(c *config) {
			c.Access.Tokens, c.Parameters = true, map[string]string{"TenantClaim": "sub"}
		}, []string{"--parameter TenantClaim", "--auth jwt sets it"}},
		{"tokens by a parameter", func(c *config) { c.Parameters = map[string]string{"AuthMode": "cognito"} }, []string{"--parameter AuthMode=cognito: use --auth jwt instead"}},
		{"tokens by a parameter, of any issuer", func(c *config) { c.Parameters = map[string]string{"AuthMode": "oidc"} }, []string{"--parameter AuthMode=oidc: use --auth jwt instead"}},
		{"no port", func(c *config) { c.Addr = "127.0.0.1" }, []string{"not host:port"}},
		{"a function that is not paylane's", func(c *config) {
			c.Template = write(strings.Replace(original, "CodeUri: functions/payment/", "CodeUri: functions/mailer/", 1))
		}, []string{"template.yaml", "line ", "Resources.Payment", "functions/mailer"}},
		{"a queue that is not there", func(c *config) {
			c.Template = write(strings.Replace(original, "PAYMENT_QUEUE_URL: !Ref PaymentQueue", "PAYMENT_QUEUE_URL: nowhere", 1))
		}, []string{"Resources.Api", "PAYMENT_QUEUE_URL", "nowhere"}},
		{"a way to ask for tokens that is none", func(c *config) {
			c.Template = write(strings.Replace(original, "AUTH_MODE: !If [NoAuth, none, jwt]", "AUTH_MODE: maybe", 1))
		}, []string{"Resources.Api", "AUTH_MODE", "maybe"}},
		{"an endpoint that is not a URL", func(c *config) { c.Endpoint = "localhost:4566" }, []string{"--endpoint", "localhost:4566", "http://"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := testConfig(t)
			tt.change(&c)
			err := run(t.Context(), c)
			if err == nil {
				t.Fatal("it started")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

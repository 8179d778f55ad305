package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"paylane/shared/gateway/stripe/stripetest"
	"paylane/shared/order"
)

// startStripe runs the program with the gateway Stripe, at a stand-in, as its command line
// does, and returns its URL.
func startStripe(t *testing.T) (url string, server *stripetest.Server, keyFile string) {
	t.Helper()
	server = stripetest.New(t, "sk_test_first")
	keyFile = filepath.Join(t.TempDir(), "key")
	writeKey(t, keyFile, "sk_test_first")
	page, out := io.Pipe()
	log := new(bytes.Buffer)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() {
		ended <- newCLI(out, log, false).execute(ctx, []string{
			"run", "--addr", "127.0.0.1:0", "--data", t.TempDir(), "--template", filepath.Join(root, "template.yaml"),
			"--gateway", "stripe", "--gateway-key", keyFile, "--gateway-url", server.URL,
		})
		_ = out.Close()
	}()
	t.Cleanup(func() {
		cancel()
		if status := <-ended; status != exitOK {
			t.Errorf("the exit status is %d: %s", status, log)
		}
		if strings.Contains(log.String(), "sk_test_") || strings.Contains(log.String(), "pm_card") {
			t.Errorf("the log has a secret: %s", log)
		}
	})
	return address(t, page), server, keyFile
}

func writeKey(t *testing.T, file, key string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// placeOn posts JSON, and waits for the end of the order that the answer shows.
func placeOn(t *testing.T, url, path, body string) (o struct {
	ID         string       `json:"id"`
	Status     order.Status `json:"status"`
	PaymentRef string       `json:"paymentRef"`
	Failure    struct {
		Code string `json:"code"`
	} `json:"failure"`
}) {
	t.Helper()
	for _, r := range []struct{ method, path, body string }{{http.MethodPost, path, body}, {http.MethodGet, "/orders/", ""}} {
		request, err := http.NewRequestWithContext(t.Context(), r.method, url+r.path+o.ID, strings.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Prefer", "wait=20")
		if r.method == http.MethodPost {
			request.Header.Del("Prefer")
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode > 299 {
			t.Fatalf("%s %s: %d %s", r.method, r.path, answer.StatusCode, text)
		}
		if err := json.Unmarshal(text, &o); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// TestStripe: the program's command line, the API and Stripe, from end to end.
func TestStripe(t *testing.T) {
	url, server, keyFile := startStripe(t)
	// Where money moves, the smoke test is all but a charge.
	if got := execute(t, "smoke", "--url", url, "--gateway", "stripe", "--livemode"); got.status != exitOK || strings.Count(got.out, "ok ") != 4 {
		t.Errorf("the smoke test in live mode: %d\n%s%s", got.status, got.out, got.err)
	}
	for id, b := range server.Books() {
		if b.Charges > 0 {
			t.Errorf("the smoke test in live mode charges %s: %+v", id, b)
		}
	}
	if got := execute(t, "smoke", "--url", url, "--gateway", "stripe"); got.status != exitOK || strings.Count(got.out, "ok ") != 5 {
		t.Errorf("the smoke test: %d\n%s%s", got.status, got.out, got.err)
	}
	o := placeOn(t, url, "/orders", `{"amount": 1200, "currency": "USD", "paymentToken": "pm_card_visa"}`)
	if o.Status != order.Paid || !strings.HasPrefix(o.PaymentRef, "pi_") {
		t.Errorf("%+v", o)
	}
	if b := server.Books()[o.ID]; b.Charged != 1200 || b.Charges != 1 {
		t.Errorf("the books have %+v", b)
	}
	if o = placeOn(t, url, "/orders/"+o.ID+"/refund?", `{}`); o.Status != order.Refunded {
		t.Errorf("%+v", o)
	}
	if b := server.Books()[o.ID]; b.Refunded != 1200 || b.Refunds != 1 {
		t.Errorf("the books have %+v", b)
	}
	o = placeOn(t, url, "/orders", `{"amount": 1200, "currency": "USD", "paymentToken": "pm_card_chargeDeclined"}`)
	if o.Status != order.Failed || o.Failure.Code != "generic_decline" {
		t.Errorf("%+v", o)
	}
	// A key that was rolled is read from the file.
	server.SetKey("rk_test_second")
	writeKey(t, keyFile, "rk_test_second")
	o = placeOn(t, url, "/orders", `{"amount": 1200, "currency": "USD", "paymentToken": "pm_card_visa"}`)
	if o.Status != order.Paid {
		t.Errorf("after the key was rolled: %+v", o)
	}
}

// TestStripeSays: what Stripe can't charge is refused at once, and the document tells of its
// tokens.
func TestStripeSays(t *testing.T) {
	url, _, _ := startStripe(t)
	for body, want := range map[string]string{
		`{"amount": 1, "currency": "USD"}`:                                        `"body.paymentToken"`,
		`{"amount": 1, "currency": "USD", "paymentToken": "tok_ok"}`:              `begins with pm_`,
		`{"amount": 1234, "currency": "MGA", "paymentToken": "pm_card_visa"}`:     `"body.amount"`,
		`{"amount": 1001, "currency": "KWD", "paymentToken": "pm_card_visa"}`:     `multiple of 10`,
		`{"amount": 1000, "currency": "LYD", "paymentToken": "pm_card_visa"}`:     `currency that Stripe takes`,
		`{"amount": 1200, "currency": "USD", "paymentToken": "4242424242424242"}`: `card`,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/orders", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(text), want) {
			t.Errorf("%s: %d %s", body, answer.StatusCode, text)
		}
	}
	if _, body := fetch(t, url+"/openapi.json"); !strings.Contains(body, "pm_card_visa") || strings.Contains(body, "tok_ok") {
		t.Error("the document has the wrong tokens")
	}
}

// TestGatewayFlags: flags that make no sense are refused, without the key.
func TestGatewayFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	writeKey(t, file, "sk_live_hush")
	own := "--template " + filepath.Join(root, "template.yaml") + " "
	for args, want := range map[string]string{
		own + "--gateway paypal":                                                     "must be simulator or stripe",
		own + "--gateway stripe":                                                     "--gateway-key",
		own + "--gateway stripe --gateway-key " + file:                               "sk_test_",
		own + "--gateway stripe --gateway-key nothing":                               "nothing",
		own + "--gateway stripe --gateway-url here":                                  "http://",
		own + "--gateway-key " + file:                                                "--gateway stripe",
		own + "--gateway stripe --endpoint http://127.0.0.1:1 --gateway-key " + file: "template's parameters",
	} {
		got := execute(t, strings.Fields(args)...)
		if got.status != exitUsage || !strings.Contains(got.err, want) || strings.Contains(got.err, "hush") {
			t.Errorf("%s: %d %s", args, got.status, got.err)
		}
	}
}

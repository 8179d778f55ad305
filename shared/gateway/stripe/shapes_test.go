package stripe_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/stripe/stripe-go/v85"

	"paylane/shared/gateway"
	"paylane/shared/gateway/stripe"
)

// startMock builds and starts Stripe's own stripe-mock, which checks requests against
// Stripe's OpenAPI document and answers in its shapes, but remembers nothing.
func startMock(t *testing.T) (url string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "stripe-mock")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "stripetest/mock", "-o", program, "github.com/stripe/stripe-mock")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build stripe-mock: %v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(context.Background())
	mock := exec.CommandContext(ctx, program, "-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0")
	out, err := mock.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := mock.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = mock.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if addr, ok := strings.CutPrefix(lines.Text(), "Listening for HTTP at address: "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return "http://" + addr
		}
	}
	t.Fatal("stripe-mock did not start")
	return ""
}

// TestShapes sends all that the gateway asks to stripe-mock, too: Stripe must take each
// request, and know each field that the stand-in answers, by its name and type.
func TestShapes(t *testing.T) {
	mock, w := startMock(t), newWorld(t)
	var mu sync.Mutex
	seen := make(map[string]bool)
	both := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		ours, theirs := forward(t, w.server.URL, r, body), forward(t, mock, r, body)
		mu.Lock()
		defer mu.Unlock()
		name := r.Method + " " + strings.NewReplacer("/"+lastID(r.URL.Path), "/{id}").Replace(r.URL.Path)
		seen[name] = true
		if theirs.status > 299 {
			t.Errorf("%s is refused: %d %v", name, theirs.status, theirs.body)
		}
		if ours.status > 299 {
			compareError(t, name, ours.body)
		} else {
			compare(t, name, ours.body, theirs.body)
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(ours.status)
		_ = json.NewEncoder(rw).Encode(ours.body)
	}))
	defer both.Close()
	g := stripe.New(stripe.Config{URL: both.URL, Now: w.time, Secret: func(context.Context, bool) (string, error) { return testKey, nil }})

	charge := w.charge("pm_card_visa")
	receipt, err := g.Charge(t.Context(), charge)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Charge(t.Context(), w.charge("pm_card_chargeDeclined")); meaning(err) != "declined generic_decline" {
		t.Fatal(err)
	}
	refund := w.refund(charge, receipt.Ref, 200)
	made, err := g.Refund(t.Context(), refund)
	if err != nil {
		t.Fatal(err)
	}
	refund.Key += ".2"
	open := w.charge("pm_card_visa")
	w.pass(40 * 24 * time.Hour)
	known := charge
	known.KnownRef = receipt.Ref
	knownRefund := refund
	knownRefund.KnownRef = made.Ref
	for _, r := range []struct {
		name string
		ask  func() error
	}{
		{"resolve a charge", func() error { _, err := g.Resolve(t.Context(), charge); return err }},
		{"resolve nothing", func() error { _, err := g.Resolve(t.Context(), open); return err }},
		{"resolve a refund", func() error { _, err := g.Resolve(t.Context(), refund); return err }},
		{"look up a charge", func() error { _, err := g.Resolve(t.Context(), known); return err }},
		{"look up a refund", func() error { _, err := g.Resolve(t.Context(), knownRefund); return err }},
		{"read the books", func() error {
			page, err := g.Entries(t.Context(), gateway.EntryQuery{From: beginning, To: w.time()})
			if err == nil {
				_, err = g.Entries(t.Context(), gateway.EntryQuery{From: beginning, To: w.time(), Cursor: page.Next})
			}
			return err
		}},
	} {
		if err := r.ask(); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	for _, name := range []string{
		create, confirm, cancel, createRefund, "GET /v1/payment_intents", "GET /v1/payment_intents/{id}",
		"GET /v1/payment_intents/search", "GET /v1/refunds", "GET /v1/refunds/{id}",
	} {
		if !seen[name] {
			t.Errorf("%s was not asked for", name)
		}
	}
}

type response struct {
	status int
	body   any
}

// forward sends a request on and decodes the answer.
func forward(t *testing.T, url string, r *http.Request, body []byte) response {
	t.Helper()
	request, err := http.NewRequestWithContext(r.Context(), r.Method, url+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return response{}
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return response{}
	}
	defer func() { _ = answer.Body.Close() }()
	decoded := response{status: answer.StatusCode}
	if err := json.NewDecoder(answer.Body).Decode(&decoded.body); err != nil {
		t.Error(err)
	}
	return decoded
}

// lastID returns the id in a path, or what no path has.
func lastID(path string) string {
	for part := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(part, "pi_") || strings.HasPrefix(part, "re_") {
			return part
		}
	}
	return "\x00"
}

// compare requires each field of ours in theirs, with a type that it can have there.
func compare(t *testing.T, at string, ours, theirs any) {
	t.Helper()
	switch ours := ours.(type) {
	case map[string]any:
		if strings.HasSuffix(at, ".metadata") || strings.HasSuffix(at, ".last_payment_error") {
			return // anything; and an error, which the answers to declines show
		}
		other, ok := theirs.(map[string]any)
		if !ok {
			t.Errorf("%s is an object, at Stripe %T", at, theirs)
			return
		}
		for name, value := range ours {
			if their, ok := other[name]; ok {
				compare(t, at+"."+name, value, their)
			} else if !rarelyShown(at + "." + name) {
				t.Errorf("%s.%s does not exist at Stripe", at, name)
			}
		}
	case []any:
		other, ok := theirs.([]any)
		if !ok {
			t.Errorf("%s is a list, at Stripe %T", at, theirs)
		} else if len(ours) > 0 && len(other) > 0 {
			compare(t, at+"[]", ours[0], other[0])
		}
	case nil:
	default:
		if theirs != nil && reflect.TypeOf(ours) != reflect.TypeOf(theirs) {
			t.Errorf("%s is %v, at Stripe %T", at, ours, theirs)
		}
	}
}

// rarelyShown reports whether stripe-mock leaves out a field that Stripe has.
func rarelyShown(field string) bool {
	return strings.HasSuffix(field, ".failure_reason") || strings.HasSuffix(field, "search.next_page")
}

// compareError requires an error object of fields that stripe-go knows.
func compareError(t *testing.T, at string, body any) {
	t.Helper()
	known := make(map[string]bool)
	for field := range reflect.TypeFor[api.Error]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known[name] = true
	}
	shown, _ := body.(map[string]any)
	e, ok := shown["error"].(map[string]any)
	if !ok || len(shown) != 1 {
		t.Errorf("%s: %v is not an error", at, body)
	}
	for name := range e {
		if !known[name] {
			t.Errorf("%s: an error has no %s", at, name)
		}
	}
	if fmt.Sprint(e["type"]) == "" || e["message"] == "" {
		t.Errorf("%s: an error without type or message: %v", at, e)
	}
}

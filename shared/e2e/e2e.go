// Package e2e tests what any running paylane must do, as seen from outside: the tests need
// nothing but its base URL. The same suite runs against the handlers in one process,
// against built binaries, and against SAM's containers. What an environment can't do is
// listed in its limits.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// Target is a running paylane.
type Target struct {
	// URL is the base URL, without a trailing slash.
	URL         string
	Environment Environment
}

// Environment is a way to run paylane.
type Environment string

// The environments. Each passes the whole suite, within its limits.
const (
	InProcess Environment = "in process, on the embedded store"
	Binaries  Environment = "built binaries, on LocalStack"
	SAM       Environment = "SAM's containers, on LocalStack"
)

// limits bounds what the suite demands of an environment.
type limits struct {
	// patience is the longest an order may take to end.
	patience time.Duration
	// concurrent is how many requests may be in flight at once.
	concurrent int
	// streams is how many event streams may be open at once; 0 means that none are served.
	streams int
}

func (e Environment) limits() limits {
	switch e {
	case InProcess:
		return limits{patience: 30 * time.Second, concurrent: 200, streams: 25}
	case Binaries:
		// Each concurrent request takes a process of its own. So does each stream until its
		// order ends, even if its client has left.
		return limits{patience: 2 * time.Minute, concurrent: 20, streams: 4}
	case SAM:
		// A container serves one request after another, and SAM often waits a second for a
		// log that is already complete. It does not serve Function URLs.
		return limits{patience: 5 * time.Minute, concurrent: 5}
	}
	panic("no such environment: " + e)
}

// order is the part of an order that the suite reads.
type order struct {
	ID         string `json:"id"`
	Status     string `json:"status"`
	Amount     int64  `json:"amount"`
	Currency   string `json:"currency"`
	PaymentRef string `json:"paymentRef"`
	Failure    *struct {
		Code string `json:"code"`
	} `json:"failure"`
	Attempts []struct {
		Outcome string `json:"outcome"`
	} `json:"attempts"`
	RefundedAmount int64 `json:"refundedAmount"`
	Refunds        []struct {
		Amount int64  `json:"amount"`
		Status string `json:"status"`
		Reason string `json:"reason"`
		Ref    string `json:"ref"`
	} `json:"refunds"`
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

func (o order) outcomes() []string {
	out := make([]string, len(o.Attempts))
	for i, a := range o.Attempts {
		out[i] = a.Outcome
	}
	return out
}

// answer is a response whose body has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// decode reads the body as JSON.
func decode[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("status %d, body %s: %v", a.status, a.body, err)
	}
	return v
}

// send makes a request. Its errors are those of the connection.
func (g Target) send(ctx context.Context, method, path, body string, header ...string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, g.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text}, err
}

// do makes a request that must be answered.
func (g Target) do(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	a, err := g.send(t.Context(), method, path, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// create places an order and requires that it is PENDING.
func (g Target) create(t *testing.T, body string) order {
	t.Helper()
	a := g.do(t, http.MethodPost, "/orders", body)
	if a.status != http.StatusCreated {
		t.Fatalf("POST /orders: %d %s", a.status, a.body)
	}
	o := decode[order](t, a)
	if o.Status != "PENDING" || o.Version != 1 || a.header.Get("Location") != "/orders/"+o.ID {
		t.Fatalf("POST /orders: %+v, Location %q", o, a.header.Get("Location"))
	}
	return o
}

// end waits until an order has ended.
func (g Target) end(t *testing.T, id string) order {
	t.Helper()
	return g.until(t, id, "PAID", "FAILED", "CANCELED", "REFUNDED")
}

// until waits until the order has one of the statuses.
func (g Target) until(t *testing.T, id string, statuses ...string) order {
	t.Helper()
	patience := g.Environment.limits().patience
	for deadline := time.Now().Add(patience); ; {
		a := g.do(t, http.MethodGet, "/orders/"+id, "", "Prefer", "wait=2")
		o := decode[order](t, a)
		for _, s := range statuses {
			if o.Status == s {
				return o
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("order %s is not %v after %v: %s", id, statuses, patience, a.body)
		}
	}
}

// paidWith is the body of an order that is paid with a token.
func paidWith(token string) string {
	return fmt.Sprintf(`{"amount": 1200, "currency": "USD", "paymentToken": %q}`, token)
}

package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	key  = "the endpoint's own"
	paid = `{"type": "order.paid", "timestamp": "2026-11-01T08:00:00.000Z", "data": {"id": "a"}}`
)

// sign returns the signature of a delivery, as the standard describes it.
func sign(key, id, timestamp, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(id + "." + timestamp + "." + body))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func delivery(body, id, timestamp, signature string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/webhooks", strings.NewReader(body))
	r.Header = http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
	return r
}

func start(t *testing.T, ship func(orderID string) error) *receiver {
	t.Helper()
	webhook, err := standardwebhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString([]byte(key)))
	if err != nil {
		t.Fatal(err)
	}
	return newReceiver(webhook, func(_ context.Context, orderID string) error { return ship(orderID) })
}

func answer(r http.Handler, request *http.Request) int {
	recorder := httptest.NewRecorder()
	r.ServeHTTP(recorder, request)
	return recorder.Code
}

// TestReceiver: only what is signed with the endpoint's secret, and new, is worked on.
func TestReceiver(t *testing.T) {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	old := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	early := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	refunded := strings.Replace(paid, "paid", "refunded", 1)
	long := strings.Repeat(" ", maxBody) + paid
	unsigned := delivery(paid, "1", now, "")
	unsigned.Header = nil
	for _, tt := range []struct {
		name    string
		request *http.Request
		status  int
		shipped []string
	}{
		{"right", delivery(paid, "1", now, sign(key, "1", now, paid)), http.StatusNoContent, []string{"a"}},
		{"the second signature is right", delivery(paid, "1", now, sign("former", "1", now, paid)+" "+sign(key, "1", now, paid)), http.StatusNoContent, []string{"a"}},
		{"another type", delivery(refunded, "1", now, sign(key, "1", now, refunded)), http.StatusNoContent, nil},
		{"the secret is another", delivery(paid, "1", now, sign("other", "1", now, paid)), http.StatusBadRequest, nil},
		{"old", delivery(paid, "1", old, sign(key, "1", old, paid)), http.StatusBadRequest, nil},
		{"of the future", delivery(paid, "1", early, sign(key, "1", early, paid)), http.StatusBadRequest, nil},
		{"the timestamp is changed", delivery(paid, "1", now, sign(key, "1", old, paid)), http.StatusBadRequest, nil},
		{"the body is changed", delivery(paid, "1", now, sign(key, "1", now, refunded)), http.StatusBadRequest, nil},
		{"the id is changed", delivery(paid, "1", now, sign(key, "2", now, paid)), http.StatusBadRequest, nil},
		{"no headers", unsigned, http.StatusBadRequest, nil},
		{"too long", delivery(long, "1", now, sign(key, "1", now, long)), http.StatusRequestEntityTooLarge, nil},
		{"not an event", delivery("[]", "1", now, sign(key, "1", now, "[]")), http.StatusBadRequest, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var shipped []string
			r := start(t, func(orderID string) error {
				shipped = append(shipped, orderID)
				return nil
			})
			if got := answer(r, tt.request); got != tt.status || !slices.Equal(shipped, tt.shipped) {
				t.Errorf("the answer is %d, shipped is %q; want %d, %q", got, shipped, tt.status, tt.shipped)
			}
		})
	}
}

// TestRepeats: deliveries of one event at the same time and later do its work once.
func TestRepeats(t *testing.T) {
	const deliveries = 20
	now := strconv.FormatInt(time.Now().Unix(), 10)
	var shipped atomic.Int32
	var arrived sync.WaitGroup
	arrived.Add(deliveries)
	r := start(t, func(string) error {
		arrived.Wait()
		for range 1000 { // let the others overtake it, if they can
			runtime.Gosched()
		}
		shipped.Add(1)
		return nil
	})
	deliver := func(id string, arrived func()) {
		request := delivery(paid, id, now, sign(key, id, now, paid))
		request.Body = io.NopCloser(io.MultiReader(request.Body, end(arrived)))
		if got := answer(r, request); got != http.StatusNoContent {
			t.Errorf("the answer is %d", got)
		}
	}
	var all sync.WaitGroup
	for range deliveries {
		all.Go(func() { deliver("1", arrived.Done) })
	}
	all.Wait()
	deliver("1", func() {})
	if got := shipped.Load(); got != 1 {
		t.Errorf("one event was worked on %d times", got)
	}
	deliver("2", func() {})
	if got := shipped.Load(); got != 2 {
		t.Errorf("two events were worked on %d times", got)
	}
}

// end is the end of a body, which calls when it is read.
type end func()

func (e end) Read([]byte) (int, error) {
	e()
	return 0, io.EOF
}

// TestFailedWork: while its work fails, a delivery is not acknowledged, so that it comes
// again.
func TestFailedWork(t *testing.T) {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	down := true
	r := start(t, func(string) error {
		if down {
			return errors.New("the warehouse is closed")
		}
		return nil
	})
	for _, want := range []int{http.StatusInternalServerError, http.StatusInternalServerError, http.StatusNoContent} {
		down = want != http.StatusNoContent
		if got := answer(r, delivery(paid, "1", now, sign(key, "1", now, paid))); got != want {
			t.Errorf("the answer is %d, want %d", got, want)
		}
	}
}

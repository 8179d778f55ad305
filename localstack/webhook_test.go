//go:build integration

package localstack_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// TestWebhooks: built binaries and a real stream tell a webhook of each end, signed, in order, and
// again if it was not taken.
func TestWebhooks(t *testing.T) {
	s := newStack(t)
	r := s.start(t, repository)
	var mu sync.Mutex
	var key *standardwebhooks.Webhook
	taken := make(map[string][]string) // types, by order
	refused := make(map[string]bool)   // by webhook-id
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			err = key.Verify(body, request.Header)
		}
		var event struct {
			Type string
			Data struct{ ID string }
		}
		if err == nil {
			err = json.Unmarshal(body, &event)
		}
		if err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if id := request.Header.Get("webhook-id"); event.Type == "order.failed" && !refused[id] {
			refused[id] = true
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		taken[event.Data.ID] = append(taken[event.Data.ID], event.Type)
	}))
	defer server.Close()
	response, err := http.Post(r.url+"/webhooks", "application/json", strings.NewReader(`{"url": "`+server.URL+`/hook?token=s3cret"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	made := parsed[struct{ Secret string }](t, string(answer))
	mu.Lock()
	key, err = standardwebhooks.NewWebhook(made.Secret)
	mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string][]string)
	for range 5 {
		want[r.create(t, "tok_ok").ID] = []string{"order.paid"}
		want[r.create(t, "tok_declined").ID] = []string{"order.failed"}
	}
	o := r.paid(t, r.create(t, "tok_ok").ID)
	refund, err := http.Post(r.url+"/orders/"+o.ID+"/refund", "", nil)
	if err != nil || refund.StatusCode != http.StatusAccepted {
		t.Fatalf("refund: %v, %v", refund, err)
	}
	_ = refund.Body.Close()
	want[o.ID] = []string{"order.paid", "order.refunded"}
	eventually(t, time.Minute, func() string {
		mu.Lock()
		defer mu.Unlock()
		return cmp.Diff(want, taken)
	})
	if log := r.out.String(); strings.Contains(log, made.Secret) || strings.Contains(log, "s3cret") {
		t.Errorf("a secret is in the log:\n%s", log)
	}
}

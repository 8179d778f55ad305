package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"paylane/shared/sim/reference"
)

// What a receiver does instead of answering with a status.
const (
	noAnswer = -1 // until the caller leaves
	broken   = -2 // the connection
)

// receiver is a webhook's server.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	answer func() int // the status of the next answer, or one of those above
	key    *standardwebhooks.Webhook
	got    map[string][]arrival // by order
	took   chan struct{}        // has a value after an event was taken
}

// arrival is an event as it came. Its version is the order's in it.
type arrival struct {
	id, kind string
	version  int64
	taken    bool
}

// startReceiver starts a server that takes everything, and registers it as a webhook.
func startReceiver(t testing.TB, url string) *receiver {
	t.Helper()
	r := &receiver{got: make(map[string][]arrival), took: make(chan struct{}, 1)}
	r.answer = takes
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return // the runner was killed
		}
		var event struct {
			Type string
			Data struct {
				ID      string
				Version int64
			}
		}
		if err := json.Unmarshal(body, &event); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		if err := r.key.Verify(body, request.Header); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		answer := r.answer()
		r.got[event.Data.ID] = append(r.got[event.Data.ID], arrival{
			id: request.Header.Get("webhook-id"), kind: event.Type, version: event.Data.Version, taken: answer == http.StatusNoContent,
		})
		r.mu.Unlock()
		switch answer {
		case noAnswer:
			<-request.Context().Done()
		case broken:
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(answer)
		}
		select {
		case r.took <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(r.Close)
	key, err := standardwebhooks.NewWebhook(registerWebhook(t, url, r.URL))
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.key = key
	return r
}

// takes is the answer of a receiver that takes everything.
func takes() int { return http.StatusNoContent }

// answers sets how the receiver chooses its answers.
func (r *receiver) answers(answer func() int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// wait waits until the event of each order's end was taken.
func (r *receiver) wait(t testing.TB, ends map[string]reference.Order, limit time.Duration) {
	t.Helper()
	patience := time.NewTimer(limit)
	defer patience.Stop()
	for r.missing(ends) != "" {
		select {
		case <-r.took:
		case <-patience.C:
			t.Fatalf("of %d orders the webhook never got %s", len(ends), r.missing(ends))
		}
	}
}

// missing returns an end whose event was not taken yet; empty if there is none.
func (r *receiver) missing(ends map[string]reference.Order) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, o := range ends {
		if !slices.ContainsFunc(r.got[id], func(a arrival) bool { return a.version == o.Version && a.taken }) {
			return fmt.Sprintf("the end of %s, %s", id, o.Status)
		}
	}
	return ""
}

// check compares what came with how orders ended: of each, the events are those of its life, in
// their order, each with an id of its own, and taken. Failed reports whether an order may have
// FAILED so many times before its end; nil says that none has. It returns how many events there
// were, and in how many requests.
func (r *receiver) check(t testing.TB, ends map[string]reference.Order, failed func(id string, times int) bool) (events, requests int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, arrivals := range r.got {
		var told []arrival // each event once
		var kinds []string
		for _, a := range arrivals {
			i := slices.IndexFunc(told, func(e arrival) bool { return e.version == a.version || e.id == a.id })
			if i < 0 {
				told, kinds = append(told, a), append(kinds, a.kind)
				continue
			}
			if e := told[i]; e.id != a.id || e.kind != a.kind || e.version != a.version {
				t.Errorf("of order %s the events %+v and %+v came", id, e, a)
			}
			told[i].taken = told[i].taken || a.taken
		}
		for _, e := range told {
			if !e.taken {
				t.Errorf("of order %s the event %s was not taken", id, e.kind)
			}
		}
		want := eventsOf(ends[id])
		before := len(told) - len(want)
		if before < 0 || before > 0 && (failed == nil || !failed(id, before)) {
			t.Errorf("order %s, which is %+v, has the events %v", id, ends[id], kinds)
			continue
		}
		if want = append(slices.Repeat([]string{"order.failed"}, before), want...); !slices.Equal(kinds, want) {
			t.Errorf("order %s, which is %+v, has the events %v, want %v", id, ends[id], kinds, want)
		}
		events, requests = events+len(told), requests+len(arrivals)
	}
	return events, requests
}

// eventsOf returns the events of an order's last round, in their order.
func eventsOf(o reference.Order) (kinds []string) {
	switch o.Status {
	case "FAILED":
		return []string{"order.failed"}
	case "CANCELED":
		return []string{"order.canceled"}
	case "PAID", "REFUNDED":
		kinds = append(kinds, "order.paid")
	}
	for _, r := range o.Refunds {
		if r.Status == "DONE" {
			kinds = append(kinds, "order.refunded")
		}
	}
	return kinds
}

// TestWebhooksThroughKills kills the runner over and over while orders are placed, canceled and
// refunded, and a webhook's server fails: each end's event arrives, with one id, those of an order
// in order, and nothing else does.
func TestWebhooksThroughKills(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "template.yaml"), hurriedTemplate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	v := startVictim(t, folder)
	server := startReceiver(t, v.url)
	server.answers(func() int { // three requests in ten get a 500, one no answer, and one in twenty a reset
		switch verdict := rand.N(20); {
		case verdict < 6:
			return http.StatusInternalServerError
		case verdict < 8:
			return noAnswer
		case verdict < 9:
			return broken
		}
		return http.StatusNoContent
	})
	rounds, writers := 3, 2
	if testing.Short() { // each round adds to how long the last events have to wait
		rounds = 1
	}
	for round := range rounds {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
		var wg sync.WaitGroup
		for n := range writers {
			wg.Go(func() { live(client, v.url, fmt.Sprintf("r%d-w%d", round, n)) })
		}
		killed := time.NewTimer(500*time.Millisecond + rand.N(700*time.Millisecond))
		<-killed.C
		v.kill(t)
		wg.Wait()
		client.CloseIdleConnections()
		v = startVictim(t, folder)
	}
	defer func() { v.kill(t) }()
	server.answers(takes)
	ends := waitForEnds(t, v.url, time.Minute)
	server.wait(t, ends, 3*time.Minute)
	events, requests := server.check(t, ends, nil)
	t.Logf("%d orders, %d events, %d requests", len(ends), events, requests)
}

// registerWebhook returns the secret.
func registerWebhook(t testing.TB, url, to string) string {
	t.Helper()
	response, err := http.Post(url+"/webhooks", "application/json", strings.NewReader(`{"url": "`+to+`/hook"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var made struct{ Secret string }
	if err := json.NewDecoder(response.Body).Decode(&made); err != nil || response.StatusCode != http.StatusCreated {
		t.Fatalf("%s, %v", response.Status, err)
	}
	return made.Secret
}

// live places orders until the runner is killed. A third of them is canceled if that is early
// enough, and a third refunded.
func live(client *http.Client, url, name string) {
	for n := 0; ; n++ {
		body, err := place(client, url, fmt.Sprintf("%s-%d", name, n), `{"amount": 5}`)
		if err != nil {
			return
		}
		var o struct{ ID string }
		if json.Unmarshal([]byte(body), &o) != nil {
			return
		}
		action := "cancel"
		if n%3 == 1 {
			if _, err := get(url+"/orders/"+o.ID, "wait=20"); err != nil {
				return
			}
			action = "refund"
		}
		if n%3 == 2 {
			continue
		}
		response, err := client.Post(url+"/orders/"+o.ID+"/"+action, "", nil)
		if err != nil {
			return
		}
		_ = response.Body.Close()
	}
}

// TestWebhookLoopback: whoever registers webhooks from elsewhere has no business on this machine.
func TestWebhookLoopback(t *testing.T) {
	yes, no := true, false
	for name, tt := range map[string]struct {
		addr     string
		loopback *bool
		want     int
	}{
		"this machine":                {"127.0.0.1:0", nil, http.StatusCreated},
		"this machine, by its name":   {"localhost:0", nil, http.StatusCreated},
		"told not to":                 {"127.0.0.1:0", &no, http.StatusUnprocessableEntity},
		"other machines":              {"0.0.0.0:0", nil, http.StatusUnprocessableEntity},
		"other machines, and told to": {"0.0.0.0:0", &yes, http.StatusCreated},
	} {
		t.Run(name, func(t *testing.T) {
			g := startTarget(t, func(c *config) { c.Addr, c.WebhookLoopback = tt.addr, tt.loopback })
			request, err := http.NewRequest(http.MethodPost, g.url+"/webhooks", strings.NewReader(`{"url": "http://127.0.0.1:1/"}`))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Authorization", g.of(t, "shop", everything))
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != tt.want {
				t.Errorf("%s", response.Status)
			}
		})
	}
}

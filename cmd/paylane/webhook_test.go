package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is a webhook's server.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	faulty bool // three requests in ten get a 500, one no answer, and one in twenty a reset
	key    *standardwebhooks.Webhook
	got    map[string][]arrival // by order
	took   chan struct{}        // has a value after an event was taken
}

// arrival is an event as it came.
type arrival struct {
	id, kind string
	taken    bool
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{got: make(map[string][]arrival), took: make(chan struct{}, 1)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return // the runner was killed
		}
		r.mu.Lock()
		verdict := 0
		if r.faulty {
			verdict = rand.N(20)
		}
		a := arrival{id: request.Header.Get("webhook-id"), taken: !r.faulty || verdict >= 9}
		var event struct {
			Type string
			Data struct{ ID string }
		}
		if err := r.key.Verify(body, request.Header); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if err := json.Unmarshal(body, &event); err != nil {
			t.Error(err)
		}
		a.kind = event.Type
		r.got[event.Data.ID] = append(r.got[event.Data.ID], a)
		faulty := r.faulty
		r.mu.Unlock()
		switch {
		case !faulty || verdict >= 9:
			w.WriteHeader(http.StatusNoContent)
			select {
			case r.took <- struct{}{}:
			default:
			}
		case verdict < 6:
			w.WriteHeader(http.StatusInternalServerError)
		case verdict < 8:
			<-request.Context().Done()
		default:
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// missing returns an event that should have come, and was not taken yet; empty if there is none.
func (r *receiver) missing(ends map[string]string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, status := range ends {
		for _, kind := range eventsOf(status) {
			taken := false
			for _, a := range r.got[id] {
				taken = taken || a.kind == kind && a.taken
			}
			if !taken {
				return kind + " of " + id
			}
		}
	}
	return ""
}

// eventsOf returns the events of an order that has ended like this, in their order.
func eventsOf(status string) []string {
	switch status {
	case "PAID":
		return []string{"order.paid"}
	case "CANCELED":
		return []string{"order.canceled"}
	case "REFUNDED":
		return []string{"order.paid", "order.refunded"}
	}
	return nil
}

// TestWebhooksThroughKills kills the runner over and over while orders are placed, canceled and
// refunded, and a webhook's server fails: each end's event arrives, with one id, those of an order
// in order, and nothing else does.
func TestWebhooksThroughKills(t *testing.T) {
	folder := t.TempDir()
	text := hurriedTemplate(t)
	for _, change := range [][2]string{{"VisibilityTimeout: 120\n", "VisibilityTimeout: 4\n"}, {"Timeout: 20\n", "Timeout: 3\n"}} {
		if !bytes.Contains(text, []byte(change[0])) {
			t.Fatalf("template.yaml has no %q", change[0])
		}
		text = bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
	}
	if err := os.WriteFile(filepath.Join(folder, "template.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	server := newReceiver(t)
	v := startVictim(t, folder)
	secret := registerWebhook(t, v.url, server.URL)
	key, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	server.mu.Lock()
	server.key, server.faulty = key, true
	server.mu.Unlock()
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
	server.mu.Lock()
	server.faulty = false
	server.mu.Unlock()
	ends := waitForEnds(t, v.url, time.Minute)
	patience := time.NewTimer(3 * time.Minute)
	defer patience.Stop()
	for server.missing(ends) != "" {
		select {
		case <-server.took:
		case <-patience.C:
			t.Fatalf("of %d orders the webhook never got %s", len(ends), server.missing(ends))
		}
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	tries, events := 0, 0
	for id, arrivals := range server.got {
		ids := make(map[string]string) // by kind
		var order []string
		for _, a := range arrivals {
			tries++
			if before := ids[a.kind]; before != "" && before != a.id {
				t.Errorf("%s of %s came with the ids %s and %s", a.kind, id, before, a.id)
			}
			if ids[a.kind] == "" {
				events++
				order = append(order, a.kind)
			}
			ids[a.kind] = a.id
		}
		if want := eventsOf(ends[id]); strings.Join(order, " ") != strings.Join(want, " ") {
			t.Errorf("the order %s, which is %s, has the events %v, want %v", id, ends[id], order, want)
		}
	}
	t.Logf("%d orders, %d events, %d requests", len(ends), events, tries)
}

// registerWebhook returns the secret.
func registerWebhook(t *testing.T, url, to string) string {
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

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	listenKey    = "the endpoint's own secret"
	listenOrder  = "01930d6c-7a80-7000-8000-000000000001"
	listenEvent  = `{"type":"order.paid","timestamp":"2026-11-01T08:00:00.000Z","data":{"id":"` + listenOrder + `","status":"PAID"}}`
	listenID     = "0193-endpoint"
	listenBearer = "a-token"
)

func listenSecret(key string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))
}

// webhooksAPI stands in for the part of the API by which endpoints are made and deleted.
type webhooksAPI struct {
	*httptest.Server
	// Answer is what a registration gets instead of an endpoint, and Status its status.
	Answer string
	Status int
	// Registering and Deleting are called by requests, and Deleted is the status of a deletion.
	Registering func()
	Deleting    func(*http.Request)
	Deleted     int

	registered chan string // the URL of each endpoint that was made

	mu       sync.Mutex
	requests []string
}

func startWebhooks(t *testing.T, change func(*webhooksAPI)) *webhooksAPI {
	t.Helper()
	f := &webhooksAPI{
		Answer: `{"id": "` + listenID + `", "url": "x", "status": "enabled", "secret": "` + listenSecret(listenKey) + `"}`,
		Status: http.StatusCreated, Deleted: http.StatusNoContent,
		Registering: func() {}, Deleting: func(*http.Request) {},
		registered: make(chan string, 1),
	}
	if change != nil {
		change(f)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /webhooks", func(w http.ResponseWriter, r *http.Request) {
		f.note(r)
		f.Registering()
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Answer)
	})
	mux.HandleFunc("DELETE /webhooks/{id}", func(w http.ResponseWriter, r *http.Request) {
		f.note(r)
		f.Deleting(r)
		w.WriteHeader(f.Deleted)
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

// note keeps a request: its method, its path, its token and its body, without ports.
func (f *webhooksAPI) note(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var endpoint struct{ URL string }
	if json.Unmarshal(body, &endpoint) == nil {
		f.registered <- endpoint.URL
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, strings.Join(strings.Fields(r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+portless(string(body))), " "))
}

// asked returns the requests so far, other than GET /healthz.
func (f *webhooksAPI) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// portless removes the ports of loopback addresses from a text.
func portless(text string) string {
	return regexp.MustCompile(`(127\.0\.0\.1):\d+`).ReplaceAllString(text, "$1")
}

// listening is the command while it runs.
type listening struct {
	url   string // of its endpoint
	ended <-chan outcome
}

// startListening runs the command until it is interrupted.
func startListening(t *testing.T, f *webhooksAPI, args ...string) listening {
	t.Helper()
	ended := make(chan outcome, 1)
	go func() { ended <- execute(t, append([]string{"listen", "--url", f.URL}, args...)...) }()
	select {
	case url := <-f.registered:
		return listening{url, ended}
	case got := <-ended:
		t.Fatalf("it ended at once: %+v", got)
		return listening{}
	}
}

// interrupt ends the command as Ctrl-C does, and returns what it did.
func (l listening) interrupt(t *testing.T) outcome {
	t.Helper()
	interrupt(t)
	return <-l.ended
}

// signed returns a delivery to the endpoint, signed with these keys.
func (l listening) signed(t *testing.T, at time.Time, body string, keys ...string) *http.Request {
	t.Helper()
	const id = "msg_1"
	var signatures []string
	for _, key := range keys {
		webhook, err := standardwebhooks.NewWebhook(listenSecret(key))
		if err != nil {
			t.Fatal(err)
		}
		signature, err := webhook.Sign(id, at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, signature)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(standardwebhooks.HeaderWebhookID, id)
	r.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	r.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return r
}

// deliver sends a delivery and returns the answer's status and body.
func deliver(t *testing.T, r *http.Request) (status int, body string, header http.Header) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(read), answer.Header
}

// timeless removes from lines what is different in each run.
func timeless(lines string) string {
	lines = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d `).ReplaceAllString(lines, "TIME ")
	lines = regexp.MustCompile(`"time":"[^"]*Z"`).ReplaceAllString(lines, `"time":"TIME"`)
	lines = regexp.MustCompile(`"ms":\d+`).ReplaceAllString(lines, `"ms":0`)
	return regexp.MustCompile(`\d+ms`).ReplaceAllString(lines, "0ms")
}

// TestListen: what is signed is forwarded as it came, and answered as the server answers; all
// else is refused. Each delivery is a line.
func TestListen(t *testing.T) {
	type forwarded struct {
		Path, Body string
		Header     http.Header
	}
	var got []forwarded
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := http.Header{}
		for _, name := range []string{"Content-Type", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
			h[name] = r.Header[name]
		}
		got = append(got, forwarded{r.RequestURI, string(body), h})
		w.Header().Set("X-Server", "own")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "answer %d", len(got))
	}))
	t.Cleanup(server.Close)
	api := startWebhooks(t, nil)
	l := startListening(t, api, "--forward-to", server.URL+"/hooks?shop=a", "--events", "order.paid, order.failed", "--token", listenBearer)
	now := time.Now()

	// Signed, and so forwarded. The same delivery may come again.
	paid := "TIME  --> order.paid      " + listenOrder + "  "
	for i, tt := range []struct {
		body   string
		keys   []string
		status int
	}{
		{listenEvent, []string{listenKey}, http.StatusOK},
		{listenEvent, []string{listenKey}, http.StatusOK},
		{listenEvent, []string{"former", listenKey}, http.StatusServiceUnavailable},
		{`{"type": "webhook.test"}`, []string{listenKey}, http.StatusFound},
	} {
		status = tt.status
		r := l.signed(t, now, tt.body, tt.keys...)
		answered, answer, header := deliver(t, r)
		if want := fmt.Sprintf("answer %d", i+1); answered != tt.status || answer != want || header.Get("X-Server") != "own" {
			t.Errorf("the answer is %d %q %v, want the server's", answered, answer, header)
		}
		want := forwarded{"/hooks?shop=a", tt.body, r.Header}
		if d := cmp.Diff(want, got[len(got)-1]); d != "" {
			t.Errorf("the server got (-want +got):\n%s", d)
		}
	}
	// Refused.
	unsigned := l.signed(t, now, listenEvent, listenKey)
	unsigned.Header = http.Header{}
	malformed := l.signed(t, now, listenEvent, listenKey)
	malformed.Header.Set(standardwebhooks.HeaderWebhookTimestamp, "soon")
	other := l.signed(t, now, listenEvent, listenKey)
	other.Body, other.ContentLength = io.NopCloser(strings.NewReader("{}")), 2
	get := l.signed(t, now, "", listenKey)
	get.Method = http.MethodGet
	for _, tt := range []struct {
		r      *http.Request
		status int
	}{
		{l.signed(t, now, listenEvent, "other"), http.StatusBadRequest},
		{l.signed(t, now.Add(-time.Hour), listenEvent, listenKey), http.StatusBadRequest},
		{other, http.StatusBadRequest},
		{unsigned, http.StatusBadRequest},
		{malformed, http.StatusBadRequest},
		{l.signed(t, now, "[]", listenKey), http.StatusBadRequest},
		{l.signed(t, now, strings.Repeat(" ", 1<<20)+"{}", listenKey), http.StatusRequestEntityTooLarge},
		{get, http.StatusMethodNotAllowed},
	} {
		if answered, answer, _ := deliver(t, tt.r); answered != tt.status {
			t.Errorf("the answer is %d %q, want %d", answered, answer, tt.status)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d deliveries were forwarded, want 4", len(got))
	}

	end := l.interrupt(t)
	if end.status != exitOK {
		t.Errorf("the status is %d", end.status)
	}
	const refused = "TIME  --> ?               -  <-- 400 Bad Request  0ms  "
	const invalid = refused + "not signed by paylane: "
	if d := cmp.Diff([]string{
		paid + "<-- 200 OK  0ms",
		paid + "<-- 200 OK  0ms",
		paid + "<-- 503 Service Unavailable  0ms",
		"TIME  --> webhook.test    -  <-- 302 Found  0ms",
		invalid + "no matching signature found",
		invalid + "message timestamp too old",
		invalid + "no matching signature found",
		invalid + "missing required headers",
		invalid + `unable to parse timestamp header, err: strconv.ParseInt: parsing "soon": invalid syntax invalid signature headers`,
		refused + "the body is not an event",
		"TIME  --> ?               -  <-- 413 Request Entity Too Large  0ms  the body is longer than 1 MiB",
	}, strings.Split(strings.TrimSpace(timeless(end.out)), "\n")); d != "" {
		t.Errorf("it prints (-want +got):\n%s", d)
	}
	if want := "ready: the endpoint " + listenID + " is " + l.url + ", forwarding to " + server.URL + "/hooks?shop=a; Ctrl-C deletes it\n"; end.err != want {
		t.Errorf("it says %q, want %q", end.err, want)
	}
	if d := cmp.Diff([]string{
		`POST /webhooks Bearer a-token {"url":"http://127.0.0.1/","events":["order.paid","order.failed"]}`,
		"DELETE /webhooks/" + listenID + " Bearer a-token",
	}, api.asked()); d != "" {
		t.Errorf("the API was asked (-want +got):\n%s", d)
	}
}

// TestListenAlone: without a server, deliveries are printed and acknowledged, as JSON if that
// is wanted. The secret is shown only to those who ask.
func TestListenAlone(t *testing.T) {
	for _, tt := range []struct {
		name     string
		args     []string
		out, err string
	}{
		{"text", nil, "TIME  --> order.paid      " + listenOrder + "  <-- 204 No Content  0ms\n", ""},
		{"JSON", []string{"--json", "--print-secret"},
			`{"time":"TIME","webhookId":"msg_1","type":"order.paid","orderId":"` + listenOrder + `","status":204,"ms":0}` + "\n",
			"secret: " + listenSecret(listenKey) + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := startWebhooks(t, nil)
			l := startListening(t, api, tt.args...)
			if status, answer, _ := deliver(t, l.signed(t, time.Now(), listenEvent, listenKey)); status != http.StatusNoContent || answer != "" {
				t.Errorf("the answer is %d %q", status, answer)
			}
			got := l.interrupt(t)
			got.out = timeless(got.out)
			want := outcome{exitOK, tt.out, tt.err + "ready: the endpoint " + listenID + " is " + l.url + "; Ctrl-C deletes it\n"}
			if d := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if want := `POST /webhooks {"url":"http://127.0.0.1/"}`; api.asked()[0] != want {
				t.Errorf("it registers by %s, want %s", api.asked()[0], want)
			}
		})
	}
}

// TestListenServerAway: while the server can't be reached, the answer is one that paylane
// tries again after.
func TestListenServerAway(t *testing.T) {
	l := startListening(t, startWebhooks(t, nil), "--forward-to", "http://127.0.0.1:1/hooks") // a port that nobody serves
	status, answer, _ := deliver(t, l.signed(t, time.Now(), listenEvent, listenKey))
	if status != http.StatusBadGateway {
		t.Errorf("the answer is %d %q", status, answer)
	}
	got := l.interrupt(t)
	if want := "  <-- 502 Bad Gateway  0ms  dial tcp 127.0.0.1:1: "; got.status != exitOK || !strings.Contains(timeless(got.out), want) {
		t.Errorf("%q is not in %+v", want, got)
	}
}

// TestListenCallerGone: a delivery whose answer nobody waits for is a line, too, and takes the
// request to the server with it.
func TestListenCallerGone(t *testing.T) {
	asked, ended := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(asked)
		<-r.Context().Done()
		close(ended)
	}))
	t.Cleanup(server.Close)
	l := startListening(t, startWebhooks(t, nil), "--forward-to", server.URL)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-asked
		leave()
	}()
	if answer, err := http.DefaultClient.Do(l.signed(t, time.Now(), listenEvent, listenKey).WithContext(ctx)); err == nil {
		_ = answer.Body.Close()
		t.Errorf("the answer is %s", answer.Status)
	}
	<-ended
	got := l.interrupt(t)
	if want := "paylane did not wait for the answer\n"; got.status != exitOK || !strings.HasSuffix(got.out, want) {
		t.Errorf("%q is not the end of %+v", want, got)
	}
}

// TestListenFinishes: Ctrl-C first deletes the endpoint, then takes no more deliveries, and
// answers those that are under way.
func TestListenFinishes(t *testing.T) {
	asked, closed := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-closed
	}))
	t.Cleanup(server.Close)
	open := func(url string) bool {
		connection, err := net.Dial("tcp", strings.Trim(url, "htp:/"))
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	}
	url := make(chan string, 1)
	api := startWebhooks(t, func(f *webhooksAPI) {
		f.Deleting = func(*http.Request) {
			if !open(<-url) {
				t.Error("the endpoint is not deleted yet, and nothing takes its deliveries")
			}
		}
	})
	l := startListening(t, api, "--forward-to", server.URL)
	url <- l.url
	go func() {
		<-asked
		interrupt(t)
		for open(l.url) {
			runtime.Gosched()
		}
		for range 100 { // so that it could cut the delivery, if it did
			open(l.url)
		}
		close(closed)
	}()
	if status, answer, _ := deliver(t, l.signed(t, time.Now(), listenEvent, listenKey)); status != http.StatusOK {
		t.Errorf("the answer is %d %q", status, answer)
	}
	if got := <-l.ended; got.status != exitOK {
		t.Errorf("%+v", got)
	}
}

// TestListenFails: each failure says what to do, and an endpoint that was made is deleted, or
// named.
func TestListenFails(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	const ready = "ready: the endpoint " + listenID + " is http://127.0.0.1/; Ctrl-C deletes it\n"
	const left = "paylane listen: delete the endpoint " + listenID + ", which is left: "
	for _, tt := range []struct {
		name    string
		api     func(*webhooksAPI)
		args    string
		status  int
		err     string
		deletes bool
	}{
		{"interrupted while it registers", func(f *webhooksAPI) { f.Registering = func() { interrupt(t) } }, "", exitOK, ready, true},
		{"too many endpoints", func(f *webhooksAPI) {
			f.Status, f.Answer = http.StatusConflict, `{"status": 409, "detail": "There are 10 endpoints already: delete one."}`
		}, "", exitFailed, "paylane listen: register the endpoint: 409: There are 10 endpoints already: delete one.\n", false},
		{"an unknown type", func(f *webhooksAPI) {
			f.Status, f.Answer = http.StatusUnprocessableEntity, `{"status": 422, "detail": "See errors.", "errors": [{"location": "body.events[0]", "message": "no such type"}]}`
		}, "--events order.payed", exitFailed, "paylane listen: register the endpoint: 422: See errors. body.events[0]: no such type\n", false},
		{"a token without the scope", func(f *webhooksAPI) {
			f.Status, f.Answer = http.StatusForbidden, `{"message": "Forbidden"}`
		}, "--token x", exitFailed, "paylane listen: register the endpoint: the answer is 403 Forbidden: --token must be an access token with the scope orders/write\n", false},
		{"no endpoint", func(f *webhooksAPI) { f.Answer = `{}` },
			"", exitFailed, "paylane listen: register the endpoint: the answer has no id, or no secret\n", false},
		{"no secret", func(f *webhooksAPI) { f.Answer = `{"id": "` + listenID + `"}` },
			"", exitFailed, "paylane listen: register the endpoint: the answer has no id, or no secret\n", true},
		{"not a secret", func(f *webhooksAPI) { f.Answer = `{"id": "` + listenID + `", "secret": "whsec_hidden!"}` },
			"", exitFailed, "paylane listen: read the endpoint's secret: unable to create webhook, err: illegal base64 data at input byte 6\n", true},
		{"the endpoint is gone", func(f *webhooksAPI) {
			f.Registering, f.Deleted = func() { interrupt(t) }, http.StatusNotFound
		}, "", exitOK, ready, true},
		{"the endpoint can't be deleted", func(f *webhooksAPI) {
			f.Registering, f.Deleted = func() { interrupt(t) }, http.StatusServiceUnavailable
		}, "", exitFailed, ready + left + "the answer is 503 Service Unavailable\n", true},
		{"interrupted while it deletes", func(f *webhooksAPI) {
			f.Registering = func() { interrupt(t) }
			f.Deleting = func(r *http.Request) {
				interrupt(t)
				<-r.Context().Done()
			}
		}, "", exitFailed, ready + left + `Delete "http://127.0.0.1/webhooks/` + listenID + `": context canceled` + "\n", true},
		{"the address is taken", nil, "--addr " + busy.Addr().String(), exitFailed, "paylane listen: listen tcp 127.0.0.1: bind: address already in use\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := startWebhooks(t, tt.api)
			got := execute(t, append([]string{"listen", "--url", api.URL}, strings.Fields(tt.args)...)...)
			got.err = portless(got.err)
			if d := cmp.Diff(outcome{tt.status, "", tt.err}, got, cmp.AllowUnexported(outcome{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if deletes := slices.Contains(api.asked(), "DELETE /webhooks/"+listenID); deletes != tt.deletes {
				t.Errorf("the API was asked %q; a deletion is wanted: %v", api.asked(), tt.deletes)
			}
		})
	}
}

// TestListenPublicURL: a tunnel's URL is registered instead of the listener's.
func TestListenPublicURL(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	_ = free.Close()
	l := startListening(t, startWebhooks(t, nil), "--addr", addr, "--public-url", "https://tunnel.test/a")
	if l.url != "https://tunnel.test/a" {
		t.Errorf("the endpoint is %s", l.url)
	}
	l.url = "http://" + addr + "/a" // as the tunnel forwards it
	if status, answer, _ := deliver(t, l.signed(t, time.Now(), listenEvent, listenKey)); status != http.StatusNoContent {
		t.Errorf("the answer is %d %q", status, answer)
	}
	if got := l.interrupt(t); got.status != exitOK {
		t.Errorf("%+v", got)
	}
}

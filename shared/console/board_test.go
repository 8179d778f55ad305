package console_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/console"
	"paylane/shared/order"
	"paylane/shared/wire"
)

// noon is the time in these tests.
func noon() time.Time { return time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC) }

// fakeBoard has the seconds that a test adds.
type fakeBoard struct {
	mu      sync.Mutex
	seconds []console.Second
	more    chan struct{}
	ended   bool
}

func newFakeBoard(seconds ...console.Second) *fakeBoard {
	return &fakeBoard{seconds: seconds, more: make(chan struct{})}
}

// change changes the board and wakes those who wait.
func (b *fakeBoard) change(how func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	how()
	close(b.more)
	b.more = make(chan struct{})
}

func (b *fakeBoard) add(s console.Second) { b.change(func() { b.seconds = append(b.seconds, s) }) }
func (b *fakeBoard) end()                 { b.change(func() { b.ended = true }) }

func (b *fakeBoard) Seconds(after time.Time) (later []console.Second) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.seconds {
		if s.At.After(after) {
			later = append(later, s)
		}
	}
	return later
}

func (b *fakeBoard) Wait(ctx context.Context, after time.Time) error {
	for {
		b.mu.Lock()
		more, ended := b.more, b.ended
		b.mu.Unlock()
		switch {
		case ended:
			return errors.New("ended")
		case len(b.Seconds(after)) > 0:
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open returns a console whose API answers what api does.
func open(t *testing.T, c console.Config, api http.HandlerFunc) http.Handler {
	t.Helper()
	c.API, c.Now, c.Log = api, noon, slog.New(slog.DiscardHandler)
	c.Open = console.Session{Tenant: "shop", Read: true, Operate: true}
	handler, err := console.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// noAPI answers nothing.
func noAPI(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

// second returns the n-th second after noon, in which n orders came in.
func second(n int) console.Second {
	return console.Second{At: noon().Add(time.Duration(n) * time.Second), Accepted: n}
}

// textOf returns the text of a page, without its scripts.
func textOf(page string) string {
	page = regexp.MustCompile(`(?s)<script.*?</script>`).ReplaceAllString(page, "")
	return html.UnescapeString(strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " ")), " "))
}

func get(t *testing.T, handler http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func wantText(t *testing.T, page string, want ...string) {
	t.Helper()
	text := textOf(page)
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("the page lacks %q:\n%s", w, text)
		}
	}
}

// TestBoard: the page has every number itself, and what its script draws.
func TestBoard(t *testing.T) {
	var seconds []console.Second
	for n := range 20 {
		seconds = append(seconds, second(n))
	}
	last := &seconds[19]
	last.Paid, last.Timed, last.P50, last.P99 = 12345, 2, 80*time.Millisecond, 2500*time.Millisecond
	last.Orders = map[order.Status]int{order.Pending: 1234567, order.Paid: 8}
	last.Queues = []console.QueueFigures{
		{Name: "payments", Visible: 5, InFlight: 6, Delayed: 7, Oldest: 90 * time.Second},
		{Name: "webhooks", Visible: 10, InFlight: 20, Oldest: time.Second}, {Name: "broken", DeadLetters: true, Visible: 1, InFlight: 1, Delayed: 2},
	}
	seconds[3].Declined, seconds[3].GaveUp, last.Declined, last.Failed = 3, 11, 4, 13
	handler := open(t, console.Config{Local: console.Local{Board: newFakeBoard(seconds...)}}, noAPI)
	for _, path := range []string{"/console", "/console/"} {
		page := get(t, handler, path)
		if page.Code != http.StatusOK {
			t.Fatalf("%s: %d", path, page.Code)
		}
		wantText(t, page.Body.String(), "As it was at 2026-03-14 12:00:19 UTC",
			"Orders in 15 per second", "PAID 1,235 per second", "Time to PAID, p50 80ms", "Time to PAID, p99 2.5s", "PENDING 1,234,567 orders", "REFUNDING 0 orders",
			"Waiting 15 messages", "In flight 26 messages", "Oldest message 1m30s", "Dead letters 4 messages",
			"declined 7", "11 orders FAILED without being declined", "13 messages or requests failed",
			"payments 5 6 7 1m30s", "broken dead letters 1 1 2 –")
	}
	start := regexp.MustCompile(`(?s)<script type="application/json" id="start">(.*?)</script>`).FindStringSubmatch(get(t, handler, "/console").Body.String())
	if start == nil {
		t.Fatal("the page has nothing to draw")
	}
	var event liveEvent
	if err := json.Unmarshal([]byte(start[1]), &event); err != nil || len(event.Rows) != 20 {
		t.Fatalf("the page has %d seconds to draw, %v", len(event.Rows), err)
	}
	want := []any{float64(noon().Unix() + 19), 19., 12345., 80., 2500., 15., 26., 4., 0., 0., 0.}
	if diff := cmp.Diff(want, event.Rows[19]); diff != "" {
		t.Errorf("the newest second (-want +got):\n%s", diff)
	}
}

// TestBoardLeadsToQueues: to their page, or where there is none, to those on the board itself.
func TestBoardLeadsToQueues(t *testing.T) {
	for link, local := range map[string]console.Local{
		"#queues": {Board: newFakeBoard()}, "/console/queues": {Board: newFakeBoard(), Queues: struct{ console.Queues }{}},
	} {
		if page := get(t, open(t, console.Config{Local: local}, noAPI), "/console").Body.String(); strings.Count(page, `<li><a href="`+link+`"`) != 4 {
			t.Errorf("four numbers should lead to %s:\n%s", link, page)
		}
	}
}

// TestBoardAtFirst: orders are not counted yet, and nobody was PAID.
func TestBoardAtFirst(t *testing.T) {
	for _, seconds := range [][]console.Second{nil, {second(1)}} {
		handler := open(t, console.Config{Local: console.Local{Board: newFakeBoard(seconds...)}}, noAPI)
		wantText(t, get(t, handler, "/console").Body.String(), "PENDING counting orders", "Time to PAID, p50 –", "Oldest message –")
	}
}

// TestWhoSeesTheBoard: where people sign in, the figures of all tenants are for those who may see
// all. Others get what their own orders tell.
func TestWhoSeesTheBoard(t *testing.T) {
	board := newFakeBoard(second(1))
	s := newSite(t, func(c *console.Config, _ *issuer) { c.Local.Board = board })
	all, one := s.as(s.token(t, "*", both, nil)), s.as(s.token(t, "shop", both, nil))
	all.cookies["__Host-paylane-tenant"] = "c2hvcA" // shop
	if page := text(t, all.get("/console")); !strings.Contains(page, "Waiting") || len(s.asked) > 0 {
		t.Errorf("an operator over all tenants asks %q and sees %s", s.asked, page)
	}
	board.end()
	if live := all.get("/console/live"); live.StatusCode != http.StatusOK {
		t.Errorf("the stream of an operator over all tenants: %d", live.StatusCode)
	}
	if page := text(t, one.get("/console")); strings.Contains(page, "Waiting") || !slices.Equal(s.asked, []string{"GET /orders?limit=100 for shop"}) {
		t.Errorf("a tenant's operator asks %q and sees %s", s.asked, page)
	}
	if live := one.get("/console/live"); live.StatusCode != http.StatusNotFound {
		t.Errorf("the stream of a tenant's operator: %d", live.StatusCode)
	}
}

type liveEvent struct {
	ID   string
	Rows [][]any
	Show map[string]string
}

// stream is a live board that is open.
type stream struct {
	*bufio.Scanner
	*http.Response
}

func openStream(t *testing.T, url, lastID string) stream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("the stream is %d, %s", response.StatusCode, got)
	}
	return stream{bufio.NewScanner(response.Body), response}
}

// next reads an event: how many orders came in, in each of its seconds.
func (s stream) next(t *testing.T) (accepted []any, e liveEvent) {
	t.Helper()
	for s.Scan() {
		if id, ok := strings.CutPrefix(s.Text(), "id: "); ok {
			e.ID = id
		}
		if data, ok := strings.CutPrefix(s.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatal(err)
			}
			for _, row := range e.Rows {
				accepted = append(accepted, row[1])
			}
			return accepted, e
		}
	}
	t.Fatalf("the stream ended: %v", s.Err())
	return nil, liveEvent{}
}

// TestLive: each second is told once, also to whoever comes back, and the stream ends with the
// program.
func TestLive(t *testing.T) {
	board := newFakeBoard(second(1), second(2))
	server := httptest.NewServer(open(t, console.Config{Local: console.Local{Board: board}}, noAPI))
	defer server.Close()
	url := server.URL + "/console/live"
	want := func(of string, s stream, want ...any) liveEvent {
		t.Helper()
		got, event := s.next(t)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", of, diff)
		}
		return event
	}
	first := openStream(t, url, "")
	start := want("all", first, 1., 2.)
	board.add(second(3))
	event := want("the next", first, 3.)
	if event.Show["in"] != "2.0" {
		t.Errorf("what is shown: %v", event.Show)
	}
	_ = first.Body.Close()
	want("a page of the first second", openStream(t, fmt.Sprint(url, "?after=", noon().Add(time.Second).UnixMilli()), ""), 2., 3.)
	again := openStream(t, url+"?after=1", start.ID)
	want("whoever comes back", again, 3.)
	board.add(second(4))
	want("and stays", again, 4.)
	board.end()
	for again.Scan() {
		if again.Text() != "" { // as the last event ends
			t.Errorf("after the end: %q", again.Text())
		}
	}
	if err := again.Err(); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
}

// TestLiveIsBounded: one board too many is refused, until another is closed.
func TestLiveIsBounded(t *testing.T) {
	handler := open(t, console.Config{Local: console.Local{Board: newFakeBoard()}}, noAPI)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var streams sync.WaitGroup
	watch := func() {
		r, out := io.Pipe()
		streams.Go(func() {
			w := pipeWriter{httptest.NewRecorder(), out}
			handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/console/live", nil))
			_ = out.Close()
		})
		if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || line != "retry: 1000\n" {
			t.Errorf("the stream begins with %q, %v", line, err)
		}
	}
	for range 32 {
		watch()
	}
	refused := get(t, handler, "/console/live")
	if refused.Code != http.StatusServiceUnavailable || refused.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d", refused.Code)
	}
	wantText(t, refused.Body.String(), "32 live boards are open")
	leave()
	streams.Wait()
	ctx, leave = context.WithCancel(t.Context())
	defer leave()
	watch()
	leave()
	streams.Wait()
}

// pipeWriter writes the body to a pipe.
type pipeWriter struct {
	*httptest.ResponseRecorder
	out io.Writer
}

func (w pipeWriter) Write(p []byte) (int, error) { return w.out.Write(p) }

// TestWithoutBoard: where there are no figures, the newest orders tell what they can.
func TestWithoutBoard(t *testing.T) {
	at := func(d time.Duration) string { return wire.Timestamp(noon().Add(d)) }
	orders := func(all ...wire.OrderBody) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if session, _ := console.SessionOf(r.Context()); session.Tenant != "shop" || r.URL.String() != "/orders?limit=100" {
				t.Errorf("%s was asked as %q", r.URL, session.Tenant)
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"orders": all})
		}
	}
	c := console.Config{Dashboard: "https://dashboard.example/x?a=1&b=2"}
	handler := open(t, c, orders(
		wire.OrderBody{Status: "PENDING", CreatedAt: at(4 * time.Minute), UpdatedAt: at(9 * time.Minute)},
		wire.OrderBody{Status: "PAID", CreatedAt: at(3 * time.Minute), UpdatedAt: at(3*time.Minute + 3*time.Second)},
		wire.OrderBody{Status: "PAID", CreatedAt: at(2 * time.Minute), UpdatedAt: at(2*time.Minute + time.Second)},
		wire.OrderBody{Status: "PAID", CreatedAt: at(2 * time.Minute), UpdatedAt: at(time.Hour), Refunds: []wire.RefundBody{{Status: "DECLINED"}}},
		wire.OrderBody{Status: "FAILED", CreatedAt: at(0), UpdatedAt: at(time.Second)},
	))
	page := get(t, handler, "/console").Body.String()
	wantText(t, page, "your newest 5 orders", "from 2026-03-14 12:00:00 UTC", "Orders in 1.0 per minute", "Time to PAID, p50 1s", "Time to PAID, p99 3s",
		"FAILED 25 %", "PENDING 1 orders", "PAID 3 orders", "FAILED 1 orders", "The stack's dashboard")
	if !strings.Contains(page, `href="https://dashboard.example/x?a=1&amp;b=2"`) || !strings.Contains(page, `hx-get="/console"`) {
		t.Errorf("the page leads to no dashboard, or does not refresh itself:\n%s", page)
	}
	if live := get(t, handler, "/console/live"); live.Code != http.StatusNotFound {
		t.Errorf("the live board: %d", live.Code)
	}
	wantText(t, get(t, open(t, console.Config{}, orders()), "/console").Body.String(), "There are no orders yet.")
	refused := get(t, open(t, console.Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"title": "Not now", "detail": "The store does not answer."}`)
	}), "/console")
	if refused.Code != http.StatusServiceUnavailable {
		t.Errorf("a refusal is answered %d", refused.Code)
	}
	wantText(t, refused.Body.String(), "Not now The store does not answer.")
}

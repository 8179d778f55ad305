package main

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"paylane/shared/console"
	"paylane/shared/emulator/template"
	"paylane/shared/handlers"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/pipeline"
	"paylane/shared/queue"
	"paylane/shared/webhook"
)

// still is the embedded platform whose functions nobody invokes: messages stay where they are put.
type still struct {
	*embedded
	template *template.Template
	cookies  http.CookieJar
}

func newStill(t *testing.T) *still {
	t.Helper()
	c := testConfig(t)
	c.Data, c.FS = "data", vfs.NewMem()
	source, err := os.ReadFile(c.Template)
	if err != nil {
		t.Fatal(err)
	}
	read, err := template.Read(c.Template, source, template.Options{Parameters: c.parameters(), Origin: "http://127.0.0.1:3000"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := newEmbedded(t.Context(), c, read, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &still{embedded: p, template: read, cookies: jar}
}

// do sends a request to the console, as the browser that sent the others.
func (s *still) do(t *testing.T, method, path string, form url.Values) (status int, page string) {
	t.Helper()
	site := &url.URL{Scheme: "http", Host: "127.0.0.1:3000", Path: "/console"}
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:3000"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, cookie := range s.cookies.Cookies(site) {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	s.console.ServeHTTP(w, r)
	s.cookies.SetCookies(site, w.Result().Cookies())
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(text)
}

func (s *still) get(t *testing.T, path string) string {
	t.Helper()
	status, page := s.do(t, http.MethodGet, path, nil)
	if status != http.StatusOK {
		t.Fatalf("%s: %d\n%s", path, status, page)
	}
	return page
}

// submit sends the form that a page has for an action.
func (s *still) submit(t *testing.T, page, action string) (status int, answer string) {
	t.Helper()
	if !strings.Contains(page, `action="`+html.EscapeString(action)+`"`) {
		t.Fatalf("the page has no form for %s:\n%s", action, page)
	}
	token := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page)
	return s.do(t, http.MethodPost, action, url.Values{"csrf": {token[1]}})
}

// at returns the queue of a logical id, and its name.
func (s *still) at(t *testing.T, id string) (q *pebblestore.Queue, name string) {
	t.Helper()
	found, ok := s.template.Queue(id)
	if !ok {
		t.Fatalf("the template has no queue %s", id)
	}
	return s.queues[found.URL], found.Name
}

// send puts a message into a queue, and returns its name there.
func (s *still) send(t *testing.T, id, body string) (name string) {
	t.Helper()
	q, _ := s.at(t, id)
	messageID, err := q.Send(t.Context(), body, 0)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond) // of virtual time, until it is durable
	page, err := s.port().Messages(t.Context(), s.name(t, id), console.AllTenants, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range page.Messages {
		if m.ID == messageID {
			return m.Name
		}
	}
	t.Fatalf("the message is not in %s", id)
	return ""
}

func (s *still) name(t *testing.T, id string) string {
	t.Helper()
	_, name := s.at(t, id)
	return name
}

func (s *still) port() consoleQueues { return consoleQueues{s.template, s.queues} }

// failed puts an order into the store that the gateway declined.
func (s *still) failed(t *testing.T, tenant string) order.Order {
	t.Helper()
	request, err := order.Request{Amount: 5, Currency: "USD"}.Normalize("tok_ok")
	if err != nil {
		t.Fatal(err)
	}
	o := order.New(order.Ref{Tenant: tenant, ID: uuid.NewString()}, request, "", s.Now())
	err = s.store().Create(t.Context(), o)
	if err == nil {
		o, err = o.Claimed(order.Claim{Kind: order.KindCharge, Round: 1, Now: s.Now(), Until: s.Now().Add(time.Minute), Limits: order.Limits{Attempts: 3}})
	}
	if err == nil {
		err = s.store().Update(t.Context(), o)
	}
	if err == nil {
		o, err = o.FailedWith(order.OutcomeDeclined, order.Failure{Code: "insufficient_funds", Message: "The card is empty."}, s.Now())
	}
	if err == nil {
		err = s.store().Update(t.Context(), o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func charge(ref order.Ref) string {
	return order.Message{Kind: order.KindCharge, Ref: ref, Round: 1}.Encode()
}

func event(t *testing.T, tenant, orderID string) string {
	t.Helper()
	body, err := webhook.Message{Tenant: tenant, EndpointID: uuid.NewString(), OrderID: orderID, Event: webhook.Event{
		ID: "evt_1", Type: webhook.OrderFailed, At: time.Now(), Number: 1, Data: json.RawMessage(`{"id":"x"}`),
	}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func wantText(t *testing.T, page string, wanted ...string) {
	t.Helper()
	for _, text := range wanted {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q:\n%s", text, page)
		}
	}
}

// TestConsoleQueues: the pages show what is in the queues, with what the API tells of it, and
// change nothing.
func TestConsoleQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStill(t)
		o := s.failed(t, handlers.LocalTenant)
		others := s.failed(t, "elsewhere")
		payment, dead, hooks := s.name(t, "PaymentQueue"), s.name(t, "PaymentDLQ"), s.name(t, "WebhookDLQ")
		s.send(t, "PaymentDLQ", charge(o.Ref))
		s.send(t, "PaymentDLQ", charge(others.Ref))
		s.send(t, "PaymentDLQ", charge(order.Ref{Tenant: handlers.LocalTenant, ID: uuid.NewString()}))
		s.send(t, "WebhookDLQ", event(t, handlers.LocalTenant, o.ID))
		s.send(t, "ReconcileQueue", pipeline.NewReconcileState(time.Time{}, time.Time{}, true, 1).Encode())
		time.Sleep(2*time.Hour + 3*time.Minute)

		page := s.get(t, "/console/queues")
		wantText(t, page, `<a href="/console/queues/`+payment+`">`, `<span class="status bad">dead letters</span> <small>of `+payment+`</small>`,
			`<small>of Fanout</small>`, "kept for 13 d, a dead letter after 1000 receives", "kept for 14 d", `>2 h 3 min</time>`, `hx-trigger="every 2s"`)
		page = s.get(t, "/console/queues/"+dead)
		wantText(t, page, "3 ready, 0 in flight, 0 delayed",
			`<a href="/console/orders/`+o.ID+`"><code>`+o.ID+`</code></a> <span class="status FAILED">FAILED</span>`, "insufficient_funds: The card is empty.",
			"<dd><code>"+others.ID+"</code></dd>", "another tenant&#39;s", "<dd>elsewhere</dd>", "There is no order with this id.")
		page = s.get(t, "/console/queues/"+hooks)
		wantText(t, page, "Webhook of order.failed", o.ID, "There is no webhook with this id.")
		wantText(t, s.get(t, "/console/queues/"+s.name(t, "ReconcileQueue")), "<h3>Reconciliation")
		wantText(t, s.get(t, "/console/queues/"+s.name(t, "FanoutDLQ")), "There are none.")

		q, _ := s.at(t, "PaymentDLQ")
		got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 10})
		if err != nil || len(got) != 3 || got[0].ReceiveCount() != 1 {
			t.Errorf("after the pages %d messages are received, %v", len(got), err)
		}
		page = s.get(t, "/console/queues/"+dead)
		wantText(t, page, "0 ready, 3 in flight", `<span class="status wait">in flight</span>`, "1 ×, first at")
		if strings.Contains(page, `data-dialog="one-`) {
			t.Error("what is in flight can be moved")
		}
	})
}

// TestConsolePoison: what is not a message of paylane's is shown as text that does nothing.
func TestConsolePoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStill(t)
		path := "/console/queues/" + s.name(t, "WebhookDLQ")
		for _, poison := range []string{
			`"><script>alert(1)</script>`, `<img src=x onerror=alert(2)>`, `</code></pre><svg onload=alert(3)>`, "{{.CSRF}}", `{"tenant":"<b>nobody</b>"}`,
			`{"version":1,"kind":"charge","tenant":"<script>alert(4)</script>","orderId":"` + uuid.NewString() + `","round":1}`,
			"right\u202eto left", "\x7f\u0085\u200b", "x" + strings.Repeat("é", 5000),
		} {
			s.send(t, "WebhookDLQ", poison)
		}
		page := s.get(t, path)
		wantText(t, page, "Not understood", "&lt;script&gt;alert(1)&lt;/script&gt;", "{{.CSRF}}", "right⟨U&#43;202E⟩to left", "⟨U&#43;007F⟩⟨U&#43;0085⟩⟨U&#43;200B⟩",
			"Body, 10001 bytes, of which the first 4095", "x"+strings.Repeat("é", 2047)+"</code>", "<dd>&lt;script&gt;alert(4)&lt;/script&gt;</dd>")
		for _, never := range []string{"<script>alert", "<img src=x", "<svg onload", "<b>nobody", "\u202e", "\u200b"} {
			if strings.Contains(page, never) {
				t.Errorf("the page has %q as it is:\n%s", never, page)
			}
		}
	})
}

// TestConsoleQueuePages: pages follow each other, each message on one.
func TestConsoleQueuePages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStill(t)
		q, name := s.at(t, "WebhookDLQ")
		var want, got []string
		for range 60 {
			id, err := q.Send(t.Context(), "poison", 0)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, id)
		}
		time.Sleep(10 * time.Millisecond)
		path, pages := "/console/queues/"+name, 0
		for next := path; next != ""; pages++ {
			page := s.get(t, next)
			for _, m := range regexp.MustCompile(`<dt>Message</dt><dd><code>([^<]+)`).FindAllStringSubmatch(page, -1) {
				got = append(got, m[1])
			}
			if strings.Contains(page, `<a href="`+path+`">Oldest</a>`) != (next != path) {
				t.Errorf("%s: the way to the first page is there, or is not", next)
			}
			link := regexp.MustCompile(`<a href="([^"]+)" rel="next">`).FindStringSubmatch(page)
			if next = ""; link != nil {
				next = html.UnescapeString(link[1])
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || pages != 3 {
			t.Errorf("%d pages have (-want +got):\n%s", pages, diff)
		}
		if status, page := s.do(t, http.MethodGet, path+"?after=nonsense", nil); status != http.StatusBadRequest {
			t.Errorf("a place that is none: %d\n%s", status, page)
		}
		if status, _ := s.do(t, http.MethodGet, "/console/queues/none", nil); status != http.StatusNotFound {
			t.Errorf("a queue that is none: %d", status)
		}
	})
}

// TestConsoleRedrive: one message or all go back, and what is not there any longer is said.
func TestConsoleRedrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStill(t)
		dead, name := s.at(t, "WebhookDLQ")
		back, _ := s.at(t, "WebhookQueue")
		path := "/console/queues/" + name
		message := s.send(t, "WebhookDLQ", "first")
		for range 70 {
			if _, err := dead.Send(t.Context(), "another", 0); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Millisecond)
		page := s.get(t, path)
		one := path + "/messages/" + message + "/redrive"
		status, answer := s.submit(t, page, one)
		if wantText(t, answer, "The message was moved back", "70 ready"); status != http.StatusOK || strings.Contains(answer, ">first</code>") {
			t.Errorf("one: %d\n%s", status, answer)
		}
		time.Sleep(10 * time.Millisecond)
		if got, err := back.Receive(t.Context(), queue.ReceiveRequest{Max: 10}); err != nil || len(got) != 1 || got[0].Body != "first" || got[0].ReceiveCount() != 1 {
			t.Errorf("it came back as %v, %v", got, err)
		}
		status, answer = s.submit(t, page, one) // the page is an old one
		if wantText(t, answer, "The message is no longer in the queue."); status != http.StatusConflict {
			t.Errorf("one twice: %d", status)
		}
		for _, never := range []string{"0", "1", "x", "18446744073709551615", "99999999999999999999"} {
			token := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page)
			if status, answer = s.do(t, http.MethodPost, path+"/messages/"+never+"/redrive", url.Values{"csrf": {token[1]}}); status != http.StatusConflict {
				t.Errorf("the message %s: %d\n%s", never, status, answer)
			}
		}

		page = s.get(t, path)
		received := regexp.MustCompile(`action="(` + path + `/messages/\d+/redrive)"`).FindStringSubmatch(page)[1]
		if got, err := dead.Receive(t.Context(), queue.ReceiveRequest{Max: 1}); err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		status, answer = s.submit(t, page, received)
		if wantText(t, answer, "The message is in flight: whoever received it has until"); status != http.StatusConflict {
			t.Errorf("one that somebody received meanwhile: %d", status)
		}
		time.Sleep(time.Minute)

		all := path + "/redrive"
		status, answer = s.submit(t, page, all)
		if wantText(t, answer, "are being moved back", "of 70, and going on", `hx-get="`+path+`"`); status != http.StatusOK {
			t.Errorf("all: %d", status)
		}
		if strings.Contains(answer, `data-dialog="redrive-all"`) {
			t.Error("all can be moved again meanwhile")
		}
		status, answer = s.submit(t, page, all)
		if wantText(t, answer, "There is already a task running."); status != http.StatusConflict {
			t.Errorf("all twice: %d", status)
		}
		time.Sleep(time.Second)
		answer = s.get(t, path)
		if wantText(t, answer, "70 of 70: done", "There are none."); strings.Contains(answer, "hx-get") {
			t.Errorf("the page of a task that is done refreshes itself")
		}

		// Nobody moves what a stream gave up, or what never was a dead letter.
		for _, id := range []string{"FanoutDLQ", "PaymentQueue"} {
			s.send(t, id, "stays")
			page := s.get(t, "/console/queues/"+s.name(t, id))
			if strings.Contains(page, `data-dialog="one-`) || strings.Contains(page, "redrive-all") {
				t.Errorf("the page of %s has a way to move its messages", id)
			}
		}
	})
}

// TestConsoleRedriveFails: a task that fails says why.
func TestConsoleRedriveFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStill(t)
		c := pebblestore.QueueConfig{
			Name: "second", ARN: "arn:aws:sqs:us-east-1:1:second", VisibilityTimeout: time.Minute, Retention: time.Hour, MaxMessageBytes: 1 << 20,
			DeadLetterQueue: s.name(t, "WebhookDLQ"), MaxReceiveCount: 3,
		}
		if _, err := s.db.Queue(c); err != nil {
			t.Fatal(err)
		}
		s.send(t, "WebhookDLQ", "from one of two")
		path := "/console/queues/" + s.name(t, "WebhookDLQ")
		if status, page := s.submit(t, s.get(t, path), path+"/redrive"); status != http.StatusOK {
			t.Errorf("%d\n%s", status, page)
		}
		time.Sleep(time.Second)
		wantText(t, s.get(t, path), "0 of 1, then it failed", "came from is unknown", "1 ready")
	})
}

// TestConsoleMessagesOfATenant: a tenant sees and moves its own, whatever else is there.
func TestConsoleMessagesOfATenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStill(t)
		name := s.name(t, "WebhookDLQ")
		mine := s.send(t, "WebhookDLQ", event(t, "mine", uuid.NewString()))
		theirs := s.send(t, "WebhookDLQ", event(t, "theirs", uuid.NewString()))
		poison := s.send(t, "WebhookDLQ", `{"tenant":"mine"}`)
		walk := s.send(t, "WebhookDLQ", pipeline.NewReconcileState(time.Time{}, time.Time{}, true, 1).Encode())
		for tenant, want := range map[string][]string{
			"mine": {mine}, "theirs": {theirs}, "third": nil, "": nil, console.AllTenants: {mine, theirs, poison, walk},
		} {
			page, err := s.port().Messages(t.Context(), name, tenant, "")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range page.Messages {
				got = append(got, m.Name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q sees (-want +got):\n%s", tenant, diff)
			}
		}
		for _, tenant := range []string{"mine", ""} {
			for _, message := range []string{theirs, poison, walk} {
				if err := s.port().Redrive(t.Context(), name, tenant, message); err == nil || err.Error() != "The message is no longer in the queue." {
					t.Errorf("%q moves the message %s: %v", tenant, message, err)
				}
			}
		}
		if err := s.port().Redrive(t.Context(), name, "mine", mine); err != nil {
			t.Error(err)
		}
		if q, _ := s.at(t, "WebhookDLQ"); q.Stats().Visible != 3 {
			t.Errorf("%+v are left", q.Stats())
		}
	})
}

// TestConsoleLooksThroughSoMany: a page of a tenant's messages ends early among many of others, and
// the next one goes on.
func TestConsoleLooksThroughSoMany(t *testing.T) {
	s := newStill(t)
	q, name := s.at(t, "WebhookDLQ")
	theirs, mine := charge(order.Ref{Tenant: "theirs", ID: uuid.NewString()}), charge(order.Ref{Tenant: "mine", ID: uuid.NewString()})
	for range messagesRead {
		if _, err := q.Send(t.Context(), theirs, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.Send(t.Context(), mine, 0); err != nil {
		t.Fatal(err)
	}
	s.failed(t, "anybody") // a write, after which all are durable
	first, err := s.port().Messages(t.Context(), name, "mine", "")
	if err != nil || len(first.Messages) != 0 || first.Next == "" {
		t.Fatalf("the first page is %+v, %v", first, err)
	}
	second, err := s.port().Messages(t.Context(), name, "mine", first.Next)
	if err != nil || len(second.Messages) != 1 || second.Next != "" {
		t.Errorf("the second page is %+v, %v", second, err)
	}
}

package console_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/console"
)

// queues is a port that has what a test puts there.
type queues struct {
	info     console.QueueInfo
	messages []console.QueueMessage
	next     string
	failure  error // of everything; refusal is that of moving messages
	refusal  error
	// asked is what the port was asked to do, and for whom.
	asked []string
}

func (q *queues) List(context.Context) ([]console.QueueInfo, error) {
	return []console.QueueInfo{q.info}, q.failure
}

func (q *queues) Messages(_ context.Context, queue, tenant, after string) (console.MessagePage, error) {
	q.asked = append(q.asked, "see "+queue+" "+tenant+" "+after)
	return console.MessagePage{Messages: q.messages, Next: q.next}, q.failure
}

func (q *queues) RedriveAll(_ context.Context, queue string) error {
	q.asked = append(q.asked, "move "+queue)
	return q.refusal
}

func (q *queues) Redrive(_ context.Context, queue, tenant, message string) error {
	q.asked = append(q.asked, "move "+queue+" "+tenant+" "+message)
	return q.refusal
}

func deadLetters(changes ...func(*queues)) *queues {
	q := &queues{
		info: console.QueueInfo{
			Name: "DLQ", Visible: 7771, InFlight: 7772, Delayed: 7773, Oldest: time.Now().Add(-90 * time.Second),
			VisibilityTimeout: time.Minute, Retention: 14 * 24 * time.Hour, DeadLettersOf: []string{"Payments"}, Redrives: true,
		},
		messages: []console.QueueMessage{{Name: "1", ID: "id-1", SentAt: time.Now(), Body: "poison", Size: 6}},
	}
	for _, change := range changes {
		change(q)
	}
	return q
}

func (w *world) withQueues(t *testing.T, q console.Queues) *world {
	t.Helper()
	return w.with(t, func(c *console.Config) { c.Local.Queues = q })
}

// TestNoQueues: without the port there are no pages of it.
func TestNoQueues(t *testing.T) {
	p := newWorld(t).person(t)
	if status, page := p.get(t, "/console/queues"); status != http.StatusNotFound || strings.Contains(page, `href="/console/queues"`) {
		t.Errorf("%d\n%s", status, page)
	}
	if status, _ := p.get(t, "/console/queues/DLQ"); status != http.StatusNotFound {
		t.Errorf("a queue: %d", status)
	}
	_, page := newWorld(t).withQueues(t, deadLetters()).person(t).get(t, "/console/orders")
	has(t, page, `<a href="/console/queues">Queues</a>`)
}

// TestQueuesFail: what the process could not do is in its log, and not on the page.
func TestQueuesFail(t *testing.T) {
	q := deadLetters()
	w := newWorld(t).withQueues(t, q)
	p := w.person(t)
	_, good := p.get(t, "/console/queues/DLQ")
	check := func(what string, status int, page string) {
		t.Helper()
		if has(t, page, "the log says why"); status != http.StatusInternalServerError || strings.Contains(page, "disk 7") {
			t.Errorf("%s: %d\n%s", what, status, page)
		}
		if !strings.Contains(w.log.String(), "disk 7") {
			t.Errorf("%s: the log is %s", what, w.log)
		}
		w.log.Reset()
	}
	q.refusal = errors.New("disk 7 is full")
	for _, action := range []string{"/console/queues/DLQ/redrive", "/console/queues/DLQ/messages/1/redrive"} {
		response, err := p.PostForm(w.URL+action, form(t, good, action))
		if err != nil {
			t.Fatal(err)
		}
		check(action, response.StatusCode, body(t, response))
	}
	q.failure = q.refusal
	for _, path := range []string{"/console/queues", "/console/queues/DLQ"} {
		status, page := p.get(t, path)
		check(path, status, page)
	}
}

// TestRedriveActions: a form moves what it says, on the page that it is on, and a refusal is shown.
func TestRedriveActions(t *testing.T) {
	q := deadLetters()
	w := newWorld(t).withQueues(t, q)
	p := w.person(t)
	const at = "/console/queues/DLQ?after=77"
	_, page := p.get(t, at)
	has(t, page, "7771 messages leave this queue", "no receives", "tries again", `data-dialog="one-1"`)
	for action, want := range map[string]string{
		"/console/queues/DLQ/redrive":                     "move DLQ",
		"/console/queues/DLQ/messages/1/redrive?after=77": "move DLQ * 1",
	} {
		for _, refusal := range []error{nil, &console.Refusal{Text: "Not <b>now</b>."}} {
			q.asked, q.refusal = nil, refusal
			status, page := p.submit(t, at, action)
			if refusal == nil && (status != http.StatusOK || !strings.Contains(page, `class="notice good"`)) {
				t.Errorf("%s: %d\n%s", action, status, page)
			}
			if refusal != nil && (status != http.StatusConflict || !strings.Contains(page, "Not &lt;b&gt;now&lt;/b&gt;.")) {
				t.Errorf("%s, refused: %d\n%s", action, status, page)
			}
			if len(q.asked) != 3 || q.asked[1] != want {
				t.Errorf("%s: the port was asked to %q", action, q.asked)
			}
		}
	}
	q.asked = nil
	_, _ = p.submit(t, at, "/console/queues/DLQ/messages/1/redrive?after=77")
	if len(q.asked) != 3 || q.asked[2] != "see DLQ * 77" {
		t.Errorf("after an action the port was asked to %q", q.asked)
	}
	q.asked = nil
	if status, _ := p.submitAs(t, "none", "/console/queues/DLQ/redrive"); status != http.StatusForbidden || len(q.asked) > 0 {
		t.Errorf("a forged form: %d, and the port was asked to %q", status, q.asked)
	}
}

// submitAs sends a form with a token that is not the session's.
func (p person) submitAs(t *testing.T, token, action string) (status int, text string) {
	t.Helper()
	response, err := p.PostForm(p.w.URL+action, url.Values{"csrf": {token}})
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body(t, response)
}

// TestMoveProgress: a page follows a task until it ends, and says how it ended.
func TestMoveProgress(t *testing.T) {
	for name, tt := range map[string]struct {
		task  console.MoveTask
		wants []string
		polls bool
	}{
		"running": {console.MoveTask{Running: true, ToMove: 90, Moved: 30}, []string{`max="90" value="30"`, "30 of 90, and going on"}, true},
		"done":    {console.MoveTask{ToMove: 90, Moved: 90}, []string{"90 of 90: done", "Redrive all…"}, false},
		"failed":  {console.MoveTask{ToMove: 90, Moved: 30, Failure: "<i>unknown</i>"}, []string{"30 of 90, then it failed", "&lt;i&gt;unknown"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newWorld(t).withQueues(t, deadLetters(func(q *queues) { q.info.Moving = &tt.task })).person(t)
			_, page := p.get(t, "/console/queues/DLQ?after=5")
			if has(t, page, tt.wants...); strings.Contains(page, `hx-get="/console/queues/DLQ?after=5"`) != tt.polls {
				t.Errorf("it refreshes itself, or does not:\n%s", page)
			}
		})
	}
}

// TestQueueReaders: who may only look has nothing to act with.
func TestQueueReaders(t *testing.T) {
	q := deadLetters()
	w := newWorld(t).withQueues(t, q).with(t, func(c *console.Config) { c.Open.Operate = false })
	_, page := w.person(t).get(t, "/console/queues/DLQ")
	if has(t, page, "poison"); strings.Contains(page, "<form") {
		t.Errorf("there is a form:\n%s", page)
	}
}

// TestHostileQueues: whatever a port tells is text, and shows all that it is.
func TestHostileQueues(t *testing.T) {
	const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>'`
	q := deadLetters(func(q *queues) {
		q.info.DeadLettersOf, q.info.DeadLetterQueue = []string{hostile}, hostile
		q.messages = []console.QueueMessage{
			{Name: hostile, ID: hostile, From: hostile, Kind: hostile, Tenant: hostile, OrderID: hostile, Body: hostile, Size: 9, Event: console.MessageEvent{Webhook: hostile, ID: hostile, Type: hostile}},
			{Name: "2", Tenant: tenant, OrderID: "../../healthz?x=", Kind: console.ChargeMessage, Body: "{}", Size: 2},
			{Name: "3", Body: "\x00\xff<b>\x1b[2J", Size: 9},
			{Name: "4", Body: "\x1b[2Ja\r\nb\u2028", Size: 9},
		}
		q.next = hostile
	})
	w := newWorld(t).withQueues(t, q)
	for _, path := range []string{"/console/queues", "/console/queues/DLQ", "/console/queues/DLQ?after=" + url.QueryEscape(hostile), "/console/queues/" + url.PathEscape(hostile)} {
		_, page := w.person(t).get(t, path)
		if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img src=x") {
			t.Errorf("%s has it as HTML:\n%s", path, page)
		}
		if regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x{2028}]|\xff`).MatchString(page) {
			t.Errorf("%s has characters that do not show:\n%q", path, page)
		}
	}
	_, page := w.person(t).get(t, "/console/queues/DLQ")
	has(t, page, "00 ff 3c 62 3e 1b 5b 32  4a", "⟨U&#43;001B⟩[2Ja⟨U&#43;000D⟩\nb⟨U&#43;2028⟩", "Not understood")
}

// TestQueuesWithAccounts: a tenant sees how full no queue is, and its own messages; an operator over
// all sees everything.
func TestQueuesWithAccounts(t *testing.T) {
	tokens := tokentest.New(t, issuerURL)
	depths := regexp.MustCompile(`\b777[1-4]\b`) // a token of a form may have any digits in it
	for name, tt := range map[string]struct {
		session console.Session
		all     bool
		whose   string
	}{
		"a tenant":               {console.Session{Tenant: "shop"}, false, "shop"},
		"all":                    {console.Session{Every: true}, true, "*"},
		"all, without the right": {console.Session{Tenant: "*"}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			q := deadLetters(func(q *queues) { q.info.Moving = &console.MoveTask{Running: true, ToMove: 7774} })
			s := siteOf(t, tokens, func(c *console.Config, _ *issuer) {
				c.Local.Queues = q
				c.SignIn.Verify = func(context.Context, string) (console.Session, time.Time, error) {
					tt.session.Read, tt.session.Operate = true, true
					return tt.session, time.Time{}, nil
				}
			})
			b := s.as("token")
			b.cookies["__Host-paylane-tenant"] = base64.RawURLEncoding.EncodeToString([]byte("shop"))
			want := map[bool]int{true: http.StatusOK, false: http.StatusForbidden}[tt.all]
			list := b.get("/console/queues")
			if page := text(t, list); list.StatusCode != want || depths.MatchString(page) != tt.all || !strings.Contains(page, `href="/console/queues/DLQ"`) {
				t.Errorf("all queues: %d\n%s", list.StatusCode, page)
			}
			one := b.get("/console/queues/DLQ")
			page := text(t, one)
			if depths.MatchString(page) != tt.all {
				t.Errorf("a queue's depth is there, or is not\n%s", page)
			}
			for _, everybodys := range []string{"redrive-all", "hx-get"} {
				if one.StatusCode != http.StatusOK || strings.Contains(page, everybodys) != tt.all {
					t.Errorf("a queue: %d, %q is there, or is not\n%s", one.StatusCode, everybodys, page)
				}
			}
			form := "csrf=" + csrf(t, page)
			answer := b.send(http.MethodPost, "/console/queues/DLQ/messages/1/redrive", form)
			if page := text(t, answer); answer.StatusCode != http.StatusOK || depths.MatchString(page) != tt.all {
				t.Errorf("an action: %d\n%s", answer.StatusCode, page)
			}
			see := "see DLQ " + tt.whose + " "
			if diff := cmp.Diff([]string{see, "move DLQ " + tt.whose + " 1", see}, q.asked); diff != "" {
				t.Errorf("the port was asked (-want +got):\n%s", diff)
			}
			q.asked = nil
			answer = b.send(http.MethodPost, "/console/queues/DLQ/redrive", form)
			if _ = text(t, answer); answer.StatusCode != want || slices.Contains(q.asked, "move DLQ") != tt.all {
				t.Errorf("all: %d, %q", answer.StatusCode, q.asked)
			}
		})
	}
}

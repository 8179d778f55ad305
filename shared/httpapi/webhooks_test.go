package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
	"paylane/shared/webhook"
)

type webhookBody struct {
	ID, URL, Status, Secret, CreatedAt string
	Events                             []string
	Successes, Failures                []map[string]any
}

func hook(path string) request { return request{path: path} }

func register(t *testing.T, a *api, r request) webhookBody {
	t.Helper()
	r.method, r.path = http.MethodPost, "/webhooks"
	if r.body == "" {
		r.body = `{"url": "https://shop.example/hook"}`
	}
	answer := a.do(t, r)
	made := decode[webhookBody](t, answer)
	if answer.StatusCode != http.StatusCreated || answer.Header.Get("Location") != "/webhooks/"+made.ID {
		t.Fatalf("%d, at %s: %+v", answer.StatusCode, answer.Header.Get("Location"), made)
	}
	return made
}

// TestWebhooks: the secret is shown when it is new, and never again.
func TestWebhooks(t *testing.T) {
	a := newAPI(t)
	all := []string{"order.paid", "order.failed", "order.canceled", "order.refunded"}
	made := register(t, a, request{})
	if !strings.HasPrefix(made.Secret, "whsec_") || made.Status != "enabled" || made.URL != "https://shop.example/hook" {
		t.Errorf("it is %+v", made)
	}
	if diff := cmp.Diff(all, made.Events); diff != "" {
		t.Error(diff)
	}
	some := register(t, a, request{body: `{"url": "https://shop.example/other", "events": ["order.refunded", "order.paid"]}`})
	if diff := cmp.Diff([]string{"order.paid", "order.refunded"}, some.Events); diff != "" {
		t.Error(diff)
	}
	shown := made
	shown.Secret = ""
	for _, path := range []string{"/webhooks/" + made.ID, "/webhooks/" + strings.ToUpper(made.ID)} {
		if diff := cmp.Diff(shown, decode[webhookBody](t, a.do(t, hook(path)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	list := decode[struct{ Webhooks []webhookBody }](t, a.do(t, hook("/webhooks")))
	if len(list.Webhooks) != 2 || list.Webhooks[0].ID != made.ID || list.Webhooks[0].Secret != "" || list.Webhooks[1].ID != some.ID {
		t.Errorf("the list is %+v", list)
	}
	rotated := decode[webhookBody](t, a.do(t, request{method: http.MethodPost, path: "/webhooks/" + made.ID + "/rotate"}))
	if rotated.ID != made.ID || rotated.Secret == made.Secret || !strings.HasPrefix(rotated.Secret, "whsec_") {
		t.Errorf("rotated it is %+v", rotated)
	}
	tested := a.do(t, request{method: http.MethodPost, path: "/webhooks/" + made.ID + "/test"})
	if id := decode[struct{ EventID string }](t, tested).EventID; tested.StatusCode != http.StatusAccepted || !strings.HasPrefix(id, "evt_") {
		t.Errorf("test: %d %q", tested.StatusCode, id)
	}
	remove := request{method: http.MethodDelete, path: "/webhooks/" + made.ID}
	if r := a.do(t, remove); r.StatusCode != http.StatusNoContent || read(t, r) != "" {
		t.Errorf("delete: %d", r.StatusCode)
	}
	for _, r := range []request{remove, hook("/webhooks/" + made.ID), {method: http.MethodPost, path: "/webhooks/" + made.ID + "/rotate"}} {
		if answer := a.do(t, r); answer.StatusCode != http.StatusNotFound || !strings.Contains(read(t, answer), "webhook-not-found") {
			t.Errorf("%s of a deleted one: %d", r.method, answer.StatusCode)
		}
	}
	if strings.Contains(a.log.String(), "whsec_") {
		t.Errorf("the log has a secret: %s", a.log)
	}
}

// TestWebhooksOfOthers: no tenant sees or changes another's.
func TestWebhooksOfOthers(t *testing.T) {
	a := newAPI(t)
	made := register(t, a, request{})
	of := func(r request) request { r.tenant = "other"; return r }
	for _, r := range []request{
		hook("/webhooks/" + made.ID), {method: http.MethodDelete, path: "/webhooks/" + made.ID},
		{method: http.MethodPost, path: "/webhooks/" + made.ID + "/rotate"}, {method: http.MethodPost, path: "/webhooks/" + made.ID + "/test"},
	} {
		if answer := a.do(t, of(r)); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s: %d", r.method, r.path, answer.StatusCode)
		}
	}
	if body := read(t, a.do(t, of(hook("/webhooks")))); strings.TrimSpace(body) != `{"webhooks":[]}` {
		t.Errorf("the list is %s", body)
	}
}

// TestWebhookLimit: of many at once ten are registered.
func TestWebhookLimit(t *testing.T) {
	a := newAPI(t)
	var made, refused atomic.Int64
	var callers sync.WaitGroup
	for range webhook.MaxEndpoints + 5 {
		callers.Go(func() {
			switch r := a.do(t, request{method: http.MethodPost, path: "/webhooks", body: `{"url": "https://shop.example/"}`}); r.StatusCode {
			case http.StatusCreated:
				made.Add(1)
			case http.StatusConflict:
				refused.Add(1)
			default:
				t.Errorf("%d %s", r.StatusCode, read(t, r))
			}
		})
	}
	callers.Wait()
	list := decode[struct{ Webhooks []webhookBody }](t, a.do(t, hook("/webhooks")))
	ids := make(map[string]bool)
	for _, w := range list.Webhooks {
		ids[w.ID] = true
	}
	if made.Load() != webhook.MaxEndpoints || refused.Load() != 5 || len(ids) != webhook.MaxEndpoints {
		t.Errorf("%d made, %d refused, %d listed", made.Load(), refused.Load(), len(ids))
	}
}

// TestWebhookRefused: what is refused says where.
func TestWebhookRefused(t *testing.T) {
	a := newAPI(t)
	for body, location := range map[string]string{
		`{}`:                                   "body",
		`{"url": ""}`:                          "body.url",
		`{"url": "http://shop.example/"}`:      "body.url",
		`{"url": "https://a.example", "x": 1}`: "body.x",
		`{"url": "https://a.example", "events": []}`:               "body.events",
		`{"url": "https://a.example", "events": [{}]}`:             "body.events[0]",
		`{"url": "https://a.example", "events": [[], []]}`:         "body.events[0]",
		`{"url": "https://a.example", "events": ["webhook.test"]}`: "body.events[0]",
	} {
		r := a.do(t, request{method: http.MethodPost, path: "/webhooks", body: body})
		p := decode[struct{ Errors []struct{ Location string } }](t, r)
		var at []string
		for _, e := range p.Errors {
			at = append(at, e.Location)
		}
		if r.StatusCode != http.StatusUnprocessableEntity || !slices.Contains(at, location) {
			t.Errorf("%s: %d at %v, want %s", body, r.StatusCode, at, location)
		}
	}
	if r := a.do(t, request{method: http.MethodPut, path: "/webhooks"}); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("PUT: %d, allowed %s", r.StatusCode, r.Header.Get("Allow"))
	}
	if r := a.do(t, request{method: http.MethodPost, path: "/webhooks/0199a6c7-5d2e-7b4f-8c3a-6e1f0d9b7a54"}); r.Header.Get("Allow") != "GET, HEAD, DELETE" {
		t.Errorf("POST: allowed %s", r.Header.Get("Allow"))
	}
}

// TestResend: the last event of an order goes out again, under its own id, and no other does.
func TestResend(t *testing.T) {
	a := newAPI(t)
	made := register(t, a, request{})
	o := a.create(t)
	resend := func(orderID, eventID string) *http.Response {
		return a.do(t, request{
			method: http.MethodPost, path: "/webhooks/" + strings.ToUpper(made.ID) + "/resend",
			body: `{"orderId": "` + strings.ToUpper(orderID) + `", "eventId": "` + eventID + `"}`,
		})
	}
	if r := a.do(t, request{method: http.MethodPost, path: "/orders/" + o.ID + "/cancel"}); r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
	canceled, err := a.store.Get(t.Context(), order.Ref{Tenant: "t", ID: o.ID})
	if err != nil {
		t.Fatal(err)
	}
	event, err := webhook.NewEvent(webhook.OrderCanceled, canceled, made.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r := resend(o.ID, event.ID); r.StatusCode != http.StatusAccepted || decode[struct{ EventID string }](t, r).EventID != event.ID {
		t.Errorf("its event: %s", r.Status)
	}
	for name, tt := range map[string]struct {
		order, event string
		status       int
	}{
		"another event": {o.ID, "evt_" + made.ID, http.StatusConflict}, "no event": {o.ID, "", http.StatusConflict},
		"an order without one": {a.create(t).ID, event.ID, http.StatusConflict}, "no order": {made.ID, event.ID, http.StatusNotFound},
	} {
		if r := resend(tt.order, tt.event); r.StatusCode != tt.status {
			t.Errorf("%s: %s", name, r.Status)
		}
	}
}

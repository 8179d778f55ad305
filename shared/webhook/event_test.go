package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"paylane/shared/order"
	"paylane/shared/webhook"
)

// TestEvents takes orders through their lives, and expects one event for each end.
func TestEvents(t *testing.T) {
	type step struct {
		name   string
		change func(order.Order) (order.Order, error)
		event  webhook.EventType // empty for none
	}
	const none = webhook.EventType("")
	for name, steps := range map[string][]step{
		"paid":     {{"claim", claimed, none}, {"pay", paid, webhook.OrderPaid}, {"erase", erased, none}},
		"canceled": {{"cancel", canceled, webhook.OrderCanceled}, {"erase", erased, none}},
		"failed, then paid": {
			{"claim", claimed, none}, {"fail", failed, webhook.OrderFailed}, {"again", again, none},
			{"claim", claimed, none}, {"pay", paid, webhook.OrderPaid},
		},
		"refunded in parts": {
			{"claim", claimed, none}, {"pay", paid, webhook.OrderPaid},
			{"refund a part", refunding(200), none}, {"claim", claimed, none}, {"part", refunded, webhook.OrderRefunded},
			{"refund another", refunding(300), none}, {"claim", claimed, none}, {"declined", refundDeclined, none},
			{"refund the rest", refunding(0), none}, {"claim", claimed, none}, {"rest", refunded, webhook.OrderRefunded},
			{"erase", erased, none},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.register("https://a.example/", ok)
				l := newLife(t)
				if sent := w.changed(order.Order{}, l.o); len(sent) > 0 {
					t.Errorf("it was told of a new order: %s", sent)
				}
				number, ids := 0, map[string]bool{}
				for _, s := range steps {
					time.Sleep(time.Second)
					before, after := l.step(s.change)
					sent := w.changed(before, after)
					if s.event == none {
						if len(sent) > 0 {
							t.Errorf("%s: it was told: %s", s.name, sent)
						}
						continue
					}
					number++
					if len(sent) != 1 {
						t.Fatalf("%s: it was told %d times", s.name, len(sent))
					}
					m, err := webhook.ParseMessage(sent[0])
					if err != nil {
						t.Fatal(err)
					}
					want := webhook.Message{Tenant: tenant, EndpointID: e.ID, OrderID: l.o.ID}
					got := m
					got.Event = webhook.Event{}
					if diff := cmp.Diff(want, got); diff != "" || m.Event.Type != s.event || m.Event.Number != number || !m.Event.At.Equal(l.o.UpdatedAt) {
						t.Errorf("%s: %s of number %d at %v (-want +got):\n%s", s.name, m.Event.Type, m.Event.Number, m.Event.At, diff)
					}
					if ids[m.Event.ID] {
						t.Errorf("%s: the id %s was an event before", s.name, m.Event.ID)
					}
					ids[m.Event.ID] = true
					if repeated := w.changed(before, after); cmp.Diff(sent, repeated) != "" {
						t.Errorf("%s: told again it is another message: %s", s.name, repeated)
					}
				}
			})
		})
	}
}

// TestWho: an event goes to the endpoints that asked for it before it happened, by whatever clock, of
// its tenant.
func TestWho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		all := w.register("https://all.example/", ok)
		w.register("https://failed.example/", ok, webhook.OrderFailed)
		some := w.register("https://paid.example/", ok, webhook.OrderPaid, webhook.OrderFailed)
		if _, err := w.endpoints.Create(t.Context(), "other", "https://other.example/", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		l := newLife(t)
		l.step(claimed)
		before, after := l.step(paid)
		time.Sleep(30 * time.Second)
		// By clocks that are apart, this may as well have been before.
		soon := w.register("https://soon.example/", ok)
		time.Sleep(time.Minute)
		w.register("https://late.example/", ok)
		var got []string
		for _, body := range w.changed(before, after) {
			m, err := webhook.ParseMessage(body)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.EndpointID)
		}
		if diff := cmp.Diff([]string{all.ID, some.ID, soon.ID}, got); diff != "" {
			t.Errorf("endpoints (-want +got):\n%s", diff)
		}
	})
}

// TestEventIDs: an id is of one version of one order of one tenant, and of one endpoint.
func TestEventIDs(t *testing.T) {
	o := newLife(t).o
	id := func(change func(*order.Order), endpoint string) string {
		t.Helper()
		changed := o
		change(&changed)
		e, err := webhook.NewEvent(webhook.OrderPaid, changed, endpoint)
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	same := func(*order.Order) {}
	ids := map[string]bool{
		id(same, "e"): true, id(same, "f"): true,
		id(func(o *order.Order) { o.Tenant = "other" }, "e"):              true,
		id(func(o *order.Order) { o.Version++ }, "e"):                     true,
		id(func(o *order.Order) { o.ID = o.ID[1:] }, "e"):                 true,
		id(func(o *order.Order) { o.Tenant, o.ID = "a/b", "c" }, "e"):     true,
		id(func(o *order.Order) { o.Tenant, o.ID = "a", "b/c" }, "e"):     true,
		id(func(o *order.Order) { o.Tenant, o.ID = "1/a", "b/c/d" }, "e"): true,
	}
	if len(ids) != 8 {
		t.Errorf("%d ids of 8 events", len(ids))
	}
	if !ids[id(same, "e")] {
		t.Error("the same event has another id")
	}
}

// TestFanoutFails: an event that could not be sent to each endpoint is an error, and is sent to all of
// them again, with the same ids.
func TestFanoutFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 3 {
			w.register("https://a.example/", ok)
		}
		l := newLife(t)
		l.step(claimed)
		before, after := l.step(paid)
		for n := range 3 {
			few := &fullAfter{Sender: &messages{}, left: n}
			sent, err := webhook.NewFanout(webhook.FanoutConfig{Documents: w.documents, Queue: few}).Batch().Changed(t.Context(), before, after)
			if sent != n || !errors.Is(err, order.ErrUnavailable) {
				t.Errorf("with room for %d: sent %d, %v", n, sent, err)
			}
		}
		if all := w.changed(before, after); len(all) != 3 {
			t.Errorf("sent again to %d endpoints, want 3", len(all))
		}
	})
}

// fullAfter is a queue that takes so many messages.
type fullAfter struct {
	webhook.Sender
	left int
}

func (f *fullAfter) Send(ctx context.Context, body string, delay time.Duration) (string, error) {
	if f.left == 0 {
		return "", order.ErrUnavailable
	}
	f.left--
	return f.Sender.Send(ctx, body, delay)
}

// TestParseMessageRefuses: what is not a message, lacks a part or is a newer build's is not read.
func TestParseMessageRefuses(t *testing.T) {
	const good = `{"version":1,"tenant":"t","endpoint":"01900000-0000-7000-8000-000000000001","orderId":"o","eventId":"evt_1",` +
		`"type":"order.paid","at":"2026-03-14T09:26:53Z","number":2,"before":{"type":"order.failed","at":"2026-03-14T09:26:52Z"},"data":{}}`
	if _, err := webhook.ParseMessage(good); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"empty": "", "not JSON": "x", "null": "null", "trailing text": good + "x",
		"a newer build's":               strings.Replace(good, `"version":1`, `"version":2`, 1),
		"no version":                    strings.Replace(good, `"version":1,`, ``, 1),
		"no tenant":                     strings.Replace(good, `"tenant":"t",`, ``, 1),
		"an endpoint that is none":      strings.Replace(good, `"endpoint":"0`, `"endpoint":"x`, 1),
		"no event":                      strings.Replace(good, `"eventId":"evt_1",`, ``, 1),
		"no type":                       strings.Replace(good, `"type":"order.paid",`, ``, 1),
		"no time":                       strings.Replace(good, `"at":"2026-03-14T09:26:53Z",`, ``, 1),
		"no data":                       strings.Replace(good, `,"data":{}`, ``, 1),
		"an event before without type":  strings.Replace(good, `"type":"order.failed",`, ``, 1),
		"an order without a number":     strings.Replace(good, `"number":2,`, ``, 1),
		"a number without an order":     strings.Replace(good, `"orderId":"o",`, ``, 1),
		"a number that counts backward": strings.Replace(good, `"number":2`, `"number":-2`, 1),
	} {
		if _, err := webhook.ParseMessage(body); !errors.Is(err, webhook.ErrMessage) {
			t.Errorf("%s: %v, want ErrMessage", name, err)
		}
	}
}

// TestMaxEndpoints: so many may be registered, and after one is deleted another.
func TestMaxEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.register("https://a.example/", ok)
		for range webhook.MaxEndpoints - 1 {
			w.register("https://a.example/", ok)
		}
		if _, err := w.endpoints.Create(t.Context(), tenant, "https://a.example/", nil); !errors.Is(err, webhook.ErrTooMany) {
			t.Errorf("one more: %v, want ErrTooMany", err)
		}
		if err := w.endpoints.Delete(t.Context(), tenant, first.ID); err != nil {
			t.Fatal(err)
		}
		w.register("https://a.example/", ok)
	})
}

// FuzzParseMessage: what is read is written as it was.
func FuzzParseMessage(f *testing.F) {
	for _, text := range []string{
		`{}`, ``, `null`, `{"version":1}`,
		`{"version":1,"tenant":"t","endpoint":"01900000-0000-7000-8000-000000000001","orderId":"o","eventId":"evt_1","type":"order.paid","at":"2026-03-14T09:26:53.589Z","number":2,"before":{"type":"order.failed","at":"2026-03-14T09:26:53Z"},"data":{"a":1}}`,
		`{"version":1,"tenant":"t","endpoint":"01900000-0000-7000-8000-000000000001","eventId":"evt_1","type":"webhook.test","at":"2026-03-14T09:26:53Z","data":{}}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := webhook.ParseMessage(text)
		if err != nil {
			return
		}
		body, err := m.Encode()
		if err != nil {
			return // a time beyond the year 9999
		}
		again, err := webhook.ParseMessage(body)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		m.Event.Data, again.Event.Data = nil, nil // blanks are not kept
		if diff := cmp.Diff(m, again); diff != "" {
			t.Errorf("%q (-read +again):\n%s", text, diff)
		}
	})
}

// FuzzSignature: of whatever is in the header, only the signature by the secret is taken for one.
func FuzzSignature(f *testing.F) {
	const secret, id = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw3vJ5y6Q7h8k=", "evt_1"
	key, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		f.Fatal(err)
	}
	body, at := []byte(`{"type":"order.paid"}`), time.Unix(1_800_000_000, 0)
	right, err := key.Sign(id, at, body)
	if err != nil {
		f.Fatal(err)
	}
	for _, header := range []string{
		right, right + " v1,AAAA", "v1,AAAA " + right, strings.TrimPrefix(right, "v1,"), "v2," + right, "v1, " + right[3:], right[:len(right)-1],
		strings.ToLower(right), "", " ", ",", "v1,", "v1a,AAAA", right + "," + right, "\x00" + right, strings.Repeat("v1,A ", 1000),
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := request{header: http.Header{}, body: string(body)}
		r.header.Set("webhook-id", id)
		r.header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
		r.header.Set("webhook-signature", header)
		// The library passes over what follows a second comma.
		want := slices.ContainsFunc(strings.Split(header, " "), func(one string) bool { return one == right || strings.HasPrefix(one, right+",") })
		if got := r.verified(secret); got != want {
			t.Errorf("%q is taken: %v", header, got)
		}
	})
}

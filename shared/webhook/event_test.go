package webhook_test

import (
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

package webhook_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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
		"paid":     {{"claim", claimed, none}, {"pay", paid, webhook.OrderPaid}},
		"canceled": {{"cancel", canceled, webhook.OrderCanceled}},
		"failed, then paid": {
			{"claim", claimed, none}, {"fail", failed, webhook.OrderFailed}, {"again", again, none},
			{"claim", claimed, none}, {"pay", paid, webhook.OrderPaid},
		},
		"refunded in parts": {
			{"claim", claimed, none}, {"pay", paid, webhook.OrderPaid},
			{"refund a part", refunding(200), none}, {"claim", claimed, none}, {"part", refunded, webhook.OrderRefunded},
			{"refund another", refunding(300), none}, {"claim", claimed, none}, {"declined", refundDeclined, none},
			{"refund the rest", refunding(0), none}, {"claim", claimed, none}, {"rest", refunded, webhook.OrderRefunded},
			{"erase", func(o order.Order) (order.Order, error) { o.CustomerID = "c"; return o.Erased(time.Now()) }, none},
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

// TestWho: an event goes to the endpoints that asked for it before it happened, of its tenant.
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
		time.Sleep(time.Second)
		w.register("https://late.example/", ok)
		var got []string
		for _, body := range w.changed(before, after) {
			m, err := webhook.ParseMessage(body)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.EndpointID)
		}
		if diff := cmp.Diff([]string{all.ID, some.ID}, got); diff != "" {
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

package webhook_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	"paylane/shared/order"
	"paylane/shared/webhook"
)

// TestResend: an event goes out again as it was, to one endpoint, though that has taken it, and
// as long as its order stands as it left it; then no more.
func TestResend(t *testing.T) {
	type steps = []func(order.Order) (order.Order, error)
	part := refunding(200)
	for name, tt := range map[string]struct {
		life, later steps
	}{
		"paid, then erased":         {steps{claimed, paid}, steps{erased}},
		"paid, then refunding":      {steps{claimed, paid}, steps{part}},
		"paid, a refund declined":   {steps{claimed, paid}, steps{part, claimed, refundDeclined}},
		"failed, then retried":      {steps{claimed, failed}, steps{again}},
		"failed, then paid":         {steps{claimed, failed, again, claimed, paid}, steps{erased}},
		"canceled":                  {steps{canceled}, steps{erased}},
		"refunded in part":          {steps{claimed, paid, part, claimed, refunded}, steps{part}},
		"refunded in whole, erased": {steps{claimed, paid, part, claimed, refunded, refunding(0), claimed, refunded}, steps{erased}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.register("https://a.example/", ok)
				w.register("https://b.example/", ok)
				l := newLife(t)
				for _, step := range tt.life {
					for _, body := range w.changed(l.step(step)) {
						w.handle(body, 1)
					}
				}
				var first request // of the newest event, at the endpoint
				for _, r := range w.servers.requests() {
					if r.url == e.URL {
						first = r
					}
				}
				n, requests := len(w.queue.all()), len(w.servers.requests())
				if err := w.endpoints.Resend(t.Context(), e.ID, first.id(), l.o); err != nil {
					t.Fatal(err)
				}
				sent := w.queue.all()[n:]
				if len(sent) != 1 {
					t.Fatalf("%d messages were sent", len(sent))
				}
				if v := w.handle(sent[0], 1); v.Result != "delivered" || v.Err != nil {
					t.Errorf("%+v", v)
				}
				got := w.servers.requests()[requests:]
				if len(got) != 1 || got[0].url != e.URL || got[0].id() != first.id() || got[0].body != first.body {
					t.Errorf("the request was %+v, and is %+v", first, got)
				}
				if v := w.handle(w.queue.all()[n-2], 2); v.Result != "repeated" {
					t.Errorf("the message that was delivered first comes again: %+v", v)
				}
				for _, step := range tt.later {
					l.step(step)
				}
				if err := w.endpoints.Resend(t.Context(), e.ID, first.id(), l.o); !errors.Is(err, webhook.ErrMoved) {
					t.Errorf("the order has changed: %v", err)
				}
			})
		})
	}
}

// TestResendLate: an event that goes out again after the next one was taken does not make that go
// out again, too.
func TestResendLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.register("https://a.example/", ok)
		l := newLife(t)
		l.step(claimed)
		w.handle(w.changed(l.step(paid))[0], 1)
		if err := w.endpoints.Resend(t.Context(), e.ID, w.servers.requests()[0].id(), l.o); err != nil {
			t.Fatal(err)
		}
		late := w.queue.all()[1]
		l.step(refunding(0))
		l.step(claimed)
		next := w.changed(l.step(refunded))[0]
		w.handle(next, 1)
		for _, message := range []struct{ body, result string }{{late, "delivered"}, {next, "repeated"}} {
			if v := w.handle(message.body, 2); v.Result != message.result {
				t.Errorf("%+v, want %s", v, message.result)
			}
		}
	})
}

// TestResendRefused: nothing is sent to an endpoint that would not get it, and no event that was
// none.
func TestResendRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.register("https://a.example/", status(http.StatusBadGateway))
		l := newLife(t)
		event := func() string {
			made, err := webhook.NewEvent(webhook.OrderPaid, l.o, e.ID)
			if err != nil {
				t.Fatal(err)
			}
			return made.ID
		}
		refused := func(name, endpointID, eventID string, want error) {
			t.Helper()
			n := len(w.queue.all())
			if err := w.endpoints.Resend(t.Context(), endpointID, eventID, l.o); !errors.Is(err, want) || len(w.queue.all()) != n {
				t.Errorf("%s: %v, and %d messages", name, err, len(w.queue.all())-n)
			}
		}
		refused("a PENDING order", e.ID, event(), webhook.ErrMoved)
		for _, step := range []func(order.Order) (order.Order, error){claimed, paid, refunding(1), claimed, refundDeclined} {
			l.step(step)
		}
		refused("a declined refund is no event", e.ID, event(), webhook.ErrMoved)
		for _, step := range []func(order.Order) (order.Order, error){refunding(1), claimed, refunded} {
			l.step(step)
		}
		refused("an endpoint of nobody", "01900000-0000-7000-8000-999999999999", event(), webhook.ErrNotFound)
		refused("an event of another", e.ID, "evt_", webhook.ErrMoved)
		w.handle(w.paidOrder(), 1)
		w.passed += webhook.DisableAfter
		w.handle(w.paidOrder(), 1)
		refused("a disabled endpoint", e.ID, event(), webhook.ErrDisabled)
	})
}

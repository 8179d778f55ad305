package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/document"
	"paylane/shared/job"
	"paylane/shared/webhook"
	"paylane/shared/wire"
)

// paidOrder returns the message of a new order that is paid.
func (w *world) paidOrder() string {
	w.t.Helper()
	l := newLife(w.t)
	l.step(claimed)
	return w.changed(l.step(paid))[0]
}

func TestDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.register("https://a.example/hook", ok)
		l := newLife(t)
		l.step(claimed)
		before, after := l.step(paid)
		body := w.changed(before, after)[0]
		time.Sleep(time.Hour) // the timestamp is of the request, or it would be refused as too old
		v := w.handle(body, 1)
		if v.Next != job.Done || v.Result != "delivered" || v.Err != nil {
			t.Fatalf("%+v", v)
		}
		requests := w.servers.requests()
		if len(requests) != 1 {
			t.Fatalf("%d requests", len(requests))
		}
		r := requests[0]
		if r.url != e.URL || !r.verified(e.Keys[0].Secret) || r.header.Get("Content-Type") != "application/json" ||
			r.header.Get("webhook-timestamp") != fmt.Sprint(r.at.Unix()) {
			t.Errorf("the request is %+v", r)
		}
		shown, err := json.Marshal(wire.NewOrderBody(after))
		if err != nil {
			t.Fatal(err)
		}
		want := event{Type: "order.paid", Timestamp: wire.Timestamp(after.UpdatedAt)}
		if err := json.Unmarshal(shown, &want.Data); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, r.event(t)); diff != "" {
			t.Errorf("the body (-want +got):\n%s", diff)
		}
		// SQS delivers at least once; the endpoint need not notice.
		if v := w.handle(body, 2); v.Next != job.Done || v.Result != "repeated" || len(w.servers.requests()) != 1 {
			t.Errorf("again: %+v, %d requests", v, len(w.servers.requests()))
		}
	})
}

// TestNotTaken: whatever is no 2xx within ten seconds comes again, with the same id.
func TestNotTaken(t *testing.T) {
	for name, answer := range map[string]func(request) (webhook.Answer, error){
		"500":           status(http.StatusInternalServerError),
		"400":           status(http.StatusBadRequest),
		"410":           status(http.StatusGone),
		"a redirect":    status(http.StatusFound),
		"a reset":       func(request) (webhook.Answer, error) { return webhook.Answer{}, errors.New("connection reset by peer") },
		"forbidden":     func(request) (webhook.Answer, error) { return webhook.Answer{}, webhook.ErrForbidden },
		"after 10 s":    after(10*time.Second+time.Millisecond, ok),
		"never answers": after(time.Minute, ok),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.register("https://a.example/hook?key=s3cret", answer)
				body := w.paidOrder()
				v := w.handle(body, 1)
				if v.Next != job.Again || v.After < 2500*time.Millisecond || v.After > 5*time.Second || v.Err != nil {
					t.Fatalf("%+v", v)
				}
				if text := fmt.Sprintf("%+v", v); strings.Contains(text, "s3cret") || strings.Contains(text, "whsec_") {
					t.Errorf("the verdict has a secret: %s", text)
				}
				r, err := w.endpoints.Get(t.Context(), tenant, e.ID)
				if err != nil || len(r.Failures) != 1 || len(r.Successes) != 0 || r.FailingSince.IsZero() || len(r.Slots) != 0 {
					t.Errorf("its health is %+v, %v", r.Health, err)
				}
				w.servers.answer(e.URL, ok)
				time.Sleep(v.After)
				if v := w.handle(body, 2); v.Result != "delivered" {
					t.Fatalf("%+v", v)
				}
				requests := w.servers.requests()
				if len(requests) != 2 || requests[0].id() != requests[1].id() || requests[0].body != requests[1].body || !requests[1].verified(e.Keys[0].Secret) {
					t.Errorf("the requests are %+v", requests)
				}
				r, err = w.endpoints.Get(t.Context(), tenant, e.ID)
				if err != nil || len(r.Failures) != 1 || len(r.Successes) != 1 || !r.FailingSince.IsZero() || len(r.Slots) != 0 {
					t.Errorf("its health is then %+v, %v", r.Health, err)
				}
			})
		})
	}
}

// TestPatience: the waits grow, and take 24 hours at the least until the message is a dead letter.
func TestPatience(t *testing.T) {
	for name, jitter := range map[string]func(int) int{"least": func(int) int { return 0 }, "most": func(n int) int { return n - 1 }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.worker.Jitter = jitter
				w.register("https://a.example/", status(500))
				body := w.paidOrder()
				var total, last time.Duration
				for n := 1; n <= webhook.MaxReceives; n++ {
					v := w.handle(body, n)
					if v.Next != job.Again || v.After < last {
						t.Fatalf("receive %d: %+v after %v", n, v, last)
					}
					if n < webhook.MaxReceives {
						total, last = total+v.After, v.After
					}
					w.passed += v.After
				}
				if total < 24*time.Hour || total > 13*24*time.Hour {
					t.Errorf("the waits are %v", total)
				}
				if n := len(w.servers.requests()); n != webhook.MaxReceives {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{time.Hour: time.Hour, time.Second: 2500 * time.Millisecond, 40 * time.Hour: 11 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.worker.Jitter = func(int) int { return 0 }
			w.register("https://a.example/", func(request) (webhook.Answer, error) {
				return webhook.Answer{Status: http.StatusServiceUnavailable, RetryAfter: asked}, nil
			})
			if v := w.handle(w.paidOrder(), 1); v.After != want {
				t.Errorf("asked for %v it waits %v, want %v", asked, v.After, want)
			}
		})
	}
}

// TestInOrder: an event waits for the one of its order before it, and for no other.
func TestInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		refuse := 3
		w.register("https://a.example/", func(request) (webhook.Answer, error) {
			mu.Lock()
			defer mu.Unlock()
			if refuse--; refuse >= 0 {
				return webhook.Answer{Status: 500}, nil
			}
			return webhook.Answer{Status: 200}, nil
		})
		l := newLife(t)
		l.step(claimed)
		bodies := w.changed(l.step(failed))
		l.step(again)
		l.step(claimed)
		bodies = append(bodies, w.changed(l.step(paid))...)
		l.step(refunding(100))
		l.step(claimed)
		bodies = append(bodies, w.changed(l.step(refunded))...)
		l.step(refunding(0))
		l.step(claimed)
		bodies = append(bodies, w.changed(l.step(refunded))...)
		var all sync.WaitGroup
		for i := range bodies {
			all.Go(func() { w.untilDone(bodies[len(bodies)-1-i]) })
		}
		all.Wait()
		var got []string
		for _, r := range w.servers.requests() {
			got = append(got, r.event(t).Type+" "+r.event(t).Data["status"].(string))
		}
		want := []string{"order.failed FAILED", "order.failed FAILED", "order.failed FAILED", "order.failed FAILED", "order.paid PAID", "order.refunded PAID", "order.refunded REFUNDED"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// TestOrderEndsWaiting: an event that the endpoint never gets holds back no other forever, and one
// that it never asked for, or that was before it was there, holds back none.
func TestOrderEndsWaiting(t *testing.T) {
	for name, tt := range map[string]struct {
		events []webhook.EventType
		late   bool // registered after the first event
		waits  bool
	}{
		"refused for an hour": {waits: true},
		"not asked for":       {events: []webhook.EventType{webhook.OrderRefunded}},
		"before its time":     {late: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				if !tt.late {
					w.register("https://a.example/", ok, tt.events...)
				}
				l := newLife(t)
				l.step(claimed)
				l.step(paid) // of which nobody tells
				time.Sleep(time.Second)
				if tt.late {
					w.register("https://a.example/", ok)
				}
				time.Sleep(time.Second)
				l.step(refunding(0))
				l.step(claimed)
				body := w.changed(l.step(refunded))[0]
				began := time.Now()
				w.untilDone(body)
				if took := time.Since(began); tt.waits != (took >= time.Hour) || took > 3*time.Hour {
					t.Errorf("it came after %v", took)
				}
			})
		})
	}
}

// TestOvertaken: an event that comes after a later one of its order, which had waited long enough for
// it, is delivered all the same, and once.
func TestOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.register("https://a.example/", ok)
		l := newLife(t)
		l.step(claimed)
		first := w.changed(l.step(paid))[0]
		l.step(refunding(100))
		l.step(claimed)
		second := w.changed(l.step(refunded))[0]
		l.step(refunding(0))
		l.step(claimed)
		third := w.changed(l.step(refunded))[0]
		for _, body := range []string{third, second, third, first, first, second} {
			w.untilDone(body)
		}
		var got []string
		for _, r := range w.servers.requests() {
			got = append(got, r.event(t).Type+" "+r.event(t).Data["status"].(string))
		}
		if diff := cmp.Diff([]string{"order.refunded REFUNDED", "order.refunded PAID", "order.paid PAID"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// TestShare: a slow endpoint with many events, and a dead one, hold up no other, and get five
// requests at a time.
func TestShare(t *testing.T) {
	for name, slow := range map[string]func(request) (webhook.Answer, error){"slow": after(9*time.Second, ok), "dead": after(time.Hour, ok)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				const many = 100
				w.register("https://slow.example/", slow)
				w.register("https://fast.example/", after(20*time.Millisecond, ok))
				var bodies []string
				for range many {
					l := newLife(t)
					l.step(claimed)
					bodies = append(bodies, w.changed(l.step(paid))...)
				}
				began := time.Now()
				// Batches of ten, of which four are worked on at a time, as a queue would.
				tokens := make(chan struct{}, 4)
				var batches sync.WaitGroup
				for start := 0; start < len(bodies); start += 10 {
					tokens <- struct{}{}
					batches.Go(func() {
						defer func() { <-tokens }()
						var batch sync.WaitGroup
						for _, body := range bodies[start:min(start+10, len(bodies))] {
							batch.Go(func() { w.handle(body, 1) })
						}
						batch.Wait()
					})
				}
				batches.Wait()
				fast := 0
				for _, r := range w.servers.requests() {
					if strings.HasPrefix(r.url, "https://fast") {
						fast++
					}
				}
				took := time.Since(began)
				if most := w.servers.most["https://slow.example/"]; fast != many || most > 5 || took > 31*time.Second { // three timeouts, and pauses of milliseconds
					t.Errorf("in %v the fast one got %d of %d, the slow one %d at a time", took, fast, many, most)
				}
			})
		})
	}
}

// TestSharedSlots: the limit holds over processes.
func TestSharedSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.register("https://slow.example/", after(5*time.Second, ok))
		w.handle(w.paidOrder(), 1) // after this it is known to be slow
		var processes sync.WaitGroup
		for range 4 {
			c := w.worker.WorkerConfig
			worker := webhook.NewWorker(c)
			for range 4 {
				body := w.paidOrder()
				processes.Go(func() { worker.Handle(t.Context(), job.Delivery{Body: body, ReceiveCount: 1}) })
			}
		}
		processes.Wait()
		if most := w.servers.most[e.URL]; most > 5 || most < 2 {
			t.Errorf("%d requests at a time", most)
		}
		r, err := w.endpoints.Get(t.Context(), tenant, e.ID)
		if err != nil || len(r.Slots) != 0 {
			t.Errorf("slots are left: %v, %v", r.Slots, err)
		}
	})
}

// TestFailingShare: an endpoint that fails at once is limited like one that is slow.
func TestFailingShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.register("https://a.example/", after(500*time.Millisecond, status(500)))
		w.handle(w.paidOrder(), 1) // after this it is known to fail
		var processes sync.WaitGroup
		for range 4 {
			worker := webhook.NewWorker(w.worker.WorkerConfig)
			for range 4 {
				body := w.paidOrder()
				processes.Go(func() { worker.Handle(t.Context(), job.Delivery{Body: body, ReceiveCount: 1}) })
			}
		}
		processes.Wait()
		if most := w.servers.most[e.URL]; most > 5 || most < 2 {
			t.Errorf("%d requests at a time", most)
		}
	})
}

// TestTimeLeft: what comes of a request is still written if the invocation has less time left than
// an endpoint may take.
func TestTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.register("https://a.example/", after(time.Hour, ok))
		body := w.paidOrder()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		if v := w.worker.Handle(ctx, job.Delivery{Body: body, ReceiveCount: 1}); v.Result != "refused" || ctx.Err() != nil {
			t.Errorf("%+v, %v", v, ctx.Err())
		}
		if r, err := w.endpoints.Get(t.Context(), tenant, e.ID); err != nil || len(r.Failures) != 1 {
			t.Errorf("its health is %+v, %v", r.Health, err)
		}
	})
}

// TestDisabled: nothing for five days disables an endpoint; a test that succeeds enables it.
func TestDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.register("https://a.example/", status(500))
		onItsWay := w.paidOrder()
		var disabledAfter time.Duration
		for began := w.now(); disabledAfter == 0 && w.passed < 7*24*time.Hour; w.passed += 6 * time.Hour {
			w.handle(w.paidOrder(), 1)
			r, err := w.endpoints.Get(t.Context(), tenant, e.ID)
			if err != nil {
				t.Fatal(err)
			}
			if !r.DisabledAt.IsZero() {
				disabledAfter = w.now().Sub(began)
			}
		}
		if disabledAfter < 5*24*time.Hour || disabledAfter > 5*24*time.Hour+time.Minute {
			t.Fatalf("it was disabled after %v", disabledAfter)
		}
		posted := len(w.servers.requests())
		if v := w.handle(onItsWay, 2); v.Next != job.Done || v.Result != "disabled" || len(w.servers.requests()) != posted {
			t.Errorf("what was on its way: %+v, %d more requests", v, len(w.servers.requests())-posted)
		}
		l := newLife(t)
		l.step(claimed)
		if sent := w.changed(l.step(paid)); len(sent) > 0 {
			t.Errorf("it is told: %s", sent)
		}
		w.servers.answer(e.URL, ok)
		n := len(w.queue.all())
		id, err := w.endpoints.Test(t.Context(), tenant, e.ID)
		if err != nil || len(w.queue.all()) != n+1 {
			t.Fatal(err)
		}
		if v := w.handle(w.queue.all()[n], 1); v.Result != "delivered" {
			t.Fatalf("%+v", v)
		}
		requests := w.servers.requests()
		if last := requests[len(requests)-1]; last.id() != id || last.event(t).Type != "webhook.test" || last.event(t).Data["webhookId"] != e.ID {
			t.Errorf("the test event is %+v", last)
		}
		l = newLife(t)
		l.step(claimed)
		if sent := w.changed(l.step(paid)); len(sent) != 1 {
			t.Errorf("enabled again it is told %d times", len(sent))
		}
	})
}

// TestDropped: what is on its way to an endpoint that is deleted or disabled is dropped.
func TestDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.register("https://a.example/", ok)
		body := w.paidOrder()
		if err := w.endpoints.Delete(t.Context(), tenant, e.ID); err != nil {
			t.Fatal(err)
		}
		if v := w.handle(body, 1); v.Next != job.Done || v.Result != "deleted" || len(w.servers.requests()) != 0 {
			t.Errorf("%+v", v)
		}
		// Nor is its health left.
		failing := w.register("https://b.example/", status(500))
		w.handle(w.paidOrder(), 1)
		health := document.Key{Tenant: tenant, Name: "webhook." + failing.ID}
		before, err := w.documents.Document(t.Context(), health)
		if err == nil {
			err = w.endpoints.Delete(t.Context(), tenant, failing.ID)
		}
		if d, errAfter := w.documents.Document(t.Context(), health); err != nil || errAfter != nil || before.Version == 0 || d.Version != 0 {
			t.Errorf("its health is %+v, and was %+v; %v, %v", d, before, err, errAfter)
		}
	})
}

// TestRotated: both secrets sign for 24 hours, then the new one alone.
func TestRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.register("https://a.example/", ok)
		first := e.Keys[0].Secret
		rotated, err := w.endpoints.Rotate(t.Context(), tenant, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		second := rotated.Keys[0].Secret
		signed := func() (by []bool) {
			w.handle(w.paidOrder(), 1)
			requests := w.servers.requests()
			last := requests[len(requests)-1]
			return []bool{last.verified(first), last.verified(second), last.verified("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw3vJ5y6Q7h8k=")}
		}
		if diff := cmp.Diff([]bool{true, true, false}, signed()); diff != "" || first == second {
			t.Error(diff)
		}
		w.passed = 24 * time.Hour
		if diff := cmp.Diff([]bool{false, true, false}, signed()); diff != "" {
			t.Error(diff)
		}
		if text := fmt.Sprintf("%v %+v %#v %s", rotated, rotated, rotated, second); strings.Contains(text, string(second)[6:]) {
			t.Errorf("a secret is printed: %s", text)
		}
	})
}

func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if v := w.handle("{}", 1); v.Next != job.Again || v.Result != job.ResultPoison || !errors.Is(v.Err, webhook.ErrMessage) {
			t.Errorf("%+v", v)
		}
	})
}

// failing is a store of which a call fails.
type failing struct {
	document.Store
	call string
}

func (f failing) Document(ctx context.Context, k document.Key) (document.Document, error) {
	if strings.HasPrefix(k.Name, f.call) {
		return document.Document{}, errors.New("the store is away")
	}
	return f.Store.Document(ctx, k)
}

func (f failing) PutDocument(ctx context.Context, d document.Document) error {
	if "put "+d.Name[:4] == f.call {
		return errors.New("the store is away")
	}
	return f.Store.PutDocument(ctx, d)
}

// TestStoreAway: an event is not lost while the store can't be read or written, and not repeated
// for what is only shown.
func TestStoreAway(t *testing.T) {
	for call, requests := range map[string]int{"webhooks": 0, "sent": 0, "webhook.": 0, "put sent": 1} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.register("https://a.example/", ok)
				body := w.paidOrder()
				whole := w.documents
				w.worker.Documents = failing{whole, call}
				if v := w.handle(body, 1); v.Next != job.Again || v.Result != job.ResultError || v.Err == nil {
					t.Errorf("%+v", v)
				}
				if n := len(w.servers.requests()); n != requests {
					t.Errorf("%d requests", n)
				}
				w.worker.Documents = whole
				if v := w.handle(body, 2); v.Result != "delivered" {
					t.Errorf("%+v", v)
				}
			})
		})
	}
}

package receipts_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"paylane/docs/examples/receipts"
	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/template"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
	"paylane/shared/pebblestore/pebbletest"
)

// TestReceipts runs the job as its template says, on a queue and a store in memory: a
// message that comes before its order is tried again, a mail server that fails once is asked
// again, and only the PAID order gets a receipt.
func TestReceipts(t *testing.T) {
	source, err := os.ReadFile("template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	read, err := template.Read("template.yaml", source, template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		store, queue := pebbletest.Open(t, time.Minute)
		mapping := read.Mappings[0]
		function, _ := read.Function(mapping.Function)
		settings, _ := read.Queue(mapping.Queue)
		mailed := make(chan order.Order, 10)
		down := true
		handler := handlerstest.Must[handlers.SQSHandler](t)(receipts.Function(
			function.Environment, handlerstest.Services(store, queue), func(_ context.Context, o order.Order) error {
				if down {
					down = false
					return errors.New("the mail server is down")
				}
				mailed <- o
				return nil
			}))
		invoker := emulator.NewInProcess(handler, emulator.Config{ARN: function.ARN, Timeout: function.Timeout})
		defer invoker.Close()
		poller, err := eventsource.New(eventsource.Config{
			Mapping: mapping, Queue: settings, Function: function, Source: queue, Invoker: invoker,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		polled := make(chan struct{})
		go func() {
			poller.Run(ctx)
			close(polled)
		}()

		paid, canceled := order.Ref{Tenant: "a", ID: order.KeyedID("a", "1")}, order.Ref{Tenant: "a", ID: order.KeyedID("a", "2")}
		for _, ref := range []order.Ref{paid, canceled} { // before the orders are there
			body, err := json.Marshal(receipts.Message{Tenant: ref.Tenant, OrderID: ref.ID})
			if err == nil {
				_, err = queue.Send(t.Context(), string(body), 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		request := order.Request{Amount: 5, Currency: "KRW", PaymentToken: "tok_ok"}
		pending := order.New(paid, request, "", time.Now())
		claimed, err := pending.Claimed(order.Claim{Kind: order.KindCharge, Round: 1, Now: time.Now(), Until: time.Now().Add(time.Second), Limits: order.Limits{Attempts: 3}})
		if err != nil {
			t.Fatal(err)
		}
		end, err := claimed.PaidWith("PAY-1", true, time.Now())
		if err == nil {
			err = store.Create(t.Context(), end)
		}
		if err != nil {
			t.Fatal(err)
		}
		other, err := order.New(canceled, request, "", time.Now()).Cancel(time.Now())
		if err == nil {
			err = store.Create(t.Context(), other)
		}
		if err != nil {
			t.Fatal(err)
		}
		select {
		case o := <-mailed:
			if o.Ref != paid {
				t.Errorf("a receipt was mailed for %v", o)
			}
		case <-time.After(time.Minute):
			t.Fatal("no receipt was mailed in a minute")
		}
		time.Sleep(time.Minute) // for what should not be mailed
		stop()
		<-polled
		if s := queue.Stats(); s.Visible+s.InFlight+s.Delayed != 0 || len(mailed) != 0 {
			t.Errorf("messages left: %+v; receipts too many: %d", s, len(mailed))
		}
	})
}

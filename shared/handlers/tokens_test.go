package handlers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/gateway"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
	"paylane/shared/pebblestore/pebbletest"
)

// described is a gateway that says something else of its tokens.
type described struct {
	gateway.Provider
	reused bool
}

func (d described) Describe() gateway.TokenDescription {
	tokens := d.Provider.Describe()
	tokens.Reused = d.reused
	return tokens
}

// TestTokensAreForgotten: each function that settles orders goes by what the gateway says of
// its tokens.
func TestTokensAreForgotten(t *testing.T) {
	onQueue := func(open func(map[string]string, handlers.Services) (handlers.SQSHandler, error)) func(*testing.T, handlers.Services, order.Message) error {
		return func(t *testing.T, s handlers.Services, m order.Message) error {
			t.Helper()
			handle := handlerstest.Must[handlers.SQSHandler](t)(open(handlerstest.Environment(), s))
			_, err := handle(t.Context(), events.SQSEvent{Records: []events.SQSMessage{{Body: m.Encode()}}})
			return err
		}
	}
	for name, settle := range map[string]func(*testing.T, handlers.Services, order.Message) error{
		"payment": onQueue(handlers.Payment), "deadletter": onQueue(handlers.DeadLetter),
		"reconcile": func(t *testing.T, s handlers.Services, _ order.Message) error {
			t.Helper()
			handle := handlerstest.Must[handlers.ReconcileHandler](t)(handlers.Reconcile(handlerstest.Environment(), s))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := handle(ctx, json.RawMessage(`{"apply":true,"stuckAfter":"1h"}`))
			return err
		},
	} {
		for _, reused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reused: %v", name, reused), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, q := pebbletest.Open(t, time.Minute)
					services := handlerstest.Services(store, q)
					simulator, err := services.Gateway("simulator")
					if err != nil {
						t.Fatal(err)
					}
					services.Gateway = func(string) (gateway.Provider, error) { return described{simulator, reused}, nil }
					ref := order.Ref{Tenant: handlers.LocalTenant, ID: order.KeyedID("t", "k")}
					o := order.New(ref, order.Request{Amount: 1, Currency: "KRW", PaymentToken: "tok_ok"}, "", time.Now())
					if err := store.Create(t.Context(), o); err != nil {
						t.Fatal(err)
					}
					// A worker charged it, and died before it could say so.
					_, err = store.Claim(t.Context(), ref, order.Claim{
						Kind: order.KindCharge, Round: 1, Now: time.Now(), Until: time.Now().Add(time.Second), Limits: order.Limits{Attempts: 3},
					})
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Hour)
					if err := settle(t, services, order.Message{Kind: order.KindCharge, Ref: ref, Round: 1}); err != nil {
						t.Fatal(err)
					}
					got, err := store.Get(t.Context(), ref)
					if err != nil || got.Status != order.Paid || (got.PaymentToken != "") != reused {
						t.Errorf("it is %s and has a token: %v (%v)", got.Status, got.PaymentToken != "", err)
					}
				})
			})
		}
	}
}

// Package handlerstest helps tests to construct the functions' handlers.
package handlerstest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/gateway/gateways"
	"paylane/shared/handlers"
	"paylane/shared/webhook"
)

// Services returns services with the given store and queue, whatever name is asked for, the
// gateway that the environment names, no jitter and no log. Webhooks are registered, but nothing is
// posted to them.
func Services(store handlers.Store, queue handlers.Queue) handlers.Services {
	return handlers.Services{
		Store:        func(string) handlers.Store { return store },
		Queue:        func(string) (handlers.Queue, error) { return queue, nil },
		Gateway:      func(name string) (gateway.Provider, error) { return gateways.New(name, gateways.Config{Now: time.Now}) },
		CheckWebhook: func(string) error { return nil }, Webhooks: poster{},
		Now: time.Now, Jitter: func(int) int { return 0 }, Log: slog.New(slog.DiscardHandler),
	}
}

// poster reaches nobody.
type poster struct{}

// Post implements webhook.Poster.
func (poster) Post(context.Context, string, map[string]string, []byte) (webhook.Answer, error) {
	return webhook.Answer{}, webhook.ErrForbidden
}

// Environment returns an environment in which every function starts, without
// authentication. The changes are pairs of name and value.
func Environment(changes ...string) map[string]string {
	e := map[string]string{
		"ORDERS_TABLE": "orders", "GATEWAY": "simulator", "AUTH_MODE": "none",
		"WEBHOOK_QUEUE_URL": "webhooks",
		"PAYMENT_QUEUE_URL": "payments", "DEAD_LETTER_QUEUE_URL": "dead-letters", "RECONCILE_QUEUE_URL": "reconcile",
		"API_FUNCTION": "api:live", "READ_FUNCTION": "read:live",
	}
	for i := 0; i < len(changes); i += 2 {
		e[changes[i]] = changes[i+1]
	}
	return e
}

// Must unwraps a constructor's result, and fails the test on an error.
func Must[H any](tb testing.TB) func(H, error) H {
	return func(handler H, err error) H {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return handler
	}
}

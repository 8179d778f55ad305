// Command receiver is an example: it takes paylane's webhooks, and ships what is paid.
//
// It verifies deliveries as Standard Webhooks (https://www.standardwebhooks.com) are
// verified in any language. The endpoint's secret is in WEBHOOK_SECRET.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	secret := os.Getenv("WEBHOOK_SECRET")
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil || secret == "" {
		log.Error("WEBHOOK_SECRET must be the secret of the endpoint, whsec_…")
		os.Exit(1)
	}
	ship := func(ctx context.Context, orderID string) error {
		log.InfoContext(ctx, "shipped", "order", orderID)
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks", newReceiver(webhook, ship))
	server := http.Server{Addr: "127.0.0.1:4242", Handler: mux, ReadTimeout: 10 * time.Second}
	log.Error("the server ended", "err", server.ListenAndServe())
	os.Exit(1)
}

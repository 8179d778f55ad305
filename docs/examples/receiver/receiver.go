package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxBody is far above any order. What is longer is not read.
const maxBody = 1 << 20

type receiver struct {
	webhook *standardwebhooks.Webhook
	ship    func(ctx context.Context, orderID string) error

	// done has the webhook-ids whose work is done. A real receiver has them in its database:
	// it inserts the id under a unique key in the same transaction as the work's effect, so
	// that neither can be there without the other. It may forget them after some days.
	mu   sync.Mutex
	done map[string]bool
}

func newReceiver(webhook *standardwebhooks.Webhook, ship func(ctx context.Context, orderID string) error) *receiver {
	return &receiver{webhook: webhook, ship: ship, done: make(map[string]bool)}
}

// ServeHTTP answers 2xx only once the work is done: after any other answer, and after none,
// the delivery comes again.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "the body is too long, or incomplete", http.StatusRequestEntityTooLarge)
		return
	}
	// The signature covers the bytes as they came, so they are verified before they are parsed.
	if err := r.webhook.Verify(body, req.Header); err != nil {
		http.Error(w, "the signature is not valid", http.StatusBadRequest)
		return
	}
	var event struct {
		Type string `json:"type"`
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		http.Error(w, "the body is not an event", http.StatusBadRequest)
		return
	}
	if event.Type == "order.paid" { // others are acknowledged too: there will be new ones
		if err := r.once(req.Context(), req.Header.Get(standardwebhooks.HeaderWebhookID), event.Data.ID); err != nil {
			http.Error(w, "it can't be done now", http.StatusInternalServerError)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// once ships an order unless that was done for this event.
func (r *receiver) once(ctx context.Context, webhookID, orderID string) error {
	r.mu.Lock() // while it works, too: a repeat can come before that has ended
	defer r.mu.Unlock()
	if r.done[webhookID] {
		return nil
	}
	if err := r.ship(ctx, orderID); err != nil {
		return err
	}
	r.done[webhookID] = true
	return nil
}

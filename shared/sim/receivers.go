package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"paylane/shared/emulator/streamsource"
	"paylane/shared/feed"
	"paylane/shared/order"
	"paylane/shared/webhook"
)

// hooked is the tenant that has a webhook, in runs with webhooks.
const hooked = "acme"

// told is an event that an endpoint is owed, or got.
type told struct {
	ref     order.Ref
	kind    string
	version int64
}

// event returns what a change of an order is to be told as; empty if nothing. It is the API's
// promise written down again.
func event(before, now order.Order) string {
	switch {
	case before.Status == now.Status:
	case now.Status == order.Failed:
		return "order.failed"
	case now.Status == order.Canceled:
		return "order.canceled"
	case now.Status == order.Paid && before.Status == order.Processing:
		return "order.paid"
	case before.Status == order.Refunding && now.LastRefund().Status == order.RefundDone:
		return "order.refunded"
	}
	return ""
}

// register registers the webhook of a run.
func (w *world) register(ctx context.Context) error {
	endpoints := webhook.NewEndpoints(webhook.EndpointsConfig{
		Documents: w.inner, Queue: w.of["WebhookQueue"], CheckURL: func(string) error { return nil }, Now: time.Now, NewID: newID,
	})
	_, err := endpoints.Create(ctx, hooked, "https://receiver.example/", webhook.EventTypes())
	if err != nil {
		return fmt.Errorf("register a webhook: %w", err)
	}
	return nil
}

// stream starts the mapping from the table's stream to the fanout function.
func (w *world) stream(ctx context.Context) error {
	for _, m := range w.template.StreamMappings {
		f := w.functions[m.Function]
		if f == nil {
			continue
		}
		table, _ := w.template.Table(m.Table)
		poller, err := streamsource.New(streamsource.Config{
			Mapping: m, Table: table, Function: f.Function, Stream: shards{world: w, Stream: w.table.Stream()}, Invoker: f,
			OnFailure: func(context.Context, string) error { return nil },
			Logger:    slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return err
		}
		w.pollers.Go(func() { poller.Run(named(ctx, "mapping "+m.LogicalID)) })
	}
	return nil
}

// shards is a stream as its mapping reaches it.
type shards struct {
	*world
	feed.Stream
}

func (s shards) Open(ctx context.Context, id string, from feed.Position) (feed.Reader, error) {
	inner, err := s.Stream.Open(ctx, id, from)
	return shard{s.world, inner}, err
}

type shard struct {
	*world
	feed.Reader
}

// Read awaits its turn once there are records: whoever wrote them goes on at the same instant.
func (s shard) Read(ctx context.Context, limit int, wait time.Duration) ([]feed.Record, bool, error) {
	records, ended, err := s.Reader.Read(ctx, limit, wait)
	if err != nil || len(records) == 0 {
		return records, ended, err
	}
	s.await(ctx, "read the stream", storeTakes)
	s.tell(ctx, "reads %d records of the stream", len(records))
	return records, ended, nil
}

// receivers are the servers behind webhooks.
type receivers struct{ *world }

var errReceiver = errors.New("the receiver did not answer")

// Post implements [webhook.Poster].
func (r receivers) Post(ctx context.Context, _ string, header map[string]string, body []byte) (webhook.Answer, error) {
	name := "post " + header["webhook-id"]
	t := r.await(ctx, name, clientTakes)
	switch {
	case t.err != nil:
		return webhook.Answer{}, t.err
	case r.faults.hits(t.rng, receiverFails):
		r.tell(ctx, "%s: refused", name)
		return webhook.Answer{Status: 500}, nil
	}
	var e struct {
		Type string
		Data struct {
			ID      string
			Version int64
		}
	}
	if err := json.Unmarshal(body, &e); err != nil {
		r.checks.fail("webhook", "a body is not JSON: %v", err)
	}
	got := told{order.Ref{Tenant: hooked, ID: e.Data.ID}, e.Type, e.Data.Version}
	if !slices.Contains(r.checks.owed, got) {
		r.checks.fail("webhook", "%s is told %s at version %d, which did not happen", r.short(got.ref), got.kind, got.version)
	}
	r.checks.got[got]++
	r.tell(ctx, "%s: %s of %s at version %d", name, got.kind, r.short(got.ref), got.version)
	if t = r.await(ctx, name+", answer", clientTakes); t.err != nil {
		return webhook.Answer{}, t.err
	}
	if r.faults.hits(t.rng, receiverFails) {
		return webhook.Answer{}, errReceiver
	}
	return webhook.Answer{Status: 204}, nil
}

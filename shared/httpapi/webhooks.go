package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"paylane/shared/order"
	"paylane/shared/webhook"
	"paylane/shared/wire"
)

// createWebhookRequest is the body of POST /webhooks.
type createWebhookRequest struct {
	_      struct{} `json:"-" additionalProperties:"false"`
	URL    string   `json:"url" doc:"Where events are posted: an absolute https URL of up to 2,048 bytes whose host is public. A local runner also takes loopback addresses, and http for these." example:"https://shop.example/hooks/paylane"`
	Events []string `json:"events,omitempty" minItems:"1" maxItems:"4" nullable:"false" pattern:"^order[.](paid|failed|canceled|refunded)$" doc:"The types of events to post: of order.paid, order.failed, order.canceled and order.refunded. Without it, all."`
}

// webhookBody is an endpoint as callers see it.
type webhookBody struct {
	ID           string         `json:"id" format:"uuid" doc:"The webhook's id."`
	URL          string         `json:"url" doc:"Where events are posted." example:"https://shop.example/hooks/paylane"`
	Events       []string       `json:"events" nullable:"false" enum:"order.paid,order.failed,order.canceled,order.refunded" doc:"The types of events that are posted."`
	Status       string         `json:"status" enum:"enabled,disabled" doc:"disabled: nothing is posted, since for five days nothing succeeded. A test that succeeds enables it again."`
	Secret       string         `json:"secret,omitempty" doc:"What the requests are signed with, as Standard Webhooks has it. It is in the answers to POST /webhooks and rotate only: keep it." example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw3vJ5y6Q7h8k="`
	Successes    []deliveryBody `json:"successes" maxItems:"10" nullable:"false" doc:"The last deliveries that succeeded, the newest first; of several within ten seconds, one."`
	Failures     []deliveryBody `json:"failures" maxItems:"10" nullable:"false" doc:"The last deliveries that failed, the newest first. Each is tried again, for at least 24 hours."`
	FailingSince string         `json:"failingSince,omitempty" format:"date-time" doc:"Since when nothing has succeeded; absent if the last delivery did."`
	DisabledAt   string         `json:"disabledAt,omitempty" format:"date-time" doc:"When it was disabled."`
	CreatedAt    string         `json:"createdAt" format:"date-time" doc:"When it was registered."`
}

type deliveryBody struct {
	EventID      string `json:"eventId" doc:"The webhook-id." example:"evt_0199a6c5-1f6e-5c1a-9d0b-3f6e8a2b4c5d"`
	Type         string `json:"type" doc:"The event's type." example:"order.paid"`
	OrderID      string `json:"orderId,omitempty" format:"uuid" doc:"The order that it is about; absent for a test."`
	At           string `json:"at" format:"date-time" doc:"When it was posted."`
	Receives     int    `json:"receives" minimum:"1" doc:"How often the delivery had come up by then, this one included." example:"1"`
	Status       int    `json:"status,omitempty" doc:"The status of the answer; absent without one." example:"204"`
	Error        string `json:"error,omitempty" doc:"Why there was no answer." example:"no answer in time"`
	Milliseconds int64  `json:"ms" minimum:"0" doc:"How long it took." example:"12"`
}

func newWebhookBody(r webhook.Registered) webhookBody {
	b := webhookBody{
		ID: r.ID, URL: r.URL, Status: "enabled", CreatedAt: wire.Timestamp(r.CreatedAt),
		Successes: newDeliveryBodies(r.Successes), Failures: newDeliveryBodies(r.Failures),
	}
	events := r.Events
	if len(events) == 0 {
		events = webhook.EventTypes()
	}
	for _, t := range events {
		b.Events = append(b.Events, string(t))
	}
	if !r.FailingSince.IsZero() {
		b.FailingSince = wire.Timestamp(r.FailingSince)
	}
	if !r.DisabledAt.IsZero() {
		b.Status, b.DisabledAt = "disabled", wire.Timestamp(r.DisabledAt)
	}
	return b
}

func newDeliveryBodies(log []webhook.Delivery) []deliveryBody {
	bodies := make([]deliveryBody, len(log))
	for i, d := range log {
		bodies[i] = deliveryBody{
			EventID: d.EventID, Type: string(d.Type), OrderID: d.OrderID, At: wire.Timestamp(d.At), Receives: d.Receives,
			Status: d.Status, Error: d.Error, Milliseconds: d.Milliseconds,
		}
	}
	return bodies
}

// registerWebhooks adds the routes of webhooks.
func (a *api) registerWebhooks(h huma.API, route func(id, method, path, summary string, status int) huma.Operation) {
	huma.Register(h, withBody(h, route("create-webhook", http.MethodPost, "/webhooks", "Register a webhook", http.StatusCreated)), a.createWebhook)
	huma.Register(h, route("list-webhooks", http.MethodGet, "/webhooks", "List webhooks", http.StatusOK), a.listWebhooks)
	huma.Register(h, route("get-webhook", http.MethodGet, "/webhooks/{id}", "Get a webhook", http.StatusOK), a.getWebhook)
	huma.Register(h, route("delete-webhook", http.MethodDelete, "/webhooks/{id}", "Delete a webhook", http.StatusNoContent), a.deleteWebhook)
	huma.Register(h, route("rotate-webhook", http.MethodPost, "/webhooks/{id}/rotate", "Give a webhook a new secret", http.StatusOK), a.rotateWebhook)
	huma.Register(h, route("test-webhook", http.MethodPost, "/webhooks/{id}/test", "Post a test event", http.StatusAccepted), a.testWebhook)
	huma.Register(h, withBody(h, route("resend-webhook", http.MethodPost, "/webhooks/{id}/resend", "Post an event again", http.StatusAccepted)), a.resendWebhook)
}

type createWebhookOutput struct {
	Location string `header:"Location"`
	Body     webhookBody
}

func (a *api) createWebhook(ctx context.Context, in *struct{ Body createWebhookRequest }) (*createWebhookOutput, error) {
	events := make([]webhook.EventType, len(in.Body.Events))
	for i, t := range in.Body.Events {
		events[i] = webhook.EventType(t)
	}
	made, err := a.Webhooks.Create(ctx, tenantOf(ctx), in.Body.URL, events)
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	body := newWebhookBody(webhook.Registered{Endpoint: made})
	body.Secret = string(made.Keys[0].Secret)
	return &createWebhookOutput{Location: callerOf(ctx).link("/webhooks/"+made.ID, nil), Body: body}, nil
}

type webhookListBody struct {
	Webhooks []webhookBody `json:"webhooks" maxItems:"10" nullable:"false" doc:"Oldest first."`
}

func (a *api) listWebhooks(ctx context.Context, _ *struct{}) (*struct{ Body webhookListBody }, error) {
	all, err := a.Webhooks.List(ctx, tenantOf(ctx))
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	list := webhookListBody{Webhooks: make([]webhookBody, len(all))}
	for i, r := range all {
		list.Webhooks[i] = newWebhookBody(r)
	}
	return &struct{ Body webhookListBody }{list}, nil
}

// WebhookInput is what requests about one webhook have in common; exported for huma, see [OrderInput].
type WebhookInput struct {
	ID string `path:"id" doc:"The webhook's id."`
}

// Resolve implements huma.Resolver.
func (in *WebhookInput) Resolve(huma.Context) []error {
	in.ID = strings.ToLower(in.ID) // see OrderInput
	return nil
}

type webhookOutput struct{ Body webhookBody }

func (a *api) getWebhook(ctx context.Context, in *WebhookInput) (*webhookOutput, error) {
	r, err := a.Webhooks.Get(ctx, tenantOf(ctx), in.ID)
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	return &webhookOutput{newWebhookBody(r)}, nil
}

func (a *api) deleteWebhook(ctx context.Context, in *WebhookInput) (*struct{}, error) {
	if err := a.Webhooks.Delete(ctx, tenantOf(ctx), in.ID); err != nil {
		return nil, report(ctx, a.Log, err)
	}
	return nil, nil //nolint:nilnil // no body
}

func (a *api) rotateWebhook(ctx context.Context, in *WebhookInput) (*webhookOutput, error) {
	rotated, err := a.Webhooks.Rotate(ctx, tenantOf(ctx), in.ID)
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	r, err := a.Webhooks.Get(ctx, tenantOf(ctx), in.ID)
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	out := &webhookOutput{newWebhookBody(r)}
	out.Body.Secret = string(rotated.Keys[0].Secret)
	return out, nil
}

type webhookEventBody struct {
	EventID string `json:"eventId" doc:"The webhook-id of the event." example:"evt_0199a6c5-1f6e-7c1a-9d0b-3f6e8a2b4c5d"`
}

func (a *api) testWebhook(ctx context.Context, in *WebhookInput) (*struct{ Body webhookEventBody }, error) {
	id, err := a.Webhooks.Test(ctx, tenantOf(ctx), in.ID)
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	return &struct{ Body webhookEventBody }{webhookEventBody{id}}, nil
}

// resendRequest is the body of POST /webhooks/{id}/resend.
type resendRequest struct {
	_       struct{} `json:"-" additionalProperties:"false"`
	OrderID string   `json:"orderId" doc:"The order that the event is about." example:"0199a6c5-1f6e-7c1a-9d0b-3f6e8a2b4c5d"`
	EventID string   `json:"eventId" doc:"The webhook-id of the event, as the webhook's deliveries have it." example:"evt_0199a6c5-1f6e-5c1a-9d0b-3f6e8a2b4c5d"`
}

type resendInput struct {
	WebhookInput

	Body resendRequest
}

func (a *api) resendWebhook(ctx context.Context, in *resendInput) (*struct{ Body webhookEventBody }, error) {
	o, err := a.Checkout.Get(ctx, order.Ref{Tenant: tenantOf(ctx), ID: strings.ToLower(in.Body.OrderID)})
	if err == nil {
		err = a.Webhooks.Resend(ctx, in.ID, in.Body.EventID, o)
	}
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	return &struct{ Body webhookEventBody }{webhookEventBody{in.Body.EventID}}, nil
}

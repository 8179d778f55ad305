package webhook

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"paylane/shared/document"
)

// Errors of [Endpoints].
var (
	// ErrNotFound reports that the tenant has no such endpoint.
	ErrNotFound = errors.New("no such webhook")
	// ErrTooMany reports that the tenant has [MaxEndpoints] already.
	ErrTooMany = errors.New("too many webhooks")
)

// URLError reports that a URL can't be an endpoint's. Its text is for the caller.
type URLError struct{ Reason string }

func (e *URLError) Error() string { return e.Reason }

// rotation is how long the secret before the newest goes on signing.
const rotation = 24 * time.Hour

// Sender adds messages to the queue of webhooks.
type Sender interface {
	// Send adds a message and returns its id. Once it returned nil, the message is durable within
	// moments. Where trying again may help, the error wraps order.ErrUnavailable. Delay is 0 to 15
	// minutes, in whole seconds.
	Send(ctx context.Context, body string, delay time.Duration) (messageID string, err error)
}

// EndpointsConfig is what [Endpoints] need. All fields are required.
type EndpointsConfig struct {
	Documents document.Store
	Queue     Sender
	// CheckURL returns why requests can't go to a URL, for the caller.
	CheckURL func(url string) error
	Now      func() time.Time
	// NewID returns a UUID, for an endpoint or a test event.
	NewID func() (string, error)
}

// Endpoints are what tenants have registered. An error that is not named is one of the store's or
// of the queue's.
type Endpoints struct{ EndpointsConfig }

// NewEndpoints returns Endpoints.
func NewEndpoints(c EndpointsConfig) *Endpoints { return &Endpoints{c} }

// Create registers an endpoint, which has its secret in Keys. The error is [ErrTooMany] or a
// [*URLError].
func (e *Endpoints) Create(ctx context.Context, tenant, url string, events []EventType) (Endpoint, error) {
	if err := e.CheckURL(url); err != nil {
		return Endpoint{}, &URLError{Reason: err.Error()}
	}
	id, err := e.NewID()
	if err != nil {
		return Endpoint{}, fmt.Errorf("make an id: %w", err)
	}
	made := Endpoint{
		ID: id, URL: url, Events: sorted(events), Keys: []Key{{Secret: newSecret()}}, CreatedAt: e.Now().UTC().Truncate(time.Millisecond),
	}
	err = changeRegistry(ctx, e.Documents, tenant, func(all []Endpoint) ([]Endpoint, error) {
		if _, _, there := find(all, id); there {
			return all, nil // by a try whose answer was lost
		}
		if len(all) >= MaxEndpoints {
			return nil, ErrTooMany
		}
		return append(all, made), nil
	})
	if err != nil {
		return Endpoint{}, fmt.Errorf("register a webhook: %w", err)
	}
	return made, nil
}

// sorted returns each of the types once, in the order of [EventTypes].
func sorted(events []EventType) []EventType {
	return slices.DeleteFunc(EventTypes(), func(t EventType) bool { return !slices.Contains(events, t) })
}

// newSecret returns a secret of 256 bits.
func newSecret() Secret {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return Secret("whsec_" + base64.StdEncoding.EncodeToString(key[:]))
}

// Registered is an endpoint and how it does.
type Registered struct {
	Endpoint
	Health
}

// List returns the tenant's endpoints, oldest first.
func (e *Endpoints) List(ctx context.Context, tenant string) ([]Registered, error) {
	r, err := readRegistry(ctx, e.Documents, tenant)
	if err != nil {
		return nil, err
	}
	all := make([]Registered, len(r.endpoints))
	for i, endpoint := range r.endpoints {
		_, health, err := readHealth(ctx, e.Documents, tenant, endpoint.ID)
		if err != nil {
			return nil, err
		}
		all[i] = Registered{endpoint, health}
	}
	return all, nil
}

// Get returns an endpoint. The error is [ErrNotFound].
func (e *Endpoints) Get(ctx context.Context, tenant, id string) (Registered, error) {
	r, err := readRegistry(ctx, e.Documents, tenant)
	if err != nil {
		return Registered{}, err
	}
	endpoint, _, ok := find(r.endpoints, id)
	if !ok {
		return Registered{}, ErrNotFound
	}
	_, health, err := readHealth(ctx, e.Documents, tenant, id)
	return Registered{endpoint, health}, err
}

// Delete removes an endpoint; what is on its way to it is dropped. The error is [ErrNotFound].
func (e *Endpoints) Delete(ctx context.Context, tenant, id string) error {
	err := changeRegistry(ctx, e.Documents, tenant, func(all []Endpoint) ([]Endpoint, error) {
		_, i, ok := find(all, id)
		if !ok {
			return nil, ErrNotFound
		}
		return slices.Delete(all, i, i+1), nil
	})
	if err != nil {
		return fmt.Errorf("delete a webhook: %w", err)
	}
	if err := e.Documents.DeleteDocument(ctx, healthKey(tenant, id)); err != nil {
		return fmt.Errorf("delete the health of a webhook: %w", err)
	}
	return nil
}

// Rotate gives an endpoint a new secret, which is the first in its Keys. The one before goes on
// signing beside it for 24 hours; older ones end. The error is [ErrNotFound].
func (e *Endpoints) Rotate(ctx context.Context, tenant, id string) (Endpoint, error) {
	secret, until := newSecret(), e.Now().Add(rotation).UTC().Truncate(time.Second)
	var rotated Endpoint
	err := changeRegistry(ctx, e.Documents, tenant, func(all []Endpoint) ([]Endpoint, error) {
		var ok bool
		var i int
		if rotated, i, ok = find(all, id); !ok {
			return nil, ErrNotFound
		}
		before := rotated.Keys[0]
		before.Until = until
		rotated.Keys = []Key{{Secret: secret}, before}
		all[i] = rotated
		return all, nil
	})
	if err != nil {
		return Endpoint{}, fmt.Errorf("rotate the secret of a webhook: %w", err)
	}
	return rotated, nil
}

// Test sends an event of the type [Test] to an endpoint, even if it is disabled: once it takes
// that, it is enabled again. It returns the event's id. The error is [ErrNotFound].
func (e *Endpoints) Test(ctx context.Context, tenant, id string) (eventID string, err error) {
	r, err := readRegistry(ctx, e.Documents, tenant)
	if err != nil {
		return "", err
	}
	if _, _, ok := find(r.endpoints, id); !ok {
		return "", ErrNotFound
	}
	unique, err := e.NewID()
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	event := Event{ID: "evt_" + unique, Type: Test, At: e.Now().UTC().Truncate(time.Millisecond)}
	if event.Data, err = encode(map[string]string{"webhookId": id}); err != nil {
		return "", err
	}
	body, err := Message{Tenant: tenant, EndpointID: id, Event: event}.Encode()
	if err != nil {
		return "", err
	}
	if _, err := e.Queue.Send(ctx, body, 0); err != nil {
		return "", fmt.Errorf("send a test event: %w", err)
	}
	return event.ID, nil
}

package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"paylane/shared/document"
	"paylane/shared/order"
)

// MaxEndpoints is how many endpoints a tenant has at most.
const MaxEndpoints = 10

// Secret is what an endpoint's requests are signed with: "whsec_" and 32 bytes in base64. It hides
// itself from logs and from everything that is printed.
type Secret string

// Format hides the secret, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Key is a secret, and until when it signs.
type Key struct {
	Secret Secret `json:"secret"`
	// Until is the zero time for the newest.
	Until time.Time `json:"until,omitzero"`
}

// Endpoint is where a tenant wants to hear of its orders.
type Endpoint struct {
	ID  string `json:"id"`
	URL string `json:"url"`
	// Events are the types that it asks for; empty asks for all.
	Events []EventType `json:"events,omitempty"`
	// Keys are the newest first.
	Keys      []Key     `json:"keys"`
	CreatedAt time.Time `json:"createdAt"`
	// DisabledAt is when it was disabled because nothing succeeded any more; the zero time if it
	// is not.
	DisabledAt time.Time `json:"disabledAt,omitzero"`
}

// Secrets returns those that sign now, the newest first.
func (e Endpoint) Secrets(now time.Time) []Secret {
	var secrets []Secret
	for _, k := range e.Keys {
		if k.Until.IsZero() || k.Until.After(now) {
			secrets = append(secrets, k.Secret)
		}
	}
	return secrets
}

// ValidID reports whether a text can be an endpoint's id: a UUID, as an order's is.
func ValidID(id string) bool { return order.ValidID(id) }

// registry is the document of a tenant's endpoints, oldest first.
type registry struct {
	document.Document
	endpoints []Endpoint
}

// RegistryKey is where a tenant's endpoints are. There is such a document from the first of them on.
func RegistryKey(tenant string) document.Key { return document.Key{Tenant: tenant, Name: "webhooks"} }

func readRegistry(ctx context.Context, s document.Store, tenant string) (registry, error) {
	d, err := s.Document(ctx, RegistryKey(tenant))
	r := registry{Document: d}
	if err == nil && d.Version > 0 {
		err = json.Unmarshal([]byte(d.Body), &r.endpoints)
	}
	if err != nil {
		return registry{}, fmt.Errorf("read the webhooks of a tenant: %w", err)
	}
	return r, nil
}

// changeRegistry writes the registry as change leaves its endpoints, and again if another write came
// between. An error of change's ends it.
func changeRegistry(ctx context.Context, s document.Store, tenant string, change func([]Endpoint) ([]Endpoint, error)) error {
	return retryConflict(func() error {
		r, err := readRegistry(ctx, s, tenant)
		if err != nil {
			return err
		}
		endpoints, err := change(r.endpoints)
		if err != nil {
			return err
		}
		body, err := encode(endpoints)
		if err != nil {
			return err
		}
		r.Version++
		r.Body = string(body)
		return s.PutDocument(ctx, r.Document)
	})
}

// find returns a tenant's endpoint by its id, and its place.
func find(endpoints []Endpoint, id string) (e Endpoint, i int, ok bool) {
	i = slices.IndexFunc(endpoints, func(e Endpoint) bool { return e.ID == id })
	if i < 0 {
		return Endpoint{}, 0, false
	}
	return endpoints[i], i, true
}

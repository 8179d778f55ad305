package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"paylane/shared/document"
)

const (
	// maxLog is how many successes, and how many failures, an endpoint's health has.
	maxLog = 10
	// DisableAfter is for how long nothing may succeed at an endpoint until it is disabled.
	DisableAfter = 5 * 24 * time.Hour
	// logEvery is how often successes are recorded: each is a write, and of one kind.
	logEvery = 10 * time.Second
	// slowAfter is how long an answer takes that marks an endpoint as slow, for slowFor.
	slowAfter = time.Second
	slowFor   = time.Minute
	// maxSlots is how many requests are under way at a time, over all functions, to an endpoint
	// that is slow or fails.
	maxSlots = 5
	// slotFor is how long a request holds its slot at most: it outlasts the request.
	slotFor = postTimeout + 5*time.Second
)

// Delivery is one try to deliver an event.
type Delivery struct {
	EventID string    `json:"eventId"`
	Type    EventType `json:"type"`
	OrderID string    `json:"orderId,omitempty"`
	At      time.Time `json:"at"`
	// Receives is how often the event's message had been received; it counts the tries, and the
	// waits between them.
	Receives int `json:"receives"`
	// Status is the answer's; 0 without an answer.
	Status int `json:"status,omitempty"`
	// Error says in a few words why there was no answer.
	Error string `json:"error,omitempty"`
	// Milliseconds is how long it took.
	Milliseconds int64 `json:"ms"`
}

// succeeded reports whether the endpoint took the event.
func (d Delivery) succeeded() bool { return d.Status >= 200 && d.Status <= 299 }

// Health is what is remembered of an endpoint's deliveries. Of successes in quick succession one
// is.
type Health struct {
	// Successes and Failures are the newest first.
	Successes []Delivery `json:"successes,omitempty"`
	Failures  []Delivery `json:"failures,omitempty"`
	// FailingSince is when the first of the failures was that no success has followed; the zero
	// time if the newest delivery succeeded.
	FailingSince time.Time `json:"failingSince,omitzero"`
	// SlowUntil is until when the endpoint counts as slow.
	SlowUntil time.Time `json:"slowUntil,omitzero"`
	// Slots are when the requests under way will have ended at the latest, if the endpoint is
	// slow or fails.
	Slots []time.Time `json:"slots,omitempty"`
}

// limited reports whether requests to the endpoint need a slot.
func (h Health) limited(now time.Time) bool {
	return !h.FailingSince.IsZero() || h.SlowUntil.After(now)
}

// taken returns the health with a slot taken; ok is false if there is none.
func (h Health) taken(now time.Time) (_ Health, slot time.Time, ok bool) {
	h.Slots = slices.DeleteFunc(slices.Clone(h.Slots), func(until time.Time) bool { return !until.After(now) })
	if len(h.Slots) >= maxSlots {
		return Health{}, time.Time{}, false
	}
	slot = now.Add(slotFor)
	for slices.Contains(h.Slots, slot) {
		slot = slot.Add(time.Nanosecond) // slots are told apart by it
	}
	h.Slots = append(h.Slots, slot)
	return h, slot, true
}

// recorded returns the health after a delivery, which gives its slot back; changed is false if
// nothing of that is worth a write.
func (h Health) recorded(d Delivery, took time.Duration, slot time.Time) (_ Health, changed bool) {
	if !slot.IsZero() {
		h.Slots, changed = slices.DeleteFunc(slices.Clone(h.Slots), slot.Equal), true
	}
	if took >= slowAfter && h.SlowUntil.Before(d.At.Add(slowFor/2)) {
		h.SlowUntil, changed = d.At.Add(slowFor), true
	}
	switch {
	case !d.succeeded():
		h.Failures, changed = logged(h.Failures, d), true
		if h.FailingSince.IsZero() {
			h.FailingSince = d.At
		}
	case !h.FailingSince.IsZero(), len(h.Successes) == 0, d.At.Sub(h.Successes[0].At) >= logEvery:
		h.Successes, h.FailingSince, changed = logged(h.Successes, d), time.Time{}, true
	}
	return h, changed
}

func logged(log []Delivery, d Delivery) []Delivery {
	log = append([]Delivery{d}, log...)
	return log[:min(len(log), maxLog)]
}

func healthKey(tenant, endpointID string) document.Key {
	return document.Key{Tenant: tenant, Name: "webhook." + endpointID}
}

func readHealth(ctx context.Context, s document.Store, tenant, endpointID string) (document.Document, Health, error) {
	d, err := s.Document(ctx, healthKey(tenant, endpointID))
	var h Health
	if err == nil && d.Version > 0 {
		err = json.Unmarshal([]byte(d.Body), &h)
	}
	if err != nil {
		return document.Document{}, Health{}, fmt.Errorf("read the health of a webhook: %w", err)
	}
	return d, h, nil
}

// changeHealth writes the health as change leaves it, if change says so.
func changeHealth(ctx context.Context, s document.Store, tenant, endpointID string, change func(Health) (Health, bool)) (h Health, err error) {
	err = retryConflict(func() error {
		d, before, err := readHealth(ctx, s, tenant, endpointID)
		if err != nil {
			return err
		}
		next, changed := change(before)
		if h = next; !changed {
			return nil
		}
		body, err := encode(next)
		if err != nil {
			return err
		}
		d.Version++
		d.Body = string(body)
		return s.PutDocument(ctx, d)
	})
	return h, err
}

// retryConflict calls write again if another write came between, a few times.
func retryConflict(write func() error) error {
	const most = 10
	for tries := 1; ; tries++ {
		err := write()
		if !errors.Is(err, document.ErrConflict) || tries == most {
			return err
		}
	}
}

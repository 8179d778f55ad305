package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"paylane/shared/document"
	"paylane/shared/job"
)

const (
	// postTimeout is how long an endpoint may take to answer.
	postTimeout = 10 * time.Second
	// MaxReceives is how often a message is received before it belongs in the dead-letter queue.
	// With the shortest of the waits between them they take 24 hours.
	MaxReceives = 24
	// firstWait and longestWait bound the exponential waits.
	firstWait   = 5 * time.Second
	longestWait = 4 * time.Hour
	// maxRetryAfter is how long an endpoint may ask to be left alone: SQS hides a message for 12
	// hours at most.
	maxRetryAfter = 11 * time.Hour
	// orderedFor is how long an event waits for the one of the same order before it.
	orderedFor = time.Hour
	// sentFor is how long it is remembered which events of an order an endpoint has: past any
	// redelivery.
	sentFor = 30 * 24 * time.Hour
	// placeWait is how long a request waits for others of this process to the same endpoint.
	placeWait = 2 * time.Second
)

// Results of deliveries, for the log.
const (
	resultDelivered = "delivered"
	resultAgain     = "refused"   // the endpoint did not take it; it comes back
	resultRepeated  = "repeated"  // the endpoint has it
	resultWaits     = "waits"     // for the event of the same order before it
	resultBusy      = "busy"      // enough is under way to this endpoint
	resultDeleted   = "deleted"   // there is no such endpoint any more
	resultDisabled  = "disabled"  // the endpoint is disabled
	resultForbidden = "forbidden" // requests to the endpoint's address are not made
)

// Answer is what an endpoint answered.
type Answer struct {
	Status int
	// RetryAfter is how long it asks to be left alone; 0 if it does not.
	RetryAfter time.Duration
}

// Poster makes requests. Post returns the answer, or an error without one; [ErrForbidden] wrapped
// in it says that the request may not be made at all.
type Poster interface {
	Post(ctx context.Context, url string, header map[string]string, body []byte) (Answer, error)
}

// ErrForbidden reports that requests do not go where a URL leads.
var ErrForbidden = errors.New("requests may not go to this address")

// errUnsigned reports that a secret is not one.
var errUnsigned = errors.New("sign an event: a secret of the webhook is garbled")

// WorkerConfig is what [Worker] needs. All fields are required.
type WorkerConfig struct {
	Documents document.Store
	Poster    Poster
	Now       func() time.Time
	// Jitter returns a number from 0 to n-1, for n > 0.
	Jitter func(n int) int
}

// Worker delivers events. It is a job.Worker on the queue of webhooks.
//
// An event that is not the first of its order is held back until the one before has been
// delivered, or an hour has passed since it happened. An endpoint that is slow or fails gets at
// most 5 requests at a time, whatever waits for it: what finds none of these slots free comes back
// later, so that it never holds up what other endpoints wait for. An endpoint that is neither gets
// at most 5 at a time from each process.
type Worker struct {
	WorkerConfig

	mu    sync.Mutex
	posts map[string]chan struct{} // by endpoint: the requests of this process under way
}

// NewWorker returns a Worker.
func NewWorker(c WorkerConfig) *Worker {
	return &Worker{WorkerConfig: c, posts: make(map[string]chan struct{})}
}

// Handle implements job.Worker.
func (w *Worker) Handle(ctx context.Context, d job.Delivery) job.Verdict {
	m, err := ParseMessage(d.Body)
	if err != nil {
		return job.Verdict{Next: job.Again, After: firstWait, Result: job.ResultPoison, Err: err}
	}
	v := w.deliver(ctx, m, d.ReceiveCount)
	v.Attrs = append(v.Attrs, slog.String("tenant", m.Tenant), slog.String("webhook_id", m.EndpointID),
		slog.String("event_id", m.Event.ID), slog.String("event", string(m.Event.Type)))
	if m.OrderID != "" {
		v.Attrs = append(v.Attrs, slog.String("order_id", m.OrderID))
	}
	return v
}

func (w *Worker) deliver(ctx context.Context, m Message, receives int) job.Verdict {
	again := job.Verdict{Next: job.Again, After: backoff(receives, w.Jitter), Result: job.ResultError}
	failed := func(err error) job.Verdict { again.Err = err; return again }
	waits := func(result string) job.Verdict { again.Result = result; return again }
	done := func(result string) job.Verdict { return job.Verdict{Next: job.Done, Result: result} }

	r, err := readRegistry(ctx, w.Documents, m.Tenant)
	if err != nil {
		return failed(err)
	}
	endpoint, _, ok := find(r.endpoints, m.EndpointID)
	switch {
	case !ok:
		return done(resultDeleted)
	case !endpoint.DisabledAt.IsZero() && m.Event.Type != Test:
		return done(resultDisabled)
	}
	order, err := w.readSent(ctx, m)
	switch {
	case err != nil:
		return failed(err)
	case order.has(m.Event) && !m.Again:
		return done(resultRepeated)
	case w.early(m, endpoint, order):
		return waits(resultWaits)
	}
	leave, ok := w.enter(ctx, m.EndpointID)
	if !ok {
		return waits(resultBusy)
	}
	defer leave()
	slot, ok, err := w.takeSlot(ctx, m)
	switch {
	case err != nil:
		return failed(err)
	case !ok:
		return waits(resultBusy)
	}
	answer, delivery, err := w.post(ctx, endpoint, m, receives)
	again.Attrs = []slog.Attr{slog.Int("status", answer.Status), slog.Int64("ms", delivery.Milliseconds)}
	if recorded := w.record(ctx, m, endpoint, delivery, slot); recorded != nil {
		// What was done is done: only what is shown of it is missing.
		again.Attrs = append(again.Attrs, slog.Any("unrecorded", recorded))
	}
	switch {
	case delivery.succeeded():
		// If this fails the event goes out once more.
		if err := w.writeSent(ctx, m, order); err != nil {
			return failed(err)
		}
		return job.Verdict{Next: job.Done, Result: resultDelivered, Attrs: again.Attrs}
	case errors.Is(err, errUnsigned):
		return failed(err)
	case errors.Is(err, ErrForbidden):
		again.Result = resultForbidden
	default:
		again.Result = resultAgain
		again.After = max(again.After, min(answer.RetryAfter, maxRetryAfter))
	}
	again.Attrs = append(again.Attrs, slog.String("reason", delivery.Error))
	return again
}

// backoff returns how long a message rests after its n-th receive: exponential from 5 seconds to 4
// hours, of which at least half ("equal jitter"; "Exponential Backoff And Jitter", AWS
// Architecture Blog).
func backoff(receives int, jitter func(n int) int) time.Duration {
	const doublings = 12 // 5 s x 2^12 is past longestWait
	ceiling := min(firstWait<<min(max(receives-1, 0), doublings), longestWait)
	half := ceiling / 2
	return half + time.Duration(jitter(int(half/time.Millisecond)))*time.Millisecond
}

// enter waits for a place among this process's requests to an endpoint.
func (w *Worker) enter(ctx context.Context, endpointID string) (leave func(), ok bool) {
	w.mu.Lock()
	places := w.posts[endpointID]
	if places == nil {
		places = make(chan struct{}, maxSlots)
		w.posts[endpointID] = places
	}
	w.mu.Unlock()
	timer := time.NewTimer(placeWait)
	defer timer.Stop()
	select {
	case places <- struct{}{}:
		return func() { <-places }, true
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, false
}

// takeSlot takes a slot if the endpoint needs one; a zero slot is none. It returns false if all are
// taken.
func (w *Worker) takeSlot(ctx context.Context, m Message) (slot time.Time, ok bool, err error) {
	ok = true
	_, err = changeHealth(ctx, w.Documents, m.Tenant, m.EndpointID, func(h Health) (Health, bool) {
		now := w.Now().UTC()
		if slot, ok = (time.Time{}), true; !h.limited(now) {
			return h, false
		}
		var next Health
		next, slot, ok = h.taken(now)
		return next, ok
	})
	if errors.Is(err, document.ErrConflict) {
		return time.Time{}, false, nil // many are after the few slots
	}
	return slot, ok, err
}

// post makes the request.
func (w *Worker) post(ctx context.Context, endpoint Endpoint, m Message, receives int) (Answer, Delivery, error) {
	began := w.Now().UTC()
	d := Delivery{EventID: m.Event.ID, Type: m.Event.Type, OrderID: m.OrderID, At: began.Truncate(time.Millisecond), Receives: receives}
	body, err := m.Event.Body()
	var signature string
	if err == nil {
		signature, err = sign(endpoint.Secrets(began), m.Event.ID, began, body)
	}
	if err != nil {
		d.Error = "could not be signed"
		return Answer{}, d, err
	}
	ctx, cancel := context.WithTimeout(ctx, w.patience(ctx))
	defer cancel()
	answer, err := w.Poster.Post(ctx, endpoint.URL, map[string]string{
		"Content-Type": "application/json", "User-Agent": "paylane-webhooks/1",
		standardwebhooks.HeaderWebhookID: m.Event.ID, standardwebhooks.HeaderWebhookTimestamp: strconv.FormatInt(began.Unix(), 10),
		standardwebhooks.HeaderWebhookSignature: signature,
	}, body)
	d.Milliseconds, d.Status = w.Now().Sub(began).Milliseconds(), answer.Status
	switch {
	case err == nil:
	case errors.Is(err, ErrForbidden):
		d.Error = "the address is not one that webhooks go to"
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		d.Error = "no answer in time"
	default:
		d.Error = "no connection, or it broke"
	}
	return answer, d, err
}

// patience returns how long a request may take: what comes of it must still be written in the
// time of this invocation.
func (w *Worker) patience(ctx context.Context) time.Duration {
	const reserve = time.Second
	if deadline, ok := ctx.Deadline(); ok {
		return min(postTimeout, deadline.Sub(w.Now())-reserve)
	}
	return postTimeout
}

// sign returns the header of the signatures by all secrets.
func sign(secrets []Secret, id string, at time.Time, body []byte) (string, error) {
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		key, err := standardwebhooks.NewWebhook(string(secret))
		if err == nil {
			signatures[i], err = key.Sign(id, at, body)
		}
		if err != nil {
			return "", errUnsigned // and not what that error repeats
		}
	}
	return strings.Join(signatures, " "), nil
}

// record notes a delivery in the endpoint's health, and disables the endpoint, or enables it again,
// if it comes to that.
func (w *Worker) record(ctx context.Context, m Message, endpoint Endpoint, d Delivery, slot time.Time) error {
	h, err := changeHealth(ctx, w.Documents, m.Tenant, m.EndpointID, func(h Health) (Health, bool) {
		return h.recorded(d, time.Duration(d.Milliseconds)*time.Millisecond, slot)
	})
	if err != nil {
		return err
	}
	disabled := !endpoint.DisabledAt.IsZero()
	disable := !d.succeeded() && d.At.Sub(h.FailingSince) >= DisableAfter
	enable := d.succeeded() && m.Event.Type == Test
	if disable == disabled || !disable && !enable {
		return nil
	}
	return changeRegistry(ctx, w.Documents, m.Tenant, func(all []Endpoint) ([]Endpoint, error) {
		if e, i, ok := find(all, m.EndpointID); ok {
			e.DisabledAt = time.Time{}
			if disable {
				e.DisabledAt = d.At
			}
			all[i] = e
		}
		return all, nil
	})
}

// sent says which events of an order an endpoint has.
type sent struct {
	document.Document
	number int // of the newest
	// overtaken are those before it that the endpoint does not have, since the newest waited long
	// enough for them.
	overtaken []int
}

// maxOvertaken bounds what is remembered; the oldest are forgotten first, and then dropped.
const maxOvertaken = 100

// overtakenJSON is the body of a document with such events; it is a plain number otherwise.
type overtakenJSON struct {
	Number    int   `json:"number"`
	Overtaken []int `json:"overtaken"`
}

// has reports whether an event of an order is one of them.
func (s sent) has(e Event) bool {
	return e.Number > 0 && s.number >= e.Number && !slices.Contains(s.overtaken, e.Number)
}

// with returns what the endpoint has once it has another event.
func (s sent) with(number int) sent {
	s.overtaken = slices.Clone(s.overtaken)
	for n := s.number + 1; n < number; n++ {
		s.overtaken = append(s.overtaken, n)
	}
	s.overtaken = slices.DeleteFunc(s.overtaken, func(n int) bool { return n == number })
	s.overtaken = s.overtaken[max(0, len(s.overtaken)-maxOvertaken):]
	s.number = max(s.number, number)
	return s
}

// body returns the document's body.
func (s sent) body() (string, error) {
	if len(s.overtaken) == 0 {
		return strconv.Itoa(s.number), nil
	}
	body, err := json.Marshal(overtakenJSON{s.number, s.overtaken})
	return string(body), err
}

func (w *Worker) readSent(ctx context.Context, m Message) (sent, error) {
	if m.Event.Number == 0 {
		return sent{}, nil
	}
	return readSent(ctx, w.Documents, m.Tenant, m.EndpointID, m.OrderID)
}

func readSent(ctx context.Context, documents document.Store, tenant, endpointID, orderID string) (sent, error) {
	d, err := documents.Document(ctx, document.Key{Tenant: tenant, Name: "sent." + endpointID + "." + orderID})
	s := sent{Document: d}
	if err == nil && d.Version > 0 {
		err = s.parse(d.Body)
	}
	if err != nil {
		return sent{}, fmt.Errorf("read which events of an order were sent: %w", err)
	}
	return s, nil
}

func (s *sent) parse(body string) (err error) {
	if s.number, err = strconv.Atoi(body); err == nil {
		return nil
	}
	var with overtakenJSON
	err = json.Unmarshal([]byte(body), &with)
	s.number, s.overtaken = with.Number, with.Overtaken
	return err
}

// writeSent notes that the endpoint has the message's event.
func (w *Worker) writeSent(ctx context.Context, m Message, s sent) error {
	if m.Event.Number == 0 || s.has(m.Event) {
		return nil
	}
	err := retryConflict(func() error {
		next := s.with(m.Event.Number)
		body, err := next.body()
		if err != nil {
			return err
		}
		next.Version++
		next.Body, next.ExpiresAt = body, w.Now().Add(sentFor).UTC().Truncate(time.Second)
		err = w.Documents.PutDocument(ctx, next.Document)
		if errors.Is(err, document.ErrConflict) {
			var current sent
			if current, err = w.readSent(ctx, m); err != nil || current.has(m.Event) {
				return err
			}
			s = current
			return document.ErrConflict
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("note that an event was sent: %w", err)
	}
	return nil
}

// early reports whether the event before this one is still on its way to the endpoint.
func (w *Worker) early(m Message, e Endpoint, s sent) bool {
	before := m.Event.Before
	return before.Type != "" && s.number < m.Event.Number-1 && wants(e.Events, before.Type) &&
		!e.CreatedAt.After(before.At) && w.Now().Sub(m.Event.At) < orderedFor
}

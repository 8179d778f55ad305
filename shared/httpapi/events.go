package httpapi

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// EventsConfig is what [NewEvents] needs. All fields but Lifetime are required.
type EventsConfig struct {
	// Orders is where orders are followed.
	Orders pipeline.Reader
	// Authenticate verifies who sent the request. Its error is a [*Problem], such as
	// [Refusal] returns, or one of a use case.
	Authenticate func(*http.Request) (Identity, error)
	// Lifetime bounds how long a stream lasts; 0 means five minutes. A stream always ends in
	// good time before its request's deadline.
	Lifetime time.Duration
	Log      *slog.Logger
}

// Identity is what was verified about the sender of a request.
type Identity struct {
	// Tenant is the tenant that the access token names, or "*" for an operator over all.
	Tenant string
	// Operator reports whether the token's scopes include orders/operate.
	Operator bool
	// Expires is when the token expires, which ends the stream; zero means never.
	Expires time.Time
}

// lastEventIDParameter is where an EventSource in a library, such as event-source-polyfill,
// sends its Last-Event-ID.
const lastEventIDParameter = "lastEventId"

type events struct {
	EventsConfig

	open *openRequests
}

// NewEvents returns the handler of GET /orders/{id}/events, which sends an order's changes
// as Server-Sent Events as they happen.
//
// A client gets the order as it is, then each newer version:
//
//	retry: 1000
//
//	event: order
//	id: 2
//	data: {"id":"…","status":"PROCESSING", …, "version":2, …}
//
// The data is what GET /orders/{id} answers, and the id is its version. No version comes
// twice and none out of order; see [pipeline.Reader.Follow]. A comment every 15 seconds
// shows a client that its connection is alive. This side notices a client that has gone
// only by a write that fails: behind a real Function URL none does, and the stream lasts
// until its end.
//
// The stream ends when the order does. It also ends after five minutes, so that a client that has
// gone does not hold an execution for long, and when the access token expires. A client that
// is still there reconnects, and its Last-Event-ID is the version it has; if that is the
// order's end, the answer is 204, on which an EventSource stops reconnecting.
func NewEvents(c EventsConfig) http.Handler {
	c.Lifetime = cmp.Or(c.Lifetime, 5*time.Minute)
	return recoverer(c.Log, http.HandlerFunc(events{c, new(openRequests)}.route))
}

// route is a mux of one path: an http.ServeMux would make the stream function 30 KB larger.
func (e events) route(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/orders/")
	id, ok2 := strings.CutSuffix(rest, "/events")
	switch {
	case !ok || !ok2 || id == "" || strings.Contains(id, "/"):
		writeProblem(w, plain(http.StatusNotFound, "Not found. This address serves only /orders/{id}/events."))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		writeProblem(w, methodNotAllowed(http.MethodGet, http.MethodHead))
	default:
		r.SetPathValue("id", strings.ToLower(id)) // a UUID is the same in any case
		e.serve(w, r)
	}
}

func (e events) serve(w http.ResponseWriter, r *http.Request) {
	identity, err := e.Authenticate(r)
	if err != nil {
		writeProblem(w, report(r.Context(), e.Log, err))
		return
	}
	caller, refusal := callerBy(identity.Tenant, identity.Operator, r.URL, []string{lastEventIDParameter, "tenant"})
	if refusal != nil {
		writeProblem(w, refusal)
		return
	}
	leave, ok := e.open.enter(caller.tenant)
	if !ok {
		writeProblem(w, tooManyOpen())
		return
	}
	defer leave()
	ctx, cancel := context.WithTimeoutCause(r.Context(), e.lifetime(r.Context(), identity.Expires), order.ErrUnavailable)
	defer cancel()
	lastEventID := cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get(lastEventIDParameter))
	ref := order.Ref{Tenant: caller.tenant, ID: r.PathValue("id")}
	var out *eventWriter // once the answer has begun
	last := int64(noVersion)
	for o, err := range e.Orders.Follow(ctx, ref) {
		switch {
		case err != nil && out == nil:
			writeProblem(w, report(ctx, e.Log, err))
			return
		case errors.Is(err, order.ErrUnavailable):
			e.Log.WarnContext(ctx, "a stream waits for the store", "order", ref.ID, "error", err)
			continue
		case err != nil:
			e.Log.ErrorContext(ctx, "a stream failed", "order", ref.ID, "error", err)
			return
		case out == nil:
			last = lastSeen(lastEventID, o)
			if !begin(w, r, last == o.Version && o.Status.End()) {
				return
			}
			out = newEventWriter(w, cancel)
			defer out.close()
			if out.write(retryHint) != nil {
				return
			}
		}
		if o.Version > last && out.order(o) != nil {
			return // the client has gone
		}
	}
	if out == nil { // the stream's time was over before the order was read
		writeProblem(w, report(ctx, e.Log, context.Cause(ctx)))
	}
}

// begin writes the head of the answer. It reports whether events follow.
func begin(w http.ResponseWriter, r *http.Request, seenTheEnd bool) bool {
	header := w.Header()
	header.Set("Cache-Control", noStore)
	if seenTheEnd {
		w.WriteHeader(http.StatusNoContent)
		return false
	}
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would hold the events back
	w.WriteHeader(http.StatusOK)
	return r.Method != http.MethodHead
}

// noVersion is a version that no order has.
const noVersion = 0

// lastSeen parses Last-Event-ID. It returns noVersion if the id is malformed or newer
// than the order.
func lastSeen(lastEventID string, o order.Order) int64 {
	version, err := strconv.ParseInt(lastEventID, 10, 64)
	if err != nil || version > o.Version || strconv.FormatInt(version, 10) != lastEventID {
		return noVersion
	}
	return max(version, noVersion)
}

// margin is how long before the request's deadline a stream ends: enough for what is under
// way.
const margin = 10 * time.Second

func (e events) lifetime(ctx context.Context, expires time.Time) time.Duration {
	lifetime := e.Lifetime
	if !expires.IsZero() {
		lifetime = min(lifetime, time.Until(expires))
	}
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		lifetime = min(lifetime, max(left-margin, left/2))
	}
	return lifetime
}

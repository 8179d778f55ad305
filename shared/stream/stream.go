package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"paylane/shared/httpapi"
	"paylane/shared/order"
)

// Config is what [New] needs. All fields but Lifetime are required.
type Config struct {
	// Store is asked for one order, again and again; one that is an [order.Watcher] only
	// when the order changed.
	Store Store
	// Tenant names the caller's tenant from what it verifies about the request, and when
	// that expires, which ends the stream; zero is never. The error is a [*Refusal], or
	// else one that is answered as [httpapi.WriteError] has it; what that does not know is
	// logged.
	Tenant func(*http.Request) (tenant string, expires time.Time, err error)
	// Lifetime is how long a stream lasts at the most; 0 is 14 minutes. It ends in good
	// time before the request's deadline in any case.
	Lifetime time.Duration
	Log      *slog.Logger
}

// Store is the part of [order.Store] that a stream needs.
type Store interface {
	Get(ctx context.Context, ref order.Ref) (order.Order, error)
}

// Refusal says that a caller gets nothing.
type Refusal struct {
	// Status is 401 or 403.
	Status int
	// Challenge is the value of WWW-Authenticate; empty is none.
	Challenge string
	// Detail tells the caller why.
	Detail string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d: %s", r.Status, r.Detail) }

type handler struct{ Config }

// New makes the handler.
func New(c Config) http.Handler {
	c.Lifetime = cmp.Or(c.Lifetime, 14*time.Minute)
	return &handler{c}
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	begun := false
	// Behind a Function URL a panic would end the process, and every stream in it.
	defer func() {
		if p := recover(); p != nil {
			h.Log.ErrorContext(ctx, "panic in a stream", "panic", p, "stack", string(debug.Stack()))
			if !begun {
				httpapi.WriteStatus(w, http.StatusInternalServerError, "")
			}
		}
	}()
	id, ok := OrderID(r.URL.Path)
	if !ok {
		httpapi.WriteStatus(w, http.StatusNotFound, "There is nothing at this path; here is /orders/{id}/events only.")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		httpapi.WriteStatus(w, http.StatusMethodNotAllowed, "This path has GET, HEAD.")
		return
	}
	tenant, expires, err := h.Tenant(r)
	if err != nil {
		h.refuse(ctx, w, err)
		return
	}
	f := h.follow(order.Ref{Tenant: tenant, ID: id})
	defer f.stop()
	o, err := f.get(ctx)
	if err != nil {
		h.fail(ctx, w, err)
		return
	}
	last := lastSeen(r.Header.Get("Last-Event-ID"), o)
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	if last == o.Version && o.Status.End() {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would hold it back
	begun = true
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, h.lifetime(ctx, expires))
	defer cancel()
	if err := f.send(ctx, newWriter(w), o, last); err != nil {
		h.Log.ErrorContext(ctx, "a stream failed", "order", id, "error", err)
	}
}

// OrderID takes the id out of a path that events are at; it need not be one of an order.
func OrderID(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "/orders/")
	id, ok2 := strings.CutSuffix(rest, "/events")
	return id, ok && ok2 && id != "" && !strings.Contains(id, "/")
}

// nothing is a version that no order has.
const nothing = 0

// lastSeen is the version that the client has by what it says; nothing where that can't
// be: malformed, or ahead of the order.
func lastSeen(lastEventID string, o order.Order) int64 {
	version, err := strconv.ParseInt(lastEventID, 10, 64)
	if err != nil || version > o.Version || strconv.FormatInt(version, 10) != lastEventID {
		return nothing
	}
	return max(version, nothing)
}

// margin is how long before a deadline a stream ends: enough for what is under way.
const margin = 10 * time.Second

func (h *handler) lifetime(ctx context.Context, expires time.Time) time.Duration {
	lifetime := h.Lifetime
	if !expires.IsZero() {
		lifetime = min(lifetime, time.Until(expires))
	}
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		lifetime = min(lifetime, max(left-margin, left/2))
	}
	return lifetime
}

func (h *handler) refuse(ctx context.Context, w http.ResponseWriter, err error) {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		h.fail(ctx, w, err)
		return
	}
	if refusal.Challenge != "" {
		w.Header().Set("WWW-Authenticate", refusal.Challenge)
	}
	httpapi.WriteStatus(w, refusal.Status, refusal.Detail)
}

func (h *handler) fail(ctx context.Context, w http.ResponseWriter, err error) {
	if known := httpapi.WriteError(w, err); !known && ctx.Err() == nil {
		h.Log.ErrorContext(ctx, "request failed", "error", err)
	}
}

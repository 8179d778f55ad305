package functionurl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/internal/payload"
	"paylane/shared/emulator/template"
)

// Options are what a [URL] needs besides the template's settings.
type Options struct {
	// Invoker runs the function. For a URL that streams it must also be an
	// [emulator.Streamer].
	Invoker emulator.Invoker
	// WriteTimeout is how long the client may take to read a response, or a chunk of a
	// stream; 0 is a minute. It starts with the writing, unlike the server's own timeout,
	// which it replaces: a function may take 15 minutes.
	WriteTimeout time.Duration
	// Logger records why a response failed, if the invoker has not logged it; nil
	// discards it.
	Logger *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Random is the source of ids and must not fail; nil is crypto/rand.
	Random io.Reader
}

// URL serves one function URL. It is safe for concurrent use.
//
// A stream also ends with the request's context, so that a server that shuts down can end
// the open ones.
type URL struct {
	url     template.FunctionURL
	options Options
	stream  emulator.Streamer // nil if the invoke mode is BUFFERED
	rules   payload.Rules
	bodies  *payload.Bodies
}

// New returns the handler of a function's URL.
func New(url template.FunctionURL, o Options) (*URL, error) {
	o.WriteTimeout = cmp.Or(o.WriteTimeout, time.Minute)
	o.Logger = aws.DefaultLogger(o.Logger)
	o.Now = aws.DefaultNow(o.Now)
	o.Random = aws.DefaultRandom(o.Random)
	u := &URL{url: url, options: o, bodies: payload.NewBodies(emulator.MaxPayloadBytes), rules: payload.Rules{
		CORS: payload.NewCORS(url.CORS), ContentType: "application/json", TextStatus: true,
		Owned: []string{"content-length", "date", "x-amzn-requestid"},
	}}
	if url.Stream {
		stream, ok := o.Invoker.(emulator.Streamer)
		if !ok {
			return nil, fmt.Errorf("function URL %s: the function's invoker can't stream", url.LogicalID)
		}
		u.stream = stream
	}
	return u, nil
}

// ServeHTTP implements [http.Handler]. The request's path is the one in the event.
func (u *URL) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := aws.UUID(u.options.Random)
	w.Header()["X-Amzn-Requestid"] = []string{requestID}
	preflight := u.rules.CORS.IsPreflight(r)
	u.rules.CORS.Allow(w.Header(), r, preflight)
	if preflight {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body, failed := u.bodies.Read(w, r)
	if failed != 0 {
		fail(w, failed)
		return
	}
	event := u.newEvent(r, body, requestID)
	encoded, err := event.JSON()
	if err != nil || len(encoded) > emulator.MaxPayloadBytes {
		fail(w, http.StatusRequestEntityTooLarge)
		return
	}
	invocation := emulator.Invocation{RequestID: requestID, TraceID: event.Headers["x-amzn-trace-id"], Event: event}
	if u.stream != nil {
		u.serveStream(w, r, invocation)
		return
	}
	invocation.Caller = r.Context()
	ctx := context.WithoutCancel(r.Context()) // the function outlives the client
	result, err := u.options.Invoker.Invoke(ctx, invocation)
	u.extend(http.NewResponseController(w))
	if err != nil {
		u.failed(ctx, w, err)
		return
	}
	reply, err := u.rules.Reply(result)
	if err != nil {
		u.failed(ctx, w, err)
		return
	}
	u.rules.SetHeaders(w.Header(), reply)
	payload.WriteBody(w, reply.Status, reply.Body)
}

// extend gives the client time to read what is written next. A writer without a
// connection has no deadlines, and needs none.
func (u *URL) extend(connection *http.ResponseController) {
	_ = connection.SetWriteDeadline(time.Now().Add(u.options.WriteTimeout)) //nolint:forbidigo // deadlines are the system clock's
}

// failed answers a request whose invocation has no result.
func (u *URL) failed(ctx context.Context, w http.ResponseWriter, err error) {
	var function *emulator.FunctionError
	switch {
	case errors.Is(err, emulator.ErrThrottled):
		fail(w, http.StatusTooManyRequests)
		return
	case errors.As(err, &function), ctx.Err() != nil:
	default:
		u.options.Logger.ErrorContext(ctx, "function URL request failed", "url", u.url.LogicalID, "error", err)
	}
	fail(w, http.StatusBadGateway)
}

func answer(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	payload.WriteBody(w, status, body)
}

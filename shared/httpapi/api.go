package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"paylane/shared/gateway"
	"paylane/shared/pipeline"
	"paylane/shared/webhook"
)

// Config is what [New] needs. All fields but EventsURL and Caller are required.
type Config struct {
	Checkout *pipeline.Checkout
	Webhooks *webhook.Endpoints
	// Tokens describes the payment tokens of the gateway in use, for the document.
	Tokens gateway.TokenDescription
	// Tenant names the caller's tenant from what was verified about the request, or
	// "*" for an operator over all of them. It returns false if nothing names one; the
	// caller then gets a 403.
	Tenant func(context.Context) (string, bool)
	// Operator reports whether the caller's verified scopes include orders/operate. Only
	// then may the tenant be "*".
	Operator func(context.Context) bool
	// EventsURL is the origin that serves GET /orders/{id}/events; empty if it is this
	// handler's own.
	EventsURL string
	// Caller returns a context that ends with the request's, or once its caller has left;
	// nil is [context.WithCancel].
	Caller func(context.Context) (context.Context, context.CancelFunc)
	Log    *slog.Logger
}

type api struct {
	Config

	waiting openRequests
}

// New returns the handler of the API, except for the events of [NewEvents].
func New(c Config) http.Handler {
	c.EventsURL = strings.TrimRight(c.EventsURL, "/")
	if c.Caller == nil {
		c.Caller = context.WithCancel
	}
	mux := http.NewServeMux()
	(&api{Config: c}).register(humago.New(mux, humaConfig()))
	openRoutes(mux, c.Tokens)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { writeProblem(w, noRoute(mux, r)) })
	return recoverer(c.Log, cleanPaths(mux))
}

// init has huma refuse "Amount" as the unknown field that it is. The library has only this
// switch for it, one for the whole process.
//
//nolint:gochecknoinits // set before any request can read it
func init() { huma.ValidateStrictCasing = true }

// humaConfig configures huma with JSON only, this package's problems, and nothing added
// to bodies.
func humaConfig() huma.Config {
	json := huma.Format{Marshal: writeJSON, Unmarshal: json.Unmarshal}
	schemas := huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "Body")
	})
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:    "3.1.0",
			Info:       &huma.Info{Title: "paylane", Version: "1"},
			Components: &huma.Components{Schemas: schemas},
		},
		// "json" is every type that ends in +json, such as that of problems.
		Formats:       map[string]huma.Format{"application/json": json, "json": json},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{toProblem},
	}
}

// register adds the routes of orders and webhooks, each behind authorize.
func (a *api) register(h huma.API) {
	route := func(id, method, path, summary string, status int) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: path, Summary: summary,
			DefaultStatus: status, Middlewares: huma.Middlewares{a.authorize, refuseCardKeys, refuseCodings},
		}
	}
	huma.Register(h, withBody(h, route("create-order", http.MethodPost, "/orders", "Place an order", http.StatusCreated)), a.create)
	huma.Register(h, route("list-orders", http.MethodGet, "/orders", "List orders", http.StatusOK), a.list)
	huma.Register(h, route("get-order", http.MethodGet, "/orders/{id}", "Get an order, or wait for it", http.StatusOK), a.get)
	huma.Register(h, route("cancel-order", http.MethodPost, "/orders/{id}/cancel", "Cancel a PENDING order", http.StatusOK), a.cancel)
	huma.Register(h, withBody(h, route("refund-order", http.MethodPost, "/orders/{id}/refund", "Refund a PAID order, or a part", http.StatusAccepted)), a.refund)
	huma.Register(h, withBody(h, route("pay-order", http.MethodPost, "/orders/{id}/pay", "Pay a FAILED order with another token", http.StatusAccepted)), a.pay)
	huma.Register(h, route("retry-order", http.MethodPost, "/orders/{id}/retry", "Retry a FAILED order", http.StatusAccepted), a.retry)
	huma.Register(h, route("erase-order", http.MethodPost, "/orders/{id}/erase", "Erase what is personal in an order that has ended", http.StatusOK), a.erase)
	a.registerWebhooks(h, route)
}

// openRoutes adds the routes that need no access token.
func openRoutes(mux *http.ServeMux, tokens gateway.TokenDescription) {
	open := func(pattern string, serve http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if p := checkQuery(r.URL.RawQuery); p != nil {
				writeProblem(w, p)
				return
			}
			serve(w, r)
		})
	}
	open("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"ok"}`+"\n")
	})
	open("GET /openapi.json", serveDocument(tokens))
	open("GET /docs", servePage(tokens))
}

// refuseCodings refuses a body with a content coding, such as gzip: none is decoded here.
func refuseCodings(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	codings := strings.Join(r.Header.Values("Content-Encoding"), ",")
	for coding := range strings.SplitSeq(codings, ",") {
		if coding = strings.Trim(coding, blanks); coding != "" && !strings.EqualFold(coding, "identity") {
			writeProblem(w, contentCoding())
			return
		}
	}
	next(ctx)
}

// refuseCardKeys refuses a card number in the idempotency key, from which an order's id is
// derived. [checkQuery] and [withBody] do the same for the rest; no other part of a request
// is stored or logged, nor is a path that is not an order's id.
func refuseCardKeys(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if holdsCard(strings.Join(r.Header.Values("Idempotency-Key"), " ")) {
		writeProblem(w, cardNumber(cardDetail("header.Idempotency-Key")))
		return
	}
	next(ctx)
}

// cleanPaths answers a path with empty or dot segments as what it is, one that does not
// exist; the mux would redirect it.
func cleanPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			writeProblem(w, notThere())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// noRoute distinguishes a path that does not exist from one that has other methods.
func noRoute(mux *http.ServeMux, r *http.Request) *Problem {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		if _, pattern := mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host}); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return notThere()
	}
	return methodNotAllowed(allowed...)
}

// recoverer answers a panic with a 500, unless the answer has begun, and logs it. Behind a
// Function URL a panic would otherwise end the process, with every stream in it.
func recoverer(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, out := r.Context(), &trackingWriter{ResponseWriter: w}
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				log.ErrorContext(ctx, "panic in a request",
					"method", r.Method, "panic", p, "stack", string(debug.Stack()))
				if !out.begun {
					writeProblem(w, plain(http.StatusInternalServerError, ""))
				}
			}
		}()
		next.ServeHTTP(out, r)
	})
}

// trackingWriter notes whether the answer has begun.
type trackingWriter struct {
	http.ResponseWriter

	begun bool
}

func (t *trackingWriter) WriteHeader(status int) {
	t.begun = true
	t.ResponseWriter.WriteHeader(status)
}

func (t *trackingWriter) Write(p []byte) (int, error) {
	t.begun = true
	return t.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (t *trackingWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }

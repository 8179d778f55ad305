package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"paylane/shared/pipeline"
)

// maxBody is how large a request's body may be, in bytes.
const maxBody = 64 << 10

// Config is what [New] needs. All fields but EventsURL are required.
type Config struct {
	Checkout *pipeline.Checkout
	// Tenant names the caller's tenant from what was verified about the request, or
	// "*" for an operator over all of them. It is false where nothing names one; the
	// caller then gets a 403.
	Tenant func(context.Context) (string, bool)
	// Operator tells whether the caller's verified scopes include orders/operate. Only
	// then may the tenant be "*".
	Operator func(context.Context) bool
	// EventsURL is the origin that serves GET /orders/{id}/events; empty if it is this
	// handler's own.
	EventsURL string
	Log       *slog.Logger
}

type api struct {
	checkout  *pipeline.Checkout
	tenant    func(context.Context) (string, bool)
	operator  func(context.Context) bool
	eventsURL string
	log       *slog.Logger
}

// New makes the handler of the whole API.
func New(c Config) http.Handler {
	a := &api{
		checkout: c.Checkout, tenant: c.Tenant, operator: c.Operator,
		eventsURL: strings.TrimRight(c.EventsURL, "/"), log: c.Log,
	}
	mux := http.NewServeMux()
	a.register(humago.New(mux, humaConfig()))
	openRoutes(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { noRoute(mux, w, r) })
	return recoverer(cleanPaths(mux), a.log, debug.Stack)
}

// init makes huma take "Amount" for what it is, an unknown field. The library has only
// this switch for it, one for the whole process.
//
//nolint:gochecknoinits // set before any request can read it
func init() { huma.ValidateStrictCasing = true }

// humaConfig is huma with JSON only, our problems, and nothing added to bodies.
func humaConfig() huma.Config {
	json := huma.Format{Marshal: writeJSON, Unmarshal: readJSON}
	schemas := huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "Body")
	})
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:    "3.1.0",
			Info:       &huma.Info{Title: "paylane", Version: "1"},
			Components: &huma.Components{Schemas: schemas},
		},
		// "json" stands for what ends in +json, as the type of our problems.
		Formats:       map[string]huma.Format{"application/json": json, "json": json},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{toProblem},
	}
}

// register adds the routes of orders, which all pass authorize first.
func (a *api) register(h huma.API) {
	route := func(id, method, path, summary string, status int) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: path, Summary: summary,
			DefaultStatus: status, Middlewares: huma.Middlewares{a.authorize},
		}
	}
	create := route("create-order", http.MethodPost, "/orders", "Place an order", http.StatusCreated)
	create.Middlewares = append(create.Middlewares, guardBody)
	create.MaxBodyBytes = maxBody + 1 // huma's limit is exclusive
	huma.Register(h, create, a.create)
	huma.Register(h, route("list-orders", http.MethodGet, "/orders", "List orders", http.StatusOK), a.list)
	huma.Register(h, route("get-order", http.MethodGet, "/orders/{id}", "Get an order, or wait for it", http.StatusOK), a.get)
	huma.Register(h, route("cancel-order", http.MethodPost, "/orders/{id}/cancel", "Take back a PENDING order", http.StatusOK), a.cancel)
	huma.Register(h, route("refund-order", http.MethodPost, "/orders/{id}/refund", "Give the money of a PAID order back", http.StatusAccepted), a.refund)
	huma.Register(h, route("retry-order", http.MethodPost, "/orders/{id}/retry", "Try a FAILED order again", http.StatusAccepted), a.retry)
}

// openRoutes adds the routes that nobody needs a token for.
func openRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"ok"}`+"\n")
	})
	mux.HandleFunc("GET /openapi.json", serveDocument())
	mux.HandleFunc("GET /docs", serveDocs)
}

// problem translates an error of a use case, and logs it if nobody expected it.
func (a *api) problem(ctx context.Context, err error) error {
	p, known := problemFor(err)
	switch {
	case !known && errors.Is(err, context.Canceled):
		// The caller has gone; nobody reads the answer.
	case !known:
		a.log.ErrorContext(ctx, "request failed", "error", err)
	case p.Status >= http.StatusInternalServerError:
		a.log.WarnContext(ctx, "request failed", "error", err)
	}
	return p
}

// guardBody refuses what must not get as far as a decoder: another media type, a body
// that is too large, a card number.
func guardBody(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if text := r.Header.Get("Content-Type"); text != "" {
		// Case and parameters do not matter (RFC 9110, section 8.3.1).
		mediaType, _, err := mime.ParseMediaType(text)
		if err != nil || mediaType != "application/json" {
			writeProblem(w, wrongMediaType())
			return
		}
		r.Header.Set("Content-Type", mediaType)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		writeProblem(w, plain(http.StatusBadRequest, "The body could not be read."))
	case len(body) > maxBody:
		writeProblem(w, tooLarge())
	case holdsCardNumber(body):
		writeProblem(w, cardNumber())
	default:
		r.Body = io.NopCloser(bytes.NewReader(body))
		next(ctx)
	}
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

var errNotJSON = errors.New("is not valid JSON")

// readJSON decodes as encoding/json does, with errors fit for a caller.
func readJSON(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return fmt.Errorf("%s must be a whole number that fits in 64 bits, written without fraction or exponent", mismatch.Field)
	}
	if err != nil {
		return errNotJSON
	}
	return nil
}

// cleanPaths answers a path with empty or dot segments as what it is, a path that is
// not there; the mux would redirect it.
func cleanPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			writeProblem(w, notThere())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// noRoute tells a path that is not there from one that has other methods.
func noRoute(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		if _, pattern := mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host}); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		writeProblem(w, notThere())
		return
	}
	p := plain(http.StatusMethodNotAllowed, "This path has "+strings.Join(allowed, ", ")+".")
	p.headers = http.Header{"Allow": {strings.Join(allowed, ", ")}}
	writeProblem(w, p)
}

func notThere() *Problem {
	return plain(http.StatusNotFound, "There is nothing at this path; see /docs for what there is.")
}

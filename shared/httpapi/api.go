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
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"paylane/shared/pipeline"
)

// maxBody is how large a request's body may be, in bytes.
const maxBody = 64 << 10

// Config is what [New] needs. All fields are required.
type Config struct {
	Checkout *pipeline.Checkout
	// Tenant names the caller's tenant from what was verified about the request.
	// It is false where nothing names one; the caller then gets a 403.
	Tenant func(context.Context) (string, bool)
	Log    *slog.Logger
}

type api struct {
	checkout *pipeline.Checkout
	tenant   func(context.Context) (string, bool)
	log      *slog.Logger
}

// New makes the handler of the whole API.
func New(c Config) http.Handler {
	a := &api{checkout: c.Checkout, tenant: c.Tenant, log: c.Log}
	mux := http.NewServeMux()
	a.register(humago.New(mux, humaConfig()), mux)
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
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "paylane", Version: "1",
				Description: "Takes orders at once and collects their payments behind a queue.",
			},
		},
		// "json" stands for what ends in +json, as the type of our problems.
		Formats:       map[string]huma.Format{"application/json": json, "json": json},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{toProblem},
	}
}

// register adds the routes. All but the open ones pass authorize first.
func (a *api) register(h huma.API, mux *http.ServeMux) {
	problems := problemResponses(h.OpenAPI().Components.Schemas)
	route := func(id, method, path, summary string, status int, statuses ...int) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: path, Summary: summary,
			DefaultStatus: status, Responses: problems(statuses...),
			Middlewares: huma.Middlewares{a.authorize},
		}
	}
	create := route("create-order", http.MethodPost, "/orders", "Place an order", http.StatusCreated,
		http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
	create.Middlewares = append(create.Middlewares, guardBody)
	create.MaxBodyBytes = maxBody + 1 // huma's limit is exclusive
	huma.Register(h, create, a.create)
	huma.Register(h, route("list-orders", http.MethodGet, "/orders", "List orders", http.StatusOK,
		http.StatusBadRequest, http.StatusUnprocessableEntity), a.list)
	huma.Register(h, route("get-order", http.MethodGet, "/orders/{id}", "Get an order, or wait for it", http.StatusOK,
		http.StatusNotFound), a.get)
	huma.Register(h, route("cancel-order", http.MethodPost, "/orders/{id}/cancel", "Take back a PENDING order", http.StatusOK,
		http.StatusNotFound, http.StatusConflict), a.cancel)
	huma.Register(h, route("refund-order", http.MethodPost, "/orders/{id}/refund", "Give the money of a PAID order back", http.StatusAccepted,
		http.StatusNotFound, http.StatusConflict), a.refund)
	huma.Register(h, route("retry-order", http.MethodPost, "/orders/{id}/retry", "Try a FAILED order again", http.StatusAccepted,
		http.StatusNotFound, http.StatusConflict), a.retry)
	describe(h.OpenAPI())

	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"ok"}`+"\n")
	})
	docs := newDocs(h.OpenAPI())
	mux.HandleFunc("GET /openapi.json", docs.serveJSON)
	mux.HandleFunc("GET /docs", docs.serveHTML)
}

// problemResponses makes the documented answers of an operation that fails.
func problemResponses(schemas huma.Registry) func(statuses ...int) map[string]*huma.Response {
	schema := schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	return func(statuses ...int) map[string]*huma.Response {
		out := make(map[string]*huma.Response)
		for _, status := range append(statuses, http.StatusForbidden, http.StatusInternalServerError, http.StatusServiceUnavailable) {
			out[strconv.Itoa(status)] = &huma.Response{
				Description: http.StatusText(status),
				Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
			}
		}
		return out
	}
}

// describe adds what huma can't know, and drops what it adds of its own: the shape of
// errors that never leave this package.
func describe(doc *huma.OpenAPI) {
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	refund := doc.Paths["/orders/{id}/refund"].Post.Responses
	again := *refund["202"]
	again.Description = "It is REFUNDING or REFUNDED already"
	refund["200"] = &again
	doc.Paths["/orders/{id}"].Get.Responses["304"] = &huma.Response{Description: "It is still at the version of If-None-Match"}
}

type tenantKey struct{}

// authorize finds out whose orders the request is about.
func (a *api) authorize(ctx huma.Context, next func(huma.Context)) {
	tenant, ok := a.tenant(ctx.Context())
	if !ok {
		_, w := humago.Unwrap(ctx)
		writeProblem(w, typeTenant.problem("The access token lacks the claim that names the tenant."))
		return
	}
	next(huma.WithValue(ctx, tenantKey{}, tenant))
}

func tenantOf(ctx context.Context) string {
	tenant, _ := ctx.Value(tenantKey{}).(string)
	return tenant
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
			writeProblem(w, plain(http.StatusUnsupportedMediaType, "Send the body as application/json."))
			return
		}
		r.Header.Set("Content-Type", mediaType)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		writeProblem(w, plain(http.StatusBadRequest, "The body could not be read."))
	case len(body) > maxBody:
		writeProblem(w, plain(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body may have %d bytes.", maxBody)))
	case holdsCardNumber(body):
		writeProblem(w, typeCard.problem("Never send card numbers here: have the payment gateway's client turn the card into a token, and send that as paymentToken."))
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

// readJSON decodes as encoding/json does, with errors fit for a caller.
func readJSON(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return fmt.Errorf("%s must be a whole number that fits in 64 bits, written without fraction or exponent", mismatch.Field)
	}
	if err != nil {
		return errors.New("is not valid JSON")
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

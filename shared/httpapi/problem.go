package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/webhook"
)

// Problem is an error as callers see it: problem details of RFC 9457.
type Problem struct {
	Type   string        `json:"type" format:"uri-reference" doc:"The kind of problem: about:blank if the status says it all, otherwise a section of /docs." example:"/docs#order-not-found"`
	Title  string        `json:"title" doc:"The kind of problem in words, the same each time." example:"No such order"`
	Status int           `json:"status" doc:"The HTTP status." example:"404"`
	Detail string        `json:"detail,omitempty" doc:"What is wrong this time, and what to do about it."`
	Errors []FieldDetail `json:"errors,omitempty" nullable:"false" doc:"What is wrong with the request, one by one."`

	headers http.Header
}

// FieldDetail is one thing that is wrong with a request.
type FieldDetail struct {
	Location string `json:"location" doc:"Where it is, such as body.items[0].sku or query.limit." example:"body.amount"`
	Message  string `json:"message" doc:"What is wrong with it." example:"must be at least 1"`
}

// Error implements error, for huma.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// problemType is an entry in the table of problems that /docs explains.
type problemType struct {
	anchor string
	title  string
	status int
}

// The problems that have a type of their own.
//
//nolint:gochecknoglobals // a table, never written
var (
	typeInvalid       = problemType{"invalid-request", "The request is not valid", http.StatusUnprocessableEntity}
	typeCard          = problemType{"card-number", "The request contains a card number", http.StatusUnprocessableEntity}
	typeKeyReused     = problemType{"idempotency-key-reused", "The idempotency key was used for another request", http.StatusUnprocessableEntity}
	typeKeyRequired   = problemType{"idempotency-key-required", "An idempotency key is required", http.StatusBadRequest}
	typeKeyMalformed  = problemType{"idempotency-key-malformed", "The idempotency key is malformed", http.StatusBadRequest}
	typeCursor        = problemType{"bad-cursor", "The cursor is not valid", http.StatusBadRequest}
	typeNotFound      = problemType{"order-not-found", "No such order", http.StatusNotFound}
	typeNoWebhook     = problemType{"webhook-not-found", "No such webhook", http.StatusNotFound}
	typeManyWebhooks  = problemType{"too-many-webhooks", "The tenant has as many webhooks as it can have", http.StatusConflict}
	typeEventGone     = problemType{"event-gone", "The event can't be posted again", http.StatusConflict}
	typeState         = problemType{"wrong-state", "The order's state does not allow that", http.StatusConflict}
	typeTenant        = problemType{"no-tenant", "The token names no tenant", http.StatusForbidden}
	typeTenantUnnamed = problemType{"tenant-unnamed", "The request names no tenant", http.StatusBadRequest}
	typePrecondition  = problemType{"precondition-failed", "The order is at another version", http.StatusPreconditionFailed}
	typeTooManyOpen   = problemType{"too-many-open", "Too many requests are open", http.StatusTooManyRequests}
	typeUnavailable   = problemType{"unavailable", "Temporarily unavailable", http.StatusServiceUnavailable}
)

// seeErrors is the detail of a problem whose errors say everything.
const seeErrors = "See errors for what to change."

func (t problemType) problem(detail string, fields ...FieldDetail) *Problem {
	return &Problem{Type: "/docs#" + t.anchor, Title: t.title, Status: t.status, Detail: detail, Errors: fields}
}

// plain is a problem whose status says it all.
func plain(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// Refusal is the problem of a caller who is not let in: status is 401 or 403, challenge the
// value of WWW-Authenticate.
func Refusal(status int, challenge, detail string) *Problem {
	p := plain(status, detail)
	p.headers = http.Header{"Www-Authenticate": {challenge}}
	return p
}

// report returns the problem that an error is to callers. It logs the error unless it is
// an ordinary refusal.
func report(ctx context.Context, log *slog.Logger, err error) *Problem {
	p, known := problemFor(err)
	switch {
	case !known && errors.Is(err, context.Canceled):
		// The caller has gone; nobody reads the answer.
	case !known:
		log.ErrorContext(ctx, "request failed", "error", err)
	case p.Status >= http.StatusInternalServerError:
		log.WarnContext(ctx, "request failed", "error", err)
	}
	return p
}

// problemFor is the one place where an internal error becomes a problem. An error that it
// does not know is a bare 500; its cause belongs in the log.
func problemFor(err error) (p *Problem, known bool) {
	var own *Problem
	var invalid *order.InvalidError
	var transition *order.TransitionError
	var badURL *webhook.URLError
	switch {
	case errors.As(err, &own):
		return own, true
	case errors.As(err, &invalid):
		fields := make([]FieldDetail, len(invalid.Fields))
		for i, f := range invalid.Fields {
			fields[i] = FieldDetail{Location: strings.TrimSuffix("body."+f.Location, "."), Message: f.Message}
		}
		return typeInvalid.problem(seeErrors, fields...), true
	case errors.Is(err, pipeline.ErrKeyMalformed):
		return keyMalformed(), true
	case errors.Is(err, pipeline.ErrKeyRequired):
		return keyRequired(), true
	case errors.Is(err, pipeline.ErrKeyReused):
		return typeKeyReused.problem("Another request was made with this Idempotency-Key. Use a new key for a new order."), true
	case errors.Is(err, order.ErrNotFound):
		return typeNotFound.problem("There is no order with this id."), true
	case errors.Is(err, webhook.ErrNotFound):
		return typeNoWebhook.problem("There is no webhook with this id."), true
	case errors.Is(err, webhook.ErrTooMany):
		return typeManyWebhooks.problem(fmt.Sprintf("There can be %d; delete one that is not needed any more.", webhook.MaxEndpoints)), true
	case errors.Is(err, webhook.ErrDisabled):
		return typeEventGone.problem("The webhook is disabled. It is enabled again once it takes a test event."), true
	case errors.Is(err, webhook.ErrMoved):
		return typeEventGone.problem("The order has changed since that event, or had no such event. GET /orders/{id} tells how it is now."), true
	case errors.As(err, &badURL):
		return typeInvalid.problem(seeErrors, FieldDetail{Location: "body.url", Message: badURL.Reason}), true
	case errors.As(err, &transition):
		return typeState.problem(stateDetail(transition)), true
	case errors.Is(err, order.ErrUnavailable):
		p := typeUnavailable.problem("Try again in a moment, with the same Idempotency-Key if you sent one.")
		p.headers = http.Header{"Retry-After": {"1"}}
		return p, true
	}
	return plain(http.StatusInternalServerError, ""), false
}

// The problems below are reported from more than one place, or shown by the OpenAPI
// document.

func keyMalformed() *Problem {
	return typeKeyMalformed.problem("Send Idempotency-Key once, in 1 to 255 visible ASCII characters other than a comma.")
}

func keyRequired() *Problem {
	return typeKeyRequired.problem("A refund of an amount needs an Idempotency-Key, so that a repeated request does not refund it twice.")
}

func badCursor() *Problem {
	return typeCursor.problem("Pass the previous page's next unchanged, or no cursor to start at the newest order.")
}

// cardNumber is the problem of card numbers in these fields.
func cardNumber(fields ...FieldDetail) *Problem {
	return typeCard.problem("Never send card numbers here: have the payment gateway's client turn the card into a token, and send the token as paymentToken. "+
		"If it is another number that has the form of a card's, an article's for example, send it with letters directly before it, as in SKU-1234.", fields...)
}

func cardDetail(location string) FieldDetail {
	return FieldDetail{Location: location, Message: "has the form of a card number"}
}

func noTenant() *Problem {
	return typeTenant.problem("The access token lacks the claim that names the tenant.")
}

func everyTenantForbidden() *Problem {
	return typeTenant.problem("Only an access token with the scope " + ScopeOperate + " may be for all tenants.")
}

func tenantUnnamed() *Problem {
	return typeTenantUnnamed.problem(fmt.Sprintf("This access token is for all tenants: name one in the query parameter tenant, in 1 to %d visible ASCII characters other than *.", maxTenant))
}

func tooLarge() *Problem {
	return plain(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body must not exceed %d bytes.", maxBody))
}

func notThere() *Problem {
	return plain(http.StatusNotFound, "There is nothing at this path; see /docs for what there is.")
}

func methodNotAllowed(allowed ...string) *Problem {
	last := len(allowed) - 1
	sentence := strings.Join(allowed[:last], ", ")
	if last > 0 {
		sentence += " and "
	}
	p := plain(http.StatusMethodNotAllowed, "This path allows "+sentence+allowed[last]+".")
	p.headers = http.Header{"Allow": {strings.Join(allowed, ", ")}}
	return p
}

func wrongMediaType() *Problem {
	return plain(http.StatusUnsupportedMediaType, "Send the body as application/json.")
}

func contentCoding() *Problem {
	p := plain(http.StatusUnsupportedMediaType, "Send the body without a Content-Encoding.")
	p.headers = http.Header{"Accept-Encoding": {"identity"}}
	return p
}

func preconditionFailed() *Problem {
	return typePrecondition.problem("The order's version is not one that If-Match allows, or one that If-None-Match excludes. Get the order to see what changed.")
}

// tooManyOpen is the problem of a tenant who has [maxOpen] requests open: RFC 6585, section 4,
// with the Retry-After of RFC 9110, section 10.2.3.
func tooManyOpen() *Problem {
	p := typeTooManyOpen.problem("So many requests of this tenant are waiting, or so many of its streams open, that no more can be. " +
		"Try again after Retry-After, or get the order without Prefer: wait.")
	p.headers = http.Header{"Retry-After": {"5"}}
	return p
}

func stateDetail(e *order.TransitionError) string {
	switch e.Event {
	case order.EventCancel:
		return "Only a PENDING order can be canceled; this one is " + string(e.From) + "."
	case order.EventRefund:
		if e.From == order.Refunding {
			return "Another refund is under way; ask again once it has ended."
		}
		return "Only a PAID order can be refunded; this one is " + string(e.From) + "."
	case order.EventRepay:
		return "Only a FAILED order can be paid with another token; this one is " + string(e.From) + "."
	case order.EventRetry:
		if e.From == order.Failed {
			return "The payment was declined; a retry would not change that. Pay with another token."
		}
		return "Only a FAILED order can be retried; this one is " + string(e.From) + "."
	case order.EventErase:
		return "Only an order that has ended can be erased; this one is " + string(e.From) + "."
	default:
		return "The order is " + string(e.From) + "."
	}
}

// writeProblem answers outside huma.
func writeProblem(w http.ResponseWriter, p *Problem) {
	for name, values := range p.headers {
		w.Header()[name] = values
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and integers always encode
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.Header().Set("Cache-Control", noStore)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the caller has gone if this fails
}

// toProblem is a huma transformer that turns huma's own errors into problems.
func toProblem(_ huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := plain(e.Status, "")
	if e.Status == http.StatusUnprocessableEntity {
		p = typeInvalid.problem(seeErrors)
	}
	for _, f := range e.Errors {
		p.Errors = append(p.Errors, fieldDetail(f))
	}
	return p, nil
}

// fieldDetail drops the value from huma's detail, which repeats what was sent.
func fieldDetail(e *huma.ErrorDetail) FieldDetail {
	// Only the first line: huma's hint at the schema follows.
	message, _, _ := strings.Cut(e.Message, "\n")
	return FieldDetail{Location: e.Location, Message: strings.TrimSpace(message)}
}

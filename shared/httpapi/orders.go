package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/wire"
)

// headerValues returns a request header as API Gateway passes it on, its repeats joined
// with a comma.
func headerValues(ctx huma.Context, name string) (value string, present bool) {
	var values []string
	ctx.EachHeader(func(n, v string) {
		if n == name {
			values = append(values, v)
		}
	})
	return strings.Join(values, ","), len(values) > 0
}

type createInput struct {
	Key  string `header:"Idempotency-Key" doc:"Visible ASCII characters other than a comma, sent once. A repeated request with the same key and body gets the first answer again, for as long as the order is kept. Never use a key for another order."`
	Body createRequest

	keyPresent bool
}

// Resolve implements huma.Resolver, to see a key that is empty or repeated.
func (in *createInput) Resolve(ctx huma.Context) []error {
	in.Key, in.keyPresent = headerValues(ctx, "Idempotency-Key")
	return nil
}

type createOutput struct {
	Location string `header:"Location"`
	Link     string `header:"Link"`
	Replayed string `header:"Idempotency-Replayed"`
	Body     wire.OrderBody
}

func (a *api) create(ctx context.Context, in *createInput) (*createOutput, error) {
	if in.keyPresent && !order.ValidKey(in.Key) {
		return nil, keyMalformed()
	}
	o, replayed, err := a.Checkout.Create(ctx, tenantOf(ctx), in.Key, in.Body.request())
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	out := &createOutput{
		Location: callerOf(ctx).link("/orders/"+o.ID, nil), Link: a.eventsLink(ctx, o.ID), Body: wire.NewOrderBody(o),
	}
	if replayed {
		out.Replayed = "true"
	}
	return out, nil
}

// OrderInput is what requests about one order have in common. It is exported for huma,
// which skips an embedded struct that is not.
type OrderInput struct {
	ID          string `path:"id" doc:"The order's id."`
	IfMatch     string `header:"If-Match" doc:"The ETags of which the order must have one, or * for any; the answer is 412, and nothing is done, if it has another. W/ never matches (RFC 9110, section 13.1.1)."`
	IfNoneMatch string `header:"If-None-Match" doc:"The ETags that the order must not have. If it has one of them, the answer is 304 to GET, and otherwise 412, and nothing is done (RFC 9110, section 13.1.2)."`

	conditional bool // by If-Match, which may be empty
}

// Resolve implements huma.Resolver.
func (in *OrderInput) Resolve(ctx huma.Context) []error {
	in.ID = strings.ToLower(in.ID) // a UUID is the same in any case (RFC 9562, section 4)
	in.IfMatch, in.conditional = headerValues(ctx, "If-Match")
	in.IfNoneMatch, _ = headerValues(ctx, "If-None-Match")
	return nil
}

func (in *OrderInput) ref(ctx context.Context) order.Ref {
	return order.Ref{Tenant: tenantOf(ctx), ID: in.ID}
}

// excluded reports whether If-Match does not allow the order's version.
func (in *OrderInput) excluded(o order.Order) bool {
	return in.conditional && !matchesETag(in.IfMatch, etag(o.Version), false)
}

// unchanged reports whether If-None-Match has the order's version.
func (in *OrderInput) unchanged(o order.Order) bool {
	return matchesETag(in.IfNoneMatch, etag(o.Version), true)
}

// checkout returns the Checkout for a request's action: it changes the order only in a
// version that the request allows. Both conditions are evaluated in the order of RFC 9110,
// section 13.2.2, as the first part of the action: an order in a state that does not allow
// it is a 412, too, if its version is another than the caller's.
func (a *api) checkout(in *OrderInput) *pipeline.Checkout {
	return a.Checkout.OnlyIf(func(o order.Order) error {
		if in.excluded(o) || in.unchanged(o) {
			return preconditionFailed()
		}
		return nil
	})
}

type getInput struct {
	OrderInput

	Prefer string `header:"Prefer" doc:"wait=N waits up to N seconds, at most 20, for the order's end, or with If-None-Match for its next change (RFC 7240)." example:"wait=20"`
}

// Resolve implements huma.Resolver.
func (in *getInput) Resolve(ctx huma.Context) []error {
	in.Prefer, _ = headerValues(ctx, "Prefer")
	return in.OrderInput.Resolve(ctx)
}

type getOutput struct {
	Status       int
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Vary         string `header:"Vary"`
	Applied      string `header:"Preference-Applied"`
	Link         string `header:"Link"`
	Body         wire.OrderBody
}

func (a *api) get(ctx context.Context, in *getInput) (*getOutput, error) {
	out := &getOutput{
		// An answer that was waited for has Preference-Applied, so it is not one to a request
		// that does not wait (RFC 7240, section 2).
		Status: http.StatusOK, CacheControl: "private, no-cache", Vary: "Prefer", Link: a.eventsLink(ctx, in.ID),
	}
	var o order.Order
	var err error
	if wait, ok := preferWait(in.Prefer); ok {
		leave, ok := a.waiting.enter(tenantOf(ctx))
		if !ok {
			return nil, tooManyOpen()
		}
		defer leave()
		out.Applied = "wait=" + strconv.Itoa(int(wait/time.Second))
		caller, stop := a.Caller(ctx)
		defer stop()
		patience, cancel := context.WithTimeout(caller, wait)
		defer cancel()
		o, err = a.Checkout.Await(ctx, in.ref(ctx), patience, func(o order.Order) bool {
			if in.IfNoneMatch != "" {
				return !in.unchanged(o) || in.excluded(o)
			}
			return o.Status.End() || in.excluded(o)
		})
	} else {
		o, err = a.Checkout.Get(ctx, in.ref(ctx))
	}
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	if in.excluded(o) {
		return nil, preconditionFailed()
	}
	out.ETag, out.Body = etag(o.Version), wire.NewOrderBody(o)
	if in.unchanged(o) {
		out.Status = http.StatusNotModified
	}
	return out, nil
}

type listInput struct {
	Limit      int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The largest number of orders in a page."`
	Status     string `query:"status" enum:"PENDING,PROCESSING,PAID,FAILED,CANCELED,REFUNDING,REFUNDED" doc:"Only orders with this status. A page may then be short, or empty, and still have a next."`
	CustomerID string `query:"customerId" minLength:"1" maxLength:"64" doc:"Only orders with this customerId, character by character. Together with status, a page may be short, or empty, and still have a next."`
	Cursor     string `query:"cursor" doc:"The previous page's next."`

	cursorPresent bool
}

// Resolve implements huma.Resolver, to see what is empty, which huma takes for absent.
func (in *listInput) Resolve(ctx huma.Context) []error {
	at := ctx.URL()
	query := at.Query()
	in.cursorPresent = query.Has("cursor")
	var bad []error
	for _, name := range []string{"limit", "status", "customerId"} {
		if query.Has(name) && query.Get(name) == "" {
			bad = append(bad, &huma.ErrorDetail{Location: "query." + name, Message: "must not be empty"})
		}
	}
	if !utf8.ValidString(query.Get("customerId")) {
		bad = append(bad, &huma.ErrorDetail{Location: "query.customerId", Message: "must be UTF-8"})
	}
	return bad
}

type listOutput struct {
	Link string `header:"Link"`
	Body orderListBody
}

type orderListBody struct {
	Orders []wire.OrderBody `json:"orders" nullable:"false" doc:"Newest first."`
	Next   string           `json:"next,omitempty" doc:"The cursor of the next page; absent at the end."`
}

func (a *api) list(ctx context.Context, in *listInput) (*listOutput, error) {
	q := order.Query{Tenant: tenantOf(ctx), CustomerID: in.CustomerID, Status: order.Status(in.Status), Limit: in.Limit}
	if in.cursorPresent {
		after, err := decodeCursor(in.Cursor)
		if err != nil {
			return nil, badCursor()
		}
		q.After = &after
	}
	page, err := a.Checkout.List(ctx, q)
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	out := &listOutput{Body: orderListBody{Orders: make([]wire.OrderBody, len(page.Orders))}}
	for i, o := range page.Orders {
		out.Body.Orders[i] = wire.NewOrderBody(o)
	}
	if page.Next != nil {
		next, err := encodeCursor(*page.Next)
		if err != nil {
			return nil, report(ctx, a.Log, err)
		}
		out.Body.Next = next
		query := url.Values{"limit": {strconv.Itoa(in.Limit)}, "cursor": {next}}
		if in.Status != "" {
			query.Set("status", in.Status)
		}
		if in.CustomerID != "" {
			query.Set("customerId", in.CustomerID)
		}
		out.Link = "<" + callerOf(ctx).link("/orders", query) + `>; rel="next"`
	}
	return out, nil
}

type changeOutput struct {
	Status   int
	ETag     string `header:"ETag"`
	Replayed string `header:"Idempotency-Replayed"`
	Body     wire.OrderBody
}

func (a *api) cancel(ctx context.Context, in *OrderInput) (*changeOutput, error) {
	o, err := a.checkout(in).Cancel(ctx, in.ref(ctx))
	return a.changed(ctx, http.StatusOK, o, err)
}

type refundInput struct {
	OrderInput

	Key  string `header:"Idempotency-Key" doc:"Visible ASCII characters other than a comma. A repeated request with the same key shows the same refund. Required with an amount."`
	Body *refundRequest

	keyPresent bool
}

// Resolve implements huma.Resolver; see createInput.
func (in *refundInput) Resolve(ctx huma.Context) []error {
	in.Key, in.keyPresent = headerValues(ctx, "Idempotency-Key")
	return in.OrderInput.Resolve(ctx)
}

func (a *api) refund(ctx context.Context, in *refundInput) (*changeOutput, error) {
	if in.keyPresent && !order.ValidKey(in.Key) {
		return nil, keyMalformed()
	}
	var r order.RefundRequest
	if in.Body != nil {
		r = order.RefundRequest{Amount: in.Body.Amount, Reason: in.Body.Reason}
	}
	o, begun, err := a.checkout(&in.OrderInput).Refund(ctx, in.ref(ctx), in.Key, r)
	out, err := a.changed(ctx, begunStatus(begun), o, err)
	if err == nil && in.keyPresent && !begun {
		out.Replayed = "true"
	}
	return out, err
}

type payInput struct {
	OrderInput

	Body payRequest
}

func (a *api) pay(ctx context.Context, in *payInput) (*changeOutput, error) {
	o, begun, err := a.checkout(&in.OrderInput).Pay(ctx, in.ref(ctx), order.Token(in.Body.PaymentToken))
	return a.changed(ctx, begunStatus(begun), o, err)
}

// begunStatus is 202 for work that has begun, and 200 if it had before.
func begunStatus(begun bool) int {
	if begun {
		return http.StatusAccepted
	}
	return http.StatusOK
}

func (a *api) retry(ctx context.Context, in *OrderInput) (*changeOutput, error) {
	o, err := a.checkout(in).Retry(ctx, in.ref(ctx))
	return a.changed(ctx, http.StatusAccepted, o, err)
}

func (a *api) erase(ctx context.Context, in *OrderInput) (*changeOutput, error) {
	o, err := a.checkout(in).Erase(ctx, in.ref(ctx))
	return a.changed(ctx, http.StatusOK, o, err)
}

func (a *api) changed(ctx context.Context, status int, o order.Order, err error) (*changeOutput, error) {
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	return &changeOutput{Status: status, ETag: etag(o.Version), Body: wire.NewOrderBody(o)}, nil
}

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
	Key  string `header:"Idempotency-Key" doc:"Visible ASCII characters. A repeated request with the same key and body gets the first answer again. Keys never expire."`
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
	Body     orderBody
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
		Location: callerOf(ctx).link("/orders/"+o.ID, nil), Link: a.eventsLink(ctx, o.ID), Body: newOrderBody(o),
	}
	if replayed {
		out.Replayed = "true"
	}
	return out, nil
}

type idInput struct {
	ID string `path:"id" doc:"The order's id."`
}

type getInput struct {
	ID          string `path:"id" doc:"The order's id."`
	Prefer      string `header:"Prefer" doc:"wait=N waits up to N seconds, at most 20, for the order's end, or with If-None-Match for its next change (RFC 7240)." example:"wait=20"`
	IfNoneMatch string `header:"If-None-Match" doc:"The ETag you have; the answer is 304 if it is still current."`
}

// Resolve implements huma.Resolver.
func (in *getInput) Resolve(ctx huma.Context) []error {
	in.Prefer, _ = headerValues(ctx, "Prefer")
	in.IfNoneMatch, _ = headerValues(ctx, "If-None-Match")
	return nil
}

type getOutput struct {
	Status       int
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Applied      string `header:"Preference-Applied"`
	Link         string `header:"Link"`
	Body         orderBody
}

func (a *api) get(ctx context.Context, in *getInput) (*getOutput, error) {
	ref := order.Ref{Tenant: tenantOf(ctx), ID: in.ID}
	unchanged := func(o order.Order) bool {
		return in.IfNoneMatch != "" && matchesETag(in.IfNoneMatch, etag(o.Version))
	}
	out := &getOutput{Status: http.StatusOK, CacheControl: "private, no-cache", Link: a.eventsLink(ctx, in.ID)}
	var o order.Order
	var err error
	if wait, ok := preferWait(in.Prefer); ok {
		out.Applied = "wait=" + strconv.Itoa(int(wait/time.Second))
		o, err = a.Checkout.Await(ctx, ref, wait, func(o order.Order) bool {
			if in.IfNoneMatch != "" {
				return !unchanged(o)
			}
			return o.Status.End()
		})
	} else {
		o, err = a.Checkout.Get(ctx, ref)
	}
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	out.ETag, out.Body = etag(o.Version), newOrderBody(o)
	if unchanged(o) {
		out.Status = http.StatusNotModified
	}
	return out, nil
}

type listInput struct {
	Limit      int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The largest number of orders in a page."`
	Status     string `query:"status" enum:"PENDING,PROCESSING,PAID,FAILED,CANCELED,REFUNDING,REFUNDED" doc:"Only orders with this status. A page may then be short, or empty, and still have a next."`
	CustomerID string `query:"customerId" maxLength:"64" doc:"Only orders with this customerId, character by character. Together with status, a page may be short, or empty, and still have a next."`
	Cursor     string `query:"cursor" doc:"The previous page's next."`

	cursorPresent bool
}

// Resolve implements huma.Resolver, to see what is empty, which huma takes for absent, or
// repeated, of which huma takes the first.
func (in *listInput) Resolve(ctx huma.Context) []error {
	at := ctx.URL()
	query := at.Query()
	in.cursorPresent = query.Has("cursor")
	var bad []error
	for _, name := range []string{"limit", "status", "customerId", "cursor"} {
		if values := query[name]; len(values) > 1 || len(values) == 1 && values[0] == "" && name != "cursor" {
			bad = append(bad, &huma.ErrorDetail{Location: "query." + name, Message: "must not be empty or repeated"})
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
	Orders []orderBody `json:"orders" nullable:"false" doc:"Newest first."`
	Next   string      `json:"next,omitempty" doc:"The cursor of the next page; absent at the end."`
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
	out := &listOutput{Body: orderListBody{Orders: make([]orderBody, len(page.Orders))}}
	for i, o := range page.Orders {
		out.Body.Orders[i] = newOrderBody(o)
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
	Status int
	ETag   string `header:"ETag"`
	Body   orderBody
}

func (a *api) cancel(ctx context.Context, in *idInput) (*changeOutput, error) {
	o, err := a.Checkout.Cancel(ctx, order.Ref{Tenant: tenantOf(ctx), ID: in.ID})
	return a.changed(ctx, http.StatusOK, o, err)
}

func (a *api) refund(ctx context.Context, in *idInput) (*changeOutput, error) {
	o, changed, err := a.Checkout.Refund(ctx, order.Ref{Tenant: tenantOf(ctx), ID: in.ID})
	status := http.StatusOK
	if changed {
		status = http.StatusAccepted
	}
	return a.changed(ctx, status, o, err)
}

func (a *api) retry(ctx context.Context, in *idInput) (*changeOutput, error) {
	o, err := a.Checkout.Retry(ctx, order.Ref{Tenant: tenantOf(ctx), ID: in.ID})
	return a.changed(ctx, http.StatusAccepted, o, err)
}

func (a *api) changed(ctx context.Context, status int, o order.Order, err error) (*changeOutput, error) {
	if err != nil {
		return nil, report(ctx, a.Log, err)
	}
	return &changeOutput{Status: status, ETag: etag(o.Version), Body: newOrderBody(o)}, nil
}

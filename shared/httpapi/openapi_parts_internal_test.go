package httpapi

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/webhook"
	"paylane/shared/wire"
)

const aboutAPI = `Takes orders at once and collects their payments behind a queue. A new order is PENDING; ` +
	`follow it to its end (PAID, FAILED, CANCELED or REFUNDED) by its events, by GET with Prefer: wait=20, or by its ETag.` + "\n\n" +
	`Send an Idempotency-Key with each order. After a timeout, a 429 or a 5xx, send the same request again with the same key. ` +
	aboutCards + "\n\n" +
	`Times are RFC 3339 in UTC with milliseconds. Amounts are whole numbers in the currency's minor unit (cents for USD), at most 2^53 − 1, written without a fraction or an exponent. ` +
	`JSON is read strictly: a member that appears twice, half of a surrogate pair, U+0000, or what is not UTF-8 is answered with 400. ` +
	`In a request, null is the same as leaving a field out. In an answer, fields that do not apply are absent, never null, and fields may be added in the future.` + "\n\n" +
	`Each operation takes the query parameters listed for it, each at most once: with any other, the answer is 422 and names it. ` +
	`HEAD needs what GET needs and is answered as GET, without the body. ` +
	`A body with a Content-Encoding is refused with 415. The ids of orders and the scheme Bearer may be sent in any case.` + "\n\n" +
	`An unknown path is answered with 404, a method that a path does not have with 405 and Allow.` + "\n\n" +
	`Pages of other origins may call the API from a browser only if the deployment allows their origin (AllowedOrigins). ` +
	`They can then send every header of this document and read ETag, Location, Link, Retry-After, Idempotency-Replayed, ` +
	`Preference-Applied, WWW-Authenticate and Apigw-Requestid. A local runner without --auth jwt refuses all other pages with 403, ` +
	`and hosts other than localhost and loopback addresses with 421, both as plain text.`

const aboutCards = `A card number in a body, a query parameter or an Idempotency-Key is refused with 422, and the problem names the field: ` +
	`14 to 19 digits with single blanks or dashes between groups that have an issuer's prefix and length and pass the Luhn check. ` +
	`What a letter, a digit or an underscore touches, or a dash joins to something further, is not one: UUIDs, hashes, IBANs and EAN-13 pass. ` +
	`Of random numbers of 14, 16 and 19 digits about 1 in 270, 35 and 53 are refused: send such a number with letters directly before it, as in SKU-1234.`

const aboutTokens = `An access token (JWT, RFC 9068) of the issuer that the deployment trusts, signed with RSA. ` +
	`Its client_id is the tenant (the claim can be configured); its scope must include the one that the operation requires. ` +
	`A local runner without --auth jwt requires none.`

const aboutTenant = `Whose orders the request is about, in 1 to 128 visible ASCII characters other than *. ` +
	`Required of operators over all tenants, whose token's tenant is *. It is ignored for everybody else, whose tenant is the token's.`

const aboutEvents = "Server-Sent Events, one for each change:\n\n" +
	"    retry: 1000\n\n    event: order\n    id: 2\n    data: {\"id\":\"…\",\"status\":\"PROCESSING\",…}\n\n" +
	"data is an Order on one line, and id is its version. The present state comes first, unless Last-Event-ID is its version. " +
	"No version comes twice or out of order; changes in quick succession are merged into the newest. " +
	"A comment line comes every 15 s. The stream ends with the order's end, or after five minutes; then reconnect with Last-Event-ID " +
	"after the milliseconds in retry, as an EventSource does by itself " +
	"(a browser's own EventSource can't send a token: use fetch, or a library over it). " +
	"Another function serves the events, perhaps at another origin: take the URL from an order's Link header with rel=\"events\"."

// operations lists what is written by hand about each operation.
func operations() []operationDoc {
	return []operationDoc{
		{http.MethodPost, "/orders", tagOrders, scopeWrite, aboutCreate, createResponses(), true},
		{http.MethodGet, "/orders", tagOrders, ScopeRead, "Newest first. Pass a page's next as cursor to get the page after it, until there is no next.", listResponses(), false},
		{http.MethodGet, "/orders/{id}", tagOrders, ScopeRead, aboutGet, getResponses(), true},
		{http.MethodPost, "/orders/{id}/cancel", tagOrders, scopeWrite, "Only before its payment has started. Canceling twice is the same as once." + aboutConditions, map[string]*huma.Response{
			"200": changed("It is CANCELED", exampleCanceled()),
			"404": notFound(), "409": conflict(order.EventCancel, order.Paid), "412": otherVersion(), "413": gatewayTooLarge(),
		}, true},
		{http.MethodPost, "/orders/{id}/refund", tagOrders, scopeWrite, aboutRefund + aboutConditions, bodied(map[string]*huma.Response{
			"202": changed("The refund has started", exampleRefunding()),
			"200": replayable(changed("The same was asked for before", exampleRefunding())),
			"400": problems("The body is not JSON, the key is missing or malformed, or the request names no tenant", brokenJSON(), keyRequired(), keyMalformed(), tenantUnnamed()),
			"404": notFound(), "409": conflict(order.EventRefund, order.Pending, order.Refunding), "412": otherVersion(),
			"422": problems("The request is not valid, or its key was used for another", problemOfError(tooMuch()), cardNumber(cardDetail("body.reason")), problemOfError(pipeline.ErrKeyReused)),
		}), true},
		{http.MethodPost, "/orders/{id}/pay", tagOrders, scopeWrite, aboutPay + aboutConditions, bodied(map[string]*huma.Response{
			"202": changed("It is PENDING again", exampleRetried()),
			"200": changed("It is being paid with this token already", exampleRetried()),
			"400": problems("The body is not JSON, or the request names no tenant", brokenJSON(), tenantUnnamed()),
			"404": notFound(), "409": conflict(order.EventRepay, order.Paid), "412": otherVersion(),
			"422": problems("The token is missing, or not one of the gateway's", typeInvalid.problem(seeErrors, FieldDetail{Location: "body", Message: "expected required property paymentToken to be present"}), cardNumber(cardDetail("body.paymentToken"))),
		}), true},
		{http.MethodPost, "/orders/{id}/retry", tagOperators, ScopeOperate, "Only an order whose payment failed without being declined." + aboutConditions, map[string]*huma.Response{
			"202": changed("It is PENDING again", exampleRetried()),
			"404": notFound(), "409": conflict(order.EventRetry, order.Paid, order.Failed), "412": otherVersion(), "413": gatewayTooLarge(),
		}, true},
		{http.MethodPost, "/orders/{id}/erase", tagOperators, ScopeOperate, aboutErase + aboutConditions, map[string]*huma.Response{
			"200": changed("Nothing personal is left in it", exampleErased()),
			"404": notFound(), "409": conflict(order.EventErase, order.Pending), "412": otherVersion(), "413": gatewayTooLarge(),
		}, true},
		{http.MethodPost, "/webhooks", tagWebhooks, scopeWrite, aboutWebhooks, bodied(map[string]*huma.Response{
			"201": webhookAnswer("It is registered", exampleWebhook(exampleSecret)),
			"400": problems("The body is not JSON, or the request names no tenant", brokenJSON(), tenantUnnamed()),
			"409": problems("The tenant has as many webhooks as it can have", problemOfError(webhook.ErrTooMany)),
			"422": problems("The request is not valid", problemOfError(&webhook.URLError{Reason: "must be an absolute URL that begins with https://"})),
		}), false},
		{http.MethodGet, "/webhooks", tagWebhooks, scopeWrite, "", map[string]*huma.Response{"200": {
			Description: "All of them, at most 10",
			Content: map[string]*huma.MediaType{typeJSON: {
				Schema: &huma.Schema{Ref: "#/components/schemas/WebhookList"}, Example: webhookListBody{Webhooks: []webhookBody{exampleWebhook("")}},
			}},
		}}, false},
		{http.MethodGet, "/webhooks/{id}", tagWebhooks, scopeWrite, "", map[string]*huma.Response{
			"200": webhookAnswer("The webhook, and how its last deliveries went", exampleWebhook("")), "404": noWebhook(),
		}, false},
		{http.MethodDelete, "/webhooks/{id}", tagWebhooks, scopeWrite, "What is on its way to it is dropped.", map[string]*huma.Response{
			"204": {Description: "It is deleted"}, "404": noWebhook(), "413": gatewayTooLarge(),
		}, false},
		{http.MethodPost, "/webhooks/{id}/rotate", tagWebhooks, scopeWrite, "The secret before goes on signing beside the new one for 24 hours: requests then have two signatures.", map[string]*huma.Response{
			"200": webhookAnswer("The webhook with its new secret", exampleWebhook(exampleSecret)), "404": noWebhook(), "413": gatewayTooLarge(),
		}, false},
		{http.MethodPost, "/webhooks/{id}/test", tagWebhooks, scopeWrite, "Posts an event of the type webhook.test, also to a webhook that is disabled.", map[string]*huma.Response{
			"202": {Description: "The event is on its way", Content: map[string]*huma.MediaType{typeJSON: {
				Schema: &huma.Schema{Ref: "#/components/schemas/WebhookEvent"}, Example: webhookEventBody{EventID: "evt_" + exampleWebhookID},
			}}},
			"404": noWebhook(), "413": gatewayTooLarge(),
		}, false},
		{http.MethodPost, "/webhooks/{id}/resend", tagWebhooks, scopeWrite, aboutResend, bodied(map[string]*huma.Response{
			"202": {Description: "The event is on its way", Content: map[string]*huma.MediaType{typeJSON: {
				Schema: &huma.Schema{Ref: "#/components/schemas/WebhookEvent"}, Example: webhookEventBody{EventID: exampleEventID},
			}}},
			"400": problems("The body is not JSON, or the request names no tenant", brokenJSON(), tenantUnnamed()),
			"404": problems("This tenant has no such order, or no such webhook", problemOfError(order.ErrNotFound), problemOfError(webhook.ErrNotFound)),
			"409": problems("The order has changed since the event, or the webhook is disabled", problemOfError(webhook.ErrMoved)),
		}), false},
		{http.MethodGet, "/orders/{id}/events", tagOrders, ScopeRead, aboutEvents, eventsResponses(), false},
		{http.MethodGet, "/healthz", tagService, "", "", map[string]*huma.Response{"200": {
			Description: "It is up",
			Content: map[string]*huma.MediaType{typeJSON: {
				Schema:  &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"status": {Type: huma.TypeString, Enum: []any{"ok"}}}, Required: []string{"status"}},
				Example: map[string]string{"status": "ok"},
			}},
		}}, false},
		{http.MethodGet, "/openapi.json", tagService, "", "", map[string]*huma.Response{"200": {
			Description: "OpenAPI 3.1",
			Content:     map[string]*huma.MediaType{typeJSON: {Schema: &huma.Schema{Type: huma.TypeObject}}},
		}}, false},
		{http.MethodGet, "/docs", tagService, "", "", map[string]*huma.Response{"200": {
			Description: "A page without dependencies",
			Content:     map[string]*huma.MediaType{"text/html; charset=utf-8": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}}, false},
	}
}

const aboutWebhooks = "Events of the tenant's orders are posted to the URL as Standard Webhooks has it (standardwebhooks.com): the headers webhook-id, webhook-timestamp and webhook-signature, and a body\n\n" +
	"    {\"type\": \"order.paid\", \"timestamp\": \"…\", \"data\": {\"id\": \"…\", \"status\": \"PAID\", …}}\n\n" +
	"data is the Order as it was then. Types are order.paid, order.failed, order.canceled, order.refunded (for each refund, of a part too) and webhook.test. " +
	"Verify the signature with a library of Standard Webhooks, and answer 2xx within 10 seconds. Anything else, a redirect too, is tried again, for at least 24 hours and later each time, Retry-After honored. " +
	"An event comes at least once, with the same webhook-id each time; those of one order come in order, unless one is refused for an hour. " +
	"Events of changes before the webhook was registered are not posted."

func webhookAnswer(description string, b webhookBody) *huma.Response {
	r := &huma.Response{Description: description, Content: map[string]*huma.MediaType{
		typeJSON: {Schema: &huma.Schema{Ref: "#/components/schemas/Webhook"}, Example: b},
	}}
	if b.Secret != "" && len(b.Successes) == 0 {
		r.Headers = headerRefs("Location-webhook")
	}
	return r
}

func noWebhook() *huma.Response {
	return problems("This tenant has no such webhook", problemOfError(webhook.ErrNotFound))
}

const aboutResend = "Posts an event of an order again, under the same webhook-id, also to a webhook that has taken it: for when its server has lost it. " +
	"Only the order's last event can be posted again, and only while the order is as that event left it."

const aboutRefund = "Without a body, all that is left: the order becomes REFUNDING, and REFUNDED once the gateway has returned the money; asking twice is the same as once. " +
	"With an amount, that much, under an Idempotency-Key: the order becomes PAID again, with refundedAmount, or REFUNDED if nothing is left. " +
	"There may be several refunds, one at a time. One that the gateway declines is DECLINED, and the order is PAID."

const aboutPay = "For an order that FAILED, declined or not: a new round of attempts with another payment token."

const aboutErase = "Removes customerId, metadata and the reasons of refunds, for good; the order is no longer in its customer's list. " +
	"The rest is the record of the money, and stays: amounts, items, attempts, references and the payment token. " +
	"Erasing again changes nothing. The Idempotency-Key keeps its meaning: the same body gets the first answer, without what was erased. " +
	"A refund that had a reason is no longer recognized by its key, and repeating it is refused with 422."

// bodied adds the answers to a body that is refused before it is read.
func bodied(responses map[string]*huma.Response) map[string]*huma.Response {
	responses["413"] = orGateway(problems("The body is too large: over 64 KiB here, or over API Gateway's own limit", tooLarge()), "Request Entity Too Large")
	responses["415"] = problems("The body has another media type, or a content coding", wrongMediaType(), contentCoding())
	return responses
}

// replayable adds the header of a repeated request.
func replayable(r *huma.Response) *huma.Response {
	r.Headers["Idempotency-Replayed"] = headerRef("Idempotency-Replayed")
	return r
}

func brokenJSON() *Problem {
	_, _, broken := readBody([]byte("{"))
	return broken
}

func tooMuch() error {
	return &order.InvalidError{Fields: []order.FieldError{{Location: "amount", Message: "must be at most 1, which is what is left to refund"}}}
}

const aboutCreate = "When the answer arrives, the order is durable and its payment is on its way. " +
	"The same Idempotency-Key with the same body gets the first answer again, byte for byte, for as long as the order is kept and not erased; with another body it is refused. " +
	"A deployment may delete orders some days after they have ended (RetentionDays; by default none). " +
	"A deleted order is not found, can't be refunded here, and its key places an order again, with the same id."

// aboutConditions ends the description of every action on an order.
const aboutConditions = " If-Match and If-None-Match are evaluated, on the version that is changed, before the order's state is."

const aboutGet = "With Prefer: wait=N the answer comes as soon as the order has ended, or after N seconds, whatever its state. " +
	"With If-None-Match as well, it comes as soon as the order is at another version. " +
	"If-Match is evaluated before If-None-Match, and on the order as it is after the wait, which ends once If-Match fails."

func createResponses() map[string]*huma.Response {
	disagree := &order.InvalidError{Fields: []order.FieldError{{
		Location: "amount", Message: "must equal the sum of the items, 12000; omit it to have it computed",
	}}}
	_, _, broken := readBody([]byte("{\"amount\": 12000,\n \"amount\": 12000}"))
	return map[string]*huma.Response{
		"201": answer("The order was placed, now or by an earlier request with the same key", createdExamples(), "Location", "Link", "Idempotency-Replayed"),
		"400": problems("The body is not strict JSON (the detail says where), the key is malformed, or the request names no tenant", broken, keyMalformed(), tenantUnnamed()),
		"413": orGateway(problems("The body is too large: over 64 KiB, or over API Gateway's own limit", tooLarge()), "Request Entity Too Large"),
		"415": problems("The body has another media type, or a content coding", wrongMediaType(), contentCoding()),
		"422": problems("The request is not valid or contains a card number, or its key was used for another",
			problemOfError(disagree), cardNumber(cardDetail("body.metadata.note")), problemOfError(pipeline.ErrKeyReused)),
	}
}

func listResponses() map[string]*huma.Response {
	page := answer("A page of orders", map[string]any{
		"last": orderListBody{Orders: []wire.OrderBody{examplePaid()}},
		"more": orderListBody{Orders: []wire.OrderBody{exampleDeclined()}, Next: exampleCursor},
	})
	page.Content[typeJSON].Schema = &huma.Schema{Ref: "#/components/schemas/OrderList"}
	page.Headers = map[string]*huma.Header{"Link": headerRef("Link-next")}
	page.Links = linkRefs("newest", "next")
	return map[string]*huma.Response{
		"200": page,
		"400": problems("The cursor is not valid, or the request names no tenant", badCursor(), tenantUnnamed()),
		"422": problems("A parameter is not valid, or not one of those above",
			typeInvalid.problem(seeErrors, FieldDetail{Location: "query.limit", Message: "expected number <= 100"}),
			checkQuery("limit=1&limit=1", "limit")),
	}
}

func getResponses() map[string]*huma.Response {
	conditional := []string{"ETag", "Cache-Control", "Vary", "Preference-Applied", "Link"}
	return map[string]*huma.Response{
		"200": answer("The order", map[string]any{"paid": examplePaid(), "declined": exampleDeclined()}, conditional...),
		"304": {Description: "The order is still at the version of If-None-Match", Headers: headerRefs(conditional...)},
		"404": notFound(), "412": otherVersion(),
	}
}

func eventsResponses() map[string]*huma.Response {
	text := func(description, pattern string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: description, Pattern: pattern}
	}
	data := text("An Order, on one line.", "")
	data.Extensions = map[string]any{"contentMediaType": typeJSON, "contentSchema": map[string]string{"$ref": "#/components/schemas/Order"}}
	noToken := problems("The access token is missing or not valid", plain(http.StatusUnauthorized, "Send an access token in the header Authorization."))
	noToken.Headers = headerRefs("WWW-Authenticate")
	return map[string]*huma.Response{
		"200": {Description: "The events as they happen; the schema is that of one event", Content: map[string]*huma.MediaType{
			"text/event-stream": {
				Schema: &huma.Schema{
					Type: huma.TypeObject, Required: []string{"event", "id", "data"},
					Properties: map[string]*huma.Schema{"event": text("order", "^order$"), "id": text("The order's version.", "^[1-9][0-9]*$"), "data": data},
				},
				Example: exampleEvent(),
			},
		}},
		"204": {Description: "The order has ended at the version of Last-Event-ID: nothing will follow, and an EventSource stops reconnecting"},
		"401": noToken,
		"404": notFound(),
	}
}

// answer documents an answer that is an order.
func answer(description string, values map[string]any, headers ...string) *huma.Response {
	return &huma.Response{
		Description: description, Headers: headerRefs(headers...),
		Content: map[string]*huma.MediaType{typeJSON: {Schema: &huma.Schema{Ref: "#/components/schemas/Order"}, Examples: examples(values)}},
	}
}

func changed(description string, o wire.OrderBody) *huma.Response {
	return answer(description, map[string]any{"order": o}, "ETag")
}

func notFound() *huma.Response {
	return &huma.Response{Ref: "#/components/responses/NotFound"}
}

func otherVersion() *huma.Response {
	return &huma.Response{Ref: "#/components/responses/PreconditionFailed"}
}

func gatewayTooLarge() *huma.Response {
	return &huma.Response{Ref: "#/components/responses/RequestEntityTooLarge"}
}

func conflict(event order.Event, from ...order.Status) *huma.Response {
	var all []*Problem
	for _, status := range from {
		all = append(all, problemOfError(&order.TransitionError{From: status, Event: event}))
	}
	return problems("The order's state does not allow that", all...)
}

// problemOfError returns the problem that an error is to callers.
func problemOfError(err error) *Problem {
	p, _ := problemFor(err)
	return p
}

// sharedResponses are the answers that several operations have in common.
func sharedResponses() map[string]*huma.Response {
	out := map[string]*huma.Response{
		"Unauthorized":          orGateway(&huma.Response{Description: "The access token is missing or not valid", Headers: headerRefs("WWW-Authenticate")}, "Unauthorized"),
		"Forbidden":             orGateway(problems("The token lacks the scope (answered by API Gateway), or does not name a tenant that it may", noTenant(), everyTenantForbidden()), "Forbidden"),
		"NotFound":              problems("This tenant has no such order", problemOfError(order.ErrNotFound)),
		"PreconditionFailed":    problems("The order is at another version than If-Match or If-None-Match asks for; nothing was done", preconditionFailed()),
		"UnsupportedMediaType":  problems("The body has a content coding", contentCoding()),
		"UnprocessableContent":  problems("The query has a parameter that is unknown, or repeated", checkQuery("limit=1")),
		"RequestEntityTooLarge": orGateway(&huma.Response{Description: "The body exceeds API Gateway's limit"}, "Request Entity Too Large"),
		"TooManyRequests":       orGateway(problems("Too many requests at once, or too many of the tenant that wait for an order or follow its events; try again in a moment", tooManyOpen()), "Too Many Requests"),
		"InternalServerError":   orGateway(problems("The request could not be answered; its outcome is unknown", plain(http.StatusInternalServerError, "")), "Internal Server Error"),
		"ServiceUnavailable":    orGateway(problems("Temporarily unavailable; try again in a moment", problemOfError(order.ErrUnavailable)), "Service Unavailable"),
	}
	for name, r := range out {
		if r.Headers == nil {
			r.Headers = map[string]*huma.Header{}
		}
		r.Headers["Apigw-Requestid"] = headerRef("Apigw-Requestid")
		r.Headers["Cache-Control"] = headerRef("Cache-Control-no-store")
		switch name {
		case "ServiceUnavailable", "TooManyRequests":
			r.Headers["Retry-After"] = headerRef("Retry-After")
		case "UnsupportedMediaType":
			r.Headers["Accept-Encoding"] = headerRef("Accept-Encoding")
		}
	}
	return out
}

func headerRef(name string) *huma.Header { return &huma.Header{Ref: "#/components/headers/" + name} }

func headerRefs(names ...string) map[string]*huma.Header {
	out := make(map[string]*huma.Header)
	for _, name := range names {
		out[name] = headerRef(name)
	}
	return out
}

// headers documents the headers of answers.
func headers() map[string]*huma.Header {
	text := func(description, pattern, example string, always bool) *huma.Header {
		return &huma.Header{
			Description: description, Required: always, Example: example,
			Schema: &huma.Schema{Type: huma.TypeString, Pattern: pattern},
		}
	}
	tenant := ", with the query parameter tenant for an operator over all tenants"
	return map[string]*huma.Header{
		"Location":               text("Where the order is"+tenant+".", `^/orders/`, "/orders/"+exampleID, true),
		"Location-webhook":       text("Where the webhook is"+tenant+".", `^/webhooks/`, "/webhooks/"+exampleWebhookID, false),
		"Link":                   text("Where the order's events are"+tenant+".", `>; rel="events"$`, "</orders/"+exampleID+`/events>; rel="events"`, true),
		"Link-next":              text("Where the next page is, if there is one"+tenant+".", `>; rel="next"$`, "</orders?cursor="+exampleCursor+`&limit=1>; rel="next"`, false),
		"Idempotency-Replayed":   text("true if the order existed already.", `^true$`, "true", false),
		"ETag":                   text("The order's version, in quotes.", etagPattern, `"1"`, true),
		"Cache-Control":          text("Private caches may keep the answer if they revalidate it each time.", "", "private, no-cache", true),
		"Cache-Control-no-store": text("No cache may keep the answer. An error of API Gateway's own lacks this.", "", noStore, false),
		"Vary":                   text("An answer to a request with Prefer is for requests with the same Prefer.", "^Prefer$", "Prefer", true),
		"Accept-Encoding":        text("The content codings that a body may have, if it has one that it may not.", "^identity$", "identity", false),
		"Preference-Applied":     text("The wait that was granted, if one was requested.", `^wait=([0-9]|1[0-9]|20)$`, "wait=20", false),
		"Retry-After":            text("Seconds to wait before the next try.", `^[0-9]+$`, "1", false),
		"WWW-Authenticate":       text("What is wrong with the token.", `^Bearer`, `Bearer scope="" error="invalid_token" error_description="the token does not have a valid audience"`, false),
		"Apigw-Requestid":        text("API Gateway's id of the request: quote it when you ask about one.", "", "JKJaXmPLvHcESHA=", false),
	}
}

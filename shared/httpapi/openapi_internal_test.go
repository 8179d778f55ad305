package httpapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"html/template"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"paylane/shared/order"
)

const scopeWrite = "orders/write"

const (
	tagOrders    = "orders"
	tagWebhooks  = "webhooks"
	tagOperators = "operators"
	tagService   = "service"
)

const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"
)

var update = flag.Bool("update", false, "write openapi.json and openapi.html again")

// TestOpenAPIDocument: openapi.json is the document that is made from the Go types.
func TestOpenAPIDocument(t *testing.T) {
	text, err := json.MarshalIndent(newDocument(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	fresh(t, "openapi.json", append(text, '\n'))
}

// TestOpenAPIPage: openapi.html is the page that openapi.tmpl makes of the document.
func TestOpenAPIPage(t *testing.T) {
	var page bytes.Buffer
	if err := template.Must(template.ParseFiles("openapi.tmpl")).Execute(&page, newPageContent(newDocument())); err != nil {
		t.Fatal(err)
	}
	fresh(t, "openapi.html", page.Bytes())
}

// fresh compares a checked-in file with what it is made from, or writes it again.
func fresh(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale: run go test ./shared/httpapi -run TestOpenAPI -update", name)
	}
}

// newDocument makes the OpenAPI document: what huma reads from the Go types, and what it
// can't know by hand. Payment tokens are placeholders in it; see describeTokens.
func newDocument() *huma.OpenAPI {
	h := humago.New(http.NewServeMux(), humaConfig())
	new(api).register(h)
	doc := h.OpenAPI()
	doc.Info.Description = aboutAPI
	doc.Info.License = &huma.License{Name: "Apache 2.0", Identifier: "Apache-2.0"}
	doc.Servers = []*huma.Server{{URL: "/", Description: "The origin of this document"}}
	doc.Tags = []*huma.Tag{
		{Name: tagOrders, Description: "Place orders, follow them, cancel and refund them."},
		{Name: tagWebhooks, Description: "Have events of orders posted to a server of yours, signed."},
		{Name: tagOperators, Description: "For operators of the shop, not for its checkout."},
		{Name: tagService, Description: "Open to everybody, without an access token."},
	}
	describeSchemas(doc.Components.Schemas)
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"jwt": {
		Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: aboutTokens,
	}}
	doc.Components.Parameters = map[string]*huma.Param{
		"id": {
			Name: "id", In: "path", Required: true, Description: "The order's id.",
			Schema: &huma.Schema{Type: huma.TypeString, Format: "uuid", Pattern: pathIDPattern}, Example: exampleID,
		},
		"webhook": {
			Name: "id", In: "path", Required: true, Description: "The webhook's id.",
			Schema: &huma.Schema{Type: huma.TypeString, Format: "uuid", Pattern: pathIDPattern}, Example: exampleWebhookID,
		},
		"tenant": {
			Name: "tenant", In: "query", Description: aboutTenant, Schema: &huma.Schema{Type: huma.TypeString},
		},
	}
	doc.Components.Headers = headers()
	doc.Components.Responses = sharedResponses()
	doc.Components.Links = links()
	for _, d := range operations() {
		d.describe(doc)
	}
	return doc
}

// operationDoc is what is written by hand about an operation.
type operationDoc struct {
	method, path string
	tag          string
	scope        string // empty if it is open to everybody
	description  string
	responses    map[string]*huma.Response
	links        bool // the answer is an order, with links to what can be done next
}

// describe completes an operation in the document, or adds it.
func (d operationDoc) describe(doc *huma.OpenAPI) {
	op := operationAt(doc, d.method, d.path)
	op.Tags = []string{d.tag}
	op.Description = d.description
	for i, p := range op.Parameters {
		switch {
		case p.Name == "id" && d.tag == tagWebhooks:
			op.Parameters[i] = &huma.Param{Ref: "#/components/parameters/webhook"}
		case p.Name == "id":
			op.Parameters[i] = &huma.Param{Ref: "#/components/parameters/id"}
		default:
			describeParameter(p)
		}
	}
	if op.RequestBody != nil {
		op.RequestBody.Required = d.path != "/orders/{id}/refund"
		op.RequestBody.Content[typeJSON].Examples = examples(requestExamples()[d.path])
	}
	if d.scope != "" {
		op.Security = []map[string][]string{{"jwt": {d.scope}}}
		op.Parameters = append(op.Parameters, &huma.Param{Ref: "#/components/parameters/tenant"})
		for status, name := range map[string]string{"401": "Unauthorized", "403": "Forbidden"} {
			if d.responses[status] == nil {
				d.responses[status] = &huma.Response{Ref: "#/components/responses/" + name}
			}
		}
		if d.responses["400"] == nil {
			d.responses["400"] = problems("The request names no tenant", tenantUnnamed())
		}
	}
	usual := map[string]string{"422": "UnprocessableContent"}
	if d.method == http.MethodPost || d.method == http.MethodDelete {
		usual["415"] = "UnsupportedMediaType"
	}
	for status, name := range usual {
		if d.responses[status] == nil {
			d.responses[status] = &huma.Response{Ref: "#/components/responses/" + name}
		}
	}
	for status, name := range map[string]string{"429": "TooManyRequests", "500": "InternalServerError", "503": "ServiceUnavailable"} {
		d.responses[status] = &huma.Response{Ref: "#/components/responses/" + name}
	}
	delete(op.Responses, "default") // huma's own errors, which never leave this package
	for status, r := range d.responses {
		if r.Ref == "" {
			r.Headers = maps.Clone(r.Headers)
			if r.Headers == nil {
				r.Headers = map[string]*huma.Header{}
			}
			r.Headers["Apigw-Requestid"] = headerRef("Apigw-Requestid")
			if status == "415" {
				r.Headers["Accept-Encoding"] = headerRef("Accept-Encoding")
			}
			if r.Headers["Cache-Control"] == nil && d.scope != "" {
				r.Headers["Cache-Control"] = headerRef("Cache-Control-no-store")
			}
			if d.links && status[0] == '2' {
				r.Links = linkRefs("get", "cancel", "refund", "pay", "retry", "events")
			}
		}
		op.Responses[status] = r
	}
}

// operationAt returns an operation that huma knows, or adds one that it does not.
func operationAt(doc *huma.OpenAPI, method, path string) *huma.Operation {
	item := doc.Paths[path]
	switch {
	case item == nil:
	case method == http.MethodGet && item.Get != nil:
		return item.Get
	case method == http.MethodPost && item.Post != nil:
		return item.Post
	case method == http.MethodDelete && item.Delete != nil:
		return item.Delete
	}
	op := &huma.Operation{Method: method, Path: path, Responses: map[string]*huma.Response{}}
	switch path {
	case "/orders/{id}/events":
		op.OperationID, op.Summary = "follow-order", "Follow an order"
		op.Parameters = []*huma.Param{{Name: "id"}, {
			Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString}, Example: "2",
			Description: "The id of the last event that was received; an EventSource sends it by itself when it reconnects. The order's present state is then sent only if it is newer.",
		}, {
			Name: lastEventIDParameter, In: "query", Schema: &huma.Schema{Type: huma.TypeString}, Example: "2",
			Description: "Last-Event-ID, for an EventSource that sends it here. The header takes precedence.",
		}}
	case "/healthz":
		op.OperationID, op.Summary = "get-health", "Check that the service is up"
	case "/openapi.json":
		op.OperationID, op.Summary = "get-openapi", "This document"
	case "/docs":
		op.OperationID, op.Summary = "get-docs", "This document as a page"
	}
	doc.AddOperation(op)
	return op
}

const (
	idPattern     = `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`
	etagPattern   = `^"[1-9][0-9]*"$`
	cursorPattern = `^[A-Za-z0-9_-]{34}$`
	keyPattern    = `^[!-+.-~-]{1,255}$` // no comma
	pathIDPattern = `^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`
	textPattern   = `^[^\x00]*$`
	timePattern   = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$`
)

// describeParameter adds what this package checks itself, after huma.
func describeParameter(p *huma.Param) {
	switch p.Name {
	case "Idempotency-Key":
		p.Schema.MinLength, p.Schema.MaxLength = ptr(1), ptr(order.MaxKey)
		p.Schema.Pattern, p.Example = keyPattern, "cart-77"
	case "cursor":
		p.Schema.Pattern = cursorPattern
	case "Prefer":
		p.Example = "wait=20"
	case "If-Match", "If-None-Match":
		p.Example = `"1"`
	}
}

// ifRequired marks what a document has only if every request must name a payment token.
const ifRequired = "${token.required}"

// describeSchemas adds what only shared/order knows about bodies, and what is left to the
// gateway. Schemas of answers are left open: fields may be added to them.
func describeSchemas(schemas huma.Registry) {
	all := schemas.Map()
	delete(all, "ErrorModel") // huma's own errors again
	delete(all, "ErrorDetail")
	schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	all["GatewayError"] = &huma.Schema{
		Type: huma.TypeObject, Description: "An error of Amazon API Gateway itself, before or instead of paylane's answer.",
		Properties: map[string]*huma.Schema{"message": {Type: huma.TypeString}}, Required: []string{"message"},
	}
	for _, name := range []string{"Order", "Item", "Attempt", "Failure", "OrderList", "Refund", "Webhook", "WebhookList", "WebhookEvent", "Delivery", "Problem", "FieldDetail"} {
		all[name].AdditionalProperties = nil
	}
	create, placed := all["CreateRequest"], all["Order"]
	for _, field := range create.Properties {
		field.Nullable = true // null is the same as absent
	}
	for _, field := range all["RefundRequest"].Properties {
		field.Nullable = true
	}
	for _, field := range all["CreateWebhookRequest"].Properties {
		field.Nullable = field.Type == huma.TypeArray
	}
	has := func(field string, s *huma.Schema) *huma.Schema {
		return &huma.Schema{Required: []string{field}, Properties: map[string]*huma.Schema{field: s}}
	}
	create.AnyOf = []*huma.Schema{
		has("amount", &huma.Schema{Type: huma.TypeInteger}),
		has("items", &huma.Schema{Type: huma.TypeArray, MinItems: ptr(1)}),
	}
	currencies := currencyCodes()
	create.Properties["currency"].Enum = append(slices.Clip(currencies), nil)
	placed.Properties["currency"].Enum = currencies
	for _, s := range []*huma.Schema{create, placed} {
		metadata := s.Properties["metadata"]
		metadata.MaxProperties = ptr(order.MaxMetadata)
		metadata.AdditionalProperties = &huma.Schema{Type: huma.TypeString, MaxLength: ptr(order.MaxMetadataValue)}
		metadata.Examples = []any{map[string]string{"cart": "77"}}
		metadata.Extensions = map[string]any{"propertyNames": map[string]any{"minLength": 1, "maxLength": order.MaxMetadataKey}}
	}
	for _, amount := range []*huma.Schema{
		create.Properties["amount"], placed.Properties["amount"],
		all["CreateItem"].Properties["unitPrice"], all["Item"].Properties["unitPrice"],
		all["RefundRequest"].Properties["amount"], all["Refund"].Properties["amount"], placed.Properties["refundedAmount"],
	} {
		amount.Extensions = map[string]any{"maximum": order.MaxAmount}
	}
	create.Properties["customerId"].Pattern, all["CreateItem"].Properties["sku"].Pattern = textPattern, textPattern
	all["RefundRequest"].Properties["reason"].Pattern = textPattern
	create.Properties["metadata"].AdditionalProperties.(*huma.Schema).Pattern = textPattern
	create.Properties["metadata"].Extensions["propertyNames"].(map[string]any)["pattern"] = textPattern
	create.Required = []string{"paymentToken" + ifRequired}
	token := create.Properties["paymentToken"]
	token.Description = "Stands for the means of payment at the gateway. ${token.doc} Never a card number."
	token.Default, token.Pattern, token.Examples = "${token.default}", "${token.pattern}", []any{"${token.approved}"}
	again := all["PayRequest"].Properties["paymentToken"]
	again.Description, again.Pattern, again.Examples = token.Description, token.Pattern, token.Examples
	for _, id := range []*huma.Schema{placed.Properties["id"], all["Refund"].Properties["id"], all["Webhook"].Properties["id"], all["Delivery"].Properties["orderId"]} {
		id.Pattern = idPattern
	}
	all["CreateWebhookRequest"].Properties["url"].Pattern, all["CreateWebhookRequest"].Properties["url"].Format = textPattern, "uri"
	all["Webhook"].Properties["secret"].Pattern = `^whsec_[A-Za-z0-9+/]{43}=$`
	all["OrderList"].Properties["next"].Pattern = cursorPattern
	for _, at := range []*huma.Schema{
		placed.Properties["createdAt"], placed.Properties["updatedAt"], all["Attempt"].Properties["startedAt"], all["Refund"].Properties["requestedAt"], all["Refund"].Properties["endedAt"],
		all["Webhook"].Properties["createdAt"], all["Webhook"].Properties["disabledAt"], all["Webhook"].Properties["failingSince"], all["Delivery"].Properties["at"],
	} {
		at.Pattern = timePattern
		at.Examples = []any{exampleTime}
	}
}

// currencyCodes tries every code of three letters; shared/order decides which are valid.
func currencyCodes() []any {
	var codes []any
	for i := range 26 * 26 * 26 {
		code := order.Currency([]byte{byte('A' + i/676), byte('A' + i/26%26), byte('A' + i%26)})
		if _, ok := code.MinorDigits(); ok {
			codes = append(codes, string(code))
		}
	}
	return codes
}

// links returns the links from an order to what can be done with it.
func links() map[string]*huma.Link {
	out := make(map[string]*huma.Link)
	for name, id := range map[string]string{
		"get": "get-order", "cancel": "cancel-order", "refund": "refund-order", "pay": "pay-order", "retry": "retry-order", "events": "follow-order",
	} {
		out[name] = &huma.Link{OperationID: id, Parameters: map[string]any{"id": "$response.body#/id"}}
	}
	out["newest"] = &huma.Link{OperationID: "get-order", Parameters: map[string]any{"id": "$response.body#/orders/0/id"}}
	out["next"] = &huma.Link{OperationID: "list-orders", Parameters: map[string]any{"cursor": "$response.body#/next"}}
	return out
}

func linkRefs(names ...string) map[string]*huma.Link {
	out := make(map[string]*huma.Link)
	for _, name := range names {
		out[name] = &huma.Link{Ref: "#/components/links/" + name}
	}
	return out
}

func examples(values map[string]any) map[string]*huma.Example {
	out := make(map[string]*huma.Example)
	for name, value := range values {
		out[name] = &huma.Example{Value: value}
	}
	return out
}

// problems documents the problems that are answered with one status.
func problems(description string, all ...*Problem) *huma.Response {
	values := make(map[string]any)
	for _, p := range all {
		name := anchor(p)
		for n := 2; values[name] != nil; n++ {
			name = anchor(p) + "-" + strconv.Itoa(n)
		}
		values[name] = p
	}
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{
		typeProblem: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}, Examples: examples(values)},
	}}
}

// orGateway adds the body that API Gateway sends with the same status.
func orGateway(r *huma.Response, message string) *huma.Response {
	if r.Content == nil {
		r.Content = map[string]*huma.MediaType{}
	}
	r.Content[typeJSON] = &huma.MediaType{
		Schema: &huma.Schema{Ref: "#/components/schemas/GatewayError"}, Example: map[string]string{"message": message},
	}
	return r
}

// anchor returns the last part of a problem's type, or the status of one without a type.
func anchor(p *Problem) string {
	if _, anchor, ok := strings.Cut(p.Type, "#"); ok {
		return anchor
	}
	return strings.ToLower(strings.ReplaceAll(p.Title, " ", "-"))
}

func ptr[T any](v T) *T { return &v }

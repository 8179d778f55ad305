package httpapi

import (
	"maps"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"paylane/shared/order"
)

// The scopes of access tokens. API Gateway asks for them, by the routes of the template.
const (
	// ScopeRead is for seeing orders.
	ScopeRead  = "orders/read"
	scopeWrite = "orders/write"
	// ScopeOperate is the operator's.
	ScopeOperate = "orders/operate"
)

const (
	tagOrders    = "orders"
	tagOperators = "operators"
	tagService   = "service"
)

const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"
)

// document makes the OpenAPI document: what huma reads off the Go types, and by hand
// what it can't know. It is a copy of its own, because huma validates by the schemas of
// the other one.
func document() *huma.OpenAPI {
	h := humago.New(http.NewServeMux(), humaConfig())
	new(api).register(h)
	doc := h.OpenAPI()
	doc.Info.Description = aboutAPI
	doc.Info.License = &huma.License{Name: "Apache 2.0", Identifier: "Apache-2.0"}
	doc.Servers = []*huma.Server{{URL: "/", Description: "Where this document comes from"}}
	doc.Tags = []*huma.Tag{
		{Name: tagOrders, Description: "Place orders, follow them, cancel and refund them."},
		{Name: tagOperators, Description: "For those who run the shop, not for its checkout."},
		{Name: tagService, Description: "Open to everybody; no access token is asked for."},
	}
	describeSchemas(doc.Components.Schemas)
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"jwt": {
		Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: aboutTokens,
	}}
	doc.Components.Parameters = map[string]*huma.Param{
		"id": {
			Name: "id", In: "path", Required: true, Description: "The order's id.",
			Schema: &huma.Schema{Type: huma.TypeString, Format: "uuid", Pattern: idPattern}, Example: exampleID,
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

// operationDoc is what is said by hand about an operation.
type operationDoc struct {
	method, path string
	tag          string
	scope        string // empty if it is open to all
	description  string
	responses    map[string]*huma.Response
	links        bool // an order comes back, with what can be done next
}

// describe completes an operation in the document, or adds it.
func (d operationDoc) describe(doc *huma.OpenAPI) {
	op := operationAt(doc, d.method, d.path)
	op.Tags = []string{d.tag}
	op.Description = d.description
	for i, p := range op.Parameters {
		if p.Name == "id" {
			op.Parameters[i] = &huma.Param{Ref: "#/components/parameters/id"}
		} else {
			describeParameter(p)
		}
	}
	if op.RequestBody != nil {
		op.RequestBody.Required = true
		op.RequestBody.Content[typeJSON].Examples = examples(createExamples())
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
	for status, name := range map[string]string{"429": "TooManyRequests", "500": "InternalServerError", "503": "ServiceUnavailable"} {
		d.responses[status] = &huma.Response{Ref: "#/components/responses/" + name}
	}
	delete(op.Responses, "default") // huma's own form of errors, which never leaves this package
	for status, r := range d.responses {
		if r.Ref == "" {
			r.Headers = maps.Clone(r.Headers)
			if r.Headers == nil {
				r.Headers = map[string]*huma.Header{}
			}
			r.Headers["Apigw-Requestid"] = headerRef("Apigw-Requestid")
			if d.links && status[0] == '2' {
				r.Links = linkRefs("get", "cancel", "refund", "retry", "events")
			}
		}
		op.Responses[status] = r
	}
}

// operationAt finds an operation that huma knows, or adds one that it does not.
func operationAt(doc *huma.OpenAPI, method, path string) *huma.Operation {
	item := doc.Paths[path]
	switch {
	case item == nil:
	case method == http.MethodGet && item.Get != nil:
		return item.Get
	case method == http.MethodPost && item.Post != nil:
		return item.Post
	}
	op := &huma.Operation{Method: method, Path: path, Responses: map[string]*huma.Response{}}
	switch path {
	case "/orders/{id}/events":
		op.OperationID, op.Summary = "follow-order", "Follow an order"
		op.Parameters = []*huma.Param{{Name: "id"}, {
			Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString}, Example: "2",
			Description: "The id of the last event that was seen; EventSource sends it by itself when it reconnects. The order's present state is then sent only if it is another.",
		}}
	case "/healthz":
		op.OperationID, op.Summary = "get-health", "Is it up?"
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
	keyPattern    = `^[!-~]{1,255}$`
	timePattern   = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$`
	tokenPattern  = `^tok_(ok|declined|insufficient_funds|expired_card|outage|timeout_charged|timeout_not_charged|` +
		`flaky_[1-9]|unknown_([0-9]|[1-9][0-9]|[1-5][0-9]{2}|600)|slow_([0-9]|[1-9][0-9]{1,2}|[1-7][0-9]{3}|8000))$`
)

// describeParameter says what this package checks itself, after huma.
func describeParameter(p *huma.Param) {
	switch p.Name {
	case "Idempotency-Key":
		p.Schema.MinLength, p.Schema.MaxLength = ptr(1), ptr(order.MaxKey)
		p.Schema.Pattern, p.Example = keyPattern, "cart-77"
	case "cursor":
		p.Schema.Pattern = cursorPattern
	case "Prefer":
		p.Example = "wait=20"
	case "If-None-Match":
		p.Example = `"1"`
	}
}

// describeSchemas says of bodies what only shared/order knows, and leaves answers open:
// a field may be added to them.
func describeSchemas(schemas huma.Registry) {
	all := schemas.Map()
	delete(all, "ErrorModel") // huma's own form of errors again
	delete(all, "ErrorDetail")
	schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	all["GatewayError"] = &huma.Schema{
		Type: huma.TypeObject, Description: "An error of Amazon API Gateway's own, before or instead of paylane's answer.",
		Properties: map[string]*huma.Schema{"message": {Type: huma.TypeString}}, Required: []string{"message"},
	}
	for _, name := range []string{"Order", "Item", "Attempt", "Failure", "OrderList", "Problem", "FieldDetail"} {
		all[name].AdditionalProperties = nil
	}
	create, placed := all["CreateRequest"], all["Order"]
	for _, field := range create.Properties {
		field.Nullable = true // null is the same as absent
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
		metadata.Extensions = map[string]any{"propertyNames": map[string]int{"minLength": 1, "maxLength": order.MaxMetadataKey}}
	}
	for _, amount := range []*huma.Schema{
		create.Properties["amount"], placed.Properties["amount"],
		all["CreateItem"].Properties["unitPrice"], all["Item"].Properties["unitPrice"],
	} {
		amount.Extensions = map[string]any{"maximum": int64(math.MaxInt64)} // which a float64 can't hold
	}
	create.Properties["paymentToken"].Pattern = tokenPattern
	placed.Properties["id"].Pattern = idPattern
	all["OrderList"].Properties["next"].Pattern = cursorPattern
	for _, at := range []*huma.Schema{placed.Properties["createdAt"], placed.Properties["updatedAt"], all["Attempt"].Properties["startedAt"]} {
		at.Pattern = timePattern
		at.Examples = []any{exampleTime}
	}
}

// currencyCodes tries every code of three letters; shared/order decides which there are.
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

// links lead from an order to what can be done with it.
func links() map[string]*huma.Link {
	out := make(map[string]*huma.Link)
	for name, id := range map[string]string{
		"get": "get-order", "cancel": "cancel-order", "refund": "refund-order", "retry": "retry-order", "events": "follow-order",
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

// problems documents the answers of one status that are problems of ours.
func problems(description string, all ...*Problem) *huma.Response {
	values := make(map[string]any)
	for _, p := range all {
		name := p.anchor()
		for n := 2; values[name] != nil; n++ {
			name = p.anchor() + "-" + strconv.Itoa(n)
		}
		values[name] = p
	}
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{
		typeProblem: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}, Examples: examples(values)},
	}}
}

// orGateway adds the body that API Gateway gives for the same status.
func orGateway(r *huma.Response, message string) *huma.Response {
	if r.Content == nil {
		r.Content = map[string]*huma.MediaType{}
	}
	r.Content[typeJSON] = &huma.MediaType{
		Schema: &huma.Schema{Ref: "#/components/schemas/GatewayError"}, Example: map[string]string{"message": message},
	}
	return r
}

func ptr[T any](v T) *T { return &v }

package httpapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsTemplate string

// docs serves the OpenAPI document and a page made from it. Both are made at the
// first request, so that a function that serves neither starts no later for them.
type docs struct {
	json func() []byte
	html func() []byte
}

func newDocs(doc *huma.OpenAPI) *docs {
	return &docs{
		json: sync.OnceValue(func() []byte {
			text, err := json.Marshal(doc)
			if err != nil {
				panic(err) // the document is made of our own types
			}
			return text
		}),
		html: sync.OnceValue(func() []byte {
			var page bytes.Buffer
			t := template.Must(template.New("docs").Parse(docsTemplate))
			if err := t.Execute(&page, newDocsPage(doc)); err != nil {
				panic(err)
			}
			return page.Bytes()
		}),
	}
}

func (d *docs) serveJSON(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(d.json())
}

func (d *docs) serveHTML(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_, _ = w.Write(d.html())
}

// docsPage is what the template shows.
type docsPage struct {
	Title, Description string
	Operations         []docsOperation
	Schemas            []docsSchema
	Problems           []docsProblem
}

type docsOperation struct {
	Method, Path, Summary string
	Parameters            []docsField
	Body                  string // name of its schema
	Responses             []docsResponse
}

type docsResponse struct {
	Status, Description, Body string
}

type docsSchema struct {
	Name   string
	Fields []docsField
}

type docsField struct {
	Name, In, Type, Doc string
	Required            bool
}

type docsProblem struct {
	Anchor, Title string
	Status        int
}

func newDocsPage(doc *huma.OpenAPI) docsPage {
	page := docsPage{Title: doc.Info.Title, Description: doc.Info.Description}
	for _, t := range []problemType{
		typeInvalid, typeCard, typeKeyReused, typeKeyMalformed, typeCursor, typeNotFound, typeState, typeTenant, typeUnavailable,
	} {
		page.Problems = append(page.Problems, docsProblem{Anchor: t.anchor, Title: t.title, Status: t.status})
	}
	for _, path := range sortedKeys(doc.Paths) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post} {
			if op != nil {
				page.Operations = append(page.Operations, newDocsOperation(path, op))
			}
		}
	}
	schemas := doc.Components.Schemas.Map()
	for _, name := range sortedKeys(schemas) {
		s := docsSchema{Name: name}
		for _, field := range sortedKeys(schemas[name].Properties) {
			p := schemas[name].Properties[field]
			s.Fields = append(s.Fields, docsField{
				Name: field, Type: typeName(p), Doc: p.Description,
				Required: slices.Contains(schemas[name].Required, field),
			})
		}
		page.Schemas = append(page.Schemas, s)
	}
	return page
}

func newDocsOperation(path string, op *huma.Operation) docsOperation {
	out := docsOperation{Method: op.Method, Path: path, Summary: op.Summary}
	for _, p := range op.Parameters {
		out.Parameters = append(out.Parameters, docsField{
			Name: p.Name, In: p.In, Type: typeName(p.Schema), Doc: p.Description, Required: p.Required,
		})
	}
	if op.RequestBody != nil {
		out.Body = contentType(op.RequestBody.Content)
	}
	for _, status := range sortedKeys(op.Responses) {
		r := op.Responses[status]
		out.Responses = append(out.Responses, docsResponse{
			Status: status, Description: r.Description, Body: contentType(r.Content),
		})
	}
	return out
}

func contentType(content map[string]*huma.MediaType) string {
	for _, name := range sortedKeys(content) {
		return typeName(content[name].Schema)
	}
	return ""
}

func typeName(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Type == huma.TypeArray:
		return "list of " + typeName(s.Items)
	default:
		return s.Type
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

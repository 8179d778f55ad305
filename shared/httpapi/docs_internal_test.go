package httpapi

import (
	"bytes"
	"flag"
	"html/template"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

var update = flag.Bool("update", false, "write docs.html and openapi.yaml anew")

// TestDocs: the page is the one that docs.tmpl makes of the OpenAPI document.
func TestDocs(t *testing.T) {
	var page bytes.Buffer
	if err := template.Must(template.ParseFiles("docs.tmpl")).Execute(&page, newDocsContent(document())); err != nil {
		t.Fatal(err)
	}
	fresh(t, "docs.html", page.Bytes())
}

// TestDocsOpenAPI: openapi.yaml is the document that /openapi.json serves.
func TestDocsOpenAPI(t *testing.T) {
	text, err := document().YAML()
	if err != nil {
		t.Fatal(err)
	}
	fresh(t, "openapi.yaml", text)
}

// fresh compares a checked-in file with what it is made from, or writes it anew.
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
		t.Errorf("%s is stale: run go test ./shared/httpapi -run TestDocs -update", name)
	}
}

// docsContent is what the template shows.
type docsContent struct {
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

func newDocsContent(doc *huma.OpenAPI) docsContent {
	page := docsContent{Title: doc.Info.Title, Description: doc.Info.Description}
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

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

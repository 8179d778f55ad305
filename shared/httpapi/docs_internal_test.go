package httpapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
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
	Title   string
	About   []string // paragraphs
	Tokens  string
	Groups  []docsGroup
	Schemas []docsSchema
	// Problems have a type of their own; the others are all in their status.
	Problems []docsProblem
	Headers  []docsField
}

type docsGroup struct {
	Name, About string
	Operations  []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Scope string
	Description                      []docsText
	Parameters                       []docsField
	Body                             string // name of its schema
	Responses                        []docsResponse
	Requests, Answers                []docsExample
}

// docsText is a paragraph, or a text that is shown as it is.
type docsText struct {
	Text     string
	Verbatim bool
}

type docsResponse struct {
	Status, Description string
	Bodies              []string
	Headers             []string
	Problems            []string // their anchors
}

type docsExample struct {
	Name, Text string
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
	page := docsContent{
		Title: doc.Info.Title, About: strings.Split(doc.Info.Description, "\n\n"),
		Tokens: doc.Components.SecuritySchemes["jwt"].Description,
	}
	for _, t := range []problemType{
		typeInvalid, typeCard, typeKeyReused, typeKeyMalformed, typeCursor, typeNotFound, typeState, typeTenant, typeTenantUnnamed, typeUnavailable,
	} {
		page.Problems = append(page.Problems, docsProblem{Anchor: t.anchor, Title: t.title, Status: t.status})
	}
	for _, tag := range doc.Tags {
		group := docsGroup{Name: tag.Name, About: tag.Description}
		for _, d := range operations() {
			if d.tag == tag.Name {
				group.Operations = append(group.Operations, newDocsOperation(doc, operationAt(doc, d.method, d.path), d))
			}
		}
		page.Groups = append(page.Groups, group)
	}
	schemas := doc.Components.Schemas.Map()
	for _, name := range sortedKeys(schemas) {
		s := docsSchema{Name: name}
		for _, field := range sortedKeys(schemas[name].Properties) {
			p := schemas[name].Properties[field]
			s.Fields = append(s.Fields, docsField{
				Name: field, Type: typeName(p), Doc: described(p),
				Required: slices.Contains(schemas[name].Required, field),
			})
		}
		page.Schemas = append(page.Schemas, s)
	}
	for _, name := range sortedKeys(doc.Components.Headers) {
		h := doc.Components.Headers[name]
		page.Headers = append(page.Headers, docsField{Name: name, Type: fmt.Sprint(h.Example), Doc: h.Description})
	}
	return page
}

func newDocsOperation(doc *huma.OpenAPI, op *huma.Operation, d operationDoc) docsOperation {
	out := docsOperation{ID: op.OperationID, Method: d.method, Path: d.path, Summary: op.Summary, Scope: d.scope}
	for text := range strings.SplitSeq(op.Description, "\n\n") {
		verbatim := strings.HasPrefix(text, "    ")
		if n := len(out.Description); verbatim && n > 0 && out.Description[n-1].Verbatim {
			out.Description[n-1].Text += "\n\n" + strings.ReplaceAll(text[4:], "\n    ", "\n")
		} else if text != "" {
			out.Description = append(out.Description, docsText{strings.ReplaceAll(strings.TrimSpace(text), "\n    ", "\n"), verbatim})
		}
	}
	for _, p := range op.Parameters {
		if p.Ref != "" {
			p = doc.Components.Parameters[last(p.Ref)]
		}
		text := p.Description
		if limits := limited(p.Schema); limits != "" {
			text += " (" + limits + ")"
		}
		out.Parameters = append(out.Parameters, docsField{Name: p.Name, In: p.In, Type: typeName(p.Schema), Doc: text, Required: p.Required})
	}
	if op.RequestBody != nil {
		out.Body = typeName(op.RequestBody.Content[typeJSON].Schema)
		out.Requests = docsExamples("", op.RequestBody.Content)
	}
	for _, status := range sortedKeys(op.Responses) {
		r := op.Responses[status]
		if r.Ref != "" {
			r = doc.Components.Responses[last(r.Ref)]
		}
		row := docsResponse{Status: status, Description: r.Description}
		for _, media := range sortedKeys(r.Content) {
			if schema := r.Content[media].Schema; schema.Ref != "" {
				row.Bodies = append(row.Bodies, typeName(schema))
			}
			if media != typeProblem {
				continue
			}
			for _, example := range sortedKeys(r.Content[media].Examples) {
				if p := r.Content[media].Examples[example].Value.(*Problem); strings.Contains(p.Type, "#") && !slices.Contains(row.Problems, p.anchor()) {
					row.Problems = append(row.Problems, p.anchor())
				}
			}
		}
		for _, name := range sortedKeys(r.Headers) {
			if name != "Apigw-Requestid" { // which every answer has
				row.Headers = append(row.Headers, last(r.Headers[name].Ref))
			}
		}
		if status[0] == '2' {
			out.Answers = append(out.Answers, docsExamples(status+" ", r.Content)...)
		}
		out.Responses = append(out.Responses, row)
	}
	return out
}

func docsExamples(prefix string, content map[string]*huma.MediaType) []docsExample {
	var out []docsExample
	for _, media := range sortedKeys(content) {
		if text, ok := content[media].Example.(string); ok {
			out = append(out, docsExample{strings.TrimSpace(prefix), text})
		}
		for _, name := range sortedKeys(content[media].Examples) {
			var text bytes.Buffer
			encoder := json.NewEncoder(&text)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(content[media].Examples[name].Value); err != nil {
				panic(err) // fails the test
			}
			out = append(out, docsExample{prefix + name, strings.TrimSpace(text.String())})
		}
	}
	return out
}

func typeName(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return last(s.Ref)
	case s.Type == huma.TypeArray:
		return "list of " + typeName(s.Items)
	default:
		return s.Type
	}
}

// described is what a schema says of itself and of its limits.
func described(s *huma.Schema) string {
	limits := limited(s)
	switch {
	case limits == "":
		return s.Description
	case s.Description == "":
		return strings.ToUpper(limits[:1]) + limits[1:] + "."
	default:
		return s.Description + " (" + limits + ")"
	}
}

// limited says what limits a schema has. A list of codes is left to the document.
func limited(s *huma.Schema) string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch {
	case s.MinLength != nil && s.MaxLength != nil && *s.MinLength == *s.MaxLength:
		add("%d characters", *s.MinLength)
	case s.MinLength != nil && s.MaxLength != nil:
		add("%d to %d characters", *s.MinLength, *s.MaxLength)
	case s.MaxLength != nil:
		add("up to %d characters", *s.MaxLength)
	}
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		add("%v to %v", *s.Minimum, *s.Maximum)
	case s.Minimum != nil:
		add("at least %v", *s.Minimum)
	}
	if s.MaxItems != nil {
		add("up to %d", *s.MaxItems)
	}
	if n := len(s.Enum); n > 0 && n < 20 {
		var values []string
		for _, v := range s.Enum {
			values = append(values, fmt.Sprint(v))
		}
		add("one of %s", strings.Join(values, ", "))
	}
	if s.Default != nil {
		add("default %v", s.Default)
	}
	return strings.Join(out, "; ")
}

// last is the last part of a reference.
func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// pageContent is what openapi.tmpl shows.
type pageContent struct {
	Title   string
	About   []string // paragraphs
	Tokens  string
	Groups  []pageGroup
	Schemas []pageSchema
	// Problems are those with a type; the status of any other says everything.
	Problems []pageProblem
	Headers  []pageField
}

type pageGroup struct {
	Name, About string
	Operations  []pageOperation
}

type pageOperation struct {
	ID, Method, Path, Summary, Scope string
	Description                      []pageText
	Parameters                       []pageField
	Body                             string // name of its schema
	Responses                        []pageResponse
	Requests, Answers                []pageExample
}

// pageText is a paragraph, or text that is shown verbatim.
type pageText struct {
	Text     string
	Verbatim bool
}

type pageResponse struct {
	Status, Description string
	Bodies              []string
	Headers             []string
	Problems            []string // their anchors
}

type pageExample struct {
	Name, Text string
}

type pageSchema struct {
	Name   string
	Fields []pageField
}

type pageField struct {
	Name, In, Type, Doc string
	Required            string // "required", a mark, or nothing
}

type pageProblem struct {
	Anchor, Title string
	Status        int
}

func newPageContent(doc *huma.OpenAPI) pageContent {
	page := pageContent{
		Title: doc.Info.Title, About: strings.Split(doc.Info.Description, "\n\n"),
		Tokens: doc.Components.SecuritySchemes["jwt"].Description,
	}
	for _, t := range []problemType{
		typeInvalid, typeCard, typeKeyReused, typeKeyRequired, typeKeyMalformed, typeCursor, typeNotFound, typeState, typeTenant, typeTenantUnnamed,
		typePrecondition, typeTooManyOpen, typeUnavailable,
	} {
		page.Problems = append(page.Problems, pageProblem{Anchor: t.anchor, Title: t.title, Status: t.status})
	}
	for _, tag := range doc.Tags {
		group := pageGroup{Name: tag.Name, About: tag.Description}
		for _, d := range operations() {
			if d.tag == tag.Name {
				group.Operations = append(group.Operations, newPageOperation(doc, operationAt(doc, d.method, d.path), d))
			}
		}
		page.Groups = append(page.Groups, group)
	}
	schemas := doc.Components.Schemas.Map()
	for _, name := range sortedKeys(schemas) {
		s := pageSchema{Name: name}
		for _, field := range sortedKeys(schemas[name].Properties) {
			p := schemas[name].Properties[field]
			row := pageField{Name: field, Type: typeName(p), Doc: described(p)}
			for _, required := range schemas[name].Required {
				if mark, ok := strings.CutPrefix(required, field); ok && (mark == "" || mark == ifRequired) {
					row.Required = "required" + mark
				}
			}
			s.Fields = append(s.Fields, row)
		}
		page.Schemas = append(page.Schemas, s)
	}
	for _, name := range sortedKeys(doc.Components.Headers) {
		h := doc.Components.Headers[name]
		page.Headers = append(page.Headers, pageField{Name: name, Type: fmt.Sprint(h.Example), Doc: h.Description})
	}
	return page
}

func newPageOperation(doc *huma.OpenAPI, op *huma.Operation, d operationDoc) pageOperation {
	out := pageOperation{ID: op.OperationID, Method: d.method, Path: d.path, Summary: op.Summary, Scope: d.scope}
	for text := range strings.SplitSeq(op.Description, "\n\n") {
		verbatim := strings.HasPrefix(text, "    ")
		if n := len(out.Description); verbatim && n > 0 && out.Description[n-1].Verbatim {
			out.Description[n-1].Text += "\n\n" + strings.ReplaceAll(text[4:], "\n    ", "\n")
		} else if text != "" {
			out.Description = append(out.Description, pageText{strings.ReplaceAll(strings.TrimSpace(text), "\n    ", "\n"), verbatim})
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
		out.Parameters = append(out.Parameters, pageField{Name: p.Name, In: p.In, Type: typeName(p.Schema), Doc: text})
	}
	if op.RequestBody != nil {
		out.Body = typeName(op.RequestBody.Content[typeJSON].Schema)
		out.Requests = pageExamples("", op.RequestBody.Content)
	}
	for _, status := range sortedKeys(op.Responses) {
		r := op.Responses[status]
		if r.Ref != "" {
			r = doc.Components.Responses[last(r.Ref)]
		}
		row := pageResponse{Status: status, Description: r.Description}
		for _, media := range sortedKeys(r.Content) {
			if schema := r.Content[media].Schema; schema.Ref != "" {
				row.Bodies = append(row.Bodies, typeName(schema))
			}
			if media != typeProblem {
				continue
			}
			for _, example := range sortedKeys(r.Content[media].Examples) {
				if p := r.Content[media].Examples[example].Value.(*Problem); strings.Contains(p.Type, "#") && !slices.Contains(row.Problems, anchor(p)) {
					row.Problems = append(row.Problems, anchor(p))
				}
			}
		}
		for _, name := range sortedKeys(r.Headers) {
			if name != "Apigw-Requestid" { // every answer has it
				row.Headers = append(row.Headers, last(r.Headers[name].Ref))
			}
		}
		if status[0] == '2' {
			out.Answers = append(out.Answers, pageExamples(status+" ", r.Content)...)
		}
		out.Responses = append(out.Responses, row)
	}
	return out
}

func pageExamples(prefix string, content map[string]*huma.MediaType) []pageExample {
	var out []pageExample
	for _, media := range sortedKeys(content) {
		if text, ok := content[media].Example.(string); ok {
			out = append(out, pageExample{strings.TrimSpace(prefix), text})
		}
		for _, name := range sortedKeys(content[media].Examples) {
			var text bytes.Buffer
			encoder := json.NewEncoder(&text)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(content[media].Examples[name].Value); err != nil {
				panic(err) // fails the test
			}
			out = append(out, pageExample{prefix + name, strings.TrimSpace(text.String())})
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

// described returns a schema's description, with its limits.
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

// limited lists a schema's limits. A long list of values is left to the document.
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

// last returns the last part of a reference.
func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

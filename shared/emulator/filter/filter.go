// Package filter matches records of an event source against event patterns, as the
// FilterCriteria of an event source mapping do ("Control which events Lambda sends
// to your function" in the Lambda developer guide).
//
// A pattern is a JSON object shaped like the record. Where the record has a value, the
// pattern has a list of what it may be:
//
//	{"body": {"kind": ["order", {"prefix": "re"}], "amount": [{"numeric": [">", 0]}]}}
//
// [Compile] reads a pattern once; [Pattern.Match] then matches records.
package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Pattern is a compiled event pattern. It may be used concurrently.
type Pattern struct {
	root object
	body bool // whether it has rules for the body
}

// object is a pattern for a JSON object: every field must match, and if there are
// alternatives ($or) one of them too.
type object struct {
	fields map[string]field
	or     [][]object
}

// field is a pattern for one key: rules for a value, or a nested object.
type field struct {
	rules []rule
	inner *object
}

// Compile reads a pattern. The error says why Lambda would refuse it.
func Compile(pattern string) (*Pattern, error) {
	decoder := json.NewDecoder(strings.NewReader(pattern))
	var raw any
	if err := decoder.Decode(&raw); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the pattern")
	}
	fields, ok := raw.(map[string]any)
	if !ok {
		return nil, errors.New("a pattern must be a JSON object")
	}
	root, err := compileObject(fields)
	if err != nil {
		return nil, err
	}
	return &Pattern{root: root, body: mentionsBody(root)}, nil
}

// CompileAll reads the patterns of a mapping.
func CompileAll(patterns []string) ([]*Pattern, error) {
	var all []*Pattern
	for _, pattern := range patterns {
		compiled, err := Compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("invalid filter pattern definition: %w", err)
		}
		all = append(all, compiled)
	}
	return all, nil
}

func mentionsBody(o object) bool {
	if _, ok := o.fields["body"]; ok {
		return true
	}
	for _, alternatives := range o.or {
		for _, one := range alternatives {
			if mentionsBody(one) {
				return true
			}
		}
	}
	return false
}

func compileObject(raw map[string]any) (object, error) {
	made := object{fields: make(map[string]field, len(raw))}
	for key, value := range raw {
		if key == "$or" {
			alternatives, err := compileOr(value)
			if err != nil {
				return object{}, err
			}
			made.or = append(made.or, alternatives)
			continue
		}
		switch value := value.(type) {
		case map[string]any:
			inner, err := compileObject(value)
			if err != nil {
				return object{}, err
			}
			made.fields[key] = field{inner: &inner}
		case []any:
			rules, err := compileRules(value)
			if err != nil {
				return object{}, fmt.Errorf("%q: %w", key, err)
			}
			made.fields[key] = field{rules: rules}
		default:
			return object{}, fmt.Errorf("%q must be an object or an array", key)
		}
	}
	return made, nil
}

func compileOr(raw any) ([]object, error) {
	list, ok := raw.([]any)
	if !ok || len(list) < 2 {
		return nil, errors.New("$or needs an array of two objects or more")
	}
	var alternatives []object
	for _, item := range list {
		fields, ok := item.(map[string]any)
		if !ok {
			return nil, errors.New("$or needs an array of objects")
		}
		one, err := compileObject(fields)
		if err != nil {
			return nil, err
		}
		alternatives = append(alternatives, one)
	}
	return alternatives, nil
}

// Match reports whether a record of SQS matches: its fields as they are in the event, the
// body as a string. A body that the pattern treats as JSON must be JSON, and one that it
// treats as a string must not be; otherwise nothing matches.
func (p *Pattern) Match(record map[string]any) bool {
	if !p.body {
		return p.root.match(record)
	}
	seen := make(map[string]any, len(record))
	for key, value := range record {
		seen[key] = value
	}
	if text, ok := record["body"].(string); ok {
		seen["body"] = parsedBody(text)
	}
	return p.root.match(seen)
}

// parsedBody decodes a body that is a JSON object or array.
func parsedBody(text string) any {
	trimmed := strings.TrimLeft(text, " \t\r\n")
	if !strings.HasPrefix(trimmed, "{") && !strings.HasPrefix(trimmed, "[") {
		return text
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	var value any
	if err := decoder.Decode(&value); err != nil {
		return text
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return text
	}
	return value
}

func (o object) match(value map[string]any) bool {
	for key, f := range o.fields {
		if !f.match(value[key], hasKey(value, key)) {
			return false
		}
	}
	for _, alternatives := range o.or {
		if !anyMatches(alternatives, value) {
			return false
		}
	}
	return true
}

func hasKey(value map[string]any, key string) bool {
	_, ok := value[key]
	return ok
}

func anyMatches(alternatives []object, value map[string]any) bool {
	for _, one := range alternatives {
		if one.match(value) {
			return true
		}
	}
	return false
}

// match matches one key's value. A list matches if one of its elements does.
func (f field) match(value any, present bool) bool {
	if f.inner != nil {
		switch value := value.(type) {
		case map[string]any:
			return f.inner.match(value)
		case []any:
			for _, item := range value {
				if inner, ok := item.(map[string]any); ok && f.inner.match(inner) {
					return true
				}
			}
			return false
		}
		// An absent value can only match rules that ask for absence.
		return !present && f.inner.match(nil)
	}
	list, isList := value.([]any)
	if !isList || len(list) == 0 {
		list = []any{value}
		present = present && !isList
	}
	for _, item := range list {
		_, isObject := item.(map[string]any)
		for _, r := range f.rules {
			if r(item, present && !isObject) {
				return true
			}
		}
	}
	return false
}

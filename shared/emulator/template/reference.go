package template

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// beginning is how dynamic references begin. In a value that must not be expanded, hidden
// takes its place.
const beginning, hidden = "{{resolve:", "{{\x00resolve:"

// final returns an evaluated scalar as it is used: with the local addresses of APIs, and
// with its dynamic references resolved. CloudFormation resolves them last of all, so that
// intrinsic functions see and can build the references themselves. What a reference
// returned is not expanded again. After a problem, which is reported here, and for a value
// that is read later, the result is an invalid node.
func (r *reader) final(n *node, path string) *node {
	n = r.localAddress(n)
	if n == nil || n.kind != scalar || !strings.Contains(n.text, "resolve:") {
		return n
	}
	var out strings.Builder
	known := true // all so far; the others are asked for as well, so that each is named
	before, rest, more := strings.Cut(n.text, beginning)
	for ; more; before, rest, more = strings.Cut(rest, beginning) {
		out.WriteString(strings.ReplaceAll(before, hidden, beginning))
		inner, after, closed := strings.Cut(rest, "}}")
		reference, ok := parseReference(inner)
		if !closed || !ok {
			r.add(n, path, "%s is not a dynamic reference such as {{resolve:ssm:name}}, {{resolve:ssm-secure:name}} or "+
				"{{resolve:secretsmanager:name:SecretString:key}}", quote(beginning+rest))
			return n.bad()
		}
		value, ok := r.referenced(n, path, reference)
		known = known && ok
		out.WriteString(value)
		if rest = after; out.Len() > maxText {
			break
		}
	}
	if !known {
		return n.bad()
	}
	out.WriteString(strings.ReplaceAll(before, hidden, beginning))
	return r.built(n, path, out.String())
}

// parameterKey is how references to parameters of Systems Manager go on.
var parameterKey = regexp.MustCompile(`^([\w./-]+)(?::([0-9]+))?$`)

// parseReference reads what is between "{{resolve:" and "}}" ("Get values stored in other
// services using dynamic references", CloudFormation user guide).
func parseReference(inner string) (Reference, bool) {
	service, key, _ := strings.Cut(inner, ":")
	switch service {
	case "ssm", "ssm-secure":
		parts := parameterKey.FindStringSubmatch(key)
		if parts == nil {
			return Reference{}, false
		}
		return Reference{Service: service, Name: parts[1], Version: parts[2]}, true
	case "secretsmanager":
		name := 1
		if strings.HasPrefix(key, "arn:") {
			name = 7
		}
		parts := strings.Split(key, ":")
		if len(parts) < name || len(parts) > name+4 {
			return Reference{}, false
		}
		segments := append(slices.Clone(parts[name:]), "", "", "", "")
		reference := Reference{
			Service: service, Name: strings.Join(parts[:name], ":"),
			Key: segments[1], Stage: segments[2], VersionID: segments[3],
		}
		ok := reference.Name != "" && (segments[0] == "SecretString" || segments[0] == "") &&
			(reference.Stage == "" || reference.VersionID == "")
		return reference, ok
	}
	return Reference{}, false
}

// String returns the reference as a template has it.
func (f Reference) String() string {
	text := "{{resolve:" + f.Service + ":" + f.Name
	if f.Service == "secretsmanager" {
		return text + ":" + strings.TrimRight("SecretString:"+f.Key+":"+f.Stage+":"+f.VersionID, ":") + "}}"
	}
	return strings.TrimSuffix(text+":"+f.Version, ":") + "}}"
}

// referenced returns the value of a reference: the one in this template, or else the
// Lookup's.
func (r *reader) referenced(n *node, path string, f Reference) (string, bool) {
	if r.steps++; r.steps > maxSteps {
		r.add(nil, "", "it has too many dynamic references to resolve")
		return "", false
	}
	if value, there, ok := r.ownReferenced(n, path, f); there {
		return value, ok
	}
	if r.options.Lookup == nil {
		r.unknown(n, path, "the value of %s is kept elsewhere: give --endpoint URL where it is", f)
		return "", false
	}
	return r.lookup(n, path, f, "")
}

// ownReferenced is referenced for a parameter or a secret of this template whose value it
// has too.
func (r *reader) ownReferenced(n *node, path string, f Reference) (value string, there, ok bool) {
	typ, property := typeSSMParameter, "Value"
	if f.Service == "secretsmanager" {
		typ, property = typeSecret, "SecretString"
	}
	for _, res := range r.order {
		if res.typ != typ || !res.exists || res.properties.get(property) == nil ||
			slices.Contains(r.evaluating, nameOf(res)) {
			continue
		}
		name, known := r.physicalName(n, path, res)
		if !known || f.Name != name && f.Name != r.fill(returns[typ].ref, res, name) {
			continue
		}
		if !r.enter(n, path, "the value of "+res.id) {
			return "", true, false
		}
		text := r.final(r.propertyValue(n, path, res, property), path)
		r.leave()
		if text.kind != scalar {
			return "", true, false
		}
		if f.Key == "" {
			return text.text, true, true
		}
		value, ok = keyOf(text.text, f.Key)
		if !ok {
			r.add(n, path, "the SecretString of %s is not JSON with the key %s", res.id, quote(f.Key))
		}
		return value, true, ok
	}
	return "", false, false
}

// keyOf returns the value of a key of a secret, which is JSON.
func keyOf(secret, key string) (string, bool) {
	var values map[string]json.RawMessage
	if json.Unmarshal([]byte(secret), &values) != nil || values[key] == nil {
		return "", false
	}
	var text string
	if json.Unmarshal(values[key], &text) != nil { // a number, say
		text = string(values[key])
	}
	return text, true
}

// lookup asks the Lookup, once for each value. What can be done instead ends a problem's text.
func (r *reader) lookup(n *node, path string, f Reference, instead string) (string, bool) {
	found, asked := r.found[f]
	if !asked {
		found.value, found.err = r.options.Lookup(f)
		r.found[f] = found
		r.made.Lookups = append(r.made.Lookups, f)
	}
	switch {
	case errors.Is(found.err, ErrLater): // whatever depends on it is left out
	case found.err != nil:
		r.unknown(n, path, "the value of %s: %v%s", f, found.err, instead)
	}
	return found.value, found.err == nil
}

// found is what a Lookup returned.
type found struct {
	value string
	err   error
}

// unknown reports that a value is not known here, though it may be on AWS. Where the value
// is for people only, it is not a problem.
func (r *reader) unknown(n *node, path, format string, args ...any) {
	if r.output == nil {
		r.add(n, path, format, args...)
		return
	}
	r.output.Unknown = cmp.Or(r.output.Unknown, fmt.Sprintf(format, args...))
}

// stored returns the value of a parameter whose Default is the value's name in Systems
// Manager.
func (r *reader) stored(e entry, path, name string) (string, bool) {
	if r.options.Lookup == nil {
		r.add(e.at, path, "its value is that of %s in Systems Manager: give it by --parameter %s=Value, or --endpoint URL where it is",
			quote(name), e.key)
		return "", false
	}
	text, ok := r.lookup(e.at, path, Reference{Service: "ssm", Name: name}, ", or give it by --parameter "+e.key+"=Value")
	return strings.ReplaceAll(text, beginning, hidden), ok
}

// nameOf is what [reader.enter] calls the evaluation of a resource's name.
func nameOf(res *resource) string { return "the name of " + res.id }

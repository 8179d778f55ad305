package template

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// properties reads a mapping key by key. [properties.done] then reports every key that
// was not read, so that none is ignored by oversight.
type properties struct {
	r    *reader
	n    *node  // nil if the mapping is absent
	near *node  // the place of a problem with an absent mapping
	path string // for messages
	// typ is what [accepted] calls this mapping: a resource type, with the part of it if
	// this is a part, such as "AWS::Serverless::Function Events SQS".
	typ   string
	asked map[string]bool
}

// propertiesOfResource begins to read a resource's properties.
func (r *reader) propertiesOfResource(res *resource) *properties {
	return r.propertiesOf(res.properties, res.at, res.path+".Properties", res.typ)
}

// propertiesOf begins to read a mapping. Any other value is a problem. If there is no
// value, problems are reported near another node.
func (r *reader) propertiesOf(n, near *node, path, typ string) *properties {
	p := &properties{r: r, near: near, path: path, typ: typ, asked: map[string]bool{}}
	value := r.eval(n, path)
	switch {
	case value == nil || value.kind == invalid || value.kind == null:
	case value.kind != object:
		r.add(value, path, "it must be a mapping, not %s", value.describe())
	default:
		p.n = value
	}
	return p
}

// get evaluates a key's value. It returns nil if the key is absent or AWS::NoValue, and
// after a problem.
func (p *properties) get(key string) *node {
	p.asked[key] = true
	raw := p.n.get(key)
	if raw == nil {
		return nil
	}
	value := p.r.final(p.r.eval(raw, p.at(key)), p.at(key))
	switch {
	case value == nil || value.kind == invalid:
		return nil
	case value.kind == null:
		p.r.add(raw, p.at(key), "a value is missing here")
		return nil
	}
	return value
}

func (p *properties) at(key string) string {
	if p.path == "" {
		return key
	}
	return p.path + "." + key
}

// problem reports something about a key, or about the mapping if the key is absent.
func (p *properties) problem(key, format string, args ...any) {
	p.r.add(p.place(key), p.at(key), format, args...)
}

// place returns the place of a key, or that of the mapping which lacks it.
func (p *properties) place(key string) *node {
	if raw := p.n.get(key); raw != nil {
		return raw
	}
	if p.n != nil {
		return p.n
	}
	return p.near
}

// text returns a string, or standard if the key is absent.
func (p *properties) text(key, standard string) string {
	value := p.get(key)
	if value == nil {
		return standard
	}
	if value.kind != scalar {
		p.problem(key, "it must be a string, not %s", value.describe())
		return standard
	}
	return value.text
}

// required is text for a key that must be present.
func (p *properties) required(key string) string {
	if p.n.get(key) == nil {
		p.asked[key] = true
		p.problem(key, "it is required")
		return ""
	}
	return p.text(key, "")
}

// choice is text for a value that must be one of choices.
func (p *properties) choice(key, standard string, choices ...string) string {
	value := p.text(key, standard)
	for _, c := range choices {
		if value == c {
			return value
		}
	}
	if value != standard {
		p.problem(key, "%s is not supported; it can be %s", quote(value), strings.Join(choices, ", "))
	}
	return standard
}

// requiredChoice is choice for a key that must be present; empty after a problem.
func (p *properties) requiredChoice(key string, choices ...string) string {
	if p.required(key) == "" {
		return ""
	}
	return p.choice(key, "", choices...)
}

// integer returns a whole number, or standard if the key is absent. CloudFormation also
// accepts numbers written as strings.
func (p *properties) integer(key string, standard, least, most int) int {
	value := p.get(key)
	if value == nil {
		return standard
	}
	number, err := strconv.Atoi(value.text)
	if value.kind != scalar || err != nil {
		p.problem(key, "it must be a whole number, not %s", value.describe())
		return standard
	}
	if number < least || number > most {
		p.problem(key, "%d is out of range: it can be %d to %d", number, least, most)
		return standard
	}
	return number
}

// number is integer for any non-negative number.
func (p *properties) number(key string, standard float64) float64 {
	value := p.get(key)
	if value == nil {
		return standard
	}
	number, err := strconv.ParseFloat(value.text, 64)
	if value.kind != scalar || err != nil || number < 0 || math.IsInf(number, 0) || math.IsNaN(number) {
		p.problem(key, "it must be a number, not %s", value.describe())
		return standard
	}
	return number
}

// seconds is integer for a duration.
func (p *properties) seconds(key string, standard, least, most int) time.Duration {
	return time.Duration(p.integer(key, standard, least, most)) * time.Second
}

func (p *properties) boolean(key string, standard bool) bool {
	value := p.get(key)
	if value == nil {
		return standard
	}
	switch strings.ToLower(value.text) {
	case "true":
		return true
	case "false":
		return false
	}
	p.problem(key, "it must be true or false, not %s", value.describe())
	return standard
}

// texts returns a list of strings. A single string is a list of one, as in
// CloudFormation.
func (p *properties) texts(key string) []string {
	value := p.get(key)
	if value == nil {
		return nil
	}
	if value.kind == scalar {
		return []string{value.text}
	}
	texts, ok := p.r.textList(p.r.deep(value, p.at(key)), p.at(key))
	if !ok {
		return nil
	}
	return texts
}

// invalid reports whether a key's value, or part of it, has a problem or is read later:
// what is missing because of it is not another problem.
func (p *properties) invalid(key string) bool {
	value := p.r.final(p.r.eval(p.n.get(key), p.at(key)), p.at(key))
	if value == nil {
		return false
	}
	return value.kind == invalid || slices.ContainsFunc(value.items, func(item *node) bool {
		item = p.r.deep(item, p.at(key))
		return item != nil && item.kind == invalid
	})
}

// textMap returns a mapping of strings.
func (p *properties) textMap(key string) map[string]string {
	inner := p.inner(key, "")
	if inner.n == nil {
		return nil
	}
	texts := make(map[string]string, len(inner.n.entries))
	for _, e := range inner.n.entries {
		if inner.get(e.key) != nil {
			texts[e.key] = inner.text(e.key, "")
		}
	}
	return texts
}

// inner begins to read a mapping inside this one. typ is what [accepted] calls it.
func (p *properties) inner(key, typ string) *properties {
	p.asked[key] = true
	return p.r.propertiesOf(p.n.get(key), p.place(key), p.at(key), typ)
}

// done names the keys that are in [accepted], and reports any other that was not read.
func (p *properties) done() {
	if p.n == nil {
		return
	}
	for _, e := range p.n.entries {
		if reason := accepted[p.typ][e.key]; reason != "" {
			p.r.skip(e.at, p.at(e.key), "", reason)
			continue
		}
		if p.asked[e.key] {
			continue
		}
		if reason := refused[p.typ][e.key]; reason != "" {
			p.r.add(e.at, p.path, "%s is not supported: %s", e.key, reason)
			continue
		}
		p.r.add(e.at, p.path, "%s is unknown: %s has no such property, or the emulator does not support it",
			quote(e.key), p.typ)
	}
}

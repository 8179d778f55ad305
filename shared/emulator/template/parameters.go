package template

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readParameters sets each parameter's value: the caller's, or its default.
func (r *reader) readParameters() {
	section := r.root.get("Parameters")
	if section != nil && section.kind != object {
		r.add(section, "Parameters", "it must be a mapping, not %s", section.describe())
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.options.Parameters)) {
		if section.get(name) == nil {
			r.add(nil, "", "the template has no parameter %s", quote(name))
		}
	}
	if section == nil {
		return
	}
	for _, e := range section.entries {
		r.parameters[e.key] = r.parameter(e)
	}
}

func (r *reader) parameter(e entry) *node {
	path := "Parameters." + e.key
	p := r.propertiesOf(e.value, e.at, path, "parameter")
	for _, key := range []string{
		"AllowedPattern", "AllowedValues", "ConstraintDescription", "Default", "MaxLength", "MaxValue", "MinLength",
		"MinValue", "NoEcho", "Type",
	} {
		p.asked[key] = true
	}
	p.done()
	typ := e.value.get("Type")
	if typ == nil || typ.kind != scalar {
		r.add(e.at, path, "a parameter needs a Type")
		return e.value.bad()
	}
	inner, stored := strings.CutPrefix(typ.text, "AWS::SSM::Parameter::Value<")
	inner = strings.TrimSuffix(inner, ">")
	text, given := r.options.Parameters[e.key]
	if !given {
		standard := e.value.get("Default")
		if standard == nil || standard.kind != scalar {
			r.add(e.at, path, "it has no Default, so it must be given a value: --parameter %s=Value", e.key)
			return e.value.bad()
		}
		text = standard.text
		if stored { // the Default is the name, and the constraints are on it
			r.checkParameter(e, path, typ.text, text)
			if text, given = r.stored(e, path, text); !given {
				return e.value.bad()
			}
		}
	}
	items := []string{text}
	list := inner == "CommaDelimitedList" || strings.HasPrefix(inner, "List<")
	if list {
		items = strings.Split(text, ",")
	}
	var nodes []*node
	for _, item := range items {
		if list {
			item = strings.TrimSpace(item)
		}
		if !stored {
			r.checkParameter(e, path, typ.text, item)
		}
		nodes = append(nodes, e.at.textNode(item))
	}
	if list {
		return e.at.listNode(nodes)
	}
	return nodes[0]
}

// checkParameter checks a value, or one of a list, against the parameter's constraints.
func (r *reader) checkParameter(e entry, path, typ, text string) {
	refuse := func(why string) {
		if described := e.value.get("ConstraintDescription"); described != nil && described.kind == scalar {
			why += ": " + described.text
		}
		shown := quote(text)
		if hidden := e.value.get("NoEcho"); hidden != nil && hidden.text == "true" {
			shown = "(hidden by NoEcho)"
		}
		r.add(e.at, path, "its value %s %s", shown, why)
	}
	bound := func(key string) (float64, bool) {
		n := e.value.get(key)
		if n == nil || n.kind != scalar {
			return 0, false
		}
		limit, err := strconv.ParseFloat(n.text, 64)
		return limit, err == nil
	}
	if allowed := e.value.get("AllowedValues"); allowed != nil &&
		!slices.ContainsFunc(allowed.items, func(n *node) bool { return n.kind == scalar && n.text == text }) {
		refuse("is not one of its AllowedValues")
	}
	if pattern := e.value.get("AllowedPattern"); pattern != nil && pattern.kind == scalar {
		// CloudFormation uses Java's expressions; those that Go can't compile go unchecked.
		if re, err := regexp.Compile(`^(?:` + pattern.text + `)$`); err == nil && !re.MatchString(text) {
			refuse("does not match its AllowedPattern")
		}
	}
	length := float64(utf8.RuneCountInString(text))
	if least, ok := bound("MinLength"); ok && length < least {
		refuse("is too short")
	}
	if most, ok := bound("MaxLength"); ok && length > most {
		refuse("is too long")
	}
	if typ != "Number" {
		return
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		refuse("is not a number")
		return
	}
	if least, ok := bound("MinValue"); ok && number < least {
		refuse("is too small")
	}
	if most, ok := bound("MaxValue"); ok && number > most {
		refuse("is too large")
	}
}

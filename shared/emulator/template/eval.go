package template

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxText limits what an intrinsic function may build, since a Fn::Sub that doubles a
// string can be nested. No property that is read here may be longer.
const maxText = 64 << 10

// maxSteps limits how many intrinsic functions are evaluated: nested ones can multiply
// each other's work.
const maxSteps = 100_000

// eval returns the result of an intrinsic function, or else the node itself. It looks no
// deeper than the node; what a list or mapping holds is evaluated when it is read. Nil is
// AWS::NoValue. After a problem, which is reported here, the result is an invalid node.
func (r *reader) eval(n *node, path string) *node {
	if n == nil {
		return nil
	}
	name, argument, ok := n.intrinsic()
	if !ok {
		if n.kind == object {
			for _, e := range n.entries {
				if strings.HasPrefix(e.key, "Fn::") {
					r.add(e.at, path, "%s can't be combined with other keys", e.key)
					return n.bad()
				}
			}
		}
		return n
	}
	if r.steps++; r.steps > maxSteps {
		r.add(nil, "", "it has too many intrinsic functions to evaluate")
		return n.bad()
	}
	switch name {
	case "Ref":
		return r.evalRef(n, argument, path)
	case "Fn::GetAtt":
		return r.evalGetAtt(n, argument, path)
	case "Fn::Sub":
		return r.evalSub(n, argument, path)
	case "Fn::Join":
		return r.evalJoin(n, argument, path)
	case "Fn::Split":
		return r.evalSplit(n, argument, path)
	case "Fn::Select":
		return r.evalSelect(n, argument, path)
	case "Fn::FindInMap":
		return r.evalFindInMap(n, argument, path)
	case "Fn::If":
		return r.evalIf(n, argument, path)
	case "Fn::Base64":
		text, ok := r.text(argument, path)
		if !ok {
			return n.bad()
		}
		return r.built(n, path, base64.StdEncoding.EncodeToString([]byte(text)))
	case "Fn::ImportValue":
		return r.evalImport(n, argument, path)
	}
	r.unknown(n, path, "%s is not supported here", name)
	return n.bad()
}

// deep evaluates a node and all it holds. Keys and items that are AWS::NoValue or invalid
// are omitted.
func (r *reader) deep(n *node, path string) *node {
	n = r.eval(n, path)
	if n == nil || (n.kind != list && n.kind != object) {
		return r.final(n, path)
	}
	made := *n
	made.items, made.entries = nil, nil
	for i, item := range n.items {
		if item = r.deep(item, path+"["+strconv.Itoa(i)+"]"); item != nil && item.kind != invalid {
			made.items = append(made.items, item)
		}
	}
	for _, e := range n.entries {
		if e.value = r.deep(e.value, path+"."+e.key); e.value != nil && e.value.kind != invalid {
			made.entries = append(made.entries, e)
		}
	}
	return &made
}

// text evaluates a node that must be a scalar, and otherwise reports a problem.
func (r *reader) text(n *node, path string) (string, bool) {
	value := r.eval(n, path)
	switch {
	case value == nil || value.kind == null:
		r.add(n, path, "a string is missing here")
		return "", false
	case value.kind == invalid:
		return "", false
	case value.kind != scalar:
		r.add(n, path, "this must be a string, not %s", value.describe())
		return "", false
	}
	return value.text, true
}

// arguments returns a function's list of arguments, if it has as many as it needs.
func (r *reader) arguments(n, argument *node, path string, least, most int) ([]*node, bool) {
	name, _, _ := n.intrinsic()
	if argument.kind != list || len(argument.items) < least || len(argument.items) > most {
		r.add(n, path, "%s needs a list of %d arguments", name, least)
		return nil, false
	}
	return argument.items, true
}

// built returns a scalar with what a function built.
func (r *reader) built(n *node, path, text string) *node {
	if len(text) > maxText {
		r.add(n, path, "the string built here is too long")
		return n.bad()
	}
	return n.textNode(text)
}

func (r *reader) evalRef(n, argument *node, path string) *node {
	if argument.kind != scalar {
		r.add(n, path, "Ref needs a name")
		return n.bad()
	}
	name := argument.text
	if name == "AWS::NoValue" {
		return nil
	}
	if value, ok := r.pseudo(name); ok {
		return n.textNode(value)
	}
	if value, ok := r.parameters[name]; ok {
		moved := *value
		moved.line, moved.column = n.line, n.column
		return &moved
	}
	if id, part, ok := strings.Cut(name, "."); ok && r.resources[id] != nil {
		if value, ok := r.partValue(n, path, r.resources[id], part); ok {
			return value
		}
	}
	return r.resourceValue(n, path, name, "")
}

// evalGetAtt accepts both forms: [Resource, Attribute], where the attribute may be a
// function, and "Resource.Attribute".
func (r *reader) evalGetAtt(n, argument *node, path string) *node {
	if argument.kind == scalar {
		resource, attribute, _ := strings.Cut(argument.text, ".")
		return r.resourceValue(n, path, resource, attribute)
	}
	args, ok := r.arguments(n, argument, path, 2, 2)
	if !ok {
		return n.bad()
	}
	attribute, ok := r.text(args[1], path)
	if !ok {
		return n.bad()
	}
	if args[0].kind != scalar || attribute == "" {
		r.add(n, path, "Fn::GetAtt needs the names of a resource and an attribute")
		return n.bad()
	}
	return r.resourceValue(n, path, args[0].text, attribute)
}

// placeholder is what Fn::Sub replaces; ${!x} stands for ${x} itself.
var placeholder = regexp.MustCompile(`\$\{[^{}]*\}`)

func (r *reader) evalSub(n, argument *node, path string) *node {
	pattern, variables := argument, (*node)(nil)
	if argument.kind == list {
		args, ok := r.arguments(n, argument, path, 2, 2)
		if !ok {
			return n.bad()
		}
		pattern, variables = args[0], args[1]
	}
	if pattern.kind != scalar || (variables != nil && variables.kind != object) {
		r.add(n, path, "Fn::Sub needs a string, or a list of a string and a mapping")
		return n.bad()
	}
	var out strings.Builder
	rest := pattern.text
	for out.Len() <= maxText {
		at := placeholder.FindStringIndex(rest)
		if at == nil {
			break
		}
		out.WriteString(rest[:at[0]])
		name := strings.TrimSpace(rest[at[0]+2 : at[1]-1])
		rest = rest[at[1]:]
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			out.WriteString("${" + literal + "}")
			continue
		}
		value, ok := r.variable(n, variables, name, path)
		if !ok {
			return n.bad()
		}
		out.WriteString(value)
	}
	out.WriteString(rest)
	return r.built(n, path, out.String())
}

// variable returns the value of ${name} in a Fn::Sub.
func (r *reader) variable(n, variables *node, name, path string) (string, bool) {
	if own := variables.get(name); own != nil {
		return r.text(own, path)
	}
	reference := &node{kind: object, line: n.line, column: n.column}
	function := "Ref"
	if resource, attribute, ok := strings.Cut(name, "."); ok && r.parameters[name] == nil {
		function = "Fn::GetAtt"
		items := []*node{n.textNode(resource), n.textNode(attribute)}
		reference.entries = []entry{{key: function, at: n, value: n.listNode(items)}}
	} else {
		reference.entries = []entry{{key: function, at: n, value: n.textNode(name)}}
	}
	return r.text(reference, path)
}

func (r *reader) evalJoin(n, argument *node, path string) *node {
	args, ok := r.arguments(n, argument, path, 2, 2)
	if !ok {
		return n.bad()
	}
	separator, ok := r.text(args[0], path)
	if !ok {
		return n.bad()
	}
	items, ok := r.textList(args[1], path)
	if !ok {
		return n.bad()
	}
	size := 0
	for _, item := range items {
		if size += len(item) + len(separator); size > 2*maxText {
			break
		}
	}
	if size > 2*maxText {
		return r.built(n, path, strings.Repeat(" ", maxText+1))
	}
	return r.built(n, path, strings.Join(items, separator))
}

// textList evaluates a node that must be a list of scalars.
func (r *reader) textList(n *node, path string) ([]string, bool) {
	value := r.eval(n, path)
	if value == nil || value.kind != list {
		if value == nil || value.kind != invalid {
			r.add(n, path, "this must be a list, not %s", value.describe())
		}
		return nil, false
	}
	texts := make([]string, 0, len(value.items))
	for _, item := range value.items {
		if item = r.eval(item, path); item == nil {
			continue
		}
		text, ok := r.text(item, path)
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

func (r *reader) evalSplit(n, argument *node, path string) *node {
	args, ok := r.arguments(n, argument, path, 2, 2)
	if !ok {
		return n.bad()
	}
	separator, ok1 := r.text(args[0], path)
	source, ok2 := r.text(args[1], path)
	if !ok1 || !ok2 {
		return n.bad()
	}
	if separator == "" {
		r.add(n, path, "Fn::Split needs a delimiter")
		return n.bad()
	}
	var items []*node
	for part := range strings.SplitSeq(source, separator) {
		items = append(items, n.textNode(part))
	}
	return n.listNode(items)
}

func (r *reader) evalSelect(n, argument *node, path string) *node {
	args, ok := r.arguments(n, argument, path, 2, 2)
	if !ok {
		return n.bad()
	}
	index, ok := r.text(args[0], path)
	if !ok {
		return n.bad()
	}
	from := r.eval(args[1], path)
	if from == nil || from.kind == invalid {
		return n.bad()
	}
	i, err := strconv.Atoi(index)
	if from.kind != list || err != nil || i < 0 || i >= len(from.items) {
		r.add(n, path, "Fn::Select can't select element %s of %d", quote(index), len(from.items))
		return n.bad()
	}
	return r.eval(from.items[i], path)
}

func (r *reader) evalFindInMap(n, argument *node, path string) *node {
	args, ok := r.arguments(n, argument, path, 3, 3)
	if !ok {
		return n.bad()
	}
	at := r.root.get("Mappings")
	for _, arg := range args {
		key, ok := r.text(arg, path)
		if !ok {
			return n.bad()
		}
		if at = at.get(key); at == nil {
			r.add(n, path, "Fn::FindInMap: there is no %s in Mappings", quote(key))
			return n.bad()
		}
	}
	return at
}

func (r *reader) evalIf(n, argument *node, path string) *node {
	args, ok := r.arguments(n, argument, path, 3, 3)
	if !ok {
		return n.bad()
	}
	if args[0].kind != scalar {
		r.add(n, path, "Fn::If needs the name of a condition")
		return n.bad()
	}
	holds, ok := r.condition(n, args[0].text, path)
	switch {
	case !ok:
		return n.bad()
	case holds:
		return r.eval(args[1], path)
	}
	return r.eval(args[2], path)
}

func (r *reader) evalImport(n, argument *node, path string) *node {
	name, ok := r.text(argument, path)
	if !ok {
		return n.bad()
	}
	value, ok := r.options.Imports[name]
	if !ok {
		r.unknown(n, path, "Fn::ImportValue of %s: there are no other stacks locally, so its value must be given: --import %s=Value",
			quote(name), name)
		return n.bad()
	}
	return n.textNode(value)
}

// enter records that something is being evaluated. If it already is, it depends on
// itself, which is a problem.
func (r *reader) enter(n *node, path, what string) bool {
	if slices.Contains(r.evaluating, what) {
		r.add(n, path, "%s depends on itself", what)
		return false
	}
	r.evaluating = append(r.evaluating, what)
	return true
}

func (r *reader) leave() {
	r.evaluating = r.evaluating[:len(r.evaluating)-1]
}

package template

import (
	"slices"
	"strings"
)

// kind is what a node is.
type kind uint8

const (
	// invalid stands for a value about which a problem was reported already; readers
	// pass it over.
	invalid kind = iota
	scalar
	list
	object
	null
)

// node is a YAML value that knows where it stands. Nodes are never changed once
// they are made: Globals are shared by all functions.
type node struct {
	kind         kind
	line, column int

	// A scalar's text. Booleans in plain style are "true" or "false", however the
	// template spells them; numbers are as written.
	text  string
	plain bool // not quoted, so it may be a number or a boolean

	items   []*node // a list's
	entries []entry // an object's, in the template's order
}

// entry is a key of an object, with its value.
type entry struct {
	key   string
	at    *node // where the key stands
	value *node
}

// get finds a key's value; nil if there is none.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	i := slices.IndexFunc(n.entries, func(e entry) bool { return e.key == key })
	if i < 0 {
		return nil
	}
	return n.entries[i].value
}

// describe says what the node is, for messages.
func (n *node) describe() string {
	switch {
	case n == nil || n.kind == null:
		return "nothing"
	case n.kind == list:
		return "a list"
	case n.kind == object:
		return "a mapping"
	}
	return quote(n.text)
}

// quote shows a text of the template in a message, in short.
func quote(text string) string {
	const most = 60
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return `"` + text + `"`
}

// intrinsic gives the name and argument of an intrinsic function, as SAM tells one:
// a mapping with a single key that is Ref, Condition or begins with Fn::.
func (n *node) intrinsic() (name string, argument *node, ok bool) {
	if n == nil || n.kind != object || len(n.entries) != 1 {
		return "", nil, false
	}
	key := n.entries[0].key
	if key == "Ref" || key == "Condition" || strings.HasPrefix(key, "Fn::") {
		return key, n.entries[0].value, true
	}
	return "", nil, false
}

// text makes a scalar at the place of another node.
func (n *node) textNode(text string) *node {
	return &node{kind: scalar, line: n.line, column: n.column, text: text}
}

// listNode makes a list at the place of another node.
func (n *node) listNode(items []*node) *node {
	return &node{kind: list, line: n.line, column: n.column, items: items}
}

// bad stands in for a value that could not be had, at the place of another node.
func (n *node) bad() *node {
	return &node{kind: invalid, line: n.line, column: n.column}
}

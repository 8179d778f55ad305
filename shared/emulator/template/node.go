package template

import (
	"slices"
	"strings"
)

// kind is what a node is.
type kind uint8

const (
	// invalid is a value whose problem has been reported; readers skip it.
	invalid kind = iota
	scalar
	list
	object
	null
)

// node is a YAML value that knows its place. Nodes are immutable: Globals are shared by
// all functions.
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
	at    *node // the key's place
	value *node
}

// get returns a key's value, or nil if there is none.
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

// describe returns what the node is, for messages.
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

// quote quotes a string of the template for a message, shortened.
func quote(text string) string {
	const most = 60
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return `"` + text + `"`
}

// intrinsic returns the name and argument of an intrinsic function, which as in SAM is a
// mapping with a single key that is Ref, Condition or begins with Fn::.
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

// textNode returns a scalar at the place of another node.
func (n *node) textNode(text string) *node {
	return &node{kind: scalar, line: n.line, column: n.column, text: text}
}

// listNode returns a list at the place of another node.
func (n *node) listNode(items []*node) *node {
	return &node{kind: list, line: n.line, column: n.column, items: items}
}

// bad returns an invalid node at the place of another node.
func (n *node) bad() *node {
	return &node{kind: invalid, line: n.line, column: n.column}
}

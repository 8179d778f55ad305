package template

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of what is parsed. CloudFormation takes templates up to 1 MB; the others
// are far beyond any real template and bound the work on a hostile one (the YAML
// parser recurses for each level, and an alias can repeat a large value).
const (
	maxBytes = 1 << 20
	maxNodes = 100_000
	maxDepth = 100
)

// parse makes a tree of nodes from YAML or JSON.
func parse(source []byte) (root *node, err error) {
	source = bytes.TrimPrefix(source, []byte("\ufeff"))
	if len(source) > maxBytes {
		return nil, fmt.Errorf("it has %d bytes; CloudFormation takes at most %d", len(source), maxBytes)
	}
	if err := checkShape(source); err != nil {
		return nil, err
	}
	// The parser has panicked on malformed input before; a broken template must
	// not take the runner down with it.
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("it is not YAML: the parser gave up: %v", r)
		}
	}()
	colon := standIn(source)
	file, err := parser.ParseBytes(hideColons(source, colon), 0)
	if err != nil {
		return nil, yamlProblem(err, colon)
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil, errors.New("it is empty")
	}
	b := &builder{
		colon: strings.NewReplacer(colon, ":"), anchors: map[string]ast.Node{}, open: map[string]bool{},
	}
	return b.build(file.Docs[0].Body, 0)
}

// standIn is a character of Unicode's private use that the source does not have.
func standIn(source []byte) string {
	for c := '\ue000'; ; c++ {
		if !bytes.ContainsRune(source, c) {
			return string(c)
		}
	}
}

// hideColons replaces each colon that is part of a text by its stand-in. Inside
// braces the parser takes any colon for the end of a key, so that it can't read
// {Region: !Ref AWS::Region} (goccy/go-yaml issue 832). By YAML's rules a colon ends a
// key only before a blank, a bracket or a comma, or after a quote.
func hideColons(source []byte, colon string) []byte {
	var out bytes.Buffer
	before := byte(0) // the last byte that is no blank
	for i, c := range source {
		after := byte(' ')
		if i+1 < len(source) {
			after = source[i+1]
		}
		ends := strings.IndexByte(" \t\r\n,[]{}\"'", after) >= 0 || before == '"' || before == '\''
		if c == ':' && !ends {
			out.WriteString(colon)
		} else {
			out.WriteByte(c)
		}
		if c != ' ' && c != '\t' {
			before = c
		}
	}
	return out.Bytes()
}

// checkShape refuses what would make the parser recurse too deeply or repeat itself:
// brackets and dashes nested beyond reason, and a second document.
func checkShape(source []byte) error {
	depth, documents := 0, 0
	for number, line := range bytes.Split(source, []byte("\n")) {
		for _, c := range line {
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(depth-1, 0)
			}
		}
		lead := line[:len(line)-len(bytes.TrimLeft(line, "- "))]
		if depth > 5*maxDepth || bytes.Count(lead, []byte("- ")) > maxDepth {
			return &Error{Problems: []Problem{{Line: number + 1, Text: "it is nested too deeply"}}}
		}
		if bytes.HasPrefix(line, []byte("---")) {
			if documents++; documents > 1 {
				return &Error{Problems: []Problem{{Line: number + 1, Text: "a template is one YAML document, and here a second one begins"}}}
			}
		}
	}
	return nil
}

// yamlProblem keeps the place of a syntax error.
func yamlProblem(err error, colon string) error {
	var syntax yaml.Error
	if !errors.As(err, &syntax) || syntax.GetToken() == nil {
		return fmt.Errorf("it is not YAML: %w", err)
	}
	at := syntax.GetToken().Position
	return &Error{Problems: []Problem{{
		Line: at.Line, Column: at.Column, Text: "it is not YAML: " + strings.ReplaceAll(syntax.GetMessage(), colon, ":"),
	}}}
}

// builder turns the parser's tree into ours: short tags become intrinsic functions,
// aliases and merge keys are filled in.
type builder struct {
	colon   *strings.Replacer // undoes hideColons
	anchors map[string]ast.Node
	open    map[string]bool // anchors being filled in, against one that holds itself
	nodes   int
}

func (b *builder) build(n ast.Node, depth int) (*node, error) {
	if b.nodes++; b.nodes > maxNodes {
		return nil, errors.New("it is too large: its aliases make it more than any template can be")
	}
	if depth > maxDepth {
		return nil, errorAt(n, "it is nested too deeply")
	}
	made := place(n)
	switch n := n.(type) {
	case *ast.NullNode:
		made.kind = null
		return made, nil
	case *ast.MappingNode:
		return b.mapping(made, n.Values, depth)
	case *ast.MappingValueNode:
		return b.mapping(made, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		return b.sequence(made, n, depth)
	case *ast.TagNode:
		return b.tag(made, n, depth)
	case *ast.AnchorNode:
		b.anchors[n.Name.String()] = n.Value
		return b.build(n.Value, depth+1)
	case *ast.AliasNode:
		return b.alias(n, depth)
	case *ast.LiteralNode:
		made.kind, made.text = scalar, b.colon.Replace(n.Value.Value)
		return made, nil
	case *ast.StringNode:
		made.kind, made.text = scalar, b.colon.Replace(n.Value)
		made.plain = n.Token.Type != token.DoubleQuoteType && n.Token.Type != token.SingleQuoteType
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		made.kind, made.text, made.plain = scalar, n.GetToken().Value, true
	default:
		return nil, errorAt(n, "a "+strings.ToLower(n.Type().String())+" can't stand here")
	}
	if made.plain {
		made.text = spellBool(made.text)
	}
	return made, nil
}

// spellBool gives the booleans of YAML 1.1, which is what CloudFormation and SAM
// read, their one spelling.
func spellBool(text string) string {
	switch text {
	case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON":
		return "true"
	case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF":
		return "false"
	}
	return text
}

func (b *builder) mapping(made *node, values []*ast.MappingValueNode, depth int) (*node, error) {
	made.kind = object
	var merged []entry
	for _, v := range values {
		value, err := b.build(v.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if v.Key.IsMergeKey() {
			if merged, err = mergeKeys(merged, v.Value, value); err != nil {
				return nil, err
			}
			continue
		}
		key, err := keyText(v.Key)
		if err != nil {
			return nil, err
		}
		at := place(v.Key)
		key = b.colon.Replace(key)
		at.kind, at.text = scalar, key
		made.entries = append(made.entries, entry{key: key, at: at, value: value})
	}
	for _, e := range merged { // a key of its own wins over a merged one
		if made.get(e.key) == nil {
			made.entries = append(made.entries, e)
		}
	}
	return made, nil
}

// mergeKeys collects what "<<" brings in: a mapping, or a list of them.
func mergeKeys(merged []entry, at ast.Node, value *node) ([]entry, error) {
	sources := []*node{value}
	if value.kind == list {
		sources = value.items
	}
	for _, s := range sources {
		if s.kind != object {
			return nil, errorAt(at, "<< needs a mapping")
		}
		merged = append(merged, s.entries...)
	}
	return merged, nil
}

func keyText(key ast.MapKeyNode) (string, error) {
	switch key := key.(type) {
	case *ast.StringNode:
		return key.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return key.GetToken().Value, nil
	}
	return "", errorAt(key, "a key must be a plain text")
}

func (b *builder) sequence(made *node, n *ast.SequenceNode, depth int) (*node, error) {
	made.kind = list
	for _, v := range n.Values {
		item, err := b.build(v, depth+1)
		if err != nil {
			return nil, err
		}
		made.items = append(made.items, item)
	}
	return made, nil
}

// tag turns "!Sub x" into {"Fn::Sub": x}, as CloudFormation does.
func (b *builder) tag(made *node, n *ast.TagNode, depth int) (*node, error) {
	argument := place(n)
	argument.kind = null
	if n.Value != nil {
		var err error
		if argument, err = b.build(n.Value, depth+1); err != nil {
			return nil, err
		}
	}
	name := b.colon.Replace(strings.TrimPrefix(n.Start.Value, "!"))
	switch {
	case strings.HasPrefix(name, "!"): // "!!str" and the like say what is plain to see
		if argument.kind == scalar && name == "!str" {
			argument.plain = false
		}
		return argument, nil
	case name == "":
		return nil, errorAt(n, "a tag without a name")
	case name == "GetAtt" && argument.kind == scalar:
		resource, attribute, _ := strings.Cut(argument.text, ".")
		argument = argument.listNode([]*node{argument.textNode(resource), argument.textNode(attribute)})
	}
	if name != "Ref" && name != "Condition" {
		name = "Fn::" + name
	}
	made.kind = object
	made.entries = []entry{{key: name, at: made, value: argument}}
	return made, nil
}

func (b *builder) alias(n *ast.AliasNode, depth int) (*node, error) {
	name := n.Value.String()
	target, ok := b.anchors[name]
	if !ok || b.open[name] {
		return nil, errorAt(n, "there is no anchor "+strconv.Quote(name)+" before this alias")
	}
	b.open[name] = true
	defer delete(b.open, name)
	return b.build(target, depth+1)
}

func place(n ast.Node) *node {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return &node{line: t.Position.Line, column: t.Position.Column}
	}
	return &node{}
}

func errorAt(n ast.Node, text string) error {
	at := place(n)
	return &Error{Problems: []Problem{{Line: at.line, Column: at.column, Text: text}}}
}

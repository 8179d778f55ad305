package template

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits of what is parsed. CloudFormation accepts templates up to 1 MB; the others
// are far beyond any real template and bound the work on a hostile one, in which an
// alias can repeat a large value.
const (
	maxBytes = 1 << 20
	maxNodes = 100_000
	maxDepth = 100
)

// parse returns the tree of nodes of a YAML or JSON document.
func parse(source []byte) (root *node, err error) {
	if len(source) > maxBytes {
		return nil, fmt.Errorf("it has %d bytes; CloudFormation accepts at most %d", len(source), maxBytes)
	}
	// The library panics where it finds itself in a state that should be impossible; a
	// broken template must not take the runner down with it.
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("it is not YAML: the parser gave up: %v", r)
		}
	}()
	first, second, err := documents(source)
	switch {
	case err != nil:
		return nil, syntaxProblem(source, err)
	case second.Kind != 0:
		return nil, errorAt(&second, "a template is one YAML document, and a second one begins here")
	case first.Kind == 0 || isNull(first.Content[0]):
		return nil, errors.New("it is empty")
	}
	b := &builder{open: map[*yaml.Node]bool{}}
	return b.build(first.Content[0], 0)
}

// documents returns the first two documents of the source; one that is missing is the
// zero Node.
func documents(source []byte) (first, second yaml.Node, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	if err = decoder.Decode(&first); err == nil {
		err = decoder.Decode(&second)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return first, second, err
}

// libraryPrefix is what the library's messages begin with.
var libraryPrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

// syntaxProblem finds the line of a syntax error: the first one that makes the parser
// fail in the same way. The library's own line may be missing, be that of the enclosing
// value, or be too small by one.
func syntaxProblem(source []byte, err error) error {
	lines := bytes.SplitAfter(source, []byte("\n"))
	before := sort.Search(len(lines), func(i int) bool {
		_, _, again := documents(bytes.Join(lines[:i+1], nil))
		return again != nil && again.Error() == err.Error()
	})
	text := libraryPrefix.ReplaceAllString(err.Error(), "")
	return &Error{Problems: []Problem{{Line: before + 1, Text: "it is not YAML: " + text}}}
}

// builder turns the library's tree into ours: short tags become intrinsic functions,
// aliases and merge keys are filled in.
type builder struct {
	open  map[*yaml.Node]bool // anchors being filled in, against one that contains itself
	nodes int
}

func (b *builder) build(n *yaml.Node, depth int) (*node, error) {
	if b.nodes++; b.nodes > maxNodes {
		return nil, errors.New("it is too large: its aliases expand to more than any template can hold")
	}
	if depth > maxDepth {
		return nil, errorAt(n, "it is nested too deeply")
	}
	made := place(n)
	var err error
	switch n.Kind {
	case yaml.AliasNode:
		return b.alias(n, depth)
	case yaml.MappingNode:
		err = b.mapping(made, n, depth)
	case yaml.SequenceNode:
		err = b.sequence(made, n, depth)
	default:
		b.scalar(made, n)
	}
	if err != nil {
		return nil, err
	}
	return intrinsicOf(n, made), nil
}

func (b *builder) scalar(made *node, n *yaml.Node) {
	if isNull(n) {
		made.kind = null
		return
	}
	made.kind, made.text = scalar, n.Value
	made.plain = isPlain(n) && (n.Style&yaml.TaggedStyle == 0 || n.Tag != "!!str")
	if made.plain {
		made.text = spellBool(made.text)
	}
}

func isPlain(n *yaml.Node) bool {
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	return n.Kind == yaml.ScalarNode && n.Style&quoted == 0
}

func isNull(n *yaml.Node) bool {
	// A tag without a value, as in "!GetAZs", has an empty one.
	return n.Tag == "!!null" || isPlain(n) && n.Value == ""
}

// spellBool spells the booleans of YAML 1.1, which CloudFormation and SAM read, in one
// way.
func spellBool(text string) string {
	switch text {
	case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON":
		return "true"
	case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF":
		return "false"
	}
	return text
}

func (b *builder) mapping(made *node, n *yaml.Node, depth int) error {
	made.kind = object
	lines := map[string]int{} // where each key is
	var merged []entry
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 {
			return errorAt(key, "a key must be plain text")
		}
		if line, twice := lines[key.Value]; twice {
			return errorAt(key, fmt.Sprintf("the key %s is already used on line %d", quote(key.Value), line))
		}
		lines[key.Value] = key.Line
		value, err := b.build(n.Content[i+1], depth+1)
		if err != nil {
			return err
		}
		if key.Tag == "!!merge" {
			if merged, err = mergeKeys(merged, n.Content[i+1], value); err != nil {
				return err
			}
			continue
		}
		at := place(key)
		at.kind, at.text = scalar, key.Value
		made.entries = append(made.entries, entry{key: key.Value, at: at, value: value})
	}
	for _, e := range merged { // a key of its own wins over a merged one
		if _, ok := lines[e.key]; !ok {
			lines[e.key] = e.at.line
			made.entries = append(made.entries, e)
		}
	}
	return nil
}

// mergeKeys collects what "<<" brings in: a mapping, or a list of them.
func mergeKeys(merged []entry, at *yaml.Node, value *node) ([]entry, error) {
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

func (b *builder) sequence(made *node, n *yaml.Node, depth int) error {
	made.kind = list
	for _, v := range n.Content {
		item, err := b.build(v, depth+1)
		if err != nil {
			return err
		}
		made.items = append(made.items, item)
	}
	return nil
}

// intrinsicOf turns "!Sub x" into {"Fn::Sub": x}, as CloudFormation does. Without such
// a tag the node stays as it is: "!!str" and the like name a type.
func intrinsicOf(n *yaml.Node, argument *node) *node {
	name, short := strings.CutPrefix(n.Tag, "!")
	if !short || strings.HasPrefix(name, "!") {
		return argument
	}
	if name == "GetAtt" && argument.kind == scalar {
		resource, attribute, _ := strings.Cut(argument.text, ".")
		argument = argument.listNode([]*node{argument.textNode(resource), argument.textNode(attribute)})
	}
	if name != "Ref" && name != "Condition" {
		name = "Fn::" + name
	}
	made := place(n)
	made.kind = object
	made.entries = []entry{{key: name, at: made, value: argument}}
	return made
}

func (b *builder) alias(n *yaml.Node, depth int) (*node, error) {
	if b.open[n.Alias] {
		return nil, errorAt(n, "the anchor "+strconv.Quote(n.Value)+" contains itself")
	}
	b.open[n.Alias] = true
	defer delete(b.open, n.Alias)
	return b.build(n.Alias, depth+1)
}

func place(n *yaml.Node) *node {
	return &node{line: n.Line, column: n.Column}
}

func errorAt(n *yaml.Node, text string) error {
	return &Error{Problems: []Problem{{Line: n.Line, Column: n.Column, Text: text}}}
}

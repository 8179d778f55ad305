package template

import (
	"cmp"
	"strconv"
)

// tableProperties are those that make a difference to code; the others are in [accepted].
//
//nolint:gochecknoglobals // a table, never written
var tableProperties = []string{
	"AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema", "LocalSecondaryIndexes",
	"ProvisionedThroughput", "StreamSpecification", "TableName", "TimeToLiveSpecification",
}

func (r *reader) readTable(res *resource) {
	p := r.propertiesOfResource(res)
	name, ok := r.physicalName(res.at, p.path, res)
	if !ok {
		return
	}
	t := Table{
		LogicalID:  res.id,
		Name:       name,
		ARN:        r.fill(returns[typeTable].attributes["Arn"], res, name),
		Properties: r.plain(p, tableProperties),
		Line:       res.at.line,
	}
	if stream := p.inner("StreamSpecification", typeTable+" StreamSpecification"); stream.n != nil {
		stream.requiredChoice("StreamViewType", "KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")
		stream.done()
		t.StreamARN = r.streamARN(res, name)
	}
	if t.Properties["KeySchema"] == nil && !p.invalid("KeySchema") {
		p.problem("KeySchema", "it is required")
	}
	p.done()
	for _, other := range r.made.Tables {
		if other.Name == name {
			r.add(res.at, res.path, "the table %s has the same name: %s", other.LogicalID, quote(name))
		}
	}
	r.made.Tables = append(r.made.Tables, t)
}

// streamValue returns the ARN of a table's stream.
func (r *reader) streamValue(n *node, path string, res *resource) *node {
	if !r.enter(n, path, "the StreamSpecification of "+res.id) {
		return n.bad()
	}
	stream := r.eval(res.properties.get("StreamSpecification"), res.path+".Properties.StreamSpecification")
	r.leave()
	switch {
	case stream == nil:
		r.add(n, path, "Fn::GetAtt of %s.StreamArn: the table has no stream; a StreamSpecification gives it one", res.id)
		return n.bad()
	case stream.kind == invalid:
		return n.bad()
	}
	name, ok := r.physicalName(n, path, res)
	if !ok {
		return n.bad()
	}
	return n.textNode(r.streamARN(res, name))
}

func (r *reader) streamARN(res *resource, name string) string {
	return cmp.Or(r.options.Streams[res.id], r.fill(returns[typeTable].attributes[streamAttribute], res, name))
}

// tableOfStream returns the logical id of the table whose stream's ARN is a required property.
func (r *reader) tableOfStream(p *properties, key string) string {
	arn := p.required(key)
	if arn == "" {
		return ""
	}
	for _, t := range r.made.Tables {
		if t.StreamARN == arn {
			return t.LogicalID
		}
	}
	p.problem(key, "no table of this template has a stream with the ARN %s", quote(arn))
	return ""
}

// plain returns some of a resource's properties, evaluated, as encoding/json would decode
// them.
func (r *reader) plain(p *properties, keys []string) map[string]any {
	values := map[string]any{}
	for _, key := range keys {
		if p.get(key) == nil {
			continue
		}
		if value := r.deep(p.n.get(key), p.at(key)); value != nil {
			values[key] = value.plainValue()
		}
	}
	return values
}

// plainValue returns an evaluated node as encoding/json would decode it: a plain scalar
// that looks like a number or a boolean is one.
func (n *node) plainValue() any {
	switch n.kind { //nolint:exhaustive // the others have no value
	case list:
		items := make([]any, 0, len(n.items))
		for _, item := range n.items {
			items = append(items, item.plainValue())
		}
		return items
	case object:
		entries := make(map[string]any, len(n.entries))
		for _, e := range n.entries {
			entries[e.key] = e.value.plainValue()
		}
		return entries
	case scalar:
		return n.plainScalar()
	}
	return nil
}

func (n *node) plainScalar() any {
	if !n.plain {
		return n.text
	}
	if n.text == "true" || n.text == "false" {
		return n.text == "true"
	}
	if number, err := strconv.ParseInt(n.text, 10, 64); err == nil {
		return number
	}
	if number, err := strconv.ParseFloat(n.text, 64); err == nil {
		return number
	}
	return n.text
}

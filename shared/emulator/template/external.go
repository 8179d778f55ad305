package template

import "fmt"

// readExternal reads a resource that the code can reach but that is not emulated. Its
// properties are passed on, except those in [accepted].
func (r *reader) readExternal(res *resource, passed []string) {
	p := r.propertiesOfResource(res)
	name, ok := r.physicalName(res.at, p.path, res)
	if !ok {
		return
	}
	ref := r.fill(returns[res.typ].ref, res, name)
	if returns[res.typ].nameProperty == "" {
		name = ref
	}
	x := External{
		LogicalID: res.id, Type: res.typ, Name: name, Ref: ref, Line: res.at.line,
		Properties: r.plain(p, passed),
	}
	if res.typ == typeTopic {
		subscriptions := r.eval(p.n.get("Subscription"), p.at("Subscription"))
		if subscriptions != nil {
			for i, item := range subscriptions.items {
				r.checkSubscription(item, fmt.Sprintf("%s[%d]", p.at("Subscription"), i))
			}
		}
	}
	p.done()
	for _, other := range r.made.Externals {
		if other.Type == x.Type && other.Name == name {
			r.add(res.at, res.path, "the resource %s has the same name: %s", other.LogicalID, quote(name))
		}
	}
	r.made.Externals = append(r.made.Externals, x)
}

// checkSubscription refuses a subscription that would call a function or fill a queue:
// what is published locally reaches nobody.
func (r *reader) checkSubscription(n *node, path string) {
	p := r.propertiesOf(n, n, path, typeSubscription)
	switch protocol := p.text("Protocol", ""); protocol {
	case "lambda", "sqs", "firehose":
		p.problem("Protocol", "subscriptions of %s are not emulated", quote(protocol))
	}
}

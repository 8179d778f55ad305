package template

import (
	"cmp"
	"strings"
)

// readOutputs evaluates the Outputs. What is not known locally does not make the template
// one that can't be run, but what does not exist does, as in CloudFormation.
func (r *reader) readOutputs() {
	section := r.root.get("Outputs")
	if section == nil {
		return
	}
	if section.kind != object {
		r.add(section, "Outputs", "it must be a mapping, not %s", section.describe())
		return
	}
	for _, e := range section.entries {
		if e.value.kind != object {
			r.add(e.value, "Outputs."+e.key, "it must be a mapping, not %s", e.value.describe())
			continue
		}
		r.readOutput(e)
	}
}

func (r *reader) readOutput(e entry) {
	p := r.propertiesOf(e.value, e.at, "Outputs."+e.key, "output")
	if condition := p.text("Condition", ""); condition != "" {
		if holds, ok := r.condition(p.n.get("Condition"), condition, p.at("Condition")); !holds || !ok {
			return
		}
	}
	o := Output{Name: e.key, Description: p.text("Description", ""), Line: e.at.line}
	r.output = &o
	at := p.at("Value")
	switch value := r.eval(p.n.get("Value"), at); {
	case p.n.get("Value") == nil:
		p.required("Value")
	case value.isSecret():
		o.Unknown = "it is a secret, which is not shown"
	default:
		var ok bool
		if o.Value, ok = r.text(r.final(value, at), at); !ok {
			o.Unknown = cmp.Or(o.Unknown, "it depends on a value that is not known yet")
		}
	}
	r.output = nil
	p.asked["Value"] = true
	p.done()
	r.made.Outputs = append(r.made.Outputs, o)
}

// isSecret reports whether an evaluated scalar refers to what must not be shown.
func (n *node) isSecret() bool {
	return n != nil && (strings.Contains(n.text, beginning+"secretsmanager:") || strings.Contains(n.text, beginning+"ssm-secure:"))
}

package template

import (
	"cmp"
	"slices"
)

// skip records that something has no effect locally. What stands in Globals is recorded
// there, once, however many resources take it.
func (r *reader) skip(at *node, path, typ, reason string) {
	if global, ok := r.global[at]; ok {
		path = global
	}
	if r.skipped[path] {
		return
	}
	r.skipped[path] = true
	r.made.Skipped = append(r.made.Skipped, Skipped{Path: path, Type: typ, Reason: reason, Line: at.line})
}

// skip records those of the keys that are present.
func (p *properties) skip(reason string, keys ...string) {
	if p.n == nil {
		return
	}
	for _, e := range p.n.entries {
		if slices.Contains(keys, e.key) {
			p.r.skip(e.at, p.at(e.key), "", reason)
		}
	}
}

// skipUnread records the keys of a Metadata that nothing reads: it is open to any tool.
func (p *properties) skipUnread() {
	if p.n == nil {
		return
	}
	for _, e := range p.n.entries {
		if !p.asked[e.key] {
			p.r.skip(e.at, p.at(e.key), "", cmp.Or(accepted[p.typ][e.key], noMetadata))
		}
	}
}

// checkSkipped records the sections of Globals that no resource takes, and puts everything
// in the template's order.
func (r *reader) checkSkipped() {
	for _, e := range entriesOf(r.root.get("Globals")) {
		if !r.merged[e.key] {
			r.skip(e.at, "Globals."+e.key, "", "no resource takes it")
		}
	}
	slices.SortStableFunc(r.made.Skipped, func(a, b Skipped) int { return cmp.Compare(a.Line, b.Line) })
}

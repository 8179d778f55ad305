package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"paylane/shared/console"
	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
)

// shortPage prints what is needed each day. Of a template that is not paylane's own it has what
// may come as a surprise, too: what is not there, and what has no effect.
func shortPage(p page, c config, r *runner.Runner, own *devIssuer) {
	t, url := r.Template(), r.URL()
	fmt.Fprintln(p)
	if c.embedded() {
		fmt.Fprintf(p, "  console\t%s\n", p.address(url+console.Root))
		fmt.Fprintf(p, "  data\t%s\n", printable(c.Data))
	}
	if url != "" {
		label := "access"
		for _, line := range accessLines(c, t, own) {
			fmt.Fprintf(p, "  %s\t%s\n", label, line)
			label = ""
		}
		if by := c.Payment.describe(); by != "" {
			fmt.Fprintf(p, "  payments\t%s\n", by)
		}
	}
	shortRoutes(p, t)
	shortQueues(p, t)
	p.title("Functions")
	for _, f := range t.Functions {
		fmt.Fprintf(p, "  %s\ttimeout %s", f.LogicalID, brief(f.Timeout))
		if !runner.IsInvoked(t, f.LogicalID) {
			fmt.Fprint(p, "\tnothing here invokes it")
		}
		for _, source := range sources(t, f.LogicalID) {
			fmt.Fprintf(p, "\t← %s", source)
		}
		fmt.Fprintln(p)
	}
	if _, paylanes := c.filled(); paylanes {
		fmt.Fprintf(p, "\nWithout effect here: %d settings, which --verbose and \"paylane check\" list.\n", len(t.Skipped))
		return
	}
	pageExternals(p, t, whereAt(p, r))
	pageOutputs(p, t)
	pageSkipped(p, t)
	pageCredentials(p, c)
	fmt.Fprintln(p)
}

// shortRoutes prints the routes and URLs of each function.
func shortRoutes(p page, t *template.Template) {
	type place struct{ function, path string }
	methods := make(map[place][]string)
	var places []place
	paths := make(map[string][]string) // by function
	var others string                  // the function of all other requests
	for _, api := range t.APIs {
		for _, r := range sortedRoutes(api) {
			at := place{r.Function, r.Path}
			switch {
			case r.Key == template.DefaultRoute:
				others = r.Function
				continue
			case methods[at] == nil:
				places = append(places, at)
			}
			methods[at] = append(methods[at], r.Method)
		}
	}
	for _, at := range places {
		slices.Sort(methods[at])
		paths[at.function] = append(paths[at.function], strings.Join(methods[at], " ")+" "+at.path)
	}
	width := 0
	for _, f := range t.Functions {
		paths[f.LogicalID] = append(paths[f.LogicalID], urlPaths(f)...)
		if f.LogicalID == others {
			paths[others] = append(paths[others], "any other")
		}
		if len(paths[f.LogicalID]) > 0 {
			width = max(width, len(f.LogicalID))
		}
	}
	if width > 0 {
		p.title("Routes")
	}
	for _, f := range t.Functions {
		if all := paths[f.LogicalID]; len(all) > 0 {
			fmt.Fprintln(p, listed(fmt.Sprintf("  %-*s  ", width, f.LogicalID), all))
		}
	}
}

func shortQueues(p page, t *template.Template) {
	if len(t.Queues) > 0 {
		p.title("Queues")
	}
	for _, q := range t.Queues {
		fmt.Fprintf(p, "  %s\tvisibility %s\tretention %s", q.LogicalID, brief(q.VisibilityTimeout), brief(q.Retention))
		if q.DeadLetterQueue != "" {
			fmt.Fprintf(p, "\t%d receives → %s", q.MaxReceiveCount, q.DeadLetterQueue)
		}
		fmt.Fprintln(p)
	}
}

// sources returns what invokes a function besides requests.
func sources(t *template.Template, function string) (all []string) {
	add := func(invokes, name string, enabled bool) {
		switch {
		case invokes != function:
		case enabled:
			all = append(all, name)
		default:
			all = append(all, name+" (disabled)")
		}
	}
	for _, s := range t.Schedules {
		add(s.Function, s.Expression, s.Enabled)
	}
	for _, m := range t.Mappings {
		add(m.Function, m.Queue, m.Enabled)
	}
	for _, m := range t.StreamMappings {
		add(m.Function, "changes of "+m.Table, m.Enabled)
	}
	return all
}

// brief returns a duration without the units that are zero.
func brief(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// shortWidth is how many columns the short page may have, if its words let it.
const shortWidth = 80

// listed returns a list behind a label, with its further lines below its first.
func listed(label string, items []string) string {
	var b strings.Builder
	line := label
	for i, item := range items {
		if i < len(items)-1 {
			item += ","
		}
		if i > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(item) > shortWidth {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", len(label))
		} else if i > 0 {
			line += " "
		}
		line += item
	}
	return b.String() + line
}

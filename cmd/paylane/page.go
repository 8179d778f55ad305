package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"paylane/shared/console"
	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
)

// page is where a page is printed, and how text stands out there.
type page struct {
	io.Writer
	style
}

func (p page) title(text string) { fmt.Fprintf(p, "\n%s\n", p.heading(text)) }

// startPage prints what is served, in one Write.
func startPage(c config, r *runner.Runner, own *devIssuer) error {
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	p := page{table, c.Style}
	fmt.Fprintln(p, whatRuns(p.address(r.URL())))
	if c.Verbose {
		wholePage(p, c, r, own)
	} else {
		shortPage(p, c, r, own)
	}
	fmt.Fprintln(p, "Ctrl-C finishes what is in flight and stops.")
	err := table.Flush()
	if err == nil {
		_, err = c.Out.Write(text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("print the start page: %w", err)
	}
	return nil
}

// whatRuns is the first line of all, from which programs may take the URL.
func whatRuns(url string) string {
	if url == "" {
		return "paylane runs the template; it has no HTTP API"
	}
	return "paylane serves " + url
}

// wholePage prints everything.
func wholePage(p page, c config, r *runner.Runner, own *devIssuer) {
	t, url := r.Template(), r.URL()
	if url != "" {
		p.title("Access")
		for _, line := range accessLines(c, t, own) {
			fmt.Fprintf(p, "  %s\n", line)
		}
		if by := c.Payment.describe(); by != "" {
			p.title("Payments")
			fmt.Fprintf(p, "  %s\n", by)
		}
	}
	if c.embedded() {
		p.title("Console")
		fmt.Fprintf(p, "  %s\n", p.address(url+console.Root))
		p.title("Data")
		fmt.Fprintf(p, "  %s\n", printable(c.Data))
	}
	pageTemplate(p, t, url)
	pageExternals(p, t, whereAt(p, r))
	pageOutputs(p, t)
	pageSkipped(p, t)
	pageCredentials(p, c)
	fmt.Fprintln(p)
	if url != "" { // what has no effect fills a screen
		fmt.Fprintf(p, "%s is ready. ", url)
	}
}

// whereAt says where a resource is that is not emulated.
func whereAt(p page, r *runner.Runner) func(template.External) string {
	return func(x template.External) string {
		for _, absent := range r.Absent() {
			if absent.LogicalID == x.LogicalID {
				return p.warning(printable(fmt.Sprintf("%s (%s)", notThere, absent.Reason)))
			}
		}
		return printable("at the endpoint: " + x.Name)
	}
}

// accessLines say who may call, and how.
func accessLines(c config, t *template.Template, own *devIssuer) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	all := authorizers(t)
	if !c.Access.Tokens {
		add("any program on this machine; --auth jwt requires access tokens")
		if len(all) > 0 && !c.embedded() {
			add("functions behind an authorizer see a caller called local; --claim changes what they see")
		}
		return lines
	}
	add("access tokens of %s for %s", c.Access.Issuer, c.Access.Audience)
	if own == nil {
		return lines
	}
	add("for development: %s", own.example(c, scopes(t, "")))
	for _, a := range all {
		if a.Issuer != own.url {
			add("for %s alone: %s", a.Name, own.example(c, scopes(t, a.Name), "--claim", "iss="+a.Issuer, "--claim", "aud="+a.Audience[0]))
		}
	}
	return lines
}

// scopes returns the scopes of the routes with an authorizer, or with any, separated by
// spaces.
func scopes(t *template.Template, authorizer string) string {
	var all []string
	for _, api := range t.APIs {
		for _, r := range api.Routes {
			if r.Authorizer != nil && (authorizer == "" || r.Authorizer.Name == authorizer) {
				all = append(all, r.Scopes...)
			}
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

// authorizers returns the authorizers of a template's routes.
func authorizers(t *template.Template) (all []template.JWTAuthorizer) {
	for _, api := range t.APIs {
		for _, r := range api.Routes {
			if a := r.Authorizer; a != nil && !slices.ContainsFunc(all, func(b template.JWTAuthorizer) bool { return a.Name == b.Name }) {
				all = append(all, *a)
			}
		}
	}
	return all
}

// pageTemplate prints what is served of a template at a URL, as it was understood.
func pageTemplate(p page, t *template.Template, url string) {
	for _, api := range t.APIs {
		pageRoutes(p, api)
	}
	pageURLs(p, t.Functions, url)
	if len(t.Queues) > 0 {
		p.title("Queues")
	}
	for _, q := range t.Queues {
		fmt.Fprintf(p, "  %s\tvisibility timeout %s\tretention %s", q.LogicalID, q.VisibilityTimeout, q.Retention)
		if q.DeadLetterQueue != "" {
			fmt.Fprintf(p, "\tafter %d receives → %s", q.MaxReceiveCount, q.DeadLetterQueue)
		}
		fmt.Fprintln(p)
	}
	p.title("Functions")
	for _, f := range t.Functions {
		fmt.Fprintf(p, "  %s\ttimeout %s", f.LogicalID, f.Timeout)
		if !runner.IsInvoked(t, f.LogicalID) {
			fmt.Fprint(p, "\tnothing here invokes it")
		}
		for _, s := range t.Schedules {
			if s.Function == f.LogicalID && s.Enabled {
				fmt.Fprintf(p, "\t← %s", s.Expression)
			}
		}
		for _, m := range t.Mappings {
			if m.Function == f.LogicalID {
				fmt.Fprintf(p, "\t%s", mapping(m))
			}
		}
		for _, m := range t.StreamMappings {
			if m.Function == f.LogicalID {
				fmt.Fprintf(p, "\t%s", streamMapping(m))
			}
		}
		fmt.Fprintln(p)
	}
}

func pageRoutes(p page, api template.HTTPAPI) {
	p.title("Routes")
	for _, r := range sortedRoutes(api) {
		if r.Key == template.DefaultRoute {
			fmt.Fprintf(p, "  any other\t\t→ %s\n", r.Function)
		} else {
			fmt.Fprintf(p, "  %s\t%s\t→ %s\n", r.Method, r.Path, r.Function)
		}
	}
}

// sortedRoutes returns an API's routes by their paths.
func sortedRoutes(api template.HTTPAPI) []template.Route {
	routes := slices.Clone(api.Routes)
	slices.SortStableFunc(routes, func(a, b template.Route) int { return cmp.Compare(a.Path, b.Path) })
	return routes
}

// urlPaths returns the paths of a function's URL.
func urlPaths(f template.Function) []string {
	if f.URL == nil {
		return nil
	}
	return append([]string{template.LocalURLPath + f.LogicalID + "/"}, f.URL.LocalPaths...)
}

func pageURLs(p page, functions []template.Function, url string) {
	first := true
	for _, f := range functions {
		for i, path := range urlPaths(f) {
			switch {
			case first:
				p.title("Function URLs")
				fallthrough
			case i == 0:
				fmt.Fprintf(p, "  %s\t%s%s\n", f.LogicalID, url, path)
			default:
				fmt.Fprintf(p, "  \tand %s%s\n", url, path)
			}
			first = false
		}
	}
}

func mapping(m template.Mapping) string {
	text := fmt.Sprintf("← %s in batches of %d", m.Queue, m.BatchSize)
	if m.Window > 0 {
		text += fmt.Sprintf(" gathered for %s", m.Window)
	}
	if m.MaxConcurrency > 0 {
		text += fmt.Sprintf(", %d at a time", m.MaxConcurrency)
	}
	if !m.Enabled {
		text += ", disabled"
	}
	return text
}

func streamMapping(m template.StreamMapping) string {
	text := fmt.Sprintf("← changes of %s from %s in batches of %d", m.Table, m.StartingPosition, m.BatchSize)
	if m.Window > 0 {
		text += fmt.Sprintf(" gathered for %s", m.Window)
	}
	if m.Parallelization > 1 {
		text += fmt.Sprintf(", %d of a shard at a time", m.Parallelization)
	}
	if m.Bisect {
		text += ", split when they fail"
	}
	if m.MaxRetries >= 0 {
		text += fmt.Sprintf(", tried again %d times", m.MaxRetries)
	}
	if m.MaxRecordAge > 0 {
		text += fmt.Sprintf(", given up after %s", m.MaxRecordAge)
	}
	if m.OnFailure != "" {
		text += ", what is given up → " + m.OnFailure
	}
	if !m.Enabled {
		text += ", disabled"
	}
	return text
}

const notThere = "not there: calls to it will fail"

// pageExternals prints the resources that are not emulated, and where each is.
func pageExternals(p page, t *template.Template, where func(template.External) string) {
	if len(t.Externals) > 0 {
		p.title("Other resources")
	}
	for _, x := range t.Externals {
		fmt.Fprintf(p, "  %s\t%s\t%s\n", x.LogicalID, x.Type, where(x))
	}
}

func pageOutputs(p page, t *template.Template) {
	if len(t.Outputs) > 0 {
		p.title("Outputs")
	}
	for _, o := range t.Outputs {
		value := o.Value
		if o.Unknown != "" {
			value = "unknown: " + o.Unknown
		}
		fmt.Fprintf(p, "  %s\t%s\n", o.Name, printable(value))
	}
}

// pageSkipped prints what has no effect here: each reason with what it stands for.
func pageSkipped(p page, t *template.Template) {
	if len(t.Skipped) == 0 {
		return
	}
	p.title("Without effect here")
	var reasons []string
	by := make(map[string][]template.Skipped)
	for _, s := range t.Skipped {
		if by[s.Reason] == nil {
			reasons = append(reasons, s.Reason)
		}
		by[s.Reason] = append(by[s.Reason], s)
	}
	for _, reason := range reasons {
		fmt.Fprintln(p, wrapped(reason+" — "+subjects(by[reason])))
	}
}

// subjects names everything that is skipped for one reason, as briefly as a reader of the
// template needs: "ApiRole, Api.Timeout; Tags of Api, Queue".
func subjects(skipped []template.Skipped) string {
	var keys []string
	holders := make(map[string][]string) // by key; a whole resource has none
	for _, s := range skipped {
		path := strings.TrimPrefix(strings.TrimPrefix(s.Path, "Resources."), "Parameters.")
		path = printable(strings.ReplaceAll(path, ".Properties.", "."))
		holder, key := path, ""
		if i := strings.LastIndexByte(path, '.'); s.Type == "" && i >= 0 {
			holder, key = path[:i], path[i+1:]
		}
		if holders[key] == nil {
			keys = append(keys, key)
		}
		holders[key] = append(holders[key], holder)
	}
	single := holders[""]
	var groups []string
	for _, key := range keys {
		switch {
		case key == "":
		case len(holders[key]) == 1:
			single = append(single, holders[key][0]+"."+key)
		default:
			groups = append(groups, key+" of "+strings.Join(holders[key], ", "))
		}
	}
	if len(single) > 0 {
		groups = append([]string{strings.Join(single, ", ")}, groups...)
	}
	return strings.Join(groups, "; ")
}

// pageWidth is how many columns the lines of a paragraph may have.
const pageWidth = 100

// wrapped returns a paragraph that is indented by two columns, and by four from its second
// line on.
func wrapped(text string) string {
	var b strings.Builder
	line := " "
	for word := range strings.FieldsSeq(text) {
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > pageWidth {
			b.WriteString(line + "\n")
			line = "   "
		}
		line += " " + word
	}
	return b.String() + line
}

// printable returns text that stays on one line and in one column.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

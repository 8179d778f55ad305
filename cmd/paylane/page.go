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

	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
)

// startPage prints what is served, in one Write.
func startPage(c config, r *runner.Runner, own *devIssuer) error {
	t, url := r.Template(), r.URL()
	var text bytes.Buffer
	page := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	if url == "" {
		fmt.Fprintln(page, "paylane runs the template; it has no HTTP API")
	} else {
		fmt.Fprintf(page, "paylane serves %s\n", url)
		pageAccess(page, c, t, own)
		if by := c.Payment.describe(); by != "" {
			fmt.Fprintf(page, "\nPayments\n  %s\n", by)
		}
	}
	pageTemplate(page, t, url)
	pageExternals(page, t, func(x template.External) string {
		for _, absent := range r.Absent() {
			if absent.LogicalID == x.LogicalID {
				return fmt.Sprintf("%s (%s)", notThere, absent.Reason)
			}
		}
		return "at the endpoint: " + x.Name
	})
	pageOutputs(page, t)
	pageSkipped(page, t)
	pageCredentials(page, c)
	fmt.Fprintln(page)
	if url != "" { // what has no effect fills a screen
		fmt.Fprintf(page, "%s is ready. ", url)
	}
	fmt.Fprintln(page, "Ctrl-C finishes what is in flight and stops.")
	err := page.Flush()
	if err == nil {
		_, err = c.Out.Write(text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("print the start page: %w", err)
	}
	return nil
}

func pageAccess(page io.Writer, c config, t *template.Template, own *devIssuer) {
	fmt.Fprintln(page, "\nAccess")
	all := authorizers(t)
	if !c.Access.Tokens {
		fmt.Fprintln(page, "  any program on this machine; --auth jwt requires access tokens")
		if len(all) > 0 && !c.embedded() {
			fmt.Fprintln(page, "  functions behind an authorizer see a caller called local; --claim changes what they see")
		}
		return
	}
	fmt.Fprintf(page, "  access tokens of %s for %s\n", c.Access.Issuer, c.Access.Audience)
	if own == nil {
		return
	}
	fmt.Fprintf(page, "  for development: %s\n", own.example(c, scopes(t, "")))
	for _, a := range all {
		if a.Issuer != own.url {
			fmt.Fprintf(page, "  for %s alone: %s\n", a.Name, own.example(c, scopes(t, a.Name), "--claim", "iss="+a.Issuer, "--claim", "aud="+a.Audience[0]))
		}
	}
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
func pageTemplate(page io.Writer, t *template.Template, url string) {
	for _, api := range t.APIs {
		pageRoutes(page, api)
	}
	pageURLs(page, t.Functions, url)
	if len(t.Queues) > 0 {
		fmt.Fprintln(page, "\nQueues")
	}
	for _, q := range t.Queues {
		fmt.Fprintf(page, "  %s\tvisibility timeout %s\tretention %s", q.LogicalID, q.VisibilityTimeout, q.Retention)
		if q.DeadLetterQueue != "" {
			fmt.Fprintf(page, "\tafter %d receives → %s", q.MaxReceiveCount, q.DeadLetterQueue)
		}
		fmt.Fprintln(page)
	}
	fmt.Fprintln(page, "\nFunctions")
	for _, f := range t.Functions {
		fmt.Fprintf(page, "  %s\ttimeout %s", f.LogicalID, f.Timeout)
		if !runner.IsInvoked(t, f.LogicalID) {
			fmt.Fprint(page, "\tnothing here invokes it")
		}
		for _, s := range t.Schedules {
			if s.Function == f.LogicalID && s.Enabled {
				fmt.Fprintf(page, "\t← %s", s.Expression)
			}
		}
		for _, m := range t.Mappings {
			if m.Function == f.LogicalID {
				fmt.Fprintf(page, "\t%s", mapping(m))
			}
		}
		for _, m := range t.StreamMappings {
			if m.Function == f.LogicalID {
				fmt.Fprintf(page, "\t%s", streamMapping(m))
			}
		}
		fmt.Fprintln(page)
	}
}

func pageRoutes(page io.Writer, api template.HTTPAPI) {
	fmt.Fprintln(page, "\nRoutes")
	routes := slices.Clone(api.Routes)
	slices.SortStableFunc(routes, func(a, b template.Route) int { return cmp.Compare(a.Path, b.Path) })
	for _, r := range routes {
		if r.Key == template.DefaultRoute {
			fmt.Fprintf(page, "  any other\t\t→ %s\n", r.Function)
		} else {
			fmt.Fprintf(page, "  %s\t%s\t→ %s\n", r.Method, r.Path, r.Function)
		}
	}
}

func pageURLs(page io.Writer, functions []template.Function, url string) {
	title := "\nFunction URLs\n"
	for _, f := range functions {
		if f.URL == nil {
			continue
		}
		fmt.Fprintf(page, "%s  %s\t%s%s%s/\n", title, f.LogicalID, url, template.LocalURLPath, f.LogicalID)
		for _, path := range f.URL.LocalPaths {
			fmt.Fprintf(page, "  \tand %s%s\n", url, path)
		}
		title = ""
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
func pageExternals(page io.Writer, t *template.Template, where func(template.External) string) {
	if len(t.Externals) > 0 {
		fmt.Fprintln(page, "\nOther resources")
	}
	for _, x := range t.Externals {
		fmt.Fprintf(page, "  %s\t%s\t%s\n", x.LogicalID, x.Type, printable(where(x)))
	}
}

func pageOutputs(page io.Writer, t *template.Template) {
	if len(t.Outputs) > 0 {
		fmt.Fprintln(page, "\nOutputs")
	}
	for _, o := range t.Outputs {
		value := o.Value
		if o.Unknown != "" {
			value = "unknown: " + o.Unknown
		}
		fmt.Fprintf(page, "  %s\t%s\n", o.Name, printable(value))
	}
}

// pageSkipped prints what has no effect here: each reason with what it stands for.
func pageSkipped(page io.Writer, t *template.Template) {
	if len(t.Skipped) == 0 {
		return
	}
	fmt.Fprintln(page, "\nWithout effect here")
	var reasons []string
	by := make(map[string][]template.Skipped)
	for _, s := range t.Skipped {
		if by[s.Reason] == nil {
			reasons = append(reasons, s.Reason)
		}
		by[s.Reason] = append(by[s.Reason], s)
	}
	for _, reason := range reasons {
		fmt.Fprintln(page, wrapped(reason+" — "+subjects(by[reason])))
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

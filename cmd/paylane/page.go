package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
)

// startPage prints what is served, in one Write.
func startPage(c config, t *template.Template, url string, own *devIssuer) error {
	var text bytes.Buffer
	page := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	if url == "" {
		fmt.Fprintln(page, "paylane runs the template; it has no HTTP API")
	} else {
		fmt.Fprintf(page, "paylane serves %s\n", url)
		pageAccess(page, c, t, own)
	}
	pageTemplate(page, t, url)
	pageCredentials(page, c)
	fmt.Fprintln(page, "\nCtrl-C finishes what is in flight and stops.")
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
	if !c.Access.Tokens {
		fmt.Fprintln(page, "  any program on this machine; --auth jwt requires access tokens")
		return
	}
	fmt.Fprintf(page, "  access tokens of %s for %s\n", c.Access.Issuer, c.Access.Audience)
	if own == nil {
		return
	}
	fmt.Fprintf(page, "  for development: %s\n", own.example(c, ""))
	for _, a := range authorizers(t) {
		if a.Issuer != own.url {
			fmt.Fprintf(page, "  for %s alone: %s\n", a.Name, own.example(c, fmt.Sprintf(" --claim iss=%s --claim aud=%s", a.Issuer, a.Audience[0])))
		}
	}
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

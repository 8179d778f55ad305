package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
)

func (c cli) checkCommand() *cobra.Command {
	o := config{Addr: defaultAddr}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a template, and show what would be served",
		Long: `Show what "paylane run" would serve of a template, or every problem with its
line. Nothing is built or opened, so what "paylane run" reads at an endpoint is
not known; it is listed. The exit status is 1 if there is a problem.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			t, err := runner.Check(runner.Config{Template: o.Template, Parameters: o.parameters(), Imports: o.Imports, Addr: o.Addr})
			if err != nil {
				return templateError(o.Template, err)
			}
			table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			p := page{table, c.styleOn(c.outTerminal)}
			fmt.Fprintf(p, "%s can be run\n", o.Template)
			if _, own := o.filled(); !own {
				pageNeeds(p, t)
			}
			pageTemplate(p, t, "http://"+o.Addr)
			pageExternals(p, t, madeByRun(p))
			pageLookups(p, t)
			pageOutputs(p, t)
			pageSkipped(p, t)
			return table.Flush()
		},
	}
	cmd.Flags().SortFlags = false
	o.templateFlags(cmd)
	return cmd
}

// pageNeeds prints for what the template needs an endpoint.
func pageNeeds(p page, t *template.Template) {
	var needing []string
	for _, p := range runner.NeedsEndpoint(t) {
		needing = append(needing, strings.TrimPrefix(p.Path, "Resources."))
	}
	if needing != nil {
		fmt.Fprintf(p, "it needs --endpoint for %s\n", strings.Join(needing, ", "))
	}
}

// madeByRun says where a resource will be.
func madeByRun(p page) func(template.External) string {
	return func(x template.External) string {
		if provision.Makes(x.Type) {
			return p.warning("made at --endpoint; without it, " + notThere)
		}
		return p.warning(notThere)
	}
}

// pageLookups prints the values that the start will read.
func pageLookups(p page, t *template.Template) {
	if len(t.Lookups) > 0 {
		p.title("Read at --endpoint by the start")
	}
	for _, ref := range t.Lookups {
		fmt.Fprintf(p, "  %s\n", ref)
	}
}

package main

import (
	"fmt"
	"io"
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
			page := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			fmt.Fprintf(page, "%s can be run\n", o.Template)
			if _, own := o.filled(); !own {
				pageNeeds(page, t)
			}
			pageTemplate(page, t, "http://"+o.Addr)
			pageExternals(page, t, madeByRun)
			pageLookups(page, t)
			pageOutputs(page, t)
			pageSkipped(page, t)
			return page.Flush()
		},
	}
	cmd.Flags().SortFlags = false
	o.templateFlags(cmd)
	return cmd
}

// pageNeeds prints for what the template needs an endpoint.
func pageNeeds(page io.Writer, t *template.Template) {
	var needing []string
	for _, p := range runner.NeedsEndpoint(t) {
		needing = append(needing, strings.TrimPrefix(p.Path, "Resources."))
	}
	if needing != nil {
		fmt.Fprintf(page, "it needs --endpoint for %s\n", strings.Join(needing, ", "))
	}
}

// madeByRun says where a resource will be.
func madeByRun(x template.External) string {
	if provision.Makes(x.Type) {
		return "made at --endpoint; without it, " + notThere
	}
	return notThere
}

// pageLookups prints the values that the start will read.
func pageLookups(page io.Writer, t *template.Template) {
	title := "\nRead at --endpoint by the start"
	for _, ref := range t.Lookups {
		if title != "" {
			fmt.Fprintln(page, title)
		}
		fmt.Fprintf(page, "  %s\n", ref)
		title = ""
	}
}

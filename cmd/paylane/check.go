package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"paylane/shared/emulator/runner"
)

func (c cli) checkCommand() *cobra.Command {
	o := config{Addr: defaultAddr}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a template, and show what would be served",
		Long: `Show what "paylane run" would serve of a template, or every problem with its
line. Nothing is built or opened. The exit status is 1 if there is a problem.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			t, err := runner.Check(runner.Config{Template: o.Template, Parameters: o.parameters(), Addr: o.Addr})
			if err != nil {
				return err
			}
			page := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			fmt.Fprintf(page, "%s can be run\n", o.Template)
			pageTemplate(page, t, "http://"+o.Addr)
			return page.Flush()
		},
	}
	cmd.Flags().SortFlags = false
	o.templateFlags(cmd)
	return cmd
}

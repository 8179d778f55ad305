package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"paylane/cmd/paylane/internal/apiclient"
	"paylane/shared/gateway/gateways"
	"paylane/shared/smoke"
)

func (c cli) smokeCommand() *cobra.Command {
	var o targetFlags
	var pay payment
	var live bool
	cmd := &cobra.Command{
		Use:   "smoke",
		Short: "Check that a running paylane takes and pays orders",
		Long: `Place a few orders with a running paylane, here or on AWS, and print a line for
each check. The exit status is 1 if one fails.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := apiclient.New(o.url, o.token, 1, o.allowRemote)
			if err != nil {
				return usageError{err}
			}
			if err := t.Ping(cmd.Context()); err != nil {
				return err
			}
			failed := false
			opened, err := gateways.New(cmp.Or(pay.Name, gatewaySimulator), gateways.Config{Now: c.now, Livemode: live})
			if err != nil {
				return err
			}
			for name, err := range smoke.Checks(cmd.Context(), t.Ask, opened.Describe()) {
				if err != nil {
					failed = true
					fmt.Fprintf(c.out, "FAIL  %s: %v\n", name, err)
				} else {
					fmt.Fprintf(c.out, "ok    %s\n", name)
				}
			}
			if failed {
				return errReported
			}
			return nil
		},
	}
	o.add(cmd)
	cmd.Flags().Func("gateway", "who collects its payments, `simulator|stripe` (default simulator)", pay.name)
	cmd.Flags().BoolVar(&live, "livemode", false, "its gateway moves money: place only orders that are declined")
	return cmd
}

// targetFlags are the flags of commands that test a running paylane.
type targetFlags struct {
	url, token  string
	allowRemote bool
}

func (f *targetFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.url, "url", "http://"+defaultAddr, "base `URL` of the API")
	flags.StringVar(&f.token, "token", "", "access `token` to send, if the API requires one")
	flags.BoolVar(&f.allowRemote, "allow-remote", false, "allow a URL that is not on this machine: it gets real orders")
}

package main

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"paylane/cmd/paylane/internal/bulk"
)

func (c cli) eraseCommand() *cobra.Command {
	var customer string
	b := c.newBulk("erase")
	cmd := &cobra.Command{
		Use:   "erase",
		Short: "Erase a customer from the orders that have ended",
		Long: `Find the orders of a customer, and erase customerId, metadata and the reasons of
refunds from each that has ended. The record of the money stays. What is erased
can't be had back. The ids of the erased orders are printed, one to a line.

An erased order is the customer's no longer, so the same command can be given
again, and goes on where it ended. The exit status is 1 if an order could not be
erased: one that is still open, for example, which can be once it has ended.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if customer == "" {
				return usageError{errors.New("--customer is missing: whose orders are to be erased?")}
			}
			b.Query = url.Values{"customerId": {customer}}
			var open []bulk.Order
			b.Choose = func(o bulk.Order) (chosen, more bool) {
				if !o.Status.End() {
					open = append(open, o)
				}
				return o.Status.End(), true
			}
			left := 0
			err := b.run(cmd.Context(), func(r bulk.Report) {
				for _, o := range open {
					fmt.Fprintf(c.err, "%s is %s\n", o.ID, o.Status)
				}
				if b.DryRun {
					fmt.Fprintf(c.err, "%d would be erased, %d are open\n", r.Found, len(open))
					return
				}
				left = len(open) + r.Changed
				fmt.Fprintf(c.err, "%d found, %d erased, %d open, %d changed meanwhile, %d failed\n",
					len(open)+r.Found, r.Done, len(open), r.Changed, r.Failed)
			})
			if err == nil && left > 0 {
				err = errors.New("not all are erased: give the command again once they have ended")
			}
			return err
		},
	}
	b.flags(cmd.Flags(), func() {
		cmd.Flags().StringVar(&customer, "customer", "", "the `customerId` of the orders")
	})
	return cmd
}

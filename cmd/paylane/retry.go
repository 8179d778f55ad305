package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"paylane/cmd/paylane/internal/bulk"
	"paylane/shared/order"
)

func (c cli) retryCommand() *cobra.Command {
	var since, code string
	b := c.newBulk("retry")
	cmd := &cobra.Command{
		Use:   "retry",
		Short: "Retry orders that FAILED for lack of a gateway",
		Long: `Find the orders that were placed since a time and FAILED with a code, and ask
for a retry of each: a new round of attempts to charge it. Declined orders are
not retried. The ids of the retried orders are printed, one to a line.

An order that was retried is no longer FAILED, so the same command can be given
again, and goes on where it ended. The exit status is 1 if an order could not be
retried.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since == "" {
				return usageError{errors.New("--since is missing: from when on were the orders placed?")}
			}
			from, err := sinceTime(since, c.now())
			if err != nil {
				return usageError{err}
			}
			b.Query = url.Values{"status": {string(order.Failed)}}
			b.Choose = func(o bulk.Order) (chosen, more bool) {
				more = !o.CreatedAt.Before(from)
				return more && o.Failure.Code == code, more
			}
			return b.run(cmd.Context(), func(r bulk.Report) {
				if b.DryRun {
					fmt.Fprintf(c.err, "%d would be retried\n", r.Found)
					return
				}
				fmt.Fprintf(c.err, "%d found, %d retried, %d changed meanwhile, %d failed\n", r.Found, r.Done, r.Changed, r.Failed)
			})
		},
	}
	b.flags(cmd.Flags(), func() {
		cmd.Flags().StringVar(&since, "since", "", "from when on the orders were placed: a `time` such as 2026-11-01T08:00:00Z, or 2h ago as 2h")
		cmd.Flags().StringVar(&code, "code", "gateway_unavailable", "the `code` of their failure")
	})
	return cmd
}

// sinceTime parses a time, or a duration before now.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("--since %q must be a time such as 2026-11-01T08:00:00Z, or a duration such as 2h", text)
	}
	return at, nil
}

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"paylane/cmd/paylane/internal/apiclient"
	"paylane/cmd/paylane/internal/retry"
)

// maxRetryRate is about what one caller gets answered one by one.
const maxRetryRate = 100

func (c cli) retryCommand() *cobra.Command {
	var base, token, since string
	o := retry.Config{Out: c.out}
	if c.terminal {
		o.Progress = c.err
	}
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
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if since == "" {
				return usageError{errors.New("--since is missing: from when on were the orders placed?")}
			}
			if o.PerSecond < 1 || o.PerSecond > maxRetryRate {
				return usageError{fmt.Errorf("--rate must be from 1 to %d", maxRetryRate)}
			}
			if o.Since, err = sinceTime(since, c.now()); err != nil {
				return usageError{err}
			}
			if o.Target, err = apiclient.New(base, token, 1, true); err != nil {
				return usageError{err}
			}
			if err := o.Target.Ping(cmd.Context()); err != nil {
				return err
			}
			ctx, stop, release := interrupts(cmd.Context())
			defer release()
			go func() {
				select {
				case <-stop: // one is enough: nothing is lost
					release()
				case <-ctx.Done():
				}
			}()
			report, err := retry.Run(ctx, o)
			if o.DryRun {
				fmt.Fprintf(c.err, "%d would be retried\n", report.Found)
				return err
			}
			fmt.Fprintf(c.err, "%d found, %d retried, %d changed meanwhile, %d failed\n", report.Found, report.Retried, report.Changed, report.Failed)
			if err == nil && report.Why != nil {
				return report.Why
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&base, "url", "http://"+defaultAddr, "base `URL` of the API")
	flags.StringVar(&token, "token", "", "access `token`, with the scopes orders/read and orders/operate")
	flags.StringVar(&since, "since", "", "from when on the orders were placed: a `time` such as 2026-11-01T08:00:00Z, or 2h ago as 2h")
	flags.StringVar(&o.Code, "code", "gateway_unavailable", "the `code` of their failure")
	flags.StringVar(&o.Tenant, "tenant", "", "whose orders they are, if the token is of an operator over all `tenants`")
	flags.IntVar(&o.PerSecond, "rate", 10, "how many to retry per second, at most")
	flags.BoolVar(&o.DryRun, "dry-run", false, "only print which orders would be retried")
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

package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"paylane/cmd/paylane/internal/apiclient"
	"paylane/cmd/paylane/internal/bulk"
)

// maxBulkRate is about what one caller gets answered one by one.
const maxBulkRate = 100

// bulkCommand is what commands that change many orders have in common.
type bulkCommand struct {
	bulk.Config

	base, token string
}

func (c cli) newBulk(action string) *bulkCommand {
	b := &bulkCommand{Config: bulk.Config{Action: action, Out: c.out}}
	if c.terminal {
		b.Progress = c.err
	}
	return b
}

// flags adds those that say where the orders are, then the command's own, then the others.
func (b *bulkCommand) flags(flags *pflag.FlagSet, own func()) {
	flags.SortFlags = false
	flags.StringVar(&b.base, "url", "http://"+defaultAddr, "base `URL` of the API")
	flags.StringVar(&b.token, "token", "", "access `token`, with the scopes orders/read and orders/operate")
	own()
	flags.StringVar(&b.Tenant, "tenant", "", "whose orders they are, if the token is of an operator over all `tenants`")
	flags.IntVar(&b.PerSecond, "rate", 10, "how many to "+b.Action+" per second, at most")
	flags.BoolVar(&b.DryRun, "dry-run", false, "only print which orders would be "+b.Action+"d")
}

// run checks the flags, changes the orders until it is done or interrupted, and has the report
// told. The error includes why one order could not be changed.
func (b *bulkCommand) run(ctx context.Context, tell func(bulk.Report)) (err error) {
	if b.PerSecond < 1 || b.PerSecond > maxBulkRate {
		return usageError{fmt.Errorf("--rate must be from 1 to %d", maxBulkRate)}
	}
	if b.Target, err = apiclient.New(b.base, b.token, 1, true); err != nil {
		return usageError{err}
	}
	if err := b.Target.Ping(ctx); err != nil {
		return err
	}
	ctx, stop, release := interrupts(ctx)
	defer release()
	go func() {
		select {
		case <-stop: // one is enough: nothing is lost
			release()
		case <-ctx.Done():
		}
	}()
	report, err := bulk.Run(ctx, b.Config)
	tell(report)
	return cmp.Or(err, report.Why)
}

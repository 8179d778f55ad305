package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"paylane/cmd/paylane/internal/apiclient"
	"paylane/cmd/paylane/internal/load"
)

func (c cli) loadCommand() *cobra.Command {
	var to targetFlags
	var floor, json bool
	o := load.Config{Now: c.now}
	if c.terminal {
		o.Progress = c.err
	}
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Drive a running paylane with orders, and report how it went",
		Long: `Place orders with a running paylane for a while, follow every one of them to
its end, and report rates, latencies and errors. The exit status is 1 if a
request fails, or if an order is missing or not at its end in time.

Ctrl-C ends the load early and still reports; a second one ends the following
as well. "go doc ./cmd/paylane/internal/load" explains the report of --json.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			switch {
			case o.Connections < 1:
				return usageError{errors.New("--connections must be at least 1")}
			case o.Duration <= 0:
				return usageError{errors.New("--duration must be more than 0")}
			case o.Drain < 0:
				return usageError{errors.New("--drain must not be negative")}
			}
			if floor {
				o.FloorTime = load.FloorTime(o.Duration)
			}
			if o.Target, err = apiclient.New(to.url, to.token, o.Connections, to.allowRemote); err != nil {
				return usageError{err}
			}
			if err := o.Target.Ping(cmd.Context()); err != nil {
				return err
			}
			ctx, stop, release := interrupts(cmd.Context())
			defer release()
			report, err := load.Run(ctx, stop, o)
			if err != nil {
				return err
			}
			write := report.WriteText
			if json {
				write = report.WriteJSON
			}
			if err := write(c.out); err != nil {
				return fmt.Errorf("write the report: %w", err)
			}
			if !report.OK {
				return errReported
			}
			return nil
		},
	}
	to.add(cmd)
	flags := cmd.Flags()
	flags.IntVarP(&o.Connections, "connections", "c", 50, "concurrent connections")
	flags.DurationVarP(&o.Duration, "duration", "d", 15*time.Second, "how long to send orders")
	flags.DurationVar(&o.Drain, "drain", time.Minute, "how long to wait afterwards for orders to reach their ends")
	flags.StringVar(&o.PaymentToken, "payment-token", "tok_ok", "payment `token` of the orders")
	flags.BoolVar(&o.Keys, "keys", false, "send an Idempotency-Key with each order")
	flags.BoolVar(&floor, "floor", false, "also measure a bare net/http server, before and after")
	flags.BoolVar(&json, "json", false, "write the report as JSON")
	return cmd
}

// floorCommand makes this program the floor server of a load, which starts it again.
func (c cli) floorCommand() *cobra.Command {
	return &cobra.Command{
		Use: load.FloorCommand, Hidden: true, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return load.ServeFloor(cmd.Context(), c.in, c.out)
		},
	}
}

// interrupts closes stop at the first Ctrl-C and ends the context at the second. A third
// one kills the process.
func interrupts(ctx context.Context) (_ context.Context, stop <-chan struct{}, release func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	stopped := make(chan struct{})
	go func() {
		defer signal.Stop(signals)
		select {
		case <-signals:
			close(stopped)
		case <-ctx.Done():
			return
		}
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, stopped, cancel
}

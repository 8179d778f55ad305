package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"paylane/shared/emulator/apigateway"
)

// run serves until the context ends. It returns once what was in flight is finished and
// everything is released.
func (a *app) run(ctx context.Context, listener net.Listener) error {
	err := a.serve(ctx, listener)
	grace, cancel := a.grace(ctx)
	defer cancel()
	return errors.Join(err, a.platform.Close(grace))
}

// serve runs the server, the pollers, the schedules and the platform's watch side by side.
func (a *app) serve(ctx context.Context, listener net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	if a.handler != nil {
		var limits apigateway.Limits
		server := apigateway.Server(a.handler, a.log, limits)
		server.RegisterOnShutdown(a.endStreams)
		group.Go(func() error {
			if err := server.Serve(limits.Listener(listener)); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve HTTP: %w", err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			grace, cancel := a.grace(ctx)
			defer cancel()
			if err := server.Shutdown(grace); err != nil {
				return errors.Join(fmt.Errorf("finish the requests in flight: %w", err), server.Close())
			}
			return nil
		})
	}
	background := []func(context.Context){a.platform.Watch, a.schedule.Run}
	for _, p := range a.pollers {
		background = append(background, p.Run)
	}
	for _, run := range background {
		group.Go(func() error {
			run(ctx)
			return nil
		})
	}
	<-ctx.Done() // an application without any of these still runs until then
	err := group.Wait()
	grace, cancel := a.grace(ctx)
	defer cancel()
	for id, f := range a.async {
		if n := f.Close(grace); n > 0 {
			a.log.WarnContext(grace, "asynchronous invocations were abandoned: they live in memory only", "function", id, "events", n)
		}
	}
	return err
}

// grace returns a context for what is in flight, which may take as long as a function.
func (a *app) grace(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), a.longest+time.Second)
}

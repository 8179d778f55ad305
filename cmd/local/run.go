package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"paylane/shared/emulator/apigateway"
	"paylane/shared/emulator/template"
	"paylane/shared/gateway"
	"paylane/shared/pebblestore"
)

// How long a client may take to send its request and to read the answer.
const (
	readTimeout  = 30 * time.Second
	writeTimeout = time.Minute // a request waits up to 30 s for its function
)

// config is everything that a run depends on.
type config struct {
	Addr     string
	Data     string
	Template string

	Out     io.Writer // the start page
	Log     *slog.Logger
	Now     func() time.Time
	Jitter  func(n int) int
	Gateway paymentGateway
}

// paymentGateway is what the functions need of a gateway.
type paymentGateway interface {
	gateway.Gateway
	gateway.Tokens
}

// run serves the template until the context ends; then it finishes what is in flight,
// within the functions' timeouts.
func run(ctx context.Context, c config) (err error) {
	if err := checkLoopback(c.Addr); err != nil {
		return err
	}
	source, err := os.ReadFile(c.Template)
	if err != nil {
		return fmt.Errorf("read the template: %w", err)
	}
	t, err := template.Read(c.Template, source, template.Options{})
	if err != nil {
		return err
	}
	db, err := pebblestore.Open(pebblestore.Options{Dir: c.Data, Now: c.Now, Logger: c.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	app, err := newApp(c, t, db)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := app.welcome(c.Out, listener.Addr()); err != nil {
		return errors.Join(fmt.Errorf("print the start page: %w", err), listener.Close())
	}
	return app.serve(ctx, listener)
}

// serve runs the server and the event source mappings side by side. It returns once
// nothing is in flight any more.
func (a *app) serve(ctx context.Context, listener net.Listener) error {
	server := apigateway.Server(a.handler, a.log)
	server.ReadTimeout, server.WriteTimeout = readTimeout, writeTimeout
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		// Requests in flight get as long as a function may take.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.longest+time.Second)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			return errors.Join(fmt.Errorf("finish the requests in flight: %w", err), server.Close())
		}
		return nil
	})
	for _, p := range a.pollers {
		group.Go(func() error {
			p.Run(ctx)
			return nil
		})
	}
	err := group.Wait()
	for _, f := range a.functions {
		f.Close()
	}
	return err
}

// checkLoopback refuses an address that others could reach: nobody is asked to log in.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("-addr %q is not host:port: %w", addr, err)
	}
	if host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("-addr %s: only a loopback address, as 127.0.0.1:3000, is served without authentication", addr)
	}
	return nil
}

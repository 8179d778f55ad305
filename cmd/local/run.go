package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"paylane/shared/emulator/apigateway"
	"paylane/shared/emulator/template"
	"paylane/shared/gateway"
)

// config is everything that a run depends on.
type config struct {
	Addr     string
	Data     string
	Template string
	// Parameters are values of the template's parameters.
	Parameters map[string]string
	// Access is who may call the HTTP API.
	Access access
	// Endpoint is where DynamoDB and SQS are; empty for the embedded database. The
	// three after it matter only there.
	Endpoint    string
	Region      string
	Credentials credentials

	// Out gets the start page, and the lines of functions that run as programs. It
	// must be safe for concurrent use.
	Out    io.Writer
	Log    *slog.Logger
	Now    func() time.Time
	Jitter func(n int) int
	// Gateway is used instead of the one that the template names, unless nil.
	Gateway gateway.Provider
}

// run serves the template until the context ends; then it finishes what is in flight,
// within the functions' timeouts.
func run(ctx context.Context, c config) (err error) {
	if err := c.Access.check(c.Addr); err != nil {
		return err
	}
	if err := c.Access.checkParameters(c.Parameters); err != nil {
		return err
	}
	if c.Endpoint != "" {
		if err := checkEndpoint(c.Endpoint); err != nil {
			return err
		}
	}
	// Functions are told where the others and the issuer are, so the port must be known
	// before the template is read.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { _ = listener.Close() }() // it is, where it was served
	origin, err := c.origin(listener.Addr())
	if err != nil {
		return err
	}
	at, err := issuerURL(origin)
	if err != nil {
		return err
	}
	var own *devIssuer
	if c.Access.Tokens && c.Access.Issuer == "" {
		if own, err = openIssuer(c.Data, origin); err != nil {
			return err
		}
		c.Access.Issuer, c.Access.Audience = own.url, devAudience
		c.Access.Client = &http.Client{Transport: own}
	}
	source, err := os.ReadFile(c.Template)
	if err != nil {
		return fmt.Errorf("read the template: %w", err)
	}
	t, err := template.Read(c.Template, source, c.options(source, at))
	if err != nil {
		return err
	}
	if len(t.APIs) > 1 {
		return fmt.Errorf("%s:%d: there is a second HTTP API, %s; the runner serves one", c.Template, t.APIs[1].Line, t.APIs[1].LogicalID)
	}
	if len(t.APIs) == 0 && c.Access.Tokens {
		return fmt.Errorf("-auth jwt: %s has no HTTP API that could ask for tokens", c.Template)
	}
	p, err := c.platform(ctx, t)
	if err != nil {
		return err
	}
	app, err := newApp(c, t, p) //nolint:contextcheck // its streams end when its server does
	if err != nil {
		return errors.Join(err, p.close(ctx))
	}
	err = app.run(ctx, c, listener, own)
	grace, cancel := app.grace(ctx)
	defer cancel()
	return errors.Join(err, p.close(grace))
}

// options are what the template can't know of where it runs.
func (c config) options(source []byte, at string) template.Options {
	o := template.Options{Parameters: maps.Clone(c.Parameters), Region: c.Region, FunctionURLOrigin: at}
	if c.Endpoint != "" {
		o.SQSEndpoint, o.AccountID = c.Endpoint, account(c.Credentials)
	}
	names := template.ParameterNames(source)
	for name, value := range c.Access.parameters() {
		if _, given := o.Parameters[name]; !given && slices.Contains(names, name) {
			if o.Parameters == nil {
				o.Parameters = make(map[string]string)
			}
			o.Parameters[name] = value
		}
	}
	return o
}

func (c config) platform(ctx context.Context, t *template.Template) (platform, error) {
	if c.Endpoint == "" {
		return newEmbedded(c, t)
	}
	return newBuilt(ctx, c, t)
}

// origin is where the runner is reached: the host as it was given, and the port that it
// has, which may have been 0.
func (c config) origin(addr net.Addr) (hostPort string, err error) {
	host, _, err := net.SplitHostPort(c.Addr)
	_, port, errPort := net.SplitHostPort(addr.String())
	return net.JoinHostPort(host, port), errors.Join(err, errPort)
}

// run shows what there is, and serves it. The issuer is nil if it is not the runner's.
func (a *app) run(ctx context.Context, c config, listener net.Listener, own *devIssuer) error {
	addr := listener.Addr().String()
	switch {
	case a.handler == nil:
		_ = listener.Close()
		addr, listener = "", nil
	case own != nil:
		a.handler = own.handler(a.handler)
	}
	if err := a.welcome(c, addr, own); err != nil {
		return err
	}
	return a.serve(ctx, listener)
}

// serve runs the server, the event source mappings and what keeps the functions up to
// date, side by side. It returns once no request and no batch is in flight any more.
func (a *app) serve(ctx context.Context, listener net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	if listener != nil {
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
	for _, p := range a.pollers {
		group.Go(func() error {
			p.Run(ctx)
			return nil
		})
	}
	group.Go(func() error {
		a.platform.watch(ctx)
		return nil
	})
	group.Go(func() error {
		a.schedule.Run(ctx)
		return nil
	})
	<-ctx.Done() // with nothing to serve there is still something to wait for
	err := group.Wait()
	grace, cancel := a.grace(ctx)
	defer cancel()
	for id, f := range a.async {
		if n := f.Close(grace); n > 0 {
			a.log.WarnContext(grace, "asynchronous invokes were given up: they live in memory only", "function", id, "events", n)
		}
	}
	return err
}

// grace is how long what is in flight may take: as long as a function may.
func (a *app) grace(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), a.longest+time.Second)
}

// parameter takes one value of a parameter, as Name=Value.
func (c *config) parameter(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return errors.New("give it as Name=Value")
	}
	if c.Parameters == nil {
		c.Parameters = make(map[string]string)
	}
	c.Parameters[name] = value
	return nil
}

// checkEndpoint wants a base URL.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("-endpoint %q is no URL such as http://127.0.0.1:4566", endpoint)
	}
	return nil
}

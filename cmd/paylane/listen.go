package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/spf13/cobra"

	"paylane/cmd/paylane/internal/apiclient"
	"paylane/cmd/paylane/internal/listen"
)

func (c cli) listenCommand() *cobra.Command {
	var to targetFlags
	var l listenFlags
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Show webhooks as they come, and forward them",
		Long: `Register an endpoint for webhooks with a running paylane, verify and print what
is delivered, and forward it, unchanged, to a server under development. What
the server answers is the answer to the delivery, so that whatever it does not
take is delivered again later. Ctrl-C deletes the endpoint.

Each endpoint has a secret of its own, which the server needs in order to verify
what it gets: --print-secret shows it, on standard error.

A paylane on another machine reaches this one through a tunnel to --addr:
--public-url is the tunnel's.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := listen.Config{Events: splitList(l.events), URL: l.publicURL, Out: c.out, JSON: l.json, Now: c.now}
			var err error
			if o.Target, err = apiclient.New(to.url, to.token, 1, to.allowRemote); err != nil {
				return usageError{err}
			}
			if o.ForwardTo, err = l.check(o.Target.Local); err != nil {
				return usageError{err}
			}
			if err := o.Target.Ping(cmd.Context()); err != nil {
				return err
			}
			if o.Listener, err = new(net.ListenConfig).Listen(cmd.Context(), "tcp", l.addr); err != nil {
				return err
			}
			if o.URL == "" {
				o.URL = "http://" + o.Listener.Addr().String() + "/"
			}
			o.Ready = func(e listen.Endpoint) {
				if l.printSecret {
					fmt.Fprintf(c.err, "secret: %s\n", e.Secret)
				}
				next := ""
				if o.ForwardTo != nil {
					next = ", forwarding to " + o.ForwardTo.String()
				}
				fmt.Fprintf(c.err, "ready: the endpoint %s is %s%s; Ctrl-C deletes it\n", e.ID, o.URL, next)
			}
			ctx, stop, release := interrupts(cmd.Context())
			defer release()
			return listen.Run(ctx, stop, o)
		},
	}
	to.add(cmd)
	cmd.Flags().Lookup("allow-remote").Usage = "allow a URL that is not on this machine: its webhooks come here"
	l.add(cmd)
	return cmd
}

type listenFlags struct {
	forwardTo, events, addr, publicURL string
	printSecret, json                  bool
}

func (l *listenFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&l.forwardTo, "forward-to", "", "`URL` that deliveries go on to; without it they are answered 204")
	flags.StringVar(&l.events, "events", "", "`types` to deliver, such as order.paid,order.failed (default all)")
	flags.StringVar(&l.addr, "addr", "127.0.0.1:0", "`address` to take deliveries at")
	flags.StringVar(&l.publicURL, "public-url", "", "`URL` at which paylane reaches --addr, such as a tunnel's")
	flags.BoolVar(&l.printSecret, "print-secret", false, "show the endpoint's secret, by which the server verifies deliveries")
	flags.BoolVar(&l.json, "json", false, "print JSON lines")
}

// check refuses flags that make no sense, or not together, and returns where to forward to.
func (l *listenFlags) check(local bool) (forwardTo *url.URL, err error) {
	host, port, err := net.SplitHostPort(l.addr)
	switch {
	case err != nil:
		return nil, fmt.Errorf("--addr %q is not host:port: %w", l.addr, err)
	case l.publicURL != "" && !isURL(l.publicURL):
		return nil, fmt.Errorf("--public-url %q is not a URL such as https://tunnel.example", l.publicURL)
	case l.publicURL != "" && port == "0":
		return nil, errors.New("--public-url needs an --addr with a port, which the tunnel leads to")
	case l.publicURL == "" && !local:
		return nil, errors.New("paylane is on another machine, which can't reach this one by a loopback address: add --public-url")
	case l.publicURL == "" && !apiclient.IsLoopback(host):
		return nil, fmt.Errorf("--addr %s is not a loopback address: add --public-url, by which paylane reaches it", l.addr)
	case l.forwardTo == "":
		return nil, nil
	}
	u, err := url.Parse(l.forwardTo)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("--forward-to must be like http://127.0.0.1:4242/webhooks")
	}
	return u, nil
}

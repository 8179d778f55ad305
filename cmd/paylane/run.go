package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"paylane/cmd/paylane/internal/apiclient"
	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
	"paylane/shared/gateway"
	"paylane/shared/webhook/outbound"
)

// The defaults of flags that several commands share.
const (
	defaultAddr     = "127.0.0.1:3000"
	defaultData     = ".paylane"
	defaultTemplate = "template.yaml"
)

// gcPercent trades some 200 MB under full load for a tenth of the time.
const gcPercent = 800

func (c cli) runCommand() *cobra.Command {
	o := config{Out: c.out, Now: c.now, Jitter: c.jitter}
	var json bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Take and pay orders on this machine",
		Long: `Run the template on this machine. paylane's own keeps orders and messages in an
embedded database. The functions of any other are built; its queues and tables
are made at --endpoint, and without them it needs none. Ctrl-C finishes what is
in flight and stops.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Style, o.Log = c.styleOn(c.outTerminal), c.newLogger(o.Verbose, json)
			if json {
				o.JSON = slog.New(slog.NewJSONHandler(c.out, nil))
				o.Out = jsonLines{o.JSON}
			}
			err := c.run(cmd.Context(), o)
			if usage := (usageError{}); err == nil || !json || errors.As(err, &usage) {
				return err
			}
			o.Log.ErrorContext(cmd.Context(), cmd.CommandPath()+": "+err.Error())
			return errReported
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.Addr, "addr", defaultAddr, "`address` to listen on; a loopback address unless --auth is jwt")
	flags.StringVar(&o.Data, "data", defaultData, "`folder` of orders and messages; made if absent, used by one runner at a time")
	o.templateFlags(cmd)
	flags.Func("auth", "whether requests need an access token, `none|jwt` (default none)", o.Access.mode)
	flags.StringVar(&o.Access.Issuer, "issuer", "", "`URL` of the tokens' issuer (default an issuer for development, see \"paylane token\")")
	flags.StringVar(&o.Access.Audience, "audience", "", "with --issuer, the `audiences` to accept, separated by commas")
	flags.StringVar(&o.Access.TenantClaim, "tenant-claim", "", "`claim` of a token that names the tenant (default client_id)")
	flags.StringVar(&o.Access.ConsoleClient, "console-client", "", "with --issuer, the `id` of the client that people sign in to the console with; its redirect URI is /console/callback")
	flags.Func("claim", "without --auth jwt, `name=value` of a claim that functions see behind an authorizer, as for \"paylane token\"; may be repeated", o.Access.Claims.add)
	o.Payment.add(cmd)
	flags.BoolFunc("webhook-loopback", "whether webhooks may go to loopback addresses, also without TLS (default true if --addr is one)", func(text string) error {
		value, err := strconv.ParseBool(text)
		o.WebhookLoopback = &value
		return err
	})
	flags.StringVar(&o.Endpoint, "endpoint", "", "`URL` of AWS's services, such as LocalStack's: the template's functions are built, and run on it")
	flags.BoolVar(&o.ShellCredentials, "aws-credentials", false, "give the functions that are built the shell's AWS credentials and let them call AWS")
	flags.StringVar(&o.OTLP, "otlp", "", "`URL` of a collector that takes OTLP/HTTP, such as http://127.0.0.1:4318: the spans of requests, payments and calls go there")
	flags.BoolVar(&o.Verbose, "verbose", false, "show all that is served and logged, and Lambda's START, END and REPORT of each invocation")
	flags.BoolVar(&json, "json", false, "print JSON lines only: what is served and what functions print to standard output, the log to standard error")
	return cmd
}

// run completes what flags can't say, and runs until a signal comes.
func (c cli) run(ctx context.Context, o config) (err error) {
	if !o.embedded() {
		o.Region = cmp.Or(c.getenv("AWS_REGION"), c.getenv("AWS_DEFAULT_REGION"))
		if o.Credentials, err = c.credentials(o.ShellCredentials); err != nil {
			return err
		}
	}
	if o.Gateway, err = o.Payment.open(c, o.embedded()); err != nil {
		return err
	}
	if c.getenv("GOGC") == "" {
		// Little is alive at a time, so Go's default would collect many times a second.
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the second one ends the process at once.
	context.AfterFunc(ctx, stop)
	return run(ctx, o)
}

func (c cli) newLogger(verbose, json bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelWarn}
	if verbose {
		o.Level = slog.LevelDebug
	}
	if json {
		return slog.New(slog.NewJSONHandler(c.err, o))
	}
	return slog.New(slog.NewTextHandler(colouredLog{c.err, c.styleOn(c.terminal)}, o))
}

// firstFailure logs nothing after the database failed: each request in flight fails then,
// for a reason that is already in the log.
type firstFailure struct {
	slog.Handler
	ended atomic.Bool
}

// Enabled implements [slog.Handler].
func (f *firstFailure) Enabled(ctx context.Context, level slog.Level) bool {
	return !f.ended.Load() && f.Handler.Enabled(ctx, level)
}

// config is everything that a run depends on.
type config struct {
	Addr     string
	Data     string
	Template string
	// Parameters are values of the template's parameters, and Imports of other stacks'
	// exports.
	Parameters, Imports map[string]string
	// Access is who may call the HTTP API.
	Access access
	// Endpoint is where AWS's services are. Without one paylane's own template runs on the
	// embedded database, and others on nothing. Region and Credentials matter only there.
	Endpoint    string
	Region      string
	Credentials runner.Credentials
	// ShellCredentials are among the Credentials, so that functions may call AWS.
	ShellCredentials bool

	// OTLP is where the spans of paylane's own functions go; empty is nowhere. Traces makes
	// them.
	OTLP   string
	Traces trace.TracerProvider

	// WebhookLoopback lets paylane's own functions post to webhooks on this machine; nil lets them
	// if nobody on another can register one.
	WebhookLoopback *bool

	// Out receives the start page, and the lines of functions that run as programs. It
	// must be safe for concurrent use.
	Out io.Writer
	// Verbose makes the start page whole, and adds Lambda's lines of each invocation, of all
	// functions, to Out.
	Verbose bool
	// JSON logs what is served, in place of the start page, unless nil.
	JSON *slog.Logger
	// Style is that of the start page.
	Style  style
	Log    *slog.Logger
	Now    func() time.Time
	Jitter func(n int) int
	// Gateway is used instead of the one that the template names, unless nil. It is what Payment
	// asks for.
	Gateway gateway.Provider
	Payment payment
	// FS is used instead of the disk, unless nil.
	FS vfs.FS
}

// templateFlags adds the flags of commands that read a template.
func (c *config) templateFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&c.Template, "template", "t", defaultTemplate, "`file` of the SAM template")
	cmd.Flags().Func("parameter", "`Name=Value` of a template parameter; may be repeated", into(&c.Parameters))
	cmd.Flags().Func("import", "`Name=Value` of another stack's export, for Fn::ImportValue; may be repeated", into(&c.Imports))
}

// into returns what takes one Name=Value into a map.
func into(values *map[string]string) func(string) error {
	return func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return errors.New("it must be Name=Value")
		}
		if *values == nil {
			*values = make(map[string]string)
		}
		(*values)[name] = value
		return nil
	}
}

// check refuses flags that do not go together.
func (c config) check() error {
	filled, _ := c.filled()
	err := cmp.Or(c.Access.check(c.Addr), c.Access.checkParameters(c.Parameters, filled))
	if err == nil && c.Endpoint != "" && !isURL(c.Endpoint) {
		err = fmt.Errorf("--endpoint %q is not a URL such as http://127.0.0.1:4566", c.Endpoint)
	}
	if err == nil && c.ShellCredentials && c.embedded() {
		err = errors.New("--aws-credentials is for functions that are built; paylane's own run without AWS, unless there is an --endpoint")
	}
	if err == nil && c.Access.ConsoleClient != "" && !c.embedded() {
		err = errors.New("--console-client is for the console, which paylane's own template has in this process: leave out --endpoint, and give that --template")
	}
	if err == nil && c.OTLP != "" && !isURL(c.OTLP) {
		err = fmt.Errorf("--otlp %q is not a URL such as http://127.0.0.1:4318", c.OTLP)
	}
	if err == nil && c.OTLP != "" && !c.embedded() {
		err = errors.New("--otlp is for paylane's own functions in this process, not for those that are built: leave out --endpoint, and give paylane's own --template")
	}
	if err != nil {
		return usageError{err}
	}
	return nil
}

// run serves the template until the context ends; then it finishes what is in flight,
// within the functions' timeouts.
func run(ctx context.Context, c config) error {
	if err := c.check(); err != nil {
		return err
	}
	// The development issuer is named after the port, so that must be known before the
	// template is read.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return addrError(c.Addr, err)
	}
	defer func() { _ = listener.Close() }() // it is, if it was served
	addr, err := c.reachedAt(listener.Addr())
	if err != nil {
		return err
	}
	options := runner.Config{
		Template: c.Template, Imports: c.Imports, Addr: addr, Listener: listener,
		Endpoint: c.Endpoint, Region: c.Region, Credentials: c.Credentials, AllowAWS: c.ShellCredentials,
		Output: c.Out, Verbose: c.Verbose, Logger: c.Log, Now: c.Now, Jitter: c.Jitter, Identity: c.Access.Claims,
	}
	var own *devIssuer
	if c.Access.Tokens && c.Access.Issuer == "" {
		if own, err = c.ownIssuer(addr); err != nil {
			return err
		}
		options.Wrap = own.handler
	}
	if c.Access.Tokens {
		options.Tokens = &runner.Tokens{
			Issuer: c.Access.Issuer, Audience: c.Access.audience(), StandIn: own != nil, Client: c.Access.Client,
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if c.OTLP != "" {
		exported, err := openSpans(ctx, c.OTLP, c.Log)
		if err != nil {
			return err
		}
		defer exported.close(ctx)
		c.Traces = exported
	}
	if c.embedded() {
		log := &firstFailure{Handler: c.Log.Handler()}
		c.Log = slog.New(log)
		options.Logger = c.Log
		fatal := func(error) { // which the database has logged, and its Close returns
			log.ended.Store(true)
			stop()
		}
		c.embed(&options, fatal)
	}
	options.Parameters = c.parameters()
	r, err := runner.Start(ctx, options)
	if errors.Is(err, runner.ErrNoEndpoint) {
		return fmt.Errorf("%w\n%s", err, bringUp)
	}
	if err != nil {
		return templateError(c.Template, err)
	}
	if c.JSON != nil {
		logServed(ctx, c.JSON, c, r)
	} else if err := startPage(c, r, own); err != nil {
		return errors.Join(err, r.Close())
	}
	return r.Wait()
}

// embed has paylane's own functions run in this process, and the console be served before all else.
func (c config) embed(o *runner.Config, fatal func(error)) {
	var platform *embedded
	o.Platform = func(ctx context.Context, t *template.Template) (_ runner.Platform, err error) {
		platform, err = newEmbedded(ctx, c, t, fatal)
		return platform, err
	}
	wrap := o.Wrap
	o.Wrap = func(next http.Handler) http.Handler {
		if wrap != nil {
			next = wrap(next)
		}
		return platform.withConsole(next)
	}
}

// ownIssuer opens the development issuer, and makes it the one whose tokens are accepted.
func (c *config) ownIssuer(addr string) (*devIssuer, error) {
	own, err := openIssuer(c.Data, addr)
	if err != nil {
		return nil, err
	}
	if c.embedded() { // and so has a console
		if own.people, err = newDevSignIn(own, c.Access.TenantClaim, c.Now); err != nil {
			return nil, err
		}
		c.Access.ConsoleClient = devConsoleClient
	}
	c.Access.Issuer, c.Access.Audience, c.Access.Client = own.url, devAudience, &http.Client{Transport: own}
	return own, nil
}

// bringUp is how to have an endpoint.
const bringUp = `Bring one up:  docker run --rm -p 4566:4566 localstack/localstack:4.14.0
and run with:  --endpoint http://127.0.0.1:4566`

// embedded reports whether the functions run in this process, on the embedded database: the
// template is paylane's own, whose functions are part of this program, and has no endpoint.
func (c config) embedded() bool {
	_, own := c.filled()
	return own && c.Endpoint == ""
}

// webhookPolicy returns where webhooks may lead.
func (c config) webhookPolicy() outbound.Policy {
	if c.WebhookLoopback != nil {
		return outbound.Policy{Loopback: *c.WebhookLoopback}
	}
	host, _, err := net.SplitHostPort(c.Addr)
	return outbound.Policy{Loopback: err == nil && apiclient.IsLoopback(host)}
}

// reachedAt returns the host as it was given, with the port that the listener has, since
// the port given may have been 0.
func (c config) reachedAt(listener net.Addr) (hostPort string, err error) {
	host, _, err := net.SplitHostPort(c.Addr)
	_, port, errPort := net.SplitHostPort(listener.String())
	return net.JoinHostPort(host, port), errors.Join(err, errPort)
}

// parameters returns the values of the template's parameters: those given, and those that
// the template leaves to this program.
func (c config) parameters() map[string]string {
	all := make(map[string]string)
	values := c.Access.parameters()
	filled, _ := c.filled()
	for role, name := range filled {
		if value, ok := values[role]; ok {
			all[name] = value
		}
	}
	maps.Copy(all, c.Parameters)
	return all
}

// filled returns the parameters that the template leaves to this program, by their roles, and
// reports whether it is paylane's own ([template.Filled]).
func (c config) filled() (parameters map[string]string, own bool) {
	source, err := os.ReadFile(c.Template)
	if err != nil {
		return nil, false // the runner reports it
	}
	return template.Filled(source)
}

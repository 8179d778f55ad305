// Package runner runs a SAM application with Go functions on this machine. It builds the
// functions and runs them as Lambda does, serves the HTTP API and the function URLs, polls
// the queues and the tables' streams, and follows the schedules: everything in the template, or an error that
// names what can't be run. A Go test starts an application in a few lines; see the
// example.
//
// Queues, tables and whatever else the code reaches live at an endpoint that speaks AWS's
// protocols, such as LocalStack's; the runner makes what is missing there, and reads there
// what the template refers to. An application without queues and tables needs no endpoint.
// A [Platform] of the caller's can replace both the builds and the endpoint.
package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/runtimeapi"
	"paylane/shared/emulator/template"
)

// Config describes an application and where to run it. Only Template is required.
type Config struct {
	// Template is the path of the SAM template; CodeUris are relative to its folder.
	Template string
	// Parameters are values of the template's parameters, by name.
	Parameters map[string]string
	// Imports are the values of Fn::ImportValue, by the names of the exports.
	Imports map[string]string

	// Addr is the address of the HTTP API and the function URLs; empty is a free port of
	// 127.0.0.1.
	Addr string
	// Listener, if set, is served instead of a new listener on Addr, which then only says
	// how callers reach it. It is for programs that need the port before the start. The
	// runner closes it.
	Listener net.Listener
	// Wrap, if set, wraps the handler of everything that is served over HTTP, to add paths
	// of the caller's own.
	Wrap func(http.Handler) http.Handler
	// Tokens are what the HTTP API's JWT authorizers accept. If nil, they let every
	// request through, and web pages are kept out: a request needs a loopback name or
	// the host of Addr as its Host, and its Origin, if it has one, must be the same or in
	// the template's CORS settings.
	Tokens *Tokens
	// Identity are claims of the caller that functions see behind an authorizer while there
	// are no Tokens, as encoding/json decodes them, with numbers as json.Number. It has
	// those of an access token for the route, of a subject and client called "local"; these
	// are added, or replace them.
	Identity map[string]any

	// Endpoint is the base URL of AWS's services, such as http://127.0.0.1:4566: of SQS and
	// DynamoDB, and of those whose resources or values the template has. Without it, and
	// without a Platform, a template that needs one is refused ([ErrNoEndpoint]).
	Endpoint string
	// Region is the AWS region; empty is us-east-1.
	Region string
	// Credentials sign the requests to the Endpoint, the functions' too. The default is
	// the key "test" with the secret "test", which emulators accept.
	Credentials Credentials
	// AllowAWS lets the functions call AWS, and find the credentials in the user's files.
	// Without it their HTTP calls go through a proxy of the runner's, which refuses AWS's
	// hosts and reports each once on the Output. The Endpoint is called directly, wherever
	// it is. A function is not held back if its code uses no proxy, or if the template
	// names another one for it.
	AllowAWS bool
	// Platform, if set, opens the platform to run on, in place of the functions' builds
	// and the Endpoint.
	Platform func(context.Context, *template.Template) (Platform, error)

	// Output receives a line for each build and for the first of the calls that are refused,
	// and what the functions write: whole lines in each Write. It must be safe for
	// concurrent use, as an os.File is. Nil discards.
	Output io.Writer
	// Verbose adds Lambda's own lines to the Output, START, END and REPORT of each invocation of
	// a function that was built.
	Verbose bool
	// Logger receives what goes wrong. Nil discards.
	Logger *slog.Logger
	// Now is the clock; nil is time.Now. Only a clock that keeps pace with the time
	// package's timers makes sense.
	Now func() time.Time
	// Jitter returns a number from 0 to n-1, for n > 0; nil is [rand.IntN].
	Jitter func(n int) int
}

// Tokens are the access tokens that JWT authorizers accept: each those of its own issuer
// for its own audiences, unless there is an Issuer here.
type Tokens struct {
	// Issuer and Audience replace those of the template's authorizers, which must all have
	// the same.
	Issuer   string
	Audience []string
	// StandIn leaves the authorizers theirs, as is right for an issuer for development:
	// Issuer signs the tokens of each of theirs, and all accept tokens of its own, and
	// Audience besides their audiences.
	StandIn bool
	// Client fetches the issuers' keys; nil is [http.DefaultClient].
	Client *http.Client
}

// Credentials are an access key of AWS. Twelve digits as its id are LocalStack's account
// number.
type Credentials = runtimeapi.Credentials

// Runner is an application that runs.
type Runner struct {
	template *template.Template
	absent   []Absent
	url      string
	stop     context.CancelFunc
	ended    chan struct{}
	err      error // set when ended is closed
}

// Start starts an application. When it returns, the functions are built, what the endpoint
// lacked is made, and requests are served. The application runs until ctx ends or
// [Runner.Close] is called. The error is a [*template.Error] if it is about the template.
func Start(ctx context.Context, c Config) (*Runner, error) {
	c, err := c.listen(ctx)
	if err != nil {
		return nil, err
	}
	r, err := c.start(ctx)
	if err != nil {
		_ = c.Listener.Close() // why it did not start matters more
	}
	return r, err
}

// Check reads the template as [Start] does. The error is everything in the template that
// can't be run, and each folder of source that is missing. Check builds nothing, listens
// nowhere and connects to nothing; an Endpoint is not required. So the template's Lookups
// remain to be read, and what depends on them is left out.
func Check(c Config) (*template.Template, error) {
	t, err := c.withDefaults().read(func(template.Reference) (string, error) { return "", template.ErrLater }, nil)
	if err != nil || c.Platform != nil {
		return t, err
	}
	_, err = c.sources(t, "")
	return t, err
}

// Template returns the template as it was understood.
func (r *Runner) Template() *template.Template { return r.template }

// Absent returns those of the template's Externals that are not there: calls to them will
// fail.
func (r *Runner) Absent() []Absent { return r.absent }

// URL returns the base URL of the HTTP API, without a slash at the end. A function URL is
// below it at /_url/<LogicalId>/. It is empty if the template has neither.
func (r *Runner) URL() string { return r.url }

// Wait waits for the end of the application and returns what went wrong: nil if it ended
// because it was told to.
func (r *Runner) Wait() error {
	<-r.ended
	return r.err
}

// Close ends the application and waits for what is in flight, within the functions'
// timeouts. The result is that of [Runner.Wait]. Close may be called more than once.
func (r *Runner) Close() error {
	r.stop()
	return r.Wait()
}

// URL returns the base URL by which callers on this machine reach a runner with this Addr.
func URL(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("the address %q is not host:port: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // all addresses are served, this one for certain
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

func (c Config) withDefaults() Config {
	c.Addr = cmp.Or(c.Addr, "127.0.0.1:0")
	c.Region = cmp.Or(c.Region, "us-east-1")
	c.Credentials.AccessKeyID = cmp.Or(c.Credentials.AccessKeyID, "test")
	c.Credentials.SecretAccessKey = cmp.Or(c.Credentials.SecretAccessKey, "test")
	if c.Output == nil {
		c.Output = io.Discard
	}
	c.Logger = aws.DefaultLogger(c.Logger)
	c.Now = aws.DefaultNow(c.Now)
	if c.Jitter == nil {
		c.Jitter = rand.IntN //nolint:forbidigo // the default of a value that is passed in
	}
	return c
}

// listen completes the configuration. Functions are told where the others are, so the port
// must be known before the template is read.
func (c Config) listen(ctx context.Context) (_ Config, err error) {
	if c.Listener != nil {
		c.Addr = cmp.Or(c.Addr, c.Listener.Addr().String())
		return c.withDefaults(), nil
	}
	c = c.withDefaults()
	if c.Listener, err = new(net.ListenConfig).Listen(ctx, "tcp", c.Addr); err != nil {
		return c, err
	}
	c.Addr = c.Listener.Addr().String()
	return c, nil
}

func (c Config) start(ctx context.Context) (*Runner, error) {
	t, err := c.resolve(ctx)
	if err != nil {
		return nil, err
	}
	p, absent, err := c.open(ctx, t)
	if err != nil {
		return nil, err
	}
	a, err := c.wire(t, p)
	if err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	r := &Runner{template: t, absent: absent, ended: make(chan struct{})}
	if a.handler == nil {
		_ = c.Listener.Close()
	} else if r.url, err = URL(c.Addr); err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	ctx, r.stop = context.WithCancel(ctx)
	go func() {
		defer close(r.ended)
		defer r.stop()
		r.err = a.run(ctx, c.Listener)
	}()
	return r, nil
}

// read reads the template, with the ARNs of the tables' streams that are known, and refuses what
// no platform can run.
func (c Config) read(lookup func(template.Reference) (string, error), streams map[string]string) (*template.Template, error) {
	source, err := os.ReadFile(c.Template)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	o := template.Options{Parameters: c.Parameters, Imports: c.Imports, Region: c.Region, Lookup: lookup, Streams: streams}
	if o.Origin, err = URL(c.Addr); err != nil {
		return nil, err
	}
	if c.hasEndpoint() {
		o.SQSEndpoint, o.AccountID = c.Endpoint, account(c.Credentials)
	}
	t, err := template.Read(c.Template, source, o)
	if err != nil {
		return nil, err
	}
	problems := problems{file: c.Template}
	for i, api := range t.APIs {
		if i > 0 {
			problems.add(api.Line, api.LogicalID, "the runner serves one HTTP API, and %s is another", api.LogicalID)
		}
	}
	if c.Tokens != nil && len(t.APIs) == 0 {
		problems.add(0, "", "there is no HTTP API that could ask for access tokens")
	}
	return t, problems.err()
}

// open opens the platform, and returns what is not there.
func (c Config) open(ctx context.Context, t *template.Template) (Platform, []Absent, error) {
	var absent []Absent
	for _, x := range t.Externals {
		absent = append(absent, Absent{LogicalID: x.LogicalID, Reason: "there is no endpoint"})
	}
	if c.Platform != nil {
		p, err := c.Platform(ctx, t)
		return p, absent, err
	}
	p, err := openBuilt(ctx, c, t)
	if err == nil && c.Endpoint != "" {
		absent = p.absent
	}
	return p, absent, err
}

// problems gathers what can't be run, with its line.
type problems struct {
	file string
	list []template.Problem
}

func (p *problems) add(line int, logicalID, format string, args ...any) {
	problem := template.Problem{Line: line, Text: fmt.Sprintf(format, args...)}
	if logicalID != "" {
		problem.Path = "Resources." + logicalID
	}
	p.list = append(p.list, problem)
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &template.Error{File: p.file, Problems: p.list}
}

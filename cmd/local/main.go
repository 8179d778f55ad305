// Command local runs paylane on this machine, from the same template and with the
// same handlers as on AWS. It needs nothing else: orders and messages are kept in an
// embedded database, where every write is synced to disk before it is acknowledged.
//
// With -endpoint it runs any SAM template with Go functions: it builds them, runs the
// binaries behind a Lambda Runtime API of its own, makes the template's queues and
// tables at the endpoint, serves the HTTP API and polls the queues as Lambda does.
//
// With -auth jwt the API asks for access tokens; "local token" makes some to try it with.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

// gcPercent trades some 200 MB under full load for a tenth of the time.
const gcPercent = 800

func main() {
	os.Exit(start(os.Args[1:]))
}

// What -addr and -data are if they are not given.
const (
	defaultAddr = "127.0.0.1:3000"
	defaultData = ".paylane"
)

func start(args []string) int {
	if len(args) > 0 && args[0] == "token" {
		return tokenCommand(args[1:], os.Stdout, os.Stderr, time.Now)
	}
	c := config{
		Out:    os.Stdout,
		Log:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Now:    time.Now,
		Jitter: rand.IntN,
	}
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.StringVar(&c.Addr, "addr", defaultAddr, "`address` to listen on; without -auth jwt a loopback one")
	flags.StringVar(&c.Data, "data", defaultData, "`folder` of orders and messages; made if absent, used by one runner at a time")
	flags.StringVar(&c.Template, "template", "template.yaml", "SAM template to run, a `file`")
	flags.Func("parameter", "a `name=value` of a parameter of the template; may be repeated", c.parameter)
	flags.Func("auth", "`none|jwt`: whether the API's authorizers ask for access tokens; default none", c.Access.mode)
	flags.StringVar(&c.Access.Issuer, "issuer", "", "with -auth jwt, the `URL` of who makes the tokens; default is an issuer for development, see local token -help")
	flags.StringVar(&c.Access.Audience, "audience", "", "with -issuer, the `audiences` to accept, parted by commas")
	flags.StringVar(&c.Access.TenantClaim, "tenant-claim", "", "with -auth jwt, the verified `claim` that names the tenant; default client_id")
	flags.StringVar(&c.Endpoint, "endpoint", "", "`URL` of DynamoDB and SQS, as LocalStack's: the functions' binaries are built and run on it")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(os.Stderr, "local: %q is no flag; see -help\n", flags.Arg(0))
		return 2
	}
	if c.Endpoint != "" {
		c.Region = cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1")
		// Emulators take any; an access key of twelve digits names an account on LocalStack.
		c.Credentials = credentials{
			AccessKeyID:     cmp.Or(os.Getenv("AWS_ACCESS_KEY_ID"), "test"),
			SecretAccessKey: cmp.Or(os.Getenv("AWS_SECRET_ACCESS_KEY"), "test"),
			SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
		}
	}
	if os.Getenv("GOGC") == "" {
		// What lives is small, so Go's default would collect it many times a second.
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the second one ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, c); err != nil {
		fmt.Fprintf(os.Stderr, "local: %v\n", err)
		return 1
	}
	return 0
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == floorArg {
		os.Exit(floorMain(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, isTerminal(os.Stderr)))
}

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is the command; it returns the exit code. Progress is shown on stderr if that is
// a terminal.
func run(args []string, stdout, stderr io.Writer, terminal bool) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintln(stderr, "load:", err)
		return exitUsage
	}
	if err := o.target.ping(context.Background()); err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return exitFailed
	}
	if o.smoke {
		return exitCode(check(context.Background(), o.target, stdout))
	}
	ctx, stop, release := interrupts()
	defer release()
	show := &progress{}
	if terminal {
		show.w = stderr
	}
	r, err := measure(ctx, stop, o, show)
	show.clear()
	if err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return exitFailed
	}
	write := r.writeText
	if o.json {
		write = r.writeJSON
	}
	if err := write(stdout); err != nil {
		fmt.Fprintln(stderr, "load: write the report:", err)
		return exitFailed
	}
	return exitCode(r.OK)
}

func exitCode(ok bool) int {
	if ok {
		return exitOK
	}
	return exitFailed
}

// options are the command line.
type options struct {
	target      *target
	connections int
	duration    time.Duration
	drain       time.Duration
	body        []byte
	keys        bool
	floorTime   time.Duration // of each measurement of the floor; 0 for none
	smoke       bool
	json        bool
}

// parseOptions reads the flags. The usage goes to stderr where it is asked for.
func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	url := flags.String("url", "http://127.0.0.1:3000", "base `URL` of the API")
	flags.IntVar(&o.connections, "c", 50, "concurrent connections")
	flags.DurationVar(&o.duration, "d", 15*time.Second, "how long to send orders")
	flags.DurationVar(&o.drain, "drain", time.Minute, "how long to wait for orders to reach their ends afterwards")
	flags.BoolVar(&o.json, "json", false, "write the report as JSON")
	bearer := flags.String("token", "", "access `token` to send, for targets that ask for one")
	payment := flags.String("payment-token", "tok_ok", "payment `token` of the orders")
	flags.BoolVar(&o.keys, "keys", false, "send an Idempotency-Key with each order")
	floor := flags.Bool("floor", false, "also measure a bare net/http server, before and after")
	flags.BoolVar(&o.smoke, "smoke", false, "only check that the main paths work")
	remote := flags.Bool("allow-remote", false, "allow a target that is not this machine: it places real orders there")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "Usage: go run ./cmd/load [flags]")
			flags.SetOutput(stderr)
			flags.PrintDefaults()
		}
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q; all options are flags, see -help", flags.Arg(0))
	case o.connections < 1:
		return o, errors.New("-c must be at least 1")
	case o.duration <= 0:
		return o, errors.New("-d must be more than 0")
	case o.drain < 0:
		return o, errors.New("-drain can't be less than 0")
	}
	if *floor {
		o.floorTime = max(o.duration/3, minFloorTime)
	}
	var err error
	if o.body, err = orderRequest(*payment); err != nil {
		return o, err
	}
	o.target, err = newTarget(*url, *bearer, o.connections, *remote)
	return o, err
}

// orderRequest is the body of every order: an ordinary one, as a shop would send it.
func orderRequest(paymentToken string) ([]byte, error) {
	type item struct {
		SKU       string `json:"sku"`
		Quantity  int    `json:"quantity"`
		UnitPrice int    `json:"unitPrice"`
	}
	body, err := json.Marshal(struct {
		Amount       int               `json:"amount"`
		Currency     string            `json:"currency"`
		Items        []item            `json:"items"`
		CustomerID   string            `json:"customerId"`
		PaymentToken string            `json:"paymentToken"`
		Metadata     map[string]string `json:"metadata"`
	}{12000, "KRW", []item{{"TEA-1", 2, 6000}}, "c-42", paymentToken, map[string]string{"cart": "77"}})
	if err != nil {
		return nil, fmt.Errorf("encode the order: %w", err)
	}
	return body, nil
}

// measure makes the load, with the floor before and after it if asked for, and follows
// the orders to their ends. Closing stop ends what load there is; ending ctx ends all.
func measure(ctx context.Context, stop <-chan struct{}, o options, show *progress) (report, error) {
	l := load{
		target: o.target, connections: o.connections, duration: o.duration, body: o.body,
		now: time.Now, show: show, name: "load",
	}
	m := measured{url: o.target.base, connections: o.connections, drainLimit: o.drain}
	floor := l
	if o.floorTime > 0 {
		server, err := startFloor(ctx, o.connections)
		if err != nil {
			return report{}, err
		}
		defer server.stop()
		floor.target, floor.duration, floor.name = server.target, o.floorTime, "floor"
		m.floorBefore = floor.run(ctx, stop)
	}
	if o.keys {
		l.keyPrefix = "load-" + uuid.NewString()
	}
	m.load = l.run(ctx, stop)
	m.interrupted = isClosed(stop)
	f := follower{target: o.target, limit: o.drain, now: time.Now, show: show}
	m.orders, m.duplicates = newLedger(m.load.ids)
	m.followError = f.run(ctx, m.orders, m.load.oldest)
	if o.floorTime > 0 {
		m.floorAfter = floor.run(ctx, stop)
	}
	return m.report(), nil
}

// interrupts closes stop at the first Ctrl-C and ends ctx at the second. A third one
// kills the process, as it does without all this.
func interrupts() (ctx context.Context, stop <-chan struct{}, release func()) {
	ctx, cancel := context.WithCancel(context.Background())
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

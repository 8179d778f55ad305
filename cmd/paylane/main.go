// Command paylane takes orders and collects their payments on this machine, from the same
// template and with the same handlers as on AWS. It needs nothing else: orders and messages
// are kept in an embedded database, which syncs every write to disk before it is
// acknowledged.
//
// It runs any other SAM template with Go functions, too: it builds the functions, runs the
// binaries as Lambda does, serves the HTTP API and polls the queues. Queues, tables and
// what else the code reaches are made at --endpoint; a template without them needs none.
//
// Other commands check a template, make access tokens for development, and test a running
// paylane, here or on AWS. "paylane --help" lists them.
package main

import (
	"context"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/term"
)

func main() {
	c := cli{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		terminal: isTerminal(os.Stderr), outTerminal: isTerminal(os.Stdout),
		getenv: os.Getenv, now: time.Now, jitter: rand.IntN,
	}
	os.Exit(c.execute(context.Background(), os.Args[1:]))
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

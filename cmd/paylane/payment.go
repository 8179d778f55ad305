package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"paylane/shared/gateway"
	"paylane/shared/gateway/gateways"
	"paylane/shared/gateway/stripe"
)

// The payment gateways, as --gateway has them.
const (
	gatewaySimulator = "simulator"
	gatewayStripe    = "stripe"
)

// payment is which payment gateway the local program uses.
type payment struct {
	// Name is the gateway's, or empty for the one that the template names.
	Name string
	// KeyFile holds the API key; without one it is asked for.
	KeyFile string
	// URL is where the gateway's API is, if not at the gateway.
	URL string
}

func (p *payment) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Func("gateway", "who collects payments, `simulator|stripe` (default simulator)", p.name)
	flags.StringVar(&p.KeyFile, "gateway-key", "", "with --gateway stripe, the `file` with an API key of the test mode; without one it is asked for")
	flags.StringVar(&p.URL, "gateway-url", "", "with --gateway stripe, the `URL` of what stands in for its API")
}

func (p *payment) name(text string) error {
	if text != gatewaySimulator && text != gatewayStripe {
		return errors.New("it must be simulator or stripe")
	}
	p.Name = text
	return nil
}

// check refuses flags that do not go together.
func (p payment) check(embedded bool) error {
	switch {
	case p.Name != gatewayStripe && (p.KeyFile != "" || p.URL != ""):
		return errors.New("--gateway-key and --gateway-url are for --gateway stripe")
	case p.URL != "" && !isURL(p.URL):
		return fmt.Errorf("--gateway-url %q is not a URL such as http://127.0.0.1:12111", p.URL)
	case p.Name != "" && !embedded:
		return errors.New("--gateway is for paylane's own functions in this program; those that are built read the template's parameters")
	}
	return nil
}

// open returns the gateway, or nil for the one that the template names. Only the test mode is
// used from here: no money moves.
func (p payment) open(c cli, embedded bool) (gateway.Provider, error) {
	if err := p.check(embedded); err != nil {
		return nil, usageError{err}
	}
	settings := gateways.Config{Now: c.now, URL: p.URL}
	switch p.Name {
	case "":
		return nil, nil //nolint:nilnil // documented
	case gatewayStripe:
		key, err := p.key(c)
		if err != nil {
			return nil, usageError{err}
		}
		settings.Secret = func(context.Context, bool) (string, error) { return key, nil }
		if p.KeyFile != "" {
			settings.Secret = func(context.Context, bool) (string, error) { return p.key(c) }
		}
	}
	return gateways.New(p.Name, settings)
}

// describe returns the line of the start page; empty for the default.
func (p payment) describe() string {
	switch {
	case p.Name != gatewayStripe:
		return ""
	case p.URL != "":
		return "by what stands in for Stripe at " + p.URL
	}
	return "by Stripe in its test mode: no money moves"
}

// key reads the API key, from the file or from a terminal that does not show it.
func (p payment) key(c cli) (string, error) {
	var text []byte
	var err error
	terminal, ok := c.in.(*os.File)
	switch {
	case p.KeyFile != "":
		text, err = os.ReadFile(p.KeyFile)
	case ok && term.IsTerminal(int(terminal.Fd())):
		fmt.Fprint(c.err, "API key of Stripe, of the test mode: ")
		text, err = term.ReadPassword(int(terminal.Fd()))
		_, _ = io.WriteString(c.err, "\n")
	default:
		return "", errors.New("--gateway stripe needs an API key of the test mode: name its file with --gateway-key")
	}
	if err != nil {
		return "", fmt.Errorf("read the API key of Stripe: %w", err)
	}
	key := strings.TrimSpace(string(text))
	return key, stripe.CheckKey(key, false)
}

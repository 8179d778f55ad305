package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"paylane/shared/emulator/runner"
)

func (c cli) tokenCommand() *cobra.Command {
	var tenant, scope, addr, data string
	var more claims
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make an access token for \"paylane run --auth jwt\"",
		Long: `Print an access token of the development issuer, whose tokens
"paylane run --auth jwt" accepts unless it has an --issuer. The token is valid
for an hour. With --claim iss=… and --claim aud=… it is one of the issuer and
for the audience of one of a template's authorizers, and others refuse it.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if tenant == "" {
				return usageError{errors.New("--tenant is missing: whose token is it?")}
			}
			if _, err := runner.URL(addr); err != nil {
				return usageError{fmt.Errorf("--addr: %w", err)}
			}
			issuer, err := openIssuer(data, addr)
			if err != nil {
				return err
			}
			token, err := issuer.token(tenant, scope, more, c.now())
			if err == nil {
				_, err = fmt.Fprintln(c.out, token)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&tenant, "tenant", "", "whose token it is: the `name` that becomes its client_id")
	flags.StringVar(&scope, "scope", "orders/read orders/write", "`scopes`, separated by spaces, of orders/read, orders/write and orders/operate")
	flags.Func("claim", claimUsage, more.add)
	flags.StringVar(&addr, "addr", defaultAddr, "`address` of the runner, as its --addr")
	flags.StringVar(&data, "data", defaultData, "`folder` of the runner, as its --data; the issuer's key is there")
	return cmd
}

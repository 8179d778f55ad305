package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// cli is the command line in its process: what the commands need from outside.
type cli struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // err is one
	// outTerminal is the same of out.
	outTerminal bool
	getenv      func(string) string
	now         func() time.Time
	jitter      func(n int) int
}

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a command line that makes no sense. Cobra's own errors are not of this
// type: they come before a command starts.
type usageError struct{ error }

// errReported ends a command whose output has said what failed.
var errReported = errors.New("failed, as reported")

// execute runs a command line and returns the exit status.
func (c cli) execute(ctx context.Context, args []string) int {
	started := false
	root := c.rootCommand() //nolint:contextcheck // its commands have the context from cobra
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFailed
	case started && !errors.As(err, &usage):
		fmt.Fprintf(c.err, "%s %v\n", c.styleOn(c.terminal).failure(cmd.CommandPath()+":"), err)
		return exitFailed
	default:
		fmt.Fprintf(c.err, "%s %s\nSee \"%s --help\".\n",
			c.styleOn(c.terminal).failure(cmd.CommandPath()+":"), strings.TrimSpace(err.Error()), cmd.CommandPath())
		return exitUsage
	}
}

// usage is the template of what --help prints after the description. The program's own
// help has no flags, so that it fits a screen.
const usage = `Usage:
  {{.UseLine}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if not .HasParent}}

Without a command it runs, with the flags of "paylane run".
"paylane COMMAND --help" explains a command.{{else if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}
`

func (c cli) rootCommand() *cobra.Command {
	root := c.runCommand()
	root.Use, root.Args = "paylane [command]", nil // cobra then suggests a command for a mistyped word
	root.Long = `paylane takes orders and collects their payments, without making anybody wait.
It runs on this machine what template.yaml deploys to AWS.`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetUsageTemplate(usage)
	root.AddCommand(c.runCommand(), c.checkCommand(), c.tokenCommand(), c.loadCommand(), c.floorCommand(), c.smokeCommand(), c.listenCommand(), c.retryCommand(), c.eraseCommand())
	return root
}

// noArguments refuses everything that is not a flag.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q: all options are flags", args[0])
	}
	return nil
}

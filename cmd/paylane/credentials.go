package main

import (
	"errors"
	"fmt"

	"paylane/shared/emulator/runner"
)

// credentials returns those that functions get: the shell's if they are to have them, and
// made-up ones otherwise. LocalStack's accounts are made up, too.
func (c cli) credentials(shells bool) (runner.Credentials, error) {
	given := runner.Credentials{
		AccessKeyID: c.getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: c.getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: c.getenv("AWS_SESSION_TOKEN"),
	}
	switch {
	case shells && (given.AccessKeyID == "" || given.SecretAccessKey == ""):
		return runner.Credentials{}, usageError{errors.New("--aws-credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set; " +
			`eval "$(aws configure export-credentials --format env)" sets them from a profile`)}
	case shells:
		return given, nil
	case runner.IsAccount(given.AccessKeyID):
		return runner.Credentials{AccessKeyID: given.AccessKeyID}, nil
	default:
		return runner.Credentials{}, nil
	}
}

// pageCredentials prints what functions that are built are given.
func pageCredentials(p page, c config) {
	switch {
	case c.embedded(): // none are built
	case c.ShellCredentials:
		p.title("Credentials")
		fmt.Fprintln(p, "  the functions have the shell's, "+p.warning("and may call AWS"))
	default:
		p.title("Credentials")
		fmt.Fprintln(p, "  the functions have made-up ones, and their calls to AWS are refused; "+
			"--aws-credentials gives them the shell's and lets them call AWS")
	}
}

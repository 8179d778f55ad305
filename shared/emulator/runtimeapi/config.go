package runtimeapi

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"time"

	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/template"
)

// Config says what a [Function] runs, and how.
type Config struct {
	// Function comes from [template.Read]. Its name, ARN, handler, timeout, memory size,
	// reserved concurrency, environment and log group are used.
	template.Function
	// Binary is the path of the built program. Its folder is the function's
	// LAMBDA_TASK_ROOT and working directory.
	Binary string
	// Region is the AWS region that the function sees.
	Region string
	// Credentials sign the function's calls to AWS.
	Credentials Credentials
	// Log receives what the function writes to stdout and stderr: each line in a separate
	// Write, as "<Name> | <line>\n", so that functions can share a Log. It must be safe for
	// concurrent use, as an os.File is. A Write that blocks holds up the function. Nil
	// discards all.
	Log io.Writer
	// Verbose adds Lambda's own lines to the Log, START, END and REPORT of each invocation.
	Verbose bool
	// Logger records each invocation that fails; nil discards it.
	Logger *slog.Logger
	// IdleTimeout is how long an environment may wait for its next invocation before
	// it is ended; 0 is 5 minutes.
	IdleTimeout time.Duration
	// Now is the clock; nil is time.Now. It must keep pace with the time package's
	// timers, on which timeouts run.
	Now func() time.Time
	// Random is the source of ids, safe for concurrent use, and must not fail; nil is
	// crypto/rand.
	Random io.Reader
}

// Credentials are those of the function's role.
type Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken string }

// complete checks a configuration, and fills in the defaults.
func (c Config) complete() (Config, error) {
	binary, err := executable(c.Binary)
	if err != nil {
		return Config{}, fmt.Errorf("function %s: %w", c.Name, err)
	}
	c.Binary = binary
	if c.ReservedConcurrency == nil {
		c.ReservedConcurrency = new(1000) // an AWS account's
	}
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 5*time.Minute)
	c.Logger = aws.DefaultLogger(c.Logger)
	c.Now = aws.DefaultNow(c.Now)
	c.Random = aws.DefaultRandom(c.Random)
	return c, nil
}

// executable returns the absolute path of a program, since a function's working directory
// is not the runner's.
func executable(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err == nil {
		absolute, err = exec.LookPath(absolute)
	}
	if err != nil {
		return "", fmt.Errorf("find the function's program: %w", err)
	}
	return absolute, nil
}

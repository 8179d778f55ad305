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
)

// Config says what a [Function] runs, and how. Name, ARN and Binary are required.
type Config struct {
	Name string
	// ARN is the one that the function is invoked by.
	ARN string
	// Binary is the path of the built program. Its folder is the function's
	// LAMBDA_TASK_ROOT and working directory.
	Binary string
	// Handler is the template's; empty is "bootstrap".
	Handler string
	// Timeout is how long an invocation may take; 0 is Lambda's 3 s.
	Timeout time.Duration
	// MemoryMB is only reported, to the function and in the log; 0 is Lambda's 128.
	MemoryMB int
	// ReservedConcurrency limits the concurrent invocations, and so the environments;
	// 0 throttles all. Nil is the 1,000 that an AWS account has.
	ReservedConcurrency *int
	// Variables are the template's environment variables. Package template checks that
	// Lambda would accept them.
	Variables map[string]string
	// Region is the AWS region that the function sees.
	Region string
	// Credentials sign the function's calls to AWS.
	Credentials Credentials
	// LogGroup is only reported to the function; empty is "/aws/lambda/" and the name.
	LogGroup string
	// Log receives what the function writes to stdout and stderr, and Lambda's START, END
	// and REPORT: each line in a separate Write, as "<Name> | <line>\n", so that functions
	// can share a Log. It must be safe for concurrent use, as an os.File is. A Write that
	// blocks holds up the function. Nil discards all.
	Log io.Writer
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
	if c.Name == "" || c.ARN == "" {
		return Config{}, fmt.Errorf("function %s: it needs a name and an ARN", c.Name)
	}
	binary, err := executable(c.Binary)
	if err != nil {
		return Config{}, fmt.Errorf("function %s: %w", c.Name, err)
	}
	c.Binary = binary
	c.Handler = cmp.Or(c.Handler, "bootstrap")
	c.Timeout = cmp.Or(c.Timeout, 3*time.Second)
	c.MemoryMB = cmp.Or(c.MemoryMB, 128)
	if c.ReservedConcurrency == nil {
		c.ReservedConcurrency = new(1000)
	}
	c.LogGroup = cmp.Or(c.LogGroup, "/aws/lambda/"+c.Name)
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

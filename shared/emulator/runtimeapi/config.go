package runtimeapi

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"paylane/shared/emulator/internal/aws"
)

// Config is what a [Function] is to run, and how. Name, ARN and Binary are required.
type Config struct {
	Name string
	// ARN is what the function is invoked by.
	ARN string
	// Binary is the path of the built program. The folder that it lies in is the
	// function's LAMBDA_TASK_ROOT and working directory.
	Binary string
	// Handler is the template's; empty is "bootstrap".
	Handler string
	// Timeout is how long an invocation may take; 0 is Lambda's 3 s.
	Timeout time.Duration
	// MemoryMB is only told, to the function and in the log; 0 is Lambda's 128.
	MemoryMB int
	// ReservedConcurrency caps the invocations at one time, and so the environments;
	// 0 throttles all. Nil is the 1,000 that an AWS account has.
	ReservedConcurrency *int
	// Variables are the template's environment variables. A name that Lambda keeps
	// for itself, or would not take, is refused.
	Variables map[string]string
	// Region is the AWS region that the function is told.
	Region string
	// Credentials are what the function signs its calls to AWS with.
	Credentials Credentials
	// LogGroup is only told to the function; empty is "/aws/lambda/" and the name.
	LogGroup string
	// Log gets what the function writes to stdout and stderr, and Lambda's START, END
	// and REPORT: each line in a Write of its own, as "<Name> | <line>\n", so that
	// functions can share one. It must be safe for concurrent use, as an os.File is. A
	// Write that blocks holds up the function. Nil is none.
	Log io.Writer
	// Logger gets a line for each invocation that fails; nil is none.
	Logger *slog.Logger
	// IdleTimeout is how long an environment may wait for its next invocation before
	// it is ended; 0 is 5 minutes.
	IdleTimeout time.Duration
	// Now is the clock; nil is time.Now. Timeouts always run on the time package's
	// clock, so only one that keeps pace with it makes sense.
	Now func() time.Time
	// Random is the source of ids, safe for concurrent use, and must not fail; nil is
	// crypto/rand.
	Random io.Reader
}

// Credentials are those of the function's role.
type Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken string }

// complete checks a configuration, and fills in the defaults.
func (c Config) complete() (Config, error) {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(c.Variables)) {
		switch {
		case aws.ReservedVariable(name):
			problems = append(problems, fmt.Errorf("the environment variable %s is reserved by Lambda", name))
		case !aws.ValidVariable(name):
			problems = append(problems, fmt.Errorf("the environment variable %q is not a letter and then letters, digits and _", name))
		case strings.Contains(c.Variables[name], "\x00"):
			problems = append(problems, fmt.Errorf("the environment variable %s has a NUL in its value", name))
		}
	}
	binary, err := executable(c.Binary)
	if err != nil {
		problems = append(problems, err)
	}
	if c.Name == "" || c.ARN == "" {
		problems = append(problems, errors.New("the function needs a name and an ARN"))
	}
	if len(problems) > 0 {
		return Config{}, fmt.Errorf("function %s: %w", c.Name, errors.Join(problems...))
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

// executable gives the absolute path of a program, since a function's working
// directory is not the runner's.
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

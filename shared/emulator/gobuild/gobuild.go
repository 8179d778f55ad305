// Package gobuild builds the Go functions of a template for this machine, as `sam build`
// does for Lambda's, and notices when their sources change.
//
// [New] finds a function's source. [Function.Build] builds it, each time into a new
// folder, so that a running program is never overwritten. [Function.Sources] records the
// present state of the sources, and [Sources.Changed] later reports whether it is another.
// It compares names, sizes and times, which is fast enough for several times a second.
package gobuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"paylane/shared/emulator/template"
)

// Function is a function's source. It is not safe for concurrent use.
type Function struct {
	function template.Function
	source   string // the folder that CodeUri names
	out      string // has a folder for each build
	builds   int
	kept     [2]string // the folders of the last two builds that succeeded
	places   places    // from the last go list that succeeded
}

// New finds the source of a function: root is the template's folder, out a folder for this
// function alone, which need not exist. Nothing is built yet.
func New(f template.Function, root, out string) (*Function, error) {
	source := filepath.FromSlash(f.CodeURI)
	if !filepath.IsAbs(source) {
		source = filepath.Join(root, source)
	}
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("its CodeUri %s is not a folder, relative to the template", f.CodeURI)
	}
	// Commands run in the source folder, and must find the other folder from there.
	source, err := filepath.Abs(source)
	if err != nil {
		return nil, fmt.Errorf("find its CodeUri %s: %w", f.CodeURI, err)
	}
	if out, err = filepath.Abs(out); err != nil {
		return nil, fmt.Errorf("find the folder for its builds: %w", err)
	}
	return &Function{function: f, source: source, out: out}, nil
}

// Build builds the function and returns the path of its program. The error names the
// function and includes the output of the compiler or make.
//
// With BuildMethod "makefile" it is `make build-<LogicalId>` with ARTIFACTS_DIR, in the
// folder that CodeUri names ("Building custom runtimes", AWS SAM developer guide); the
// result must have the handler's name. With "go1.x" or none it is `go build` of the package
// in that folder. If there is no BuildMethod, no Go file and a program with the handler's
// name, that program is used as it is.
//
// A program is kept until the second successful build after it: it may still run when the
// next one replaces it.
func (f *Function) Build(ctx context.Context) (program string, err error) {
	if program = filepath.Join(f.source, f.function.Handler); f.prebuilt() && executable(program) {
		return program, nil
	}
	f.builds++
	folder := filepath.Join(f.out, strconv.Itoa(f.builds))
	program, err = f.build(ctx, folder)
	stale := folder
	if err == nil {
		stale, f.kept[0], f.kept[1] = f.kept[0], f.kept[1], folder
	} else {
		err = fmt.Errorf("build %s: %w", f.function.LogicalID, err)
	}
	if stale != "" {
		_ = os.RemoveAll(stale) // whatever remains is removed with out
	}
	return program, err
}

func (f *Function) build(ctx context.Context, folder string) (program string, err error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return "", err
	}
	program = filepath.Join(folder, f.function.Handler)
	// Stamping a program with its commit costs a run of git, and is not needed locally.
	command := f.command(ctx, "go", "build", "-buildvcs=false", "-o", program, ".")
	if f.function.BuildMethod == "makefile" {
		command = f.command(ctx, "make", "build-"+f.function.LogicalID)
		command.Env = append(command.Env, "ARTIFACTS_DIR="+folder)
	}
	if said, err := command.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("%s: %w\n%s", command, err, bytes.TrimSpace(said)), ctx.Err())
	}
	if !executable(program) {
		return "", fmt.Errorf("the build left no program %s: is it a main package, or does make write to ARTIFACTS_DIR?",
			f.function.Handler)
	}
	return program, nil
}

// prebuilt reports whether there is nothing to build.
func (f *Function) prebuilt() bool {
	files, err := fs.Glob(os.DirFS(f.source), "*.go")
	return err == nil && len(files) == 0 && f.function.BuildMethod == ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && (info.Mode()&0o111 != 0 || runtime.GOOS == "windows")
}

// command returns a command in the source folder, which builds for this machine whatever
// the environment says. When ctx ends it has a moment to clean up.
func (f *Function) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	const patience = time.Second
	command := exec.CommandContext(ctx, name, args...) //nolint:gosec // it is go or make
	command.Dir = f.source
	command.Env = append(command.Environ(), "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = patience
	return command
}

// Package gobuild builds the Go functions of a template for this machine, as `sam build`
// does for Lambda's, and notices when their sources change.
//
// [New] finds a function's code. [Function.Build] builds it, each time into a new folder,
// so that a running program is never overwritten, and leaves the source untouched.
// [Function.Sources] records the present state of the sources, and [Sources.Changed] later
// reports whether it is another. It compares names, sizes and times, which is fast enough
// for several times a second.
package gobuild

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"paylane/shared/emulator/template"
)

// bootstrap is the name of the program that a provided runtime runs, whatever the Handler
// says ("Building a custom runtime for AWS Lambda").
const bootstrap = "bootstrap"

// Function is a function's code. It is not safe for concurrent use.
type Function struct {
	function template.Function
	source   string    // the folder that is built, or has the program
	archive  string    // the zip file with the program, in place of a source
	makefile *makefile // nil without one
	out      string    // has a folder for each build
	builds   int
	kept     [2]string // the folders of the last two builds that succeeded
	places   places    // from the last go list that succeeded
}

// New finds the code of a function: root is the template's folder, out a folder for this
// function alone, which need not exist. Nothing is built yet. The error says which of the
// folders and files that the template names is missing.
func New(f template.Function, root, out string) (*Function, error) {
	// Commands run in other folders, and must find these from there.
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("find the template's folder: %w", err)
	}
	if out, err = filepath.Abs(out); err != nil {
		return nil, fmt.Errorf("find the folder for its builds: %w", err)
	}
	made := &Function{function: f, out: out}
	if info, err := os.Stat(below(root, f.CodeURI)); err == nil && info.Mode().IsRegular() {
		made.archive = below(root, f.CodeURI)
		archive, err := zip.OpenReader(made.archive)
		if err != nil {
			return nil, fmt.Errorf("its CodeUri %s is neither a folder nor a zip file: %w", f.CodeURI, err)
		}
		return made, archive.Close()
	}
	key, path := "CodeUri", f.CodeURI
	if f.Build.ProjectRootDirectory != "" {
		key, path = "ProjectRootDirectory", f.Build.ProjectRootDirectory
	}
	if made.source, err = folder(root, key, path); err != nil {
		return nil, err
	}
	made.makefile, err = findMakefile(f, root, made.source)
	return made, err
}

// folder returns the physical path of a folder that the template names, as SAM does: a path
// with .. then leads to the same place from everywhere.
func folder(root, key, path string) (string, error) {
	physical, err := filepath.EvalSymlinks(below(root, path))
	if err != nil || !isFolder(physical) {
		return "", fmt.Errorf("its %s %s is not a folder, relative to the template", key, path)
	}
	return physical, nil
}

func below(root, path string) string {
	if path = filepath.FromSlash(path); filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Build builds the function and returns the path of its program, which is called bootstrap
// and runs on this machine. The error names the function and includes the output of the
// compiler or make.
//
// With BuildMethod "makefile" it is `make build-<LogicalId>` with ARTIFACTS_DIR, in a copy
// of the source ("Building custom runtimes", AWS SAM developer guide). With "go1.x" it is
// `go build` of the package in the folder that CodeUri names; if that can't be built, of
// the package or file that the Handler names below it ("Building Go functions", SAM's own behaviour).
// A zip file is unpacked. Without a BuildMethod it is make if the Makefile has the target,
// the program bootstrap if there are no Go files, and otherwise `go build`.
//
// A program is kept until the second successful build after it: it may still run when the
// next one replaces it.
func (f *Function) Build(ctx context.Context) (program string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("build %s: %w", f.function.LogicalID, err)
		}
	}()
	if f.prebuilt() {
		return f.program(f.source)
	}
	f.builds++
	folder := filepath.Join(f.out, strconv.Itoa(f.builds))
	program, err = f.build(ctx, folder)
	stale := folder
	if err == nil {
		stale, f.kept[0], f.kept[1] = f.kept[0], f.kept[1], folder
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
	switch {
	case f.archive != "":
		err = unzip(ctx, f.archive, folder)
	case f.makefile != nil:
		err = f.make(ctx, folder)
	default:
		err = f.goBuild(ctx, filepath.Join(folder, bootstrap))
	}
	if err != nil {
		return "", err
	}
	return f.program(folder)
}

// IsMade reports whether make builds the function.
func (f *Function) IsMade() bool { return f.makefile != nil }

func (f *Function) goBuild(ctx context.Context, program string) (err error) {
	// Stamping a program with its commit costs a run of git, and is not needed locally.
	args := []string{"build", "-buildvcs=false", "-o", program}
	if f.function.Build.TrimPath {
		args = append(args, "-trimpath")
	}
	for _, pkg := range f.packages() {
		failed := run(ctx, command(ctx, f.source, "go", append(args, pkg)...), "")
		if failed == nil {
			return nil
		}
		err = errors.Join(err, failed)
	}
	return err
}

// packages are those that go build tries: the first that can be built is the function. The
// Handler's may be a folder or, as for SAM's go build, a single file.
func (f *Function) packages() []string {
	handler := "./" + f.function.Handler
	switch {
	case !filepath.IsLocal(f.function.Handler) || !isPackage(filepath.Join(f.source, f.function.Handler)):
		return []string{"."}
	case !hasGo(f.source):
		return []string{handler}
	}
	return []string{".", handler}
}

func isPackage(path string) bool {
	info, err := os.Stat(path)
	return err == nil && (hasGo(path) || isGoFile(path) && info.Mode().IsRegular())
}

func isGoFile(path string) bool { return filepath.Ext(path) == ".go" }

// prebuilt reports whether there is nothing to build.
func (f *Function) prebuilt() bool {
	switch {
	case f.archive != "" || f.makefile != nil:
		return false
	case f.function.Build.Skip:
		return true
	}
	return f.function.Build.Method == "" && !hasGo(f.source) && f.packages()[0] == "."
}

func hasGo(folder string) bool {
	files, err := fs.Glob(os.DirFS(folder), "*.go")
	return err == nil && len(files) > 0
}

// makefile is how make builds a function.
type makefile struct {
	path string
	dir  string // where make runs
	tree string // the folder that is copied, of the project; dir and path may be elsewhere

	project string
}

// findMakefile returns nil if make does not build the function.
func findMakefile(f template.Function, root, source string) (m *makefile, err error) {
	if f.Build.Skip || f.Build.Method == "go1.x" {
		return nil, nil //nolint:nilnil // that there is none is an answer
	}
	context := source
	if path := f.Build.ContextPath; path != "" {
		if context, err = folder(root, "ContextPath", path); err != nil {
			return nil, err
		}
	}
	m = &makefile{path: filepath.Join(context, "Makefile"), dir: source}
	text, err := os.ReadFile(m.path)
	switch {
	case f.Build.Method == "" && !targets(text, f.LogicalID):
		return nil, nil //nolint:nilnil // as above
	case err != nil:
		return nil, fmt.Errorf("make needs a Makefile in its folder: %w", err)
	}
	if path := f.Build.WorkingDirectory; path != "" {
		if m.dir, err = folder(root, "WorkingDirectory", path); err != nil {
			return nil, err
		}
	}
	m.project = projectOf(root, source)
	m.tree = treeOf(m.project, source, m.dir)
	return m, nil
}

// targets reports whether a Makefile is SAM's for a function, which needs no BuildMethod
// with a provided runtime.
func targets(text []byte, logicalID string) bool {
	rule := regexp.MustCompile(`(?m)^(\S+ +)*build-(%|` + regexp.QuoteMeta(logicalID) + `)( +\S+)* *:`)
	return rule.Match(text) && bytes.Contains(text, []byte("ARTIFACTS_DIR"))
}

// make runs make in a copy of the source, as SAM does: functions that share a Makefile
// often share the names of what it writes as well, and are built at the same time.
func (f *Function) make(ctx context.Context, artifacts string) error {
	scratch := filepath.Join(f.out, "source")
	defer func() { _ = os.RemoveAll(scratch) }()
	c := copier{project: f.makefile.project, scratch: scratch, out: f.out}
	if err := c.copy(ctx, f.makefile.tree); err != nil {
		return fmt.Errorf("copy its source: %w", err)
	}
	make := command(ctx, c.to(f.makefile.dir), "make", "--makefile", c.to(f.makefile.path), "build-"+f.function.LogicalID)
	// Under `make run` it would take itself for a part of that make, with its flags and jobs.
	make.Env = slices.DeleteFunc(make.Env, func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == "MAKEFLAGS" || name == "MAKELEVEL" || name == "MFLAGS"
	})
	make.Env = append(make.Env, "ARTIFACTS_DIR="+artifacts)
	return run(ctx, make, scratch)
}

// command returns a command in a folder, which builds for this machine whatever the
// environment says. When ctx ends it has a moment to clean up.
func command(ctx context.Context, folder, name string, args ...string) *exec.Cmd {
	const patience = time.Second
	command := exec.CommandContext(ctx, name, args...) //nolint:gosec // it is go or make
	command.Dir = folder
	command.Env = append(command.Environ(), "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = patience
	return command
}

// run runs a command. Its error has the command's output, in which the paths of a copy
// below scratch are those of the source.
func run(ctx context.Context, c *exec.Cmd, scratch string) error {
	said, err := c.CombinedOutput()
	if err == nil {
		return nil
	}
	original := func(text []byte) []byte { return bytes.TrimSpace(bytes.ReplaceAll(text, []byte(scratch), nil)) }
	if scratch == "" {
		original = bytes.TrimSpace
	}
	return errors.Join(fmt.Errorf("%s: %w\n%s", original([]byte(c.String())), err, original(said)), ctx.Err())
}

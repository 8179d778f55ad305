package gobuild_test

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/gobuild"
	"paylane/shared/emulator/template"
)

// files are the contents of a folder, by name.
type files map[string]string

const (
	goMod = "module example.com/shop\n\ngo 1.21\n"
	hello = "package main\n\nfunc main() { println(\"hello\") }\n"
)

var goBuild, makeBuild = template.Build{Method: "go1.x"}, template.Build{Method: "makefile"}

// write creates files that are an hour old, so that an edit always changes the time. A
// file whose name ends in "*" is executable.
func write(t *testing.T, root string, all files) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	for name, text := range all {
		name, program := strings.CutSuffix(name, "*")
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if program {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

// open returns the function with the logical id Pay in these files. Zero fields of f take
// the usual values.
func open(t *testing.T, f template.Function, all files) (function *gobuild.Function, root string) {
	t.Helper()
	root = t.TempDir()
	write(t, root, all)
	f.LogicalID = "Pay"
	if f.Handler == "" {
		f.Handler = "bootstrap"
	}
	function, err := gobuild.New(f, root, filepath.Join(t.TempDir(), "builds"))
	if err != nil {
		t.Fatal(err)
	}
	return function, root
}

func TestNewRefuses(t *testing.T) {
	root := t.TempDir()
	write(t, root, files{"file": "", "f/main.go": hello})
	for _, row := range []struct {
		function template.Function
		want     string
	}{
		{template.Function{CodeURI: "missing/"}, "its CodeUri missing/ is not a folder"},
		{template.Function{CodeURI: "file"}, "its CodeUri file is neither a folder nor a zip file"},
		{template.Function{CodeURI: "f", Build: makeBuild}, filepath.Join(root, "f", "Makefile")},
		{template.Function{CodeURI: "f", Build: template.Build{Method: "makefile", ProjectRootDirectory: "file"}}, "its ProjectRootDirectory file is not a folder"},
		{template.Function{CodeURI: "f", Build: template.Build{Method: "makefile", ContextPath: "x"}}, "its ContextPath x is not a folder"},
	} {
		_, err := gobuild.New(row.function, root, t.TempDir())
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%+v: got %v", row.function, err)
		}
	}
}

func TestBuild(t *testing.T) {
	const (
		makefile = "build-Pay:\n\tgo build -o \"$(ARTIFACTS_DIR)/bootstrap\" ./cmd/pay\n"
		here     = "build-Pay:\n\tgo build -o bootstrap .\n\tcp bootstrap $(ARTIFACTS_DIR)\n"
		script   = "#!/bin/sh\necho hello >&2\n"
		lib      = "package lib\n\nconst Text = \"hello\"\n"
		useLib   = "package main\n\nimport \"example.com/lib\"\n\nfunc main() { println(lib.Text) }\n"
	)
	built := func(method string) template.Function {
		return template.Function{CodeURI: "f", Build: template.Build{Method: method}}
	}
	rows := []struct {
		name     string
		function template.Function
		files    files
		// place is the program's folder, below the source or, as "builds/1", below out.
		place string
	}{
		{"go1.x", template.Function{Build: goBuild, CodeURI: "f/"}, files{"go.mod": goMod, "f/main.go": hello}, "1"},
		{"no BuildMethod", template.Function{CodeURI: "f"}, files{"go.mod": goMod, "f/main.go": hello}, "1"},
		{
			"no BuildMethod, Go files beside a program",
			template.Function{CodeURI: "."},
			files{"go.mod": goMod, "main.go": hello, "bootstrap*": "#!/bin/sh\necho old >&2\n"}, "1",
		},
		{
			"no BuildMethod, a program and no Go file",
			template.Function{CodeURI: "dist"},
			files{"main.go": "broken", "dist/bootstrap*": script}, "dist",
		},
		{
			"no BuildMethod, a Makefile with the target",
			template.Function{CodeURI: "."},
			files{"go.mod": goMod, "main.go": "broken", "cmd/pay/main.go": hello, "Makefile": makefile}, "1",
		},
		{
			"no BuildMethod, a Makefile with a target for any function",
			template.Function{CodeURI: "."},
			files{"run.sh*": script, "Makefile": ".PHONY: build\nbuild-%:\n\tcp run.sh $(ARTIFACTS_DIR)/bootstrap\n"}, "1",
		},
		{
			"no BuildMethod, a Makefile with a target that is not SAM's",
			template.Function{CodeURI: "."}, files{"go.mod": goMod, "main.go": hello, "Makefile": "build-Pay:\n\tfalse\n"}, "1",
		},
		{
			"no BuildMethod, a Makefile for other functions",
			template.Function{CodeURI: "."},
			files{"go.mod": goMod, "main.go": hello, "Makefile": "build-PayOut: build-Pay\n\tcp x $(ARTIFACTS_DIR)\n"}, "1",
		},
		{
			"SkipBuild",
			template.Function{CodeURI: "dist", Build: template.Build{Method: "makefile", Skip: true}},
			files{"dist/main.go": "broken", "dist/bootstrap*": script}, "dist",
		},
		{"CodeUri left out", template.Function{}, files{"go.mod": goMod, "main.go": hello}, "1"},
		{
			"a label as the handler", template.Function{CodeURI: ".", Handler: "hello.is.only.a.label"},
			files{"go.mod": goMod, "main.go": hello}, "1",
		},
		{
			"a label as the handler of a Makefile's", template.Function{Build: makeBuild, CodeURI: ".", Handler: "bootstrap.is.real.handler"},
			files{"go.mod": goMod, "cmd/pay/main.go": hello, "Makefile": makefile}, "1",
		},
		{
			"a label as the handler of a program that is there", template.Function{CodeURI: "dist", Handler: "lambda/alpha"},
			files{"dist/bootstrap*": script}, "dist",
		},
		{
			"a label that looks like a file as the handler of a program that is there", template.Function{CodeURI: "dist", Handler: "main.go"},
			files{"dist/bootstrap*": script}, "dist",
		},
		{
			"a package below CodeUri as the handler", template.Function{Build: goBuild, CodeURI: "f", Handler: "lambda/alpha"},
			files{"go.mod": goMod, "f/lambda/alpha/main.go": hello, "f/lambda/beta/main.go": "broken"}, "1",
		},
		{
			"a package below CodeUri as the handler, and Go files that are not for the build", template.Function{CodeURI: ".", Handler: "alpha"},
			files{"go.mod": goMod, "tools.go": "//go:build tools\n\npackage tools\n", "alpha/main.go": hello}, "1",
		},
		{
			"a file below CodeUri as the handler", template.Function{Build: goBuild, CodeURI: "f", Handler: "cmd/pay.go"},
			files{"go.mod": goMod, "f/cmd/pay.go": hello, "f/cmd/ship.go": "broken"}, "1",
		},
		{
			"go1.x and TrimGoPath", template.Function{CodeURI: ".", Build: template.Build{Method: "go1.x", TrimPath: true}},
			files{"go.mod": goMod, "main.go": "package main\n\nimport \"runtime\"\n\nfunc main() {\n\t_, file, _, _ := runtime.Caller(0)\n" +
				"\tif file == \"example.com/shop/main.go\" {\n\t\tprintln(\"hello\")\n\t}\n}\n"}, "1",
		},
		{
			"makefile", template.Function{Build: makeBuild, CodeURI: "."},
			files{"go.mod": goMod, "cmd/pay/main.go": hello, "Makefile": makefile}, "1",
		},
		{
			"makefile that is not Go's", template.Function{Build: makeBuild, CodeURI: "."},
			files{"src/run.sh*": script, "Makefile": "build-Pay:\n\t./src/run.sh && cp src/run.sh $(ARTIFACTS_DIR)/bootstrap\n"}, "1",
		},
		{
			"makefile that compares times", template.Function{Build: makeBuild, CodeURI: "."},
			files{"run.sh*": script, "Makefile": "build-Pay:\n\ttest run.sh -ot $(ARTIFACTS_DIR)\n\tcp run.sh $(ARTIFACTS_DIR)/bootstrap\n"}, "1",
		},

		// SAM copies the folder f alone, where these would find no module.
		{
			"makefile below its module", built("makefile"),
			files{"go.mod": goMod, "f/Makefile": here, "f/main.go": "package main\n\nimport \"example.com/shop\"\n\nfunc main() { println(shop.Text) }\n",
				"shop.go":    "package shop\n\nimport _ \"embed\"\n\n//go:embed text/hello\nvar Text string\n",
				"text/hello": "hello"}, "1",
		},
		{
			"makefile, a module beside it", built("makefile"),
			files{"f/go.mod": goMod + "\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n", "f/Makefile": here, "f/main.go": useLib,
				"lib/go.mod": "module example.com/lib\n\ngo 1.21\n", "lib/lib.go": lib}, "1",
		},
		{
			"makefile in a workspace", built("makefile"),
			files{"go.work": "go 1.21\n\nuse (\n\t./f\n\t./lib\n)\n", "f/go.mod": goMod, "f/Makefile": here, "f/main.go": useLib,
				"lib/go.mod": "module example.com/lib\n\ngo 1.21\n", "lib/lib.go": lib}, "1",
		},
		{
			"makefile that includes another", built("makefile"),
			files{"f/go.mod": goMod, "f/Makefile": "include ../common.mk\n", "common.mk": here, "f/main.go": hello}, "1",
		},
		{
			"makefile that leaves its folder", built("makefile"),
			files{"go.mod": goMod, "f/Makefile": "build-Pay:\n\tcd .. && cp f/run.sh bootstrap && cp bootstrap $(ARTIFACTS_DIR)\n", "f/run.sh*": script,
				"bootstrap*": "the developer's own"}, "1",
		},

		// Where SAM's Terraform integration puts them.
		{
			"ContextPath", template.Function{CodeURI: ".", Build: template.Build{Method: "makefile", ContextPath: "build"}},
			files{"go.mod": goMod, "cmd/pay/main.go": hello, "Makefile": "broken", "build/Makefile": makefile}, "1",
		},
		{
			"WorkingDirectory", template.Function{CodeURI: ".", Build: template.Build{Method: "makefile", WorkingDirectory: "f"}},
			files{"go.mod": goMod, "f/main.go": hello, "Makefile": here}, "1",
		},
		{
			"WorkingDirectory outside of CodeUri", template.Function{CodeURI: "cmd/pay", Build: template.Build{Method: "makefile", WorkingDirectory: "."}},
			files{"go.mod": goMod, "cmd/pay/main.go": hello, "cmd/pay/Makefile": makefile}, "1",
		},
		{
			"ProjectRootDirectory", template.Function{CodeURI: "cmd/nowhere", Build: template.Build{Method: "makefile", ProjectRootDirectory: "."}},
			files{"go.mod": goMod, "cmd/pay/main.go": hello, "Makefile": makefile}, "1",
		},
		{
			"all of them", template.Function{CodeURI: "cmd/pay", Build: template.Build{
				Method: "makefile", ProjectRootDirectory: "app", ContextPath: "build", WorkingDirectory: "app/src"}},
			files{"app/src/go.mod": goMod, "app/src/cmd/pay/main.go": hello, "build/Makefile": makefile}, "1",
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f, root := open(t, row.function, row.files)
			before := contents(t, root)
			program, err := f.Build(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if folder := filepath.Base(filepath.Dir(program)); folder != row.place || filepath.Base(program) != "bootstrap" {
				t.Errorf("the program is %s, want bootstrap in the folder %s", program, row.place)
			}
			if said, err := exec.Command(program).CombinedOutput(); err != nil || string(said) != "hello\n" {
				t.Errorf("the program said %q: %v", said, err)
			}
			if d := cmp.Diff(before, contents(t, root)); d != "" {
				t.Errorf("the source is not as it was (-before +after):\n%s", d)
			}
		})
	}
}

// contents returns every file below a folder, with mode, time and content, and every link.
func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		var content []byte
		switch {
		case info.Mode().IsRegular():
			content, err = os.ReadFile(path)
		case entry.Type() == os.ModeSymlink:
			target, failed := os.Readlink(path)
			content, err = []byte(target), failed
		}
		all[path] = fmt.Sprint(info.Mode(), info.ModTime(), string(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSharedMakefile: functions that share a folder and a Makefile, whose targets all write
// to the same file first, get their own programs, however many are built side by side, and
// always from the sources as they are.
func TestSharedMakefile(t *testing.T) {
	t.Parallel()
	const starts, edits = 50, 50
	names := []string{"One", "Two", "Three", "Four"}
	root := t.TempDir()
	source := files{}
	for _, name := range names {
		source["Makefile"] += fmt.Sprintf("build-%s:\n\tcp %s.sh bootstrap\n\tcat text >> bootstrap\n\tcp ./bootstrap $(ARTIFACTS_DIR)/.\n", name, name)
		source[name+".sh*"] = "#!/bin/sh\n# " + name + " "
	}
	source["text"] = "start"
	write(t, root, source)
	opened := func(name, out string) *gobuild.Function {
		t.Helper()
		f, err := gobuild.New(template.Function{LogicalID: name, CodeURI: ".", Handler: "bootstrap", Build: makeBuild}, root, filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	buildAll := func(all map[string]*gobuild.Function, text string) {
		t.Helper()
		before := contents(t, root)
		var group sync.WaitGroup
		for name, f := range all {
			group.Go(func() {
				program, err := f.Build(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := os.ReadFile(program); err != nil || string(got) != "#!/bin/sh\n# "+name+" "+text {
					t.Errorf("%s at %q got the program %q: %v", name, text, got, err)
				}
			})
		}
		group.Wait()
		if d := cmp.Diff(before, contents(t, root)); d != "" {
			t.Errorf("the source is not as it was (-before +after):\n%s", d)
		}
	}
	all := map[string]*gobuild.Function{}
	outs := t.TempDir()
	for i := range starts {
		out := filepath.Join(outs, strconv.Itoa(i))
		for _, name := range names {
			all[name] = opened(name, out)
		}
		buildAll(all, "start")
	}
	for i := range edits {
		sources := all["One"].Sources(t.Context())
		text := fmt.Sprintf("edit %2d", i)
		write(t, root, files{"text": text})
		touch("Makefile")(t, root)
		if !sources.Changed() {
			t.Error("the edit went unnoticed")
		}
		sources = all["One"].Sources(t.Context())
		buildAll(all, text)
		if sources.Changed() {
			t.Error("the builds are taken for edits")
		}
	}
}

// TestMakeCopies: what make sees of its source is what is there, save what SAM leaves out.
func TestMakeCopies(t *testing.T) {
	t.Parallel()
	f, root := open(t, template.Function{Build: makeBuild, CodeURI: "f"}, files{
		"f/.git/HEAD": "", "f/.aws-sam/x": "", "f/deep/.git": "", ".git/HEAD": "", "f/deep/run.sh*": "", "f/.env": "", "beside": "", "f/a": "",
		"f/Makefile":                "build-Pay:\n\t@ls -A . deep ..; readlink in out gone; cat in; test deep/run.sh -ot Makefile; ls -l deep; exit 3\n",
		"f/node_modules/x/index.js": "", "f/locked": "",
	})
	for name, target := range map[string]string{"in": "deep/run.sh", "out": "../beside", "gone": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(root, "f", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(root, "f", "locked"), 0); err != nil {
		t.Fatal(err)
	}
	if listener, err := net.Listen("unix", filepath.Join(root, "f", "socket")); err == nil {
		defer func() { _ = listener.Close() }()
	}
	_, err := f.Build(t.Context())
	if err == nil {
		t.Fatal("it built")
	}
	_, said, _ := strings.Cut(err.Error(), "exit status 2\n")
	const want = `.:
.env
Makefile
a
deep
gone
in
node_modules
out

..:
beside
f

deep:
run.sh
deep/run.sh
../beside
nowhere
`
	got := regexp.MustCompile(`(?m)^locked\n`).ReplaceAllString(said, "") // root can read it
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "-rwxr-xr-x") {
		t.Errorf("make saw\n%s", said)
	}
	// The message leads to the source, not to the copy.
	if makefile := filepath.Join(root, "f", "Makefile"); !strings.Contains(err.Error(), " "+makefile+" ") || !strings.Contains(err.Error(), "["+makefile+":2:") {
		t.Errorf("the error is %v", err)
	}
}

// TestMakeOnItsOwn: a make that starts the runner, as `make run` does, has no part in the build.
func TestMakeOnItsOwn(t *testing.T) {
	t.Setenv("MAKEFLAGS", "w -j2 -- A=b")
	t.Setenv("MAKELEVEL", "1")
	t.Setenv("MFLAGS", "-w -j2")
	f, _ := open(t, template.Function{Build: makeBuild, CodeURI: "."}, files{
		"Makefile": "build-Pay:\n\t@echo level $(MAKELEVEL), flags $(MFLAGS), A is $(A).; exit 3\n",
	})
	_, err := f.Build(t.Context())
	if err == nil || !strings.Contains(err.Error(), "\nlevel 0, flags , A is .\n") {
		t.Errorf("%v", err)
	}
}

func TestBuildIsForThisMachineWhateverTheEnvironmentSays(t *testing.T) {
	t.Setenv("GOOS", "plan9")
	t.Setenv("GOARCH", "arm")
	f, _ := open(t, template.Function{CodeURI: "."}, files{"go.mod": goMod, "main.go": hello})
	program, err := f.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(program).CombinedOutput(); err != nil {
		t.Errorf("it does not run on this machine: %v %s", err, said)
	}
}

func TestBuildFails(t *testing.T) {
	rows := []struct {
		name     string
		function template.Function
		files    files
		want     string // part of the error, beside the function's name
	}{
		{
			"a compile error", template.Function{Build: goBuild, CodeURI: "."},
			files{"go.mod": goMod, "main.go": "package main\n\nfunc main() { undefinedName() }\n"},
			"main.go:3:15: undefined: undefinedName",
		},
		{
			"a compile error, and a package as the handler", template.Function{Build: goBuild, CodeURI: ".", Handler: "alpha"},
			files{"go.mod": goMod, "main.go": "package main\n\nfunc main() { undefinedName() }\n", "alpha/main.go": "broken"},
			"main.go:3:15: undefined: undefinedName",
		},
		{"no Go file", template.Function{Build: goBuild, CodeURI: "."}, files{"go.mod": goMod, "bootstrap*": ""}, "no Go files in"},
		{"nothing", template.Function{CodeURI: "."}, files{"go.mod": goMod}, "its CodeUri . has no Go files, no Makefile with a target build-Pay"},
		{"a program that is not executable", template.Function{CodeURI: "."}, files{"bootstrap": ""}, "bootstrap in its CodeUri . is not executable"},
		{
			"a program with the handler's name", template.Function{CodeURI: "bin", Handler: "lambda/alpha", Runtime: "provided.al2023"},
			files{"bin/lambda/alpha*": "#!/bin/sh\n"},
			"its program lambda/alpha must be called bootstrap: that is what the runtime provided.al2023 runs, whatever the Handler says",
		},
		{
			"a program with the handler's name by make", template.Function{Build: makeBuild, CodeURI: ".", Handler: "pay"},
			files{"Makefile": "build-Pay:\n\tprintf '#!/bin/sh' > $(ARTIFACTS_DIR)/pay && chmod +x $(ARTIFACTS_DIR)/pay\n"},
			"its program pay must be called bootstrap",
		},
		{
			"a handler outside of CodeUri", template.Function{CodeURI: "f", Handler: "../pay"}, files{"pay*": "#!/bin/sh\n", "f/x": ""},
			"no program called bootstrap",
		},
		{"no main package", template.Function{CodeURI: "."}, files{"go.mod": goMod, "x.go": "package x\n"}, "is it a main package"},
		{
			"make fails", template.Function{Build: makeBuild, CodeURI: "."},
			files{"Makefile": "build-Pay:\n\t@echo said to stdout; echo no luck >&2; exit 3\n"}, "said to stdout\nno luck\n",
		},
		{"no such make target", template.Function{Build: makeBuild, CodeURI: "."}, files{"Makefile": "other:\n"}, "build-Pay"},
		{
			"make writes elsewhere", template.Function{Build: makeBuild, CodeURI: "."},
			files{"Makefile": "build-Pay:\n\ttouch bootstrap\n"}, "make left no program called bootstrap: does it write to ARTIFACTS_DIR?",
		},
		{"neither a program nor a script", template.Function{CodeURI: "."}, files{"bootstrap*": "echo hello\n"}, "neither a program nor a script"},
		{
			"another architecture", template.Function{CodeURI: "."}, files{"bootstrap*": foreign},
			"its bootstrap is a program for linux/s390x, and this machine is " + runtime.GOOS + "/" + runtime.GOARCH + ": build it with GOOS=" + runtime.GOOS,
		},
		{
			"another architecture by make", template.Function{Build: makeBuild, CodeURI: "."},
			files{"program*": foreign, "Makefile": "build-Pay:\n\tcp program $(ARTIFACTS_DIR)/bootstrap\n"},
			"make built a program for linux/s390x, and this machine is " + runtime.GOOS + "/" + runtime.GOARCH + ": the runner sets GOOS and GOARCH for make",
		},
		{
			"another architecture in a zip", template.Function{CodeURI: "pay.zip"}, files{"pay.zip": zipped(t, "bootstrap*", foreign)},
			"a program for linux/s390x",
		},
		{
			"another system", template.Function{CodeURI: "."}, files{"bootstrap*": "MZ" + strings.Repeat("\x00", 58) + "\x40\x00\x00\x00PE\x00\x00\x64\xaa" + strings.Repeat("\x00", 60)},
			"a program for windows/arm64",
		},
		{
			"another system still", template.Function{CodeURI: "."}, files{"bootstrap*": "\xcf\xfa\xed\xfe\x07\x00\x00\x01" + strings.Repeat("\x00", 24)},
			"a program for darwin/amd64",
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			f, _ := open(t, row.function, row.files)
			program, err := f.Build(t.Context())
			if err == nil {
				t.Fatalf("it built %s", program)
			}
			for _, part := range []string{"build Pay: ", row.want} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error has no %q:\n%v", part, err)
				}
			}
		})
	}
}

// TestBuildFailsInTheHandlersPackage: that there are no Go files elsewhere is not the fault.
func TestBuildFailsInTheHandlersPackage(t *testing.T) {
	f, _ := open(t, template.Function{Build: goBuild, CodeURI: ".", Handler: "alpha"}, files{"go.mod": goMod, "alpha/main.go": "broken"})
	_, err := f.Build(t.Context())
	if err == nil || !strings.Contains(err.Error(), "alpha/main.go:1:1:") || strings.Contains(err.Error(), "no Go files") {
		t.Errorf("the error is %v", err)
	}
}

// foreign is the header of a program for Linux on a machine that nobody develops on.
var foreign = func() string {
	header := make([]byte, 64)
	copy(header, "\x7fELF\x02\x02\x01") // 64 bits, big-endian
	for at, value := range map[int]uint16{16: uint16(elf.ET_EXEC), 18: uint16(elf.EM_S390), 22: 1, 52: 64, 54: 56, 58: 64} {
		binary.BigEndian.PutUint16(header[at:], value)
	}
	return string(header)
}()

func TestBuildsHaveFoldersOfTheirOwn(t *testing.T) {
	f, root := open(t, template.Function{CodeURI: "."}, files{"go.mod": goMod, "main.go": hello})
	there := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	var programs []string
	for range 3 {
		program, err := f.Build(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, program)
	}
	if programs[0] == programs[1] || programs[1] == programs[2] {
		t.Errorf("a build overwrote another: %v", programs)
	}
	// A build that fails leaves nothing behind and removes nothing.
	write(t, root, files{"main.go": "broken"})
	if _, err := f.Build(t.Context()); err == nil {
		t.Fatal("it built broken sources")
	}
	if there(programs[0]) || !there(programs[1]) || !there(programs[2]) {
		t.Error("only the last two builds must exist")
	}
	builds := filepath.Dir(filepath.Dir(programs[0]))
	if entries, err := os.ReadDir(builds); err != nil || len(entries) != 2 {
		t.Errorf("the folder of builds has %v, %v", entries, err)
	}
}

func TestBuildEndsWithItsContext(t *testing.T) {
	// The recipe reports that it runs, and would go on until the end of the test.
	root := t.TempDir()
	f, _ := open(t, template.Function{Build: makeBuild, CodeURI: "."},
		files{"Makefile": "build-Pay:\n\t@cd " + root + "; mkfifo started hold; echo yes > started; cat hold\n"})
	t.Cleanup(func() {
		if hold, err := os.OpenFile(filepath.Join(root, "hold"), os.O_RDWR, 0); err == nil {
			_ = hold.Close()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := f.Build(ctx)
		done <- err
	}()
	waitUntilThere(t, filepath.Join(root, "started"))
	if _, err := os.ReadFile(filepath.Join(root, "started")); err != nil { // returns once it has been written to
		t.Fatal(err)
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the build still runs")
	}
}

func waitUntilThere(t *testing.T, path string) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	deadline := time.After(30 * time.Second)
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("%s does not appear", path)
		}
	}
}

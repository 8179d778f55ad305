package gobuild_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"paylane/shared/emulator/gobuild"
	"paylane/shared/emulator/template"
)

// files are the contents of a folder, by name.
type files map[string]string

const (
	goMod = "module example.com/shop\n\ngo 1.21\n"
	hello = "package main\n\nfunc main() { println(\"hello\") }\n"
)

// write creates files that are an hour old, so that an edit always changes the time. A
// file whose name ends in "*" is executable.
func write(t *testing.T, root string, all files) {
	t.Helper()
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
		old := time.Now().Add(-time.Hour)
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

func TestNewRefusesWhatIsNoFolder(t *testing.T) {
	root := t.TempDir()
	write(t, root, files{"file": ""})
	for _, uri := range []string{"missing/", "file"} {
		_, err := gobuild.New(template.Function{CodeURI: uri}, root, t.TempDir())
		if err == nil || !strings.Contains(err.Error(), uri) {
			t.Errorf("%s: got %v", uri, err)
		}
	}
}

func TestBuild(t *testing.T) {
	const makefile = "build-Pay:\n\tgo build -o \"$(ARTIFACTS_DIR)/bootstrap\" ./cmd/pay\n"
	rows := []struct {
		name     string
		function template.Function
		files    files
		// place is the program's folder, below the source or, as "builds/1", below out.
		place string
	}{
		{"go1.x", template.Function{BuildMethod: "go1.x", CodeURI: "f/"}, files{"go.mod": goMod, "f/main.go": hello}, "1"},
		{"no BuildMethod", template.Function{CodeURI: "f"}, files{"go.mod": goMod, "f/main.go": hello}, "1"},
		{
			"no BuildMethod, Go files beside a program",
			template.Function{CodeURI: "."},
			files{"go.mod": goMod, "main.go": hello, "bootstrap*": "#!/bin/sh\necho old >&2\n"}, "1",
		},
		{
			"no BuildMethod, a program and no Go file",
			template.Function{CodeURI: "dist"},
			files{"main.go": "broken", "dist/bootstrap*": "#!/bin/sh\necho hello >&2\n"}, "dist",
		},
		{"handler with another name", template.Function{CodeURI: ".", Handler: "bin/pay"}, files{"go.mod": goMod, "main.go": hello}, "bin"},
		{
			"makefile",
			template.Function{BuildMethod: "makefile", CodeURI: "."},
			files{"go.mod": goMod, "cmd/pay/main.go": hello, "Makefile": makefile}, "1",
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			f, _ := open(t, row.function, row.files)
			program, err := f.Build(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if folder := filepath.Base(filepath.Dir(program)); folder != row.place {
				t.Errorf("the program is %s, want it in the folder %s", program, row.place)
			}
			if said, err := exec.Command(program).CombinedOutput(); err != nil || string(said) != "hello\n" {
				t.Errorf("the program said %q: %v", said, err)
			}
		})
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
			"a compile error", template.Function{BuildMethod: "go1.x", CodeURI: "."},
			files{"go.mod": goMod, "main.go": "package main\n\nfunc main() { undefinedName() }\n"},
			"main.go:3:15: undefined: undefinedName",
		},
		{
			"no Go file", template.Function{BuildMethod: "go1.x", CodeURI: "."},
			files{"go.mod": goMod, "bootstrap*": ""}, "no Go files in",
		},
		{
			"a program that is not executable", template.Function{CodeURI: "."},
			files{"go.mod": goMod, "bootstrap": ""}, "no Go files in",
		},
		{"no main package", template.Function{CodeURI: "."}, files{"go.mod": goMod, "x.go": "package x\n"}, "is it a main package"},
		{
			"make fails", template.Function{BuildMethod: "makefile", CodeURI: "."},
			files{"Makefile": "build-Pay:\n\t@echo said to stdout; echo no luck >&2; exit 3\n"}, "said to stdout\nno luck\n",
		},
		{"no such make target", template.Function{BuildMethod: "makefile", CodeURI: "."}, files{"Makefile": "other:\n"}, "build-Pay"},
		{
			"make writes elsewhere", template.Function{BuildMethod: "makefile", CodeURI: "."},
			files{"Makefile": "build-Pay:\n\ttouch bootstrap\n"}, "does make write to ARTIFACTS_DIR?",
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
	f, root := open(t, template.Function{BuildMethod: "makefile", CodeURI: "."},
		files{"Makefile": "build-Pay:\n\t@mkfifo started hold; echo yes > started; cat hold\n"})
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

package runner_test

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
)

// TestBuilds: however a template has its functions built, each gets its own program, before
// and after an edit, and the source stays as it is.
func TestBuilds(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("testdata/builds")); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(folder, "four.zip")
	zipProgram(t, filepath.Join(folder, "cmd", "four"), archive)
	c := runner.Config{Template: filepath.Join(folder, "template.yaml"), Output: &output{}}
	checked, err := runner.Check(c)
	if err != nil {
		t.Fatal(err)
	}
	want := []template.Skipped{{Path: "Resources.Path.Metadata.DockerTag", Reason: "container images are not run"}}
	for i := range checked.Skipped {
		checked.Skipped[i].Line = 0
	}
	if d := cmp.Diff(want, checked.Skipped); d != "" {
		t.Errorf("what is skipped (-want +got):\n%s", d)
	}

	before := contents(t, folder)
	r := start(t, c)
	answers := func() map[string]string {
		all := map[string]string{}
		for _, f := range r.Template().Functions {
			_, all[f.LogicalID] = get(t, r.URL()+"/_url/"+f.LogicalID+"/", "")
		}
		return all
	}
	first := map[string]string{
		"One": "hello from one", "Two": "hello from two", "Three": "hello from three", "Four": "hello from four",
		"Elsewhere": "hello from two", "Path": "hello from three", "Zip": "hello from four",
	}
	if d := cmp.Diff(first, answers()); d != "" {
		t.Errorf("the answers (-want +got):\n%s", d)
	}
	if d := cmp.Diff(before, contents(t, folder)); d != "" {
		t.Errorf("the source (-before +after):\n%s", d)
	}

	source := filepath.Join(folder, "answer", "answer.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	write(t, source, strings.Replace(string(text), `"hello"`, `"bye"`, 1))
	zipProgram(t, filepath.Join(folder, "cmd", "four"), archive)
	before = contents(t, folder)
	second := map[string]string{}
	for name, answer := range first {
		second[name] = strings.Replace(answer, "hello", "bye", 1)
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(time.Minute); !cmp.Equal(second, answers()); <-look.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute (-want +got):\n%s\n%s", cmp.Diff(second, answers()), c.Output)
		}
	}
	if d := cmp.Diff(before, contents(t, folder)); d != "" {
		t.Errorf("the source (-before +after):\n%s", d)
	}
}

// TestMakesOneAtATime: Makefiles that write to one place outside of what is copied for them
// don't get in each other's way.
func TestMakesOneAtATime(t *testing.T) {
	t.Parallel()
	var resources strings.Builder
	names := []string{"One", "Two", "Three", "Four"}
	for _, name := range names {
		resources.WriteString("  " + name + ": {Type: AWS::Serverless::Function, Properties: {CodeUri: " + name +
			", Handler: bootstrap, Runtime: provided.al2023, FunctionUrlConfig: {AuthType: NONE}}}\n")
	}
	path := inTemplate(t, resources.String())
	for _, name := range names {
		folder := filepath.Join(filepath.Dir(path), name)
		if err := os.MkdirAll(filepath.Join(folder, "..", "shared"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		// Two at a time would both make the folder.
		write(t, filepath.Join(folder, "Makefile"), "build-"+name+":\n\tmkdir ../shared/busy\n\tgo list std >/dev/null\n"+
			"\tprintf '#!/bin/sh\\n' > $(ARTIFACTS_DIR)/bootstrap && chmod +x $(ARTIFACTS_DIR)/bootstrap\n\trmdir ../shared/busy\n")
	}
	start(t, runner.Config{Template: path, Output: &output{}})
}

// zipProgram builds the package in a folder, and replaces an archive by one with the program.
func zipProgram(t *testing.T, folder, archive string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = folder
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	made, err := os.Create(archive + ".new")
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(made)
	if err := w.AddFS(os.DirFS(filepath.Dir(program))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(archive+".new", archive); err != nil {
		t.Fatal(err)
	}
}

// contents returns the files below a folder.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestForeignProgram: a program for another machine is an error at the start, before
// anything is invoked.
func TestForeignProgram(t *testing.T) {
	t.Parallel()
	path := inTemplate(t, `  Pay:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: pay, Handler: bootstrap, Runtime: provided.al2023, FunctionUrlConfig: {AuthType: NONE}}
`)
	windows := "MZ" + strings.Repeat("\x00", 58) + "\x40\x00\x00\x00PE\x00\x00\x64\xaa" + strings.Repeat("\x00", 60)
	program := write(t, filepath.Join(filepath.Dir(path), "pay", "bootstrap"), windows)
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	const want = "build Pay: its bootstrap is a program for windows/arm64, and this machine is " + runtime.GOOS + "/" + runtime.GOARCH
	if _, err := runner.Start(t.Context(), runner.Config{Template: path}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v", err)
	}
}

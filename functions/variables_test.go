package functions_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestVariables: each of the functions' environment variables is described in one Go file,
// and set by template.yaml, which sets no others. Those that begin with AWS_ are AWS's.
func TestVariables(t *testing.T) {
	files := make(map[string]string) // production Go code, by path
	if err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "bin" || d.Name() == "docs" || path != ".." && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(filepath.Dir(path), "test"):
			return nil
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	variables := make(map[string]bool)
	tag := regexp.MustCompile("`env:\"([A-Z_]+)")
	for _, text := range files {
		for _, match := range tag.FindAllStringSubmatch(text, -1) {
			if !strings.HasPrefix(match[1], "AWS_") {
				variables[match[1]] = true
			}
		}
	}
	if len(variables) < 10 {
		t.Fatalf("found only %v", variables)
	}
	set := make(map[string]bool)
	for _, f := range read(t).Functions {
		for name := range f.Environment {
			set[name] = true
		}
	}
	for name := range variables {
		word := regexp.MustCompile(`\b` + name + `\b`)
		var in []string
		for path, text := range files {
			if word.MatchString(text) {
				in = append(in, path)
			}
		}
		slices.Sort(in)
		if len(in) != 1 {
			t.Errorf("%s is in %v, want one file", name, in)
		}
		if !set[name] {
			t.Errorf("template.yaml does not set %s", name)
		}
	}
	for name := range set {
		if !variables[name] && !strings.HasPrefix(name, "AWS_") {
			t.Errorf("template.yaml sets %s, which no function reads", name)
		}
	}
}

package emulator_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tests returns the text of a package's tests, and of the suite that it may share with
// others, in the folder conformance below it.
func tests(t *testing.T, folder string) string {
	t.Helper()
	var text strings.Builder
	for _, pattern := range []string{"*_test.go", "conformance/*.go"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(source)
		}
	}
	return text.String()
}

// TestEmulationPage holds docs/emulation.md against the tests: each test that it names
// exists, and each row of the tests is in it.
func TestEmulationPage(t *testing.T) {
	const root = "../.."
	page, err := os.ReadFile(root + "/docs/emulation.md")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`^\| ([A-G]\d\d) \|`)
	isRow := regexp.MustCompile(`^[A-G]\d\d$`)
	citation := regexp.MustCompile("`([a-z][a-z0-9/]*) (Test[A-Za-z0-9]+)(?:/([^`]+))?`")
	documented := make(map[string]bool)
	for line := range strings.Lines(string(page)) {
		var id string
		if found := rule.FindStringSubmatch(line); found != nil {
			id = found[1]
			documented[id] = true
		}
		cited := citation.FindAllStringSubmatch(line, -1)
		if id != "" && len(cited) == 0 && !strings.Contains(line, "**no test**") {
			t.Errorf("%s names no test, and does not say that there is none", id)
		}
		for _, c := range cited {
			folder, test, row := c[1], c[2], c[3]
			source := tests(t, filepath.Join(root, folder))
			if !strings.Contains(source, "\nfunc "+test+"(t *testing.T)") {
				t.Errorf("%s has no %s", folder, test)
			}
			if !strings.Contains(source, `"`+row) {
				t.Errorf("%s has no row %q", folder, row)
			}
			if isRow.MatchString(row) && row != id && strings.HasPrefix(line, "|") {
				t.Errorf("the row %s is cited for the rule %q", row, id)
			}
		}
	}
	if len(documented) < 50 {
		t.Errorf("only %d rules found", len(documented))
	}
	rows := conformanceRows(t, root)
	for id := range rows {
		if !documented[id] {
			t.Errorf("docs/emulation.md lacks %s", id)
		}
	}
	if len(rows) < 50 {
		t.Errorf("only %d rows found in the tests", len(rows))
	}
}

// conformanceRows returns the ids of the rows in all tests below root.
func conformanceRows(t *testing.T, root string) map[string]bool {
	t.Helper()
	ids := make(map[string]bool)
	row := regexp.MustCompile(`"([A-G]\d\d) `)
	for _, top := range []string{"shared", "localstack", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				for _, found := range row.FindAllStringSubmatch(tests(t, path), -1) {
					ids[found[1]] = true
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

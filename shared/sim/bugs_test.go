package sim_test

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBugsApply: every planted bug is still a change of the sources as they are, so that
// .ci/mutants plants what it says. It needs no tool but Go.
func TestBugsApply(t *testing.T) {
	patches, err := filepath.Glob(filepath.Join("testdata", "bugs", "*.patch"))
	if err != nil || len(patches) < 40 {
		t.Fatalf("%d planted bugs, %v", len(patches), err)
	}
	for _, name := range patches {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, []byte("\nfound-by: ")) {
			t.Errorf("%s does not say what finds it", name)
		}
		var source, before string
		hunks := 0
		check := func() {
			if before == "" {
				return
			}
			hunks++
			if n := strings.Count(source, before); n != 1 {
				t.Errorf("%s: a hunk stands %d times in its file:\n%s", name, n, before)
			}
			before = ""
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			line := lines.Text()
			switch {
			case strings.HasPrefix(line, "--- a/"):
				check()
				read, err := os.ReadFile(filepath.Join("..", "..", strings.TrimPrefix(line, "--- a/")))
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				source = string(read)
			case strings.HasPrefix(line, "@@"):
				check()
			case source != "" && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "-")):
				before += line[1:] + "\n"
			}
		}
		check()
		if hunks == 0 {
			t.Errorf("%s changes nothing", name)
		}
	}
}

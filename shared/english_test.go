package shared_test

import (
	"bytes"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unwanted lists phrases that a native engineer would not write, and what to write
// instead. A space in a phrase matches a line break too.
var unwanted = []struct{ phrase, instead string }{
	{`(tell|say)s? whether\b`, `"reports whether"`},
	{`parted by\b`, `"separated by"`},
	{`read over\b`, `"skipped"`},
	{`for ever\b`, `"forever"`},
	{`is no \w+[.,;]`, `"is not a …", "means no …" or "there is no …"`},
}

// idiomatic matches what looks like one of the unwanted phrases, but is good English.
var idiomatic = phrase(`there is no\b|is no (longer|more|less|better|worse)\b`)

func phrase(pattern string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(` + strings.ReplaceAll(pattern, " ", `\s+`) + `)`)
}

// blank returns a text of the same length in which nothing can match.
func blank(text []byte) []byte { return bytes.Repeat([]byte("|"), len(text)) }

// comments returns a Go source with all code blanked: offsets stay the same, and a phrase
// can't reach from one comment across code to another.
func comments(source []byte) []byte {
	prose := bytes.Clone(source)
	for i, b := range prose {
		if b > ' ' {
			prose[i] = '|'
		}
	}
	file := token.NewFileSet().AddFile("", 1, len(source))
	var s scanner.Scanner
	s.Init(file, source, func(token.Position, string) {}, scanner.ScanComments)
	for {
		pos, kind, text := s.Scan()
		if kind == token.EOF {
			return prose
		}
		if kind == token.COMMENT {
			copy(prose[file.Offset(pos):], "  "+text[2:]) // a marker would split a phrase
		}
	}
}

// TestEnglish: none of the unwanted phrases is in a comment or a page.
func TestEnglish(t *testing.T) {
	searched := make(map[string]int)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); name == "bin" || name != ".." && strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
			return nil
		}
		extension := filepath.Ext(path)
		if extension != ".go" && extension != ".md" {
			return nil
		}
		searched[extension]++
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		prose := source
		if extension == ".go" {
			prose = comments(source)
		}
		prose = idiomatic.ReplaceAllFunc(prose, blank)
		for _, u := range unwanted {
			for _, at := range phrase(u.phrase).FindAllIndex(prose, -1) {
				line := 1 + bytes.Count(source[:at[0]], []byte("\n"))
				found := strings.Join(strings.Fields(string(prose[at[0]:at[1]])), " ")
				t.Errorf("%s:%d has %q: write %s", strings.TrimPrefix(path, "../"), line, found, u.instead)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if searched[".go"] < 100 || searched[".md"] < 10 {
		t.Errorf("searched only %v", searched)
	}
}

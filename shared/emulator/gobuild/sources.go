package gobuild

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Sources are the files that a function is made of, as they were at one moment: the
// packages of its own module and of others on this disk (replaced ones, and those of a
// workspace), what they embed, and the files that say which other modules it has. Tests
// are no part of it.
type Sources struct {
	places
	state uint64
}

// places are where sources are looked for.
type places struct {
	folders []string // of packages: their Go files, now and later
	files   []string // by name, whether they are there or not
	embeds  []embed
}

// embed is a pattern of a go:embed directive.
type embed struct{ folder, pattern string }

// listed is what `go list` says of a package.
type listed struct {
	ImportPath, Dir string // without a Dir it was not found
	EmbedPatterns   []string
	Module          *module
}

type module struct {
	Path, Dir, GoMod string
	Main             bool
	Replace          *struct{ Version string }
}

// local tells whether a module's files can change: the others are in a cache that
// nobody writes to.
func (m *module) local() bool {
	return m != nil && (m.Main || m.Replace != nil && m.Replace.Version == "")
}

// Sources looks at the function's sources. Where `go list` can't say which they are,
// because they are broken just now, they are those of the last time.
func (f *Function) Sources(ctx context.Context) *Sources {
	what := "."
	if f.function.BuildMethod == "makefile" {
		what = "./..." // which of them it builds, only make knows
	}
	list := f.command(ctx, "go", "list", "-e", "-deps", "-json=ImportPath,Dir,EmbedPatterns,Module", what)
	if packages, err := list.Output(); err == nil {
		f.places = placesOf(packages)
	}
	s := &Sources{places: f.places}
	s.folders = append(slices.Clip(s.folders), f.source)
	s.files = append(slices.Clip(s.files), f.ownFiles()...)
	s.state = s.look()
	return s
}

// ownFiles are those that count whatever `go list` says.
func (f *Function) ownFiles() []string {
	files := []string{filepath.Join(f.source, "Makefile")}
	if f.prebuilt() {
		files = append(files, filepath.Join(f.source, f.function.Handler))
	}
	// The module and the workspace are what is nearest above.
	for folder := f.source; ; folder = filepath.Dir(folder) {
		for _, name := range []string{"go.mod", "go.sum", "go.work", "go.work.sum"} {
			files = append(files, filepath.Join(folder, name))
		}
		if folder == filepath.Dir(folder) {
			return files
		}
	}
}

func placesOf(packages []byte) (p places) {
	modules := map[string]string{} // folders by path
	var missing []string
	for decoder := json.NewDecoder(bytes.NewReader(packages)); ; {
		var l listed
		if err := decoder.Decode(&l); err != nil {
			break // the end
		}
		if l.Dir == "" {
			missing = append(missing, l.ImportPath)
		}
		if !l.Module.local() {
			continue
		}
		modules[l.Module.Path] = l.Module.Dir
		p.folders = append(p.folders, l.Dir)
		for _, pattern := range l.EmbedPatterns {
			p.embeds = append(p.embeds, embed{l.Dir, pattern})
		}
		p.files = append(p.files, l.Module.GoMod, strings.TrimSuffix(l.Module.GoMod, ".mod")+".sum")
	}
	// A package that is imported already may be written next.
	for _, path := range missing {
		for prefix, folder := range modules {
			if rest, inside := strings.CutPrefix(path, prefix+"/"); inside {
				p.folders = append(p.folders, filepath.Join(folder, filepath.FromSlash(rest)))
			}
		}
	}
	slices.Sort(p.files)
	p.files = slices.Compact(p.files)
	return p
}

// Changed tells whether any of the files is not as it was: by name, size and time.
func (s *Sources) Changed() bool { return s.look() != s.state }

// look sums up how all files are now. One that is not there counts as well.
func (s *Sources) look() uint64 {
	sum := fnv.New64a()
	for _, folder := range s.folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			_, _ = fmt.Fprintln(sum, folder, "can't be read")
		}
		for _, e := range entries {
			if isSource(e.Name()) {
				note(sum, filepath.Join(folder, e.Name()))
			}
		}
	}
	for _, path := range s.files {
		note(sum, path)
	}
	for _, e := range s.embeds {
		e.note(sum)
	}
	return sum.Sum64()
}

// isSource tells whether a build reads a file of a package. It passes over names that
// begin with . or _, as editors' own files do.
func isSource(name string) bool {
	switch filepath.Ext(name) {
	case ".go", ".s", ".c", ".h":
		return !hidden(name) && !strings.HasSuffix(name, "_test.go")
	}
	return false
}

func hidden(name string) bool { return name[0] == '.' || name[0] == '_' }

// note notes a pattern's files: those that match, and what is in folders that match,
// where hidden files count only with "all:" (the documentation of package embed).
func (e embed) note(sum io.Writer) {
	pattern, all := strings.CutPrefix(e.pattern, "all:")
	folder := os.DirFS(e.folder)
	matches, _ := fs.Glob(folder, pattern) // a pattern that is wrong matches nothing
	for _, match := range matches {
		_ = fs.WalkDir(folder, match, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return nil //nolint:nilerr // it vanished this moment, which the next look sees
			case path != match && !all && hidden(d.Name()):
				if d.IsDir() {
					return fs.SkipDir
				}
			case !d.IsDir():
				note(sum, filepath.Join(e.folder, filepath.FromSlash(path)))
			}
			return nil
		})
	}
}

// note notes a file.
func note(sum io.Writer, path string) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, _ = fmt.Fprintln(sum, path, "is not there")
	case err != nil:
		_, _ = fmt.Fprintln(sum, path, err)
	default:
		_, _ = fmt.Fprintln(sum, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
	}
}

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
	"regexp"
	"slices"
	"strings"
)

// Sources are the files that a function is built from, in their state at one moment: the
// packages of its own module and of others on this disk (replaced ones, and those of a
// workspace), what they embed, and the files that list its other modules. Tests are not
// included.
type Sources struct {
	places
	state uint64
}

// places are where sources are looked for.
type places struct {
	folders []string // of packages: their Go files, now and later
	files   []string // by name, whether they exist or not
	embeds  []embed
}

// embed is a pattern of a go:embed directive, or something that a Makefile names.
type embed struct {
	folder, pattern string
	named           bool // by a Makefile
}

// listed is a package in the output of `go list`.
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

// local reports whether a module's files can change: the others are in a read-only cache.
func (m *module) local() bool {
	return m != nil && (m.Main || m.Replace != nil && m.Replace.Version == "")
}

// Sources records the state of the function's sources. If `go list` fails because they are
// broken at the moment, they are those of the previous call. What make builds is unknown:
// its sources are all packages in the source and in the working folder, the Makefile, and
// the files and folders that this names.
func (f *Function) Sources(ctx context.Context) *Sources {
	if f.archive != "" {
		s := &Sources{places: places{files: []string{f.archive}}}
		s.state = s.look()
		return s
	}
	from, packages := f.source, f.packages()
	for i, pkg := range packages {
		if isGoFile(pkg) { // go list does not say which module a single file belongs to
			packages[i] = "./" + filepath.Dir(pkg)
		}
	}
	if m := f.makefile; m != nil {
		packages = []string{"./..."}
		if m.dir != f.source && within(m.tree, m.dir) {
			from, packages = m.dir, append(packages, filepath.Join(f.source, "..."))
		}
	}
	list := []string{"list", "-e", "-deps", "-json=ImportPath,Dir,EmbedPatterns,Module"}
	if listed, err := command(ctx, from, "go", append(list, packages...)...).Output(); err == nil {
		f.places = placesOf(listed)
	}
	s := &Sources{places: f.places}
	s.folders = append(slices.Clip(s.folders), f.source)
	s.files = append(slices.Clip(s.files), f.ownFiles()...)
	if f.makefile != nil {
		s.embeds = append(slices.Clip(s.embeds), f.named()...)
	}
	s.state = s.look()
	return s
}

// words matches what may be a path in a Makefile.
var words = regexp.MustCompile(`[\w./][\w./+-]*`)

// named returns what the Makefile names that is there, such as what it copies and includes,
// and what the Makefiles name that it includes. Folders that have all of the source are left
// out: in these, anything may change at any time. So is what is not copied, except for what
// is included: make may write there, and would be run again and again.
func (f *Function) named() (all []embed) {
	seen := map[string]bool{}
	var read func(makefile string)
	read = func(makefile string) {
		text, _ := os.ReadFile(makefile) //nolint:gosec // reading what it names is the purpose; make reports what can't be read
		for _, word := range words.FindAllString(string(text), -1) {
			// In $(CURDIR)/x, too, the word is /x.
			at := filepath.Join(f.makefile.dir, filepath.FromSlash(word))
			included := filepath.Ext(at) == ".mk"
			if seen[at] || within(at, f.source) || within(at, f.makefile.dir) || !included && !within(f.makefile.tree, at) {
				continue
			}
			seen[at] = true
			if _, err := os.Stat(at); err != nil { //nolint:gosec // as above
				continue
			}
			all = append(all, embed{folder: filepath.Dir(at), pattern: filepath.Base(at), named: true})
			if included {
				read(at)
			}
		}
	}
	read(f.makefile.path)
	return all
}

// ownFiles are the files that belong to the sources whatever `go list` says.
func (f *Function) ownFiles() []string {
	files := []string{filepath.Join(f.source, "Makefile")}
	if f.makefile != nil {
		files = append(files, f.makefile.path)
	}
	if f.prebuilt() {
		files = append(files, filepath.Join(f.source, bootstrap))
	}
	// The module and the workspace are the nearest above.
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
			p.embeds = append(p.embeds, embed{folder: l.Dir, pattern: pattern})
		}
		p.files = append(p.files, l.Module.GoMod, strings.TrimSuffix(l.Module.GoMod, ".mod")+".sum")
	}
	// A package that is already imported may be written next.
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

// Changed reports whether any of the files has changed: its name, size or time.
func (s *Sources) Changed() bool { return s.look() != s.state }

// look hashes the present state of all files, including that some don't exist.
func (s *Sources) look() uint64 {
	sum := fnv.New64a()
	for _, folder := range s.folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			_, _ = fmt.Fprintln(sum, folder, "can't be read")
		}
		for _, e := range entries {
			if isSource(e.Name()) {
				hash(sum, filepath.Join(folder, e.Name()))
			}
		}
	}
	for _, path := range s.files {
		hash(sum, path)
	}
	for _, e := range s.embeds {
		e.hash(sum)
	}
	return sum.Sum64()
}

// isSource reports whether a build reads a file of a package. Names that begin with . or
// _, such as editors' own files, are skipped.
func isSource(name string) bool {
	switch filepath.Ext(name) {
	case ".go", ".s", ".c", ".h":
		return !hidden(name) && !strings.HasSuffix(name, "_test.go")
	}
	return false
}

func hidden(name string) bool { return name[0] == '.' || name[0] == '_' }

// hash hashes the files that the pattern matches, and those in folders that it matches,
// where hidden files count only with "all:" (the documentation of package embed). The
// packages of a web page's tools, in a folder that a Makefile names, are too many.
func (e embed) hash(sum io.Writer) {
	pattern, all := strings.CutPrefix(e.pattern, "all:")
	folder := os.DirFS(e.folder)
	matches, _ := fs.Glob(folder, pattern) // an invalid pattern matches nothing
	for _, match := range matches {
		_ = fs.WalkDir(folder, match, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return nil //nolint:nilerr // it has just vanished, which the next look notices
			case path != match && !all && hidden(d.Name()), e.named && d.Name() == "node_modules":
				if d.IsDir() {
					return fs.SkipDir
				}
			case !d.IsDir():
				hash(sum, filepath.Join(e.folder, filepath.FromSlash(path)))
			}
			return nil
		})
	}
}

// hash hashes the state of a file.
func hash(sum io.Writer, path string) {
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

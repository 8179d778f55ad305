package gobuild

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// copier copies a folder to the same path below a scratch folder.
//
// SAM copies CodeUri alone, so what lies above or beside it is out of the Makefile's reach:
// the go.mod of a module with a folder for each function, a module that go.mod replaces by
// ../lib, an include of ../common.mk. In the copy all of it stands where it was: a module
// that encloses the code is copied too ([treeOf]), and the rest of the project, and what
// lies beside the project, are links. So a relative path leads to the same contents as in
// the source, and what make writes in its own folder or module stays in the copy.
type copier struct {
	project string
	scratch string
	out     string // not copied: it has the scratch folder
}

// to returns where a path is in the copy.
func (c copier) to(path string) string {
	return filepath.Join(c.scratch, strings.TrimPrefix(path, filepath.VolumeName(path)))
}

// copy copies a tree.
func (c copier) copy(ctx context.Context, tree string) error {
	if err := os.MkdirAll(filepath.Dir(c.to(tree)), 0o750); err != nil {
		return err
	}
	for folder := tree; within(c.project, folder) && folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		c.link(filepath.Dir(folder), filepath.Base(folder))
	}
	return filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && path != tree && c.excludes(path):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case err == nil:
			err = c.entry(path, entry)
		}
		// An editor's file that is gone again, or the data of a database in a container.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return err
	})
}

// excludes reports whether something is left out: what SAM leaves out, and the builds.
func (c copier) excludes(path string) bool {
	name := filepath.Base(path)
	return name == ".git" || name == ".aws-sam" || path == c.out || path == filepath.Dir(c.out)
}

// link makes the links of a folder above the tree, except for one name, which is on the way
// to the tree. One that can't be made is missed only by a Makefile that would follow it.
func (c copier) link(folder, except string) {
	entries, _ := os.ReadDir(folder)
	for _, entry := range entries {
		if path := filepath.Join(folder, entry.Name()); entry.Name() != except && !c.excludes(path) {
			_ = os.Symlink(path, c.to(path))
		}
	}
}

// entry copies one file or folder, with its mode and time. A link stays a link, relative
// ones within the copy. Sockets and pipes are nothing to build from.
func (c copier) entry(path string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	switch {
	case entry.IsDir():
		return os.Mkdir(c.to(path), info.Mode().Perm()|0o700) // it is removed again
	case entry.Type() == fs.ModeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return os.Symlink(target, c.to(path))
	case info.Mode().IsRegular():
		return copyFile(path, c.to(path), info)
	}
	return nil
}

func copyFile(from, to string, info fs.FileInfo) error {
	source, err := os.Open(from) //nolint:gosec // copying the source is the purpose
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	made, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm()) //nolint:gosec // as above
	if err != nil {
		return err
	}
	_, err = io.Copy(made, source)
	// Make compares times.
	return errors.Join(err, made.Close(), os.Chtimes(to, info.ModTime(), info.ModTime()))
}

// projectOf returns the folder of the project that a template and a source belong to: the
// repository of the template, or else its folder; or one above, if that has the source.
func projectOf(root, source string) string {
	if physical, err := filepath.EvalSymlinks(root); err == nil {
		root = physical
	}
	project := root
	for folder := root; folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, ".git")); err == nil {
			project = folder
			break
		}
	}
	for !within(project, source) && project != filepath.Dir(project) {
		project = filepath.Dir(project)
	}
	return project
}

// treeOf returns the folder to copy for a source: the nearest that has the working folder,
// too, and the go.mod of the module that encloses it. It does not reach beyond the project:
// a go.mod may lie about in a home folder.
func treeOf(project, source, working string) string {
	tree := source
	for within(project, working) && !within(tree, working) {
		tree = filepath.Dir(tree)
	}
	for folder := tree; within(project, folder) && folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
	}
	return tree
}

// within reports whether path is folder, or below it.
func within(folder, path string) bool {
	relative, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(relative)
}

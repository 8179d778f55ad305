package gobuild

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// unzippedLimit is the largest size of a function's files, in bytes ("Lambda quotas").
const unzippedLimit = 250 << 20

// unzip unpacks a zip file into a folder, with modes and links. Names and links that lead
// out of the folder are refused.
func unzip(ctx context.Context, archive, folder string) error {
	reader, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("open %s: %w", archive, err)
	}
	defer func() { _ = reader.Close() }()
	if err := checkSize(reader.File); err != nil {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for _, entry := range reader.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := extract(root, entry); err != nil {
			return fmt.Errorf("unpack %s: %s: %w", archive, entry.Name, err)
		}
	}
	return nil
}

// checkSize adds up the sizes that the archive states; its reader refuses a file that is
// larger than stated.
func checkSize(files []*zip.File) error {
	left := uint64(unzippedLimit)
	for _, file := range files {
		if file.UncompressedSize64 > left {
			return errors.New("its files have more than the 250 MB that Lambda allows")
		}
		left -= file.UncompressedSize64
	}
	return nil
}

func extract(root *os.Root, entry *zip.File) error {
	name := filepath.FromSlash(path.Clean(entry.Name))
	if entry.Mode().IsDir() {
		return root.MkdirAll(name, 0o750)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	from, err := entry.Open()
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	switch {
	case entry.Mode().IsRegular():
		made, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, entry.Mode().Perm()|0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(made, from) //nolint:gosec // checkSize has bounded it
		return errors.Join(err, made.Close())
	case entry.Mode().Type() == fs.ModeSymlink:
		target, err := io.ReadAll(from)
		if err != nil {
			return err
		}
		if path.IsAbs(string(target)) || !filepath.IsLocal(filepath.Join(filepath.Dir(name), string(target))) {
			return fmt.Errorf("its link to %q leads out of the archive", target)
		}
		return root.Symlink(string(target), name)
	}
	return errors.New("it is neither a file, a folder nor a link")
}

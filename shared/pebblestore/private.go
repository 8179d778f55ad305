package pebblestore

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Only the owner can read what is on disk.
const (
	privateDir  fs.FileMode = 0o700
	privateFile fs.FileMode = 0o600
)

// privateFS is the disk. Its files are made for their owner only, whatever the umask.
type privateFS struct{ vfs.FS }

func (p privateFS) Unwrap() vfs.FS { return p.FS }

func (p privateFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := p.FS.Create(name, category)
	return private(name, file, err)
}

func (p privateFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := p.FS.OpenReadWrite(name, category, opts...)
	return private(name, file, err)
}

func (p privateFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := p.FS.ReuseForWrite(oldname, newname, category)
	return private(newname, file, err)
}

func (p privateFS) Lock(name string) (io.Closer, error) {
	lock, err := p.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	if err := chmod(name, privateFile); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// private makes a file that was opened private.
func private(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	if err := chmod(name, privateFile); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// chmod leaves the mode as it is where it can't be changed: on a file system without
// modes, or in somebody else's folder.
func chmod(name string, mode fs.FileMode) error {
	err := os.Chmod(name, mode)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// tighten makes a folder that is there private, and the database's files in it: versions
// before made them as the umask had it. A folder that holds anything else that others may
// read is shared with them on purpose, and keeps its mode.
func (p privateFS) tighten(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	shared := false
	for _, entry := range entries {
		info, err := entry.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist): // another process removed it
		case err != nil:
			return err
		case entry.Type().IsRegular() && isDatabaseFile(entry.Name()):
			if err := chmod(p.PathJoin(dir, entry.Name()), privateFile); err != nil {
				return err
			}
		case !entry.Type().IsRegular() || info.Mode().Perm() != privateFile:
			shared = true
		}
	}
	if shared {
		return nil
	}
	return chmod(dir, privateDir)
}

// isDatabaseFile reports whether a file has a name that pebble gives or the seal has.
func isDatabaseFile(name string) bool {
	switch path.Ext(name) {
	case ".log", ".sst", ".blob", ".dbtmp":
		return true
	}
	for _, prefix := range []string{"MANIFEST-", "OPTIONS-", "marker."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "LOCK" || name == "SEAL"
}

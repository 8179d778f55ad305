package pebblestore_test

import (
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// countingFS counts the fsyncs of write-ahead logs, and can delay them.
type countingFS struct {
	vfs.FS
	syncs atomic.Int64
	// gate, if set, is called before each.
	gate atomic.Pointer[func()]
}

func (c *countingFS) over(fs vfs.FS) *countingFS {
	if c.FS = fs; fs == nil {
		c.FS = vfs.Default
	}
	return c
}

func (c *countingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, category)
	return c.wrap(name, f), err
}

func (c *countingFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.ReuseForWrite(oldname, newname, category)
	return c.wrap(newname, f), err
}

func (c *countingFS) wrap(name string, f vfs.File) vfs.File {
	if f == nil || !strings.HasSuffix(name, ".log") {
		return f
	}
	return &countingFile{File: f, fs: c}
}

type countingFile struct {
	vfs.File
	fs *countingFS
}

func (f *countingFile) Sync() error     { f.fs.count(); return f.File.Sync() }
func (f *countingFile) SyncData() error { f.fs.count(); return f.File.SyncData() }

func (c *countingFS) count() {
	if gate := c.gate.Load(); gate != nil {
		(*gate)()
	}
	c.syncs.Add(1)
}

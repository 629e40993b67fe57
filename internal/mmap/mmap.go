// Package mmap gives read-only access to whole files without copying them.
//
// A checkpoint is opened to read its header and then, tensor by tensor, some
// of its bytes; mapping leaves the choice of what is in memory to the page
// cache. The package knows nothing of what the bytes mean.
//
// A mapped file must not be truncated while it is open: touching a page that
// is gone kills the process with SIGBUS. Everything compressc writes is
// written beside its destination and renamed over it, so its own files keep
// this promise.
package mmap

import (
	"fmt"
	"io"
	"os"

	mmapgo "github.com/edsrzf/mmap-go"
)

// File is the content of one file. Its methods may be called concurrently,
// except that Close must come last.
type File struct {
	data   []byte
	mapped mmapgo.MMap // nil when data was read into memory
}

// Open maps path read-only. Where a mapping is impossible (an empty file, a
// pipe, a file system without mmap) the content is read into memory instead.
// The file descriptor is not kept open.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("open %s: is a directory, expected a file", path)
	}
	// A mapping of length 0 is an error on every system, and the size of
	// anything but a regular file says nothing about its content.
	if info.Mode().IsRegular() && info.Size() > 0 && info.Size() <= maxInt {
		m, err := mmapgo.MapRegion(f, int(info.Size()), mmapgo.RDONLY, 0, 0)
		if err == nil {
			return &File{data: m, mapped: m}, nil
		}
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return &File{data: data}, nil
}

const maxInt = int64(^uint(0) >> 1)

// Bytes returns the whole content. The slice is valid until Close and must not
// be written to: writing to a mapped page is a fault, not an error.
func (f *File) Bytes() []byte { return f.data }

// Close releases the mapping; slices of Bytes must no longer be used. A second
// Close does nothing.
func (f *File) Close() error {
	f.data = nil
	if f.mapped == nil {
		return nil
	}
	m := f.mapped
	f.mapped = nil
	return m.Unmap()
}

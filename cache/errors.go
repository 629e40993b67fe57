package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize"
)

var (
	// ErrNotFound is in the chain of errors about a blob, entry or run that
	// the store does not have.
	ErrNotFound = errors.New("not in the cache")
	// ErrCorrupt is in the chain of errors about bytes that do not match
	// their digest. What was corrupt has been quarantined: a second look
	// finds nothing, and making the bytes again repairs the store.
	ErrCorrupt = errors.New("bytes do not match their digest")
	// ErrChanged is in the chain of errors about a source file that no longer
	// holds what was recorded, or changed while it was being read.
	ErrChanged = errors.New("source file has changed")
	// ErrInUse is in the chain of errors about something that another living
	// process relies on.
	ErrInUse = errors.New("in use by another process")
)

// A WriteError says that the store's folder could not be written to. Nothing
// half-written is visible after it.
type WriteError struct {
	Dir  string // the store's folder
	What string // what was being written, with its size where known
	Free int64  // free bytes on that file system, -1 if unknown
	Err  error
}

func (e *WriteError) Unwrap() error { return e.Err }

func (e *WriteError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cache folder %s: cannot write %s: %v", e.Dir, e.What, e.Err)
	if e.Free >= 0 {
		fmt.Fprintf(&b, " (%s free there)", humanize.IBytes(uint64(e.Free)))
	}
	switch {
	case errors.Is(e.Err, syscall.ENOSPC), errors.Is(e.Err, syscall.EDQUOT):
		b.WriteString(`; make room, for instance with "compressc cache gc --now", or choose another folder with --cache-dir`)
	case errors.Is(e.Err, syscall.EROFS), errors.Is(e.Err, fs.ErrPermission):
		b.WriteString("; make the folder writable or choose another one with --cache-dir")
	default:
		b.WriteString("; if the folder is at fault, choose another one with --cache-dir")
	}
	return b.String()
}

// writeError wraps err unless it is nil or already tells the same. size < 0
// means unknown.
func (s *Store) writeError(what string, size int64, err error) error {
	var already *WriteError
	if err == nil || errors.As(err, &already) {
		return err
	}
	if size >= 0 {
		what = fmt.Sprintf("%s (%s)", what, humanize.IBytes(uint64(size)))
	}
	return &WriteError{Dir: s.dir, What: what, Free: freeBytes(s.dir), Err: err}
}

// A VersionError says that a store was written by another layout version.
type VersionError struct {
	Dir       string
	Have      int // of the folder
	Supported int // of this program
}

func (e *VersionError) Error() string {
	if e.Have > e.Supported {
		return fmt.Sprintf("cache folder %s has layout version %d, this program knows versions up to %d; use a newer compressc or another folder with --cache-dir", e.Dir, e.Have, e.Supported)
	}
	return fmt.Sprintf("cache folder %s has layout version %d, this program needs %d; choose another folder with --cache-dir", e.Dir, e.Have, e.Supported)
}

// A MissingError lists the blobs that an entry promises and the store lacks.
type MissingError struct {
	Action Digest
	Blobs  []Digest
}

func (e *MissingError) Unwrap() error { return ErrNotFound }

func (e *MissingError) Error() string {
	return fmt.Sprintf("cache: entry of action %s: %d of its blobs are not in the cache, the first is %s; store the outputs before the entry", e.Action.Short(), len(e.Blobs), e.Blobs[0].Short())
}

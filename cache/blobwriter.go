package cache

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/compressc/compressc/cache/fault"
)

// Put stores data and returns its digest. If the blob exists nothing is
// written. The bytes are durable when Put returns; the name becomes durable
// with the PutEntry that names it, or with Sync. Put does not keep data.
func (s *Store) Put(data []byte) (Digest, error) {
	d := Sum(data)
	return d, s.PutAs(d, data)
}

// PutAs is Put of bytes whose digest the caller knows; they are not hashed
// again. Were it another one, or did the bytes change since, whoever opens the
// blob first, in this process and in each later one, finds it damaged, unless
// VerifyNone keeps it from looking.
func (s *Store) PutAs(d Digest, data []byte) error {
	if err := d.check("blob"); err != nil {
		return err
	}
	if ok, err := s.existing(d, int64(len(data))); ok || err != nil {
		return err
	}
	w, err := s.Writer()
	if err != nil {
		return err
	}
	w.hash = nil // known already
	if _, err := w.Write(data); err != nil {
		w.Abort()
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.finish(d)
}

// existing leases d and reports whether its blob is there with the right
// size. A blob of another size is damaged and is quarantined.
func (s *Store) existing(d Digest, size int64) (bool, error) {
	if err := s.Lease(d); err != nil {
		return false, err
	}
	info, err := s.statBlob(d)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cache: blob %s: %w", d.Short(), err)
	}
	if info.Size() != size {
		return false, s.quarantine(d, info, fmt.Sprintf("it has %d bytes, expected %d", info.Size(), size))
	}
	s.touch(s.shard(dirBlobs, d), info)
	return true, nil
}

// statBlob looks for the file of blob d, and takes it back from the trash if
// gc has put it there.
func (s *Store) statBlob(d Digest) (fs.FileInfo, error) {
	path := s.shard(dirBlobs, d)
	info, err := os.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return info, err
	}
	if err := s.untrash(d); err != nil {
		return nil, err
	}
	return os.Stat(path)
}

// untrash takes blob d back from the trash. The error is fs.ErrNotExist if it is
// not there.
func (s *Store) untrash(d Digest) error {
	path, trashed := s.shard(dirBlobs, d), filepath.Join(s.dir, dirTrash, string(d))
	if _, err := os.Stat(trashed); err != nil {
		return err
	}
	err := s.shared(func() error {
		err := s.fault.Hit(fault.Rename, path)
		if err == nil {
			err = os.Rename(trashed, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				return err
			}
			err = os.Rename(trashed, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.writeError("blob "+d.Short()+" back from the trash", -1, err)
	}
	return nil // if it is gone, somebody else has taken it back
}

// A BlobWriter streams one blob into the store. Nothing is visible before
// Commit. It must be ended by Commit or Abort and serves one goroutine.
type BlobWriter struct {
	s    *Store
	file *os.File
	buf  *bufio.Writer
	hash hash.Hash // nil in PutAs, which knows the digest
	size int64
	err  error // of an earlier write
	done bool
}

// writerBuffer makes one system call of many small writes; large writes
// bypass it.
const writerBuffer = 256 << 10

var writerBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writerBuffer) }}

// Writer starts a new blob.
func (s *Store) Writer() (*BlobWriter, error) {
	f, err := s.createTemp()
	if err != nil {
		return nil, s.writeError("a new blob", -1, err)
	}
	w := &BlobWriter{s: s, file: f, hash: sha256.New(), buf: writerBuffers.Get().(*bufio.Writer)}
	w.buf.Reset(faultyFile{s.fault, f})
	return w, nil
}

type faultyFile struct {
	set  *fault.Set
	file *os.File
}

func (f faultyFile) Write(b []byte) (int, error) {
	return f.set.Write(fault.Write, f.file.Name(), f.file, b)
}

// Write appends p to the blob.
func (w *BlobWriter) Write(p []byte) (int, error) {
	if w.done {
		return 0, fmt.Errorf("cache: write to a blob that is committed or aborted: %w", os.ErrClosed)
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.buf.Write(p)
	if w.hash != nil {
		w.hash.Write(p[:n])
	}
	w.size += int64(n)
	w.err = w.s.writeError("a blob, so far", w.size, err)
	return n, w.err
}

// Commit makes the blob visible and returns its digest and size. What Put says
// about durability holds here too. After an error nothing is visible.
func (w *BlobWriter) Commit() (Digest, int64, error) {
	if w.done {
		return "", 0, fmt.Errorf("cache: commit of a blob that is committed or aborted: %w", os.ErrClosed)
	}
	if err := w.flush(); err != nil {
		return "", 0, err
	}
	d := digestOf(w.hash)
	if ok, err := w.s.existing(d, w.size); ok || err != nil {
		w.Abort()
		return d, w.size, err
	}
	if err := w.finish(d); err != nil {
		return "", 0, err
	}
	return d, w.size, nil
}

// flush hands all bytes to the file. After an error the blob is dropped.
func (w *BlobWriter) flush() error {
	if w.err == nil {
		w.err = w.s.writeError("a blob", w.size, w.buf.Flush())
	}
	w.giveBuffer()
	if w.err != nil {
		w.Abort()
	}
	return w.err
}

// giveBuffer hands the buffer to the next writer. Nothing is written after it.
func (w *BlobWriter) giveBuffer() {
	if w.buf != nil {
		w.buf.Reset(nil)
		writerBuffers.Put(w.buf)
		w.buf = nil
	}
}

// finish gives the file, whose bytes have digest d, its place. d is leased.
func (w *BlobWriter) finish(d Digest) error {
	w.done = true
	err := w.s.finishTemp(w.file, w.size)
	if err == nil {
		err = w.s.place(w.file.Name(), w.s.shard(dirBlobs, d), replace)
	}
	if err == nil {
		w.s.wrote.Add(w.size)
		w.s.mu.Lock()
		delete(w.s.verified, d) // that was another file
		w.s.mu.Unlock()
	}
	return w.s.writeError("blob "+d.Short(), w.size, err)
}

// Abort drops the blob. After Commit or Abort it does nothing.
func (w *BlobWriter) Abort() {
	if w.done {
		return
	}
	w.done = true
	w.giveBuffer()
	if err := errors.Join(w.file.Close(), removeIfThere(w.file.Name())); err != nil {
		w.s.logf("cache: dropping %s: %v", w.file.Name(), err)
	}
}

package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/compressc/compressc/cache/fault"
)

// createTemp creates a file in tmp/ that is read-only to everybody but the
// returned handle. Its name carries the lease's identity, so that a later
// process can tell when nobody will finish it.
func (s *Store) createTemp() (*os.File, error) {
	name := s.lease.id + "." + strconv.FormatUint(s.seq.Add(1), 10)
	return os.OpenFile(filepath.Join(s.dir, dirTmp, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
}

// finishTemp checks that f holds size bytes, syncs and closes it. On an error
// the file is closed and removed.
func (s *Store) finishTemp(f *os.File, size int64) error {
	err := func() error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.Size() != size {
			return fmt.Errorf("%s has %d bytes after %d were written to it", f.Name(), info.Size(), size)
		}
		if err := s.fault.Hit(fault.Sync, f.Name()); err != nil {
			return err
		}
		return f.Sync()
	}()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return errors.Join(err, removeIfThere(f.Name()))
	}
	return nil
}

// How writeRecord and place treat a file that is there already.
type placing int

const (
	replace   placing = iota // put the new one in its place
	keepFirst                // fail with fs.ErrExist
)

// place gives a finished temporary file its final name and creates the shard
// folder if it has to. On an error the temporary file is gone.
func (s *Store) place(tmp, final string, how placing) error {
	move := func() error {
		if how == keepFirst {
			// Link, unlike rename, does not replace: of two processes, one wins.
			err := os.Link(tmp, final)
			if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
				return err
			}
			// A file system without links. Two processes that write the same
			// entry at one time then keep the second instead of the first.
			if _, err := os.Lstat(final); err == nil {
				return &os.LinkError{Op: "link", Old: tmp, New: final, Err: fs.ErrExist}
			}
		}
		return os.Rename(tmp, final)
	}
	err := s.fault.Hit(fault.Rename, final)
	if err == nil {
		err = move()
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(final), 0o777); err == nil {
			err = move()
		}
	}
	if err != nil || how == keepFirst {
		err = errors.Join(err, removeIfThere(tmp))
	}
	return err
}

// writeHint writes a small file that can be done without: its name is never
// half there, but a power cut may lose it or leave it damaged, which its seal
// shows. A sync for each tensor of a checkpoint would take seconds.
func (s *Store) writeHint(path string, data []byte, what string) error {
	f, err := s.createTemp()
	if err != nil {
		return s.writeError(what, int64(len(data)), err)
	}
	n, err := s.fault.Write(fault.Write, f.Name(), f, data)
	if err == nil && n != len(data) {
		err = io.ErrShortWrite
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return s.writeError(what, int64(len(data)), errors.Join(err, removeIfThere(f.Name())))
	}
	return s.writeError(what, int64(len(data)), s.place(f.Name(), path, replace))
}

// writeRecord writes a small file durably: afterwards it is there whole, also
// after a power cut, or not at all. Errors are *WriteError, except fs.ErrExist
// for keepFirst.
func (s *Store) writeRecord(path string, data []byte, what string, how placing) error {
	err := func() error {
		f, err := s.createTemp()
		if err != nil {
			return err
		}
		if _, err := s.fault.Write(fault.Write, f.Name(), f, data); err != nil {
			return errors.Join(err, f.Close(), removeIfThere(f.Name()))
		}
		if err := s.finishTemp(f, int64(len(data))); err != nil {
			return err
		}
		if err := s.place(f.Name(), path, how); err != nil {
			return err
		}
		return s.syncDirs(s.foldersOf(path))
	}()
	if errors.Is(err, fs.ErrExist) && how == keepFirst {
		return err
	}
	return s.writeError(what, int64(len(data)), err)
}

// foldersOf returns the folders to sync before the name path is durable: its
// own, and the parent when this process meets that shard for the first time,
// since another process may have created it and died before syncing.
func (s *Store) foldersOf(path string) []string {
	dir := filepath.Dir(path)
	dirs := []string{dir}
	if dir == s.dir {
		return dirs
	}
	s.mu.Lock()
	known := s.rooted[dir]
	s.mu.Unlock()
	for !known && dir != s.dir {
		dir = filepath.Dir(dir)
		dirs = append(dirs, dir)
	}
	return dirs
}

// Sync makes the names of blobs durable that have been Put: after it a power
// cut cannot lose them. PutEntry does this for the blobs of its outputs; Sync
// is for blobs that something outside the store will name.
func (s *Store) Sync(digests ...Digest) error {
	var dirs []string
	s.mu.Lock()
	todo := make([]Digest, 0, len(digests))
	for _, d := range digests {
		if !s.durable[d] {
			todo = append(todo, d)
		}
	}
	s.mu.Unlock()
	for _, d := range todo {
		if err := d.check("sync"); err != nil {
			return err
		}
		dirs = append(dirs, s.foldersOf(s.shard(dirBlobs, d))...)
	}
	if err := s.syncDirs(dirs); err != nil {
		return s.writeError(fmt.Sprintf("the names of %d blobs", len(todo)), -1, err)
	}
	s.mu.Lock()
	for _, d := range todo {
		s.durable[d] = true
	}
	s.mu.Unlock()
	return nil
}

// syncParallel is how many folders are synced at once. The file system's
// journal serves neighbouring syncs with one commit.
const syncParallel = 8

func (s *Store) syncDirs(dirs []string) error {
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	var g errgroup.Group
	g.SetLimit(syncParallel)
	for _, d := range dirs {
		g.Go(func() error { return s.syncDir(d) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	s.mu.Lock()
	for _, d := range dirs {
		if d != s.dir {
			s.rooted[d] = true
		}
	}
	s.mu.Unlock()
	return nil
}

func (s *Store) syncDir(dir string) error {
	if err := s.fault.Hit(fault.SyncDir, dir); err != nil {
		return err
	}
	if !canSyncDirs {
		return nil
	}
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a shard that holds no blob: its digests are external ones
	}
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // this file system orders names by itself, or cannot do better
	}
	return errors.Join(err, f.Close())
}

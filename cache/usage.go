package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"
)

// A Count is a number of files and their lengths together.
type Count struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

func (c *Count) add(bytes int64) {
	c.Files++
	c.Bytes += bytes
}

// Usage says what takes how much room in a store.
type Usage struct {
	Blobs       Count `json:"blobs"`
	Entries     Count `json:"entries"`
	Definitions Count `json:"definitions"`
	Externals   Count `json:"externals"` // records; ExternalBytes is what they point to
	Stats       Count `json:"stats"`     // remembered digests of source files
	Memos       Count `json:"memos"`     // what runs without work go by
	Taints      Count `json:"taints"`
	Runs        Count `json:"runs"`
	Pins        Count `json:"pins"`
	Leases      Count `json:"leases"`
	Locks       Count `json:"locks"`
	Tmp         Count `json:"tmp"`
	Trash       Count `json:"trash"`
	Quarantine  Count `json:"quarantine"`
	// ExternalBytes lie in source files, outside the store.
	ExternalBytes int64 `json:"external_bytes"`
}

// Total returns all files inside the store's folder.
func (u Usage) Total() Count {
	var t Count
	for _, c := range []Count{u.Blobs, u.Entries, u.Definitions, u.Externals, u.Stats, u.Memos, u.Taints, u.Runs, u.Pins, u.Leases, u.Locks, u.Tmp, u.Trash, u.Quarantine} {
		t.Files += c.Files
		t.Bytes += c.Bytes
	}
	return t
}

// Usage measures the store. Files that come or go meanwhile may or may not be
// counted.
func (s *Store) Usage() (Usage, error) {
	var u Usage
	for _, k := range []struct {
		dir string
		c   *Count
	}{
		{dirBlobs, &u.Blobs}, {dirAct, &u.Entries}, {dirDef, &u.Definitions},
		{dirExt, &u.Externals}, {dirStat, &u.Stats}, {dirMemo, &u.Memos}, {dirTaint, &u.Taints},
		{dirRuns, &u.Runs}, {dirPins, &u.Pins}, {dirLeases, &u.Leases}, {dirLocks, &u.Locks},
		{dirTmp, &u.Tmp}, {dirTrash, &u.Trash}, {dirQuarantine, &u.Quarantine},
	} {
		for f, err := range s.files(k.dir) {
			if err != nil {
				return Usage{}, err
			}
			if f.name == removalLock || f.name == gcLock {
				continue
			}
			k.c.add(f.size)
			if k.dir == dirExt {
				for _, loc := range s.locations(Digest(f.name)) {
					u.ExternalBytes += loc.Length
					break // further ones are the same bytes
				}
			}
		}
	}
	return u, nil
}

// Entries yields all readable entries of the index, in the order of their
// action keys. It does not lease them.
func (s *Store) Entries() iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		for f, err := range s.files(dirAct) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !Digest(f.name).Valid() {
				continue // Check reports it
			}
			e, _, err := s.readEntry(Digest(f.name))
			if err != nil && !yield(nil, err) {
				return
			}
			if e == nil {
				continue
			}
			e.Used = f.changed()
			if !yield(e, nil) {
				return
			}
		}
	}
}

// file is a file met on a walk. There may be hundreds of thousands in memory, so
// that it holds no more of them than is asked for.
type file struct {
	name string // without folders
	dir  string // the same string for all files of a folder
	size int64
	time int64 // of its last change, in nanoseconds since 1970
}

func (f file) path() string { return filepath.Join(f.dir, f.name) }

// changed is when the file was changed last.
func (f file) changed() time.Time { return time.Unix(0, f.time) }

// files yields the plain files in a folder of the layout and in its shards, in
// the order of their names. Files that vanish meanwhile are passed over. After
// an error it ends.
func (s *Store) files(kind string) iter.Seq2[file, error] {
	return func(yield func(file, error) bool) {
		s.walk(filepath.Join(s.dir, kind), yield)
	}
}

func (s *Store) walk(dir string, yield func(file, error) bool) bool {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		yield(file{}, fmt.Errorf("cache: %w", err))
		return false
	}
	for _, n := range names {
		if n.IsDir() {
			if !s.walk(filepath.Join(dir, n.Name()), yield) {
				return false
			}
			continue
		}
		info, err := n.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			yield(file{}, fmt.Errorf("cache: %w", err))
			return false
		}
		if !yield(file{n.Name(), dir, info.Size(), info.ModTime().UnixNano()}, nil) {
			return false
		}
	}
	return true
}

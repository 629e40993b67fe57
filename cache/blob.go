package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/edsrzf/mmap-go"
)

// A Blob is a blob's bytes mapped into memory. Several Blobs of one digest
// share one mapping. It may be read from several goroutines.
type Blob struct {
	s        *Store
	m        *mapping
	released atomic.Bool
}

// mapping is the memory behind the Blobs of one digest. refs is guarded by
// Store.mu; the rest is written before ready is closed and not after.
type mapping struct {
	digest Digest
	refs   int
	ready  chan struct{}
	err    error

	region mmap.MMap // what was mapped, from a page boundary; nil if empty
	data   []byte
	info   fs.FileInfo // of a stored blob's file
	source *location   // of an external blob, else nil
}

// Bytes returns the blob's bytes. They must not be written to (that faults)
// and not be used after Release.
func (b *Blob) Bytes() []byte {
	if b.released.Load() {
		panic("cache: Blob used after Release")
	}
	return b.m.data
}

// Digest returns the blob's digest.
func (b *Blob) Digest() Digest { return b.m.digest }

// Check tells, for an external blob, whether its source file has been changed
// since it was opened: the error has ErrChanged in its chain, and what was
// computed from the bytes must be thrown away. For a stored blob it is nil.
func (b *Blob) Check() error {
	if b.m.source == nil {
		return nil
	}
	return b.m.source.unchanged()
}

// Release gives the mapping up. Calling it again does nothing.
func (b *Blob) Release() {
	if b.released.Swap(true) {
		return
	}
	b.s.unref(b.m)
}

func (s *Store) unref(m *mapping) {
	s.mu.Lock()
	m.refs--
	last := m.refs == 0
	if last && s.maps[m.digest] == m {
		delete(s.maps, m.digest)
	}
	s.mu.Unlock()
	if last {
		m.unmap()
	}
}

func (m *mapping) unmap() {
	if m.region != nil {
		// Fails only for memory that is not mapped, which would be a bug here.
		if err := m.region.Unmap(); err != nil {
			panic(fmt.Sprintf("cache: unmap blob %s: %v", m.digest, err))
		}
	}
	m.region, m.data = nil, nil
}

// mapRange maps length bytes of f from offset on.
func (m *mapping) mapRange(f *os.File, offset, length int64) error {
	if length == 0 {
		m.data = []byte{}
		return nil
	}
	if int64(int(length)) != length {
		return fmt.Errorf("%d bytes do not fit this machine's address space", length)
	}
	// Mappings start at page boundaries; on Windows at 64 KiB.
	const boundary = 64 << 10
	start := offset / boundary * boundary
	region, err := mmap.MapRegion(f, int(offset-start+length), mmap.RDONLY, 0, start)
	if err != nil {
		return fmt.Errorf("map %s: %w", f.Name(), err)
	}
	m.region = region
	m.data = region[offset-start : offset-start+length : offset-start+length]
	return nil
}

// Has reports whether the blob exists, stored or external. Since the digest is
// leased first, a stored blob stays while this process has the store open.
// The bytes are not looked at.
func (s *Store) Has(d Digest) bool {
	_, err := s.Size(d)
	return err == nil
}

// Size returns the blob's size in bytes; the error has ErrNotFound in its
// chain if there is no such blob.
func (s *Store) Size(d Digest) (int64, error) {
	if err := d.check("blob"); err != nil {
		return 0, err
	}
	if err := s.Lease(d); err != nil {
		return 0, err
	}
	info, err := s.statBlob(d)
	if err == nil {
		return info.Size(), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("cache: blob %s: %w", d.Short(), err)
	}
	for _, loc := range s.locations(d) {
		if info, err := os.Stat(loc.Path); err == nil && info.Size() >= loc.Offset+loc.Length {
			return loc.Length, nil
		}
	}
	return 0, fmt.Errorf("cache: blob %s: %w", d, ErrNotFound)
}

// Open maps the blob into memory. A stored blob is preferred to an external
// one. Errors have ErrNotFound, ErrCorrupt or ErrChanged in their chains; in
// all three cases making the bytes again and Put repairs. The caller must
// Release the Blob.
func (s *Store) Open(d Digest) (*Blob, error) {
	if err := d.check("blob"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	m := s.maps[d]
	if m == nil {
		m = &mapping{digest: d, refs: 1, ready: make(chan struct{})}
		s.maps[d] = m
		s.mu.Unlock()
		m.err = s.load(m)
		close(m.ready)
	} else {
		m.refs++
		s.mu.Unlock()
		<-m.ready
		if m.err == nil && s.opts.Verify == VerifyFull && Sum(m.data) != d {
			err := s.damaged(m)
			s.unref(m)
			return nil, err
		}
	}
	if m.err != nil {
		s.unref(m)
		return nil, m.err
	}
	return &Blob{s: s, m: m}, nil
}

// load fills m from the store or, failing that, from a source file.
func (s *Store) load(m *mapping) error {
	if err := s.Lease(m.digest); err != nil {
		return err
	}
	err := s.loadStored(m)
	if err == nil {
		return nil
	}
	if extErr := s.loadExternal(m); extErr == nil {
		return nil
	} else if errors.Is(err, ErrNotFound) && !errors.Is(extErr, ErrNotFound) {
		return extErr
	}
	return err
}

func (s *Store) loadStored(m *mapping) error {
	d := m.digest
	path := s.shard(dirBlobs, d)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.untrash(d); err == nil {
			f, err = os.Open(path)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cache: blob %s: %w", d, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("cache: blob %s: %w", d.Short(), err)
	}
	defer f.Close() // a mapping outlives its file handle
	if m.info, err = f.Stat(); err != nil {
		return fmt.Errorf("cache: blob %s: %w", d.Short(), err)
	}
	if err := m.mapRange(f, 0, m.info.Size()); err != nil {
		return fmt.Errorf("cache: blob %s: %w", d.Short(), err)
	}
	if s.mustHash(m) {
		if Sum(m.data) != d {
			err := s.damaged(m)
			m.unmap()
			return err
		}
		s.mu.Lock()
		s.verified[d] = m.info
		s.mu.Unlock()
	}
	s.touch(path, m.info)
	return nil
}

func (s *Store) mustHash(m *mapping) bool {
	switch s.opts.Verify {
	case VerifyNone:
		return false
	case VerifyFull:
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.verified[m.digest]
	return v == nil || v.Size() != m.info.Size() || !os.SameFile(v, m.info)
}

// damaged deals with a mapping whose bytes are not its digest's and returns
// the error for it. Later Opens do not share the mapping.
func (s *Store) damaged(m *mapping) error {
	s.mu.Lock()
	if s.maps[m.digest] == m {
		delete(s.maps, m.digest)
	}
	delete(s.verified, m.digest)
	s.mu.Unlock()
	if m.source != nil {
		return m.source.changed("its content is another")
	}
	const why = "its content has another digest"
	if err := s.quarantine(m.digest, m.info, why); err != nil {
		return err
	}
	return fmt.Errorf("cache: blob %s: %s: %w; it has been moved to %s", m.digest, why, ErrCorrupt, filepath.Join(s.dir, dirQuarantine))
}

// quarantine moves the file of blob d out of the way, if it still is the file
// that info describes: another process may have replaced it by a good one.
func (s *Store) quarantine(d Digest, info fs.FileInfo, why string) error {
	path := s.shard(dirBlobs, d)
	to := filepath.Join(s.dir, dirQuarantine, string(d)+"."+s.lease.id+"."+strconv.FormatUint(s.seq.Add(1), 10))
	err := s.exclusive(func() error {
		now, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, info) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.invalidate(); err != nil {
			return err
		}
		return os.Rename(path, to)
	})
	if err != nil {
		return s.writeError("the damaged blob "+d.Short()+" into quarantine", info.Size(), err)
	}
	s.mu.Lock()
	delete(s.durable, d)
	s.mu.Unlock()
	s.logf("cache: blob %s is damaged (%s); moved it to %s", d, why, to)
	return nil
}

// Remove takes stored blobs out of the store, for checkpoints that are no
// longer needed, and returns how many were there. If other living processes rely
// on some, the others go, and the error has ErrInUse in its chain. A durable
// output that names the same bytes becomes a miss. Blobs mapped by this process
// stay readable.
func (s *Store) Remove(digests ...Digest) (int, error) {
	for _, d := range digests {
		if err := d.check("blob"); err != nil {
			return 0, err
		}
	}
	var gone []Digest // or never there
	removed := 0
	err := s.exclusive(func() error {
		ls := s.newLeases(s.lease.id)
		if err := ls.refresh(); err != nil {
			return err
		}
		free := slices.DeleteFunc(slices.Clone(digests), func(d Digest) bool { return ls.held[d] })
		if len(free) > 0 {
			if err := s.invalidate(); err != nil {
				return err
			}
		}
		for _, d := range free {
			there, err := s.removeFile(s.shard(dirBlobs, d))
			if err != nil {
				return err
			}
			gone = append(gone, d)
			if there {
				removed++
			}
		}
		if n := len(digests) - len(free); n > 0 {
			return fmt.Errorf("cache: remove %d of %d blobs: %w", n, len(digests), ErrInUse)
		}
		return nil
	})
	s.mu.Lock()
	for _, d := range gone {
		delete(s.verified, d)
		delete(s.durable, d)
	}
	s.mu.Unlock()
	return removed, err
}

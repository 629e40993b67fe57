package cache

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/gofrs/flock"

	"github.com/compressc/compressc/cache/fault"
)

const (
	leaseSuffix = ".lease"
	removalLock = "removal.lock"
)

// A lease is one locked file: while its process lives, nobody else can lock
// it, and nothing it lists is removed. Its identity names the process's files
// in tmp/ too, because a process number alone may mean another process in
// another container, or be used again.
type lease struct {
	id   string // PID-RANDOM
	path string
	lock *flock.Flock

	mu   sync.Mutex
	file *os.File
	held map[Digest]bool
}

func (s *Store) newLease() (*lease, error) {
	var random [6]byte
	rand.Read(random[:]) // never fails since Go 1.24
	l := &lease{
		id:   strconv.Itoa(os.Getpid()) + "-" + hex.EncodeToString(random[:]),
		held: make(map[Digest]bool),
	}
	l.path = filepath.Join(s.dir, dirLeases, l.id+leaseSuffix)
	// Between creating the file and locking it, it looks like a dead
	// process's; the removal lock keeps sweepers out.
	err := s.shared(func() error {
		f, err := os.OpenFile(l.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		l.file = f
		l.lock = flock.New(l.path)
		ok, err := l.lock.TryLock()
		if err == nil && !ok {
			err = errors.New("the file was created and locked by somebody else")
		}
		if err != nil {
			return errors.Join(fmt.Errorf("lock %s: %w", l.path, err), f.Close(), os.Remove(l.path))
		}
		return nil
	})
	if err != nil {
		return nil, s.writeError("this process's lease", -1, err)
	}
	return l, nil
}

func (l *lease) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Removed while still locked: nobody can find it unlocked.
	return errors.Join(os.Remove(l.path), l.file.Close(), l.lock.Unlock())
}

// Lease adds digests (of blobs or action keys) to those that this process
// relies on until it closes the store: no gc and no Remove of another process
// takes them. All methods that look for a blob or an entry lease it first;
// Lease is for digests that will be wanted later, such as a plan's.
func (s *Store) Lease(digests ...Digest) error {
	l := s.lease
	l.mu.Lock()
	defer l.mu.Unlock()
	// Each digest is written after a newline, not before one: a line that a
	// full disk cut short then cannot swallow the next.
	var buf []byte
	for _, d := range digests {
		if l.held[d] {
			continue
		}
		if err := d.check("lease"); err != nil {
			return err
		}
		buf = append(buf, '\n')
		buf = append(buf, d...)
	}
	if len(buf) == 0 {
		return nil
	}
	err := s.shared(func() error {
		n, err := s.fault.Write(fault.Lease, l.path, l.file, buf)
		if err == nil && n != len(buf) {
			err = fmt.Errorf("lease %s: wrote %d of %d bytes", l.path, n, len(buf))
		}
		return err
	})
	if err != nil {
		return s.writeError("this process's lease", -1, err)
	}
	for _, d := range digests {
		l.held[d] = true
	}
	return nil
}

// shared runs fn while no other process, and no other goroutine, removes
// anything. fn must not call shared or exclusive.
func (s *Store) shared(fn func() error) error {
	return s.withRemovalLock((*flock.Flock).RLock, fn)
}

// exclusive runs fn while nobody adds to a lease. fn must be short, and must
// not call shared or exclusive.
func (s *Store) exclusive(fn func() error) error {
	return s.withRemovalLock((*flock.Flock).Lock, fn)
}

func (s *Store) withRemovalLock(take func(*flock.Flock) error, fn func() error) error {
	// A file handle of its own each time: flock(2) locks belong to handles, so
	// goroutines exclude each other as processes do.
	l := flock.New(filepath.Join(s.dir, dirLeases, removalLock), flock.SetPermissions(0o644))
	if err := take(l); err != nil {
		return s.writeError("the removal lock", -1, err)
	}
	err := fn()
	if unlockErr := l.Unlock(); err == nil && unlockErr != nil {
		err = fmt.Errorf("cache: unlock %s: %w", l.Path(), unlockErr)
	}
	return err
}

// leases is what living processes rely on, as far as it has been read.
type leases struct {
	s       *Store
	without string           // a lease identity that does not count, or ""
	read    map[string]int64 // how much of each file has been read
	live    map[string]bool  // identities of living processes, of the last refresh
	held    map[Digest]bool
}

func (s *Store) newLeases(without string) *leases {
	return &leases{s: s, without: without, read: make(map[string]int64), held: make(map[Digest]bool)}
}

// refresh reads what has been added since, and removes the files of dead
// processes. What a process held when it died stays held in ls. To be called
// under the removal lock, held exclusively.
func (ls *leases) refresh() error {
	dir := filepath.Join(ls.s.dir, dirLeases)
	names, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cache: leases: %w", err)
	}
	ls.live = make(map[string]bool)
	for _, n := range names {
		id, ok := strings.CutSuffix(n.Name(), leaseSuffix)
		if !ok {
			continue
		}
		path := filepath.Join(dir, n.Name())
		lock := flock.New(path)
		dead, err := lock.TryLock()
		if err != nil {
			return fmt.Errorf("cache: lease %s: %w", path, err)
		}
		if dead {
			if err := errors.Join(removeIfThere(path), lock.Unlock()); err != nil {
				return fmt.Errorf("cache: lease %s of a dead process: %w", path, err)
			}
			continue
		}
		ls.live[id] = true
		if id == ls.without {
			continue
		}
		if err := ls.readFile(path); err != nil {
			return err
		}
	}
	return nil
}

func (ls *leases) readFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its process ended just now
	}
	if err != nil {
		return fmt.Errorf("cache: lease: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cache: lease: %w", err)
	}
	buf := make([]byte, info.Size()-ls.read[path])
	n, err := f.ReadAt(buf, ls.read[path])
	if n < len(buf) {
		return fmt.Errorf("cache: lease %s: %w", path, err)
	}
	for line := range bytes.SplitSeq(buf, []byte{'\n'}) {
		if d := Digest(line); d.Valid() {
			ls.held[d] = true
		}
	}
	ls.read[path] = info.Size()
	return nil
}

// sweep removes the leases and the tmp files of dead processes.
func (s *Store) sweep() error {
	foreign := false
	for _, d := range []string{dirTmp, dirLeases} {
		names, err := os.ReadDir(filepath.Join(s.dir, d))
		if err != nil {
			return err
		}
		for _, n := range names {
			isLock := n.Name() == removalLock || n.Name() == gcLock
			foreign = foreign || !isLock && !strings.HasPrefix(n.Name(), s.lease.id+".")
		}
	}
	if !foreign {
		return nil // the normal case needs no lock
	}
	return s.exclusive(func() error {
		ls := s.newLeases("")
		if err := ls.refresh(); err != nil {
			return err
		}
		return s.sweepTmp(ls.live)
	})
}

func (s *Store) sweepTmp(live map[string]bool) error {
	dir := filepath.Join(s.dir, dirTmp)
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if id, _, _ := strings.Cut(n.Name(), "."); live[id] {
			continue
		}
		if err := removeIfThere(filepath.Join(dir, n.Name())); err != nil {
			return err
		}
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

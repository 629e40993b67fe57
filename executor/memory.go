package executor

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/mmap"
)

// memory holds the leaves of transient outputs, by digest: equal leaves of
// several outputs are held once. It is safe for concurrent use.
type memory struct {
	budget int64
	dir    string // for spilled leaves
	logf   func(format string, args ...any)
	// dropped is told of bytes that have become garbage.
	dropped func(bytes int64)

	mu       sync.Mutex
	leaves   map[artifact.Digest]*memLeaf
	live     int64 // bytes on the heap
	reserved int64 // what running jobs are still expected to take, and flying
	flying   int64 // leaves on their way to the store that no reservation counts any more
	peak     int64 // most bytes on the heap so far
	spilled  int64 // bytes written to spill files so far
	spills   bool  // false once spilling has failed: the disk may be full
}

// memLeaf is one leaf's bytes. All fields are guarded by memory.mu.
type memLeaf struct {
	digest artifact.Digest
	data   []byte
	file   *mmap.File // where data lies once spilled, else nil
	path   string     // of a file that could not be unlinked while mapped
	refs   int
	// rank orders leaves by when they will be needed: the higher, the sooner.
	rank    float64
	writing bool // being spilled
}

func newMemory(budget int64, dir string, logf func(string, ...any), dropped func(int64)) *memory {
	return &memory{budget: budget, dir: dir, logf: logf, dropped: dropped, leaves: map[artifact.Digest]*memLeaf{}, spills: true}
}

// add takes ownership of data and returns its leaf with a reference for the
// caller. reserved bytes of the caller's reservation turn into live ones. When
// the budget is exceeded, leaves are spilled.
func (m *memory) add(d artifact.Digest, data []byte, rank float64, reserved *int64) *memLeaf {
	n := int64(len(data))
	m.mu.Lock()
	if l := m.leaves[d]; l != nil {
		l.refs++
		l.rank = max(l.rank, rank)
		m.mu.Unlock()
		return l
	}
	l := &memLeaf{digest: d, data: data, refs: 1, rank: rank}
	m.leaves[d] = l
	m.live += n
	took := min(n, *reserved)
	*reserved -= took
	m.reserved -= took
	over := m.live+m.reserved > m.budget
	m.peak = max(m.peak, m.live)
	m.mu.Unlock()
	if over {
		m.makeRoom(0, nil)
	}
	return l
}

// get returns the leaf with a reference for the caller, or nil.
func (m *memory) get(d artifact.Digest) *memLeaf {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.leaves[d]
	if l != nil {
		l.refs++
	}
	return l
}

// bytes returns the leaf's bytes, which stay valid while the caller holds its
// reference: spilling replaces the slice but leaves the old one to the
// collector.
func (m *memory) bytes(l *memLeaf) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return l.data
}

// empty reports whether no leaf is held.
func (m *memory) empty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.leaves) == 0
}

// heapBytes returns how much of the leaves is on the heap.
func (m *memory) heapBytes(ls []*memLeaf) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var n int64
	for _, l := range ls {
		if l.file == nil {
			n += int64(len(l.data))
		}
	}
	return n
}

// release gives references up; a leaf without any is gone.
func (m *memory) release(ls ...*memLeaf) {
	var files []*memLeaf
	var most int64
	m.mu.Lock()
	for _, l := range ls {
		l.refs--
		if l.refs > 0 {
			continue
		}
		if l.refs < 0 {
			panic("executor: a leaf is released too often")
		}
		delete(m.leaves, l.digest)
		if l.file != nil {
			files = append(files, l)
		} else {
			m.live -= int64(len(l.data))
			most = max(most, int64(len(l.data)))
		}
		l.data = nil
	}
	m.mu.Unlock()
	m.dropped(most)
	for _, l := range files {
		m.unmap(l.file, l.path)
	}
}

// releaseHeap releases the leaf if it has always been on the heap, and reports
// whether it did.
func (m *memory) releaseHeap(l *memLeaf) bool {
	m.mu.Lock()
	heap := l.file == nil
	m.mu.Unlock()
	// It may be spilled now; that leaves the slice it was to the collector.
	if heap {
		m.release(l)
	}
	return heap
}

func (m *memory) unmap(f *mmap.File, path string) {
	if err := f.Close(); err != nil {
		m.logf("executor: unmapping a spilled leaf: %v", err)
	}
	if path != "" {
		if err := os.Remove(path); err != nil {
			m.logf("executor: removing a spilled leaf: %v", err)
		}
	}
}

// setRank says when the leaf will be needed.
func (m *memory) setRank(l *memLeaf, rank float64) {
	m.mu.Lock()
	l.rank = rank
	m.mu.Unlock()
}

// reserve books n bytes for a job if they fit.
func (m *memory) reserve(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live+m.reserved+n > m.budget {
		return false
	}
	m.reserved += n
	return true
}

// force books n bytes whether they fit or not.
func (m *memory) force(n int64) {
	m.mu.Lock()
	m.reserved += n
	m.mu.Unlock()
}

// fly counts n more bytes on their way to the store, or fewer.
func (m *memory) fly(n int64) {
	m.mu.Lock()
	m.flying += n
	m.reserved += n
	m.mu.Unlock()
}

// flies reports whether memory will come free when leaves are stored.
func (m *memory) flies() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.flying > 0
}

// unreserve gives back what is left of a reservation.
func (m *memory) unreserve(left *int64) {
	m.mu.Lock()
	m.reserved -= *left
	*left = 0
	m.mu.Unlock()
}

// usage returns the live bytes, reservations included, and the peak of the
// live bytes alone.
func (m *memory) usage() (live, reserved, peak, spilled int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live, m.reserved, m.peak, m.spilled
}

// makeRoom spills leaves, the one needed latest first, until need more bytes
// fit. Leaves that keep reports are left alone.
func (m *memory) makeRoom(need int64, keep func(artifact.Digest) bool) {
	for {
		m.mu.Lock()
		var victim *memLeaf
		if m.spills && m.live+m.reserved+need > m.budget {
			for d, l := range m.leaves {
				if l.file != nil || l.writing || len(l.data) < minSpill || keep != nil && keep(d) {
					continue
				}
				// Ties go to the digest, so that a schedule can be repeated.
				if victim == nil || l.rank < victim.rank || l.rank == victim.rank && l.digest < victim.digest {
					victim = l
				}
			}
		}
		if victim == nil {
			m.mu.Unlock()
			return
		}
		victim.writing = true
		victim.refs++ // keeps it from being released while it is written
		data := victim.data
		m.mu.Unlock()

		file, path, err := m.spill(data)

		m.mu.Lock()
		victim.writing = false
		if err != nil {
			// Memory above the budget is better than a failed run.
			m.spills = false
			m.logf("executor: spilling %d bytes: %v; the run goes on in memory", len(data), err)
		} else {
			victim.file, victim.path, victim.data = file, path, file.Bytes()
			m.live -= int64(len(data))
			m.spilled += int64(len(data))
		}
		m.mu.Unlock()
		m.release(victim)
		if err == nil {
			m.dropped(int64(len(data)))
		}
	}
}

// minSpill is the size below which a file of its own is not worth it.
const minSpill = 64 << 10

// spill writes data to a file and maps it. The file is unlinked at once, so
// that it goes with the process; where that is impossible its path is returned
// and it is removed on release.
func (m *memory) spill(data []byte) (*mmap.File, string, error) {
	f, err := os.CreateTemp(m.dir, "spill-*")
	if err != nil {
		return nil, "", err
	}
	path := f.Name()
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	var mapped *mmap.File
	if err == nil {
		mapped, err = mmap.Open(path)
	}
	if err == nil && len(mapped.Bytes()) != len(data) {
		err = fmt.Errorf("%s: wrote %d bytes, found %d", filepath.Base(path), len(data), len(mapped.Bytes()))
	}
	if rerr := os.Remove(path); rerr == nil || os.IsNotExist(rerr) {
		path = ""
	}
	if err != nil {
		if mapped != nil {
			mapped.Close()
		}
		return nil, "", err
	}
	return mapped, path, nil
}

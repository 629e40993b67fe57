package executor

import (
	"sync"

	"github.com/compressc/compressc/internal/artifact"
)

// smallLeaf is the size up to which any leaf is read while it is on its way to
// the store. The memory of larger ones is counted only as long as they are on
// their way, and whoever reads them may hold them longer: that many bytes may be
// read so, and of what goes beyond the mapped file is awaited.
const (
	smallLeaf = 1 << 20
	maxLent   = 64 << 20
)

// air knows the leaves on their way to the store, so that whoever reads them
// does not wait for the disk. It is safe for concurrent use.
type air struct {
	mu     sync.Mutex
	leaves map[artifact.Digest]*landing
	lent   int64 // bytes of larger leaves that are being read
	bound  int64 // of lent
}

// landing is one leaf on its way.
type landing struct {
	data []byte
	lent bool          // somebody has read it; guarded by air.mu
	done chan struct{} // closed when it is stored, or that has failed
	err  error         // why it has; to be read after done
}

func newAir(bound int64) *air { return &air{leaves: map[artifact.Digest]*landing{}, bound: bound} }

// takeOff adds a leaf. The landing is nil if an equal one is on its way.
func (a *air) takeOff(d artifact.Digest, data []byte) *landing {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaves[d] != nil {
		return nil
	}
	l := &landing{data: data, done: make(chan struct{})}
	a.leaves[d] = l
	return l
}

// land ends what takeOff began: nobody gets the leaf any more. It reports
// whether somebody did.
func (a *air) land(d artifact.Digest, l *landing) (lent bool) {
	if l == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.leaves, d)
	return l.lent
}

// landed lets those go on that wait for the leaf's file, which is there unless
// err says why not.
func (l *landing) landed(err error) {
	if l != nil {
		l.err = err
		close(l.done)
	}
}

// get returns the leaf's landing, or nil.
func (a *air) get(d artifact.Digest) *landing {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.leaves[d]
}

// lend returns a leaf's landing, or nil. If ok, its bytes may be read until the
// count n is given back; otherwise the end of its way is to be awaited.
func (a *air) lend(d artifact.Digest) (l *landing, n int64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l = a.leaves[d]
	if l == nil {
		return nil, 0, false
	}
	if len(l.data) > smallLeaf {
		n = int64(len(l.data))
	}
	if n > 0 && a.lent+n > a.bound {
		return l, 0, false
	}
	a.lent += n
	l.lent = true
	return l, n, true
}

// giveBack ends the reading of n lent bytes.
func (a *air) giveBack(n int64) {
	a.mu.Lock()
	a.lent -= n
	a.mu.Unlock()
}

package executor

import (
	"sync"

	"github.com/compressc/compressc/internal/artifact"
)

// smallLeaf is the size up to which a leaf is read while it is on its way to
// the store. Of a larger one the mapped file is awaited: its memory is counted
// only as long as it is on its way.
const smallLeaf = 1 << 20

// air knows the leaves on their way to the store, so that whoever reads them
// does not wait for the disk. It is safe for concurrent use.
type air struct {
	mu     sync.Mutex
	leaves map[artifact.Digest]*landing
}

// landing is one leaf on its way.
type landing struct {
	data []byte
	done chan struct{} // closed when it is stored, or that has failed
}

func newAir() *air { return &air{leaves: map[artifact.Digest]*landing{}} }

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

// land ends what takeOff began.
func (a *air) land(d artifact.Digest, l *landing) {
	if l == nil {
		return
	}
	a.mu.Lock()
	delete(a.leaves, d)
	a.mu.Unlock()
	close(l.done)
}

// get returns the leaf's landing, or nil.
func (a *air) get(d artifact.Digest) *landing {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.leaves[d]
}

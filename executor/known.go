package executor

import (
	"sync"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/artifact"
)

// blobSet remembers which blobs the store is known to have. A blob that this
// process relies on is leased, so it stays, unless it turns out to be damaged
// or this process removes it. It is safe for concurrent use.
type blobSet struct {
	store *cache.Store
	mu    sync.Mutex
	set   map[artifact.Digest]bool
}

func newBlobSet(s *cache.Store) *blobSet {
	return &blobSet{store: s, set: map[artifact.Digest]bool{}}
}

// missing returns those of the digests that the store lacks, each once.
func (b *blobSet) missing(digests []artifact.Digest) ([]artifact.Digest, error) {
	var ask []cache.Digest
	b.mu.Lock()
	seen := map[artifact.Digest]bool{}
	for _, d := range digests {
		if !b.set[d] && !seen[d] {
			seen[d] = true
			ask = append(ask, cache.Digest(d))
		}
	}
	b.mu.Unlock()
	if len(ask) == 0 {
		return nil, nil
	}
	// One append to the lease instead of one each.
	if err := b.store.Lease(ask...); err != nil {
		return nil, err
	}
	var gone []artifact.Digest
	for _, d := range ask {
		if b.store.Has(d) {
			b.add(artifact.Digest(d))
		} else {
			gone = append(gone, artifact.Digest(d))
		}
	}
	return gone, nil
}

func (b *blobSet) add(d artifact.Digest) {
	b.mu.Lock()
	b.set[d] = true
	b.mu.Unlock()
}

func (b *blobSet) forget(d artifact.Digest) {
	b.mu.Lock()
	delete(b.set, d)
	b.mu.Unlock()
}

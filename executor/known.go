package executor

import (
	"errors"
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
	// lost are blobs that turned out to be damaged or gone. A durable output
	// may have promised them, so whoever makes the bytes again stores them,
	// even if it needs them in memory only.
	lost map[artifact.Digest]bool
	// claimed are leaves of durable outputs: no checkpoint takes them along.
	claimed map[artifact.Digest]bool
}

func newBlobSet(s *cache.Store) *blobSet {
	return &blobSet{store: s, set: map[artifact.Digest]bool{}, lost: map[artifact.Digest]bool{}, claimed: map[artifact.Digest]bool{}}
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
	delete(b.lost, d)
	b.mu.Unlock()
}

// lose notes that the blob was expected to be there and is not.
func (b *blobSet) lose(d artifact.Digest) {
	b.mu.Lock()
	delete(b.set, d)
	b.lost[d] = true
	b.mu.Unlock()
}

func (b *blobSet) isLost(d artifact.Digest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost[d]
}

// claim says that a durable output has the leaves. It comes before looking
// whether they are there, or storing them: then either remove sees the claim,
// or the look sees what remove has done.
func (b *blobSet) claim(digests ...artifact.Digest) {
	b.mu.Lock()
	for _, d := range digests {
		b.claimed[d] = true
	}
	b.mu.Unlock()
}

// remove takes those blobs out of the store that are not claimed. Other
// processes' leases are respected.
func (b *blobSet) remove(digests []artifact.Digest) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var free []cache.Digest
	for _, d := range digests {
		if b.claimed[d] {
			continue
		}
		delete(b.set, d)
		if d := cache.Digest(d); b.store.Has(d) {
			free = append(free, d)
		}
	}
	if len(free) == 0 {
		return nil
	}
	_, err := b.store.Remove(free...)
	if errors.Is(err, cache.ErrInUse) {
		return nil
	}
	return err
}
